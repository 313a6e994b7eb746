"""The dialect of CompreFace's REST interface, below ``/api/v1/``.

Its clients send the token of a key of ``visavis keys create`` as ``x-api-key``; the key's gallery
is CompreFace's face collection.
"""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter

from visavis.service.dialects import Dialect
from visavis.service.dialects.compreface import comparing, examples, subjects
from visavis.service.dialects.compreface.answers import refuse

_router = APIRouter(tags=["compreface"])
for _part in (subjects, examples, comparing):
    _router.include_router(_part.router)

DIALECT: Final = Dialect(
    router=_router,
    owns=lambda _method, path: path.startswith(("/api/v1/", "/static/")),
    refuse=refuse,
)
