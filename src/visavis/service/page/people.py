"""The tab of the people of a gallery: grid, add, rename, merge, split, erase, expiry."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

import gradio as gr
from markupsafe import Markup

from visavis.errors import UnknownPersonError
from visavis.service.page.parts import Deed, Page, board, image, opening, paragraph
from visavis.service.problems import ProblemError

if TYPE_CHECKING:
    from visavis.api.gallery import Gallery

_SHOWN: Final = 300
_MARKS: Final = {True: ("vv-good", "✓"), False: ("vv-bad", "✕")}
_COLORS: Final = 8


def tab(page: Page) -> tuple[gr.Dropdown, gr.HTML, Any]:
    """Builds the tab; returns its choice of galleries, its board, and what draws the board."""
    words = page.words
    with gr.Tab(words("people"), id="people") as inside:
        gr.HTML(opening(words("people"), words("people_words")), js_on_load=None)
        with page.form("enroll"):
            gallery = gr.Dropdown([], label=words("gallery"), visible=False, filterable=False)
            tiles = board()
            with gr.Accordion(words("add"), open=False):
                name = gr.Textbox(label=words("name"), max_lines=1, max_length=200)
                photos = page.photo_input("photos", name="add", many=True)
                keep = gr.Radio(
                    [(text, value) for value, text in _expiries(page)],
                    value="",
                    label=words("keep"),
                )
                rule = gr.Radio(
                    [(words(one), one) for one in ("refuse", "largest", "central")],
                    value="refuse", label=words("which_face"),
                )  # fmt: skip
                crops = gr.Checkbox(label=words("keep_crops"), value=False)
                go = gr.Button(words("enroll"), variant="primary")
                rows = gr.HTML(js_on_load=None, elem_classes="vv-out")

    def show(name: str | None, request: gr.Request) -> Markup:
        return page.answer(lambda: _grid(page, _gallery(page, name, request)))

    def add(
        person: str, sent: Any, expire: str, faces: str, keep_crops: bool, name: str | None,
        request: gr.Request,
    ) -> tuple[Markup, Any, Any]:  # fmt: skip
        failed = False

        def enroll() -> Markup:
            opened = _gallery(page, name, request)
            if opened is None:
                return page.alert(words("no_gallery"))
            given = page.photos(sent)
            if not person.strip() or not given:
                return page.alert(words("need_name" if given else "need_photos"))
            report = opened.enroll(
                [(person.strip(), photo.getvalue(), photo.name) for photo in given],
                expire=expire or None, faces=faces, keep_crops=keep_crops,
            )  # fmt: skip
            nonlocal failed
            failed = bool(report.failed)
            return _rows(page, report.rows)

        answer = page.answer(enroll)
        grid = page.answer(lambda: _grid(page, _gallery(page, name, request)))
        kept = gr.skip() if failed or "vv-alert" in answer else None
        return answer, grid, kept

    def act(name: str | None, request: gr.Request, event: gr.EventData) -> Markup:
        deed = Deed.of(event)

        def do() -> Markup:
            opened = _gallery(page, name, request)
            if opened is None:
                return _grid(page, None)
            return _done(page, opened, deed)

        answer = page.answer(do)
        if "vv-alert" in answer:  # the grid stays below the message
            return answer + page.answer(lambda: _grid(page, _gallery(page, name, request)))
        return answer

    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    gallery.change(show, gallery, tiles, **quiet)
    inside.select(show, gallery, tiles, **quiet)
    tiles.act(act, gallery, tiles, **quiet)
    page.on_press(
        go, add, [name, photos, keep, rule, crops, gallery], [rows, tiles, photos], arrived=photos
    )
    return gallery, tiles, show


def _gallery(page: Page, name: str | None, request: gr.Request) -> Gallery | None:
    caller = page.caller(request, "enroll")
    if not page.galleries(caller):
        return None
    return page.service.gallery(name or None, caller)[1]


def _done(page: Page, gallery: Gallery, deed: Deed) -> Markup:
    """Does what a button asked for; returns the board after it."""
    words, picked = page.words, deed.picked
    match deed.act:
        case "rename":
            (old,) = picked
            gallery.rename(old, deed.text("name"))
            note = words("done_rename", old=old, new=deed.text("name"))
        case "merge":
            gallery.merge(*picked)
            note = words("done_merge", name=picked[0])
        case "erase":
            gallery.remove(*picked)
            note = words("done_erase", n=len(picked))
        case "expiry":
            gallery.set_expiry(picked[0], deed.text("expiry") or None)
            note = ""
        case "look":
            return _inside(page, gallery, picked[0])
        case "split":
            numbers = [int(number) for number in picked]
            gallery.split(deed.on, numbers, into=deed.text("into"))
            note = words("done_split", n=len(numbers), name=deed.text("into"))
            return page.note(note) + _inside(page, gallery, deed.on)
        case "back":
            note = ""
        case _:
            raise ProblemError(422, "option", "an unknown action", "reload the page")
    return (page.note(note) if note else Markup()) + _grid(page, gallery)


def _grid(page: Page, gallery: Gallery | None) -> Markup:
    words = page.words
    if gallery is None:
        return page.alert(words("no_gallery"))
    people = gallery.people()
    if not people:
        return paragraph(words("nobody"), "vv-empty")
    tiles = [_tile(page, gallery, person) for person in people[:_SHOWN]]
    more = (
        paragraph(words("more_people", n=len(people) - _SHOWN), "vv-note")
        if len(people) > _SHOWN
        else Markup()
    )
    return Markup(
        '{find}<ul class="vv-tiles">{tiles}</ul>{more}'
        '<div class="vv-toolbar" data-scope><p data-count="{count}" role="status"></p>'
        '<label class="vv-field"><span>{new}</span><input type="text" data-field="name" maxlength="200"></label>'
        '<button type="button" class="vv-button" data-act="rename" data-least="1" data-most="1" data-key="Enter">{rename}</button>'
        '<button type="button" class="vv-button" data-act="look" data-least="1" data-most="1">{split}</button>'
        '<button type="button" class="vv-button" data-act="merge" data-least="2">{merge}</button>'
        '<p class="vv-note vv-whole">{merged}</p>'
        '<label class="vv-field"><span>{keep}</span><select data-field="expiry">{expiries}</select></label>'
        '<button type="button" class="vv-button" data-act="expiry" data-least="1" data-most="1">{set}</button>'
        '<button type="button" class="vv-button vv-danger" data-reveal="#vv-erase" data-least="1">{erase}</button>'
        '<div class="vv-confirm" id="vv-erase" hidden><p data-names="{sure}"></p>'
        '<button type="button" class="vv-button vv-danger" data-act="erase" data-least="1">{yes}</button>'
        '<button type="button" class="vv-button" data-reveal="#vv-erase">{cancel}</button></div></div>'
    ).format(
        find=_find(page) if len(people) > 12 else "",
        tiles=Markup("").join(tiles),
        more=more,
        count=words("selected", n="{n}"),
        new=words("new_name"),
        rename=words("rename"),
        split=words("split"),
        merge=words("merge"),
        merged=words("merge_words"),
        keep=words("keep"),
        expiries=Markup("").join(
            Markup('<option value="{}">{}</option>').format(value, text)
            for value, text in _expiries(page)
        ),
        set=words("set_expiry"),
        erase=words("erase"),
        sure=words("erase_sure", names="{names}"),
        yes=words("erase_yes"),
        cancel=words("cancel"),
    )  # fmt: skip


def _expiries(page: Page) -> list[tuple[str, str]]:
    """Returns how long people may be kept, each with its words."""
    words = page.words
    days = [(f"{n}d", words("days", n=n)) for n in (30, 90)]
    return [("", words("forever")), *days, ("365d", words("year"))]


def _find(page: Page) -> Markup:
    return Markup(
        '<label class="vv-field vv-find"><span>{}</span><input type="search" data-find></label>'
    ).format(page.words("find"))


def _tile(page: Page, gallery: Gallery, person: Any) -> Markup:
    words = page.words
    faces = gallery.faces(person.name)
    expires = min((face.expires for face in faces if face.expires), default=None)
    said = words.count(sum(person.faces.values()))
    return Markup(
        '<li data-found="{low}"><label class="vv-tile"><input type="checkbox" data-pick="{name}" value="{name}">'
        "{look}<strong>{name}</strong><span>{said}</span>{expires}</label></li>"
    ).format(
        low=person.name.lower(), name=person.name, look=_look(page, gallery, person.name, faces),
        said=said,
        expires=Markup("<span>{}</span>").format(words("expires", date=expires[:10]))
        if expires else "",
    )  # fmt: skip


def _look(page: Page, gallery: Gallery, name: str, faces: Iterable[Any]) -> Markup:
    """The crop of a person's best face, or initials if no crop is kept."""
    for face in sorted(faces, key=lambda one: -one.quality_score):
        if face.has_crop and (png := gallery.store.crop(face.id)) is not None:
            return image(png, "", "vv-crop")
    initials = "".join(part[0] for part in name.split()[:2]).upper()
    return Markup('<span class="vv-crop vv-initials vv-c{}" aria-hidden="true">{}</span>').format(
        sum(name.encode()) % _COLORS, initials
    )


