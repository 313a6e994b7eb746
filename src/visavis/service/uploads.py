"""Photos of a request: parts of a multipart form, or base64 in JSON. Nothing touches the disk."""

from __future__ import annotations

import base64
import io
import re
import sys
import unicodedata
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Annotated, Any, Final
from urllib.parse import parse_qsl

import msgspec
from fastapi import Request
from msgspec import UNSET, UnsetType
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from visavis.api.photos import PHOTO_SUFFIXES
from visavis.service.problems import ProblemError

FORM: Final = "multipart/form-data"
JSON: Final = "application/json"
_ACCEPTED: Final = f"{FORM}, {JSON}"
_BROWSER: Final = "application/x-www-form-urlencoded"
_DATA_URL: Final = re.compile(r"data:[^,]{0,200},")
_OTHERS: Final = 32
"""Most further parts and texts of a form that is read leniently."""

_LONGEST_TEXT: Final = 16_384
_MOST_COMMAS: Final = 10_000
"""Commas in a JSON body with photos; base64 has none."""
_UNSAFE: Final = re.compile(r"[^\w.-]+")
_LONGEST_NAME: Final = 60
_SUFFIX: Final = ".jpg"
_RESERVED: Final = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)\.", re.IGNORECASE)
"""Names that Windows keeps for devices, with any suffix."""

_SKIPPED_ENTRIES: Final = ("__MACOSX/",)


class Photo(io.BytesIO):
    """The bytes of a photo, with the name that answers and messages use.

    Attributes:
        name: the part's name, with a number if there are several.
        filename: what the client calls it, without folders, made safe for a file's name.
    """

    name: str
    filename: str = ""

    @classmethod
    def of(cls, data: bytes, name: str, filename: str = "") -> Photo:
        """Makes a photo from its bytes."""
        photo = cls(data)
        photo.name, photo.filename = name, safe_name(filename)
        return photo


@dataclass(frozen=True, slots=True)
class Form:
    """What a request's body holds.

    Attributes:
        photos: photos by the name of their part.
        texts: texts by name.
    """

    photos: dict[str, list[Photo]] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)

    def one(self, name: str) -> Photo:
        """Returns the photo of a part that was required."""
        return self.photos[name][0]


