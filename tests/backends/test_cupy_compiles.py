"""Every kernel and dtype compiles for every generation of devices, without one being here."""

from __future__ import annotations

import pytest

from tensormask_core.testing import require

require("cupy")

from cupy.cuda import nvrtc  # noqa: E402  (needs CuPy)

from tensormask_cupy._device import DTYPES, SOURCES, source  # noqa: E402  (as above)

ARCHITECTURES = ("sm_80", "sm_90", "sm_100")


def machine_code(name: str, dtype: str, architecture: str) -> bytes:
    program = nvrtc.createProgram(source(name, dtype), f"{name}.cu", [], [])
    try:
        nvrtc.compileProgram(program, ["-std=c++17", f"-arch={architecture}"])
        return bytes(nvrtc.getCUBIN(program))
    except nvrtc.NVRTCError:
        pytest.fail(nvrtc.getProgramLog(program))
    finally:
        nvrtc.destroyProgram(program)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", SOURCES)
def test_kernel_compiles(name: str, dtype: str, architecture: str) -> None:
    assert name.encode() in machine_code(name, dtype, architecture)
