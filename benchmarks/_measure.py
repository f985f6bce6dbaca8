"""Seconds and bytes that one call takes, on the host or on a CUDA device."""

from __future__ import annotations

import ctypes
import gc
import time
import tracemalloc
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

Call = Callable[[], object]

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"  # see proc_pid_clear_refs(5)
_FLUSH_BYTES = 1 << 30


def host_seconds(call: Call) -> float:
    """Return the wall time of one call; what it returns is freed after the clock has stopped."""
    start = time.perf_counter()
    kept = call()
    seconds = time.perf_counter() - start
    del kept
    return seconds


def device_seconds(call: Call) -> float:
    """Return the time between two events around one call on the current CUDA stream.

    The device first writes a buffer that is much larger than its cache. That empties the cache,
    and while it lasts the host enqueues the call: the time of the host is hidden.
    """
    import torch  # noqa: PLC0415  (only where there is a device)

    event: Any = torch.cuda.Event  # has no types
    start, end = event(enable_timing=True), event(enable_timing=True)
    _flush_buffer().zero_()
    start.record()
    kept = call()
    end.record()
    end.synchronize()
    del kept
    return float(start.elapsed_time(end)) / 1e3


def host_peak_bytes(call: Call) -> int:
    """Return by how much one call raises the memory of this process, at most.

    On Linux that is resident memory, whoever allocates it; elsewhere what Python traces.
    """
    gc.collect()
    if not _CLEAR_REFS.exists():
        return _traced_peak_bytes(call)
    # Freed memory that the allocator keeps would hide what the call allocates.
    ctypes.CDLL(None).malloc_trim(0)
    _CLEAR_REFS.write_text(_RESET_PEAK)
    before = _status_bytes("VmRSS")
    kept = call()
    peak = _status_bytes("VmHWM")
    del kept
    return max(peak - before, 0)


def device_peak_bytes(call: Call) -> int:
    """Return by how much one call raises the memory that torch has allocated on the device."""
    import torch  # noqa: PLC0415  (only where there is a device)

    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    kept = call()
    torch.cuda.synchronize()
    del kept
    return int(torch.cuda.max_memory_allocated() - before)


@cache
def _flush_buffer() -> Any:
    import torch  # noqa: PLC0415  (only where there is a device)

    return torch.empty(_FLUSH_BYTES, dtype=torch.uint8, device="cuda")


def _status_bytes(field: str) -> int:
    (line,) = (line for line in _STATUS.read_text().splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) * 1024  # "VmRSS:   1234 kB"


def _traced_peak_bytes(call: Call) -> int:
    tracemalloc.start()
    try:
        kept = call()
        peak = tracemalloc.get_traced_memory()[1]
        del kept
        return peak
    finally:
        tracemalloc.stop()
