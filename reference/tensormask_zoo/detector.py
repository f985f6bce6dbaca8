"""The Lightning module that trains and evaluates any model of the zoo."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.callbacks import Timer
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from tensormask_zoo.data.sample import Batch
from tensormask_zoo.evaluation import ImageResult
from tensormask_zoo.measures import MEASURES, EvaluateAs
from tensormask_zoo.models import CLASS_AGNOSTIC, MODELS
from tensormask_zoo.schedule import Optimisation


class Detector(LightningModule):
    """A model of the zoo with its optimiser, losses in training and metrics in validation.

    Proposal systems are measured by average recall, whatever the classes of the data; all others
    by COCO's average precision.

    Args:
        name: a key of :data:`tensormask_zoo.models.MODELS`.
        settings: arguments of that function, ``num_classes`` apart.
        num_classes: object classes of the data; linked to the data module by the scripts.
        class_names: their names, in the order of the labels.
        optimisation: optimiser and schedule.
        max_detections: detections per image that count in average precision.
        evaluate_as: "proposals" measures models with classes as proposals, too: their labels and
            ``max_detections`` are ignored.

    Raises:
        ValueError: there is no model of that name, or a proposal system shall be measured by
            average precision.
    """

    def __init__(
        self,
        name: str = "tensormask_small_fpn",
        settings: dict[str, Any] | None = None,
        num_classes: int = 5,
        class_names: Sequence[str] = (),
        optimisation: Optimisation = Optimisation(),  # noqa: B008  (frozen)
        max_detections: int = 100,
        evaluate_as: EvaluateAs | None = None,
    ) -> None:
        super().__init__()
        _check_model(name, evaluate_as)
        if isinstance(optimisation, dict):  # as read back from a checkpoint
            optimisation = Optimisation(**optimisation)
        # The checkpoint holds plain values only, so that it loads without running any code.
        self.save_hyperparameters(
            {
                "name": name,
                "settings": settings or {},
                "num_classes": num_classes,
                "class_names": list(class_names),
                "optimisation": dataclasses.asdict(optimisation),
                "max_detections": max_detections,
                "evaluate_as": evaluate_as,
            }
        )
        self.optimisation = optimisation
        self.class_names = tuple(class_names) or tuple(str(k + 1) for k in range(num_classes))
        self.class_agnostic = name in CLASS_AGNOSTIC
        classes = 1 if self.class_agnostic else num_classes
        self.model = MODELS[name](num_classes=classes, **(settings or {}))
        self.max_detections = max_detections
        self.results_are: EvaluateAs = (
            "proposals" if self.class_agnostic else evaluate_as or "detections"
        )
        self.measure = MEASURES[self.results_are]
        self.evaluator = self.measure.evaluator(
            self.class_names, max_detections, not self.class_agnostic
        )
        self.metrics: dict[str, float] = {}
        self._rate = _Rate()
        self._started = (0.0, 0.0)  # seconds, progress

    def on_train_start(self) -> None:
        """Remember when and where this run, perhaps a resumed one, starts."""
        self._started = (time.perf_counter(), self.progress())

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Return the sum of the model's losses."""
        images, targets = batch
        losses: dict[str, Tensor] = self.model(images, targets)
        total = torch.stack(list(losses.values())).sum()
        self._rate.update(len(images))
        shown = {name.removeprefix("loss_"): value.detach() for name, value in losses.items()}
        self.log_dict(shown, prog_bar=True, batch_size=len(images))
        self.log("loss", total.detach(), batch_size=len(images))
        self.log("images/s", self._rate.per_second, prog_bar=True, batch_size=len(images))
        self.log("ETA min", self._minutes_left(), prog_bar=True, batch_size=len(images))
        return total if self.trainer.world_size == 1 else total + self._touch_all()

    def _touch_all(self) -> Tensor:
        """Return 0 as a function of all parameters: devices wait for the gradient of each.

        The mask branch has none on a device whose images show no object.
        """
        trained = [p.sum() for p in self.model.parameters() if p.requires_grad]
        return 0.0 * torch.stack(trained).sum()

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Collect detections and ground truth as RLE."""
        images, targets = batch
        for (found, masks), image, target in zip(
            self.model.detect(images), images, targets, strict=True
        ):
            self.evaluator.add(ImageResult.of(found, masks, image), target)

    def on_validation_epoch_start(self) -> None:
        """Forget the images of the validation before."""
        self.evaluator.reset()

    def on_validation_epoch_end(self) -> None:
        """Compute the metrics, over all devices."""
        self.evaluator.gather()
        self.metrics = self.evaluator.compute()
        self.log_dict({f"val/{name}": value for name, value in self.metrics.items()})
        first = self.measure.curves[0]
        self.log(first, self.metrics[first], prog_bar=True, logger=False)

    def results(self) -> str:
        """Return the table of the last validation."""
        return self.measure.table(self.metrics)

    def load_start(self, checkpoint: str | Path) -> None:
        """Start from the weights of another run, such as the first stage of SharpMask.

        A SharpMask takes trunk and head of a DeepMask of the same variant; every other model takes
        all weights of its own kind.

        Raises:
            RuntimeError: they are those of another model.
            ValueError: SharpMask's are those of another variant.
        """
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
        weights = {name.removeprefix("model."): value for name, value in state.items()}
        getattr(self.model, "load_feedforward", self.model.load_state_dict)(weights)

    def configure_optimizers(self) -> Any:
        """Return the recipe's optimiser and a schedule that follows the progress of the run."""
        optimizer = self.optimisation.optimizer(self.model.parameters())
        schedule = LambdaLR(optimizer, lambda _: self._rate_factor())
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def configure_gradient_clipping(self, optimizer: Any, *_: Any, **__: Any) -> None:
        """Clip the norm of the gradient, if the recipe does."""
        if self.optimisation.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.optimisation.clip)

    def progress(self) -> float:
        """Return how much of the run is done, in [0, 1]: by steps or by time, whichever is more."""
        trainer = self._trainer
        if trainer is None:
            return 0.0
        planned = trainer.estimated_stepping_batches if trainer.max_steps < 0 else trainer.max_steps
        by_steps = trainer.global_step / planned if planned > 0 else 0.0
        return min(1.0, max(by_steps, *(_time_share(timer) for timer in self._timers()), 0.0))

    def _rate_factor(self) -> float:
        done = self._trainer.global_step if self._trainer else 0
        return self.optimisation.factor(self.progress(), done)

    def _minutes_left(self) -> float:
        started, before = self._started
        done = self.progress()
        if done <= before:  # the first step: nothing to tell from yet
            return 0.0
        return round((time.perf_counter() - started) * (1 - done) / (done - before) / 60, 1)

    def _timers(self) -> list[Timer]:
        callbacks: list[Any] = self.trainer.callbacks  # type: ignore[attr-defined]  # by a connector
        return [callback for callback in callbacks if isinstance(callback, Timer)]


