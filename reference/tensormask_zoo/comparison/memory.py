"""The memory that one call takes at most."""

from __future__ import annotations

import ctypes
import gc
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import torch

Call = Callable[[], object]

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"  # see proc_pid_clear_refs(5)


def peak_bytes(call: Call, device: torch.device) -> int:
    """Return by how much one call raises the memory in use, at most.

    On CUDA that of torch's allocator; on Linux resident memory, whoever allocates it, in steps
    of some 0.1 MB; elsewhere what Python traces.
    """
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        call()
        return max(0, torch.cuda.max_memory_allocated(device) - before)
    return _resident_peak(call) if _CLEAR_REFS.exists() else _traced_peak(call)


def _resident_peak(call: Call) -> int:
    # Freed memory that the allocator keeps would hide what the call allocates.
    getattr(ctypes.CDLL(None), "malloc_trim", lambda _: 0)(0)
    _CLEAR_REFS.write_text(_RESET_PEAK)
    before = _status_bytes("VmRSS")
    call()
    return max(0, _status_bytes("VmHWM") - before)


def _status_bytes(name: str) -> int:
    (line,) = (line for line in _STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024  # "VmRSS:   1234 kB"


def _traced_peak(call: Call) -> int:
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
