// The winsorized gradient of a linear layer, without its per-example gradients.
//
// What is computed (Chatterjee 2020, section 3). Example b's gradient for the weight from input i to unit o
// is the product δ[b,o]·a[b,i]. Of these B values the c largest are clipped to the (c+1)-th largest and the
// c smallest to the (c+1)-th smallest, and all are averaged; `trimmed` leaves the 2c out instead, and
// `inliers` moves the 2c values nearest to the median onto it. A bias is the weight of an input that is 1
// for every example.
//
// How. A value is a coefficient times a vector: one weight a lane, neighbouring weights in neighbouring
// lanes.
//
// 1. Cascade. A lane keeps its c largest values so far, in order, in registers. A new value passes along
//    them: at each place the larger stays and the smaller goes on. What falls out at the end passes
//    likewise along the c smallest, and what falls out there lies between. Only these are summed:
//        trimmed sum = Σ between                clipped sum = Σ between + c·max between + c·min between
//    Nothing is subtracted from a total, so nothing cancels when one gradient is huge.
// 2. Blocks. Values come 2c at a time: a network sorts them, the upper half meets the largest and the lower
//    half the smallest, each value one place of the list, and shorter networks put the lists in order again.
//    Neither half can belong to the other list. Each c has its own code; from c = 9 on, where the lists
//    would fill the registers, and for inliers, one network sorts the values of a tile in memory.
// 3. Zeros are counted and not visited: δ is 0 where a unit is inactive, a is 0 for most pixels. Where more
//    than 2c of the values are 0, both lists and what lies between them start at 0.
// 4. Signs. Where no vector has a negative entry (pixels, activations after a ReLU) the coefficient gives
//    the sign of the value. Positive ones then pass along the largest alone; negative ones, with the sign
//    turned when the coefficients are read, along a list of their own, from c = 3 on c at a time. Fewer
//    operations. Both lists start at 0, which is right as long as more than c values are not negative and
//    more than c are not positive.
// 5. Two ways round. Coefficients may be the δ of a unit and lanes run along the inputs, or coefficients the
//    inputs and lanes run along the units. The one with fewer values to visit is taken: for MNIST's first
//    layer the second, as four pixels of five are 0.
// 6. Tiles. The vectors are copied to [tile][example][WIDTH], so that a tile stays in the first-level cache
//    while the coefficients of a block of rows pass over it.
//
// Per-example gradients that were formed, of layers other than linear ones, pass along the same lists, and
// are read where they lie.
//
// The additions to one weight come in an order that depends neither on the number of threads nor on the
// instruction set, and so do the bits of the result.
//
// Operators, their schemas and the other devices: operators.py. A whole step: step.cpp. Built by build.py.

#include "kernel.h"

#include <ATen/MemoryOverlap.h>
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>
#include <torch/library.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "lanes.h"

#define INLINE [[gnu::always_inline]] inline
#define INLINED __attribute__((always_inline))

namespace {

constexpr int VECTORS = 2;  // two cascades side by side hide each other's latency
constexpr int WIDTH = VECTORS * Lanes::count;
constexpr int64_t MOST_ROWS = 16;        // rows of a block; their coefficients share the cache with a tile
constexpr int64_t MOST_TOGETHER = 1000;  // examples whose tiles are kept for all layers at once
constexpr int64_t MOST_LISTED = 8;       // places of a list; each length is compiled on its own

// ---- The minibatch: looked over, and laid out ----

// One factor of the products: what entered the layer, or the gradients at its output; (B, width).
struct Factor {
    const float* data;
    int64_t batch;
    int64_t width;
    int64_t nonzero = 0;
    bool negative = false;  // whether any value is
    bool finite = true;     // whether every value is

    explicit Factor(const at::Tensor& t)
        : data(t.const_data_ptr<float>()), batch(t.size(0)), width(t.size(1)) {}

    void look_over() {
        const int64_t n = batch * width;
        uint32_t below = 0, odd = 0;
        for (int64_t start = 0; start < n; start += 4096) {  // in parts, so that 32 bits count enough
            uint32_t some = 0;
            for (int64_t j = start; j < std::min(n, start + 4096); ++j) {
                const uint32_t bits = std::bit_cast<uint32_t>(data[j]);
                const uint32_t magnitude = bits & 0x7fffffffu;
                some += magnitude != 0;
                below |= bits > 0x80000000u;
                odd |= magnitude >= 0x7f800000u;
            }
            nonzero += some;
        }
        negative = below != 0;
        finite = odd == 0;
    }

    // Values to visit, by 32, when this is the factor of the coefficients and the other that of the vectors;
    // the same on every machine, whatever its WIDTH, as the order of additions follows from it.
    int64_t visits(const Factor& vectors) const {
        return nonzero * ((vectors.width + 31) / 32) * (vectors.negative ? 2 : 1);
    }
};

struct Coefficient {
    float value;
    int32_t vector;  // where in a tile the example's vector begins

