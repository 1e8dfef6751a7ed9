// One step of SGD on a fully connected ReLU network with a softmax cross-entropy loss, in one call: forward,
// backward and update. It is `forward` and `output_gradients` of networks/dense.py and the update of rules.py
// again, for a network this small spends a quarter of its step between torch's operators and in passes over
// memory that one loop can make at once.
//
// Operator, its schema and what it writes: operators.py. Built by build.py.

#include <ATen/ops/addmm.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/sum.h>
#include <torch/library.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <optional>

#include "kernel.h"
#include "sparse.h"

namespace {

// Loops as the compiler can vectorize them: their length in a variable, no branch.

// Biases are added, and what is below 0 becomes 0; NaN stays.
template <bool relu>
void add_bias(at::Tensor& out, const at::Tensor& bias) {
    const int64_t examples = out.size(0), units = out.size(1);
    float* row = out.mutable_data_ptr<float>();
    const float* b = bias.const_data_ptr<float>();
    for (int64_t example = 0; example < examples; ++example, row += units) {
        for (int64_t o = 0; o < units; ++o) {
            const float sum = row[o] + b[o];
            row[o] = relu ? (sum < 0 ? 0.0f : sum) : sum;
        }
    }
}

// Softmax of the logits, less 1 at the label: the gradient of the summed loss. At the label it is the sum of
// the others with a minus: the probability itself is rounded to 1 where an example is fitted.
void loss_gradient(const at::Tensor& logits, const at::Tensor& labels, at::Tensor& gradient) {
    const int64_t classes = logits.size(1);
    const float* z = logits.const_data_ptr<float>();
    const int64_t* label = labels.const_data_ptr<int64_t>();
    float* δ = gradient.mutable_data_ptr<float>();
    for (int64_t b = 0; b < logits.size(0); ++b, z += classes, δ += classes) {
        const float most = *std::max_element(z, z + classes);
        float sum = 0;
        for (int64_t k = 0; k < classes; ++k) sum += δ[k] = std::exp(z[k] - most);
        for (int64_t k = 0; k < classes; ++k) δ[k] /= sum;
        TORCH_CHECK_INDEX(label[b] >= 0 && label[b] < classes, "label ", label[b], " of example ", b,
                          " of the minibatch: give 0 to ", classes - 1);
        δ[label[b]] -= δ[label[b]];  // 0, and NaN stays
        float others = 0;
        for (int64_t k = 0; k < classes; ++k) others += δ[k];
        δ[label[b]] = -others;
    }
}

// The backward pass of a ReLU: 0 where nothing came through.
void where_active(at::Tensor& gradient, const at::Tensor& came_out) {
    const int64_t n = gradient.numel();
    float* δ = gradient.mutable_data_ptr<float>();
    const float* a = came_out.const_data_ptr<float>();
    for (int64_t j = 0; j < n; ++j) δ[j] = a[j] > 0 ? δ[j] : 0.0f;
}

bool is_finite(const at::Tensor& t) {
    const int64_t n = t.numel();
    const float* data = t.const_data_ptr<float>();
    uint32_t odd = 0;
    for (int64_t j = 0; j < n; ++j) {
        odd |= (std::bit_cast<uint32_t>(data[j]) & 0x7fffffffu) >= 0x7f800000u;
    }
    return odd == 0;
}

bool sgd_step_(at::TensorList weights, at::TensorList biases, const at::Tensor& images,
               const at::Tensor& labels, const at::Tensor& batch, at::Tensor entered, at::Tensor classes,
               at::TensorList left, at::TensorList gradients, int64_t c, double rate, bool trimmed) {
    const size_t layers = weights.size();
    TORCH_CHECK_VALUE(
        layers > 0 && biases.size() == layers && left.size() == layers && gradients.size() == layers,
        "give as many biases, outputs and gradients as weights, and at least one");
    for (size_t l = 0; l < layers; ++l) {
        cgpipe::check_update(weights[l], biases[l], l == 0 ? entered : left[l - 1], gradients[l], c);
        TORCH_CHECK_VALUE(left[l].sizes() == gradients[l].sizes() && left[l].is_contiguous() &&
                              gradients[l].is_contiguous(),
                          "outputs and gradients of layer ", l + 1, " must be contiguous and of one shape");
    }
    at::index_select_out(entered, images, 0, batch);
    at::index_select_out(classes, labels, 0, batch);
    std::optional<Sparse> pixels;
    if (weights[0].stride(0) == 1 && is_sparse(entered)) pixels.emplace(entered);
    for (size_t l = 0; l < layers; ++l) {
        at::Tensor out = left[l];
        if (l == 0 && pixels) {
            if (!pixels->times(weights[0].t(), biases[0], layers > 1, out)) return false;
            continue;
        }
        at::mm_out(out, l == 0 ? entered : left[l - 1], weights[l].t());
        l + 1 < layers ? add_bias<true>(out, biases[l]) : add_bias<false>(out, biases[l]);
    }
    at::Tensor gradient = gradients[layers - 1];
    loss_gradient(left[layers - 1], classes, gradient);
    for (size_t l = layers - 1; l > 0; --l) {
        gradient = gradients[l - 1];
        at::mm_out(gradient, gradients[l], weights[l]);
        where_active(gradient, left[l - 1]);
    }
    if (!is_finite(left[layers - 1]) || !std::all_of(gradients.begin(), gradients.end(), is_finite))
        return false;
    for (size_t l = 0; l < layers; ++l) {
        const at::Tensor& a = l == 0 ? entered : left[l - 1];
        at::Tensor weight = weights[l], bias = biases[l];
        if (c == 0) {
            const double of_sum = -rate / static_cast<double>(a.size(0));
            if (l == 0 && pixels) {
                at::Tensor by_input = weight.t();
                pixels->add_transposed_times(gradients[0], static_cast<float>(of_sum), by_input);
            } else {
                weight.addmm_(gradients[l].t(), a, 1, of_sum);
            }
            bias.add_(gradients[l].sum(0), of_sum);
        } else {
            cgpipe::aggregate(a, gradients[l], c, trimmed, -static_cast<float>(rate), true, weight, bias);
        }
    }
    return true;
}

}  // namespace

TORCH_LIBRARY_IMPL(cgpipe, CPU, library) {
    library.impl("sgd_step_", &sgd_step_);
}
