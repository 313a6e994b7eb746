"""Opens the gallery of a command."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from visavis.api import gallery as galleries
from visavis.api.gallery import GalleryAccess, Key, readers
from visavis.cli.output import home, messages
from visavis.errors import OptionError

Gallery = Annotated[
    str | None,
    typer.Option(
        "--gallery",
        envvar="VISAVIS_GALLERY",
        metavar="DIR|URI",
        help="The gallery: a folder; or for Milvus http://HOST:PORT, or a name ending in .db.",
    ),
]
KeyFile = Annotated[
    Path | None,
    typer.Option(
        "--key-file",
        help="Key file of an encrypted gallery: 32 bytes, raw, hexadecimal or base64. "
        "Otherwise VISAVIS_GALLERY_KEY holds the key as text, or "
        "VISAVIS_GALLERY_PASSPHRASE a passphrase.",
    ),
]
Tenant = Annotated[
    str, typer.Option("--tenant", help="Tenant, if several galleries share one Milvus server.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
_KEY, _PASSPHRASE, _TOKEN = (f"VISAVIS_GALLERY_{name}" for name in ("KEY", "PASSPHRASE", "TOKEN"))


def key_in(file: Path, *, quiet: bool = False) -> Key:
    """Reads a key file; warns if others can read it.

    Raises:
        GalleryKeyError: it cannot be read.
    """
    key = Key.from_file(file)
    if not quiet and (who := readers(file)):
        messages.print(f"warning: {who} can read the key file {file}: `chmod 600` it", markup=False)
    return key


def key_from(file: Path | None, *, quiet: bool = False) -> Key | None:
    """Returns the key from an option or the environment, if any.

    Args:
        file: value of the option.
        quiet: do not warn again if others can read the file.

    Raises:
        GalleryKeyError: it cannot be read.
    """
    if file is not None:
        return key_in(file, quiet=quiet)
    if text := os.environ.get(_KEY):
        return Key.from_text(text)
    if words := os.environ.get(_PASSPHRASE):
        return Key.from_passphrase(words)
    return None


def open_gallery(
    location: str | None,
    *,
    key_file: Path | None = None,
    tenant: str = "default",
    create: bool = False,
) -> galleries.Gallery:
    """Opens a gallery.

    Raises:
        OptionError: no gallery is given.
        GalleryError: it does not exist, or cannot be opened.
    """
    place = named(location)
    return galleries.Gallery(place, create=create, home=home(), **access(place, key_file, tenant))


def named(location: str | None) -> str:
    """Returns the location of the gallery; raises OptionError if none is given."""
    if not location:
        raise OptionError("no gallery is named", "say --gallery DIR, or set VISAVIS_GALLERY")
    return location


def access(location: str, key_file: Path | None, tenant: str) -> GalleryAccess:
    """Returns the access data of a gallery from options and environment."""
    return {
        "key": key_file if galleries.in_milvus(location) else key_from(key_file),
        "tenant": tenant,
        "token": os.environ.get(_TOKEN) or None,
    }


def confirm(
    question: str,
    *,
    yes: bool,
    why: str = "this cannot be undone",
    remedy: str = "confirm it with --yes",
) -> None:
    """Asks for confirmation on standard error, unless ``yes``.

    Args:
        question: ends with a question mark.
        yes: the user has already confirmed.
        why: the risk, for the error.
        remedy: what to do without a terminal.

    Raises:
        OptionError: no terminal.
    """
    import sys

    if yes:
        return
    if not sys.stdin.isatty():
        raise OptionError(f"{question.rstrip('?')}: {why}", remedy)
    typer.confirm(question, abort=True, err=True)