async def read(
    request: Request,
    *,
    parts: Mapping[str, int],
    texts: Sequence[str] = (),
    optional: Sequence[str] = (),
    lenient: bool = False,
) -> Form:
    """Reads the body of a request.

    Args:
        request: the request.
        parts: names of parts with photos, and how many of each at most.
        texts: names of further texts.
        optional: names of parts and texts that may be missing.
        lenient: as clients of other services need it: a form of a browser without photos is read,
            too, and other parts and texts are left out.

    Raises:
        ProblemError: another content type, an unreadable body, parts that are unknown, missing or
            too many.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise ProblemError(415, "content-encoding", "the body is compressed", "send it as it is")
    if kind == FORM:
        found = await _multipart(request, parts, texts, lenient)
    elif kind == JSON:
        found = _json(await request.body(), parts, texts, lenient)
    elif lenient and kind in {_BROWSER, ""}:
        body = await json_body(request, kinds=(_BROWSER, ""))
        try:
            given = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_OTHERS)
        except ValueError as error:
            raise ProblemError(400, "form", f"the form cannot be read: {error}", "send a plain "
                               "form") from error  # fmt: skip
        found = Form(texts={name: value for name, value in given if name in texts})
    else:
        raise ProblemError(
            415, "content-type", _type(kind), f"send {_ACCEPTED}",
            headers={"Accept-Post": _ACCEPTED},
        )  # fmt: skip
    for name, photos in found.photos.items():
        if len(photos) > parts[name]:
            raise ProblemError(
                422,
                "too-many-photos",
                f"the body has {len(photos)} parts {name}",
                f"send {parts[name]} at most",
            )
    for name in (*parts, *texts):
        if name not in optional and name not in found.photos and name not in found.texts:
            raise ProblemError(
                422, "missing-part", f"the body has no part {name}",
                f"send {' and '.join((*parts, *texts))}",
            )  # fmt: skip
    return found


class _InMemory(MultiPartParser):
    spool_max_size = sys.maxsize


async def _multipart(
    request: Request, parts: Mapping[str, int], texts: Sequence[str], lenient: bool
) -> Form:
    most = sum(parts.values()) + len(texts) + (_OTHERS if lenient else 0)
    parser = _InMemory(
        request.headers, request.stream(), max_files=most + 1, max_fields=most + 1,
        max_part_size=_LONGEST_TEXT,
    )  # fmt: skip
    try:
        data = await parser.parse()
    except MultiPartException as error:
        raise ProblemError(
            422 if "Too many" in error.message else 400, "multipart", "the form cannot be read: "
            f"{error.message}", "send each photo as a file, as curl -F photo=@FILE does",
        ) from error  # fmt: skip
    found = Form()
    for name, value in data.multi_items():
        if lenient and name not in parts and name not in texts:
            continue
        if isinstance(value, UploadFile):
            _require_known(name, parts)
            photos = found.photos.setdefault(name, [])
            photos.append(Photo.of(await value.read(), "", value.filename or ""))
            await value.close()
        else:
            if name in parts:
                raise ProblemError(
                    422,
                    "text-part",
                    f"part {name} is a text, not a file",
                    f"send the file itself, as curl -F {name}=@FILE does; URLs and paths are never "
                    "opened",
                )
            _require_known(name, texts)
            if name in found.texts:
                raise ProblemError(
                    422, "duplicate-part", f"part {name} was sent twice", "send it once"
                )
            found.texts[name] = value
    return _named(found)


def _json(
    body: bytes, parts: Mapping[str, int], texts: Sequence[str], lenient: bool = False
) -> Form:
    wanted = schema_type(tuple(parts.items()), tuple(texts), lenient=lenient)
    if body.count(b",") > _MOST_COMMAS:
        raise ProblemError(
            422, "json", "the JSON body has very many values", "send photos in base64"
        )
    plain = decode(body, wanted)
    found = Form()
    for name in parts:
        given = getattr(plain, name)
        if given is not UNSET and given is not None:
            several = given if isinstance(given, list) else [given]
            found.photos[name] = [Photo.of(_plain(data), "") for data in several]
    for name in texts:
        given = getattr(plain, name)
        if given is not UNSET and given is not None:
            found.texts[name] = given
    return _named(found)


def _plain(text: str) -> bytes:
    """Returns the bytes of base64, or of a data URL with it."""
    try:
        return base64.b64decode(_DATA_URL.sub("", text, count=1), validate=True)
    except ValueError as error:
        raise ProblemError(
            422, "base64", "a photo in the JSON body is not in base64",
            "send the bytes of the file in base64, or the file itself as multipart/form-data; URLs "
            "and paths are never opened",
        ) from error  # fmt: skip


def _type(kind: str) -> str:
    if not kind:
        return "the request has no Content-Type"
    return f"the body is of type {kind[:80]!a}"


async def json_body(
    request: Request, *, most: int = 1_000_000, kinds: Sequence[str] = (JSON,)
) -> bytes:
    """Returns a body without photos, of JSON or of another of ``kinds``.

    Raises:
        ProblemError: another content type, or more than ``most`` bytes.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in kinds:
        raise ProblemError(
            415, "content-type", _type(kind), f"send {JSON}",
            headers={"Accept-Post": JSON},
        )  # fmt: skip
    parts, size = [], 0
    async for part in request.stream():
        parts.append(part)
        size += len(part)
        if size > most:
            raise ProblemError(
                413, "body-too-large", f"the body has more than {most:,} bytes", "send less"
            )
    return b"".join(parts)


def decode(body: bytes, kind: Any) -> Any:
    """Decodes a JSON body.

    Raises:
        ProblemError: it is no JSON, or not of that kind.
    """
    remedy = "/openapi.json says what is accepted"
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise ProblemError(422, "json", f"the JSON body: {error}", remedy) from error
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ProblemError(400, "json", f"the body is not JSON: {error}", remedy) from error


