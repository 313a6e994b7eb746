"""Templates of many photos as a folder of Parquet files ("shards"), written by a resumable run.

A shard has the rows of ``Shards.size`` consecutive photos and takes its name in one step when it is
complete. The shards themselves say which photos are done. A run that was killed is continued by the
same call: it embeds the photos that no shard has.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from visavis.errors import BusyError, DataError, OptionError, require_extra, writing_to
from visavis.faces.quality import quality_score
from visavis.pipeline import rules
from visavis.pipeline.batch import CHUNK
from visavis.pipeline.records import EmbeddedFolder, PhotoResult
from visavis.version import __version__
from visavis.writing import private_folder, replacing

if TYPE_CHECKING:
    import pyarrow as pa

    from visavis.pipeline.extractor import Extractor
    from visavis.pipeline.recognizer import Recognizer

_PATTERN: Final = "part-*.parquet"
_UNFINISHED: Final = ".part-*"
_LOCK: Final = ".lock"
_URL: Final = re.compile(r"[a-z][a-z0-9+.-]+:/")
_FIXED: Final = ("model", "model_sha256", "pipeline_id", "runtime", "faces")
_MEASURES: Final = ("size", "sharpness", "exposure", "contrast", "yaw", "pitch", "roll")


def schema(dimension: int, about: dict[str, str]) -> pa.Schema:
    """Returns the columns of a shard: one row a face, or one row with a reason for a bad photo.

    Args:
        dimension: numbers of a template.
        about: the metadata: ``model``, ``model_sha256``, ``pipeline_id``, ``runtime``,
            ``faces`` (the rule), ``visavis_version``.
    """
    import pyarrow as pa

    number, text = pa.float32(), pa.string()
    return pa.schema(
        {
            "photo": text,
            "sha256": text,
            "face": pa.int32(),
            "faces_found": pa.int32(),
            "box": pa.list_(number, 4),
            "landmarks": pa.list_(number, 10),
            "turn": pa.int16(),
            "confidence": number,
            "quality": number,
            **dict.fromkeys(_MEASURES, number),
            "warnings": pa.list_(text),
            "template": pa.list_(number, dimension),
            "reason": text,
            "message": text,
        },
        metadata=about,
    )


def about(extractor: Extractor, rule: str) -> dict[str, str]:
    """Returns what templates depend on, and the version: the metadata of a shard."""
    return {
        "model": extractor.model,
        "model_sha256": extractor.model_sha256,
        "pipeline_id": extractor.pipeline_id,
        "runtime": extractor.options.runtime,
        "faces": rule,
        "visavis_version": __version__,
    }


def write(path: Path, results: Sequence[PhotoResult], columns: pa.Schema) -> None:
    """Writes one shard; it exists whole or not at all, and is on the disk on return.

    Raises:
        OSError: it cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [row for result in results for row in _rows(result)]
    table = pa.Table.from_pylist(rows, schema=columns)
    with replacing(path, private=True, durable=True) as temporary:
        pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)


def _rows(result: PhotoResult) -> Iterator[dict[str, Any]]:
    photo = {"photo": printable(result.photo), "sha256": result.sha256 or None}
    if not result.templates:
        yield photo | {"reason": result.reason, "message": printable(result.message or "")}
    for k, template in enumerate(result.templates):
        face, measured = template.face, template.quality
        yield photo | {
            "face": k,
            "faces_found": template.faces_found,
            "box": face.box,
            "landmarks": face.landmarks.ravel(),
            "turn": face.turn,
            "confidence": face.score,
            "quality": quality_score(measured),
            **{name: getattr(measured, name) for name in _MEASURES},
            "warnings": measured.warnings,
            "template": template.vector,
        }


def printable(name: str) -> str:
    """Returns a name as Parquet stores it: bytes that are not UTF-8 become escapes."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


class Shards:
    """A folder of shards, open for one run. Make it by ``open_shards``.

    Attributes:
        folder: the folder.
        columns: the schema of its files.
        size: photos of a shard.
    """

    def __init__(self, folder: Path, columns: pa.Schema, size: int) -> None:
        self.folder, self.columns, self.size = folder, columns, size
        self._numbers: set[int] = set()
        self._photos: set[str] = set()
        self._faces = 0
        self._reasons: dict[str, int] = {}
        for path in sorted(folder.glob(_PATTERN)):
            self.count(path)
        self._earlier = len(self._photos)

    def count(self, path: Path) -> int:
        """Adds a finished shard to the summary; returns its number of photos.

        Raises:
            DataError: it is damaged, of another model or pipeline, or has photos of another shard.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with pq.ParquetFile(path) as file:
                found = file.schema_arrow.metadata or {}
                table = file.read(columns=["photo", "reason"])
            self._numbers.add(int(path.stem.removeprefix("part-")))
        except (OSError, pa.ArrowException, ValueError) as error:
            raise DataError(
                f"{path}: not a file of this folder ({error})",
                "delete it: its photos are embedded again",
            ) from error
        wanted = self.columns.metadata
        for key in _FIXED:
            if found.get(key.encode()) != wanted[key.encode()]:
                other = found.get(key.encode(), b"none").decode("utf-8", "replace")
                raise DataError(
                    f"{path}: made with {key.replace('_', ' ')} {other!r}, not "
                    f"{wanted[key.encode()].decode()!r}",
                    "name a new folder, or give the options that this one was made with",
                )
        photos, reasons = table["photo"].to_pylist(), table["reason"].to_pylist()
        names = set(photos)
        if not names.isdisjoint(self._photos):
            twice = min(names & self._photos)
            raise DataError(f"{path}: has {twice}, as another file", "delete one of the two")
        self._photos |= names
        for reason in reasons:
            if reason is None:
                self._faces += 1
            else:
                self._reasons[reason] = self._reasons.get(reason, 0) + 1
        return len(names)

    def missing(self, photos: Iterable[Path]) -> list[Path]:
        """Returns the photos that no shard has, in order, each once."""
        named = {printable(str(photo)): photo for photo in photos}
        return [photo for name, photo in named.items() if name not in self._photos]

    def paths(self) -> Iterator[Path]:
        """Yields the names of the next shards: those of missing ones first, without end.

        A shard has ``size`` photos, so the missing photos fall into the same shards again.
        """
        taken = frozenset(self._numbers)
        return (self.folder / f"part-{k:06}.parquet" for k in count() if k not in taken)

    def summary(self) -> EmbeddedFolder:
        """Returns the numbers of all shards."""
        return EmbeddedFolder(
            folder=str(self.folder),
            photos=len(self._photos),
            faces=self._faces,
            reasons=dict(sorted(self._reasons.items())),
            shards=len(self._numbers),
            earlier=self._earlier,
        )


