"""A host program keeps its settings, its warnings and its threads."""

from __future__ import annotations

import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage
from PIL import ImageFile
from tests.images import profiles
from tests.images.corpus import Recipe, recipes
from tests.images.encoders import encode, exif, noise, photo

from visavis import images
from visavis.errors import ImageTruncatedError

_BY_NAME = {recipe.name: recipe for recipe in recipes()}
_CUT = [
    name
    for name, recipe in _BY_NAME.items()
    if recipe.expect is ImageTruncatedError and recipe.file is not None
]


@pytest.mark.parametrize("name", _CUT)
def test_lenient_host_does_not_let_cut_files_pass(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    case = _BY_NAME[name].cook(tmp_path)
    with pytest.raises(ImageTruncatedError):
        images.decode(case.source)


@pytest.mark.parametrize(
    "recipe", [r for r in _BY_NAME.values() if r.expect is None], ids=lambda recipe: recipe.name
)
def test_lenient_host_still_reads_whole_files(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    source = recipe.cook(tmp_path).source
    assert images.decode(source).shape == recipe.pixels.shape


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "PPM", "JPEG2000", "AVIF"])
def test_only_our_limit_counts(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PillowImage, "MAX_IMAGE_PIXELS", 1000)
    assert images.decode(encode(photo(), kind)).shape == (48, 64, 3)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF"])
def test_photo_over_pillows_warning_level_is_read_in_silence(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PillowImage, "MAX_IMAGE_PIXELS", 2000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert images.decode(encode(photo(), kind)).shape == (48, 64, 3)


def test_warnings_of_others_are_untouched() -> None:
    before = list(warnings.filters)
    images.decode(encode(photo(), "PNG"))
    assert list(warnings.filters) == before
    with pytest.warns(UserWarning, match="mine"):
        warnings.warn("mine", stacklevel=1)


def test_warnings_stay_silent_and_filters_clean_in_threads() -> None:
    before = list(warnings.filters)
    data = encode(photo(), "PNG")
    barrier = threading.Barrier(8)

    def work(_: int) -> int:
        barrier.wait()
        return sum(images.decode(data).shape[0] for _ in range(20))

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == [20 * 48] * 8
    assert list(warnings.filters) == before


def test_threads_get_the_same_pixels() -> None:
    profile = profiles.rgb_profile(profiles.PROPHOTO, 1.8)
    files = [
        encode(noise(seed=i), kind, **options)
        for i in range(3)
        for kind, options in (
            ("JPEG", {"exif": exif(6)}),
            ("PNG", {"icc_profile": profile}),
            ("WEBP", {}),
            ("TIFF", {"compression": "tiff_lzw"}),
            ("GIF", {}),
        )
    ] * 8
    alone = [images.decode(data) for data in files]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(images.decode, files))
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_bombs_cost_no_memory(tmp_path: Path) -> None:
    paths = [str(r.cook(tmp_path).source) for r in _BY_NAME.values() if "bomb" in r.name]
    program = (
        "import re, sys\n"
        "from pathlib import Path\n"
        "from visavis import images\n"
        "from visavis.errors import ImageError\n"
        "def peak():\n"
        "    return int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])\n"
        "images.decode(b'P5 1 1 255 x')\n"
        "before = peak()\n"
        "for path in sys.argv[1:]:\n"
        "    try:\n"
        "        images.decode(path)\n"
        "    except ImageError:\n"
        "        continue\n"
        "    raise SystemExit(path)\n"
        "print(peak() - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *paths], capture_output=True, text=True, check=False
    )
    assert len(paths) > 10
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 100_000  # KiB


def test_import_and_decode_register_nothing_with_pillow() -> None:
    program = (
        "import io, sys\n"
        "from PIL import Image\n"
        "from visavis import images\n"
        "limit = Image.MAX_IMAGE_PIXELS\n"
        "images.decode(b'P5 1 1 255 x')\n"
        "assert Image.MAX_IMAGE_PIXELS == limit\n"
        "loaded = {m for m in sys.modules if m.startswith('PIL.') and m.endswith('Plugin')}\n"
        "assert loaded <= {'PIL.PpmImagePlugin', 'PIL.JpegImagePlugin'}, loaded\n"
        "assert not {'torch', 'cv2', 'pi_heif'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
