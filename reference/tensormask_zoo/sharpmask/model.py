"""SharpMask: DeepMask whose masks are refined to the resolution of the image (Pinheiro 2016)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from tensormask_zoo.deepmask import losses
from tensormask_zoo.deepmask.head import Head
from tensormask_zoo.deepmask.model import DeepMask, upsampled
from tensormask_zoo.deepmask.patches import Patch, mask_objects
from tensormask_zoo.deepmask.pyramid import Level
from tensormask_zoo.deepmask.training import PatchBatch, draw_kinds
from tensormask_zoo.deepmask.trunk import Trunk
from tensormask_zoo.image_batching import Target
from tensormask_zoo.sharpmask.refinement import WIDER, Refiner

Stage = Literal["feedforward", "refinement", "joint"]
STAGES = ("feedforward", "refinement", "joint")


class SharpMask(DeepMask):
    """One network with coarse masks and, from the same windows, refined ones.

    Training has two stages: ``stage = "feedforward"`` trains a DeepMask, "refinement" then trains
    the refiner alone on masks, everything else frozen. "joint" trains all at once, which gained
    little in the paper but needs one run.

    Args:
        trunk: returns feature maps, coarsest first.
        head: vectors, scores and coarse masks.
        refiner: refined masks, of ``window_px`` x ``window_px`` cells.
        stage: what training trains.
        refine: whether proposals have refined masks; False gives DeepMask's, at its cost.
        train_encoding: whether the refinement stage trains the linear layer that makes the first
            encoding, as the released code does; the paper names the convolutions only.
        skip_context: whether the skip features of training patches see the patches' context, as
            those of whole images do. The published networks cut it off before them.
        windows_at_once: how many windows are refined together, which bounds the memory.
        settings: ``rule``, ``training`` and ``inference`` of :class:`DeepMask`; masks are
            compared at the size of the window.

    Raises:
        ValueError: an unknown stage, or as :class:`DeepMask`.
    """

    def __init__(
        self,
        trunk: Trunk,
        head: Head,
        refiner: Refiner,
        *,
        stage: Stage = "refinement",
        refine: bool = True,
        train_encoding: bool = True,
        skip_context: bool = False,
        windows_at_once: int = 64,
        **settings: Any,
    ) -> None:
        super().__init__(trunk, head, **settings)
        self.refiner = refiner
        self.refine = refine
        self.train_encoding = train_encoding
        self.skip_context = skip_context
        self.windows_at_once = windows_at_once
        self.set_stage(stage)

    def set_stage(self, stage: Stage) -> None:
        """Choose what is trained from now on.

        Raises:
            ValueError: there is no such stage.
        """
        if stage not in STAGES:
            raise ValueError(f"stage expects one of {', '.join(STAGES)}, got {stage!r}")
        self.stage = stage
        for part in (self.trunk, self.head):
            part.requires_grad_(stage != "refinement")
        self.refiner.requires_grad_(stage != "feedforward")
        if stage == "refinement":
            self.refiner.encode.requires_grad_(self.train_encoding)
        self.train(self.training)

    def train(self, mode: bool = True) -> SharpMask:
        """Switch between training and evaluation; what is frozen stays in evaluation."""
        super().train(mode)
        if mode and self.stage == "refinement":
            self.trunk.eval()
            self.head.eval()
        return self

    def load_feedforward(self, state: Mapping[str, Tensor]) -> None:
        """Load the weights of the first stage, from a DeepMask or a SharpMask.

        Raises:
            ValueError: they are those of another variant; says which ones do not fit.
        """
        own = {name: x for name, x in self.state_dict().items() if not name.startswith("refiner.")}
        given = {name: x for name, x in state.items() if not name.startswith("refiner.")}
        wrong = sorted(own.keys() ^ given.keys()) or [
            name for name in own if own[name].shape != given[name].shape
        ]
        if wrong:
            raise ValueError(
                f"load_feedforward expects the weights of the same trunk and head, but "
                f"{len(wrong)} do not fit, such as {wrong[0]!r}; build the model as they were made"
            )
        self.load_state_dict(given, strict=False)

    def losses(self, images: Sequence[Tensor], targets: Sequence[Target]) -> dict[str, Tensor]:
        """Draw patches and return the losses of the stage.

        Refinement adds ``loss_refined``. Alone, it has no other loss, and without any usable
        object that is 0.
        """
        if self.stage == "refinement" and not any(mask_objects(t, self.rule) for t in targets):
            return {"loss_refined": _zero_of(self.refiner)}
        return super().losses(images, targets)

    def _draw(self, images: Sequence[Tensor], targets: Sequence[Target]) -> list[Patch]:
        if self.stage == "refinement":  # nothing else is trained
            return draw_kinds(images, targets, ["mask"], self.rule, self.patch_training)
        return super()._draw(images, targets)

    def _mask_losses(
        self, vectors: Tensor, maps: Sequence[Tensor], batch: PatchBatch
    ) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        if self.stage != "refinement":
            found |= super()._mask_losses(vectors, maps, batch)
        if self.stage != "feedforward":
            refined = self._refined_patches(vectors, [x[batch.masked] for x in maps])
            masks = upsampled(refined, batch.masks)
            found["loss_refined"] = losses.mask_loss(masks, batch.masks)
        return found

    def _patch_masks(self, vectors: Tensor, maps: Sequence[Tensor]) -> Tensor:
        if self.refine:
            return self._refined_patches(vectors, maps)
        return super()._patch_masks(vectors, maps)

    def _refined_patches(self, vectors: Tensor, maps: Sequence[Tensor]) -> Tensor:
        """Refine the masks of patches, each of which is one window of its own maps."""
        if self.skip_context:
            skips = self._windows_of(self.refiner.skips(maps), WIDER)
        else:
            skips = self.refiner.skips(self._windows_of(maps))
        refined: Tensor = self.refiner(vectors, self.refiner.share(skips))
        return refined

    def _skips(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return tuple(x[0] for x in self.refiner.skips(maps)) if self.refine else ()

    def _masks(self, level: Level, index: Tensor) -> Tensor:
        if not self.refine:
            return super()._masks(level, index)
        vectors = level.vectors[:, index[:, 0], index[:, 1]].T
        return self.refiner.masks(vectors, level.skips, index, self.windows_at_once)


def _zero_of(network: nn.Module) -> Tensor:
    """Return 0 with a gradient of 0 for each trained parameter."""
    return 0 * torch.stack([p.sum() for p in network.parameters() if p.requires_grad]).sum()