    template <typename Vector>
    INLINE Vector times(const float* tile) const {
        return Vector::of(value) * Vector::load(tile + vector);
    }
};

// The coefficients of a block of rows: in each row first the positive ones, then the zeros, then the
// negative. `listed`: by lists of c; else the values are sorted.
struct Coefficients {
    int64_t batch, c;
    bool listed;
    std::vector<Coefficient> entries;
    std::array<int64_t, MOST_ROWS> positive, negative;
    std::array<bool, MOST_ROWS> by_sign;  // one sign at a time; the negative ones are held by magnitude

    Coefficients(int64_t batch, int64_t c, bool listed)
        : batch(batch), c(c), listed(listed), entries(batch * MOST_ROWS) {}

    void read(const Factor& f, int64_t first, int64_t rows, bool signed_vectors) {
        std::array<int64_t, MOST_ROWS> above{}, last;
        last.fill(batch - 1);
        for (int64_t b = 0; b < batch; ++b) {
            const float* values = f.data + b * f.width + first;
            if (!any(values, rows)) continue;
            for (int64_t r = 0; r < rows; ++r) {
                const Coefficient entry{values[r], static_cast<int32_t>(b * WIDTH)};
                // Written at both ends and counted at one at most: no branch, as signs are unpredictable.
                // Neither place holds an entry that was counted.
                Coefficient* row = entries.data() + r * batch;
                row[above[r]] = entry;
                row[last[r]] = entry;
                above[r] += entry.value > 0;
                last[r] -= entry.value < 0;
            }
        }
        for (int64_t r = 0; r < rows; ++r) {
            Coefficient* row = entries.data() + r * batch;
            positive[r] = above[r];
            negative[r] = batch - 1 - last[r];
            by_sign[r] = listed && !signed_vectors && std::max(positive[r], negative[r]) < batch - c;
            if (by_sign[r]) {
                for (int64_t j = last[r] + 1; j < batch; ++j) row[j].value = -row[j].value;
            } else if (listed && zeros(r) <= 2 * c) {  // else zeros are not visited
                std::fill(row + above[r], row + last[r] + 1, Coefficient{0, 0});
            }
        }
    }

    int64_t zeros(int64_t r) const { return batch - positive[r] - negative[r]; }
    const Coefficient* row(int64_t r) const { return entries.data() + r * batch; }
    const Coefficient* positives(int64_t r) const { return row(r); }
    const Coefficient* negatives(int64_t r) const { return row(r) + batch - negative[r]; }
};

// ---- Sorting networks ----

using Exchange = std::pair<int64_t, int64_t>;

// Sorts n values in ascending order by exchanges of two: Batcher's merge exchange.
template <typename F>
constexpr void sort_by(int64_t n, F exchange) {
    const int64_t top = n < 2 ? 0 : static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(n))) / 2;
    for (int64_t p = top; p > 0; p /= 2) {
        for (int64_t q = top, r = 0, d = p;; d = q - p, q /= 2, r = p) {
            for (int64_t first = r; first < n - d; first += 2 * p) {
                for (int64_t i = first; i < std::min(first + p, n - d); ++i) exchange(i, i + d);
            }
            if (q == p) break;
        }
    }
}
constexpr std::vector<Exchange> merge_exchange(int64_t n) {
    std::vector<Exchange> exchanges;
    sort_by(n, [&](int64_t i, int64_t j) { exchanges.emplace_back(i, j); });
    return exchanges;
}

// Sorts n values that fall and then rise, in ascending order, or, turned round, n values that rise and then
// fall, in descending order.
constexpr std::vector<Exchange> bitonic_merge(int64_t n, int64_t first = 0) {
    if (n < 2) return {};
    const int64_t apart = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(n))) / 2;
    std::vector<Exchange> exchanges;
    for (int64_t i = first; i < first + n - apart; ++i) exchanges.emplace_back(i, i + apart);
    for (const Exchange& one : bitonic_merge(apart, first)) exchanges.push_back(one);
    for (const Exchange& one : bitonic_merge(n - apart, first + apart)) exchanges.push_back(one);
    return exchanges;
}

template <auto network, int64_t n>
constexpr auto known() {
    std::array<std::pair<int, int>, network(n).size()> exchanges;
    for (std::size_t k = 0; k < exchanges.size(); ++k) exchanges[k] = network(n)[k];
    return exchanges;
}
template <int N>
constexpr auto SORT = known<[](int64_t n) { return merge_exchange(n); }, N>();
template <int N>
constexpr auto MERGE = known<[](int64_t n) { return bitonic_merge(n); }, N>();

// ---- The sum of one row and one tile ----

using cgpipe::Ends;

// f(0), f(1), ..., each with a constant: what a loop indexes is kept in memory, and these are registers.
template <int N, typename F>
INLINE void each(F f) {
    [&]<int... I>(std::integer_sequence<int, I...>)
        INLINED { (f(std::integral_constant<int, I>()), ...); }(std::make_integer_sequence<int, N>());
}

