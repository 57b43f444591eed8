"""The sprite sheet: read back by a decoder of a dozen lines that knows nothing of the encoder."""

import struct
import zlib

import numpy as np
import pytest

from journeyman.report._film import encode, palette, sheet, shrink


def decode(png: bytes) -> np.ndarray:
    """The pixels (height, width, 3) of a palette PNG without row filters."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(png):
        (length,), kind = struct.unpack(">I", png[at : at + 4]), png[at + 4 : at + 8]
        body = png[at + 8 : at + 8 + length]
        (check,) = struct.unpack(">I", png[at + 8 + length : at + 12 + length])
        assert check == zlib.crc32(kind + body)
        chunks[kind], at = body, at + 12 + length
    width, height = struct.unpack(">II", chunks[b"IHDR"][:8])
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, width + 1)
    assert not rows[:, 0].any()
    return np.frombuffer(chunks[b"PLTE"], np.uint8).reshape(-1, 3)[rows[:, 1:]]


def moving_square(frames: int = 12, size: int = 64) -> list[np.ndarray]:
    film = np.full((frames, size, size, 3), 230, np.uint8)
    for t in range(frames):
        film[t, 20:30, 4 * t : 4 * t + 10] = (200, 40, 20)
    return list(film)


def test_frames_stand_side_by_side_in_order() -> None:
    frames = moving_square()
    png, count, (height, width) = sheet(frames)
    assert (count, height, width) == (12, 64, 64)
    np.testing.assert_array_equal(decode(png), np.concatenate(frames, axis=1))  # two colours: nothing is lost


def test_first_and_last_frame_survive_thinning() -> None:
    frames = [np.full((8, 8, 3), t, np.uint8) for t in range(200)]
    png, count, (_, width) = sheet(frames)
    assert count == 60
    pixels = decode(png).astype(int)
    assert abs(pixels[0, 0, 0] - 0) <= 8  # five bits a channel: a colour moves by less than one step of 8
    assert abs(pixels[0, -1, 0] - 199) <= 8
    assert pixels.shape[1] == count * width


def test_a_film_of_noise_is_cut_down_to_size() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (30, 256, 256, 3), dtype=np.uint8)
    png, count, size = sheet(list(noise))
    assert len(png) <= 220_000
    assert count < 30
    assert size[0] < 256
    whole, _, _ = sheet(list(noise), largest=10**9)
    assert len(whole) > 220_000  # without the bound it would have been too large


def test_shrink_is_the_mean_of_blocks() -> None:
    frame = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    small = shrink(frame, 3)
    assert small.shape == (2, 3, 3)
    # block of rows 0-1, columns 0-1, first channel: (0 + 3 + 18 + 21) / 4 = 10.5, rounded up
    assert small[0, 0, 0] == 11


@pytest.mark.parametrize("colours", [2, 16, 64])
def test_palette_holds_its_bound_and_errs_less_with_more_colours(colours: int) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    indices, table = palette(picture, colours)
    assert len(table) == colours
    error = np.abs(table[indices].astype(float) - picture).mean()
    coarse = np.abs(picture.reshape(-1, 3).mean(axis=0) - picture).mean()  # one colour for everything
    assert error < coarse * (1 - 0.1 * np.log2(colours) / 1.5)


def test_encode_keeps_indices() -> None:
    indices = np.array([[0, 1], [2, 0], [1, 1]], np.uint8)
    table = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]], np.uint8)
    np.testing.assert_array_equal(decode(encode(indices, table)), table[indices])
