"""The tab that sorts a collection by person."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import sleep
from typing import TYPE_CHECKING, Any, Final

import gradio as gr
from markupsafe import Markup

from visavis.api import views
from visavis.api.albums import PhotoAlbum, cluster
from visavis.service.jobs import ENDED, Job
from visavis.service.page.collection import collect, erase_photos, forget
from visavis.service.page.parts import Deed, Page, board, image, opening, paragraph
from visavis.service.problems import ProblemError

if TYPE_CHECKING:
    from visavis.service.state import Caller

_FACES: Final = "faces"
_POLLS: Final = 20_000
_SECONDS: Final = 0.4
_SHOWN: Final = 60
_TILES: Final = 200


@dataclass(slots=True)
class Sorting:
    """Where a visitor is in a collection.

    Attributes:
        job: id of the job.
        order: clusters to name, largest first.
        at: place in ``order``.
    """

    job: str
    order: list[int]
    at: int = 0


def tab(page: Page) -> None:
    """Builds the tab."""
    words = page.words
    with gr.Tab(words("sort"), id="sort"):
        gr.HTML(
            opening(
                words("sort"), words("sort_words", hours=f"{page.service.options.job_hours:g}")
            ),
            js_on_load=None,
        )
        with page.form("verify"):
            files = page.files_input(name="album")
            go = gr.Button(words("start_sort"), variant="primary")
            shown = board()
            state: Any = gr.State(None)

    def start(
        given: Any, known: Sorting | None, request: gr.Request
    ) -> Iterator[tuple[Markup, Sorting | None, Any]]:
        made: list[Job] = []

        def begin() -> Markup:
            caller = page.caller(request, "verify")
            sent = page.files(given)
            if not sent:
                return page.alert(words("need_photos"))
            if known is not None:
                forget(page, caller, known.job)
            job = collect(page, caller, "cluster", sent)
            page.service.jobs.start(job, lambda running: _sorted(page, running))
            made.append(job)
            return progress(page, job)

        yield page.answer(begin), known, gr.skip()
        if not made:
            return
        (job,) = made
        for _ in range(_POLLS):
            if job.state in ENDED:
                break
            sleep(_SECONDS)
            yield progress(page, job), None, gr.skip()

        def end() -> Markup:
            if job.problem is not None:
                raise job.problem
            album = _album(job)
            reached.order = [one.id for one in album.clusters]
            return _board(page, job, reached)

        reached = Sorting(job.id, [])
        yield page.answer(end), reached, None

    def act(
        known: Sorting | None, request: gr.Request, event: gr.EventData
    ) -> tuple[Markup, Sorting | None]:
        deed = Deed.of(event)
        if known is None:
            return page.alert(words("need_photos")), None

        def do() -> Markup:
            caller = page.caller(request, "verify")
            if deed.act == "erase":
                forget(page, caller, known.job)
                return page.note(words("erased_all"))
            return _done(page, _job(page, caller, known), known, deed)

        answer = page.answer(do)
        if "vv-alert" in answer:
            answer += page.answer(
                lambda: _board(page, _job(page, page.caller(request, "verify"), known), known)
            )
        return answer, None if deed.act == "erase" else known

    page.on_press(go, start, [files, state], [shown, state, files], arrived=files)
    shown.act(act, state, [shown, state], api_visibility="private", show_progress="hidden")


def progress(page: Page, job: Job) -> Markup:
    """Returns how far a job is."""
    return Markup(
        '<div class="vv-progress" role="status"><p>{}</p><progress max="{}" value="{}" aria-label="{}">'
        "</progress></div>"
    ).format(
        f"{page.words('working')} {job.done} / {job.total}" if job.total else page.words("working"),
        max(job.total, 1), job.done, page.words("working"),
    )  # fmt: skip


def _sorted(page: Page, job: Job) -> PhotoAlbum:
    album = cluster(
        job.folder / "photos", out=job.folder / "out", cache=False, pictures=False, workers=1,
        threads=1, progress=job.update, home=page.service.options.home,
    )  # fmt: skip
    place = job.folder / _FACES
    place.mkdir(mode=0o700)
    for face, jpeg in views.album_faces(album):
        path = place / f"{face}.jpg"
        path.touch(mode=0o600)
        path.write_bytes(jpeg)
    erase_photos(job)
    return album


def _job(page: Page, caller: Caller, known: Sorting) -> Job:
    return page.service.jobs.get(known.job, caller.id)


def _album(job: Job) -> PhotoAlbum:
    if not isinstance(job.result, PhotoAlbum):
        raise ProblemError(409, "not-done", f"a job that is {job.state}", "sort the photos again")
    return job.result


def _done(page: Page, job: Job, known: Sorting, deed: Deed) -> Markup:
    """Does what a button asked for; returns the board after it."""
    with job.lock:
        album = _album(job)
        there = {one.id for one in album.clusters}
        clusters = [int(one[1:]) for one in deed.picked if one[:1] == "c"]
        faces = [one for one in deed.picked if one[:1] == "f"]
        if deed.act == "save" and (name := deed.text("name")):
            _name(album, int(deed.on), name)
        match deed.act:
            case "save" | "skip" | "back" | "open":
                known.at = _place(known, deed)
            case "split":
                album.split(int(deed.on), *faces)
            case "not-face":
                album.not_a_face(*faces)
            case "merge":
                album.merge(*clusters)
            case "name":
                if len(clusters) > 1:
                    album.merge(*clusters)
                _name(album, clusters[0], deed.text("name"))
            case "undo":
                album.undo()
            case _:
                raise ProblemError(422, "option", "an unknown action", "reload the page")
        left = [one.id for one in album.clusters]
        if set(left) != there:  # keep the place of those that stay; new ones come last
            here = known.order[known.at : known.at + 1]
            known.order = [k for k in known.order if k in left]
            known.order += [k for k in left if k not in known.order]
            known.at = known.order.index(here[0]) if here and here[0] in known.order else (
                min(known.at, len(known.order))
            )  # fmt: skip
    return _board(page, job, known)


def _place(known: Sorting, deed: Deed) -> int:
    """Returns the place to go to."""
    if deed.act == "open":
        return known.order.index(int(deed.on))
    return max(known.at - 1, 0) if deed.act == "back" else known.at + 1


def _name(album: PhotoAlbum, number: int, name: str) -> None:
    """Names a cluster; one that has the name already is the same person."""
    same = [one.id for one in album.clusters if one.name == name and one.id != number]
    if same:
        album.merge(same[0], number)
    else:
        album.name(number, name)


def _board(page: Page, job: Job, known: Sorting) -> Markup:
    words, album = page.words, _album(job)
    counts = album.record.counts()
    head = paragraph(
        words("sorted", faces=counts["faces"], photos=counts["photos"],
              clusters=counts["clusters"], alone=counts["alone"])
    )  # fmt: skip
    if counts["without_faces"] + counts["failed"]:
        head += paragraph(
            words("left_out", n=counts["without_faces"] + counts["failed"]), "vv-note"
        )
    by_id = {one.id: one for one in album.clusters}
    review = Markup()
    if known.at < len(known.order) and known.order[known.at] in by_id:
        review = _review(page, job, album, by_id[known.order[known.at]], known)
    return head + review + _overview(page, job, album)


def _review(page: Page, job: Job, album: PhotoAlbum, one: Any, known: Sorting) -> Markup:
    words = page.words
    likely = [
        pair.b if pair.a == one.id else pair.a
        for pair in album.record.likely_same
        if one.id in {pair.a, pair.b}
    ][:2]
    doubts = {face.id: face.doubt for face in album.faces}
    tiles = [
        Markup(
            '<li><label class="vv-tile vv-large"><input type="checkbox" data-pick="f{n}" value="f{n}">'
            '{picture}{doubt}</label></li>'
        ).format(
            n=face, picture=_thumb(job, face, words("face_n", n=face)),
            doubt=Markup('<span class="vv-hint">{}</span>').format(words("doubtful"))
            if doubts.get(face) else "",
        )
        for face in one.faces[:_SHOWN]
    ]  # fmt: skip
    near = Markup("").join(
        Markup(
            '<button type="button" class="vv-button vv-likely" data-act="open" data-on="{}">{}{}</button>'
        ).format(k, _thumb(job, album_faces(album, k)[0], ""), _called(page, album, k))
        for k in likely
        if album_faces(album, k) and k in known.order
    )
    return Markup(
        '<section class="vv-card vv-review" data-scope data-group><h3>{title}</h3>'
        '<div class="vv-toolbar"><label class="vv-field"><span>{label}</span>'
        '<input type="text" data-field="name" value="{name}" maxlength="200" autocomplete="off" data-focus></label>'
        '<button type="button" class="vv-button vv-primary" data-act="save" data-on="{id}" data-key="Enter">{save}</button>'
        '<button type="button" class="vv-button" data-act="skip" data-key="Escape">{skip}</button>'
        '<button type="button" class="vv-button" data-act="back" data-key="Alt+ArrowLeft">{back}</button></div>'
        '<p class="vv-note">{keys}</p><ul class="vv-tiles vv-wide">{tiles}</ul>'
        '<p class="vv-note">{faces}</p><div class="vv-toolbar">'
        '<button type="button" class="vv-button" data-act="split" data-on="{id}" data-least="1" data-most="{most}">{off}</button>'
        '<button type="button" class="vv-button" data-act="not-face" data-least="1">{nothing}</button></div>'
        "{likely}</section>"
    ).format(
        title=words("who_is", k=known.at + 1, n=len(known.order)), label=words("name"),
        name=one.name, id=one.id, save=words("save_next"), skip=words("skip"), back=words("back"),
        keys=words("keys_words"), tiles=Markup("").join(tiles), faces=words("faces_words"),
        most=max(len(one.faces) - 1, 0), off=words("off"), nothing=words("not_face"),
        likely=Markup('<h4>{}</h4><div class="vv-toolbar">{}</div>').format(words("likely"), near)
        if near else "",
    )  # fmt: skip


def _overview(page: Page, job: Job, album: PhotoAlbum) -> Markup:
    words = page.words
    tiles = [
        Markup(
            '<li data-found="{low}"><label class="vv-tile"><input type="checkbox" data-pick="{name}" value="c{id}">'
            '{picture}<strong>{name}</strong><span>{count}</span></label>'
            '<button type="button" class="vv-link" data-act="open" data-on="{id}" aria-label="{open}: {name}">{open}</button></li>'
        ).format(
            low=_called(page, album, one.id).lower(), name=_called(page, album, one.id), id=one.id,
            picture=_thumb(job, one.faces[0], ""), count=words.count(len(one.faces)),
            open=words("open"),
        )
        for one in album.clusters[:_TILES]
    ]  # fmt: skip
    more = len(album.clusters) - _TILES
    return Markup(
        '<section class="vv-card" data-group data-scope><h3>{title}</h3><p class="vv-note">{note}</p>'
        '<div class="vv-toolbar"><p data-count="{count}" role="status"></p>'
        '<label class="vv-field"><span>{label}</span><input type="text" data-field="name" maxlength="200"></label>'
        '<button type="button" class="vv-button" data-act="name" data-least="1" data-key="Enter">{named}</button>'
        '<button type="button" class="vv-button" data-act="merge" data-least="2">{merge}</button>'
        '<button type="button" class="vv-button" data-act="undo"{undo_off}>{undo}</button></div>'
        '<ul class="vv-tiles">{tiles}</ul>{more}'
        '<div class="vv-toolbar"><a class="vv-button" download="people.csv" href="data:text/csv;base64,{csv}">{download}</a>'
        '<button type="button" class="vv-button vv-danger" data-act="erase">{erase}</button></div></section>'
    ).format(
        title=words("overview"), note=words("overview_words"), count=words("selected", n="{n}"),
        label=words("name"), named=words("name_selected"), merge=words("merge_named"),
        undo=words("undo"), undo_off="" if album.record.corrections else Markup(" disabled"),
        tiles=Markup("").join(tiles),
        more=paragraph(words("more_people", n=more), "vv-note") if more > 0 else "",
        csv=_table(page, album), download=words("download"), erase=words("erase_all"),
    )  # fmt: skip


def album_faces(album: PhotoAlbum, number: int) -> Sequence[int]:
    """Returns the faces of a cluster, or none if there is no such cluster."""
    return next((one.faces for one in album.clusters if one.id == number), ())


def _called(page: Page, album: PhotoAlbum, number: int) -> str:
    name = next((one.name for one in album.clusters if one.id == number), "")
    return name or page.words("person_n", n=number)


def _thumb(job: Job, face: int, alt: str) -> Markup:
    path = job.folder / _FACES / f"{face}.jpg"
    if not path.is_file():
        return Markup('<span class="vv-crop vv-initials" aria-hidden="true">?</span>')
    return image(path.read_bytes(), alt, "vv-crop")


def _table(page: Page, album: PhotoAlbum) -> str:
    """The photos of each person as CSV, in base64."""
    photos = {file.sha256: file.photo for file in album.record.files}
    faces = album.record.faces
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["person", "photo"])
    for one in album.clusters:
        for photo in dict.fromkeys(photos.get(faces[face].photo_sha256, "") for face in one.faces):
            writer.writerow([_called(page, album, one.id), photo])
    return base64.b64encode(text.getvalue().encode("utf-8-sig")).decode()
