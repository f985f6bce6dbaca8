"""How refinement is laid out: channels of its encodings, and the paper's form or the code's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tensormask_zoo.deepmask.padding import BORDERS, Border
from tensormask_zoo.sharpmask.doubling import Upsample

HIDDEN = 64  # channels between the two convolutions that reduce the trunk's features
HIDDEN_LAST = 32  # the released code's, in the finest module


@dataclass(frozen=True, kw_only=True)
class RefinementDesign:
    """Schedule and form of the refinement modules.

    All published numbers are the paper's, so its forms are the defaults.

    Attributes:
        k: channels of the coarsest mask encoding and of the skip features beside it.
        schedule: "a" keeps k in all modules, "b" halves it in each (down to 1); b with k = 32 is
            the paper's choice.
        form: "paper" joins mask and skip by one convolution; "code" has one more before it on
            each side and fewer hidden channels in the last module.
        upsample: "bilinear" as in the paper, "nearest" as in the code.
        border: what lies beyond the border in the convolutions.

    Raises:
        ValueError: a value that does not exist.
    """

    k: int = 32
    schedule: Literal["a", "b"] = "b"
    form: Literal["paper", "code"] = "paper"
    upsample: Upsample = "bilinear"
    border: Border = "symmetric"

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ValueError(f"k expects at least 1 channel, got {self.k}")
        for name, known in (
            ("schedule", ("a", "b")),
            ("form", ("paper", "code")),
            ("upsample", ("bilinear", "nearest")),
            ("border", BORDERS),
        ):
            if getattr(self, name) not in known:
                raise ValueError(
                    f"{name} expects one of {', '.join(known)}, got {getattr(self, name)!r}"
                )

    def encodings(self, modules: int) -> tuple[int, ...]:
        """Return the channels of the encoding before each module and after the last.

        Example:
            >>> RefinementDesign(k=32).encodings(4)
            (32, 16, 8, 4, 2)
        """
        if self.schedule == "a":
            return (self.k,) * (modules + 1)
        return tuple(max(1, self.k // 2**i) for i in range(modules + 1))

    def hidden(self, module: int, modules: int) -> int:
        """Return the channels that the features of a module (from 0) are first reduced to."""
        last = self.form == "code" and module == modules - 1
        return HIDDEN_LAST if last else HIDDEN
