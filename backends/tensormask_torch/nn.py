"""The operators as modules, for networks built with ``torch.nn.Sequential`` and the like."""

from __future__ import annotations

from torch import Tensor, nn

from tensormask_core import ops
from tensormask_core.plan import Border, Mode

__all__ = ["Align2Nat", "SwapAlign2Nat", "UpAlign2Nat"]


class Align2Nat(nn.Module):
    """Aligned to natural representation; see :func:`tensormask_core.ops.align2nat`.

    Maps (*batch, V, U, H, W) to the same shape.

    Args:
        alpha: sigma_vu / sigma_hw.
        pad_value: what is read outside (H, W).

    Example:
        >>> import torch
        >>> Align2Nat()(torch.zeros(2, 15, 15, 20, 30)).shape
        torch.Size([2, 15, 15, 20, 30])
    """

    def __init__(self, alpha: float = 1, pad_value: float = 0.0) -> None:
        super().__init__()
        self.alpha, self.pad_value = alpha, pad_value

    def forward(self, x: Tensor) -> Tensor:
        """Return natural (*batch, V, U, H, W) from aligned ``x``."""
        return ops.align2nat(x, self.alpha, pad_value=self.pad_value)

    def extra_repr(self) -> str:
        """Return the arguments."""
        return f"alpha={self.alpha}, pad_value={self.pad_value}"


class UpAlign2Nat(nn.Module):
    """Upscale (V, U) by ``lam``, then align2nat (TensorMask, section 4.1).

    Maps (*batch, V, U, H, W) to (*batch, lam * V, lam * U, H, W).

    Args:
        lam: how much finer the result's cells are; fractional where lam * V is whole.
        pad_value: what is read outside (H, W).
        mode: interpolation between cells, ``"bilinear"`` or ``"nearest"``.
        vu_border: whether ``pad_value`` (``"pad"``) or the outermost cell (``"edge"``) lies beyond
            the window.

    Example:
        >>> import torch
        >>> UpAlign2Nat(5)(torch.zeros(2, 3, 3, 20, 30)).shape
        torch.Size([2, 15, 15, 20, 30])
    """

    def __init__(
        self,
        lam: float,
        pad_value: float = 0.0,
        mode: Mode = "bilinear",
        vu_border: Border = "pad",
    ) -> None:
        super().__init__()
        self.lam, self.pad_value = lam, pad_value
        self.mode: Mode = mode
        self.vu_border: Border = vu_border

    def forward(self, x: Tensor) -> Tensor:
        """Return natural (*batch, lam * V, lam * U, H, W) from aligned ``x``."""
        return ops.up_align2nat(
            x, self.lam, pad_value=self.pad_value, mode=self.mode, vu_border=self.vu_border
        )

    def extra_repr(self) -> str:
        """Return the arguments."""
        return (
            f"lam={self.lam}, pad_value={self.pad_value}, mode={self.mode!r}, "
            f"vu_border={self.vu_border!r}"
        )


class SwapAlign2Nat(nn.Module):
    """Swap fine (H, W) and coarse (V, U) for coarse and fine (TensorMask, section 4.2).

    Maps (*batch, V, U, H, W) to (*batch, lam * V, lam * U, ceil(H / lam), ceil(W / lam)).

    Args:
        lam: the ratio of the two units.
        pad_value: what is read outside. The default is the published one, for logits:
            sigmoid(-6) = 0.0025.
        vu_border: whether ``pad_value`` (``"pad"``, as published) or the outermost cell
            (``"edge"``) lies beyond the window.

    Example:
        >>> import torch
        >>> SwapAlign2Nat(4)(torch.zeros(2, 15, 15, 20, 30)).shape
        torch.Size([2, 60, 60, 5, 8])
    """

    def __init__(self, lam: float, pad_value: float = -6.0, vu_border: Border = "pad") -> None:
        super().__init__()
        self.lam, self.pad_value = lam, pad_value
        self.vu_border: Border = vu_border

    def forward(self, x: Tensor) -> Tensor:
        """Return natural (*batch, lam * V, lam * U, H', W') from aligned ``x``."""
        return ops.swap_align2nat(x, self.lam, pad_value=self.pad_value, vu_border=self.vu_border)

    def extra_repr(self) -> str:
        """Return the arguments."""
        return f"lam={self.lam}, pad_value={self.pad_value}, vu_border={self.vu_border!r}"
