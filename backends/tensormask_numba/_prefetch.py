"""Fetching cache lines before they are needed."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import njit, types, uintp
from numba.extending import intrinsic

from tensormask_numba._blend import INLINE


def _prefetch_as(write: bool, level: int) -> Any:
    """Return what fetches the cache line of ``array[at]`` in the background."""

    @intrinsic
    def fetch(typing_context, array, at):
        signature = types.void(array, types.uintp)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            array, at = arguments
            byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
            data = context.make_array(signature.args[0])(context, builder, array).data
            kind = ir.FunctionType(ir.VoidType(), [byte, word, word, word])
            function = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
            place = builder.bitcast(builder.gep(data, [at]), byte)
            builder.call(function, [place, word(int(write)), word(level), word(1)])
            return context.get_dummy_value()

        return signature, generate

    return fetch


_fetch_to_read, _fetch_to_write = _prefetch_as(False, 2), _prefetch_as(True, 3)


@njit(**INLINE)
def prefetch(array, begin, end):
    """Fetch the cache lines from ``begin`` to ``end``, which will be read."""
    for at in range(uintp(begin), uintp(end), uintp(16)):
        _fetch_to_read(array, at)


@njit(**INLINE)
def prefetch_for_writing(array, begin, end):
    """Fetch the cache lines from ``begin`` to ``end``, which will be overwritten."""
    for at in range(uintp(begin), uintp(end), uintp(16)):
        _fetch_to_write(array, at)
