"""``visavis people``: lists and edits enrolled people."""

from __future__ import annotations

import json as json_module
from typing import TYPE_CHECKING, Annotated, Any

import typer

from visavis.cli import options, output
from visavis.cli.gallery import options as gallery_options
from visavis.cli.output import console, echo_json, messages
from visavis.errors import OptionError

if TYPE_CHECKING:
    from visavis.api.gallery import Gallery

app = typer.Typer(no_args_is_help=True, help="List, show, rename, merge, split and remove people.")

_Name = Annotated[str, typer.Argument(metavar="NAME", help="A name from `visavis people list`.")]
_Names = Annotated[
    list[str], typer.Argument(metavar="NAME...", help="Names from `visavis people list`.")
]


@app.command("list")
def list_people(
    gallery: gallery_options.Gallery = None,
    key_file: gallery_options.KeyFile = None,
    tenant: gallery_options.Tenant = "default",
    json: options.Json = False,
) -> None:
    """List all people: name, number of templates, enrollment time, attributes.

    Exit code 0; 2: error.

    Example: `visavis people list --gallery door.gallery`
    """
    with gallery_options.open_gallery(gallery, key_file=key_file, tenant=tenant) as people:
        if json:
            echo_json(people.people())
            return
        count = 0
        for person in people.people():
            count += 1
            templates = sum(person.faces.values())
            extra = f"  {_attributes(person.attributes)}" if person.attributes else ""
            console.print(
                f"{person.name}  {templates} template(s), since {person.created[:10]}{extra}",
                markup=False,
            )
        messages.print(output.people(count))


@app.command("show")
def show(
    name: _Name,
    gallery: gallery_options.Gallery = None,
    key_file: gallery_options.KeyFile = None,
    tenant: gallery_options.Tenant = "default",
    json: options.Json = False,
) -> None:
    """Show one person: id, attributes, and each template's number, photo, model and expiry.

    Exit code 0; 2: unknown name (similar names are suggested), or another error.

    Example: `visavis people show "Anna Ivanova" --gallery door.gallery`
    """
    with gallery_options.open_gallery(gallery, key_file=key_file, tenant=tenant) as people:
        person = people.person(name)
        faces = people.faces(name)
    if json:
        echo_json({**person.to_dict(), "templates": faces})
        return
    console.print(person.name, style="bold", markup=False)
    console.print(f"  id {person.id}, since {person.created[:19]} UTC", markup=False)
    if person.attributes:
        console.print(f"  {_attributes(person.attributes)}", markup=False)
    for face in faces:
        until = f", expires {face.expires[:19]} UTC" if face.expires else ""
        crop = ", crop kept" if face.has_crop else ""
        console.print(
            f"  {face.id}: {face.photo or 'no photo named'}, {face.model} "
            f"({face.model_sha256[:12]}), quality score {face.quality_score:.2f}, "
            f"{face.created[:10]}{until}{crop}",
            markup=False,
        )