template <const auto& NETWORK, typename Vector, int N>
INLINE void ascending(Vector (&x)[N]) {
    each<NETWORK.size()>([&](auto k) INLINED { exchange(x[NETWORK[k].first], x[NETWORK[k].second]); });
}
template <const auto& NETWORK, typename Vector, int N>
INLINE void descending(Vector (&x)[N]) {
    each<NETWORK.size()>([&](auto k) INLINED { exchange(x[NETWORK[k].second], x[NETWORK[k].first]); });
}

// Values of one sign, taken by magnitude, among any number of zeros.
template <int C, typename Vector>
struct OneSided {
    static constexpr int BLOCK = C > 2 ? C : 1;
    Vector largest[C + 1];  // ascending; one more, as C may be 0
    Vector most = Vector::of(0), between = Vector::of(0);

    OneSided() {
        each<C>([&](auto i) INLINED { largest[i] = Vector::of(0); });
    }
    INLINE void visit(Vector x) {
        each<C>([&](auto i) INLINED { exchange(x, largest[C - 1 - i]); });
        visit_between(x);
    }
    // The first block, which only fills the list.
    INLINE void start(Vector (&x)[C]) {
        ascending<SORT<C>>(x);
        each<C>([&](auto i) INLINED { largest[i] = x[i]; });
    }
    // After the last block the list need not be in order.
    template <bool last>
    INLINE void visit(Vector (&x)[C]) {
        descending<SORT<C>>(x);
        each<C>([&](auto i) INLINED { exchange(x[i], largest[i]); });
        if constexpr (!last) ascending<MERGE<C>>(largest);
        each<C>([&](auto i) INLINED { visit_between(x[i]); });
    }
    INLINE void visit_between(Vector x) {
        most = larger(most, x);
        between = between + x;
    }
    Vector sum(Ends ends) const { return ends == Ends::clipped ? between + Vector::of(C) * most : between; }
};

// Values of either sign, among more than 2c zeros.
template <int C, typename Vector>
struct TwoSided {
    static constexpr int BLOCK = C > 0 ? 2 * C : 1;
    Vector largest[C + 1], smallest[C + 1];  // ascending, descending
    Vector most = Vector::of(0), least = Vector::of(0), between = Vector::of(0);

    TwoSided() {
        each<C>([&](auto i) INLINED { largest[i] = smallest[i] = Vector::of(0); });
    }
    INLINE Vector along_largest(Vector x) {
        each<C>([&](auto i) INLINED { exchange(x, largest[C - 1 - i]); });
        return x;
    }
    INLINE Vector along_smallest(Vector x) {
        each<C>([&](auto i) INLINED { exchange(smallest[C - 1 - i], x); });
        return x;
    }
    INLINE void visit(Vector x) { visit_between(along_smallest(along_largest(x))); }
    // The first block: among zeros, what is above 0 may be large, and what is below may be small.
    template <int N>
    INLINE void start(Vector (&x)[N]) {
        const Vector zero = Vector::of(0);
        ascending<SORT<N>>(x);
        each<C>([&](auto i) INLINED {
            largest[i] = larger(x[N - C + i], zero);
            smallest[i] = smaller(x[C - 1 - i], zero);
            if constexpr (N == 2 * C) {
                visit_between(smaller(x[C + i], zero));
                visit_between(larger(x[i], zero));
            }
        });
    }
    template <bool last>
    INLINE void visit(Vector (&x)[2 * C]) {
        ascending<SORT<2 * C>>(x);
        // Of 2c values the upper half is too large for the smallest, and the lower half too small for the
        // largest. Afterwards the largest fall and rise, the smallest rise and fall.
        each<C>([&](auto i) INLINED {
            exchange(x[2 * C - 1 - i], largest[i]);
            exchange(smallest[i], x[i]);
        });
        if constexpr (!last) ascending<MERGE<C>>(largest);
        if constexpr (!last) descending<MERGE<C>>(smallest);
        each<2 * C>([&](auto i) INLINED { visit_between(x[i]); });
    }
    INLINE void visit_between(Vector x) {
        most = larger(most, x);
        least = smaller(least, x);
        between = between + x;
    }
    Vector sum(Ends ends) const {
        return ends == Ends::clipped ? between + Vector::of(C) * (most + least) : between;
    }
};

// Values of either sign, all of them visited.
template <int C, typename Vector>
struct TwoSidedOfAll : TwoSided<C, Vector> {
    TwoSidedOfAll() {
        constexpr float inf = std::numeric_limits<float>::infinity();
        this->most = Vector::of(-inf);
        this->least = Vector::of(inf);
        each<C>([&](auto i) INLINED {
            this->largest[i] = this->most;
            this->smallest[i] = this->least;
        });
    }
    // The first c values only fill the largest, the next c what these leave to the smallest.
    INLINE void fill_largest(Vector x) { this->along_largest(x); }
    INLINE void fill_smallest(Vector x) { this->along_smallest(this->along_largest(x)); }
};

