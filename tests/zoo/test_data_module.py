"""Data modules: the right images to the trainer, found without being told where."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from jsonargparse import ArgumentParser
from lightning.pytorch import LightningModule, Trainer

from tensormask_zoo.data.coco_module import Augment, CocoData, CocoFiles
from tensormask_zoo.data.crops import RandomCrop, ShortSide, whole
from tensormask_zoo.data.shapes import Shapes
from tensormask_zoo.data.shapes_module import ShapesData
from tensormask_zoo.data.write_coco import write_coco


class Recorder(LightningModule):
    """A model that learns nothing and remembers which images it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[int] = []

    def training_step(self, batch: Any) -> torch.Tensor:
        self.seen += [target["image_id"] for target in batch[1]]
        return self.weight

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def small_shapes(**options: Any) -> ShapesData:
    return ShapesData(train_length=6, val_length=3, image_size=(32, 32), batch_size=2, **options)


def run(data: ShapesData, folder: Path, *, epochs: int, resume: str | None = None) -> Recorder:
    model = Recorder()
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        default_root_dir=folder,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, data, ckpt_path=resume)
    trainer.save_checkpoint(folder / "last.ckpt")
    return model


@pytest.fixture(scope="module")
def coco_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A train and a val split as `write_coco` writes them."""
    root = tmp_path_factory.mktemp("coco")
    write_coco(Shapes(length=5, seed=0, image_size=(48, 64)), root / "train")
    write_coco(Shapes(length=3, seed=1, image_size=(48, 64)), root / "val")
    return root


def test_batches_are_lists_of_images_and_targets() -> None:
    images, targets = next(iter(small_shapes().train_dataloader()))
    assert [image.shape for image in images] == [(3, 32, 32)] * 2
    assert [target["image_id"] for target in targets] == [0, 1]


def test_shapes_have_classes_before_any_set_up() -> None:
    data = small_shapes()
    assert (data.num_classes, data.class_names[0]) == (5, "disc")


def test_validation_images_are_fixed_and_not_those_of_training() -> None:
    data = small_shapes(seed=4)
    first, second = ([b[0][0] for b in data.val_dataloader()] for _ in range(2))
    assert all(map(torch.equal, first, second))
    assert len(data.val_set) == 3
    assert not torch.equal(data.val_set[0][0], data.train_set[0][0])


def test_the_same_seed_gives_the_same_series() -> None:
    assert torch.equal(small_shapes(seed=4).train_set[9][0], small_shapes(seed=4).train_set[9][0])
    assert not torch.equal(
        small_shapes(seed=5).train_set[9][0], small_shapes(seed=4).train_set[9][0]
    )


def test_each_epoch_goes_on_in_the_series(tmp_path: Path) -> None:
    assert run(small_shapes(), tmp_path, epochs=3).seen == list(range(18))


def test_a_resumed_run_goes_on_in_the_series(tmp_path: Path) -> None:
    run(small_shapes(), tmp_path, epochs=1)
    resumed = run(small_shapes(), tmp_path, epochs=2, resume=str(tmp_path / "last.ckpt"))
    assert resumed.seen == list(range(6, 12))


def test_workers_give_the_same_batches() -> None:
    inline, ahead = (small_shapes(num_workers=n).train_dataloader() for n in (0, 1))
    for (images, _), (others, _) in zip(inline, ahead, strict=True):
        torch.testing.assert_close(images, others, rtol=0, atol=0)


def test_coco_splits_are_found_as_they_are_written(coco_root: Path) -> None:
    data = CocoData(root=str(coco_root))
    assert (len(data.train_set), len(data.val_set)) == (5, 3)
    assert data.class_names == ("disc", "rectangle", "triangle", "star", "ring")


def test_coco_files_can_be_named(coco_root: Path) -> None:
    files = CocoFiles(train_images="val/images", train_annotations="val/annotations/instances.json")
    assert len(CocoData(root=str(coco_root), files=files).train_set) == 3


def test_a_folder_without_data_says_what_was_tried(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"instances_train\.json.*instances_train2017"):
        _ = CocoData(root=str(tmp_path)).train_set


def test_training_crops_have_one_size_and_validation_images_their_own(coco_root: Path) -> None:
    data = CocoData(root=str(coco_root), augment=Augment(crop_size=(64, 40), scale=(0.5, 2.0)))
    images, targets = next(iter(data.train_dataloader()))
    assert {image.shape for image in images} == {(3, 64, 40)}
    assert {target["masks"].shape[1:] for target in targets} == {(64, 40)}
    assert next(iter(data.val_dataloader()))[0][0].shape == (3, 48, 64)


def test_validation_images_can_be_resized(coco_root: Path) -> None:
    data = CocoData(root=str(coco_root), val_short_side=24)
    assert data.val_set[0][0].shape == (3, 24, 32)


def test_fewer_images_than_a_batch_still_make_one(coco_root: Path) -> None:
    assert len(CocoData(root=str(coco_root), batch_size=16).train_dataloader()) == 1


@pytest.mark.parametrize(
    ("augment", "kind"),
    [
        (Augment(crop_size=(8, 8)), RandomCrop((8, 8))),
        (Augment(short_sides=(40, 50)), ShortSide((40, 50))),
        (Augment(), whole),
    ],
)
def test_augment_chooses_how_to_read(augment: Augment, kind: object) -> None:
    assert augment.crop() == kind


def test_the_command_line_reaches_every_field(coco_root: Path) -> None:
    parser = ArgumentParser()
    parser.add_subclass_arguments(CocoData, "data")
    arguments = ["--data=CocoData", f"--data.root={coco_root}", "--data.augment.crop_size=[24,32]"]
    chosen = parser.parse_args(arguments).data.init_args
    assert chosen.augment.crop_size == (24, 32)
    assert chosen.batch_size == 4


@pytest.mark.parametrize(
    ("name", "images", "classes"), [("nuclei", (532, 132), 1), ("coco-tiny", (50, 50), 80)]
)
def test_real_folders_need_no_file_names(
    shared_dir: Path, name: str, images: tuple[int, int], classes: int
) -> None:
    data = CocoData(root=str(shared_dir / "data" / name), strict=True)
    assert (len(data.train_set), len(data.val_set)) == images
    assert data.num_classes == classes
