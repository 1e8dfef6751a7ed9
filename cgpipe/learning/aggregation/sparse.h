// Matrix products that leave out the zeros of one factor: four of five pixels of MNIST are 0.
//
// A row of the product is a sum over rows of the other factor, one for each value of the sparse row that is not
// 0. Lanes run along these rows. The terms of a sum come in the order of the sparse row, so its bits depend
// neither on the number of threads nor on the parts that a product is made in.
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
constexpr int64_t ROWS_A_BLOCK = 32;

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
        int32_t column;
    };
    int64_t rows, columns;
    std::unique_ptr<Entry[]> entries;  // (rows, columns), of each row the first few
    std::vector<int64_t> lengths;      // (rows,)

    Sparse(int64_t rows, int64_t columns)
        : rows(rows),
          columns(columns),
          entries(std::make_unique_for_overwrite<Entry[]>(rows * columns)),
          lengths(rows) {}

    const Entry* begin(int64_t row) const { return entries.get() + row * columns; }
    const Entry* end(int64_t row) const { return begin(row) + lengths[row]; }

    template <int N>
    static void add_rows(Lanes (&sums)[N], const Entry* entry, const Entry* end, const float* of,
                         int64_t stride, Columns<N> at) {
        for (; entry < end; ++entry) {
            const Lanes value = Lanes::of(entry->value);
            const float* row = of + entry->column * stride;
            for (int i = 0; i < N; ++i) sums[i] = add_product(sums[i], value, at.load(row, i));
        }
    }

   public:
    explicit Sparse(const at::Tensor& matrix) : Sparse(matrix.size(0), matrix.size(1)) {
        const float* values = matrix.const_data_ptr<float>();
        at::parallel_for(0, rows, 1 + (1 << 14) / (columns + 1), [&](int64_t first, int64_t last) {
            for (int64_t row = first; row < last; ++row) {
                const float* value = values + row * columns;
                Entry* to = entries.get() + row * columns;
                for (int64_t start = 0; start < columns; start += 16) {
                    const int64_t stop = std::min(columns, start + 16);
                    bool any = false;
                    for (int64_t j = start; j < stop; ++j) any |= value[j] != 0;
                    if (!any) continue;
                    for (int64_t j = start; j < stop; ++j) {
                        *to = {value[j], static_cast<int32_t>(j)};  // at any rate: no branch
                        to += value[j] != 0;
                    }
                }
                lengths[row] = to - begin(row);
            }
        });
    }

    Sparse transposed() const {
        Sparse to(columns, rows);
        at::parallel_for(0, columns, 64, [&](int64_t first, int64_t last) {
            for (int64_t row = 0; row < rows; ++row) {
                const auto before = [](Entry entry, int64_t column) { return entry.column < column; };
                const Entry* entry = std::lower_bound(begin(row), end(row), first, before);
                for (; entry < end(row) && entry->column < last; ++entry) {
                    to.entries[entry->column * rows + to.lengths[entry->column]++] = {
                        entry->value, static_cast<int32_t>(row)};
                }
            }
        });
        return to;
    }

    // out = bias + this · of, and what is below 0 becomes 0 with `relu`. Whether all was finite before.
    bool times(const at::Tensor& of, const at::Tensor& bias, bool relu, at::Tensor& out) const {
        const int64_t width = of.size(1), stride = of.stride(0), slice = MOST_VECTORS * Lanes::count;
        const int64_t slices = (width + slice - 1) / slice;
        const int64_t groups = (at::get_num_threads() + slices - 1) / slices;  // of rows, if slices are few
        const int64_t depth = std::max<int64_t>(16, CACHED / stride);
        const float *data = of.const_data_ptr<float>(), *start = bias.const_data_ptr<float>();
        float* to = out.mutable_data_ptr<float>();
        std::atomic<bool> finite{true};
        at::parallel_for(0, slices * groups, 1, [&](int64_t first, int64_t last) {
            std::vector<const Entry*> next(rows);
            Lanes odd = Lanes::of(0);
            const auto sum = [&]<int N>(Columns<N> at, int64_t row, int64_t top) {
                const bool ends = top + depth >= columns;
                const Entry *entry = next[row], *stop = end(row);
                if (!ends) {
                    for (stop = entry; stop < end(row) && stop->column < top + depth;) ++stop;
                    next[row] = stop;
                }
                Lanes sums[N];
                for (int i = 0; i < N; ++i) sums[i] = at.load(top == 0 ? start : to + row * width, i);
                add_rows(sums, entry, stop, data, stride, at);
                for (int i = 0; i < N; ++i) {
                    if (ends) odd = add_product(odd, sums[i], Lanes::of(0));  // 0, or NaN
                    if (ends && relu) sums[i] = larger(Lanes::of(0), sums[i]);
                    at.store(sums[i], to + row * width, i);
                }
            };
            for (int64_t task = first; task < last; ++task) {
                const int64_t from = task / groups * slice, group = task % groups;
                by_columns(from, std::min(width, from + slice), [&](auto at) {
                    for (int64_t row = 0; row < rows; ++row) next[row] = begin(row);
                    for (int64_t top = 0; top < columns; top += depth) {
                        for (int64_t row = rows * group / groups; row < rows * (group + 1) / groups; ++row) {
                            sum(at, row, top);
                        }
                    }
                });
            }
            float lanes[Lanes::count];
            odd.store(lanes);
            if (std::any_of(lanes, lanes + Lanes::count, [](float x) { return x != 0; })) finite = false;
        });
        return finite;
    }

    // to += scale · this · of.
    void add_times(const at::Tensor& of, float scale, at::Tensor& to) const {
        const int64_t width = of.size(1), stride = of.stride(0), to_stride = to.stride(0);
        const float* data = of.const_data_ptr<float>();
        float* out = to.mutable_data_ptr<float>();
        const int64_t blocks = (rows + ROWS_A_BLOCK - 1) / ROWS_A_BLOCK;
        std::atomic<int64_t> next{0};
        // Each worker takes the next block: rows differ in length.
        at::parallel_for(0, std::min<int64_t>(at::get_num_threads(), blocks), 1, [&](int64_t, int64_t) {
            for (int64_t block = next++; block < blocks; block = next++) {
                const int64_t first = block * ROWS_A_BLOCK, last = std::min(rows, first + ROWS_A_BLOCK);
                by_columns(0, width, [&]<int N>(Columns<N> at) {
                    for (int64_t row = first; row < last; ++row) {
                        if (lengths[row] == 0) continue;
                        Lanes sums[N];
                        for (int i = 0; i < N; ++i) sums[i] = Lanes::of(0);
                        add_rows(sums, begin(row), end(row), data, stride, at);
                        for (int i = 0; i < N; ++i) {
                            const Lanes was = at.load(out + row * to_stride, i);
                            at.store(add_product(was, Lanes::of(scale), sums[i]), out + row * to_stride, i);
                        }
                    }
                });
            }
        });
    }
};

}  // namespace
