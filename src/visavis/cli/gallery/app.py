"""``visavis gallery``: inspects and maintains galleries."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from visavis.api.gallery import Key
from visavis.cli import options, output
from visavis.cli.gallery import moves as gallery_moves
from visavis.cli.gallery import options as gallery_options
from visavis.cli.output import console, echo_json, messages
from visavis.errors import ErasureIncompleteError, GalleryError, ModelMismatchError, OptionError

if TYPE_CHECKING:
    from visavis.api.records import GalleryInfo

app = typer.Typer(
    no_args_is_help=True,
    help="Inspect, check, back up and move a gallery; change its key or model.",
)
gallery_moves.register(app)


@app.command("info")
def info(
    gallery: gallery_options.Gallery = None,
    key_file: gallery_options.KeyFile = None,
    tenant: gallery_options.Tenant = "default",
    json: options.Json = False,
) -> None:
    """Show the content of a gallery: people, templates by model, index, size, and the progress of a
    migration.

    Exit code 0; 2: error.

    Example: `visavis gallery info --gallery door.gallery`
    """
    with gallery_options.open_gallery(gallery, key_file=key_file, tenant=tenant) as people:
        found = people.info()
        change = people.migration()
    if json:
        echo_json({**found.to_dict(), "migration": change})
        return
    _show(found)
    if change is not None:
        console.print(
            f"change to model {change.model}: {change.migrated:,} of {change.people:,} people"
            + (
                "; `visavis gallery migrate --finish` erases the old templates"
                if change.complete
                else f"; still to come: {', '.join(change.waiting)}"
                + (", ..." if change.people - change.migrated > len(change.waiting) else "")
            ),
            markup=False,
        )


def _show(found: GalleryInfo) -> None:
    sealed = "encrypted" if found.encrypted else "not encrypted"
    size = f", {output.size(found.bytes)}" if found.bytes else ""
    console.print(f"{found.location} ({found.kind}, {sealed}{size})", markup=False)
    console.print(f"  {output.people(found.people)}, {found.audit_entries:,} audit entries")
    _show_head(found.audit_head)
    for sha256, count in found.faces.items():
        index = found.index.get(sha256)
        console.print(
            f"  {found.models.get(sha256, 'unknown model')} ({sha256[:12]}): {count:,} template(s)"
            + (f", index: {index}" if index else ""),
            markup=False,
        )
        try:
            found.require_plain(sha256)
        except ModelMismatchError as error:
            messages.print(f"warning: {error}", markup=False)


def _show_head(audit_head: str) -> None:
    """Prints the full head hash of the audit log."""
    if audit_head:
        console.print(f"  audit's head: {audit_head}", markup=False, soft_wrap=True)


@app.command("check")
def check(
    gallery: gallery_options.Gallery = None,
    key_file: gallery_options.KeyFile = None,
    tenant: gallery_options.Tenant = "default",
    json: options.Json = False,
) -> None:
    """Verify every template, the index, and the hash chain of the audit log.

    Compare the head hash, or an entry of `visavis gallery audit`, with the one you noted last:
    somebody who can write the files can replace the whole chain.

    Exit code 0: no problems; 1: problems; 2: it cannot be opened.

    Example: `visavis gallery check --gallery door.gallery`
    """
    with gallery_options.open_gallery(gallery, key_file=key_file, tenant=tenant) as people:
        found = people.check()
    if json:
        echo_json(found)
    else:
        for problem in found.problems:
            console.print(f"problem: {problem}", markup=False)
        verdict = "sound" if found.ok else f"{len(found.problems)} problem(s)"
        audited = f"{found.audit_entries:,} entries of the audit"
        console.print(f"{verdict}: looked at {found.faces:,} templates and {audited}")
        _show_head(found.audit_head)
    if not found.ok:
        raise typer.Exit(1)


@app.command("compact")
def compact(
    gallery: gallery_options.Gallery = None,
    key_file: gallery_options.KeyFile = None,
    tenant: gallery_options.Tenant = "default",
    json: options.Json = False,
) -> None:
    """Free the space of removed data, and rebuild the index.

    Exit code 0; 2: error.

    Example: `visavis gallery compact --gallery door.gallery`
    """
    with gallery_options.open_gallery(gallery, key_file=key_file, tenant=tenant) as people:
        before = people.info().bytes
        people.compact()
        after = people.info().bytes
    if json:
        echo_json({"bytes_before": before, "bytes_after": after})
    else:
        console.print(f"{output.size(before)} before, {output.size(after)} now")


@app.command("backup")
def backup(
    destination: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    gallery: gallery_options.Gallery = None,
    key_file: gallery_options.KeyFile = None,
    json: options.Json = False,
) -> None:
    """Copy a consistent snapshot of a gallery, while it stays in use.

    The copy is a gallery with the same key. People removed later stay in it.

    Exit code 0; 2: error.

    Example: `visavis gallery backup copies/monday --gallery door.gallery`
    """
    with gallery_options.open_gallery(gallery, key_file=key_file) as people:
        people.backup(destination)
    if json:
        echo_json({"backup": str(destination)})
    else:
        console.print(f"{destination}: a copy of {gallery}", markup=False)


@app.command("rekey")
def rekey(
    new_key_file: Annotated[
        Path | None,
        typer.Option("--new-key-file", help="The new key: 32 bytes, raw, hexadecimal or base64."),
    ] = None,
    generate: Annotated[
        Path | None,
        typer.Option("--generate", help="Generate a random key and write it to this new file."),
    ] = None,
    decrypt: Annotated[bool, typer.Option("--decrypt", help="Decrypt the gallery.")] = False,
    reencrypt: Annotated[
        bool,
        typer.Option(
            "--reencrypt",
            help="Encrypt every value again, for example after the old key and a copy were "
            "disclosed.",
        ),
    ] = False,
    gallery: gallery_options.Gallery = None,
    key_file: gallery_options.KeyFile = None,
    json: options.Json = False,
) -> None:
    """Encrypt a gallery, change its key, or decrypt it; an interruption loses nothing.

    Earlier copies keep the old key. The key file of --generate is written before the key is used:
    after an error keep this file, and follow the message.

    Exit code 0; 2: error.

    Example: `visavis gallery rekey --generate new.key --key-file old.key --gallery door.gallery`
    """
    if sum((new_key_file is not None, generate is not None, decrypt)) != 1:
        raise OptionError(
            "which key?", "give one of --new-key-file FILE, --generate FILE and --decrypt"
        )
    with gallery_options.open_gallery(gallery, key_file=key_file) as people:
        people.folder("the key")  # checks before a key is generated
        new: Key | None = None
        if new_key_file is not None:
            new = gallery_options.key_in(new_key_file)
        elif generate is not None:
            new = Key.generate()
            new.to_file(generate)  # before anything is encrypted with it
        try:
            people.rekey(new, reencrypt=reencrypt)
        except ErasureIncompleteError:
            raise
        except GalleryError as error:
            if generate is None:
                raise
            remedy = f"{error.remedy}; then use the key in {generate} with --new-key-file"
            raise type(error)(error.got, remedy) from error
    if json:
        echo_json({"encrypted": new is not None})
    else:
        console.print(
            "the gallery has its new key; keep it well, without it nothing can be read"
            if new is not None
            else "the gallery is not encrypted any more"
        )


@app.command("expire")
def expire(
    gallery: gallery_options.Gallery = None,
    key_file: gallery_options.KeyFile = None,
    tenant: gallery_options.Tenant = "default",
    json: options.Json = False,
) -> None:
    """Erase expired faces (`visavis enroll --expire`), and people without any left.

    Run it daily. Exit code 0; 2: error.

    Example: `visavis gallery expire --gallery door.gallery`
    """
    with gallery_options.open_gallery(gallery, key_file=key_file, tenant=tenant) as people:
        erased = people.expire()
    if json:
        echo_json({"templates": erased})
    else:
        console.print(f"erased {erased:,} template(s)")


@app.command("audit")
def audit(
    last: Annotated[
        int | None, typer.Option("--last", min=1, help="Number of latest entries.")
    ] = None,
    gallery: gallery_options.Gallery = None,
    key_file: gallery_options.KeyFile = None,
    tenant: gallery_options.Tenant = "default",
    json: options.Json = False,
) -> None:
    """Print the audit log of a gallery: one line per entry, people by opaque id.

    Each entry's hash covers the previous one; `visavis gallery check` verifies the chain. Store the
    last hash elsewhere to detect a rewritten chain.

    Exit code 0; 2: error.

    Example: `visavis gallery audit --last 20 --gallery door.gallery`
    """
    from collections import deque

    with gallery_options.open_gallery(gallery, key_file=key_file, tenant=tenant) as people:
        entries = deque(people.audit(), maxlen=last)
    if json:
        echo_json(list(entries))
        return
    for entry in entries:
        details = ", ".join(f"{key} {value}" for key, value in entry.details.items())
        console.print(
            f"{entry.seq}  {entry.time[:19]}  {entry.action}"
            + (f"  {entry.subject}" if entry.subject else "")
            + (f"  {details}" if details else ""),
            markup=False,
        )
    if entries:
        messages.print(f"hash of the last entry: {entries[-1].hash}", markup=False)
