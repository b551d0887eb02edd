"""Describes the extension `media.wire._wire` to cffi. wire.h is the one description of its functions."""

from __future__ import annotations

from pathlib import Path

from cffi import FFI

HERE = Path("media/wire")
SOURCES = sorted(str(path) for path in HERE.glob("*.c") if path.name != "_wire.c")
HEADERS = sorted(str(path) for path in HERE.glob("*.h"))


def declarations(header: Path) -> str:
    """What of a C header cffi understands: everything but the preprocessor's lines."""
    return "\n".join(line for line in header.read_text().splitlines() if not line.startswith("#"))


builder = FFI()
builder.cdef(declarations(HERE / "wire.h"))
builder.set_source(
    "media.wire._wire",
    '#include "wire.h"',
    sources=SOURCES,
    depends=HEADERS,
    include_dirs=[str(HERE)],
    extra_compile_args=["-std=gnu11", "-O2", "-fno-strict-aliasing", "-fvisibility=hidden", "-Wall", "-Wextra"],
    libraries=["opus", "srtp2", "pthread", "m"],
)
