// The dense transform and its adjoint are the same kernel with other tables: an output row (v, y)
// is a weighted sum of input rows, an output column (u, x) a weighted sum of input columns.
//
// A block owns ROWS output rows, chosen so that they share input rows, and one tile of columns.
// First it blends the input rows into shared memory, reading along W; then it blends columns out
// of shared memory, writing along W'. The ROWS sums of a column lie side by side there, so one
// load fetches a tap for all of them, and indices are computed once for all of them.

constexpr int ROWS = 4;

struct alignas(4 * sizeof(SUM) < 16 ? 4 * sizeof(SUM) : 16) Sums { SUM of[ROWS]; };

// Input columns of a tile in shared memory. Node n of a cell stands at (n mod stride) * run +
// n div stride: nodes that neighbouring outputs read become neighbours, whatever the stride is.
// With an odd run, and a skip per 8 phases, no access meets another one in a memory bank.
struct Layout {
    int stride, run, pitch;
    __device__ __forceinline__ int position(int cell, int node, const Divisor& strides) const {
        const int turn = strides.quotient(node), phase = node - turn * stride;
        return cell * pitch + phase * run + (phase >> 3) + turn;
    }
};

struct Tile { int cell_out, cells_out, node_out, nodes_out, cell_in, cells_in, node_in, nodes_in; };

// Neighbouring nodes that are read at once.
template <class Number, int WIDTH> struct alignas(WIDTH * sizeof(Number)) Numbers {
    Number of[WIDTH];
    __device__ __forceinline__ SUM at(int k) const { return widen(of[k]); }
};

// As words, because taking halves out of them costs one instruction instead of two.
template <> struct alignas(8) Numbers<bfloat16, 4> {
    unsigned words[2];
    __device__ __forceinline__ SUM at(int k) const {
        return __uint_as_float(k % 2 ? words[k / 2] & 0xffff0000u : words[k / 2] << 16);
    }
};

template <int WIDTH> using Pack = Numbers<STORED, WIDTH>;

template <int WIDTH>
__device__ __forceinline__ Pack<WIDTH> read_pack(const STORED* column, int64 bytes) {
    return *(const Pack<WIDTH>*)((const char*)column + bytes);
}

// Rows as lists: the taps of row i are first[i] .. first[i + 1] of source, in bytes, and weight.
template <int WIDTH>
__device__ __forceinline__ void read_lists(const STORED* column, const int* first,
                                           const int64* source, const SUM* weight,
                                           Sums (&sums)[WIDTH]) {
#pragma unroll
    for (int row = 0; row < ROWS; ++row) {
#pragma unroll 4
        for (int tap = first[row]; tap < first[row + 1]; ++tap) {
            const Pack<WIDTH> pack = read_pack<WIDTH>(column, source[tap]);
#pragma unroll
            for (int k = 0; k < WIDTH; ++k) sums[k].of[row] += weight[tap] * pack.at(k);
        }
    }
}

// Rows as a stencil: 2 x 2 rows read 2 x 2 of 3 x 3 rows each. A source of -1 is no row, and a
// weight of 0 no tap: infinity there must not become NaN.
template <int WIDTH>
__device__ __forceinline__ void read_stencil(const STORED* column, const int64* source,
                                             const Sums* weight, Sums (&sums)[WIDTH]) {
    Pack<WIDTH> packs[9];  // all on their way before the first is needed
#pragma unroll
    for (int corner = 0; corner < 9; ++corner)
        packs[corner] = source[corner] < 0 ? Pack<WIDTH>{} : read_pack<WIDTH>(column, source[corner]);
#pragma unroll
    for (int row = 0; row < ROWS; ++row) {
        const Sums weights = weight[row];
#pragma unroll
        for (int tap = 0; tap < 4; ++tap) {
            const Pack<WIDTH>& pack = packs[(row / 2 + tap / 2) * 3 + row % 2 + tap % 2];
            const SUM of_tap = weights.of[tap];
#pragma unroll
            for (int k = 0; k < WIDTH; ++k)
                if (of_tap != 0) sums[k].of[row] += of_tap * pack.at(k);
        }
    }
}

struct RowTables { const int* first; const int64* source; const SUM* weight; bool stencil; };

template <int WIDTH>
__device__ void blend_rows(const STORED* x, const RowTables& rows, int64 group, const Tile& tile,
                           const Layout& layout, int64 plane, Sums* shared) {
    const unsigned packs = tile.nodes_in / WIDTH;
    const Divisor by_packs(packs), by_stride(layout.stride);
    for (unsigned i = threadIdx.x; i < tile.cells_in * packs; i += blockDim.x) {
        const int cell = by_packs.quotient(i), node = (i - cell * packs) * WIDTH;
        const STORED* column = x + (tile.cell_in + cell) * plane + tile.node_in + node;
        Sums sums[WIDTH] = {};
        if (rows.stencil)
            read_stencil(column, rows.source + group * 9, (const Sums*)rows.weight + group * ROWS,
                         sums);
        else
            read_lists(column, rows.first + group * ROWS, rows.source, rows.weight, sums);
#pragma unroll
        for (int k = 0; k < WIDTH; ++k)
            shared[layout.position(cell, node + k, by_stride)] = sums[k];
    }
}

