// Matrix products that leave out the zeros of one factor: four of five pixels of MNIST are 0.
//
// A row of the product is a sum over rows of the other factor, one for each value of the sparse row that is
// not 0. Lanes run along these rows. The terms of a sum come in the order of the sparse row, so its bits
// depend neither on the number of threads nor on the parts that a product is made in.
//
// The other factor is copied, a slice of its columns at a time: rows that lie a power of two apart in memory,
// as those of 2048 units do, share a few places of the first-level cache.
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

constexpr int MOST_VECTORS = 8;  // of a sum, in registers: so many hide the latency of an addition
constexpr int64_t SLICE = MOST_VECTORS * Lanes::count;  // columns of a product that are made at once
constexpr int64_t BLOCK = 64;    // columns of a sparse matrix: so many rows of a slice fit the cache
constexpr int64_t ROWS = 256;    // of a product that are made at once
constexpr int64_t AHEAD = 4;     // rows of a slice that are fetched before they are needed
constexpr int64_t SKIPPED = 16;  // columns that are passed over at once where all are 0

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

// f of some columns of a slice after the others.
template <typename F>
void by_columns(int64_t width, F f) {
    if (width == SLICE) return f(Columns<MOST_VECTORS>{0, Lanes::count});
    for (int64_t first = 0; first < width; first += Lanes::count) {
        f(Columns<1>{first, std::min<int64_t>(Lanes::count, width - first)});
    }
}

// A row of a slice. Aligned: a vector that lies across two lines of the cache is loaded in twice the time.
struct alignas(64) Row {
    float values[SLICE];
};

// A row of a slice is fetched before it is needed: rows are too far apart in memory for the processor to
// guess which is next.
inline void prefetch(const float* row, int64_t width) {
    for (int64_t j = 0; j < width; j += 16) __builtin_prefetch(row + j);
}

// Some rows of a slice, one after the other.
inline void pack(const float* from, int64_t rows, int64_t stride, int64_t width, Row* to) {
    for (int64_t row = 0; row < rows; ++row) {
        prefetch(from + std::min(row + AHEAD, rows - 1) * stride, width);
        std::copy_n(from + row * stride, width, to[row].values);
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
    static void add_rows(Lanes (&sums)[N], const Entry* entry, const Entry* end, const Row* packed,
                         int64_t first, Columns<N> at) {
        for (; entry < end; ++entry) {
            const Lanes value = Lanes::of(entry->value);
            const float* row = packed[entry->at - first].values;
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
        const int64_t width = of.size(1), stride = of.stride(0), slices = (width + SLICE - 1) / SLICE;
        // Of rows: so few that their sums stay in the cache, and enough for all threads.
        const int64_t groups =
            std::max((rows + ROWS - 1) / ROWS, (at::get_num_threads() + slices - 1) / slices);
        const float *data = of.const_data_ptr<float>(), *biases = bias.const_data_ptr<float>();
        float* to = out.mutable_data_ptr<float>();
        std::atomic<bool> finite{true};
        at::parallel_for(0, slices * groups, 1, [&](int64_t begin, int64_t end) {
            const auto packed = std::make_unique_for_overwrite<Row[]>(BLOCK);
            Lanes odd = Lanes::of(0);
            for (int64_t task = begin; task < end; ++task) {
                const int64_t from = task / groups * SLICE, group = task % groups;
                const int64_t some = std::min(SLICE, width - from);
                for (int64_t block = 0; block < blocks; ++block) {
                    const int64_t first = block * BLOCK;
                    const bool last = block + 1 == blocks;
                    pack(data + first * stride + from, std::min(BLOCK, columns - first), stride, some,
                         packed.get());
                    by_columns(some, [&]<int N>(Columns<N> at) {
                        for (int64_t row = rows * group / groups; row < rows * (group + 1) / groups; ++row) {
                            float* const there = to + row * width + from;
                            Lanes sums[N];
                            for (int i = 0; i < N; ++i) sums[i] = at.load(block ? there : biases + from, i);
                            add_rows(sums, start(row, block), start(row, block + 1), packed.get(), first, at);
                            for (int i = 0; i < N; ++i) {
                                if (last) odd = add_product(odd, sums[i], Lanes::of(0));  // 0, or NaN
                                if (last && relu) sums[i] = larger(Lanes::of(0), sums[i]);
                                at.store(sums[i], there, i);
                            }
                        }
                    });
                }
            }
            float lanes[Lanes::count];
            odd.store(lanes);
            if (!std::all_of(lanes, lanes + Lanes::count, [](float x) { return x == 0; })) finite = false;
        });
        return finite;
    }

    // to += scale · thisᵀ · of.
    void add_transposed_times(const at::Tensor& of, float scale, at::Tensor& to) const {
        const int64_t width = of.size(1), stride = to.stride(0), slices = (width + SLICE - 1) / SLICE;
        const float* data = of.const_data_ptr<float>();
        float* out = to.mutable_data_ptr<float>();
        // What is not 0 in each column, in the order of the rows.
        const auto turned = std::make_unique_for_overwrite<Entry[]>(columns * rows);
        std::vector<Entry*> ends(columns);
        at::parallel_for(0, blocks, 1 + (1 << 18) / (BLOCK * rows), [&](int64_t begin, int64_t end) {
            for (int64_t block = begin; block < end; ++block) {
                const int64_t next = std::min(columns, (block + 1) * BLOCK);
                for (int64_t j = block * BLOCK; j < next; ++j) ends[j] = turned.get() + j * rows;
                for (int64_t row = 0; row < rows; ++row) {
                    for (const Entry* entry = start(row, block); entry < start(row, block + 1); ++entry) {
                        *ends[entry->at]++ = {entry->value, static_cast<int32_t>(row)};
                    }
                }
            }
        });
        // Each worker takes the next slice, and the next of the groups of columns, as they differ in how much
        // is in them.
        const int64_t threads = at::get_num_threads();
        const int64_t groups = std::min(blocks, (4 * threads + slices - 1) / slices), tasks = slices * groups;
        std::atomic<int64_t> next{0};
        at::parallel_for(0, std::min(threads, tasks), 1, [&](int64_t, int64_t) {
            const auto packed = std::make_unique_for_overwrite<Row[]>(rows);
            for (int64_t task = next++; task < tasks; task = next++) {
                const int64_t from = task / groups * SLICE, group = task % groups;
                const int64_t some = std::min(SLICE, width - from);
                pack(data + from, rows, of.stride(0), some, packed.get());
                by_columns(some, [&]<int N>(Columns<N> at) {
                    for (int64_t j = columns * group / groups; j < columns * (group + 1) / groups; ++j) {
                        const Entry* const begin = turned.get() + j * rows;
                        prefetch(out + std::min(j + AHEAD, columns - 1) * stride + from, some);
                        if (ends[j] == begin) continue;
                        Lanes sums[N];
                        for (int i = 0; i < N; ++i) sums[i] = Lanes::of(0);
                        add_rows(sums, begin, ends[j], packed.get(), 0, at);
                        float* row = out + j * stride + from;
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
