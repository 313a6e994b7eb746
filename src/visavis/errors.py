"""One exception tree. Every message says what was given, what is accepted, and what to do.

Commands print ``str(error)`` on one line and exit with status 2; the service maps each class to an
HTTP status. Library code never raises anything else for bad input.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final


class VisavisError(Exception):
    """Base of everything visavis raises on purpose.

    Args:
        got: what was given, naming the input (a path, a value).
        remedy: what is accepted or what to do about it.
    """

    def __init__(self, got: str, remedy: str) -> None:
        self.got = _one_line(got)
        self.remedy = _one_line(remedy)
        super().__init__(f"{self.got}; {self.remedy}")

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        # Exceptions travel back from worker processes by pickle.
        return (type(self), (self.got, self.remedy))

    @property
    def reason(self) -> str:
        """A short stable name for rows and logs, such as ``image-truncated``."""
        return _kebab(type(self).__name__.removesuffix("Error"))


def _one_line(text: str) -> str:
    # Only breaks and controls go: double spaces may be part of a file's name.
    return "".join(c if c.isprintable() else " " for c in text).strip()


def _kebab(name: str) -> str:
    return "".join(f"-{c.lower()}" if c.isupper() else c for c in name).lstrip("-")


class OptionError(VisavisError, ValueError):
    """An argument is outside what the function accepts."""


class ImageError(VisavisError):
    """A photo could not be read."""


class ImageNotFoundError(ImageError, FileNotFoundError):
    """There is no file at the given path, or it is not a readable file."""

    # FileNotFoundError formats itself from errno; keep our one line.
    __str__ = Exception.__str__


class NotAnImageError(ImageError):
    """The bytes are not an image in a format we read."""


class ImageTruncatedError(ImageError):
    """The image file ends early or is damaged."""


class ImageTooLargeError(ImageError):
    """The image exceeds the pixel or byte limit (a decompression bomb, perhaps)."""


class ImageUnsupportedError(ImageError):
    """The image is of a kind that is not supported (zero size, float array, ...)."""


class FaceError(VisavisError):
    """The photo was read but has no usable face."""


class NoFaceError(FaceError):
    """No face was found in the photo."""


class SeveralFacesError(FaceError):
    """Several faces were found and the rule in use is ``refuse``."""


class ModelError(VisavisError):
    """A model file cannot be used."""


class UnknownModelError(ModelError, KeyError):
    """No model of that name is registered."""

    __str__ = Exception.__str__


class ModelDamagedError(ModelError):
    """A model file does not have the registered SHA-256."""


class ModelUnavailableError(ModelError):
    """No source has the model's file, or downloading was not allowed."""


class ModelRefusedError(ModelError):
    """The graph is not a face embedder: wrong inputs or outputs, or it does not run."""


class ModelMismatchError(ModelError):
    """Templates, thresholds or galleries of two different models were combined."""


class MissingExtraError(VisavisError, ImportError):
    """An optional dependency is not installed; the remedy names the extra."""

    __str__ = Exception.__str__


_EXTRAS: Final = {
    "dlib": ("dlib",),
    "export": ("nncf",),
    "heif": ("pi_heif",),
    "milvus": ("pymilvus", "milvus_lite"),
    "mtcnn": ("joblib", "lz4.frame"),
    "openvino": ("openvino",),
    "ray": ("ray",),
    "report": ("matplotlib", "pyarrow"),
    "service": ("fastapi", "uvicorn", "python_multipart", "prometheus_client"),
    "train": ("torch", "lightning", "pytorch_metric_learning", "safetensors"),
    "ui": ("gradio",),
    "watch": ("av", "paho.mqtt"),
}
"""The modules that each extra brings."""


def require_extra(extra: str, purpose: str, *, module: str | None = None) -> None:
    """Check that an optional dependency can be imported.

    Args:
        extra: name of the extra.
        purpose: what needs it, as the start of a sentence.
        module: the one module needed; all modules of the extra when ``None``.

    Raises:
        MissingExtraError: it cannot.
    """
    for name in _EXTRAS[extra] if module is None else (module,):
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise MissingExtraError(
                f"{purpose} needs {name} ({error})", f'pip install "visavis[{extra}]"'
            ) from error


class BusyError(VisavisError):
    """The queue is full, or the process is ending; the same request may succeed later."""


class CalibrationError(VisavisError):
    """Scores cannot support what was asked of them."""


class UnsupportedFmrError(CalibrationError):
    """The non-mated pairs are too few for the false match rate asked for."""


class UnknownCalibrationError(CalibrationError, KeyError):
    """No calibration of that name is saved for the model in use."""

    __str__ = Exception.__str__


class DataError(VisavisError):
    """A data set, pair list or score file is not as its format says."""


class KeyFileError(DataError):
    """The file of the service's access keys is damaged, or cannot be read or written."""


class GalleryError(VisavisError):
    """A gallery cannot do what was asked of it."""


class UnknownPersonError(GalleryError, KeyError):
    """Nobody of that name is enrolled."""

    __str__ = Exception.__str__


class UnknownFaceError(GalleryError):
    """No enrolled face has this number."""


class PersonExistsError(GalleryError):
    """The name is taken by another person of the gallery."""


class GalleryDamagedError(GalleryError):
    """A file of the gallery is damaged: a changed bit, or a broken hash chain of the audit log."""


class GalleryKeyError(GalleryError):
    """The gallery is encrypted and the key is missing or wrong, or it is not and one was given."""


class GalleryBusyError(GalleryError, BusyError):
    """Another process kept the gallery locked for too long."""


class ErasureIncompleteError(GalleryError):
    """The change is permanent, but bytes of the erased data may still be in the files."""


class NotAlignedError(FaceError):
    """The image should be an aligned crop, but is not."""


class ConstraintError(VisavisError):
    """Must-links and cannot-links contradict each other or name faces that are not there."""


class TrainingError(VisavisError):
    """A training run cannot start or continue."""


class CollapseError(TrainingError):
    """Training collapsed: the embeddings of all people are alike, or numbers are not finite."""


class ExportError(ModelError):
    """A network cannot be exported to a file that computes the same."""


@contextlib.contextmanager
def writing_to(path: Path, remedy: str = "choose another folder") -> Iterator[None]:
    """Turns an OSError of writing a file or folder into a DataError."""
    try:
        yield
    except OSError as error:
        if isinstance(error, VisavisError):
            raise
        raise DataError(f"{path}: cannot be written ({error.strerror or error})", remedy) from error


@contextlib.contextmanager
def decoding(source: object, error: type[VisavisError], remedy: str) -> Iterator[None]:
    """Turns an error of msgspec into one that names the source and the field.

    >>> import msgspec
    >>> with decoding("a.json", DataError, "write it again"):
    ...     msgspec.convert({"points": [1, "x"]}, dict[str, list[int]])
    Traceback (most recent call last):
    visavis.errors.DataError: a.json: [...][1]: expected `int`, got `str`; write it again
    """
    try:
        yield
    except Exception as wrong:
        from msgspec import MsgspecError  # slow to load

        if not isinstance(wrong, (MsgspecError, RecursionError, UnicodeError)):
            raise
        text, _, path = str(wrong).partition(" - at `$")
        field = path.removesuffix("`").removeprefix(".")
        what = f"{field}: {text[:1].lower()}{text[1:]}" if field else text
        raise error(f"{source}: {what}", remedy) from wrong
