"""Films as one picture: all frames side by side in a palette PNG that the page's style sheet plays.

Frames of a simulator repeat each other almost everywhere, and side by side the repetition lies within the
reach of deflate; so one sheet is far smaller than its frames, and needs no video codec and no imaging
library.
"""

import base64
import struct
import zlib
from collections.abc import Sequence

import numpy as np

LARGEST_FILM = 220_000
"""Bytes of PNG that a film may take; base64 then adds a third."""

_TRIALS = ((60, 260, 128), (48, 240, 96), (40, 200, 64), (30, 160, 64), (20, 128, 32), (8, 64, 16))
"""What is tried in turn: at most so many frames, so many pixels wide, in so many colours."""


def sheet(frames: Sequence[np.ndarray] | np.ndarray, largest: int = LARGEST_FILM) -> tuple[bytes, int, tuple[int, int]]:
    """The frames as one PNG, how many are on it, and the (height, width) of each, in pixels.

    Frames are thinned evenly, shrunk and reduced to fewer colours until the file has at most `largest` bytes;
    if even the coarsest does not, it is taken as it is.
    """
    png, count, size, area = b"", 0, (0, 0), 1
    for most, width, colours in _TRIALS:
        wanted = min(most, len(frames)) * width**2
        if len(png) * wanted > 2 * largest * area and (most, width, colours) != _TRIALS[-1]:
            continue  # by the size of the last trial this one is hopeless
        chosen = np.unique(np.linspace(0, len(frames) - 1, min(most, len(frames))).round().astype(int))
        small = np.stack([shrink(np.asarray(frames[i]), width) for i in chosen])
        count, size = len(small), (small.shape[1], small.shape[2])
        row = np.moveaxis(small, 0, 1).reshape(size[0], count * size[1], 3)
        png, area = encode(*palette(row, colours)), wanted
        if len(png) <= largest:
            break
    return png, count, size


def data_url(png: bytes) -> str:
    """A PNG as a URL that holds the picture itself."""
    return "data:image/png;base64," + base64.b64encode(png).decode()


def shrink(frame: np.ndarray, width: int) -> np.ndarray:
    """`frame` at most `width` pixels wide: each new pixel is the mean of the block that it stands for."""
    factor = -(-frame.shape[1] // width)
    height, wide = frame.shape[0] // factor, frame.shape[1] // factor
    if factor == 1 or not height:
        return frame
    whole = frame[: height * factor, : wide * factor].astype(np.uint32)
    # a sum over shifted pictures is ten times faster than a mean over the axes inside the blocks
    total = sum(whole[i::factor, j::factor] for i in range(factor) for j in range(factor))
    return ((2 * total + factor**2) // (2 * factor**2)).astype(np.uint8)


def palette(picture: np.ndarray, colours: int) -> tuple[np.ndarray, np.ndarray]:
    """The picture as indices (height, width) into a table (≤ colours, 3), by median cut (Heckbert 1982).

    Colours are first rounded to five bits a channel, so that the boxes are cut over at most 32,768 of them.
    """
    codes = picture.astype(np.int32) >> 3
    codes = codes[..., 0] << 10 | codes[..., 1] << 5 | codes[..., 2]
    counts = np.bincount(codes.ravel(), minlength=1 << 15)
    used = np.flatnonzero(counts)
    sums = np.stack([np.bincount(codes.ravel(), picture[..., c].ravel(), 1 << 15)[used] for c in range(3)], axis=1)
    points = sums / counts[used, None]
    boxes = [np.arange(len(used))]
    while len(boxes) < colours:
        spread = [np.ptp(points[b], axis=0).max() * counts[used[b]].sum() ** 0.5 if len(b) > 1 else 0 for b in boxes]
        widest = int(np.argmax(spread))
        if spread[widest] <= 0:
            break
        boxes[widest : widest + 1] = _cut(boxes[widest], points, counts[used])
    table = np.stack([sums[b].sum(axis=0) / counts[used[b]].sum() for b in boxes]).round().astype(np.uint8)
    lookup = np.zeros(1 << 15, np.uint8)
    for index, box in enumerate(boxes):
        lookup[used[box]] = index
    return lookup[codes], table


def _cut(box: np.ndarray, points: np.ndarray, counts: np.ndarray) -> list[np.ndarray]:
    """A box in two along its longest side, where half of its pixels lie on either side."""
    order = box[np.argsort(points[box, np.argmax(np.ptp(points[box], axis=0))], kind="stable")]
    below = np.cumsum(counts[order])
    middle = int(np.clip(np.searchsorted(below, below[-1] / 2), 1, len(order) - 1))
    return [order[:middle], order[middle:]]


def encode(indices: np.ndarray, table: np.ndarray) -> bytes:
    """A palette PNG (colour type 3, eight bits) of indices (height, width) into a table (colours, 3)."""
    height, width = indices.shape
    rows = np.zeros((height, width + 1), np.uint8)  # the leading zero of a row says: not filtered
    rows[:, 1:] = indices
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    parts = (
        (b"IHDR", header),
        (b"PLTE", table.tobytes()),
        (b"IDAT", zlib.compress(rows.tobytes(), 6)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in parts
    )
