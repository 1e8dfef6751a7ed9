// One step of SGD on a fully connected ReLU network with a softmax cross-entropy loss, in one call: forward,
// backward and update. It is `forward` and `output_gradients` of networks/dense.py and the update of rules.py
// again, for a network this small spends a quarter of its step between torch's operators and in passes over
// memory that one loop can make at once.
//
// Operator, its schema and what it writes: operators.py. Built by build.py.

#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/zeros_like.h>
#include <torch/library.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

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

// The images, if they are sparse and the weights lie as their products need them, input by input.
std::optional<Sparse> without_zeros(const at::Tensor& images, const at::Tensor& weight) {
    if (weight.numel() == 0 || weight.stride(0) != 1 || !is_sparse(images)) return {};
    return std::optional<Sparse>(std::in_place, images);
}

using Tensors = std::vector<at::Tensor>;

// Images and labels of some examples of the minibatch, or of all examples where there is no `batch`.
std::pair<at::Tensor, at::Tensor> taken(const at::Tensor& images, const at::Tensor& labels,
                                        const std::optional<at::Tensor>& batch, int64_t start, int64_t rows,
                                        at::Tensor entered, at::Tensor classes) {
    if (!batch) {
        return {images.narrow(0, start, rows).contiguous(), labels.narrow(0, start, rows).contiguous()};
    }
    const at::Tensor indices = batch->narrow(0, start, rows);
    at::index_select_out(entered, images, 0, indices);
    at::index_select_out(classes, labels, 0, indices);
    return {entered, classes};
}

// Both passes. Whether all is finite.
bool propagate(at::TensorList weights, at::TensorList biases, const at::Tensor& images,
               const at::Tensor& labels, const std::optional<Sparse>& pixels, Tensors left,
               Tensors gradients) {
    const size_t last = weights.size() - 1;
    for (size_t l = 0; l <= last; ++l) {
        if (l == 0 && pixels) {
            if (!pixels->times(weights[0].t(), biases[0], last > 0, left[0])) return false;
            continue;
        }
        at::mm_out(left[l], l == 0 ? images : left[l - 1], weights[l].t());
        l < last ? add_bias<true>(left[l], biases[l]) : add_bias<false>(left[l], biases[l]);
    }
    loss_gradient(left[last], labels, gradients[last]);
    for (size_t l = last; l > 0; --l) {
        at::mm_out(gradients[l - 1], gradients[l], weights[l]);
        where_active(gradients[l - 1], left[l - 1]);
    }
    return is_finite(left[last]) && std::all_of(gradients.begin(), gradients.end(), is_finite);
}

// The gradients of a layer, summed over the examples and times `scale`, are added to its weights.
void add_sum(at::Tensor weight, at::Tensor bias, const at::Tensor& a, const at::Tensor& δ,
             const Sparse* pixels, double scale) {
    if (pixels) {
        at::Tensor by_input = weight.t();
        pixels->add_transposed_times(δ, static_cast<float>(scale), by_input);
    } else {
        weight.addmm_(δ.t(), a, 1, scale);
    }
    bias.add_(δ.sum(0), scale);
}

// Sums over a large minibatch in parts of as many rows said. Each thread takes parts of its own, from
// the first to the last product, as it would wait for others after each. Whether all is finite.
bool add_sums_in_parts(at::TensorList weights, at::TensorList biases, const at::Tensor& images,
                       const at::Tensor& labels, const std::optional<at::Tensor>& batch, int64_t examples,
                       int64_t rows, double scale) {
    const int64_t parts = (examples + rows - 1) / rows;
    const int64_t workers = std::min<int64_t>(at::get_num_threads(), parts);
    const size_t layers = weights.size();
    std::vector<Tensors> weight_sums(workers), bias_sums(workers);
    std::atomic<bool> finite{true};
    at::parallel_for(0, workers, 1, [&](int64_t begin, int64_t end) {
        for (int64_t worker = begin; worker < end; ++worker) {
            for (size_t l = 0; l < layers; ++l) {
                weight_sums[worker].push_back(at::zeros_like(weights[l]));
                bias_sums[worker].push_back(at::zeros_like(biases[l]));
            }
            for (int64_t part = parts * worker / workers; part < parts * (worker + 1) / workers; ++part) {
                const int64_t start = part * rows, some = std::min(rows, examples - start);
                const auto [x, y] = taken(images, labels, batch, start, some,
                                          at::empty({0}, images.options()), at::empty({0}, labels.options()));
                Tensors left, gradients;
                for (const at::Tensor& bias : biases) {
                    left.push_back(at::empty({some, bias.size(0)}, at::kFloat));
                    gradients.push_back(at::empty_like(left.back()));
                }
                const std::optional<Sparse> pixels = without_zeros(x, weights[0]);
                if (!propagate(weights, biases, x, y, pixels, left, gradients)) {
                    finite = false;
                    break;
                }
                for (size_t l = 0; l < layers; ++l) {
                    add_sum(weight_sums[worker][l], bias_sums[worker][l], l == 0 ? x : left[l - 1],
                            gradients[l], l == 0 && pixels ? &*pixels : nullptr, 1.0);
                }
            }
        }
    });
    for (int64_t worker = 0; finite && worker < workers; ++worker) {
        for (size_t l = 0; l < layers; ++l) {
            weights[l].add_(weight_sums[worker][l], scale);
            biases[l].add_(bias_sums[worker][l], scale);
        }
    }
    return finite;
}

