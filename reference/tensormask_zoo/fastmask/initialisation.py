"""Weights at the start of training, as in the released code (zoo-facts 4.2)."""

from __future__ import annotations

from torch import nn

STANDARD_DEVIATIONS = {
    "neck": 1e-5,
    "reduction": 1e-5,
    "head.score_layers.0": 0.01,
    "head.score_layers.3": 0.01,
    "head.score_layers.5": 1e-3,
    "head.attention": 1e-4,
    "head.mask_fc1": 1e-3,
    "head.mask_fc2": 1e-3,
}


def initialise(model: nn.Module) -> None:
    """Draw the weights of neck, reduction and head from narrow Gaussians; biases are 0."""
    for name, module in model.named_modules():
        for prefix, deviation in STANDARD_DEVIATIONS.items():
            if name.startswith(prefix) and isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.normal_(module.weight, std=deviation)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
