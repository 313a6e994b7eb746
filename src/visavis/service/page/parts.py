"""What all tabs share: the photo input, the board, answers and errors as HTML."""

from __future__ import annotations

import base64
import binascii
import io
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Any, Final

import gradio as gr
from markupsafe import Markup

from visavis.api import views
from visavis.errors import DataError, ImageTooLargeError, VisavisError
from visavis.service.page.access import Sessions
from visavis.service.page.texts import Words
from visavis.service.problems import ProblemError
from visavis.service.state import Caller, Service

log: Final = logging.getLogger("visavis.service")
_MOST: Final = 50
RATES: Final = (1e-2, 1e-3, 1e-4, 1e-5)


class Photo(io.BytesIO):
    """A photo in memory, with the name that answers use.

    Attributes:
        name: what the visitor's machine calls it.
    """

    name: str


def _input(script: str, title: str, name: str, **props: Any) -> gr.HTML:
    """Returns an element of ``page.js`` whose value is what the visitor chose.

    Gradio's own inputs write photos to the disk, and open them before any limit applies. A class
    of our own would make Gradio write a file beside this one.
    """
    return gr.HTML(
        None,
        html_template='<div class="vv-photo" role="group" tabindex="-1" '
        f'aria-labelledby="{name}-label"></div>',
        js_on_load=script,
        title=title,
        name=name,
        **props,
    )


@dataclass(frozen=True, slots=True)
class SentFile:
    """A file that was sent.

    Attributes:
        path: where it is.
        folder: the folder that it was in, or an empty string.
    """

    path: Path
    folder: str


def board() -> gr.HTML:
    """Returns an element whose buttons send what is to be done, see ``Deed``."""
    return gr.HTML(
        "",
        html_template='<div class="vv-board"></div>',
        js_on_load="vv.board(element, trigger, props, watch, 'act')",
        elem_classes="vv-out",
    )


@dataclass(frozen=True, slots=True)
class Deed:
    """What a button of a board asks for.

    Attributes:
        act: the deed.
        on: its object, such as a name.
        fields: texts of the fields beside it.
        picked: what is selected.
    """

    act: str
    on: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)
    picked: Sequence[str] = ()

    @classmethod
    def of(cls, event: gr.EventData) -> Deed:
        """Reads the event of a ``board``."""
        data = event._data or {}
        fields = data.get("fields") or {}
        return cls(
            str(data.get("act", "")),
            str(data.get("on", "")),
            {str(k): v for k, v in fields.items()},
            tuple(map(str, data.get("picked") or ())),
        )

    def text(self, name: str) -> str:
        """Returns the text of a field without spaces around it."""
        return str(self.fields.get(name, "")).strip()