// All values of some entries, in blocks where these take fewer operations than one value after the other.
// `start`: nothing was visited before, and zeros do not matter; `last`: nothing is visited afterwards.
template <int C, bool start, typename Cascade, typename Entry, typename Value>
INLINE void visit_all(Cascade& cascade, Entry entry, int64_t n, bool last, Value value) {
    constexpr int BLOCK = Cascade::BLOCK;
    const Entry end = entry + n;
    int64_t singles = BLOCK > 1 ? n % BLOCK : n;
    if constexpr (BLOCK > 1 && start) {
        // A block of what is left over, filled up with zeros, or a whole one: whichever is cheaper.
        const auto begin = [&]<int N>(std::integral_constant<int, N>, int64_t filled) INLINED {
            static constexpr Coefficient zero{0, 0};
            decltype(value(entry)) block[N];
            each<N>([&](auto i) INLINED { block[i] = value(i < filled ? entry + i : &zero); });
            cascade.start(block);
            entry += filled;
        };
        if (BLOCK > C && 0 < singles && singles <= C) {
            begin(std::integral_constant<int, C>(), std::exchange(singles, 0));
        } else if (n >= BLOCK || singles > C) {
            const bool left_over = singles * BLOCK > static_cast<int64_t>(SORT<BLOCK>.size());
            begin(std::integral_constant<int, BLOCK>(), left_over ? std::exchange(singles, 0) : BLOCK);
        }
    }
    for (; singles > 0; --singles, ++entry) cascade.visit(value(entry));
    if constexpr (BLOCK > 1) {
        decltype(value(entry)) block[BLOCK];
        for (; end - entry > (last ? BLOCK : 0); entry += BLOCK) {
            each<BLOCK>([&](auto i) INLINED { block[i] = value(entry + i); });
            cascade.template visit<false>(block);
        }
        if (entry != end) {
            each<BLOCK>([&](auto i) INLINED { block[i] = value(entry + i); });
            cascade.template visit<true>(block);
        }
    }
}

template <int C, typename Vector>
Vector sum_one_side(const Coefficient* entries, int64_t n, const float* tile, Ends ends) {
    if (n <= C) return Vector::of(0);
    OneSided<C, Vector> cascade;
    visit_all<C, true>(cascade, entries, n, true,
                       [&](const Coefficient* entry) INLINED { return entry->times<Vector>(tile); });
    return cascade.sum(ends);
}

template <int C, typename Vector>
Vector sum_both_sides_among_zeros(const Coefficients& of, int64_t row, const float* tile, Ends ends) {
    TwoSided<C, Vector> cascade;
    const auto value = [&](const Coefficient* entry) INLINED { return entry->times<Vector>(tile); };
    visit_all<C, true>(cascade, of.positives(row), of.positive[row], of.negative[row] == 0, value);
    visit_all<C, false>(cascade, of.negatives(row), of.negative[row], true, value);
    return cascade.sum(ends);
}

template <int C, typename Vector, typename Entry, typename Value>
INLINE Vector sum_of_all(Entry first, int64_t n, Ends ends, Value value) {
    TwoSidedOfAll<C, Vector> cascade;
    for (int j = 0; j < C; ++j) cascade.fill_largest(value(first + j));
    for (int j = C; j < 2 * C; ++j) cascade.fill_smallest(value(first + j));
    visit_all<C, false>(cascade, first + 2 * C, n - 2 * C, true, value);
    return cascade.sum(ends);
}

template <int C, typename Vector>
Vector sum_both_sides_of_all(const Coefficients& of, int64_t row, const float* tile, Ends ends) {
    return sum_of_all<C, Vector>(of.row(row), of.batch, ends, [&](const Coefficient* entry) INLINED {
        return entry->times<Vector>(tile);
    });
}

using RowSum = void (*)(const Coefficients&, int64_t row, const float* tile, Ends, float* out);

// The row's sums over the lanes of a tile, with lists in registers; two vectors side by side hide each
// other's latency where the lists are short.
template <int C>
void listed(const Coefficients& of, int64_t row, const float* tile, Ends ends, float* out) {
    if (!of.by_sign[row]) {
        using Vector = std::conditional_t<(C < 2), Pair, Lanes>;
        const auto sum =
            of.zeros(row) > 2 * C ? sum_both_sides_among_zeros<C, Vector> : sum_both_sides_of_all<C, Vector>;
        for (int i = 0; i < WIDTH; i += Vector::count) sum(of, row, tile + i, ends).store(out + i);
    } else {
        using Vector = std::conditional_t<(C < 5), Pair, Lanes>;
        for (int i = 0; i < WIDTH; i += Vector::count) {
            const Vector up = sum_one_side<C, Vector>(of.positives(row), of.positive[row], tile + i, ends);
            const Vector down = sum_one_side<C, Vector>(of.negatives(row), of.negative[row], tile + i, ends);
            (up - down).store(out + i);
        }
    }
}

