"""swap_align2nat from stock torch operations, twice: by indexing and by F.grid_sample.

Both blend rows (v, y) first and columns (u, x) then, as a user can who knows that the operator
comes apart so; autograd makes their adjoints.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor


def swap_by_indexing(x: Tensor, lam: int, pad_value: float) -> Tensor:
    """Return swap_align2nat of ``x`` (N, V, U, H, W): pad, then select and blend."""
    _, v, u, h, w = x.shape
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    padded = F.pad(wide, (1,) * 8, value=pad_value)  # (N, V+2, U+2, H+2, W+2)
    pairs = padded.transpose(2, 3).flatten(3, 4).flatten(1, 2)  # (N, V*H, U*W), each extent + 2
    rows = _select(pairs, 1, v, h, lam)
    out = _select(rows, 2, u, w, lam)
    apart = torch.unflatten(torch.unflatten(out, 2, (lam * u, -1)), 1, (lam * v, -1))
    return apart.transpose(2, 3).to(x.dtype).contiguous()


def swap_by_grid_sample(x: Tensor, lam: int, pad_value: float) -> Tensor:
    """Return swap_align2nat of ``x``; float32 or wider, since the grid has the dtype of x."""
    _, v, u, h, w = x.shape
    sides = (x - pad_value).permute(0, 2, 4, 1, 3).flatten(1, 2)  # (N, U*W, V, H)
    sides = _sample(sides, v, h, lam)  # (N, U*W, lam*V, H')
    sides = torch.unflatten(sides, 1, (u, w)).permute(0, 3, 4, 1, 2)  # (N, lam*V, H', U, W)
    rows = sides.shape[1:3]
    out = _sample(sides.flatten(1, 2), u, w, lam)  # (N, lam*V*H', lam*U, W')
    return torch.unflatten(out, 1, rows).transpose(2, 3) + pad_value


def adjoint_of(operator: Callable[[Tensor], Tensor], x: Tensor) -> Callable[[Tensor], Tensor]:
    """Return the adjoint of ``operator``'s linear part, by autograd, for inputs such as ``x``."""
    x = x.detach().requires_grad_()
    out = operator(x)

    def adjoint(g: Tensor) -> Tensor:
        (gradient,) = torch.autograd.grad(out, x, g, retain_graph=True)
        return gradient

    return adjoint


def _coordinates(cells: int, nodes: int, lam: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the cell (L, 1) and the node (L, R) that outputs of one pair of axes read."""
    extent = lam * cells
    v = torch.arange(extent, device=device, dtype=torch.float64)[:, None] - (extent - 1) / 2
    r = torch.arange(-(-nodes // lam), device=device)
    return v / lam + (cells - 1) / 2, lam * r + v


def _select(pairs: Tensor, dim: int, cells: int, nodes: int, lam: int) -> Tensor:
    """Blend the four taps of each output along ``dim``, which holds (cells+2) * (nodes+2)."""
    cell, node = _coordinates(cells, nodes, lam, pairs.device)
    terms = []
    for i, j in product(range(2), repeat=2):
        c, r = cell.floor() + i, node.floor() + j
        weight = (1 - (cell - c).abs()) * (1 - (node - r).abs())
        index = (c.clamp(-1, cells) + 1) * (nodes + 2) + r.clamp(-1, nodes) + 1
        along = weight.to(pairs.dtype).flatten().reshape((-1, 1) if dim == 1 else (-1,))
        terms.append(pairs.index_select(dim, index.long().flatten()) * along)
    return terms[0] + terms[1] + terms[2] + terms[3]


def _sample(sides: Tensor, cells: int, nodes: int, lam: int) -> Tensor:
    """Sample pictures (N, C, cells, nodes) at the outputs' coordinates, with 0 outside."""
    cell, node = _coordinates(cells, nodes, lam, sides.device)
    cell = (2 * cell / (cells - 1) - 1).expand_as(node)  # grid_sample's -1 to 1
    grid = torch.stack([2 * node / (nodes - 1) - 1, cell], -1).to(sides.dtype)
    grid = grid.expand(len(sides), *grid.shape)
    return F.grid_sample(sides, grid, "bilinear", "zeros", align_corners=True)
