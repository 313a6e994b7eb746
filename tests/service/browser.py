"""A page in Chromium that notes what it says and whom it asks, and is checked with axe-core."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

_FLAGS = [
    "--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
]  # fmt: skip


_STILL = "*, *::before, *::after { transition: none !important; animation: none !important }"


@contextmanager
def chromium() -> Iterator[Any]:
    """Yields a browser; skips without one."""
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        options: dict[str, Any] = {"args": _FLAGS}
        if not Path(playwright.chromium.executable_path).exists():
            options["executable_path"] = shutil.which("chromium") or shutil.which("google-chrome")
            if options["executable_path"] is None:
                pytest.skip("no Chromium: run `playwright install chromium`")
        opened = playwright.chromium.launch(**options)
        yield opened
        opened.close()


class Visit:
    """A visitor of the page.

    Args:
        browser: the browser.
        url: address of the service.
        language: ``en`` or ``zh``.
        width: of the window in pixels.
        scheme: ``light`` or ``dark``.
    """

    def __init__(
        self, browser: Any, url: str, *, language: str = "en", width: int = 1280,
        scheme: str = "light",
    ) -> None:  # fmt: skip
        self.url, self.language, self.width = url, language, width
        self.context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, locale="de-DE"
        )
        self.page = self.context.new_page()
        self.page.set_default_timeout(60_000)
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on(
            "console",
            lambda one: self.said.append(one.text) if one.type in {"error", "warning"} else None,
        )
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))

    def open(self) -> None:
        self.page.goto(f"{self.url}/ui/{self.language}/")
        self.page.wait_for_selector(".vv-photo .vv-button")

    def tab(self, label: str) -> None:
        self.page.get_by_role("tab", name=label, exact=True).click()

    def go(self) -> None:
        """Presses the button of the tab."""
        self.page.locator("button.primary:visible").first.click()

    def give(self, name: str, *photos: Path) -> None:
        self.page.set_input_files(f"#vv-{name}-file", [str(photo) for photo in photos])

    def send(self, name: str, photos: Sequence[Path]) -> None:
        """Gives a collection, and waits until all was sent."""
        self.page.set_input_files(f"#vv-{name}-files", [str(photo) for photo in photos])
        self.page.wait_for_function(
            "([name, count]) => document.querySelector(`#vv-${name}-files`).closest('.vv-photo')"
            ".querySelector('[role=status]').textContent.startsWith(String(count))",
            arg=[name, len(photos)],
        ) if self.language == "en" else self.page.wait_for_function(
            "name => /[0-9]+ 张/.test(document.querySelector(`#vv-${name}-files`)"
            ".closest('.vv-photo').querySelector('[role=status]').textContent)",
            arg=name,
        )

    def wait(self, selector: str) -> Any:
        """Waits until something is seen."""
        self.page.wait_for_selector(f"{selector}:visible")
        return self.page.locator(f"{selector}:visible")

    def check(self, *, axe: bool = True, still: bool = True) -> None:
        """Fails for serious findings of axe-core, and for what is wider than the window."""
        assert self.page.evaluate("document.documentElement.scrollWidth") <= self.width
        if axe:
            self._check_with_axe(still=still)

    def _check_with_axe(self, *, still: bool) -> None:
        if still:  # a color in the middle of a transition is nobody's choice
            self.page.add_style_tag(content=_STILL)
        axe = resources.files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")
        self.page.evaluate(axe)
        found = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        serious = [
            (one["id"], [node["html"] for node in one["nodes"]][:3])
            for one in found["violations"]
            if one["impact"] in {"serious", "critical"}
        ]
        assert serious == [], serious

    def close(self) -> None:
        """Ends the visit; fails if the page complained, or asked another host."""
        own = urlsplit(self.url).netloc
        others = {
            url for url in self.asked
            if not url.startswith(("data:", "blob:")) and urlsplit(url).netloc != own
        }  # fmt: skip
        self.context.close()
        assert self.said == []
        assert others == set()
