"""Connection to a Milvus server, or to a Milvus Lite folder in this process."""

from __future__ import annotations

import shutil
import threading
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Final

from visavis.errors import GalleryBusyError, GalleryError, OptionError, require_extra
from visavis.gallery.milvus.options import MilvusOptions

_REGISTRY: Final = threading.RLock()
_LOCKS: Final[dict[str, threading.RLock]] = {}
_OPEN: Final[dict[str, int]] = {}


class Connection:
    """Calls pymilvus and translates its errors.

    One process at a time can open a Milvus Lite folder: Milvus Lite locks it and serves it on a
    port of the loopback interface. Connections of one process share that server; closing the last
    one stops it, so that another process can open the folder.

    Args:
        uri: path of a folder ending in ``.db``, or a URI such as ``http://host:19530``.
        token: ``user:password`` or an API key.
        create: whether to create a missing folder.
        options: wait and timeout are used here.

    Raises:
        MissingExtraError: pymilvus, or for a folder milvus-lite, is not installed.
        GalleryBusyError: another process has the folder open.
        GalleryError: there is no such folder, or no server answers.
        OptionError: a path that does not end in ``.db``.
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
                f"the gallery {uri}", "give a path ending in .db, or the URI of a Milvus server"
            )
        require_extra("milvus", "a gallery on Milvus", module="pymilvus")
        if self.lite:
            require_extra("milvus", "a Milvus Lite folder", module="milvus_lite.server_manager")
        with _REGISTRY:
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
            # A shared connection stays open after its last client closes. There would be one for
            # every folder ever opened, and it blocks the next server on the same port.
            return MilvusClient(self.uri, token=token or "", timeout=self.timeout, dedicated=True)
        except MilvusException as error:
            remedy = "is the folder a Milvus Lite database?" if self.lite else "is Milvus running?"
            raise GalleryError(
                f"Milvus at {self.uri} cannot be reached ({error.message})", remedy
            ) from error

    def call(self, method: str, /, *args: Any, **options: Any) -> Any:
        """Calls a method of ``MilvusClient``.

        Raises:
            GalleryError: the gallery is closed, or Milvus raised an error.
        """
        from pymilvus.exceptions import MilvusException

        if self.closed:
            raise GalleryError(f"the gallery {self.uri} is closed", "open it again")
        try:
            return getattr(self._client, method)(*args, timeout=self.timeout, **options)
        except MilvusException as error:
            raise GalleryError(
                f"Milvus at {self.uri} refused {method} ({error.message})",
                "see its log; what was to be written can be sent again",
            ) from error

    def reading(self) -> AbstractContextManager[object]:
        """Context of a search. Locks a Milvus Lite folder, whose collections a writer may rewrite;
        does nothing on a server."""
        return self.lock if self.lite else nullcontext()

    def before(self, major: int, minor: int) -> bool:
        """Returns whether the server has an earlier version."""
        if self.lite:
            return False
        numbers = str(self.call("get_server_version")).lstrip("v").split(".")[:2]
        return all(n.isdigit() for n in numbers) and [int(n) for n in numbers] < [major, minor]

    def generation(self, alias: str) -> int:
        """Returns a number that no collection of this alias has."""
        return 1 + max((n for a, n in self._collections() if a == alias), default=0)

    def _collections(self) -> list[tuple[str, int]]:
        split = [name.rpartition("_v") for name in self.call("list_collections")]
        return [(alias, int(number)) for alias, _, number in split if number.isdigit()]

    def drop_leftovers(self, prefix: str) -> None:
        """Drops remains of an interrupted rewrite in a Milvus Lite folder: our collections without
        an alias, and folders of half deleted collections."""
        for alias, number in self._collections():
            name = f"{alias}_v{number}"
            if name.startswith(f"{prefix}_"):
                known = self.call("has_collection", alias)
                if not known or self.call("describe_alias", alias)["collection_name"] != name:
                    self.call("drop_collection", name)
        for folder in (Path(self.uri) / "collections").glob(f"{prefix}_*_v*"):
            if not (folder / "schema.json").exists():
                shutil.rmtree(folder)

    def size(self) -> int:
        """Returns the size of a Milvus Lite folder in bytes; 0 for a server."""
        if not self.lite:
            return 0
        return sum(p.stat().st_size for p in Path(self.uri).rglob("*") if p.is_file())

    def close(self) -> None:
        """Closes the connection; the last one to a folder stops its server."""
        with self.lock:
            if self.closed:
                return
            self.closed = True
            _OPEN[self.uri] -= 1
            self._client.close()
            if self.lite and not _OPEN[self.uri]:
                from milvus_lite.server_manager import server_manager_instance

                server_manager_instance.release_server(self.uri)


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
    # If the folder is locked, Milvus Lite would log a traceback instead of waiting.
    from filelock import FileLock, Timeout

    try:
        with FileLock(lock, timeout=wait):
            return
    except Timeout as error:
        raise GalleryBusyError(
            f"another process has the gallery {lock.parent} open",
            "a Milvus Lite folder serves one process at a time; close it there, or use a SQLite "
            "gallery or a Milvus server",
        ) from error
