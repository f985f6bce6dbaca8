"""Pasting torch tensors: on the CPU without copies, on CUDA by a kernel, elsewhere by the core."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from tensormask_core.masks.paste import paste_regions
from tensormask_core.testing import require

require("torch")
require("numba")

import torch  # noqa: E402  (once it is known to be there)

from tensormask_torch import _masks  # noqa: E402

SIZE = (60, 50)


def random_case(count: int = 8, dtype: str = "float32") -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    low = rng.uniform(-10, 50, (count, 2))
    boxes = np.concatenate([low, low + rng.uniform(-2, 60, (count, 2))], axis=1)
    return rng.random((count, 5, 7)).astype(dtype), boxes


@pytest.mark.parametrize("threshold", [None, 0.4])
def test_cpu_tensors_equal_the_core(threshold: float | None) -> None:
    windows, boxes = random_case()
    found = _masks.paste(torch.from_numpy(windows), boxes, SIZE, threshold)
    assert found.dtype == (torch.float32 if threshold is None else torch.bool)
    assert_array_equal(found.numpy(), paste_regions(windows, boxes, SIZE, threshold))


def test_windows_with_gradient_go_back_to_the_core() -> None:
    windows, boxes = random_case()
    leaf = torch.from_numpy(windows).requires_grad_()
    assert _masks.paste(leaf, boxes, SIZE, None) is NotImplemented
    assert _masks.paste(leaf, boxes, SIZE, 0.5).dtype == torch.bool
    with torch.no_grad():
        assert _masks.paste(leaf, boxes, SIZE, None).shape == (8, *SIZE)


def test_mapped_and_foreign_tensors_go_back_to_the_core() -> None:
    windows, boxes = random_case()
    seen: list[Any] = []

    def look(each: Any) -> Any:
        seen.append(_masks.paste(each, boxes, SIZE, None))
        return each

    torch.vmap(look)(torch.from_numpy(windows)[None])
    seen.append(_masks.paste(torch.empty(8, 5, 7, device="meta"), boxes, SIZE, None))
    assert seen == [NotImplemented, NotImplemented]


INTERPRETED = """
import sys
import numpy as np, torch
from tensormask_core.masks.paste import paste_regions
from tensormask_torch._masks_triton import paste

rng = np.random.default_rng(0)
for dtype in (np.float32, np.float64):
    for threshold in (None, 0.4, -1.0):
        for count, window, size in (
            (0, (3, 3), (4, 4)),
            (6, (5, 7), (40, 300)),
            (3, (1, 1), (1, 1)),
        ):
            low = rng.uniform(-20, 40, (count, 2))
            boxes = np.concatenate([low, low + rng.uniform(-2, 260, (count, 2))], axis=1)
            windows = rng.random((count, *window)).astype(dtype)
            found = paste(torch.from_numpy(windows), boxes, size, threshold).numpy()
            expected = paste_regions(windows, boxes, size, threshold)
            assert found.dtype == expected.dtype
            np.testing.assert_array_equal(found, expected)
print("equal")
"""


def test_triton_kernel_equals_the_core_in_the_interpreter() -> None:
    require("triton")
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    command = [sys.executable, "-c", INTERPRETED]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "equal\n", done.stderr


@pytest.fixture(scope="module")
def cuobjdump() -> Path:
    require("triton")
    import triton  # noqa: PLC0415  (only where it is)

    path = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    if not path.exists():
        pytest.skip("this triton has no cuobjdump")
    return path


@pytest.mark.parametrize("capability", [80, 90, 100])
@pytest.mark.parametrize("dtype", ["fp32", "fp64"])
@pytest.mark.parametrize("thresholded", [False, True])
def test_triton_kernel_compiles(
    cuobjdump: Path, capability: int, dtype: str, thresholded: bool
) -> None:
    compiled = compile_paste(capability, dtype, thresholded)
    assert "fma" not in compiled["ptx"]  # fused products round otherwise than the core
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(compiled["cubin"])
        file.flush()
        usage = subprocess.run(
            [cuobjdump, "-res-usage", file.name], capture_output=True, text=True, check=True
        )
    assert " STACK:0 " in usage.stdout
    assert " LOCAL:0 " in usage.stdout  # nothing spilled


def compile_paste(capability: int, dtype: str, thresholded: bool) -> dict[str, Any]:
    """Compile the kernel for a device that need not be here."""
    from triton import compile as triton_compile  # noqa: PLC0415  (only where it is)
    from triton.backends.compiler import GPUTarget  # noqa: PLC0415
    from triton.compiler import ASTSource  # noqa: PLC0415

    from tensormask_torch import _masks_triton  # noqa: PLC0415

    numbers = ("cells_v", "cells_u", "height", "width", "tiles_y", "tiles_x")
    constants = {"HAS_THRESHOLD": thresholded, "ROWS": 16, "COLS": 128}
    signature = {"windows": f"*{dtype}", "frames": "*fp64", "pixels": "*i32"}
    signature["images"] = "*i1" if thresholded else f"*{dtype}"
    signature |= dict.fromkeys(numbers, "i32") | dict.fromkeys(constants, "constexpr")
    source = ASTSource(_masks_triton._paste_kernel, signature, constexprs=constants)
    target, options = GPUTarget("cuda", capability, 32), {"enable_fp_fusion": False}
    return dict(triton_compile(source, target=target, options=options).asm)


@pytest.mark.gpu
@pytest.mark.parametrize("threshold", [None, 0.4])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_cuda_equals_the_core(dtype: str, threshold: float | None) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    windows, boxes = random_case(dtype=dtype)
    with torch.cuda.stream(torch.cuda.Stream()):
        found = _masks.paste(torch.from_numpy(windows).cuda(), boxes, SIZE, threshold).cpu()
    assert_array_equal(found.numpy(), paste_regions(windows, boxes, SIZE, threshold))