template <std::size_t... C>
constexpr std::array<RowSum, sizeof...(C)> listed_for(std::index_sequence<C...>) {
    return {listed<static_cast<int>(C)>...};
}
constexpr auto LISTED = listed_for(std::make_index_sequence<MOST_LISTED + 1>());

// The sum of sorted values, with the 2c nearest to the median moved onto it. Of two that are 2c ranks apart,
// one on each side of the middle, the nearer is moved and the other stays: with the 2c - 1 between them the
// nearer makes 2c. Of two as near, the lower is moved. What has no partner 2c ranks further on is moved.
template <typename Ranked>
Lanes sum_without_inliers(Ranked ranked, int64_t batch, int64_t c) {
    const int64_t middle = (batch + 1) / 2;
    const Lanes median = batch % 2 ? ranked(middle - 1)
                                   : Lanes::of(0.5f) * ranked(middle - 1) + Lanes::of(0.5f) * ranked(middle);
    Lanes sum = Lanes::of(static_cast<float>(2 * c)) * median;
    for (int64_t rank = 0; rank < middle - 2 * c; ++rank) sum = sum + ranked(rank);
    for (int64_t rank = std::max<int64_t>(0, middle - 2 * c); rank < std::min(middle, batch - 2 * c);
         ++rank) {
        const Lanes below = ranked(rank), above = ranked(rank + 2 * c);
        sum = sum + where_at_most(median - below, above - median, above, below);
    }
    for (int64_t rank = middle + 2 * c; rank < batch; ++rank) sum = sum + ranked(rank);
    return sum;
}

// The same sums for any c, by sorting the tile's values; `values` has room for batch × WIDTH.
void sorted(const Coefficients& of, int64_t row, const float* tile, int64_t c, Ends ends, float* values,
            float* out) {
    const int64_t zeros = of.zeros(row), n = of.batch - zeros;
    for (int64_t j = 0; j < n; ++j) {
        const Coefficient& entry = j < of.positive[row] ? of.row(row)[j] : of.row(row)[j + zeros];
        for (int i = 0; i < WIDTH; ++i) values[j * WIDTH + i] = entry.value * tile[entry.vector + i];
    }
    sort_by(n, [&](int64_t i, int64_t j) INLINED {
        for (int v = 0; v < WIDTH; v += Lanes::count) {
            const Lanes x = Lanes::load(values + i * WIDTH + v), y = Lanes::load(values + j * WIDTH + v);
            smaller(x, y).store(values + i * WIDTH + v);
            larger(x, y).store(values + j * WIDTH + v);
        }
    });
    for (int v = 0; v < WIDTH; v += Lanes::count) {
        // Among the zeros a value has its own rank if it is negative, and is `zeros` ranks on if it is
        // positive.
        const auto ranked = [&](int64_t rank) INLINED {
            const Lanes zero = Lanes::of(0);
            const Lanes low = rank < n ? smaller(Lanes::load(values + rank * WIDTH + v), zero) : zero;
            return rank < zeros ? low : larger(Lanes::load(values + (rank - zeros) * WIDTH + v), low);
        };
        if (ends == Ends::inliers) {
            sum_without_inliers(ranked, of.batch, c).store(out + v);
            continue;
        }
        Lanes sum = Lanes::of(0);
        for (int64_t rank = c; rank < of.batch - c; ++rank) sum = sum + ranked(rank);
        if (ends == Ends::clipped) {
            sum = sum + Lanes::of(static_cast<float>(c)) * (ranked(c) + ranked(of.batch - 1 - c));
        }
        sum.store(out + v);
    }
}

// ---- All rows and tiles ----

// Where the sums go: to[row·row_stride + lane·lane_stride] = (add ? what is there : 0) + scale · sum.
struct Target {
    float* to;
    int64_t row_stride;
    int64_t lane_stride;
    float scale;
    bool add;
};

void write_block(const Target& target, int64_t first, int64_t rows, int64_t tile, int64_t lanes,
                 const float (*sums)[WIDTH]) {
    float* to = target.to + first * target.row_stride + tile * WIDTH * target.lane_stride;
    const auto write = [&](int64_t r, int64_t lane) {
        float& at = to[r * target.row_stride + lane * target.lane_stride];
        at = (target.add ? at : 0.0f) + target.scale * sums[r][lane];
    };
    if (target.lane_stride == 1) {
        const Lanes scale = Lanes::of(target.scale);
        for (int64_t r = 0; r < rows; ++r) {
            float* row = to + r * target.row_stride;
            int64_t lane = 0;
            for (; lane + Lanes::count <= lanes; lane += Lanes::count) {
                const Lanes was = target.add ? Lanes::load(row + lane) : Lanes::of(0);
                (was + scale * Lanes::load(sums[r] + lane)).store(row + lane);
            }
            for (; lane < lanes; ++lane) write(r, lane);
        }
    } else {
        for (int64_t lane = 0; lane < lanes; ++lane)
            for (int64_t r = 0; r < rows; ++r) write(r, lane);
    }
}