def schema_type(
    parts: Sequence[tuple[str, int]], texts: Sequence[str], *, lenient: bool = False
) -> type[msgspec.Struct]:
    """Returns the type of a JSON body with these photos and texts."""
    left_out: Any = UnsetType | None if lenient else UnsetType
    several = str | Annotated[list[str], msgspec.Meta(min_length=1)]
    fields: list[tuple[str, Any, Any]] = [
        (name, (str if most == 1 else several) | left_out, UNSET) for name, most in parts
    ]
    return msgspec.defstruct(
        "Photos", [*fields, *((name, str | left_out, UNSET) for name in texts)],
        forbid_unknown_fields=not lenient,
    )  # fmt: skip


def _require_known(name: str, known: Mapping[str, int] | Sequence[str]) -> None:
    if name not in known:
        raise ProblemError(
            422, "unknown-part", f"the form has a part named {name[:40]!a}",
            f"the names of parts are: {', '.join(known) or 'none'}",
        )  # fmt: skip


def _named(form: Form) -> Form:
    for name, photos in form.photos.items():
        for number, photo in enumerate(photos, 1):
            photo.name = name if len(photos) == 1 else f"{name} {number}"
    return form


def safe_name(name: str) -> str:
    """Returns the last part of a client's file name, of letters, digits, ``.``, ``_`` and ``-``.

    >>> safe_name("../../Anna Ivanova\\0.jpg"), safe_name("C:\\\\fotos\\\\1.png"), safe_name("..")
    ('Anna-Ivanova-.jpg', '1.png', '')
    """
    last = unicodedata.normalize("NFC", name).replace("\\", "/").rpartition("/")[2]
    plain = _UNSAFE.sub("-", last).lstrip(".-")
    return plain if len(plain) <= _LONGEST_NAME else plain[-_LONGEST_NAME:].lstrip(".-")


def file_name(photo: Photo, number: int, taken: set[str]) -> str:
    """Returns the name of a photo's file in a folder, and adds it to ``taken``.

    It is what the client calls the photo, with a suffix that is looked at; with the number before
    it only where another photo has that name, or a system reserves it.

    Args:
        photo: the photo.
        number: its number among all, from 1.
        taken: names in that folder, whatever their case: some file systems make no difference.
    """
    name = photo.filename or f"{number:05}"
    if PurePath(name).suffix.lower() not in PHOTO_SUFFIXES:
        name += _SUFFIX  # a photo is known by its content
    prefixes = ("", f"{number:05}-", *(f"{number:05}-{k}-" for k in range(len(taken))))
    if _RESERVED.match(name):
        prefixes = prefixes[1:]
    free = next(one for prefix in prefixes if (one := prefix + name).casefold() not in taken)
    taken.add(free.casefold())
    return free


def unzipped(photo: Photo, *, most: int, most_bytes: int, each: int) -> Iterator[Photo]:
    """Yields the files of a zip archive, in its order; hidden files and folders are left out.

    Args:
        photo: the archive.
        most: most files.
        most_bytes: most bytes of all files together.
        each: most bytes of one file.

    Raises:
        ProblemError: no zip archive, an encrypted or damaged one, or more than that.
    """
    remedy = "send a plain zip archive of photos, or photos one part each"
    try:
        with zipfile.ZipFile(photo) as archive:
            entries = [
                entry
                for entry in archive.infolist()
                if not entry.is_dir()
                and not entry.filename.startswith(_SKIPPED_ENTRIES)
                and not entry.filename.rpartition("/")[2].startswith(".")
            ]
            if len(entries) > most:
                raise ProblemError(
                    413, "too-many-photos", f"the archive has {len(entries)} files",
                    f"send {most} at most",
                )  # fmt: skip
            left = most_bytes
            for number, entry in enumerate(entries, 1):
                with archive.open(entry) as file:
                    data = file.read(min(each, left) + 1)
                left -= len(data)
                if len(data) > each or left < 0:
                    raise ProblemError(
                        413, "archive-too-large", f"file {number} of the archive is too large, or "
                        "all are together", f"{each:,} bytes a file at most, {most_bytes:,} in all",
                    )  # fmt: skip
                yield Photo.of(data, f"photo {number}", entry.filename)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, ValueError) as error:
        raise ProblemError(422, "archive", f"the archive cannot be read: {error}", remedy) \
            from error  # fmt: skip
    except (OSError, zipfile.LargeZipFile, OverflowError) as error:
        raise ProblemError(422, "archive", "the archive is damaged", remedy) from error
