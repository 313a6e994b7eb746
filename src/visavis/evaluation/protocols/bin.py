"""Reads and writes the ``.bin`` datasets of face recognition papers (LFW, CFP-FP, AgeDB-30, CALFW,
CPLFW).

A file is a pickled pair ``(images, issame)``: encoded images, two per pair, and one flag per pair.
A pickle can execute code, so this reader allows only a few harmless stand-ins and takes lists,
bytes and booleans from them.
"""

from __future__ import annotations

import io
import pickle
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from visavis.errors import DataError, OptionError, writing_to
from visavis.evaluation.protocols.protocol import Protocol
from visavis.reading import open_regular
from visavis.types import Image as Pixels
from visavis.writing import replacing

FOLDS: Final = 10


def read(path: Path) -> Protocol:
    """Reads a ``.bin`` dataset, written by Python 2 or 3.

    The folds are those of the papers: ten consecutive tenths of the list.

    Args:
        path: the file.

    Raises:
        DataError: the file is not such a dataset, or is another pickle.
    """
    images, same = _load(path)
    if len(images) != 2 * len(same):
        raise DataError(
            f"{path}: {len(images)} images for {len(same)} pairs", "give two images per pair"
        )
    index: dict[bytes, int] = {}
    place = np.array([index.setdefault(image, len(index)) for image in images], dtype=np.int64)
    photos = tuple(index)
    width = len(str(len(images)))
    names: dict[int, str] = {}
    for k, photo in enumerate(place.tolist()):
        names.setdefault(photo, f"{path.stem}/{k:0{width}d}")
    aligned = {_size(path, k, photo) for k, photo in enumerate(photos)} == {(112, 112)}
    return Protocol(
        name=path.name,
        photos=photos,
        labels=tuple(names[k] for k in range(len(photos))),
        first=place[::2],
        second=place[1::2],
        same=np.array(same, dtype=np.bool_),
        fold=consecutive_folds(len(same)),
        aligned=aligned,
        notes=(
            "All images are aligned crops of 112x112 pixels: embedded as they are, without "
            "detection."
            if aligned
            else "The images are not crops of 112x112 pixels: faces were detected and aligned.",
        ),
    )


