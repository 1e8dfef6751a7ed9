// Matrix products that leave out the zeros of one factor: four of five pixels of MNIST are 0.
//
// A row of the product is a sum over rows of the other factor, one for each value of the sparse row that is
// not 0. Lanes run along these rows. The terms of a sum come in the order of the sparse row, so its bits
// depend neither on the number of threads nor on the parts that a product is made in.
#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <memory>
#include <vector>

#include "lanes.h"

namespace {

constexpr int MOST_VECTORS = 8;      // of a sum, in registers: so many hide the latency of an addition
constexpr int64_t CACHED = 1 << 17;  // float32 values that stay in a second-level cache
constexpr int64_t BLOCK = 64;        // columns of a sparse matrix that are turned at once
constexpr int64_t ROWS = 256;        // of a product that are made at once
constexpr int64_t SKIPPED = 16;      // columns that are passed over at once where all are 0

// N vectors of neighbouring columns; of the last, `there` lanes are columns.
template <int N>
struct Columns {
    int64_t first, there;

    Lanes load(const float* row, int i) const {
        const float* at = row + first + i * Lanes::count;
        return N > 1 || there == Lanes::count ? Lanes::load(at) : load_some(at, there);
    }
    void store(Lanes x, float* row, int i) const {
        float* at = row + first + i * Lanes::count;
        N > 1 || there == Lanes::count ? x.store(at) : store_some(x, at, there);
    }
};

// f of some columns after the others, from `first` to below `end`.
template <typename F>
void by_columns(int64_t first, int64_t end, F f) {
    for (; end - first >= MOST_VECTORS * Lanes::count; first += MOST_VECTORS * Lanes::count) {
        f(Columns<MOST_VECTORS>{first, Lanes::count});
    }
    for (; first < end; first += Lanes::count) {
        f(Columns<1>{first, std::min<int64_t>(Lanes::count, end - first)});
    }
}

// Whether so few values are not 0 that leaving out the others is faster.
inline bool is_sparse(const at::Tensor& matrix) {
    const float* values = matrix.const_data_ptr<float>();
    std::atomic<int64_t> nonzero{0};
    at::parallel_for(0, matrix.numel(), 1 << 15, [&](int64_t begin, int64_t end) {
        int64_t some = 0;
        for (int64_t j = begin; j < end; ++j) some += values[j] != 0;
        nonzero += some;
    });
    return 5 * nonzero < 2 * matrix.numel();
}

// What is not 0 in each row of a matrix, in the order of the columns.
class Sparse {
    struct Entry {
        float value;
        int32_t at;  // column; where rows and columns change places, row
    };
    int64_t rows, columns, blocks;
    std::unique_ptr<Entry[]> entries;  // (rows, columns), of each row the first few
    std::vector<int32_t> starts;       // (rows, blocks + 1), where in its row each block of columns starts

    const Entry* start(int64_t row, int64_t block) const {
        return entries.get() + row * columns + starts[row * (blocks + 1) + block];
    }

    template <int N>
    static void add_rows(Lanes (&sums)[N], const Entry* entry, const Entry* end, const float* of,
                         int64_t stride, Columns<N> at) {
        for (; entry < end; ++entry) {
            const Lanes value = Lanes::of(entry->value);
            const float* row = of + entry->at * stride;
            for (int i = 0; i < N; ++i) sums[i] = add_product(sums[i], value, at.load(row, i));
        }
    }

public:
    explicit Sparse(const at::Tensor& matrix)
        : rows(matrix.size(0)),
          columns(matrix.size(1)),
          blocks((columns + BLOCK - 1) / BLOCK),
          entries(std::make_unique_for_overwrite<Entry[]>(rows * columns)),
          starts(rows * (blocks + 1)) {
        const float* values = matrix.const_data_ptr<float>();
        at::parallel_for(0, rows, 1 + (1 << 14) / (columns + 1), [&](int64_t first, int64_t last) {
            for (int64_t row = first; row < last; ++row) {
                const float* value = values + row * columns;
                Entry* to = entries.get() + row * columns;
                for (int64_t from = 0; from < columns; from += SKIPPED) {
                    if (from % BLOCK == 0) starts[row * (blocks + 1) + from / BLOCK] = to - start(row, 0);
                    const int64_t end = std::min(columns, from + SKIPPED);
                    if (!any(value + from, end - from)) continue;
                    for (int64_t j = from; j < end; ++j) {
                        *to = {value[j], static_cast<int32_t>(j)};  // at any rate: no branch
                        to += value[j] != 0;
                    }
                }
                starts[row * (blocks + 1) + blocks] = to - start(row, 0);
            }
        });
    }

