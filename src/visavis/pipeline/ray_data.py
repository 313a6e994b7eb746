"""Embeds photos on the machines of a Ray cluster, into the shards that one machine would write.

A Ray Data pipeline: each row of the dataset is a shard and its photos. Actors, one per core, hold
the models; they decode, detect, align and embed the photos of a shard in batches, and write it.
Only names and counts are sent; pixels and crops stay on the core that decoded them. A task that Ray
repeats after the death of a machine finds its shard or writes it anew: no row is lost or repeated.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from visavis.errors import DataError, VisavisError
from visavis.pipeline import shards as files
from visavis.pipeline.recognizer import Recognizer
from visavis.pipeline.records import EmbeddedFolder
from visavis.pipeline.shards import Shards

if TYPE_CHECKING:
    import pyarrow as pa

LOCAL: Final = "local"
"""Address that starts a cluster of this machine alone, for the time of the run."""

_STORE: Final = 128 * 1024 * 1024  # bytes of a local cluster's object store: names and counts


class EmbedShard:
    """An actor: holds the models, and makes a shard of each row of photos.

    Args:
        about: what templates depend on; a machine with another model is refused.
        options: those of ``Recognizer``.
    """

    def __init__(self, about: dict[str, str], options: dict[str, Any]) -> None:
        self._about = about
        self._recognizer = Recognizer(**options).clone(threads=1)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Returns the path of each shard, and what was wrong with it or ``None``."""
        import pyarrow as pa

        rows = batch.to_pylist()
        paths, problems = [row["shard"] for row in rows], [self._problem(row) for row in rows]
        return pa.table({"shard": paths, "problem": pa.array(problems, pa.string())})

    def _problem(self, row: dict[str, Any]) -> str | None:
        rule = self._about["faces"]
        own = files.about(self._recognizer, rule)
        for key, value in own.items():
            if value != self._about[key]:
                return f"a machine has {key} {value!r}, not {self._about[key]!r}"
        path = Path(row["shard"])
        if path.exists():  # the answer of a former try was lost
            return None
        photos = [Path(os.fsdecode(photo)) for photo in row["photos"]]
        results = files.rows_of(self._recognizer, photos, rule, names=row["names"], workers=1)
        try:
            columns = files.schema(self._recognizer.embedder.dimension, own)
            files.write(path, list(results), columns)
        except (OSError, VisavisError) as error:
            return str(error)
        return None


def embed(
    recognizer: Recognizer,
    photos: Iterable[Path],
    shards: Shards,
    *,
    rule: str,
    address: str,
    options: dict[str, Any],
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> EmbeddedFolder:
    """Embeds the photos that the folder does not have yet, and returns the summary of the folder.

    Args:
        recognizer: made of ``options``.
        photos: paths, the same on all machines.
        shards: the folder, on a disk that all machines share.
        rule: see ``visavis.pipeline.RULES``.
        address: of a running cluster, ``auto``, or ``local``; ignored if this process is connected.
        options: what actors make their recognizers of.
        workers: most actors, one core each; ``None``: one per core of the cluster.
        progress: called with (done, total) after each shard.

    Raises:
        DataError: no such cluster, or a shard cannot be made.
    """
    missing = shards.missing(photos)
    parts = [missing[k : k + shards.size] for k in range(0, len(missing), shards.size)]
    done = shards.summary().photos
    total = done + len(missing)
    with _connected(address, workers) as cores:
        import ray

        most = min(workers or cores, len(parts)) or 1
        paths = islice(shards.paths(), len(parts))
        finished = (
            ray.data.from_arrow([_row(*one) for one in zip(paths, parts, strict=True)])
            .map_batches(
                EmbedShard,
                fn_constructor_args=(files.about(recognizer, rule), options),
                batch_size=1,
                batch_format="pyarrow",
                compute=ray.data.ActorPoolStrategy(min_size=1, max_size=most),
                num_cpus=1,
            )
            .iter_rows()
            if parts
            else ()
        )
        if progress is not None:
            progress(done, total)
        for row in finished:
            if row["problem"] is not None:
                raise DataError(f"{row['shard']}: {row['problem']}", "run the same command again")
            path = Path(row["shard"])
            if not path.exists():
                raise DataError(
                    f"{path}: written by a machine of the cluster, and not seen here",
                    "name a folder on a disk that all machines share",
                )
            done += shards.count(path)
            if progress is not None:
                progress(done, total)
    return shards.summary()


def _row(shard: Path, photos: Sequence[Path]) -> pa.Table:
    import pyarrow as pa

    paths = [os.fsencode(photo.absolute()) for photo in photos]
    names = [files.printable(str(photo)) for photo in photos]
    row = {"shard": str(shard.absolute()), "photos": paths, "names": names}
    kinds = {"shard": pa.string(), "photos": pa.list_(pa.binary()), "names": pa.list_(pa.string())}
    return pa.Table.from_pylist([row], schema=pa.schema(kinds))


@contextmanager
def _connected(address: str, workers: int | None) -> Iterator[int]:
    """Connects to a cluster, or uses the connection that there is; yields its number of cores."""
    variables = {"RAY_USAGE_STATS_ENABLED": "0"}
    if address == LOCAL:
        # The switch of other systems by which Ray listens on the loopback interface alone.
        variables["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    with _environment(variables):
        import ray

        started = not ray.is_initialized()
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        try:
            if started and address == LOCAL:
                ray.init(
                    num_cpus=workers or os.cpu_count(),
                    object_store_memory=_STORE,
                    include_dashboard=False,
                    **quiet,
                )
            elif started:
                _check(address)
                ray.init(address=address, **quiet)
            context = ray.data.DataContext.get_current()
            context.enable_progress_bars = False
            logging.getLogger("ray.data").setLevel(logging.ERROR)
            yield int(ray.cluster_resources().get("CPU", 1))  # type: ignore[no-untyped-call]
        except (OSError, ValueError, ray.exceptions.RayError) as error:
            if isinstance(error, VisavisError):
                raise
            line = str(error).strip().splitlines()[-1]
            raise DataError(
                f"Ray cluster {address!r}: {line}", "give the address of a running one, or local"
            ) from error
        finally:
            if started:
                ray.shutdown()


def _check(address: str) -> None:
    """Connects to ``host:port`` once: Ray would try for minutes."""
    host, _, port = address.rpartition("/")[2].rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Sets environment variables for a while: the processes that Ray starts inherit them."""
    environment = os.environ  # noqa: TID251  # Ray has no other way to say this
    before = {name: environment[name] for name in variables if name in environment}
    environment.update(variables)
    try:
        yield
    finally:
        for name in variables:
            del environment[name]
        environment.update(before)
