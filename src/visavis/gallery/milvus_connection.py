"""A connection to Milvus: a cluster by its URI, or a Milvus Lite folder inside this process."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Final

from visavis.errors import (
    GalleryBusyError,
    GalleryError,
    OptionError,
    require_extra,
)
from visavis.gallery.milvus_options import MilvusOptions

_CATALOGUE: Final = threading.RLock()
_LOCKS: Final[dict[str, threading.RLock]] = {}
_OPEN: Final[dict[str, int]] = {}


class Connection:
    """What ``MilvusGallery`` asks of pymilvus, with errors in this package's words.

    A Milvus Lite folder belongs to one process at a time: Milvus Lite serves it on a port of the
    loopback interface and locks it. Handles of one process share that server; the last one closed
    stops it, so that another process may open the folder.

    Args:
        uri: a folder's path ending in ``.db``, or ``http://host:19530`` and the like.
        token: ``user:password`` or an API key of a cluster.
        create: whether a folder that is not there is made.
        options: wait and timeout are used here.

    Raises:
        MissingExtraError: pymilvus, or for a folder milvus-lite, is not installed.
        GalleryBusyError: another process has the folder open.
        GalleryError: there is no such folder, or nobody answers at the URI.
    """

    def __init__(
        self, uri: str, *, token: str | None, create: bool, options: MilvusOptions
    ) -> None:
        self.lite = "://" not in uri and not uri.startswith("unix:")
        self.uri = str(Path(uri).expanduser().resolve()) if self.lite else uri
        self.timeout = options.timeout
        self.closed = False
        if self.lite and not self.uri.endswith(".db"):
            raise OptionError(
                f"the gallery {uri}", "give a path ending in .db, or the URI of a Milvus cluster"
            )
        _packages(lite=self.lite)
        with _CATALOGUE:
            self.lock = _LOCKS.setdefault(self.uri, threading.RLock())
        with self.lock:
            if self.lite:
                _prepare(Path(self.uri), create=create, wait=options.wait)
            self._client = self._connected(token)
            _OPEN[self.uri] = _OPEN.get(self.uri, 0) + 1

    def _connected(self, token: str | None) -> Any:
        from pymilvus import MilvusClient
        from pymilvus.exceptions import MilvusException

        try:
            # Shared connections stay open when their last client closes: one more for every folder
            # that was ever opened, and in the way of the next server that is given the port.
            return MilvusClient(self.uri, token=token or "", timeout=self.timeout, dedicated=True)
        except MilvusException as error:
            remedy = "is the folder a Milvus Lite database?" if self.lite else "is Milvus running?"
            raise GalleryError(
                f"Milvus at {self.uri} cannot be reached ({error.message})", remedy
            ) from error

    def call(self, method: str, /, *args: Any, **options: Any) -> Any:
        """Call a method of ``MilvusClient``.

        Raises:
            GalleryError: the gallery is closed, or Milvus refused.
        """
        from pymilvus.exceptions import MilvusException

        if self.closed:
            raise GalleryError(f"the gallery {self.uri} is closed", "open it again")
        try:
            return getattr(self._client, method)(*args, timeout=self.timeout, **options)
        except MilvusException as error:
            raise GalleryError(
                f"Milvus at {self.uri} refused {method} ({error.message})",
                "see its log; nothing half-written stays visible",
            ) from error

    def reading(self) -> AbstractContextManager[object]:
        """Held while a search runs. In a Milvus Lite folder it keeps writers out, who might
        rewrite a collection; a cluster needs nothing."""
        return self.lock if self.lite else nullcontext()

    def collection(self, alias: str) -> str:
        """The collection that an alias stands for."""
        return str(self.call("describe_alias", alias)["collection_name"])

    def generation(self, alias: str) -> int:
        """A number that no collection of this alias has."""
        taken = [
            int(name.removeprefix(f"{alias}_v"))
            for name in self.call("list_collections")
            if name.startswith(f"{alias}_v") and name.removeprefix(f"{alias}_v").isdigit()
        ]
        return max(taken, default=0) + 1

    def drop_leftovers(self, prefix: str) -> None:
        """Drop what an interrupted rewrite left in a Milvus Lite folder: collections of ours that
        no alias names, and folders of collections that were only half deleted."""
        named: dict[str, str] = {}
        for name in self.call("list_collections"):
            alias, _, number = name.rpartition("_v")
            if name.startswith(f"{prefix}_") and number.isdigit():
                if alias not in named:
                    known = self.call("has_collection", alias)
                    named[alias] = self.collection(alias) if known else ""
                if name != named[alias]:
                    self.call("drop_collection", name)
        for folder in (Path(self.uri) / "collections").glob(f"{prefix}_*_v*"):
            if not (folder / "schema.json").exists():
                shutil.rmtree(folder)

    def everything(
        self, collection: str, *, whole_numbers: bool, page: int
    ) -> Iterator[list[dict[str, Any]]]:
        """All rows of a collection, of all tenants, page by page."""
        last: int | str = -(2**63) if whole_numbers else ""
        while True:
            where = f"id > {last}" if whole_numbers else f'id > "{last}"'
            found = self.call(
                "query", collection, filter=where, output_fields=["*"], limit=page,
                iterator="True", guarantee_timestamp=0, reduce_stop_for_best=True,
            )  # fmt: skip
            rows = sorted((dict(row) for row in found), key=lambda row: row["id"])
            if rows:
                yield rows
            if len(rows) < page:
                return
            last = rows[-1]["id"]

    def size(self) -> int:
        """Bytes of a Milvus Lite folder; 0 for a cluster."""
        if not self.lite:
            return 0
        return sum(p.stat().st_size for p in Path(self.uri).rglob("*") if p.is_file())

    def close(self) -> None:
        """Let go; the last handle of a folder stops its server."""
        with self.lock:
            if self.closed:
                return
            self.closed = True
            _OPEN[self.uri] -= 1
            self._client.close()
            if self.lite and not _OPEN[self.uri]:
                from milvus_lite.server_manager import server_manager_instance

                server_manager_instance.release_server(self.uri)


def _packages(*, lite: bool) -> None:
    require_extra("milvus", "a gallery on Milvus", module="pymilvus")
    if lite:
        require_extra("milvus", "a gallery on Milvus", module="milvus_lite.server_manager")


def _prepare(folder: Path, *, create: bool, wait: float) -> None:
    if not folder.exists():
        if not create:
            raise GalleryError(f"there is no gallery at {folder}", "check the path, or create it")
        if not folder.parent.is_dir():
            raise GalleryError(f"there is no folder {folder.parent}", "make it first")
        folder.mkdir(mode=0o700)
    elif not folder.is_dir():
        raise GalleryError(
            f"{folder} is a file, not the folder of Milvus Lite 3",
            "files of Milvus Lite 2 cannot be read; name another path",
        )
    if not _OPEN.get(str(folder)):
        _wait_for(folder / "LOCK", wait)


def _wait_for(lock: Path, wait: float) -> None:
    # Milvus Lite would log a traceback where the folder is taken, and not wait.
    try:
        import fcntl
    except ImportError:  # Windows: Milvus Lite itself refuses
        return
    end = time.monotonic() + wait
    while True:
        with lock.open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if time.monotonic() >= end:
                    raise GalleryBusyError(
                        f"another process has the gallery {lock.parent} open",
                        "a Milvus Lite folder serves one process at a time; close it there, or use "
                        "a SQLite gallery or a Milvus server",
                    ) from error
            else:
                return
        time.sleep(0.05)
