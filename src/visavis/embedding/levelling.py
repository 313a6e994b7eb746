"""Levelling: what the templates of all people share is set to one height.

A network's unit vectors do not scatter about zero: on LFW those of SFace have a component of 0.32
(standard deviation 0.06) along one direction, that of their mean. It says little of who somebody is
and more of what kind of photo it is, so its scatter is noise in every score. Subtracting the mean
removes that noise, as speaker recognition does before it normalizes lengths (Garcia-Romero and
Espy-Wilson, Interspeech 2011), but also raises all scores on photos whose own mean lies elsewhere:
on ORL the false match rate at LFW's thresholds became 30 times what was claimed.

So the component is neither kept nor removed. Where it is as large as in almost all photos that
thresholds were measured on, it is set to one value; where it is smaller, the photo is of another
kind, and the value falls to 0 in proportion, which lowers all scores with such a photo. On ORL the
rate is then 1.4 times what was claimed, as with the templates as they come; on very poor photos it
is about twice theirs. ``benchmarks/levelling.py`` measures all of this.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from visavis.errors import ModelRefusedError
from visavis.types import Vectors


@dataclass(frozen=True, slots=True, eq=False)
class Levelling:
    """A direction, and what the component along it becomes.

    Attributes:
        direction: ``(D,)`` float32 of unit length.
        height: the component that most templates get, in [0, 1).
        full: component from which on they get it, above 0; below, in proportion, from 0.

    >>> flat = Levelling(np.array([0, 0, 1], np.float32), height=0.6, full=0.5)
    >>> flat.apply(np.array([[0, 0.6, 0.8], [0, 1, 0]], np.float32)).round(6).tolist()
    [[0.0, 0.800000011920929, 0.6000000238418579], [0.0, 1.0, 0.0]]
    """

    direction: NDArray[np.float32]
    height: float
    full: float

    @property
    def words(self) -> str:
        """What a pipeline's settings say of it: another direction or height gives other words."""
        digest = hashlib.sha256(self.direction.astype("<f4").tobytes())
        digest.update(f"{self.height:g}/{self.full:g}".encode())
        return f"levelled {digest.hexdigest()[:8]}"

    def apply(self, vectors: Vectors, /) -> Vectors:
        """Unit vectors with the component along ``direction`` levelled.

        Args:
            vectors: ``(N, D)`` float32, rows of unit length.

        Returns:
            ``(N, D)`` float32, rows of unit length; the rest of each row keeps its direction.
        """
        share = vectors @ self.direction
        rest = vectors - share[:, None] * self.direction
        lengths = np.linalg.norm(rest, axis=1, keepdims=True)
        common = self.height * np.clip(share / self.full, 0, 1)[:, None]
        # A row that is the direction itself has no rest that could be scaled: it stays.
        with np.errstate(divide="ignore", invalid="ignore"):
            levelled = rest / lengths * np.sqrt(1 - common**2) + common * self.direction
        return np.where(lengths > 1e-6, levelled, vectors).astype(np.float32, copy=False)


def without(settings: str) -> str:
    """A pipeline's settings, less what they say of a levelling.

    >>> without("yunet, similarity-5pt-112*0.97, flip levelled 0123abcd")
    'yunet, similarity-5pt-112*0.97, flip'
    """
    return re.sub(r" levelled [0-9a-f]{8}$", "", settings)


def shipped(name: str, *, dimension: int | None = None) -> Levelling:
    """The levelling that comes with visavis under a name.

    Args:
        name: of the model that it was measured for.
        dimension: length of the templates to be levelled, where it is known.

    Raises:
        ModelRefusedError: there is none of that name, or it is for templates of another length.
    """
    file = resources.files("visavis.embedding") / "data" / f"{name}.json"
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", name) or not file.is_file():
        raise ModelRefusedError(
            f"levelling {name!r}, which this visavis does not have",
            "leave it out, use sface, or update visavis",
        )
    values = json.loads(file.read_text(encoding="utf-8"))
    direction = np.asarray(values["direction"], dtype=np.float32)
    if dimension not in {None, len(direction)}:
        raise ModelRefusedError(
            f"levelling {name!r} for templates of {dimension} numbers; it is for {len(direction)}",
            "add the model without it",
        )
    direction /= np.linalg.norm(direction)
    return Levelling(direction, height=float(values["height"]), full=float(values["full"]))
