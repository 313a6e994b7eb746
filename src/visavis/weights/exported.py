"""``model.json`` of exported files: what others need to use them, and ``models add`` reads.

OpenVINO's model is two files; its SHA-256 is that of the XML file followed by the weights:
``cat model.xml model.bin | sha256sum``.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from visavis.errors import ModelDamagedError, ModelError, ModelUnavailableError, decoding
from visavis.reading import open_regular
from visavis.weights.registry import ModelEntry

SCHEMA: Final = "visavis-exported-model-1"
RUNTIMES: Final = {
    "onnx": ("onnxruntime", "openvino"),
    "openvino": ("openvino",),
    "torch-export": ("torch",),
    "torchscript": ("torch",),
}
"""Formats of exported files, and the runtimes that load each."""

LANDMARKS: Final = ("right eye", "left eye", "nose tip", "right mouth corner", "left mouth corner")
_REMEDY: Final = "restore it, or export the model anew"
_PACKED: Final = "model.xml+bin"
_END: Final = b"</net>"

_Name: TypeAlias = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*\Z", max_length=100)]
_Hash: TypeAlias = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
_Side: TypeAlias = Annotated[int, Meta(ge=8, le=4096)]


class Input(msgspec.Struct, forbid_unknown_fields=True):
    """The image input.

    Attributes:
        size: side of the square crop in pixels.
        name: of the tensor.
        shape: free batch size ``n``.
        dtype: type of the values.
        color: order of the channels.
        range: of the values: pixels as they are.
    """

    size: _Side
    name: Literal["images"] = "images"
    shape: Literal["n,3,size,size"] = "n,3,size,size"
    dtype: Literal["float32"] = "float32"
    color: Literal["RGB"] = "RGB"
    range: tuple[Literal[0], Literal[255]] = (0, 255)


class Alignment(msgspec.Struct, forbid_unknown_fields=True):
    """Where the five landmarks are in the crop: a least-squares similarity transform (rotation,
    uniform scale, shift) maps those of the photo to them.

    Attributes:
        positions: ``(x, y)`` in pixels of the crop; the center of the top left pixel is (0, 0).
        crop_scale: size of the face in the crop relative to the usual 112x112 template.
        landmarks: names, of the person's right and left.
    """

    positions: tuple[tuple[float, float], ...]
    crop_scale: Annotated[float, Meta(ge=0.5, le=2)]
    landmarks: tuple[str, ...] = LANDMARKS


class Output(msgspec.Struct, forbid_unknown_fields=True):
    """The embedding: cosine similarity is the dot product of two.

    Attributes:
        dimension: length of the vector.
        name: of the tensor.
        unit_length: whether rows have length 1.
        dtype: type of the values.
    """

    dimension: Annotated[int, Meta(ge=2)]
    name: Literal["embeddings"] = "embeddings"
    unit_length: Literal[True] = True
    dtype: Literal["float32"] = "float32"


class Terms(msgspec.Struct, forbid_unknown_fields=True):
    """Terms of use, those of the origin; see ``ModelEntry``."""

    license: str
    use: str = ""
    training_data: str = ""
    paper: str = ""
    homepage: str = ""


class Origin(msgspec.Struct, forbid_unknown_fields=True):
    """What the file was made from and by.

    Attributes:
        model: name of the model.
        sha256: hash of its file.
        created: ISO 8601 in UTC.
        visavis: version.
        tools: version by distribution.
        calibration_crops: crops behind 8-bit ranges; 0 for float files.
        command: the command that makes it again.
    """

    model: str
    sha256: _Hash
    created: str
    visavis: str
    tools: dict[str, str]
    calibration_crops: Annotated[int, Meta(ge=0)] = 0
    command: str = ""


class Point(msgspec.Struct, forbid_unknown_fields=True):
    """A threshold measured on this file; see ``visavis.types.OperatingPoint``."""

    target_fmr: float
    threshold: float
    fmr: float
    fmr_ci: tuple[float | None, float | None]
    fnmr: float | None
    fnmr_ci: tuple[float | None, float | None]
    dataset: str
    people: int
    pairs: int
    mated_pairs: int
    pipeline_id: str


class ExportedModel(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Content of ``model.json``.

    Attributes:
        schema: version of this format.
        name: name to be registered under.
        target: what was asked for, such as ``onnx-int8``.
        format: as in ``ModelEntry.format``.
        files: the model, then its weights if they are apart.
        sha256: hash of the files, one after the other.
        size: their size in bytes.
        input: the image input.
        alignment: template of the crop.
        output: the embedding.
        terms: license and use.
        origin: what it was made from and by.
        operating_points: thresholds at powers of ten of the false match rate; ``[]`` if none were
            measured. All of them are in ``operating_points.json``.
        refused: why the export was refused, if it was forced; "" otherwise.
    """

    schema: Literal["visavis-exported-model-1"] = SCHEMA
    name: str
    target: str
    format: Literal["onnx", "openvino", "torch-export", "torchscript"]
    files: Annotated[tuple[_Name, ...], Meta(min_length=1, max_length=2)]
    sha256: _Hash
    size: Annotated[int, Meta(ge=1)]
    input: Input
    alignment: Alignment
    output: Output
    terms: Terms
    origin: Origin
    operating_points: tuple[Point, ...] = ()
    refused: str = ""

    def entry(self) -> ModelEntry:
        """Returns the registry entry.

        Raises:
            OptionError: a value that no entry may have.
        """
        return ModelEntry(
            name=self.name,
            kind="embedder",
            filename=_PACKED if len(self.files) > 1 else self.files[0],
            sha256=self.sha256,
            size=self.size,
            format=self.format,
            input_size=self.input.size,
            dimension=self.output.dimension,
            crop_scale=self.alignment.crop_scale,
            runtimes=RUNTIMES[self.format],
            **msgspec.structs.asdict(self.terms),
        )

    def to_json(self) -> bytes:
        """Returns the document."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"


def read_description(data: bytes, *, source: str) -> ExportedModel:
    """Reads ``model.json`` of an exported model.

    Raises:
        ModelError: not such a document; the message names the field.
    """
    with decoding(source, ModelError, _REMEDY):
        return msgspec.json.decode(data, type=ExportedModel)


def read_files(folder: Path, files: tuple[str, ...]) -> bytes:
    """Returns the content of the files, one after the other.

    Raises:
        ModelUnavailableError: one cannot be read.
    """
    parts = []
    for name in files:
        try:
            with open_regular(folder / name) as file:
                parts.append(file.read())
        except OSError as error:
            raise ModelUnavailableError(
                f"{folder / name} cannot be read ({error.strerror})",
                f"copy {' and '.join(files)} together with model.json",
            ) from error
    return b"".join(parts)


def verified(folder: Path, described: ExportedModel) -> bytes:
    """Returns the content of the files, checked against the description.

    Raises:
        ModelUnavailableError: one cannot be read.
        ModelDamagedError: they are not those that were exported.
    """
    data = read_files(folder, described.files)
    digest = hashlib.sha256(data).hexdigest()
    if digest != described.sha256:
        raise ModelDamagedError(
            f"{folder / described.files[0]} is damaged or another file (sha256 {digest}, "
            f"model.json says {described.sha256})",
            "copy it again, or export the model anew",
        )
    return data


def unpacked(data: bytes) -> tuple[bytes, bytes]:
    """Splits an OpenVINO model into its XML and its weights.

    Raises:
        ModelDamagedError: it holds no network.

    >>> unpacked(b"<net></net>weights")
    (b'<net></net>', b'weights')
    """
    head, end, weights = data.partition(_END)
    if not end:
        raise ModelDamagedError(
            f"{len(data)} bytes without the end of an OpenVINO network", "export the model anew"
        )
    return head + end, weights
