"""The page in a real browser, with real photos: every tab, both languages, two widths."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from tests.service.browser import Visit, chromium
from tests.service.conftest import options
from tests.service.running import Running, running

pytest.importorskip("gradio")
pytest.importorskip("axe_playwright_python")

from visavis.service.app import create_app
from visavis.service.page import mount_page
from visavis.service.page.access import COOKIE, Sessions
from visavis.service.page.parts import Page
from visavis.service.page.texts import LANGUAGES, Words
from visavis.service.problems import ProblemError
from visavis.service.state import GalleryPlace, Service

pytestmark = pytest.mark.slow

EN = Words("en")


@pytest.fixture(scope="module")
def faces(peers: Path) -> Path:
    """Small photos: a folder a person in ``train``, others in ``test``."""
    return peers / "face_recognition" / "examples" / "knn_examples"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, faces: Path) -> Iterator[Running]:
    place = tmp_path_factory.mktemp("page")
    service = Service(
        {"door": GalleryPlace(str(place / "door.gallery"), create=True)}, options=options(place)
    )
    service.galleries["door"].enroll(
        [(p.parent.name, p) for p in sorted((faces / "train").rglob("*.jp*g"))], keep_crops=True
    )
    app = create_app(service)
    mount_page(app, service)
    with running(service, app=app) as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def visit(browser: Any, site: Running) -> Iterator[Visit]:
    found = Visit(browser, site.url)
    found.open()
    yield found
    found.close()


@pytest.mark.parametrize(
    ("language", "window"),
    [
        ("en", (1280, "light")),
        ("zh", (360, "dark")),
        ("en", (360, "light")),
        ("zh", (1280, "dark")),
    ],
)
def test_every_tab(
    browser: Any, site: Running, faces: Path, language: str, window: tuple[int, str]
) -> None:
    width, scheme = window
    axe = (language, width) in {("en", 1280), ("zh", 360)}  # both themes, both widths
    words = Words(language)
    visit = Visit(browser, site.url, language=language, width=width, scheme=scheme)
    visit.open()
    page, train = visit.page, faces / "train"
    assert (page.locator("html").get_attribute("lang") or "").startswith(language)
    visit.check(axe=axe)
    assert page.get_by_role("tab").first.evaluate(  # nothing of a tab's focus ring is cut off
        "tab => tab.parentElement.getBoundingClientRect().height >= tab.offsetHeight"
    )
    # Verify
    visit.give("a", train / "obama" / "obama.jpg")
    visit.give("b", train / "obama" / "obama2.jpg")
    visit.go()
    visit.wait(".vv-verdict.vv-same")
    assert page.locator(".vv-verdict h2").inner_text() == words("same")
    assert page.locator(".vv-side img").count() == 2
    page.locator(".vv-curl summary").click()
    assert "/v1/verify?fmr=0.001" in page.locator(".vv-curl code").inner_text()
    visit.check(axe=axe)
    # Identify: one who is enrolled, and a stranger
    visit.tab(words("identify"))
    visit.give("who", faces / "test" / "obama1.jpg")
    visit.go()
    assert visit.wait(".vv-face .vv-name").inner_text() == "obama"
    visit.check(axe=axe)
    visit.give("who", faces.parent / "alex-lacamoire.png")
    # People
    visit.tab(words("people"))
    visit.wait(".vv-tile")
    page.locator(".vv-tile:visible input[value=obama]").check()
    visit.check(axe=axe)
    page.locator("button[data-act=look]").click()
    visit.wait("button[data-act=split]")
    visit.check(axe=axe)
    # Sort
    visit.tab(words("sort"))
    visit.check(axe=axe)
    if width == 1280:
        visit.send("album", sorted((faces / "train").rglob("*.jp*g"))[:6])
        visit.go()
        visit.wait(".vv-review")
        visit.check(axe=axe)
    # Check: too few photos, which it says
    visit.tab(words("check"))
    visit.check(axe=axe)
    if width == 360:
        visit.send("check", sorted((faces / "train").rglob("*.jp*g"))[:8])
        visit.go()
        assert visit.wait(".vv-verdict.vv-unsure h2").inner_text() == words("no_check")
        said = visit.wait(".vv-verdict.vv-unsure").inner_text()
        assert (" photos " in said) == (language == "en")
        visit.check(axe=axe)
    visit.close()


def test_verify_answers_as_the_route_does(visit: Visit, site: Running, faces: Path) -> None:
    one, other = faces / "train" / "obama" / "obama.jpg", faces / "train" / "biden" / "biden.jpg"
    said = site.client.post(
        "/v1/verify?fmr=0.0001",
        files={"a": one.read_bytes(), "b": other.read_bytes()},
    ).json()
    visit.give("a", one)
    visit.give("b", other)
    visit.page.get_by_label(EN("one_in", n="10,000"), exact=True).check()
    visit.go()
    told = visit.wait(".vv-verdict").inner_text()
    assert said["same"] is False
    assert EN("different") in told
    assert f"{said['score']:.2f}" in told
    assert f"{said['threshold']:.2f}" in told


def test_an_answer_ends_with_what_it_is_of(visit: Visit, faces: Path) -> None:
    page, train = visit.page, faces / "train"
    button = page.locator("button.primary:visible").first
    one, same, other = (
        train / name for name in ("obama/obama.jpg", "obama/obama2.jpg", "biden/biden.jpg")
    )
    visit.give("a", one)
    visit.give("b", same)
    page.evaluate(
        "const note = () => { const b = document.querySelector('button.primary');"
        " window.seen = [...(window.seen || []), `${b.disabled} ${b.innerText}`]; };"
        "new MutationObserver(note).observe(document.body, {subtree: true, childList: true,"
        " attributes: true, characterData: true})"
    )
    visit.go()
    visit.wait(".vv-verdict.vv-same")
    visit.check(still=False)  # at once, as it appears
    assert f"true {EN('working')}" in page.evaluate("seen")
    page.wait_for_function("!document.querySelector('button.primary').disabled")
    assert button.inner_text() == EN("compare")
    page.wait_for_function(  # the window goes there
        "document.querySelector('.vv-verdict').getBoundingClientRect().bottom < innerHeight"
    )
    visit.give("b", other)
    page.wait_for_selector(".vv-verdict", state="detached")
    visit.go()
    visit.wait(".vv-verdict.vv-different")
    page.get_by_label(EN("one_in", n="1,000"), exact=True).focus()
    page.keyboard.press("ArrowDown")  # one group for the keyboard, and another rate
    assert page.get_by_label(EN("one_in", n="10,000"), exact=True).is_checked()
    page.wait_for_selector(".vv-verdict", state="detached")
    visit.go()
    visit.give("b", same)  # while it works
    page.wait_for_selector(".vv-working", state="detached")
    assert button.is_enabled()
    assert page.locator(".vv-verdict").count() == 0


def test_several_faces_are_said_and_one_can_be_chosen(
    visit: Visit, site: Running, faces: Path
) -> None:
    page, two = visit.page, faces.parent / "two_people.jpg"
    files = {"a": two.read_bytes(), "b": (faces / "train/biden/biden.jpg").read_bytes()}
    scores = [
        f"{site.client.post(f'/v1/verify?faces={rule}', files=files).json()['score']:.2f}"
        for rule in ("largest", "central")
    ]
    visit.give("a", two)
    visit.give("b", faces / "train/biden/biden.jpg")
    assert page.get_by_label(EN("central")).locator("visible=true").count() == 0
    visit.go()
    said = visit.wait(".vv-caution").inner_text()
    assert " 2 faces" in said
    assert EN("largest") in said
    assert EN("second_photo") not in said
    assert scores[0] in page.locator(".vv-verdict").inner_text()
    page.get_by_label(EN("central")).locator("visible=true").check()
    page.wait_for_selector(".vv-verdict", state="detached")
    visit.go()
    assert EN("central") in visit.wait(".vv-caution").inner_text()
    assert scores[1] in page.locator(".vv-verdict").inner_text()
    page.locator(".vv-curl summary").click()
    assert "&faces=central" in page.locator(".vv-curl code").inner_text()
    visit.tab("People")
    page.get_by_role("button", name=EN("add")).click()
    page.get_by_label("Name", exact=True).locator("visible=true").fill("Of two")
    visit.give("add", two)
    visit.go()
    visit.wait(".vv-rows .vv-bad")
    assert "Of two" not in site.service.galleries["door"]
    page.get_by_label(EN("largest")).locator("visible=true").check()
    visit.go()
    visit.wait(".vv-rows .vv-good")
    assert len(site.service.galleries["door"].faces("Of two")) == 1
    site.service.galleries["door"].remove("Of two")


def test_photos_are_sent_before_the_button_can_be_pressed(visit: Visit, faces: Path) -> None:
    page = visit.page
    held: list[Any] = []

    def hold(route: Any) -> None:
        held.append(route)

    visit.tab("Sort")
    button = page.locator("button.primary:visible").first
    visit.go()
    visit.wait(".vv-alert")
    page.route("**/gradio_api/upload*", hold)
    photos = sorted((faces / "train" / "obama").iterdir())[:2]
    page.set_input_files("#vv-album-files", [str(photo) for photo in photos])
    for k in (1, 2):
        page.wait_for_function(
            "k => document.querySelector('#vv-album-files').closest('.vv-photo')"
            ".querySelector('[role=status]').innerText.includes(`${k} / 2`)",
            arg=k,
        )
        page.wait_for_function("document.querySelectorAll('[aria-busy=true] progress').length == 1")
        assert button.is_disabled()
        page.wait_for_timeout(100)
        held.pop().continue_()
    page.wait_for_selector(".vv-alert:visible", state="detached")
    assert button.is_enabled()


def test_strangers_are_unknown(visit: Visit, faces: Path) -> None:
    visit.tab("Identify")
    visit.give("who", faces / "test" / "johnsnow_test1.jpg")
    visit.go()
    visit.wait(".vv-face")
    visit.give("who", faces.parent / "lin-manuel-miranda.png")
    visit.go()
    visit.wait(".vv-stranger")
    assert visit.page.locator(".vv-stranger .vv-name").first.inner_text() == EN("unknown")


def test_a_bad_photo_is_said_in_words(visit: Visit, faces: Path, tmp_path: Path) -> None:
    bad = tmp_path / "notes.jpg"
    bad.write_text("no photo")
    visit.give("a", bad)
    visit.give("b", faces / "train" / "obama" / "obama.jpg")
    visit.go()
    assert "notes.jpg" in visit.wait(".vv-alert").inner_text()
    assert "Traceback" not in visit.page.content()


def test_the_camera_gives_a_photo(visit: Visit) -> None:
    visit.page.get_by_role("button", name=EN("camera")).first.click()
    visit.page.wait_for_function("document.querySelector('video')?.videoWidth > 0")
    visit.page.get_by_role("button", name=EN("shoot")).click()
    assert visit.wait(".vv-photo figcaption span").first.inner_text() == "camera.jpg"


def test_people_are_added_changed_and_erased(
    visit: Visit, site: Running, faces: Path, tmp_path: Path
) -> None:
    gallery, page = site.service.galleries["door"], visit.page
    bad = tmp_path / "empty.png"
    bad.write_bytes(b"\x89PNG")
    visit.tab("People")
    page.get_by_role("button", name=EN("add")).click()
    page.get_by_label("Name", exact=True).locator("visible=true").fill("Jon Snow")
    visit.give("add", faces / "test" / "johnsnow_test1.jpg", bad)
    visit.go()
    visit.wait(".vv-rows li")
    assert page.locator(".vv-rows .vv-good").count() == 1
    assert "empty.png" in page.locator(".vv-rows .vv-bad").inner_text()
    assert "Jon Snow" in gallery

    def select(*names: str) -> None:
        for box in page.locator(".vv-tile:visible input:checked").all():
            box.uncheck()
        for name in names:
            page.locator(f".vv-tile:visible input[value='{name}']").check()

    select("Jon Snow")
    page.locator("[data-field=name]:visible").first.fill("John")
    page.locator("[data-act=rename]").click()
    page.wait_for_selector(".vv-tile input[value=John]")
    assert "John" in gallery
    assert "Jon Snow" not in gallery
    select("John", "kit_harington")
    page.locator("[data-act=merge]").click()
    page.wait_for_selector(".vv-tile input[value=kit_harington]", state="detached")
    merged = gallery.faces("John")  # the name that comes first stays
    assert len(merged) == 3
    select("John")
    page.locator("[data-act=look]").click()
    last = max(face.id for face in merged)
    page.wait_for_selector(f".vv-tile input[value='{last}']")
    for box in page.locator(".vv-tile:visible input:checked").all():
        box.uncheck()
    page.locator(f".vv-tile input[value='{last}']").check()
    page.locator("[data-field=into]").fill("Jon")
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelectorAll('.vv-board .vv-tile').length == 2")
    assert len(gallery.faces("Jon")) == 1
    page.locator("[data-act=back]:visible").click()
    select("Jon")
    page.locator("[data-field=expiry]").select_option("30d")
    page.locator("[data-act=expiry]").click()
    page.wait_for_selector(".vv-tile:has-text('expires')")
    assert gallery.faces("Jon")[0].expires is not None
    select("Jon")
    page.locator("[data-reveal='#vv-erase']").first.click()
    assert "Jon" in page.locator(".vv-confirm p").inner_text()
    page.locator("[data-act=erase]:visible").click()
    page.wait_for_selector(".vv-tile input[value=Jon]", state="detached")
    assert "Jon" not in gallery


def test_a_collection_is_named_by_keyboard_corrected_and_erased(
    visit: Visit, site: Running, faces: Path
) -> None:
    page = visit.page
    photos = sorted(p for n in ("obama", "kit_harington") for p in (faces / "train" / n).iterdir())
    visit.tab("Sort")
    visit.send("album", photos)
    visit.go()
    visit.wait(".vv-review")
    count = page.locator("button[data-act=open]").count()
    page.locator(".vv-review [data-field=name]").fill("Anna")
    page.keyboard.press("Enter")
    page.wait_for_selector(".vv-review h3:has-text('2 of')")
    assert page.locator(".vv-tile strong", has_text="Anna").count() == 1
    page.keyboard.press("Escape")
    page.wait_for_function("!/2 of/.test(document.querySelector('.vv-review h3')?.textContent)")
    page.locator(".vv-tile input[value=c1], .vv-tile input[value=c2]").first.check()
    page.locator(".vv-tile input[value^=c]").last.check()
    page.locator("[data-act=merge]:visible").click()
    page.wait_for_function(
        "n => document.querySelectorAll('button[data-act=open]').length < n", arg=count
    )
    page.locator("[data-act=undo]").click()
    page.wait_for_function(
        "n => document.querySelectorAll('button[data-act=open]').length == n", arg=count
    )
    (job,) = [one for one in site.service.jobs.of("") if one.kind == "cluster"][-1:]
    assert list((job.folder / "faces").glob("*.jpg"))
    assert not (job.folder / "photos").exists()
    page.locator("[data-act=erase]:visible").click()
    visit.wait(".vv-done")
    assert not job.folder.exists()


def test_languages_are_chosen_by_the_browser_and_by_a_link(visit: Visit, site: Running) -> None:
    for asked, found in (("zh-CN,zh;q=0.9", "zh"), ("fr, en;q=0.5", "en"), ("", "en")):
        answer = httpx.get(f"{site.url}/ui", headers={"accept-language": asked})
        assert answer.headers["location"] == f"/ui/{found}/"
    visit.page.get_by_role("link", name=LANGUAGES["zh"]).click()
    visit.page.wait_for_url("**/ui/zh/")
    assert visit.wait(".vv-photo .vv-button").first.inner_text() == Words("zh")("choose")


def test_only_what_the_page_needs_is_served(site: Running) -> None:
    for path in (
        "gradio_api/info", "gradio_api/file=/etc/hostname", "gradio_api/call/compare",
        "gradio_api/run/predict", "gradio_api/proxy=http://example.com/", "monitoring",
        "gradio_api/deep_link", "gradio_api/runs",
    ):  # fmt: skip
        assert site.client.get(f"/ui/en/{path}").status_code == 404, path
    page = site.client.get("/ui/en/", headers={"origin": site.url})
    assert "access-control-allow-origin" not in page.headers
    assert "default-src 'self'" in page.headers["content-security-policy"]
    linked = re.findall(r"(?:src|href|content)=\"(https?://[^\"]+)", page.text)
    assert linked == []
    assert page.text.count("<title>") == 1


def test_with_keys_the_page_asks_for_one_and_shows_its_galleries(
    browser: Any, tmp_path: Path, faces: Path
) -> None:
    places = {n: GalleryPlace(str(tmp_path / f"{n}.gallery"), create=True) for n in ("door", "lab")}
    service = Service(places, options=options(tmp_path))
    for name in places:
        service.galleries[name].enroll(
            [(f"only in {name}", faces / "train" / "obama" / "obama.jpg")]
        )
    key, token = service.keys.create(scopes=["identify", "enroll"], galleries=["lab"])
    app = create_app(service)
    mount_page(app, service)
    with running(service, app=app) as site:
        assert site.client.get("/ui/en/").headers["location"].startswith("/ui/sign-in")
        assert site.client.get("/ui/en/config").status_code == 401
        wrong = site.client.post("/ui/sign-in?lang=zh", data={"key": token[:-1] + "x"})
        assert wrong.status_code == 401
        assert Words("zh")("bad_key") in wrong.text
        visit = Visit(browser, site.url)
        visit.page.goto(f"{site.url}/ui/en/")
        visit.check()
        visit.page.get_by_label(EN("key")).fill(token)
        visit.page.keyboard.press("Enter")
        visit.wait(".vv-empty")  # Verify: the key has no such scope
        visit.tab("People")
        visit.wait(".vv-tile")
        assert visit.page.locator(".vv-tile strong").all_inner_texts() == ["only in lab"]
        for name, scope in (("Verify", "verify"), ("Sort", "verify"), ("Check", "verify")):
            visit.tab(name)
            assert visit.wait(".vv-empty").inner_text() == EN("no_scope", scope=scope)
            assert visit.page.locator("button.primary:visible").count() == 0
        sessions = Sessions(service)  # and who asks without the form is refused
        request: Any = SimpleNamespace(cookies={COOKIE: sessions.open(token)})
        with pytest.raises(ProblemError, match="scope"):
            Page(service, sessions, EN, tmp_path).caller(request, "verify")
        service.keys.revoke(key.id)
        visit.page.goto(f"{site.url}/ui/en/")
        visit.page.wait_for_url("**/ui/sign-in*")
        visit.close()