// The sums of the products of two factors, and where they go.
struct Sums {
    Factor coefficients, vectors;
    Target target;
    float* tiles = nullptr;  // the vectors as [tile][example][WIDTH], 0 beyond the last lane

    int64_t tile_count() const { return (vectors.width + WIDTH - 1) / WIDTH; }

    void copy_tile(int64_t tile) const {
        const int64_t lanes = std::min<int64_t>(WIDTH, vectors.width - tile * WIDTH);
        for (int64_t b = 0; b < vectors.batch; ++b) {
            float* row = tiles + (tile * vectors.batch + b) * WIDTH;
            std::copy_n(vectors.data + b * vectors.width + tile * WIDTH, lanes, row);
            std::fill(row + lanes, row + WIDTH, 0.0f);
        }
    }
};

void sum_products(std::vector<Sums> all, int64_t c, Ends ends) {
    const int64_t batch = all[0].vectors.batch, threads = at::get_num_threads();
    struct Part {
        const Sums* of;
        int64_t first, rows;
    };
    std::vector<Part> copies, blocks;
    for (Sums& sums : all) {
        for (int64_t tile = 0; tile < sums.tile_count(); ++tile) copies.push_back({&sums, tile, 1});
        const int64_t width = sums.coefficients.width;
        const int64_t rows = std::clamp<int64_t>(width / (2 * threads), 1, MOST_ROWS);
        for (int64_t first = 0; first < width; first += rows) {
            blocks.push_back({&sums, first, std::min(rows, width - first)});
        }
    }
    const int64_t copied = copies.size(), count = blocks.size(), tile_size = batch * WIDTH;
    const at::Tensor tiles = at::empty({copied * tile_size}, at::kFloat);
    float* at = tiles.mutable_data_ptr<float>();
    for (Sums& sums : all) sums.tiles = std::exchange(at, at + sums.tile_count() * tile_size);
    // Shared among threads when there is a lot to copy: to start and join them costs microseconds, and
    // milliseconds where they compete for cores.
    at::parallel_for(0, copied, 1 + (1 << 16) / tile_size, [&](int64_t begin, int64_t end) {
        for (int64_t j = begin; j < end; ++j) copies[j].of->copy_tile(copies[j].first);
    });
    const bool listed = c <= MOST_LISTED && ends != Ends::inliers;

    // Each worker takes the next block: rows differ in how much there is to visit.
    std::atomic<int64_t> next{0};
    at::parallel_for(0, std::min(threads, count), 1, [&](int64_t, int64_t) {
        Coefficients of(batch, c, listed);
        std::vector<float> values(listed ? 0 : tile_size);
        float sums[MOST_ROWS][WIDTH];
        for (int64_t block = next++; block < count; block = next++) {
            const auto& [job, first, rows] = blocks[block];
            of.read(job->coefficients, first, rows, job->vectors.negative);
            for (int64_t tile = 0; tile < job->tile_count(); ++tile) {
                const float* at_tile = job->tiles + tile * tile_size;
                for (int64_t r = 0; r < rows; ++r) {
                    if (ends == Ends::inliers && 2 * of.zeros(r) > batch && of.zeros(r) >= 2 * c) {
                        LISTED[0](of, r, at_tile, Ends::trimmed, sums[r]);  // the median is 0, as the 2c are
                    } else if (ends != Ends::inliers && of.zeros(r) >= batch - c) {
                        std::fill_n(sums[r], WIDTH, 0.0f);  // all that is not 0 is clipped to 0
                    } else if (!listed) {
                        sorted(of, r, at_tile, c, ends, values.data(), sums[r]);
                    } else {
                        LISTED[c](of, r, at_tile, ends, sums[r]);
                    }
                }
                const int64_t lanes = std::min<int64_t>(WIDTH, job->vectors.width - tile * WIDTH);
                write_block(job->target, first, rows, tile, lanes, sums);
            }
        }
    });
}

// ---- Values that were formed ----

// The sums of the values of WIDTH parameters, an example every `stride`; NaN where one is not finite.
template <int C>
void listed_values(const float* values, int64_t stride, int64_t batch, Ends ends, float* out) {
    using Vector = std::conditional_t<(C < 3), Pair, Lanes>;
    for (int i = 0; i < WIDTH; i += Vector::count) {
        Vector odd = Vector::of(0);
        const auto value = [&](int64_t b) INLINED {
            const Vector x = Vector::load(values + b * stride + i);
            odd = add_product(odd, x, Vector::of(0));
            return x;
        };
        const Vector sum = sum_of_all<C, Vector>(int64_t{0}, batch, ends, value);
        (sum + odd).store(out + i);
    }
}

using ValueSum = void (*)(const float* values, int64_t stride, int64_t batch, Ends, float* out);

template <std::size_t... C>
constexpr std::array<ValueSum, sizeof...(C)> listed_values_for(std::index_sequence<C...>) {
    return {listed_values<static_cast<int>(C)>...};
}
constexpr auto LISTED_VALUES = listed_values_for(std::make_index_sequence<MOST_LISTED + 1>());