def _inside(page: Page, gallery: Gallery, name: str) -> Markup:
    """The photos of one person, those unlike the others first."""
    words = page.words
    try:
        faces = gallery.faces(name)
    except UnknownPersonError:
        return _grid(page, gallery)
    unlike = {n for one in gallery.suggest_splits(name) for n in one.templates}
    items = []
    for face in sorted(faces, key=lambda one: (one.id not in unlike, one.id)):
        png = gallery.store.crop(face.id) if face.has_crop else None
        picture = (
            Markup('<span class="vv-crop vv-initials" aria-hidden="true">{}</span>').format(face.id)
            if png is None
            else image(png, "", "vv-crop")
        )
        items.append(
            Markup(
                '<li><label class="vv-tile"><input type="checkbox" data-pick="{n}" value="{n}"{on}>{picture}'
                '<strong class="vv-file">{photo}</strong><span>{quality}</span>{hint}</label></li>'
            ).format(
                n=face.id,
                on=Markup(" checked") if face.id in unlike else "",
                picture=picture,
                photo=face.photo or f"#{face.id}",
                quality=words("quality", n=round(100 * face.quality_score)),
                hint=Markup('<span class="vv-hint">{}</span>').format(words("suggested"))
                if face.id in unlike
                else "",
            )
        )
    return Markup(
        '<div data-scope><h3>{title}</h3><p>{how}</p>{none}<ul class="vv-tiles">{items}</ul>'
        '<div class="vv-toolbar"><label class="vv-field"><span>{label}</span>'
        '<input type="text" data-field="into" maxlength="200" data-focus></label>'
        '<button type="button" class="vv-button vv-primary" data-act="split" data-on="{name}" data-least="1" data-most="{most}" data-key="Enter">{do}</button>'
        '<button type="button" class="vv-button" data-act="back" data-key="Escape">{back}</button></div></div>'
    ).format(
        title=words("split_words", name=name), how=words("split_how"),
        none=paragraph(words("no_suggestion"), "vv-note") if not unlike else "",
        items=Markup("").join(items), label=words("name"), name=name, do=words("split_do"),
        most=max(len(faces) - 1, 1), back=words("cancel"),
    )  # fmt: skip


def _rows(page: Page, rows: Sequence[Any]) -> Markup:
    """What became of each photo."""
    words = page.words
    lines = []
    for row in rows:
        kind, mark = _MARKS[row.there]
        said = [words(row.status)]
        if row.quality_score is not None:
            said.append(words("quality", n=round(100 * row.quality_score)))
        notes = [
            *((words.translated(row.message),) if row.message else ()),
            *map(words.say, row.warnings),
        ]
        lines.append(
            Markup(
                '<li class="{}"><b aria-hidden="true">{}</b><div><strong>{}</strong> {}{}</div></li>'
            ).format(
                kind,
                mark,
                row.photo,
                ", ".join(said),
                Markup("").join(paragraph(note, "vv-note") for note in notes),
            )
        )
    return Markup('<div role="status"><ul class="vv-rows">{}</ul></div>').format(
        Markup("").join(lines)
    )
