"""What a result must say about the machine, the software and the version that made it."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

_CPUINFO = Path("/proc/cpuinfo")
_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20}
# Distributions whose version decides a time; cupy's name carries the CUDA version.
_VERSIONS = re.compile(
    r"numpy|numba|llvmlite|torch|torchvision|triton|cupy(-.+)?|pycocotools|array-api-compat|tensormask-core"
)
_ASSUMED_CACHE_BYTES = 64 << 20  # where the system does not say


def machine_record(device: str) -> dict[str, Any]:
    """Return the machine as the schema wants it; ``device`` is cpu or cuda."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "cache_bytes": cache_bytes("cpu"),
        "gpu": None if device == "cpu" else _gpu_record(),
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Return the versions of Python and of the distributions that decide a time."""
    found = {"python": platform.python_version()}
    for distribution in sorted(distributions(), key=lambda found: found.name.lower()):
        if _VERSIONS.fullmatch(distribution.name.lower()):
            found[distribution.name] = distribution.version
    return found


def cpu_model() -> str:
    """Return the CPU's name."""
    lines = _CPUINFO.read_text().splitlines() if _CPUINFO.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def cache_bytes(device: str) -> int:
    """Return the size of the last-level cache of ``cpu`` or ``cuda``."""
    if device == "cuda":
        import torch  # noqa: PLC0415  (only where there is a device)

        return int(torch.cuda.get_device_properties(0).L2_cache_size)
    sizes = [_parse_size(path.read_text()) for path in _CACHES.glob("index*/size")]
    return max(sizes, default=_ASSUMED_CACHE_BYTES)


def available_cores() -> int:
    """Return the cores that this process may run on, as far as numba is allowed to use them."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return min(cores, int(os.environ.get("NUMBA_NUM_THREADS", cores)))


def commit() -> dict[str, Any] | None:
    """Return the version under test and whether files differ from it; None without a checkout."""
    head = _git("rev-parse", "HEAD")
    if head is None:
        return None
    return {"id": head, "modified": bool(_git("status", "--porcelain", "--untracked-files=no"))}


def set_threads(count: int) -> None:
    """Let the array libraries that are loaded use ``count`` threads."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(count)
    if "numba" in sys.modules:
        sys.modules["numba"].set_num_threads(count)


def _gpu_record() -> dict[str, Any]:
    import torch  # noqa: PLC0415  (only where there is a device)

    properties = torch.cuda.get_device_properties(0)
    return {
        "name": properties.name,
        "compute_capability": f"{properties.major}.{properties.minor}",
        "memory_bytes": properties.total_memory,
        "cache_bytes": properties.L2_cache_size,
        "cuda": torch.version.cuda,
    }


def _parse_size(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+)([KM]?)\s*", text).groups()  # type: ignore[union-attr]  # the kernel's format
    return int(number) * _UNITS[unit]


def _git(*arguments: str) -> str | None:
    command = ["git", *arguments]
    folder = Path(__file__).parent
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