// The means over the rows of (batch, width); where they lie, unless values are sorted, or lanes are left
// over.
void mean_values(const float* values, int64_t batch, int64_t width, int64_t c, Ends ends, float* means) {
    const float count = static_cast<float>(ends == Ends::trimmed ? batch - 2 * c : batch);
    const bool listed = c <= MOST_LISTED;
    at::parallel_for(0, (width + WIDTH - 1) / WIDTH, 64, [&](int64_t begin, int64_t end) {
        std::vector<float> copy(batch * WIDTH), room(listed ? 0 : batch * WIDTH);
        Coefficients ones(batch, c, listed);
        ones.positive[0] = batch;
        ones.negative[0] = 0;
        for (int64_t b = 0; b < batch; ++b) ones.entries[b] = {1, static_cast<int32_t>(b * WIDTH)};
        float sums[WIDTH];
        for (int64_t tile = begin; tile < end; ++tile) {
            const float* const from = values + tile * WIDTH;
            const int64_t lanes = std::min<int64_t>(WIDTH, width - tile * WIDTH);
            const bool copied = !listed || lanes < WIDTH;
            for (int64_t b = 0; copied && b < batch; ++b) {
                std::copy_n(from + b * width, lanes, copy.data() + b * WIDTH);
            }
            if (listed) {
                LISTED_VALUES[c](copied ? copy.data() : from, copied ? WIDTH : width, batch, ends, sums);
            } else {
                float odd[WIDTH];  // 0, or NaN
                LISTED_VALUES[0](copy.data(), WIDTH, batch, Ends::trimmed, odd);
                sorted(ones, 0, copy.data(), c, ends, room.data(), sums);
                for (int lane = 0; lane < WIDTH; ++lane) sums[lane] += 0 * odd[lane];
            }
            for (int64_t lane = 0; lane < lanes; ++lane) means[tile * WIDTH + lane] = sums[lane] / count;
        }
    });
}

// ---- The operators ----

std::string shape(const at::Tensor& t) {
    std::string text = "(";
    for (int64_t d = 0; d < t.dim(); ++d) text += (d ? ", " : "") + std::to_string(t.size(d));
    return text + (t.dim() == 1 ? ",)" : ")");
}

void check_float(const char* name, const at::Tensor& t) {
    TORCH_CHECK_TYPE(t.scalar_type() == at::kFloat, name, " is ", t.scalar_type(), ": give float32");
    TORCH_CHECK_VALUE(t.device().is_cpu(), name, " is on ", t.device(),
                      ": this operator takes tensors on the CPU");
}

void check_finite(const char* name, const Factor& f) {
    if (f.finite) return;
    int64_t count = 0, first = -1;
    for (int64_t j = 0; j < f.batch * f.width; ++j) {
        if (!std::isfinite(f.data[j])) {
            if (count++ == 0) first = j;
        }
    }
    TORCH_CHECK_VALUE(false, name, ": ", count, " of ", f.batch * f.width,
                      " values are not finite, the first at (", first / f.width, ", ", first % f.width, ")");
}

void check_count(int64_t c, int64_t batch) {
    TORCH_CHECK_VALUE(batch > 0, "the minibatch is empty: give at least one example");
    TORCH_CHECK_VALUE(batch <= std::numeric_limits<int32_t>::max() / WIDTH, "a minibatch of ", batch,
                      " is too large for one call: give at most ",
                      std::numeric_limits<int32_t>::max() / WIDTH);
    TORCH_CHECK_VALUE(c >= 0 && c <= (batch - 1) / 2, "c = ", c, " with a minibatch of ", batch,
                      ": clipping c values on each side needs 0 <= 2c < ", batch, ", so c may be 0 to ",
                      (batch - 1) / 2);
}

void check_layer(const at::Tensor& inputs, const at::Tensor& output_gradients, int64_t c) {
    check_float("inputs", inputs);
    check_float("output_gradients", output_gradients);
    const std::string shapes = "inputs " + shape(inputs) + " and output_gradients " + shape(output_gradients);
    TORCH_CHECK_VALUE(inputs.dim() == 2 && output_gradients.dim() == 2, shapes,
                      ": give shapes (batch, in) and (batch, out)");
    const int64_t batch = inputs.size(0);
    TORCH_CHECK_VALUE(batch == output_gradients.size(0), shapes,
                      ": the number of examples, their first axis, must be the same");
    check_count(c, batch);
}

}  // namespace

