"""The dialect of CompreFace's REST interface, below ``/api/v1/``.

Its clients send the token of a key of ``visavis keys create`` as ``x-api-key``; the key's gallery
is CompreFace's face collection.
"""

from __future__ import annotations

from typing import Final

from visavis.service.dialects import Dialect
from visavis.service.dialects.compreface.answers import refuse
from visavis.service.dialects.compreface.subjects import router

DIALECT: Final = Dialect(
    router=router,
    owns=lambda _method, path: path.startswith(("/api/v1/", "/static/")),
    refuse=refuse,
)