@dataclass(frozen=True, slots=True)
class Page:
    """One language's page of a service.

    Attributes:
        service: the service behind it.
        sessions: who asks.
        words: its texts.
        folder: private folder of what is being sent.
        forms: what needs a scope: its name, what says that it is lacking, and the form.
    """

    service: Service
    sessions: Sessions
    words: Words
    folder: Path
    forms: list[tuple[str, gr.HTML, gr.Column]] = field(default_factory=list)

    def caller(self, request: gr.Request, scope: str) -> Caller:
        """Returns who asks, refusing those without that scope, and too many requests."""
        found = self.sessions.caller(request.cookies)
        if found is None:
            raise ProblemError(401, "unauthorized", "not signed in", "sign in again")
        found.require(scope)
        key = found.key
        if key is not None and (wait := self.service.buckets.take(key.id, key.rate)):
            raise ProblemError(
                429, "rate-limit", f"more than {key.rate:,} requests per minute",
                f"wait {ceil(wait)} s",
            )  # fmt: skip
        return found

    @contextmanager
    def form(self, scope: str) -> Iterator[None]:
        """Puts what is built inside into a form, for those whose key has the scope."""
        refusal = gr.HTML(
            paragraph(self.words("no_scope", scope=scope), "vv-empty"),
            visible=False, js_on_load=None, elem_classes="vv-out",
        )  # fmt: skip
        with gr.Column() as form:
            yield
        self.forms.append((scope, refusal, form))

    def on_press(
        self, go: gr.Button, answer: Callable[..., Any], inputs: Sequence[Any],
        outputs: Sequence[Any], *, changed: Sequence[Any] = (), arrived: gr.HTML | None = None,
    ) -> None:  # fmt: skip
        """Lets a button ask for an answer; the button is disabled and says so meanwhile.

        Args:
            go: the button.
            answer: makes the outputs of the inputs.
            inputs: of ``answer``.
            outputs: of ``answer``; the first shows the answer.
            changed: inputs whose change takes the answer back, also one on its way.
            arrived: input whose photos take back what a former press said.
        """
        shown, quiet = outputs[0], {"api_visibility": "private", "show_progress": "hidden"}
        ready = f"vv.ready({json.dumps(go.value)})"
        pressed = go.click(
            None,
            None,
            [go, shown],
            js=f"() => vv.begin({json.dumps(self.words('working'))})",
            **quiet,
        )
        asked = pressed.then(answer, list(inputs), list(outputs), **quiet)
        asked.then(None, None, go, js=f"() => {{ vv.show(); return {ready}; }}", **quiet)
        for one in changed:
            one.change(None, None, [go, shown], js=f"() => [{ready}, '']", cancels=[asked], **quiet)
        if arrived is not None:
            arrived.change(None, [arrived, shown], shown, js="vv.cleared", **quiet)

    def galleries(self, caller: Caller) -> list[str]:
        """Returns the names of the caller's galleries."""
        return [name for name in self.service.galleries if caller.sees(name)]

    def photo_input(self, key: str, *, name: str, many: bool = False) -> gr.HTML:
        """Returns an input for a photo, or for photos: file, drop, clipboard or camera."""
        most = self.service.options.photo_bytes
        return _input(
            "vv.photo(element, props, watch)", self.words(key), f"vv-{name}", most_bytes=most,
            many=many,
        )  # fmt: skip

    def files_input(self, *, name: str) -> gr.HTML:
        """Returns an input for a collection: a folder, files or a zip archive, sent one by one."""
        options = self.service.options
        return _input(
            "vv.files(element, props, watch, upload)", self.words("photos"), f"vv-{name}",
            most=options.job_photos, most_bytes=options.body_bytes,
        )  # fmt: skip

    def photos(self, value: Any) -> list[Photo]:
        """Returns the photos of a ``photo_input``.

        Raises:
            ImageTooLargeError: too many bytes.
            DataError: not what the input sends.
        """
        most, found = self.service.options.photo_bytes, []
        for one in list(value or ())[:_MOST]:
            text = str(one.get("data", "")).partition(",")[2]
            if len(text) > most * 4 // 3 + 4:
                raise ImageTooLargeError(f"more than {most:,} bytes", "give a smaller photo")
            try:
                photo = Photo(base64.b64decode(text, validate=True))
            except binascii.Error as error:
                raise DataError("a photo that was damaged on its way", "choose it again") from error
            photo.name = str(one.get("name", "photo"))[:100]
            found.append(photo)
        return found

    def files(self, value: Any) -> list[SentFile]:
        """Returns the files of a ``files_input``; others than in the private folder are left out."""
        found = []
        for one in list(value or ())[: self.service.options.job_photos]:
            path = Path(str(one.get("path", ""))).resolve()
            if path.is_relative_to(self.folder.resolve()) and path.is_file():
                found.append(SentFile(path, str(one.get("folder", ""))))
        return found

    def answer(self, call: Callable[[], Markup]) -> Markup:
        """Returns what a call answers, or its error in words."""
        try:
            return call()
        except (VisavisError, ProblemError) as error:
            return self.error(error)
        except Exception:  # the page says it; the service goes on
            log.exception("unexpected")
            return self.alert(self.words("unexpected"))

    def error(self, error: VisavisError | ProblemError) -> Markup:
        """Returns an error of the library in words."""
        own, remedy = self.words.reason(error.reason), error.remedy.rstrip(".")
        told = Markup("<p>{}; {}.</p>").format(error.got, remedy)
        got, advice = self.words.translated(error.got), self.words.translated(remedy)
        if got != error.got and advice != remedy:
            return self.alert(own, Markup("<p>{}；{}。</p>").format(got, advice))
        if own:
            return self.alert(
                own, Markup("<details><summary>English</summary>{}</details>").format(told)
            )
        return self.alert("", told)

    def alert(self, text: str, more: Markup | str = "") -> Markup:
        """Returns a message that something did not work."""
        return Markup('<div class="vv-alert" role="alert"><strong>{}</strong>{}{}</div>').format(
            self.words("error"), Markup("<p>{}</p>").format(text) if text else "", more
        )

    def note(self, text: str) -> Markup:
        """Returns a short message."""
        return Markup('<p class="vv-done" role="status">{}</p>').format(text)


def data_url(file: bytes) -> str:
    """Returns a JPEG or PNG file as an address that an image can show."""
    kind = "png" if file.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(file).decode()}"


def picture(pixels: Any, alt: str, kind: str = "vv-crop") -> Markup:
    """Returns an image of RGB uint8 pixels ``(H, W, 3)``."""
    return image(views.jpeg(pixels), alt, kind)


def image(file: bytes, alt: str, kind: str = "vv-crop") -> Markup:
    """Returns an image of a JPEG or PNG file."""
    return Markup('<img class="{}" src="{}" alt="{}">').format(kind, data_url(file), alt)


def card(title: str, *inside: Markup | str, kind: str = "") -> Markup:
    """Returns a box with a heading."""
    return Markup('<section class="vv-card {}"><h3>{}</h3>{}</section>').format(
        kind, title, Markup("").join(inside)
    )


def opening(title: str, text: str) -> Markup:
    """Returns the heading of a tab, for screen readers, and what it is for."""
    return Markup('<h2 class="vv-unseen">{}</h2><p class="vv-intro">{}</p>').format(title, text)


def paragraph(text: str, kind: str = "") -> Markup:
    """Returns a paragraph."""
    return Markup('<p class="{}">{}</p>').format(kind, text)


def curl(words: Words, command: str) -> Markup:
    """Returns a command that can be copied."""
    return Markup(
        '<details class="vv-card vv-curl"><summary>{}</summary><pre><code>{}</code></pre>'
        '<button type="button" class="vv-button" data-copy>{}</button></details>'
    ).format(words("curl"), command, words("copy"))


def address(request: gr.Request, path: str) -> str:
    """Returns the address of a route as the visitor's machine reaches it."""
    url = request.url
    return f"{url.scheme}://{request.headers['host']}{path}"


def authorization(caller: Caller) -> str:
    """Returns curl's option for the key, which is not shown."""
    return "" if caller.key is None else " -H 'Authorization: Bearer YOUR-KEY'"