void cgpipe::check_update(const at::Tensor& weight, const at::Tensor& bias, const at::Tensor& inputs,
                          const at::Tensor& output_gradients, int64_t c) {
    check_layer(inputs, output_gradients, c);
    check_float("weight", weight);
    check_float("bias", bias);
    at::assert_no_internal_overlap(weight);
    at::assert_no_internal_overlap(bias);
    TORCH_CHECK_VALUE(weight.dim() == 2 && weight.size(0) == output_gradients.size(1) &&
                          weight.size(1) == inputs.size(1) && bias.dim() == 1 &&
                          bias.size(0) == weight.size(0),
                      "weight ", shape(weight), " and bias ", shape(bias), ": a layer from ", inputs.size(1),
                      " to ", output_gradients.size(1), " has weight (", output_gradients.size(1), ", ",
                      inputs.size(1), ") and bias (", output_gradients.size(1), ",)");
}

void cgpipe::aggregate(const std::vector<Layer>& layers, int64_t c, Ends ends, float scale, bool add) {
    const int64_t batch = layers[0].inputs.size(0);
    const at::Tensor one = at::ones({batch, 1}, at::kFloat);
    std::vector<at::Tensor> kept{one};
    for (const Layer& layer : layers) {
        kept.push_back(layer.inputs.contiguous());
        kept.push_back(layer.output_gradients.contiguous());
    }
    std::vector<Factor> factors(kept.begin(), kept.end());
    at::parallel_for(0, factors.size(), 1, [&](int64_t begin, int64_t end) {
        for (int64_t j = begin; j < end; ++j) factors[j].look_over();
    });
    const float of_sum = scale / static_cast<float>(ends == Ends::trimmed ? batch - 2 * c : batch);
    std::vector<Sums> weights, biases;
    for (size_t l = 0; l < layers.size(); ++l) {
        const Factor &a = factors[2 * l + 1], &δ = factors[2 * l + 2];
        check_finite("inputs", a);
        check_finite("output_gradients", δ);
        at::Tensor weight = layers[l].weight, bias = layers[l].bias;
        float* to = weight.mutable_data_ptr<float>();
        if (δ.visits(a) <= a.visits(δ)) {
            weights.push_back({δ, a, {to, weight.stride(0), weight.stride(1), of_sum, add}});
        } else {
            weights.push_back({a, δ, {to, weight.stride(1), weight.stride(0), of_sum, add}});
        }
        biases.push_back({factors[0], δ, {bias.mutable_data_ptr<float>(), 0, bias.stride(0), of_sum, add}});
    }
    weights.insert(weights.end(), biases.begin(), biases.end());
    if (batch <= MOST_TOGETHER) return sum_products(weights, c, ends);
    for (const Sums& sums : weights) sum_products({sums}, c, ends);
}

namespace {

using cgpipe::aggregate, cgpipe::check_update;

using Gradient = std::tuple<at::Tensor, at::Tensor>;

Gradient gradient(const at::Tensor& inputs, const at::Tensor& output_gradients, int64_t c, Ends ends) {
    check_layer(inputs, output_gradients, c);
    at::Tensor weight = at::empty({output_gradients.size(1), inputs.size(1)}, at::kFloat);
    at::Tensor bias = at::empty({output_gradients.size(1)}, at::kFloat);
    aggregate({{inputs, output_gradients, weight, bias}}, c, ends, 1.0f, false);
    return {weight, bias};
}

Gradient winsorized_linear_gradient(const at::Tensor& inputs, const at::Tensor& output_gradients, int64_t c,
                                    bool trimmed) {
    return gradient(inputs, output_gradients, c, trimmed ? Ends::trimmed : Ends::clipped);
}

Gradient inlier_clipped_linear_gradient(const at::Tensor& inputs, const at::Tensor& output_gradients,
                                        int64_t c) {
    return gradient(inputs, output_gradients, c, Ends::inliers);
}

at::Tensor winsorized_values(const at::Tensor& values, int64_t c, bool trimmed) {
    check_float("values", values);
    TORCH_CHECK_VALUE(values.dim() == 2, "values ", shape(values), ": give shape (batch, parameters)");
    check_count(c, values.size(0));
    const at::Tensor rows = values.contiguous();
    const int64_t batch = rows.size(0), width = rows.size(1);
    const at::Tensor means = at::empty({width}, at::kFloat);
    mean_values(rows.const_data_ptr<float>(), batch, width, c, trimmed ? Ends::trimmed : Ends::clipped,
                means.mutable_data_ptr<float>());
    return means;
}

void winsorized_linear_update_(at::Tensor weight, at::Tensor bias, const at::Tensor& inputs,
                               const at::Tensor& output_gradients, int64_t c, double rate, bool trimmed) {
    check_update(weight, bias, inputs, output_gradients, c);
    const Ends ends = trimmed ? Ends::trimmed : Ends::clipped;
    aggregate({{inputs, output_gradients, weight, bias}}, c, ends, -static_cast<float>(rate), true);
}

}  // namespace

TORCH_LIBRARY_IMPL(cgpipe, CPU, library) {
    library.impl("winsorized_linear_gradient", &winsorized_linear_gradient);
    library.impl("winsorized_values", &winsorized_values);
    library.impl("winsorized_linear_update_", &winsorized_linear_update_);
    library.impl("inlier_clipped_linear_gradient", &inlier_clipped_linear_gradient);
}
