"""Downloads model files over HTTP(S) into the cache, verified on the way."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

from visavis.errors import ModelDamagedError, ModelError, ModelUnavailableError
from visavis.weights.files import discard_partial, locked, replacing
from visavis.weights.registry import ModelEntry

Progress = Callable[[int, int], None]
"""Called with bytes received and total bytes."""

_CONNECT_SECONDS: Final = 10.0
_SILENCE_SECONDS: Final = 30.0
_CHUNK: Final = 1 << 16


class _Receiver:
    """Writes chunks to a file, limits the size, and computes the hash."""

    def __init__(self, file: BinaryIO, *, url: str, size: int, progress: Progress | None) -> None:
        self._file = file
        self._url = url
        self._size = size
        self._progress = progress
        self._hash = hashlib.sha256()
        self.received = 0
        self.disk_error: OSError | None = None

    def write(self, chunk: bytes) -> None:
        self.received += len(chunk)
        if self.received > self._size:
            raise ModelDamagedError(
                f"{self._url} sends more than the registered {self._size} bytes", _REMEDY
            )
        self._hash.update(chunk)
        try:
            self._file.write(chunk)
        except OSError as error:
            self.disk_error = error
            raise
        if self._progress is not None:
            self._progress(self.received, self._size)

    def flush(self) -> None:
        """Does nothing; the downloader calls it after each chunk."""

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


_REMEDY: Final = "try again later or get the file elsewhere"


def download(
    url: str,
    file: BinaryIO,
    *,
    size: int,
    sha256: str,
    progress: Progress | None = None,
    timeout: tuple[float, float] = (_CONNECT_SECONDS, _SILENCE_SECONDS),
) -> None:
    """Downloads ``url`` to ``file``. Follows redirects and uses proxies.

    Args:
        url: ``http`` or ``https``.
        file: open for writing; invalid after an error.
        size: registered size in bytes.
        sha256: registered hash.
        progress: called after each chunk.
        timeout: seconds to wait for a connection, and for the next bytes.

    Raises:
        ModelUnavailableError: no connection, an error status, or an interrupted transfer.
        ModelDamagedError: the content is not the registered file.
        OSError: ``file`` cannot be written.
    """
    import pooch

    receiver = _Receiver(file, url=url, size=size, progress=progress)
    fetch = pooch.HTTPDownloader(chunk_size=_CHUNK, timeout=timeout)
    try:
        fetch(url, receiver, None)
    except (OSError, ValueError) as error:  # all exceptions of requests
        if receiver.disk_error is not None:
            raise receiver.disk_error from None
        raise ModelUnavailableError(f"{url}: {_reason(error)}", _REMEDY) from error
    if receiver.received < size:
        raise ModelUnavailableError(
            f"{url}: ended after {receiver.received} of {size} bytes", _REMEDY
        )
    if receiver.hexdigest() != sha256:
        raise ModelDamagedError(
            f"{url}: has sha256 {receiver.hexdigest()}, not the registered {sha256}", _REMEDY
        )


def _reason(error: Exception) -> str:
    """Short reason of an error, without the library's chain of causes."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status is not None and status >= 400:
        return f"the server answered {status}"
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__).lower()


def fetch_into(
    target: Path, entry: ModelEntry, *, lock_timeout: float, progress: Progress | None = None
) -> None:
    """Downloads the model to ``target``, unless another process just did.

    Raises:
        ModelUnavailableError: no URL worked; each is named with its reason.
        ModelDamagedError: the same, and one returned other content, which is discarded.
        ModelError: the folder cannot be written.
    """
    from visavis.weights.files import sha256_of

    with locked(target, timeout=lock_timeout):
        if target.is_file() and sha256_of(target) == entry.sha256:
            return
        discard_partial(target)
        failures: list[ModelError] = []
        for url in entry.urls:
            try:
                with replacing(target) as file:
                    download(url, file, size=entry.size, sha256=entry.sha256, progress=progress)
            except (ModelUnavailableError, ModelDamagedError) as error:
                failures.append(error)
            else:
                return
    got = f"model {entry.name!r} could not be fetched: {', '.join(f.got for f in failures)}"
    remedy = f"check the network and try again: visavis models fetch {entry.name}"
    if any(isinstance(failure, ModelDamagedError) for failure in failures):
        raise ModelDamagedError(got, remedy) from failures[-1]
    raise ModelUnavailableError(got, remedy) from failures[-1]
