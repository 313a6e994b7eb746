"""Files that are no photo in a format that is read."""

from __future__ import annotations

import gzip
import io
import zipfile

import numpy as np
from tests.images.corpus import Recipe
from tests.images.encoders import encode, noise, photo

from visavis.errors import NotAnImageError


def recipes() -> list[Recipe]:
    ftyp = b"\0\0\0\x18ftyp%s\0\0\0\0%s" + bytes(64)
    table: list[tuple[str, bytes, tuple[str, ...]]] = [
        ("text", b"Dear Sir or Madam, " * 60, ("is not an image", "Dear Sir")),
        ("short-text-as-bytes", b"photos/ann.jpg", ("if these bytes are a path",)),
        ("json", b'{"error": "quota exceeded"}\n', ("is not an image",)),
        ("web-page", b"\r\n<!DOCTYPE html><html>404", ("a web page", "fetch the photo itself")),
        ("svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", ("SVG",)),
        ("xml-with-byte-order-mark", b"\xef\xbb\xbf<?xml version='1.0'?><svg/>", ("SVG",)),
        ("pdf", b"%PDF-1.7\n", ("a PDF document", "JPEG, PNG")),
        ("postscript", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", ("a PostScript",)),
        ("photoshop", b"8BPS\0\1" + bytes(40), ("a Photoshop document",)),
        ("icon", encode(photo(), "ICO"), ("an icon",)),
        ("targa", encode(photo(), "TGA"), ("is not an image",)),
        ("pcx", encode(photo(), "PCX"), ("is not an image",)),
        ("qoi", b"qoif" + bytes(60), ("is not an image",)),
        ("portable-float-map", b"Pf\n2 1\n-1.0\n" + bytes(8), ("is not an image",)),
        ("jpeg-xl", b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(50), ("a JPEG XL image",)),
        ("camera-raw-canon", b"II*\0\x10\0\0\0CR\2\0" + bytes(99), ("camera raw", "develop")),
        ("camera-raw-fuji", b"FUJIFILMCCD-RAW 0201" + bytes(99), ("camera raw", "develop")),
        ("video", ftyp % (b"isom", b"mp41"), ("a video", "export a frame")),
        ("webm", b"\x1aE\xdf\xa3" + bytes(60), ("a video",)),
        ("zip", _zip(), ("an archive", "unpack")),
        ("gzip", gzip.compress(b"x"), ("an archive",)),
        ("git-lfs-pointer", b"version https://git-lfs.github.com/spec/v1\n", ("git lfs pull",)),
        ("base64-jpeg", b"/9j/4AAQSkZJRgABAQ" * 9, ("base64 text", "b64decode")),
        ("numpy-file", _npy(), ("a NumPy file", "numpy.load")),
        ("zeros", bytes(4096), ("is not an image",)),
        ("noise", b"\1" + noise().tobytes(), ("is not an image",)),
        ("text-that-starts-like-bmp", b"BMW sells cars. " * 9, ("is not an image",)),
        ("bytes-that-start-like-bmp", b"BM1234\0\0\0\0" + b"\xff" * 60, ("is not an image",)),
        ("text-that-starts-like-pgm", b"P5 is the printer " * 9, ("is not an image",)),
        ("half-a-signature", b"\xff\xd8", ("is not an image",)),
    ]
    return [
        Recipe(
            name,
            lambda _, content=content: content,
            NotAnImageError,
            words,
            file=None if name.endswith("as-bytes") else f"{name}.jpg",
        )
        for name, content, words in table
    ]


def _zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.jpg", b"")
    return buffer.getvalue()


def _npy() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, photo())
    return buffer.getvalue()
