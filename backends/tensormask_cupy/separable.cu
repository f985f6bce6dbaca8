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

template <int WIDTH> struct alignas(WIDTH * sizeof(STORED)) Pack { STORED of[WIDTH]; };

template <int WIDTH>
__device__ void blend_rows(const STORED* x, const int* first, const int64* from, const SUM* weight,
                           const Tile& tile, const Layout& layout, int64 plane, Sums* shared) {
    const unsigned packs = tile.nodes_in / WIDTH;
    const Divisor by_packs(packs), by_stride(layout.stride);
    for (unsigned i = threadIdx.x; i < tile.cells_in * packs; i += blockDim.x) {
        const int cell = by_packs.quotient(i), node = (i - cell * packs) * WIDTH;
        const STORED* column = x + (tile.cell_in + cell) * plane + tile.node_in + node;
        Sums sums[WIDTH] = {};
#pragma unroll
        for (int row = 0; row < ROWS; ++row) {
#pragma unroll 4
            for (int tap = first[row]; tap < first[row + 1]; ++tap) {
                const Pack<WIDTH> pack = *(const Pack<WIDTH>*)(column + from[tap]);
#pragma unroll
                for (int k = 0; k < WIDTH; ++k) sums[k].of[row] += weight[tap] * widen(pack.of[k]);
            }
        }
#pragma unroll
        for (int k = 0; k < WIDTH; ++k)
            shared[layout.position(cell, node + k, by_stride)] = sums[k];
    }
}

extern "C" __global__ void __launch_bounds__(512, 2)
separable(const STORED* __restrict__ x, STORED* __restrict__ out,
          // rows: taps of row i are first[i] .. first[i + 1]; from and to are offsets in x and out
          const int* __restrict__ first, const int64* __restrict__ from,
          const SUM* __restrict__ row_weight, const int64* __restrict__ to,
          const SUM* __restrict__ row_missing,
          // columns: taps of (cell, phase), each at a place in the layout and a node before it moves
          const int* __restrict__ place, const int* __restrict__ node,
          const SUM* __restrict__ column_weight, const SUM* __restrict__ cell_missing,
          const Tile* __restrict__ tiles,
          int64 blocks, int64 groups, int64 tile_count, int64 image_in, int64 image_out,
          int64 plane_in, int64 plane_out, int64 nodes_in, int64 nodes_out, int64 phases,
          int64 stride, int64 taps, int64 layout_stride, int64 run, int64 pitch, int64 slots, int64 width,
          double pad_value) {
    extern __shared__ __align__(16) unsigned char memory[];
    Sums* shared = (Sums*)memory;
    const Layout layout = {(int)layout_stride, (int)run, (int)pitch};
    const Divisor by_phases(phases);
    for (int64 block = blockIdx.x; block < blocks; block += gridDim.x) {
        const int64 group = block / tile_count % groups, image = block / tile_count / groups;
        const Tile tile = tiles[block % tile_count];
        const STORED* source = x + image * image_in;
        if (threadIdx.x == 0) shared[slots] = Sums{};  // what taps outside the grid read
        if (width > 1)
            blend_rows<16 / sizeof(STORED) < 4 ? 16 / sizeof(STORED) : 4>(
                source, first + group * ROWS, from, row_weight, tile, layout, plane_in, shared);
        else
            blend_rows<1>(source, first + group * ROWS, from, row_weight, tile, layout, plane_in,
                          shared);
        __syncthreads();
        const Divisor by_nodes(tile.nodes_out);
        const int origin = tile.cell_in * (int)pitch + tile.node_in / layout.stride;
        const int step = (int)stride / layout.stride;  // in the layout, per turn
        for (unsigned i = threadIdx.x; i < tile.cells_out * tile.nodes_out; i += blockDim.x) {
            const int down = by_nodes.quotient(i);
            const int cell = tile.cell_out + down, x_out = tile.node_out + i - down * tile.nodes_out;
            const int turn = by_phases.quotient(x_out), phase = x_out - turn * (int)phases;
            const int entry = (cell * (int)phases + phase) * (int)taps;
            Sums sums = {};
            SUM missing = cell_missing[cell];
            for (int tap = entry; tap < entry + taps; ++tap) {
                const bool inside = (unsigned)(node[tap] + turn * (int)stride) < nodes_in;
                const Sums read = shared[inside ? place[tap] + turn * step - origin : (int)slots];
                const SUM weight = column_weight[tap];
                if (!inside) missing += weight;
#pragma unroll
                for (int row = 0; row < ROWS; ++row) sums.of[row] += weight * read.of[row];
            }
#pragma unroll
            for (int row = 0; row < ROWS; ++row) {
                const int64 start = to[group * ROWS + row];
                if (start < 0) continue;
                SUM sum = sums.of[row];
                if (pad_value != 0) sum += padding(row_missing[group * ROWS + row], missing,
                                                   (SUM)pad_value);
                narrow(sum, out[image * image_out + start + cell * plane_out + x_out]);
            }
        }
        __syncthreads();
    }
}
