// Chosen windows and their adjoint. The map along one pair of axes is, as in the plan,
// node = (p * y + q * j) / d with j twice the centred cell, so nothing depends on the grid.

struct Axis {
    const int* cell;         // (cells_out, 2)
    const SUM* cell_weight;  // (cells_out, 2)
    const SUM* missing;      // (cells_out,)
    int cells_out, cells_in, nodes_in;
};

struct Map { int64 p, q, d; };

template <class Integer>
__device__ __forceinline__ Integer floor_divide(Integer a, Integer b) {
    return a / b - (a % b < 0);
}

// Four taps of each of `count` output cells from `first` on, as offsets and weights of width count.
struct Taps { int64* offset; SUM* weight; SUM* missing; };

__device__ void find_taps(const Axis& axis, const Map& map, int64 at, int first, int count,
                          int64 cell_step, int64 node_step, const Taps& taps) {
    for (int i = threadIdx.x; i < count; i += blockDim.x) {
        const int cell = first + i;
        const int64 numerator = map.p * at + map.q * (2 * cell - (axis.cells_out - 1));
        const int64 low = floor_divide(numerator, map.d);
        const SUM fraction = (SUM)(numerator - low * map.d) / (SUM)map.d;
        SUM missing = axis.missing[cell];
        for (int k = 0; k < 4; ++k) {
            const int64 node = low + k % 2;
            const SUM weight = axis.cell_weight[2 * cell + k / 2] * (k % 2 ? fraction : 1 - fraction);
            const bool inside = node >= 0 && node < axis.nodes_in;
            if (!inside) missing += weight;
            taps.weight[k * count + i] = inside ? weight : 0;
            taps.offset[k * count + i] =
                axis.cell[2 * cell + k / 2] * cell_step + (inside ? node : 0) * node_step;
        }
        taps.missing[i] = missing;
    }
}

__device__ Taps reserve(unsigned char*& memory, int count) {
    Taps taps;
    taps.offset = (int64*)memory;
    taps.weight = (SUM*)(taps.offset + 4 * count);
    taps.missing = taps.weight + 4 * count;
    memory = (unsigned char*)(taps.offset + 4 * count + 5 * count);
    return taps;
}

// A block owns a tile of cells of one window; a batch index out of range makes it NaN.
extern "C" __global__ void __launch_bounds__(256)
windows(const STORED* __restrict__ x, const int64* __restrict__ index, STORED* __restrict__ out,
        const int* __restrict__ v_cell, const SUM* __restrict__ v_weight,
        const SUM* __restrict__ v_missing, const int* __restrict__ u_cell,
        const SUM* __restrict__ u_weight, const SUM* __restrict__ u_missing,
        int64 blocks, int64 batch, int64 v_in, int64 u_in, int64 h_in, int64 w_in, int64 v_out,
        int64 u_out, int64 tile_v, int64 tile_u, int64 p, int64 q, int64 d, double pad_value) {
    extern __shared__ __align__(16) unsigned char memory[];
    unsigned char* free = memory;
    const Taps rows = reserve(free, tile_v), columns = reserve(free, tile_u);
    const Axis v_axis = {v_cell, v_weight, v_missing, (int)v_out, (int)v_in, (int)h_in};
    const Axis u_axis = {u_cell, u_weight, u_missing, (int)u_out, (int)u_in, (int)w_in};
    const int64 across = (u_out + tile_u - 1) / tile_u, down = (v_out + tile_v - 1) / tile_v;
    for (int64 block = blockIdx.x; block < blocks; block += gridDim.x) {
        const int64 window = block / across / down, *at = index + 3 * window;
        const int v = block / across % down * tile_v, u = block % across * tile_u;
        const int rows_here = min(tile_v, v_out - v), columns_here = min(tile_u, u_out - u);
        find_taps(v_axis, Map{p, q, d}, at[1], v, rows_here, u_in * h_in * w_in, w_in, rows);
        find_taps(u_axis, Map{p, q, d}, at[2], u, columns_here, h_in * w_in, 1, columns);
        __syncthreads();
        const bool legal = at[0] >= 0 && at[0] < batch;
        const STORED* image = x + (legal ? at[0] : 0) * v_in * u_in * h_in * w_in;
        for (int i = threadIdx.x; i < rows_here * columns_here; i += blockDim.x) {
            const int r = i / columns_here, c = i % columns_here;
            SUM sum = legal ? 0 : __int_as_float(0x7fffffff);
            for (int j = 0; j < 4 && legal; ++j) {
                const SUM down_weight = rows.weight[j * rows_here + r];
                const STORED* row = image + rows.offset[j * rows_here + r];
                for (int k = 0; k < 4; ++k) {
                    const SUM weight = down_weight * columns.weight[k * columns_here + c];
                    if (weight != 0)
                        sum += weight * widen(row[columns.offset[k * columns_here + c]]);
                }
            }
            if (pad_value != 0) sum += padding(rows.missing[r], columns.missing[c], (SUM)pad_value);
            narrow(sum, out[(window * v_out + v + r) * u_out + u + c]);
        }
        __syncthreads();
    }
}

// The output cells [first, last) that read an input cell, of these the ones that read a node.
struct Span { int first, last; };

