"""Objects of deepstack-python. Arguments: port and key."""

from __future__ import annotations

import sys

from deepstack import core
from worker import serve

port, key = int(sys.argv[1]), sys.argv[2]
serve(
    {
        "face": core.DeepstackFace("127.0.0.1", port, key, timeout=60),
        "wrong": core.DeepstackFace("127.0.0.1", port, f"{key}x", timeout=60),
        "object": core.DeepstackObject("127.0.0.1", port, key, timeout=60),
        "scene": core.DeepstackScene("127.0.0.1", port, key, timeout=60),
        "core": core,
    }
)
