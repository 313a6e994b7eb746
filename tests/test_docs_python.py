"""The Python in the documentation runs as it stands there."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.test_docs import PAGES, ROOT, TRANSLATED

BLOCKS = {
    page.relative_to(ROOT).as_posix(): found
    for page in PAGES
    if page != TRANSLATED  # it has the blocks of README.md
    and page.parent.name != "switching"  # tests/service/clients runs them, with those clients
    if (found := re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.S))
}
NOT_RUN = {
    "docs/concepts/scale-out.md": "wants a Milvus cluster",
    "docs/concepts/training.md": "trains for minutes",
    "docs/recipes/own-model.md": "wants somebody's network",
}
"""Pages whose code is only parsed, and whose imports are tried."""

Names = dict[str, Any]


def photos(portrait: np.ndarray, *names: str) -> None:
    for k, name in enumerate(names):
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((portrait * (1 - 0.1 * k)).astype(np.uint8)).save(path, quality=95)


def nothing(_portrait: np.ndarray) -> Names:
    return {}


def readme(portrait: np.ndarray) -> Names:
    photos(portrait, "passport.jpg", "door.jpg", "staff/Eileen Collins/1.jpg")
    return {}


def evaluate(portrait: np.ndarray) -> Names:
    photos(portrait, *(f"photos/{name}.jpg" for name in "abcd"))
    Path("gate.csv").write_text("a,b,same\na.jpg,b.jpg,1\nc.jpg,d.jpg,1\na.jpg,c.jpg,0\n")
    return {}


def door(portrait: np.ndarray) -> Names:
    from visavis import identification as people
    from visavis.gallery.crypto.key import Key
    from visavis.gallery.sqlite.store import SqliteGallery

    photos(portrait, "frame.jpg", "carla.jpg")
    key = Key.generate()
    Path("door.key").write_text(key.to_text())
    with SqliteGallery(Path("door.gallery"), create=True, key=key) as gallery:
        anna = people.PersonPhoto("Anna Ivanova", Path("frame.jpg"))
        people.Enroller(gallery, people.recognizers(gallery)[0]).enroll_one(anna)
    return {}


def detection(portrait: np.ndarray) -> Names:
    photos(portrait, "party.jpg")
    return {}


def gallery(_portrait: np.ndarray) -> Names:
    from visavis.gallery.crypto.key import Key
    from visavis.gallery.records import NewFace

    Path("key").write_text(Key.generate().to_text())

    class Model:
        sha256 = "ab" * 32

    vector = np.eye(4, dtype=np.float32)
    faces = [NewFace(name, vector[k], "m", Model.sha256) for k, name in enumerate(("Anna", "Bo"))]
    return {"faces": faces, "probe": vector[:1], "model": Model}


def watched(portrait: np.ndarray) -> Names:
    import av

    import visavis

    photos(portrait, "anna.jpg")
    with visavis.Gallery("door.gallery", create=True) as people:
        people.enroll("anna.jpg", name="Anna Ivanova")
    picture = av.VideoFrame.from_ndarray(portrait[:480, :512], format="rgb24")
    with av.open("clip.mp4", "w") as clip:
        stream = clip.add_stream("mpeg4", rate=10)
        stream.width, stream.height = picture.width, picture.height
        for packet in (*(p for _ in range(10) for p in stream.encode(picture)), *stream.encode()):
            clip.mux(packet)
    return {}


def packed(_portrait: np.ndarray) -> Names:
    from tests.training import tiny

    tiny.make_pack(Path("photos.pack"), people=20)
    return {}


def images(portrait: np.ndarray) -> Names:
    photos(portrait, "ann.jpg")
    return {"data": Path("ann.jpg").read_bytes(), "path": Path("ann.jpg"), "cache": set()}


def api(portrait: np.ndarray) -> Names:
    """Photos under the page's names; what takes minutes or real data is called with the page's
    arguments, and answers without the work."""
    import inspect
    from types import SimpleNamespace

    import visavis as vv

    both = ("a.jpg", "b.jpg")
    photos(portrait, *both, "holiday/1.jpg", "holiday/2.jpg")
    photos(portrait, *(f"photos/{name}" for name in both), "staff/Anna Ivanova/1.jpg")
    Path("mine.csv").write_text("a,b,same\na.jpg,b.jpg,1\na.jpg,photos/b.jpg,0\n")

    def instead(call: Callable[..., Any], answer: Any) -> Callable[..., Any]:
        def bound(*given: Any, **named: Any) -> Any:
            inspect.signature(call).bind(*given, **named)
            return answer

        return bound

    drawn = SimpleNamespace(rank1=1.0, accuracy=0.99, trusted=True, plot=lambda: None)
    model = SimpleNamespace(path="runs/mine/model")
    asked = vv.verify
    return {
        "instead": {
            (vv, "calibrate"): instead(vv.calibrate, None),
            (vv, "check"): instead(vv.check, drawn),
            (vv, "train"): instead(vv.train, SimpleNamespace(model=model)),
            (vv, "verify"): lambda *given, **named: asked(
                *given, **{k: v for k, v in named.items() if k != "calibration"}
            ),
            (vv.evaluate, "lfw"): instead(vv.evaluate.lfw, drawn),
            (vv.evaluate, "identify"): instead(vv.evaluate.identify, drawn),
            (vv.evaluate, "cluster"): instead(vv.evaluate.cluster, drawn),
            (vv.models, "add"): instead(vv.models.add, None),
            (vv.runs, "report"): instead(vv.runs.report, None),
        }
    }


def exported(_portrait: np.ndarray) -> Names:
    from tests.exporting import models as tiny_models

    import visavis as vv

    home = Path("home")
    graph = tiny_models.graph(Path("tiny.onnx"))
    vv.models.add("tiny", graph, mean=0, std=1, color="rgb", license="MIT", home=home)
    vv.export("tiny", to="onnx", out="sface-onnx", home=home)
    return {}


SETTINGS: dict[str, Callable[[np.ndarray], Names]] = {
    "README.md": readme,
    "docs/api.md": api,
    "docs/bulk.md": evaluate,
    "docs/coming-from.md": api,
    "docs/concepts/detection.md": detection,
    "docs/concepts/gallery.md": gallery,
    "docs/concepts/identification.md": nothing,
    "docs/concepts/images.md": images,
    "docs/concepts/metrics.md": nothing,
    "docs/concepts/models.md": nothing,
    "docs/concepts/training-data.md": packed,
    "docs/export.md": exported,
    "docs/recipes/door.md": door,
    "docs/recipes/evaluate.md": evaluate,
    "docs/watch.md": watched,
}


def test_every_page_with_python_is_here() -> None:
    assert set(SETTINGS) | set(NOT_RUN) == set(BLOCKS)


@pytest.mark.parametrize("page", sorted(BLOCKS))
def test_it_runs(
    page: str, portrait: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    names = SETTINGS[page](portrait) if page in SETTINGS else {}
    for (place, name), call in names.pop("instead", {}).items():
        monkeypatch.setattr(place, name, call, raising=False)
    for block in BLOCKS[page]:
        tree = ast.parse(block)
        if page in NOT_RUN:
            kept = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
            tree = ast.Module(kept, [])
        exec(compile(tree, page, "exec"), names)
    if page == "docs/recipes/door.md":
        assert names["row"].status == "enrolled", names["row"]
