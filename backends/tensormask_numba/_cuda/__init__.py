"""The CUDA half of the numba backend: kernels for arrays with ``__cuda_array_interface__``.

The package numba-cuda takes over the import of every module whose name contains ``numba.cuda``, so
this one must not be called ``tensormask_numba.cuda``.
"""

from __future__ import annotations

from tensormask_numba._cuda._backend import CudaKernels

__all__ = ["CudaKernels"]
