"""Draws the picture of the page: ``python -m docs.draw_page`` writes ``docs/page.jpg``.

It compares the photos of ``docs/draw_answer.py``, which are in the public domain, in Chromium.
Needs the extras ``ui`` and ``dev``.
"""

from __future__ import annotations

import io
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image
from tests.service.browser import Visit, chromium

from visavis.service.app import create_app
from visavis.service.page import mount_page
from visavis.service.server import configured
from visavis.service.state import Service, ServiceOptions


def main(target: Path) -> None:
    portrait = np.ascontiguousarray(skimage.data.astronaut())
    other = np.ascontiguousarray((portrait[::2, ::-2] * 0.35).astype(np.uint8))
    with tempfile.TemporaryDirectory() as folder:
        photos = [Path(folder) / "passport.png", Path(folder) / "door.png"]
        for path, pixels in zip(photos, (portrait, other), strict=True):
            Image.fromarray(pixels).save(path)
        service = Service(options=ServiceOptions(home=Path(folder)))
        app = create_app(service)
        mount_page(app, service)
        server = configured(service, port=0, grace=1, app=app)
        thread = threading.Thread(target=server.run)
        thread.start()
        for _ in range(600):
            if server.started:
                break
            time.sleep(0.1)
        port = server.servers[0].sockets[0].getsockname()[1]
        with chromium() as browser:
            visit = Visit(browser, f"http://127.0.0.1:{port}", width=1000)
            visit.open()
            visit.give("a", photos[0])
            visit.give("b", photos[1])
            visit.go()
            visit.wait(".vv-verdict")
            shot = visit.page.screenshot(full_page=True, animations="disabled")
            visit.close()
        server.should_exit = True
        thread.join()
    picture = Image.open(io.BytesIO(shot)).convert("RGB")
    picture.save(target, quality=65, optimize=True)


if __name__ == "__main__":
    main(Path(__file__).parent / "page.jpg")
