"""The dialect of Amazon Rekognition: ``POST /``, signed with AWS's Signature Version 4.

Its clients send the access key id and secret access key of ``visavis keys create --aws``; a
collection is a gallery of the service.
"""

from __future__ import annotations

from typing import Final

from visavis.service.dialects import Dialect
from visavis.service.dialects.rekognition.routes import router
from visavis.service.dialects.rekognition.wire import refuse

DIALECT: Final = Dialect(
    router=router,
    owns=lambda method, path: path == "/" and method not in {"GET", "HEAD"},
    refuse=refuse,
)