// j of cell i is 2 * i - (cells - 1); wanted are the cells where |rest + q * j| < d.
__device__ __forceinline__ Span reach(int rest, int q, int d, int cells, Span span) {
    if (q == 0) return rest > -d && rest < d ? span : Span{0, 0};
    if (q < 0) { q = -q; rest = -rest; }
    const int low = floor_divide(-d - rest, q) + 1, high = -floor_divide(rest - d, q) - 1;
    const int first = -floor_divide(-(low + cells - 1), 2);
    const int last = floor_divide(high + cells - 1, 2) + 1;
    return {max(first, span.first), min(last, span.last)};
}

__device__ __forceinline__ SUM tap_weight(const Axis& axis, const Map& map, int cell, int cell_in,
                                          int rest) {
    const int distance = abs(rest + (int)map.q * (2 * cell - (axis.cells_out - 1)));
    SUM weight = 0;
    for (int k = 0; k < 2; ++k)
        if (axis.cell[2 * cell + k] == cell_in) weight += axis.cell_weight[2 * cell + k];
    return weight * (1 - (SUM)distance / (SUM)map.d);
}

// Whether some cell of the span reads a node of [from, to) when the window stands at `at`.
__device__ __forceinline__ bool touches(const Axis& axis, const Map& map, int64 at, Span span,
                                        int64 from, int64 to) {
    if (span.last <= span.first) return false;
    const int64 one = map.q * (2 * span.first - (axis.cells_out - 1));
    const int64 other = map.q * (2 * (span.last - 1) - (axis.cells_out - 1));
    return map.p * at + max(one, other) > map.d * (from - 1) &&
           map.p * at + min(one, other) < map.d * to;
}

// A block owns SAMPLES per thread of one plane (image, v, u), walks the windows of its image in
// their order and writes each sample once: deterministic, summed in SUM, zero where nothing reads.
constexpr int SAMPLES = 8;

extern "C" __global__ void __launch_bounds__(256, 2)
windows_adjoint(const STORED* __restrict__ g, const int64* __restrict__ index,
                const int64* __restrict__ order, const int64* __restrict__ start,
                STORED* __restrict__ out,
                const int* __restrict__ v_cell, const SUM* __restrict__ v_weight,
                const int* __restrict__ v_span, const int* __restrict__ u_cell,
                const SUM* __restrict__ u_weight, const int* __restrict__ u_span,
                int64 blocks, int64 tiles, int64 v_in, int64 u_in, int64 h_in, int64 w_in,
                int64 v_out, int64 u_out, int64 p, int64 q, int64 d) {
    const Axis v_axis = {v_cell, v_weight, nullptr, (int)v_out, (int)v_in, (int)h_in};
    const Axis u_axis = {u_cell, u_weight, nullptr, (int)u_out, (int)u_in, (int)w_in};
    const Map map = {p, q, d};
    for (int64 block = blockIdx.x; block < blocks; block += gridDim.x) {
        const int64 plane = block / tiles, image = plane / (v_in * u_in);
        const int u = plane % u_in, v = plane / u_in % v_in;
        const Span v_all = {v_span[2 * v], v_span[2 * v + 1]};
        const Span u_all = {u_span[2 * u], u_span[2 * u + 1]};
        const int64 first = block % tiles * SAMPLES * blockDim.x;
        const int64 last = min(first + SAMPLES * (int64)blockDim.x, h_in * w_in);
        SUM sums[SAMPLES] = {};
        int node_y[SAMPLES], node_x[SAMPLES];
#pragma unroll
        for (int k = 0; k < SAMPLES; ++k) {
            const int64 sample = min(first + k * (int64)blockDim.x + threadIdx.x, last - 1);
            node_y[k] = sample / w_in, node_x[k] = sample % w_in;
        }
        for (int64 i = start[image]; i < start[image + 1]; ++i) {
            const int64 window = order[i], y = index[3 * window + 1], x = index[3 * window + 2];
            if (!touches(v_axis, map, y, v_all, first / w_in, (last - 1) / w_in + 1)) continue;
            if (!touches(u_axis, map, x, u_all, 0, w_in)) continue;
            const STORED* source = g + window * v_out * u_out;
#pragma unroll
            for (int k = 0; k < SAMPLES; ++k) {
                if (!touches(v_axis, map, y, v_all, node_y[k], node_y[k] + 1) ||
                    !touches(u_axis, map, x, u_all, node_x[k], node_x[k] + 1))
                    continue;
                const int rest_y = p * y - d * node_y[k], rest_x = p * x - d * node_x[k];
                const Span down = reach(rest_y, q, d, v_out, v_all);
                const Span across = reach(rest_x, q, d, u_out, u_all);
                for (int i_v = down.first; i_v < down.last; ++i_v) {
                    SUM row = 0;
                    for (int i_u = across.first; i_u < across.last; ++i_u)
                        row += tap_weight(u_axis, map, i_u, u, rest_x) *
                               widen(source[i_v * u_out + i_u]);
                    sums[k] += tap_weight(v_axis, map, i_v, v, rest_y) * row;
                }
            }
        }
#pragma unroll
        for (int k = 0; k < SAMPLES; ++k) {
            const int64 sample = first + k * (int64)blockDim.x + threadIdx.x;
            if (sample < last) narrow(sums[k], out[plane * h_in * w_in + sample]);
        }
    }
}