bool sgd_step_(at::TensorList weights, at::TensorList biases, const at::Tensor& images,
               const at::Tensor& labels, const std::optional<at::Tensor>& batch, at::Tensor entered,
               at::Tensor classes, at::TensorList left, at::TensorList gradients, int64_t c, double rate,
               bool trimmed) {
    const size_t layers = weights.size();
    TORCH_CHECK_VALUE(
        layers > 0 && biases.size() == layers && left.size() == layers && gradients.size() == layers,
        "give as many biases, outputs and gradients as weights, and at least one");
    const int64_t examples = batch ? batch->numel() : images.size(0), rows = left[0].size(0);
    for (size_t l = 0; l < layers; ++l) {
        const at::Tensor& a = l > 0 ? left[l - 1] : batch ? entered : images;
        cgpipe::check_update(weights[l], biases[l], a.narrow(0, 0, rows), gradients[l], c);
        TORCH_CHECK_VALUE(left[l].sizes() == gradients[l].sizes() && left[l].is_contiguous() &&
                              gradients[l].is_contiguous(),
                          "outputs and gradients of layer ", l + 1, " must be contiguous and of one shape");
    }
    TORCH_CHECK_VALUE(c == 0 || rows == examples, "c = ", c, " with ", rows, " of ", examples,
                      " examples at once: only sums are made in parts");
    const double of_sum = -rate / static_cast<double>(examples);
    if (rows < examples) {
        return add_sums_in_parts(weights, biases, images, labels, batch, examples, rows, of_sum);
    }
    const auto [x, y] = taken(images, labels, batch, 0, examples, entered, classes);
    const std::optional<Sparse> pixels = without_zeros(x, weights[0]);
    if (!propagate(weights, biases, x, y, pixels, left.vec(), gradients.vec())) return false;
    const auto ends = trimmed ? cgpipe::Ends::trimmed : cgpipe::Ends::clipped;
    std::vector<cgpipe::Layer> clipped;
    for (size_t l = 0; l < layers; ++l) {
        const at::Tensor& a = l == 0 ? x : left[l - 1];
        if (c > 0) {
            clipped.push_back({a, gradients[l], weights[l], biases[l]});
        } else {
            add_sum(weights[l], biases[l], a, gradients[l], l == 0 && pixels ? &*pixels : nullptr, of_sum);
        }
    }
    if (c > 0) cgpipe::aggregate(clipped, c, ends, -static_cast<float>(rate), true);
    return true;
}

// What leaves the first layer.
at::Tensor first_layer(const at::Tensor& images, const at::Tensor& weight, const at::Tensor& bias,
                       bool relu) {
    const at::Tensor x = images.contiguous();
    at::Tensor out = at::empty({x.size(0), weight.size(0)}, at::kFloat);
    cgpipe::check_update(weight, bias, x, out, 0);
    const std::optional<Sparse> pixels = without_zeros(x, weight);
    // What is not finite is left to the product that does not leave out 0 · inf.
    if (pixels && pixels->times(weight.t(), bias, relu, out)) return out;
    at::mm_out(out, x, weight.t());
    relu ? add_bias<true>(out, bias) : add_bias<false>(out, bias);
    return out;
}

}  // namespace

TORCH_LIBRARY_IMPL(cgpipe, CPU, library) {
    library.impl("sgd_step_", &sgd_step_);
    library.impl("first_layer", &first_layer);
}
