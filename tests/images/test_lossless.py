"""What a lossless format keeps comes back to the bit, whichever way up it was stored."""

from __future__ import annotations

from collections.abc import Callable

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage
from tests.images.encoders import encode, exif, png, png_rows, three, tiff
from tests.images.orientation import as_stored

from visavis import images


def _noise(height: int, width: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


_SIDE = st.integers(1, 40)
# Small ones pixel by pixel, large ones by a seed: drawing thousands of pixels takes long.
_RGB = hnp.arrays(
    np.uint8, st.tuples(st.integers(1, 8), st.integers(1, 8), st.just(3))
) | st.builds(_noise, _SIDE, _SIDE, st.integers(0, 2**32 - 1))
_GRAY = _RGB.map(lambda pixels: np.ascontiguousarray(pixels[..., 0]))
_DEEP = hnp.arrays(np.uint16, st.tuples(st.integers(1, 20), st.integers(1, 20)))

_WRITERS: dict[str, Callable[[np.ndarray], bytes]] = {
    "png": lambda p: encode(p, "PNG"),
    "bmp": lambda p: encode(p, "BMP"),
    "ppm": lambda p: encode(p, "PPM"),
    "tiff": lambda p: encode(p, "TIFF"),
    "tiff-lzw": lambda p: encode(p, "TIFF", compression="tiff_lzw"),
    "tiff-deflate": lambda p: encode(p, "TIFF", compression="tiff_adobe_deflate"),
    "tiff-packbits": lambda p: encode(p, "TIFF", compression="packbits"),
    "webp": lambda p: encode(p, "WEBP", lossless=True),
    "jpeg2000": lambda p: encode(p, "JPEG2000", num_resolutions=1),
}
_TURNED: dict[str, Callable[[np.ndarray, int], bytes]] = {
    "png": lambda p, value: encode(p, "PNG", exif=exif(value)),
    "webp": lambda p, value: encode(p, "WEBP", lossless=True, exif=exif(value)),
    "tiff": lambda p, value: encode(p, "TIFF", tiffinfo={274: value}),
    "tiff-lzw": lambda p, value: encode(p, "TIFF", tiffinfo={274: value}, compression="tiff_lzw"),
}


@pytest.mark.parametrize("kind", _WRITERS)
@settings(max_examples=40, deadline=None)
@given(pixels=_RGB)
def test_comes_back(kind: str, pixels: np.ndarray) -> None:
    assert np.array_equal(images.decode(_WRITERS[kind](pixels)), pixels)


@pytest.mark.parametrize("kind", _TURNED)
@settings(max_examples=60, deadline=None)
@given(pixels=_RGB, orientation=st.integers(1, 8))
def test_comes_back_upright(kind: str, pixels: np.ndarray, orientation: int) -> None:
    data = _TURNED[kind](as_stored(pixels, orientation), orientation)
    assert np.array_equal(images.decode(data), pixels)


@settings(max_examples=40, deadline=None)
@given(pixels=_RGB, orientation=st.integers(1, 8))
def test_pil_image_comes_back_upright(pixels: np.ndarray, orientation: int) -> None:
    image = PillowImage.fromarray(as_stored(pixels, orientation))
    image.getexif()[0x0112] = orientation
    assert np.array_equal(images.decode(image), pixels)


@pytest.mark.parametrize("kind", ["png", "bmp", "ppm", "tiff", "tiff-lzw", "jpeg2000"])
@settings(max_examples=30, deadline=None)
@given(gray=_GRAY)
def test_gray_comes_back_in_three_channels(kind: str, gray: np.ndarray) -> None:
    assert np.array_equal(images.decode(_WRITERS[kind](gray)), three(gray))


@settings(max_examples=60, deadline=None)
@given(deep=_DEEP, big_endian=st.booleans())
def test_deep_gray_is_scaled_by_its_whole_range(deep: np.ndarray, big_endian: bool) -> None:
    expected = three(np.floor(deep / 65535 * 255 + 0.5))
    height, width = deep.shape
    from_png = images.decode(png((width, height), 16, 0, png_rows(deep)))
    assert np.array_equal(from_png, expected)
    assert np.array_equal(images.decode(tiff(deep, big_endian=big_endian)), expected)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 65535), st.data())
def test_pgm_of_any_range(maxval: int, data: st.DataObject) -> None:
    samples = np.array(data.draw(st.lists(st.integers(0, maxval), min_size=1, max_size=30)))
    body = samples.astype("u1" if maxval < 256 else ">u2").tobytes()
    pixels = images.decode(b"P5 %d 1 %d\n" % (len(samples), maxval) + body)
    assert np.abs(pixels[0, :, 0] - samples / maxval * 255).max() <= 0.5 + 1e-9


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20), st.just(4))),
    st.sampled_from(("PNG", "TIFF", "array")),
)
def test_transparency_goes_on_white(rgba: np.ndarray, kind: str) -> None:
    pixels = images.decode(rgba if kind == "array" else encode(rgba, kind))
    alpha = rgba[..., 3:].astype(float) / 255
    assert np.abs(pixels - (rgba[..., :3] * alpha + 255 * (1 - alpha))).max() <= 1


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "I;16"])
def test_black_png_is_whole(mode: str) -> None:
    black = PillowImage.new(mode, (9, 7))
    if mode in ("RGBA", "LA"):
        black.putalpha(255)
    assert not images.decode(encode(black, "PNG")).any()


def test_what_a_cut_and_closed_jpeg_still_has_is_read() -> None:
    whole = encode(PillowImage.effect_noise((64, 64), 90), "JPEG", quality=90)
    pixels = images.decode(whole[: len(whole) // 2] + b"\xff\xd9")
    assert pixels.shape == (64, 64, 3)
    assert np.array_equal(pixels[:16], images.decode(whole)[:16])
