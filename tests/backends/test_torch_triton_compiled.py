"""The Triton kernels compiled for GPUs that need not be there, from the arguments of real calls."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tensormask_core.plan import Plan
from tensormask_core.testing import Case, require
from tensormask_core.units import Units

require("torch")
require("triton")

import torch  # noqa: E402  (once it is known to be there)
import triton  # noqa: E402
from triton.backends.compiler import GPUTarget  # noqa: E402
from triton.compiler import ASTSource  # noqa: E402

from tensormask_torch import _triton_dense, _triton_sparse  # noqa: E402
from tensormask_torch._triton_tables import dense_tables  # noqa: E402

TARGETS = {"sm_80": 80, "sm_90": 90, "sm_100": 100}
TYPES = {
    torch.float16: "*fp16",
    torch.bfloat16: "*bf16",
    torch.float32: "*fp32",
    torch.float64: "*fp64",
    torch.int32: "*i32",
    torch.int64: "*i64",
}


def swap(lam: int) -> Plan:
    """Return the plan of swap_align2nat at the size of a published level."""
    return Case((15, 15), (200, 304), Units(lam, 1), Units(1, lam), pad_value=-6.0).plan


INDEX = torch.zeros((4, 3), dtype=torch.int64)
CALLS: dict[str, tuple[Any, str, Callable[[Any, Plan], Any]]] = {
    "transform": (
        _triton_dense,
        "dense_kernel",
        lambda dtype, plan: _triton_dense.transform(
            torch.empty(1, *plan.shape_in, dtype=dtype), plan
        ),
    ),
    "transform_adjoint": (
        _triton_dense,
        "dense_kernel",
        lambda dtype, plan: _triton_dense.transform_adjoint(
            torch.empty(1, *plan.shape_out, dtype=dtype), plan
        ),
    ),
    "windows": (
        _triton_sparse,
        "windows_kernel",
        lambda dtype, plan: _triton_sparse.windows(
            torch.empty(1, *plan.shape_in, dtype=dtype), plan, INDEX
        ),
    ),
    "windows_adjoint": (
        _triton_sparse,
        "windows_adjoint_kernel",
        lambda dtype, plan: _triton_sparse.windows_adjoint(
            torch.empty(4, *plan.window_out, dtype=dtype), plan, INDEX, 1
        ),
    ),
}


class Recorder:
    """Stands in for a kernel and keeps what it is launched with."""

    def __getitem__(self, grid: Any) -> Any:
        def launch(*values: Any, **options: Any) -> None:
            self.values, self.options = values, options

        return launch


def compile_call(name: str, dtype: Any, capability: int, lam: int = 8) -> Any:
    """Return the kernel of one call, compiled as its launch would do it."""
    module, kernel_name, call = CALLS[name]
    kernel, recorder = getattr(module, kernel_name), Recorder()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, kernel_name, recorder)
        call(dtype, swap(lam))
    constants = {name: value for name, value in recorder.options.items() if name.isupper()}
    options = {name: value for name, value in recorder.options.items() if name not in constants}
    signature = {
        param.name: argument_type(value)
        for param, value in zip(kernel.params, recorder.values, strict=False)
    }
    signature |= dict.fromkeys(constants, "constexpr")
    aligned = {
        (param.num,): [["tt.divisibility", 16]]
        for param in kernel.params
        if signature[param.name][0] == "*" and not param.do_not_specialize_on_alignment
    }
    source = ASTSource(kernel, signature, constexprs=constants, attrs=aligned)
    return triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)


def argument_type(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return TYPES[value.dtype]
    return "i32" if abs(value) < 2**31 else "i64"


def stack_of(compiled: Any, folder: Path) -> int:
    """Return the bytes of stack per thread, where registers that are spilled go."""
    (folder / "kernel.cubin").write_bytes(compiled.asm["cubin"])
    command = [triton.knobs.nvidia.cuobjdump.path, "-res-usage", folder / "kernel.cubin"]
    usage = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return int(re.search(r"STACK:(\d+)", usage)[1])


def longest_loop(compiled: Any) -> int:
    """Return how many machine instructions the longest loop has."""
    labels, count, longest = {}, 0, 0
    for line in compiled.asm["sass"].splitlines():
        if label := re.match(r"(LBB\d+):", line):
            labels[label[1]] = count
        elif line.endswith(";"):
            count += 1
            if back := re.search(r"BRA (LBB\d+);", line):
                longest = max(longest, count - labels.get(back[1], count))
    return longest


def instructions_per_output(name: str, lam: int) -> float:
    """Return what a thread executes for a sample of the result, which is made tile by tile."""
    plan, compiled = swap(lam), compile_call(name, torch.float32, 90, lam)
    adjoint = name == "transform_adjoint"
    source, (_, cells, _, width) = plan.shape_in, plan.shape_out
    if adjoint:
        source, (_, cells, _, width) = plan.shape_out, plan.shape_in
    strides = torch.empty(1, *source, device="meta").stride()
    _, columns = dense_tables(plan, adjoint, strides, torch.float32, torch.device("cpu"))
    threads = 32 * compiled.metadata.num_warps
    return longest_loop(compiled) * threads * len(columns.source) / (cells * width)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("name", CALLS)
def test_kernels_compile_without_spills(name: str, dtype: str, target: str, tmp_path: Path) -> None:
    compiled = compile_call(name, getattr(torch, dtype), TARGETS[target])
    assert stack_of(compiled, tmp_path) == 0


def test_dense_kernel_waits_twice_per_row() -> None:
    """Once for shared memory to be free and once for it to be full: no value changes threads."""
    ptx = compile_call("transform", torch.float32, 90).asm["ptx"]
    assert ptx.count("bar.sync") <= 3  # one more before the loop


@pytest.mark.parametrize("lam", [1, 8, 32])
@pytest.mark.parametrize(("name", "share"), [("transform", 0.75), ("transform_adjoint", 0.6)])
def test_float32_leaves_time_to_reach_a_share_of_the_bandwidth(
    name: str, share: float, lam: int
) -> None:
    """Counted in the compiled code, for a GPU that need not be there."""
    # An H200 executes 132 * 128 instructions per clock at 1.755 GHz and copies at 4.3 TB/s; eight
    # bytes are read and written per output.
    allowed = 132 * 128 * 1.755e9 / 4.3e12 * 8 / share
    assert 10 < instructions_per_output(name, lam) < allowed