    // out = bias + this · of, and what is below 0 becomes 0 with `relu`. Whether all was finite before.
    bool times(const at::Tensor& of, const at::Tensor& bias, bool relu, at::Tensor& out) const {
        const int64_t width = of.size(1), stride = of.stride(0), slice = MOST_VECTORS * Lanes::count;
        const int64_t slices = (width + slice - 1) / slice;
        // Of rows: so few that their sums stay in the cache, and enough for all threads.
        const int64_t groups =
            std::max((rows + ROWS - 1) / ROWS, (at::get_num_threads() + slices - 1) / slices);
        const int64_t depth = std::max<int64_t>(1, CACHED / BLOCK / stride);  // blocks of columns
        const float *data = of.const_data_ptr<float>(), *biases = bias.const_data_ptr<float>();
        float* to = out.mutable_data_ptr<float>();
        std::atomic<bool> finite{true};
        at::parallel_for(0, slices * groups, 1, [&](int64_t begin, int64_t end) {
            Lanes odd = Lanes::of(0);
            const auto sum = [&]<int N>(Columns<N> at, int64_t row, int64_t block) {
                Lanes sums[N];
                const int64_t next = std::min(blocks, block + depth);
                for (int i = 0; i < N; ++i) sums[i] = at.load(block ? to + row * width : biases, i);
                add_rows(sums, start(row, block), start(row, next), data, stride, at);
                for (int i = 0; i < N; ++i) {
                    if (next == blocks) odd = add_product(odd, sums[i], Lanes::of(0));  // 0, or NaN
                    if (next == blocks && relu) sums[i] = larger(Lanes::of(0), sums[i]);
                    at.store(sums[i], to + row * width, i);
                }
            };
            for (int64_t task = begin; task < end; ++task) {
                const int64_t from = task / groups * slice, group = task % groups;
                by_columns(from, std::min(width, from + slice), [&](auto at) {
                    for (int64_t block = 0; block < blocks; block += depth) {
                        for (int64_t row = rows * group / groups; row < rows * (group + 1) / groups; ++row) {
                            sum(at, row, block);
                        }
                    }
                });
            }
            float lanes[Lanes::count];
            odd.store(lanes);
            if (!std::all_of(lanes, lanes + Lanes::count, [](float x) { return x == 0; })) finite = false;
        });
        return finite;
    }

    // to += scale · thisᵀ · of.
    void add_transposed_times(const at::Tensor& of, float scale, at::Tensor& to) const {
        const int64_t width = of.size(1), of_stride = of.stride(0), stride = to.stride(0);
        const float* data = of.const_data_ptr<float>();
        float* out = to.mutable_data_ptr<float>();
        std::atomic<int64_t> next{0};
        // Each worker takes the next block, as they differ in how much is in them.
        at::parallel_for(0, std::min<int64_t>(at::get_num_threads(), blocks), 1, [&](int64_t, int64_t) {
            const auto turned = std::make_unique_for_overwrite<Entry[]>(BLOCK * rows);
            for (int64_t block = next++; block < blocks; block = next++) {
                Entry* ends[BLOCK];
                for (int64_t j = 0; j < BLOCK; ++j) ends[j] = turned.get() + j * rows;
                for (int64_t row = 0; row < rows; ++row) {
                    for (const Entry* entry = start(row, block); entry < start(row, block + 1); ++entry) {
                        *ends[entry->at % BLOCK]++ = {entry->value, static_cast<int32_t>(row)};
                    }
                }
                by_columns(0, width, [&]<int N>(Columns<N> at) {
                    for (int64_t j = 0; j < BLOCK; ++j) {
                        const Entry* const begin = turned.get() + j * rows;
                        if (ends[j] == begin) continue;
                        Lanes sums[N];
                        for (int i = 0; i < N; ++i) sums[i] = Lanes::of(0);
                        add_rows(sums, begin, ends[j], data, of_stride, at);
                        float* row = out + (block * BLOCK + j) * stride;
                        for (int i = 0; i < N; ++i) {
                            at.store(add_product(at.load(row, i), Lanes::of(scale), sums[i]), row, i);
                        }
                    }
                });
            }
        });
    }
};

}  // namespace
