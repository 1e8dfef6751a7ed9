// What the files of this folder share; see kernel.cpp.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace cgpipe {

// Raises if the minibatch, c or the layer do not fit together.
void check_update(const at::Tensor& weight, const at::Tensor& bias, const at::Tensor& inputs,
                  const at::Tensor& output_gradients, int64_t c);

// One layer: what entered it, the gradients at its output, and what is updated by them.
struct Layer {
    at::Tensor inputs, output_gradients, weight, bias;
};

// What becomes of the c smallest and the c largest values: they are clipped or left out. `inliers`: of the 2c
// nearest to the median, which are moved onto it.
enum class Ends { clipped, trimmed, inliers };

// Weights and biases become (add ? what they are : 0) + scale · mean. Raises, and changes nothing, if a value
// is not finite. All layers at once: threads wait for each other less often.
void aggregate(const std::vector<Layer>& layers, int64_t c, Ends ends, float scale, bool add);

}  // namespace cgpipe
