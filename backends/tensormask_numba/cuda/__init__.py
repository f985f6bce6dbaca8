"""The CUDA half of the numba backend: kernels for arrays with ``__cuda_array_interface__``."""

from __future__ import annotations

from tensormask_numba.cuda._backend import CudaKernels

__all__ = ["CudaKernels"]
