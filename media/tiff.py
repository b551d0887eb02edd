"""How many pages a TIFF has, by its chain of directories alone (TIFF 6.0 §2). Bounded: what is no TIFF has none."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final

from media.fax import PAGES_MAX

_ORDERS: Final = {b"II*\0": "<", b"MM\0*": ">"}


def count_pages(path: Path) -> int:
    """Its directories, up to PAGES_MAX; those that a broken file does not reach do not count. 0 for what is no TIFF."""
    try:
        with path.open("rb") as file:
            order = _ORDERS.get(file.read(4))
            if order is None:
                return 0
            at, seen = _next(file.read(4), order), set[int]()
            while at and at not in seen and len(seen) < PAGES_MAX:
                file.seek(at)
                entries = struct.unpack(order + "H", file.read(2))[0]
                file.seek(at + 2 + 12 * entries)
                link = file.read(4)
                if not entries or len(link) < 4:
                    break
                seen.add(at)
                at = _next(link, order)
            return len(seen)
    except (FileNotFoundError, struct.error):
        return 0


def _next(link: bytes, order: str) -> int:
    return int(struct.unpack(order + "I", link)[0])
