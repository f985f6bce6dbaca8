"""Which objects of a data set train masks: classes are drawn before objects."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from tensormask_zoo.deepmask.patches import mask_objects
from tensormask_zoo.deepmask.placement import PatchRule, Rng
from tensormask_zoo.image_batching import Target


@dataclass(frozen=True)
class ClassBalance:
    """The usable objects of a data set, by class.

    The released code draws one of COCO's 80 classes and then an object of it, so that rare
    classes are seen as often as persons; the network itself knows no classes.

    Attributes:
        objects: for each class that has any, pairs of image and object.
    """

    objects: tuple[tuple[tuple[int, int], ...], ...]

    @classmethod
    def of(cls, targets: Iterable[Target], rule: PatchRule | None = None) -> ClassBalance:
        """Sort the objects of all images of a data set.

        Args:
            targets: of each image ``boxes``, ``labels``, ``area`` or ``masks``, and ``iscrowd``.
            rule: which objects have mask patches.

        Raises:
            ValueError: there is no usable object at all.
        """
        rule = rule or PatchRule()
        found: dict[int, list[tuple[int, int]]] = {}
        for image, target in enumerate(targets):
            for k in mask_objects(target, rule):
                found.setdefault(int(target["labels"][k]), []).append((image, k))
        if not found:
            raise ValueError("ClassBalance expects an object that is no crowd and not too small")
        return cls(tuple(tuple(found[label]) for label in sorted(found)))

    def draw(self, rng: Rng = None) -> tuple[int, int]:
        """Return an image and an object: a class drawn uniformly, then one of its objects.

        Hand the object to :func:`tensormask_zoo.deepmask.patches.sample_patch`.

        Example:
            >>> ClassBalance((((0, 0), (0, 1), (1, 0)), ((2, 5),))).draw() in {
            ...     (0, 0), (0, 1), (1, 0), (2, 5)}
            True
        """
        mine = self.objects[int(torch.randint(len(self.objects), (), generator=rng))]
        return mine[int(torch.randint(len(mine), (), generator=rng))]
