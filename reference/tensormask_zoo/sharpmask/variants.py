"""SharpMask by name: DeepMask-ours, or a small DeepMask, with refinement."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any

from tensormask_zoo.deepmask.model import DeepMask
from tensormask_zoo.deepmask.variants import deepmask_small, deepmask_w160_p4_d39_f128
from tensormask_zoo.sharpmask.design import RefinementDesign
from tensormask_zoo.sharpmask.model import SharpMask
from tensormask_zoo.sharpmask.refinement import Execution, Refiner

DESIGN = tuple(field.name for field in fields(RefinementDesign))
SHARPMASK = ("stage", "refine", "train_encoding", "skip_context", "windows_at_once")


def sharpmask(**settings: Any) -> SharpMask:
    """SharpMask of the paper: DeepMask-ours and four modules, k = 32 halved in each.

    Args:
        settings: arguments of :func:`refined` and, beyond those, of
            :func:`tensormask_zoo.deepmask.variants.deepmask_w160_p4_d39_f128`.

    Example:
        >>> import torch
        >>> with torch.device("meta"):
        ...     model = sharpmask(norm="frozen")
        >>> sum(p.numel() for p in model.refiner.parameters())
        2757821
    """
    return _refined_variant(deepmask_w160_p4_d39_f128, settings)


def sharpmask_small(**settings: Any) -> SharpMask:
    """SharpMask on :func:`deepmask_small`, to train from scratch on a CPU, all in one run.

    All modules have 8 channels. Halved from 16, the last one has 2, which start at zero for every
    image, and for good, in one initialisation of six.

    Args:
        settings: arguments of :func:`refined` and of :func:`deepmask_small`.
    """
    return _refined_variant(deepmask_small, {"k": 8, "schedule": "a", "stage": "joint"} | settings)


def refined(
    base: DeepMask,
    *,
    execution: Execution = "refactored",
    design: RefinementDesign | Mapping[str, Any] | None = None,
    **settings: Any,
) -> SharpMask:
    """Add refinement to any DeepMask, whose modules and settings the result shares.

    Args:
        base: trained or to be trained by the first stage.
        execution: of the modules, "refactored" or "concatenated".
        design: :class:`RefinementDesign` or its arguments.
        settings: ``stage``, ``refine``, ``train_encoding``, ``skip_context`` and
            ``windows_at_once`` of :class:`SharpMask`.

    Example:
        >>> from tensormask_zoo.deepmask.variants import deepmask_small
        >>> model = refined(deepmask_small(), design={"k": 8})
        >>> [step.of_mask.in_channels for step in model.refiner.steps]
        [8, 4, 2]
    """
    if not isinstance(design, RefinementDesign):
        design = RefinementDesign(**(design or {}))
    refiner = Refiner(
        base.head.encode.out_channels,
        kernel=base.head.kernel,
        widths=base.trunk.widths,
        design=design,
        execution=execution,
    )
    training = replace(base.patch_training, target_px=base.window_px)
    return SharpMask(
        base.trunk,
        base.head,
        refiner,
        rule=base.rule,
        training=training,
        inference=base.inference,
        **settings,
    )


def _refined_variant(build: Callable[..., DeepMask], settings: dict[str, Any]) -> SharpMask:
    """Build a variant of DeepMask and refine it, sorting the settings of both."""
    design = {name: settings[name] for name in DESIGN if name in settings}
    own = {name: settings[name] for name in (*SHARPMASK, "execution") if name in settings}
    others = {name: x for name, x in settings.items() if name not in (design | own)}
    if "border" in settings:
        others["border"] = settings["border"]  # of all convolutions
    return refined(build(**others), design=design, **own)
