"""DeepMask's head: convolutional over a map, it says of each window what it says of a patch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tensormask_zoo.deepmask.head import SCORE_HEADS, Head


def head_of(score_head: Any) -> Head:
    torch.manual_seed(0)
    return Head(6, kernel=4, features=8, score_head=score_head, vector=10, mask_cells=5).eval()


@pytest.mark.parametrize("score_head", SCORE_HEADS)
@torch.no_grad()
def test_every_window_of_a_map_is_judged_as_a_patch(score_head: str) -> None:
    head, features = head_of(score_head), torch.rand(2, 6, 9, 7)
    vectors, scores = head(features)
    assert vectors.shape == (2, 10, 6, 4)
    for y, x in [(0, 0), (2, 1), (3, 3), (5, 2)]:
        patch = head(features[..., y : y + 4, x : x + 4])
        assert torch.allclose(patch.vectors[..., 0, 0], vectors[..., y, x], atol=1e-5)
        assert torch.allclose(patch.scores[..., 0, 0], scores[..., y, x], atol=1e-5)


@torch.no_grad()
def test_the_original_score_pools_by_two_and_joins_half_the_cells() -> None:
    head, features = head_of("original"), torch.rand(1, 6, 4, 4)
    assert head.score_encode is not None
    assert head.score_encode.weight.shape == (512, 6, 2, 2)
    pooled = F.max_pool2d(features, 2)
    own = F.conv2d(pooled, head.score_encode.weight, head.score_encode.bias).relu()
    assert torch.allclose(head(features).scores, head.score(own)[:, 0], atol=1e-5)


@torch.no_grad()
def test_masks_are_natural_with_units() -> None:
    head = head_of("C")
    vectors, _ = head(torch.rand(2, 6, 9, 7))
    masks = head.masks(vectors, sigma_vu=160 / 56, sigma_hw=16)
    assert masks.shape == (2, 5, 5, 6, 4)
    assert (masks.sigma_vu, masks.sigma_hw) == (160 / 56, 16)


@torch.no_grad()
def test_masks_of_chosen_windows_are_those_of_the_dense_tensor() -> None:
    head = head_of("C")
    vectors, _ = head(torch.rand(2, 6, 9, 7))
    index = torch.tensor([[0, 0, 0], [1, 5, 3], [1, 2, 0]])
    n, y, x = index.T
    chosen = head.masks_of(vectors[n, :, y, x])
    dense = head.masks(vectors, sigma_vu=1, sigma_hw=1)
    assert torch.allclose(chosen, dense.windows(index), atol=1e-5)


@torch.no_grad()
def test_the_mask_path_has_no_rectifier_between_its_linear_layers() -> None:
    head = head_of("C")
    reduced = torch.rand(1, 8, 4, 4)
    at = [head.encode(t * reduced) for t in (0.0, 1.0, 2.0)]
    assert torch.allclose(at[1] - at[0], at[2] - at[1], atol=1e-5)
    vectors, _ = head(torch.rand(4, 6, 4, 4))
    assert (vectors < 0).any()


@pytest.mark.parametrize("score_head", ["A", "B"])
@torch.no_grad()
def test_reduced_features_are_rectified(score_head: str) -> None:
    head, seen = head_of(score_head), []
    assert head.score_encode is not None
    for layer in (head.encode, head.score_encode):
        layer.register_forward_hook(lambda _, inputs, __: seen.append(float(inputs[0].min())))
    head(torch.rand(1, 6, 9, 9))
    assert seen == [0, 0]  # and some were negative


@pytest.mark.parametrize(
    ("score_head", "learning"),
    [("C", {"encode", "reduce"}), ("B", {"reduce"}), ("A", set()), ("original", set())],
)
def test_score_heads_share_ever_more_of_the_mask_path(score_head: str, learning: set[str]) -> None:
    head = head_of(score_head)
    head(torch.rand(1, 6, 4, 4)).scores.sum().backward()
    shared = {"reduce": head.reduce, "encode": head.encode, "decode": head.decode}
    found = {name for name, layer in shared.items() if layer.weight.grad is not None}
    assert found == learning


def test_dropout_acts_in_training_only() -> None:
    head, features = head_of("C"), torch.rand(1, 6, 4, 4)
    assert torch.equal(head(features).scores, head(features).scores)
    head.train()
    scores: list[Tensor] = [head(features).scores for _ in range(2)]
    assert not torch.equal(*scores)
