"""A running service that speaks all dialects."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from tests.service.conftest import door, face, faceless, mirrored, options
from tests.service.running import Running, running

from visavis.service.dialects import DIALECTS
from visavis.service.state import GalleryPlace, Service

__all__ = ["door", "face", "faceless", "mirrored"]

NOT_FOR_CLIENTS = re.compile(
    r"/openapi\.json|\bas str\b|base64\.|numpy|seek\(|\bvisavis (people|models)"
)
"""Words of Python or a command line, and the document that leaves out the routes of dialects."""


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """An open service with all dialects and one empty gallery ``door``."""
    place = tmp_path_factory.mktemp("spoken")
    gallery = GalleryPlace(str(place / "door.gallery"), create=True)
    known = options(place, dialects=tuple(DIALECTS))
    with running(Service({"door": gallery}, options=known)) as found:
        yield found