// A tap of a column as one load: where it stands in the layout, and its node, both of turn 0.
struct alignas(16) ColumnTap { int place, node; SUM weight; };

// What a column of the output reads, and the weight that its taps outside the grid have.
struct Column { Sums sums; SUM missing; };

struct Reach { int step, turn, origin, outside; unsigned nodes; };

// COUNT is the number of taps where it is known to the compiler; 0 where it is not.
template <int COUNT>
__device__ __forceinline__ Column blend_taps(const ColumnTap* __restrict__ taps, int any_count,
                                             int stride, const Reach& reach, const Sums* shared) {
    const int count = COUNT ? COUNT : any_count;
    Column column = {};
    const int shift = reach.turn * reach.step - reach.origin, moved = reach.turn * stride;
#pragma unroll 4
    for (int i = 0; i < count; ++i) {
        const ColumnTap tap = taps[i];
        const bool inside = (unsigned)(tap.node + moved) < reach.nodes;
        const Sums read = shared[inside ? tap.place + shift : reach.outside];
        if (!inside) column.missing += tap.weight;
#pragma unroll
        for (int row = 0; row < ROWS; ++row) column.sums.of[row] += tap.weight * read.of[row];
    }
    return column;
}

__device__ __forceinline__ Column blend_column(const ColumnTap* __restrict__ taps, int count,
                                               int stride, const Reach& reach,
                                               const Sums* shared) {
    if (count == 1) return blend_taps<1>(taps, count, stride, reach, shared);
    if (count == 2) return blend_taps<2>(taps, count, stride, reach, shared);
    if (count == 4) return blend_taps<4>(taps, count, stride, reach, shared);
    return blend_taps<0>(taps, count, stride, reach, shared);
}

extern "C" __global__ void __launch_bounds__(320, 2)
separable(const STORED* __restrict__ x, STORED* __restrict__ out,
          const int* __restrict__ first, const int64* __restrict__ row_source,
          const SUM* __restrict__ row_weight,  // of lists or stencils
          // where each row begins in an image of out, in bytes, and what it lacks
          const int64* __restrict__ target, const SUM* __restrict__ row_missing,
          const ColumnTap* __restrict__ column_taps, const SUM* __restrict__ cell_missing,
          const Tile* __restrict__ tiles,
          int64 blocks, int64 groups, int64 tile_count, int64 image_in, int64 image_out,
          int64 plane_in, int64 plane_out, int64 nodes_in, int64 phases, int64 stride,
          int64 taps, int64 layout_stride, int64 run, int64 pitch, int64 slots, int64 width,
          int64 stencil, double pad_value) {
    extern __shared__ __align__(16) unsigned char memory[];
    Sums* shared = (Sums*)memory;
    const Layout layout = {(int)layout_stride, (int)run, (int)pitch};
    const RowTables rows = {first, row_source, row_weight, stencil != 0};
    const Divisor by_phases(phases);
    const bool padded = pad_value != 0;
    for (int64 block = blockIdx.x; block < blocks; block += gridDim.x) {
        const int64 group = block / tile_count % groups, image = block / tile_count / groups;
        const int64 row = group * ROWS;
        const Tile tile = tiles[block % tile_count];
        const STORED* source = x + image * image_in;
        if (threadIdx.x == 0) shared[slots] = Sums{};  // what taps outside the grid read
        constexpr int WIDEST = 16 / sizeof(STORED) < 4 ? 16 / sizeof(STORED) : 4;
        if (width > 1)
            blend_rows<WIDEST>(source, rows, group, tile, layout, plane_in, shared);
        else
            blend_rows<1>(source, rows, group, tile, layout, plane_in, shared);
        __syncthreads();
        int64 start[ROWS];
        SUM missing[ROWS];
        for (int k = 0; k < ROWS; ++k) start[k] = target[row + k], missing[k] = row_missing[row + k];
        const Divisor by_nodes(tile.nodes_out);
        Reach reach = {(int)stride / layout.stride, 0,
                       tile.cell_in * layout.pitch + tile.node_in / layout.stride, (int)slots,
                       (unsigned)nodes_in};
        STORED* image_of_out = out + image * image_out;
        for (unsigned i = threadIdx.x; i < tile.cells_out * tile.nodes_out; i += blockDim.x) {
            const int down = by_nodes.quotient(i), cell = tile.cell_out + down;
            const int node = tile.node_out + i - down * tile.nodes_out;
            reach.turn = by_phases.quotient(node);
            const int entry = cell * (int)phases + node - reach.turn * (int)phases;
            Column column =
                blend_column(column_taps + entry * (int)taps, taps, stride, reach, shared);
            if (padded) {
                column.missing += cell_missing[cell];
                for (int k = 0; k < ROWS; ++k)
                    column.sums.of[k] += padding(missing[k], column.missing, (SUM)pad_value);
            }
            char* to = (char*)(image_of_out + cell * plane_out + node);
#pragma unroll
            for (int k = 0; k < ROWS; ++k)
                if (start[k] >= 0) narrow(column.sums.of[k], *(STORED*)(to + start[k]));
        }
        __syncthreads();
    }
}
