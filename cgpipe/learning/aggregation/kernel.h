// What the files of this folder share; see kernel.cpp.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace cgpipe {

// Raises if the minibatch, c or the layer do not fit together.
void check_update(const at::Tensor& weight, const at::Tensor& bias, const at::Tensor& inputs,
                  const at::Tensor& output_gradients, int64_t c);

// weight and bias become (add ? what they are : 0) + scale · mean, the mean winsorized or trimmed. Raises,
// and changes nothing, if a value is not finite.
void aggregate(const at::Tensor& inputs, const at::Tensor& output_gradients, int64_t c, bool trimmed,
               float scale, bool add, at::Tensor& weight, at::Tensor& bias);

}  // namespace cgpipe