@app.command("rename")
def rename(
    old: Annotated[str, typer.Argument(metavar="OLD", help="Current name.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="New name.")],
    gallery: gallery_options.Gallery = None,
    key_file: gallery_options.KeyFile = None,
    tenant: gallery_options.Tenant = "default",
    json: options.Json = False,
) -> None:
    """Rename a person; the old name is erased.

    Exit code 0; 2: unknown name, the new name is taken or invalid, or another error.

    Example: `visavis people rename Anna_Ivanova "Anna Petrova" --gallery door.gallery`
    """
    with gallery_options.open_gallery(gallery, key_file=key_file, tenant=tenant) as people:
        people.rename(old, new)
        _done(people.person(new), f"{old} is {new} now", json)


@app.command("merge")
def merge(
    into: Annotated[str, typer.Argument(metavar="INTO", help="The name to keep.")],
    others: Annotated[
        list[str], typer.Argument(metavar="OTHER...", help="Other names of the same person.")
    ],
    yes: gallery_options.Yes = False,
    gallery: gallery_options.Gallery = None,
    key_file: gallery_options.KeyFile = None,
    tenant: gallery_options.Tenant = "default",
    json: options.Json = False,
) -> None:
    """Merge several names into one person: the templates move, the other names are erased.

    Exit code 0; 1: not confirmed; 2: nobody of a name, or another error.

    Example: `visavis people merge "Anna Ivanova" A_Ivanova --gallery door.gallery --yes`
    """
    with gallery_options.open_gallery(gallery, key_file=key_file, tenant=tenant) as people:
        for name in (into, *others):
            people.person(name)
        gallery_options.confirm(f"Merge {', '.join(others)} into {into}?", yes=yes)
        people.merge(into, *others)
        person = people.person(into)
        _done(person, f"{into} has {sum(person.faces.values())} template(s) now", json)


@app.command("split")
def split(
    name: _Name,
    templates: Annotated[
        list[int] | None,
        typer.Argument(
            metavar="TEMPLATE...", help="Numbers from `visavis people show`, but not all of them."
        ),
    ] = None,
    into: Annotated[
        str | None,
        typer.Option("--into", help="Target: a new name, or an enrolled person."),
    ] = None,
    suggest: Annotated[
        bool,
        typer.Option(
            "--suggest",
            help="Change nothing; list the templates that are unlike the person's others.",
        ),
    ] = False,
    calibration: options.CalibrationName = None,
    yes: gallery_options.Yes = False,
    gallery: gallery_options.Gallery = None,
    key_file: gallery_options.KeyFile = None,
    tenant: gallery_options.Tenant = "default",
    json: options.Json = False,
) -> None:
    """Move templates to another person, if two people share one name.

    --into is a new name, or an enrolled person (asks first). To undo it, use `visavis people
    merge`, or split again. With --suggest nothing is changed, and suspicious templates are listed.

    Exit code 0; 1: not confirmed; 2: an unknown name, a template of another person, or another
    error.

    Example: `visavis people split "Anna Ivanova" 17 21 --into "Anna Petrova"
    --gallery door.gallery`
    """
    if suggest == bool(templates) or suggest == (into is not None):
        raise OptionError(
            "which templates, and who gets them?",
            "give their numbers and --into NAME; or give --suggest without either",
        )
    with gallery_options.open_gallery(gallery, key_file=key_file, tenant=tenant) as people:
        if suggest:
            _suggest(people, name, calibration, json)
            return
        moved, other = templates or [], into or ""
        if name in people and other in people:
            gallery_options.confirm(
                f"Give {len(set(moved))} template(s) of {name} to {other}?",
                yes=yes,
                why=f"{other} is enrolled already",
                remedy="confirm it with --yes, or choose a new name",
            )
        people.split(name, moved, into=other)
        both = {"from": people.person(name), "into": people.person(other)}
    if json:
        echo_json(both)
        return
    for person in both.values():
        console.print(
            f"{person.name} has {sum(person.faces.values())} template(s) now", markup=False
        )


def _suggest(people: Gallery, name: str, calibration: str | None, json: bool) -> None:
    found = people.suggest_splits(name, calibration=calibration)
    if json:
        echo_json({"person": name, "suggestions": found})
        return
    for one in found:
        numbers = " ".join(map(str, one.templates))
        console.print(
            f"{len(one.templates)} template(s) do not look like the others: highest score "
            f"{one.score:.3f}, under {one.threshold:.3f}",
            markup=False,
        )
        for number, photo in zip(one.templates, one.photos, strict=True):
            console.print(f"  {number}: {photo or 'no photo named'}", markup=False)
        console.print(
            f'look at them, then: visavis people split "{name}" {numbers} --into NAME', markup=False
        )
    if not found:
        console.print(f"all templates of {name} look like one person", markup=False)


@app.command("remove")
def remove(
    names: _Names,
    face: Annotated[
        list[int] | None,
        typer.Option(
            "--face",
            help="Erase only this template, a number from `visavis people show`.",
        ),
    ] = None,
    yes: gallery_options.Yes = False,
    gallery: gallery_options.Gallery = None,
    key_file: gallery_options.KeyFile = None,
    tenant: gallery_options.Tenant = "default",
    json: options.Json = False,
) -> None:
    """Erase people, or some templates of a person, from all files.

    Earlier backups and exports are not changed: erase people there, too.

    Exit code 0; 1: not confirmed; 2: nobody of a name, or another error.

    Example: `visavis people remove "Anna Ivanova" --gallery door.gallery --yes`
    """
    with gallery_options.open_gallery(gallery, key_file=key_file, tenant=tenant) as people:
        found = [people.person(name) for name in names]
        if face:
            erased = _remove_faces(people, [person.name for person in found], face, yes)
        else:
            templates = sum(sum(person.faces.values()) for person in found)
            who = ", ".join(person.name for person in found)
            gallery_options.confirm(f"Erase {who} ({templates} templates)?", yes=yes)
            erased = people.remove(*(person.name for person in found))
    if json:
        echo_json({"people": [] if face else names, "templates": erased})
    else:
        what = "" if face else f"{', '.join(names)}: "
        console.print(f"erased {what}{erased} template(s)", markup=False)


def _remove_faces(people: Gallery, names: list[str], faces: list[int], yes: bool) -> int:
    if len(names) != 1:
        raise OptionError(f"--face with {len(names)} people", "name one person")
    known = {face.id for face in people.faces(names[0])}
    for number in faces:
        if number not in known:
            raise OptionError(
                f"{names[0]} has no template {number}", f"`visavis people show {names[0]!r}`"
            )
    gallery_options.confirm(f"Erase {len(faces)} template(s) of {names[0]}?", yes=yes)
    return people.remove_faces(faces)


@app.command("set")
def set_attributes(
    name: _Name,
    pairs: Annotated[
        list[str],
        typer.Argument(
            metavar="KEY=VALUE...",
            help="Attributes; a VALUE may be JSON, an empty one removes the key.",
        ),
    ],
    gallery: gallery_options.Gallery = None,
    key_file: gallery_options.KeyFile = None,
    tenant: gallery_options.Tenant = "default",
    json: options.Json = False,
) -> None:
    """Set attributes of a person; other attributes stay.

    Exit code 0; 2: unknown name, or another error.

    Example: `visavis people set "Anna Ivanova" department=press floor=3 --gallery door.gallery`
    """
    changes = dict(_pair(text) for text in pairs)
    with gallery_options.open_gallery(gallery, key_file=key_file, tenant=tenant) as people:
        before = people.person(name).attributes
        merged = {key: value for key, value in (before | changes).items() if value != ""}
        people.set_attributes(name, merged)
        person = people.person(name)
        _done(person, f"{person.name}: {_attributes(person.attributes) or 'no attributes'}", json)


def _pair(text: str) -> tuple[str, Any]:
    key, sign, value = text.partition("=")
    if not sign or not key.strip():
        raise OptionError(f"the attribute {text!r}", "write KEY=VALUE, such as floor=3")
    try:
        return key.strip(), json_module.loads(value)
    except ValueError:
        return key.strip(), value


def _attributes(attributes: dict[str, Any]) -> str:
    return ", ".join(
        f"{key}={value if isinstance(value, str) else json_module.dumps(value, ensure_ascii=False)}"
        for key, value in attributes.items()
    )


def _done(person: Any, sentence: str, json: bool) -> None:
    if json:
        echo_json(person)
    else:
        console.print(sentence, markup=False)
