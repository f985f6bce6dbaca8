"""Ranges of tasks on several threads, by kernels that release the interpreter's lock.

Not numba's own threads: their layers end the process when two threads of it call them at once or
when it forks after their first use, as data loaders do; and parallel kernels take several times
as long to compile.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

_PIECES = 4  # per thread: tasks of one range may take longer than those of another


def run_in_threads(task: Callable[[int, int], None], count: int, threads: int) -> None:
    """Call ``task(begin, end)`` for ranges that cover ``count`` tasks."""
    threads = min(threads, count)
    if threads <= 1:
        task(0, count)
        return
    pieces = min(count, threads * _PIECES)
    edges = [count * piece // pieces for piece in range(pieces + 1)]
    list(_pool(os.getpid(), threads).map(task, edges[:-1], edges[1:]))


@lru_cache(maxsize=4)
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """Return the threads of a process; a forked one has none of its parent's."""
    return ThreadPoolExecutor(threads, thread_name_prefix="tensormask")