def _check_model(name: str, evaluate_as: EvaluateAs | None) -> None:
    if name not in MODELS:
        raise ValueError(f"no model named {name!r}; there are {', '.join(sorted(MODELS))}")
    if name in CLASS_AGNOSTIC and evaluate_as == "detections":
        raise ValueError(
            f"evaluate_as expects 'proposals' or null for {name}, got 'detections': "
            "proposals have no classes, which average precision needs"
        )


def _time_share(timer: Timer) -> float:
    left = timer.time_remaining()
    if left is None:
        return 0.0
    elapsed = timer.time_elapsed()
    return elapsed / max(elapsed + left, timedelta(microseconds=1).total_seconds())


class _Rate:
    """Images per second, averaged over the last steps."""

    def __init__(self, memory: float = 0.95) -> None:
        self._memory = memory
        self._seconds_per_image = 0.0
        self._last: float | None = None

    def update(self, images: int) -> None:
        now = time.perf_counter()
        if self._last is not None:
            seconds = (now - self._last) / images
            memory = self._memory if self._seconds_per_image else 0.0
            self._seconds_per_image = memory * self._seconds_per_image + (1 - memory) * seconds
        self._last = now

    @property
    def per_second(self) -> float:
        return round(1 / self._seconds_per_image, 1) if self._seconds_per_image else 0.0
