"""Grey made black and white: letters and lines by a threshold, so that they stay crisp; pictures by dithering."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

Bits = npt.NDArray[np.bool_]
"""True is black; one row a line."""

THRESHOLD = 176  # hairlines that cover half a line are still drawn
_BLOCK = 16
_GREYS = (32, 224)
_PICTURE = 0.6  # so much of a block is neither black nor white
_COMPANY = 3  # a block of a picture has neighbours that are, too


def bilevel(grey: Image.Image) -> Bits:
    """A page in grey (mode L) as black and white."""
    levels = np.asarray(grey)
    black: Bits = levels < THRESHOLD
    picture = _pictures(levels)
    if picture.any():
        dithered = ~np.asarray(grey.convert("1"))  # Floyd and Steinberg's
        rows, columns = levels.shape
        where = picture.repeat(_BLOCK, 0).repeat(_BLOCK, 1)[:rows, :columns]
        black = np.where(where, dithered, black)
    return black


def _pictures(levels: npt.NDArray[np.uint8]) -> Bits:
    """Which blocks belong to pictures: much grey, and not alone. The edges of letters are grey as well, but thin."""
    rows, columns = levels.shape
    padded = np.pad((levels > _GREYS[0]) & (levels < _GREYS[1]), ((0, -rows % _BLOCK), (0, -columns % _BLOCK)))
    blocks = padded.reshape(padded.shape[0] // _BLOCK, _BLOCK, padded.shape[1] // _BLOCK, _BLOCK)
    grey = blocks.mean((1, 3)) > _PICTURE
    around = np.pad(grey.astype(np.int8), 1)
    tall, wide = grey.shape
    company = sum(around[y : y + tall, x : x + wide] for y in range(3) for x in range(3) if (y, x) != (1, 1))
    found: Bits = grey & (company >= _COMPANY)
    spread = np.pad(found, 1)  # the rim of a picture is in blocks with little of it
    rim: Bits = np.logical_or.reduce([spread[y : y + tall, x : x + wide] for y in range(3) for x in range(3)])
    rim &= blocks.mean((1, 3)) > _PICTURE / 4
    return rim
