"""The sparse kernels: each result is a sum over what it reads, in one fixed order."""

# ruff: noqa: ANN001, ANN202, PLR0913, PLR0917  (a launch passes pointers and numbers, no structures)
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def windows_kernel(
    x, out, index, pad,
    cell_v, weight_v, missing_v, node_y, fraction_y,
    cell_u, weight_u, missing_u, node_x, fraction_x,
    p, d, step, batch, height, width, v_out, u_out,
    stride_n, stride_v, stride_u, stride_y, stride_x, index_k, index_axis, blocks,
    PAD: tl.constexpr, FINITE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Sum the 16 taps of a block of cells of one window."""
    k = (tl.program_id(0) // blocks).to(tl.int64)
    cell = tl.program_id(0) % blocks * BLOCK + tl.arange(0, BLOCK)
    ours = cell < v_out * u_out
    v, u = tl.where(ours, cell // u_out, 0), cell % u_out
    image = tl.load(index + k * index_k).to(tl.int64)
    image_or_0 = tl.where((image >= 0) & (image < batch), image, 0)
    x += image_or_0 * stride_n
    shift_y, phase_y, shift_x, phase_x = _place(index + k * index_k, index_axis, p, d, step)
    y, above = _nodes(node_y, fraction_y, phase_y * v_out + v, shift_y)
    z, right = _nodes(node_x, fraction_x, phase_x * u_out + u, shift_x)
    value = tl.zeros((BLOCK,), dtype=weight_v.dtype.element_ty)
    lost_y, lost_x = tl.load(missing_v + v), tl.load(missing_u + u)
    for i in tl.static_range(4):
        row, weight_y, beyond_y = _tap(
            cell_v, weight_v, v, y, above, i // 2, i % 2, height, stride_v, stride_y
        )
        lost_y += beyond_y
        for j in tl.static_range(4):
            column, weight_x, beyond_x = _tap(
                cell_u, weight_u, u, z, right, j // 2, j % 2, width, stride_u, stride_x
            )
            if i == 0:
                lost_x += beyond_x
            weight = weight_y * weight_x
            sample = tl.load(x + row + column, mask=ours & (weight != 0), other=0.0)
            value += weight * sample.to(value.dtype)
    if PAD:
        value += _padding(lost_y + (1 - lost_y) * lost_x, tl.load(pad), FINITE)
    value = tl.where(tl.full((BLOCK,), image, tl.int64) == image_or_0, value, float("nan"))
    tl.store(out + k * v_out * u_out + cell, value, mask=ours)


@triton.jit
def _padding(missing, pad, FINITE: tl.constexpr):
    """Return what padding adds; an infinite value stays where taps are out of range."""
    padding = missing * pad if FINITE else tl.where(missing > 0, pad, 0.0)
    return padding


@triton.jit
def _nodes(nodes, fractions, entry, shift):
    """Return the lower node that cells of a window read, and the weight of the upper one."""
    return tl.load(nodes + entry) + shift, tl.load(fractions + entry)


@triton.jit
def _tap(cells, weights, v, low, fraction, i, j, extent, stride_cell, stride_node):
    """Return offset and weight of tap (i, j) along one pair of axes, and the weight out of range.

    The offset is only good where the weight is not 0.
    """
    node = low + j
    weight = tl.load(weights + 2 * v + i) * (fraction if j == 1 else 1 - fraction)
    inside = (node >= 0) & (node < extent)
    offset = tl.load(cells + 2 * v + i).to(tl.int64) * stride_cell + node * stride_node
    return offset, tl.where(inside, weight, 0.0), tl.where(inside, 0.0, weight)


@triton.jit
def _place(place, index_axis, p, d, step):
    """Return shift and phase of a window, whose batch, y and x begin at ``place``."""
    shift_y, phase_y = _shift_and_phase(tl.load(place + index_axis), p, d, step)
    shift_x, phase_x = _shift_and_phase(tl.load(place + 2 * index_axis), p, d, step)
    return shift_y, phase_y, shift_x, phase_x


@triton.jit
def _shift_and_phase(node, p, d, step):
    """Return the whole nodes of ``p * node / d``, rounded down, and the number of its fraction."""
    start = node.to(tl.int64) * p
    shift = tl.where(start < 0, -((d - 1 - start) // d), start // d)
    return shift, (start - shift * d) // step


@triton.jit
def windows_adjoint_kernel(
    g, out, index, order, bounds,
    first_y, reader_v, weight_v, first_x, reader_u, weight_u,
    p, d, step, cells_v, cells_u, height, width, tiles_y, tiles_x,
    stride_k, stride_v, stride_u, index_k, index_axis,
    LENGTH_Y: tl.constexpr, LENGTH_X: tl.constexpr, TAPS_Y: tl.constexpr, TAPS_X: tl.constexpr,
    TILE_Y: tl.constexpr, TILE_X: tl.constexpr,
):  # fmt: skip
    """Sum, for a tile of one plane (n, v, u), over the windows that read it, in their order."""
    program = tl.program_id(0)
    tile_x, tile_y = program % tiles_x, program // tiles_x % tiles_y
    plane = (program // tiles_x // tiles_y).to(tl.int64)
    cell_u, cell_v = plane % cells_u, plane // cells_u % cells_v
    y = tile_y * TILE_Y + tl.arange(0, TILE_Y)
    x = tile_x * TILE_X + tl.arange(0, TILE_X)

    total = tl.zeros((TILE_Y, TILE_X), dtype=weight_v.dtype.element_ty)
    run = bounds + 2 * (plane // cells_u * tiles_y + tile_y)
    for i in range(tl.load(run), tl.load(run + 1)):
        k = tl.load(order + i)
        shift_y, phase_y, shift_x, phase_x = _place(index + k * index_k, index_axis, p, d, step)
        line_y, line_x = phase_y * cells_v + cell_v, phase_x * cells_u + cell_u
        start_y, start_x = shift_y + tl.load(first_y + line_y), shift_x + tl.load(first_x + line_x)
        if (start_x < (tile_x + 1) * TILE_X) & (start_x + LENGTH_X > tile_x * TILE_X):
            entry_y, inside_y = _entries(line_y, y - start_y, LENGTH_Y, TAPS_Y)
            entry_x, inside_x = _entries(line_x, x - start_x, LENGTH_X, TAPS_X)
            for a in range(TAPS_Y):
                v, share_v = _reader(reader_v, weight_v, entry_y + a, inside_y)
                line = g + k * stride_k + (v * stride_v)[:, None]
                for b in range(TAPS_X):
                    u, share_u = _reader(reader_u, weight_u, entry_x + b, inside_x)
                    share = share_v[:, None] * share_u[None, :]
                    sample = tl.load(line + (u * stride_u)[None, :], mask=share != 0, other=0.0)
                    total += share * sample.to(total.dtype)
    inside = (y < height)[:, None] & (x < width)[None, :]
    tl.store(out + plane * height * width + y[:, None] * width + x[None, :], total, mask=inside)


@triton.jit
def _entries(line, along, LENGTH: tl.constexpr, TAPS: tl.constexpr):
    """Return where the readers of nodes ``along`` a patch begin, and which are in the patch."""
    return (line * LENGTH + along) * TAPS, (along >= 0) & (along < LENGTH)


@triton.jit
def _reader(readers, weights, entry, inside):
    """Return a cell of the window that reads a node, and its weight, 0 where there is none."""
    reader = tl.load(readers + entry, mask=inside, other=0).to(tl.int64)
    return reader, tl.load(weights + entry, mask=inside, other=0.0)
