"""The extension built from wire.h, as the face in __init__ uses it."""

from typing import Any, Protocol

class _FFI(Protocol):
    NULL: Any
    def new(self, cdecl: str, init: Any = ...) -> Any: ...
    def string(self, cdata: Any) -> bytes: ...
    def buffer(self, cdata: Any, size: int = ...) -> Any: ...

ffi: _FFI
lib: Any
