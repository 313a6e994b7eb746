"""Objects of compreface-sdk. Arguments: port, and the key of each service."""

from __future__ import annotations

import sys

from compreface import CompreFace
from worker import serve

port, key = sys.argv[1:]
options = {"limit": 0, "det_prob_threshold": 0.8, "prediction_count": 1, "status": "true"}
service = CompreFace("http://127.0.0.1", port, options=options)
recognition = service.init_face_recognition(key)
serve(
    {
        "recognition": recognition,
        "faces": recognition.get_face_collection(),
        "subjects": recognition.get_subjects(),
        "verification": service.init_face_verification(key),
        "detection": service.init_face_detection(key),
    }
)
