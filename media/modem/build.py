"""Describes the extension `media.modem._modem` to cffi. modem.h is the one description of its functions."""

from __future__ import annotations

from pathlib import Path

from cffi import FFI

HERE = Path("media/modem")

builder = FFI()
builder.cdef("\n".join(line for line in (HERE / "modem.h").read_text().splitlines() if not line.startswith("#")))
builder.set_source(
    "media.modem._modem",
    '#include "modem.h"',
    sources=[str(HERE / "modem.c")],
    depends=[str(HERE / "modem.h")],
    include_dirs=[str(HERE)],
    extra_compile_args=["-std=gnu11", "-O2", "-fvisibility=hidden", "-Wall", "-Wextra"],
    libraries=["spandsp", "tiff"],
)
