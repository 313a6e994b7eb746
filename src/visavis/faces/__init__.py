"""From a photo to faces, and from a face to an aligned crop. One detector a file."""

from __future__ import annotations

from pathlib import Path

from visavis.errors import OptionError
from visavis.types import Detector

DETECTORS = ("yunet", "mtcnn", "dlib")


def detector(
    name: str = "yunet",
    *,
    home: Path | None = None,
    download: bool = False,
    runtime: str = "onnxruntime",
    threads: int | None = None,
) -> Detector:
    """The detector of that name with its default options.

    Raises:
        OptionError: unknown name.
        MissingExtraError: the detector's optional package is not installed.
        ModelUnavailableError: its weights are not on this machine.
    """
    from visavis.weights import WeightStore

    store = WeightStore(home, download=download)
    if name == "yunet":
        from visavis.faces.yunet import YuNet

        return YuNet(store, runtime=runtime, threads=threads)
    if name == "mtcnn":
        from visavis.faces.mtcnn import Mtcnn

        return Mtcnn(store, runtime=runtime, threads=threads)
    if name == "dlib":
        from visavis.faces.dlib import Dlib

        return Dlib(store)
    raise OptionError(f"detector {name!r}", f"choose one of {', '.join(DETECTORS)}")