@contextmanager
def open_shards(
    folder: Path, extractor: Extractor, rule: str, *, size: int = 512
) -> Iterator[Shards]:
    """Opens or creates a folder of shards for one run; other runs are refused meanwhile.

    Args:
        folder: the folder; a new one is its owner's only.
        extractor: what embeds.
        rule: the rule for photos with several faces.
        size: photos of a shard; rounded up to a multiple of 16, so that a resumed run embeds the
            same photos in the same batches.

    Raises:
        BusyError: another run writes to it.
        DataError: it has other files, or shards of another model, pipeline or rule.
        MissingExtraError: pyarrow is not installed.
        OptionError: an unknown rule, a size below 1, or a URL.
    """
    require_extra("report", f"{folder}, a folder of Parquet files,", module="pyarrow")
    from filelock import FileLock, Timeout

    rules.check(rule)
    if size < 1:
        raise OptionError(f"{size} photos a shard", "ask for 1 or more")
    if _URL.match(str(folder)):
        raise OptionError(f"{folder}: not a folder", "mount the object store, and name its folder")
    with writing_to(folder):
        private_folder(folder)
        visible = {path for path in folder.iterdir() if not path.name.startswith(".")}
        if visible and visible.isdisjoint(folder.glob(_PATTERN)):
            raise DataError(f"{folder}: has other files", "name a new folder for the templates")
        lock = FileLock(folder / _LOCK, timeout=0, mode=0o600)
        try:
            lock.acquire()
        except Timeout:
            raise BusyError(f"{folder}: another run writes to it", "wait until it ends") from None
    try:
        for unfinished in folder.glob(_UNFINISHED):  # of a run that was killed
            unfinished.unlink()
        columns = schema(extractor.embedder.dimension, about(extractor, rule))
        yield Shards(folder, columns, -(-size // CHUNK) * CHUNK)
    finally:
        lock.release()


def embed(
    recognizer: Recognizer,
    photos: Iterable[Path],
    shards: Shards,
    *,
    rule: str,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> EmbeddedFolder:
    """Embeds the photos that the folder does not have yet, and returns the summary of the folder.

    Args:
        recognizer: what embeds; each worker uses one core.
        photos: paths; one named twice is embedded once.
        shards: the folder.
        rule: see ``visavis.pipeline.RULES``.
        workers: photos processed in parallel; ``None``: one per core.
        progress: called with (done, total), photos of earlier runs included.

    Raises:
        DataError: a shard cannot be written.
    """
    missing = shards.missing(photos)
    done = shards.summary().photos
    total = done + len(missing)

    def told(more: int, _: int) -> None:
        if progress is not None:
            progress(done + more, total)

    told(0, 0)
    rows = rows_of(recognizer.clone(threads=1), missing, rule, workers=workers, progress=told)
    with closing(rows):  # type: ignore[type-var]
        for path, _ in zip(shards.paths(), range(0, len(missing), shards.size), strict=False):
            part = list(islice(rows, shards.size))
            with writing_to(path):
                write(path, part, shards.columns)
            shards.count(path)
    return shards.summary()


def rows_of(
    recognizer: Recognizer,
    photos: Sequence[Path],
    rule: str,
    *,
    names: Sequence[str] | None = None,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[PhotoResult]:
    """Yields the rows of photos, under the names that a shard has them by.

    Args:
        recognizer: of one thread: with more, sums might be rounded otherwise.
        photos: paths.
        rule: see ``visavis.pipeline.RULES``.
        names: names of the photos; ``None``: the paths.
        workers: photos processed in parallel; ``None``: one per core.
        progress: called with (done, total) after each photo.
    """
    return recognizer.embed_many(
        photos,
        names=[printable(str(photo)) for photo in photos] if names is None else names,
        rule=rule,
        workers=workers,
        progress=progress,
    )
