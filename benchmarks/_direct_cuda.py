"""The direct kernel of swap_align2nat on CUDA, as the operator was published.

One thread per output reads its 16 taps; the adjoint adds to the same taps by atomics. Arrays are
cupy's, float32, below 2^31 elements.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

SOURCE = r"""
struct Taps {
    int cell, node;
    float p, q;  // the weights of cell + 1 and node + 1
};

__device__ Taps taps(int i, int r, int lam, int cells_out, int cells_in) {
    float v = i - 0.5f * (cells_out - 1);
    float cell = v / lam + 0.5f * (cells_in - 1), node = lam * r + v;
    int low = (int)floorf(cell), lower = (int)floorf(node);
    return {low, lower, cell - low, node - lower};
}

struct Place {
    int n;
    Taps rows, columns;
};

__device__ Place place(int k, int lam, int V, int U, int h_out, int w_out) {
    int c = k % w_out, r = k / w_out % h_out;
    int j = k / w_out / h_out % (lam * U), i = k / w_out / h_out / (lam * U) % (lam * V);
    return {k / w_out / h_out / (lam * U) / (lam * V),
            taps(i, r, lam, lam * V, V), taps(j, c, lam, lam * U, U)};
}

// Returns the offset of tap t of 16, -1 outside, and its weight.
__device__ int tap(const Place& at, int t, int V, int U, int H, int W, float* weight) {
    int dv = t & 1, dy = t >> 1 & 1, du = t >> 2 & 1, dx = t >> 3;
    int v = at.rows.cell + dv, y = at.rows.node + dy;
    int u = at.columns.cell + du, x = at.columns.node + dx;
    *weight = (dv ? at.rows.p : 1 - at.rows.p) * (dy ? at.rows.q : 1 - at.rows.q)
            * (du ? at.columns.p : 1 - at.columns.p) * (dx ? at.columns.q : 1 - at.columns.q);
    bool inside = 0 <= v && v < V && 0 <= y && y < H && 0 <= u && u < U && 0 <= x && x < W;
    return inside ? (((at.n * V + v) * U + u) * H + y) * W + x : -1;
}

extern "C" __global__ void gather(const float* x, float* out, int size, int lam, int V, int U,
                                  int H, int W, int h_out, int w_out, float pad_value) {
    int k = blockIdx.x * blockDim.x + threadIdx.x;
    if (k >= size) return;
    Place at = place(k, lam, V, U, h_out, w_out);
    float total = 0, weight;
    #pragma unroll
    for (int t = 0; t < 16; ++t) {
        int offset = tap(at, t, V, U, H, W, &weight);
        total += weight * (offset < 0 ? pad_value : x[offset]);
    }
    out[k] = total;
}

extern "C" __global__ void scatter(const float* g, float* spread, int size, int lam, int V, int U,
                                   int H, int W, int h_out, int w_out) {
    int k = blockIdx.x * blockDim.x + threadIdx.x;
    if (k >= size) return;
    Place at = place(k, lam, V, U, h_out, w_out);
    float weight;
    #pragma unroll
    for (int t = 0; t < 16; ++t) {
        int offset = tap(at, t, V, U, H, W, &weight);
        if (offset >= 0) atomicAdd(spread + offset, weight * g[k]);
    }
}
"""
_THREADS = 256


def swap_align2nat(x: Any, lam: int, pad_value: float) -> Any:
    """Return swap_align2nat of the cupy array ``x`` (N, V, U, H, W)."""
    cupy = import_module("cupy")
    n, v, u, h, w = x.shape
    out = cupy.empty((n, lam * v, lam * u, -(-h // lam), -(-w // lam)), x.dtype)
    extents = (*x.shape[1:], *out.shape[3:])
    _launch("gather", out.size, (x, out), (lam, *extents), (cupy.float32(pad_value),))
    return out


def swap_align2nat_adjoint(g: Any, shape: tuple[int, ...], lam: int) -> Any:
    """Return the adjoint at ``g``, of the input's ``shape`` (N, V, U, H, W)."""
    cupy = import_module("cupy")
    spread = cupy.zeros(shape, g.dtype)
    _launch("scatter", g.size, (g, spread), (lam, *shape[1:], *g.shape[3:]), ())
    return spread


def _launch(
    name: str, size: int, arrays: tuple[Any, ...], numbers: tuple[int, ...], floats: tuple[Any, ...]
) -> None:
    cupy = import_module("cupy")
    integers = tuple(map(cupy.int32, (size, *numbers)))
    blocks = -(-size // _THREADS)
    _module().get_function(name)((blocks,), (_THREADS,), (*arrays, *integers, *floats))


@cache
def _module() -> Any:
    cupy = import_module("cupy")
    return cupy.RawModule(code=SOURCE, options=("--std=c++17",))