def consecutive_folds(pairs: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Returns folds 1 .. 10 of consecutive pairs; the first ones are longer if not divisible by
    ten.

    >>> consecutive_folds(12)
    array([ 1,  1,  2,  2,  3,  4,  5,  6,  7,  8,  9, 10])
    """
    label = np.zeros(pairs, dtype=np.int64)
    for k, run in enumerate(np.array_split(np.arange(pairs), FOLDS)):
        label[run] = k + 1
    return label


def write(path: Path, images: Sequence[bytes | Pixels], same: Sequence[bool]) -> None:
    """Writes a ``.bin`` dataset, private because it shows faces.

    Args:
        path: the file to write.
        images: 2N images, each as bytes (JPEG or PNG) or as pixels, ``(H, W, 3)`` RGB uint8, which
            are stored lossless; pair k is images 2k and 2k + 1.
        same: N flags.

    Raises:
        OptionError: the numbers do not match, or an item is not an image or flag.
        DataError: the file cannot be written.
    """
    if len(images) != 2 * len(same) or not len(same):
        raise OptionError(f"{len(images)} images for {len(same)} pairs", "give two images per pair")
    encoded = [_encoded(k, image) for k, image in enumerate(images)]
    for k, flag in enumerate(same):
        if not isinstance(flag, (bool, np.bool_, int, np.integer)) or flag not in (0, 1):
            raise OptionError(f"flag {k} is {flag!r}", "give booleans")
    content = pickle.dumps((encoded, [bool(flag) for flag in same]), protocol=4)
    with (
        writing_to(path, "name a file in a folder that exists"),
        replacing(path, private=True) as temporary,
    ):
        temporary.write_bytes(content)


def _encoded(k: int, image: bytes | Pixels) -> bytes:
    """Returns an image as an encoded file."""
    from PIL import Image

    if isinstance(image, np.ndarray) and image.ndim > 1:
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise OptionError(
                f"image {k} is an array of shape {image.shape}, {image.dtype}",
                "give (H, W, 3) RGB uint8, or the bytes of a JPEG or PNG",
            )
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "PNG")
        return buffer.getvalue()
    data = bytes(image)
    try:
        _size(Path("images"), k, data)
    except DataError as error:
        raise OptionError(
            f"image {k} is no encoded image", "give the bytes of a JPEG or PNG, or (H, W, 3) pixels"
        ) from error
    return data


def _size(path: Path, k: int, data: bytes) -> tuple[int, int]:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data)) as image:
            return image.size
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(
            f"{path}: image {k} is not an image ({error})", "give encoded images, JPEG or PNG"
        ) from error


def _load(path: Path) -> tuple[list[bytes], list[bool]]:
    try:
        with open_regular(path) as file:
            content = _Unpickler(file, encoding="bytes").load()
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror})", "give the path of a .bin file"
        ) from error
    except (
        pickle.UnpicklingError,
        EOFError,
        ValueError,  # UnicodeDecodeError is one
        TypeError,
        KeyError,
        IndexError,
        AttributeError,
        OverflowError,
        MemoryError,
        struct.error,
    ) as error:
        raise DataError(
            f"{path}: not a set of pairs ({error or type(error).__name__})",
            "give a pickle of (list of encoded images, list of booleans)",
        ) from error
    if not isinstance(content, (tuple, list)) or len(content) != 2:
        raise DataError(
            f"{path}: a pickled {type(content).__name__}",
            "give a pickle of (list of encoded images, list of booleans)",
        )
    images, flags = content
    if isinstance(flags, _Array):
        flags = flags.items() or flags
    if not isinstance(images, (list, tuple)) or not isinstance(flags, (list, tuple)) or not flags:
        kinds = [type(part).__name__.removeprefix("_").lower() for part in (images, flags)]
        raise DataError(
            f"{path}: {kinds[0]} and {kinds[1]} inside",
            "give a list of encoded images and a list of booleans, not empty",
        )
    return (
        [_image(path, k, value) for k, value in enumerate(images)],
        [_flag(path, k, value) for k, value in enumerate(flags)],
    )


def _image(path: Path, k: int, value: object) -> bytes:
    if isinstance(value, _Array):
        value = value.data
    if isinstance(value, (bytes, bytearray)):
        return bytes(value)
    raise DataError(f"{path}: image {k} is a {type(value).__name__}", "give bytes")


def _flag(path: Path, k: int, value: object) -> bool:
    if isinstance(value, _Array) and len(value.items()) == 1:
        (value,) = value.items()
    if isinstance(value, int) and value in (0, 1):
        return bool(value)
    got = "another number" if isinstance(value, int) else f"a {type(value).__name__}"
    raise DataError(f"{path}: flag {k} is {got}", "give booleans")


class _Dtype:
    """Stand-in for ``numpy.dtype``: stores the code, supports two kinds."""

    def __init__(self, code: object, *_: object) -> None:
        self.code = code.decode("ascii") if isinstance(code, bytes) else str(code)

    def __setstate__(self, state: object) -> None:
        """Ignores byte order and fields, which one-byte types do not have."""


class _Array:
    """Stand-in for a ``numpy`` array or scalar of booleans or bytes; runs no numpy code."""

    def __init__(self, dtype: object = None, data: object = b"") -> None:
        self.dtype = dtype
        self.data = _as_bytes(data)

    def __setstate__(self, state: Any) -> None:
        _version, _shape, self.dtype, _fortran, data = state
        self.data = _as_bytes(data)

    def items(self) -> list[int]:
        """Returns the elements as integers; empty for other types."""
        if not isinstance(self.dtype, _Dtype) or self.dtype.code not in ("b1", "u1", "i1", "?"):
            return []
        return list(self.data)


def _as_bytes(data: object) -> bytes:
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise pickle.UnpicklingError("an array of other things than booleans and bytes")
    return bytes(data)


def _encode(text: object, encoding: object) -> bytes:
    """Python 3's encoding of bytes in old pickles; supports only that codec."""
    name = encoding.decode("ascii") if isinstance(encoding, bytes) else str(encoding)
    if name not in {"latin1", "latin-1", "iso-8859-1"} or not isinstance(text, str):
        raise pickle.UnpicklingError(f"encoding {name!r}")
    return text.encode("latin-1")


def _reconstruct(_kind: object, _shape: object, _code: object) -> _Array:
    return _Array()


def _scalar(dtype: object, data: object) -> _Array:
    return _Array(dtype, data)


def _from_buffer(data: object, dtype: object, _shape: object, _order: object) -> _Array:
    return _Array(dtype, data)


def _bytes(*arguments: object) -> bytes:
    """Returns empty ``bytes`` or a copy; never ``bytes(10**12)``."""
    return _as_bytes(arguments[0]) if arguments else b""


@dataclass(frozen=True, slots=True)
class _StandIn:
    """Calls a function; has no attribute that a pickle could overwrite."""

    function: Callable[..., object]

    def __call__(self, *arguments: object) -> object:
        return self.function(*arguments)

    def __setstate__(self, state: object) -> None:
        # The dataclass default would let a pickle replace the function.
        raise pickle.UnpicklingError("a function has no state")


_STAND_INS: Final = {
    ("_codecs", "encode"): _StandIn(_encode),
    **{
        (module, name): _StandIn(_bytes)
        for module in ("builtins", "__builtin__")
        for name in ("bytes", "bytearray")
    },
    **{
        (f"numpy.{core}.{module}", name): _StandIn(function)
        for core in ("core", "_core")
        for module, name, function in (
            ("multiarray", "_reconstruct", _reconstruct),
            ("multiarray", "scalar", _scalar),
            ("numeric", "_frombuffer", _from_buffer),
        )
    },
    ("numpy", "ndarray"): _StandIn(_Array),
    ("numpy", "dtype"): _StandIn(_Dtype),
}


class _Unpickler(pickle._Unpickler):
    """Unpickler that finds only the stand-ins.

    The one in Python: that in C makes a list as long as twice the largest number that a pickle
    gives a value, and four bytes can say 4,294,967,295.
    """

    def find_class(self, module: str, name: str, /) -> _StandIn:
        found = _STAND_INS.get((module, name))
        if found is None:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which may run code")
        return found
