"""Every kernel and dtype compiles for every generation of devices, without one being here."""

from __future__ import annotations

import pytest

from tensormask_core.testing import require

require("cupy")

from cupy.cuda import nvrtc  # noqa: E402  (needs CuPy)

from tensormask_cupy._device import DTYPES, SOURCES, source  # noqa: E402  (as above)

ARCHITECTURES = ("sm_80", "sm_90", "sm_100")


ONE_OF_EACH_FILE = {file: name for name, file in SOURCES.items()}


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
@pytest.mark.parametrize("name", ONE_OF_EACH_FILE.values())
def test_kernels_compile(name: str, dtype: str, architecture: str) -> None:
    code = machine_code(name, dtype, architecture)
    assert all(other.encode() in code for other in SOURCES if SOURCES[other] == SOURCES[name])
