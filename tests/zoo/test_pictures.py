"""Overlays and curves."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from tensormask_zoo.pictures import comparison, draw_predictions, overlay, save_curves, save_picture

GREY = torch.full((3, 64, 96), 0.5)


def found(count: int) -> dict[str, torch.Tensor]:
    masks = torch.zeros(count, 1, 64, 96)
    masks[:, :, 10:30, 20:50] = 1.0
    return {
        "boxes": torch.tensor([[20.0, 10, 50, 30]]).repeat(count, 1),
        "labels": torch.ones(count, dtype=torch.long),
        "scores": torch.linspace(0.9, 0.2, count),
        "masks": masks,
    }


def test_small_images_are_enlarged() -> None:
    assert overlay(GREY, torch.zeros(0, 64, 96), torch.zeros(0, 4), []).shape == (3, 256, 384)


def test_large_images_keep_their_size() -> None:
    large = torch.rand(3, 300, 260)
    assert torch.equal(overlay(large, torch.zeros(0, 300, 260), torch.zeros(0, 4), []), large)


def test_a_mask_colours_its_own_pixels_only() -> None:
    masks = torch.zeros(1, 64, 96, dtype=torch.bool)
    masks[0, 10:30, 20:50] = True
    drawn = overlay(GREY, masks, torch.tensor([[20, 10, 50, 30]]), ["disc"])
    assert drawn[:, 80, 100].unique().numel() > 1  # four times enlarged: pixel (20, 25)
    assert torch.allclose(drawn[:, 200, 300], torch.tensor(0.5), atol=1 / 255)


def test_predictions_below_the_score_are_not_drawn() -> None:
    drawn = draw_predictions(GREY, found(1), ["disc"], score_threshold=0.95)
    assert torch.equal(drawn, torch.full((3, 256, 384), 0.5))


def test_a_comparison_has_two_tiles_per_image(objects: Any) -> None:
    target = objects([[4, 4, 36, 36]])
    images, targets = [GREY, torch.rand(3, 100, 50)], [target, objects([], (100, 50))]
    nothing = found(0) | {"masks": torch.zeros(0, 1, 100, 50)}
    picture = comparison(images, targets, [found(1), nothing], ["a", "b", "c"])
    tile = 100 * 6, 96 * 4  # the least factors that take short sides to 256 px
    assert picture.shape == (3, tile[0] + 12, 4 * (tile[1] + 6) + 6)


def test_a_picture_is_written_as_png(tmp_path: Path) -> None:
    path = save_picture(GREY, tmp_path / "new" / "grey.png")
    with Image.open(path) as picture:
        assert (picture.format, picture.size, picture.getpixel((5, 5))) == (
            "PNG",
            (96, 64),
            (128,) * 3,
        )
    assert os.listdir(path.parent) == ["grey.png"]


def test_an_interrupted_write_leaves_the_old_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save_picture(GREY, tmp_path / "grey.png")
    before = path.read_bytes()

    def fail(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(KeyboardInterrupt):
        save_picture(torch.zeros(3, 8, 8), path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("rows", ["", "20,1.5,,,,\n40,1.2,0.5,0.6,0.1,\n40,,,,,0.3\n"])
def test_curves_are_drawn_from_any_number_of_rows(tmp_path: Path, rows: str) -> None:
    metrics = tmp_path / "metrics.csv"
    metrics.write_text("step,loss,classifier,box_reg,mask,val/mask AP\n" + rows)
    with Image.open(save_curves(metrics, tmp_path / "curves.png")) as picture:
        assert picture.format == "PNG"


def test_curves_show_every_loss_that_a_model_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []
    monkeypatch.setattr("matplotlib.axes.Axes.plot", lambda *_, label, **__: shown.append(label))
    metrics = tmp_path / "metrics.csv"
    metrics.write_text(
        "epoch,step,score,images/s,ETA min,val/mask AR@100,val/box AUC\n0,1,2,3,4,5,\n"
    )
    save_curves(metrics, tmp_path / "curves.png", ["mask AR@100"])
    assert shown == ["score", "mask AR@100"]
