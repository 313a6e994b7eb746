"""Bring a model's file into the cache from the first address that delivers it."""

from __future__ import annotations

from pathlib import Path

from visavis.errors import ModelDamagedError, ModelError, ModelUnavailableError
from visavis.weights.disk import discard_partial, locked, replacing
from visavis.weights.download import Progress, download
from visavis.weights.entry import ModelEntry


def fetch_into(
    target: Path, entry: ModelEntry, *, lock_timeout: float, progress: Progress | None = None
) -> None:
    """Download the model to ``target``, unless another process just did.

    Raises:
        ModelUnavailableError: no address delivered it; each is named with its reason.
        ModelDamagedError: the same, and one delivered something else. Nothing of it is kept.
        ModelError: the folder cannot be written.
    """
    from visavis.weights.digest import sha256_of

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
