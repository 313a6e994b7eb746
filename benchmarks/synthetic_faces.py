"""A million faces whose scores are spread as SFace's are on photographs.

Nobody can hand out a million people's photos, and random points on a sphere are no stand-in: there
strangers score 0 ± 0.09 and nobody resembles anybody. Here a template is

    normalize(mean + person + photo),

each part Gaussian in 128 dimensions with the variances that SFace's templates of LFW have between
people and within a person (View 1 training people, in the axes of the former), and

- people come in 1,000 groups whose members have 30 % of their variance in common, since people do
  look alike: without it the upper tail of strangers' scores ends too early;
- a person's and a photo's spread vary (log-normal), since some people vary more than others and
  some photos are poor: without it no mated score is very low or very high.

The variances (3 x 128 numbers, of nobody in particular) and LFW's score quantiles are in
``synthetic_faces.json``. ``python -m benchmarks.synthetic_faces`` prints the quantiles beside those
of a draw; ``--fit FILE.npz`` makes the constants anew from arrays ``names`` (``Person/photo.jpg``)
and ``vec`` ``(N, 128)`` of LFW's photos.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.photos import data_folder
from benchmarks.tables import Table

Vectors = NDArray[np.float32]
Counts = int | NDArray[np.int64] | Callable[[np.random.Generator, int], NDArray[np.int64]]
"""Faces of each person: a number, an array, or a function of a generator and a number of people."""

CONSTANTS = Path(__file__).with_suffix(".json")
GROUPS, ALIKE = 1000, 0.3
SPREAD_OF_CENTERS, SPREAD_OF_PEOPLE, SPREAD_OF_PHOTOS = 0.1, 0.18, 0.18
_PEOPLE = 8192

NON_MATED = (1e-5, 1e-3, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 1 - 1e-4, 1 - 1e-5)
MATED = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99)
CLOSEST = (0.01, 0.1, 0.5, 0.9, 0.99)


def draw(people: int, faces_per_person: Counts, seed: int) -> tuple[Vectors, NDArray[np.int64]]:
    """Templates ``(N, 128)`` float32 of unit length and the person of each, ``(N,)`` int64 rising
    from 0; the same for the same arguments."""
    parts = list(chunks(people, faces_per_person, seed))
    return np.concatenate([v for v, _ in parts]), np.concatenate([p for _, p in parts])


def chunks(
    people: int, faces_per_person: Counts, seed: int
) -> Iterator[tuple[Vectors, NDArray[np.int64]]]:
    """As ``draw``, some thousands of people at a time."""
    constants = json.loads(CONSTANTS.read_text())
    mean, between, within = (
        np.asarray(constants[name], np.float32) for name in ("mean", "between", "within")
    )
    d = len(mean)
    # Scores don't feel it; structures that cut a template into pieces would gain by neat axes.
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((d, d)))[0].astype(np.float32)
    groups = np.random.default_rng([seed, 0]).standard_normal((GROUPS, d), np.float32)
    for number, start in enumerate(range(0, people, _PEOPLE), 1):
        rng = np.random.default_rng([seed, number])
        n = min(_PEOPLE, people - start)
        faces = _counts(faces_per_person, rng, start, n)
        center = rng.standard_normal((n, d), np.float32) * np.float32(np.sqrt(1 - ALIKE))
        center += groups[rng.integers(0, GROUPS, n)] * np.float32(np.sqrt(ALIKE))
        center *= np.sqrt(between) * _factors(rng, SPREAD_OF_CENTERS, n)
        spread = _factors(rng, SPREAD_OF_PEOPLE, n)
        of = np.repeat(np.arange(n), faces)
        photo = rng.standard_normal((len(of), d), np.float32) * np.sqrt(within)
        photo *= spread[of] * _factors(rng, SPREAD_OF_PHOTOS, len(of))
        photo += center[of] + mean
        photo /= np.linalg.norm(photo, axis=1, keepdims=True)
        yield photo @ turn, of + start


def _counts(faces: Counts, rng: np.random.Generator, start: int, people: int) -> NDArray[np.int64]:
    if callable(faces):
        return np.asarray(faces(rng, people), np.int64)
    if isinstance(faces, np.ndarray):
        return np.asarray(faces[start : start + people], np.int64)
    return np.full(people, faces, np.int64)


def _factors(rng: np.random.Generator, spread: float, count: int) -> NDArray[np.float32]:
    # Log-normal with a mean square of 1, so that the variances stay what they are.
    exponent = np.float32(spread) * rng.standard_normal((count, 1), np.float32)
    factors: NDArray[np.float32] = np.exp(exponent - np.float32(spread**2))
    return factors


def quantiles(vectors: Vectors, person: NDArray[np.int64], *, seed: int = 0) -> dict[str, Any]:
    """Quantiles of non-mated scores (one photo a person), of mated scores (every person counts the
    same, up to six photos each), and of each person's closest stranger among these people."""
    rng = np.random.default_rng(seed)
    order = np.argsort(person, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(person[order])) + 1)
    one = vectors[[rng.choice(group) for group in groups]]
    product = one @ one.T
    non_mated = product[np.triu_indices(len(one), 1)]
    np.fill_diagonal(product, -1)
    scores, weights = [], []
    for group in groups:
        if len(group) > 1:
            few = vectors[group[:6]]
            score = (few @ few.T)[np.triu_indices(len(few), 1)]
            scores.append(score)
            weights.append(np.full(len(score), 1 / len(score)))
    mated, weight = np.concatenate(scores), np.concatenate(weights)
    by = np.argsort(mated)
    below = np.cumsum(weight[by]) / weight.sum()
    return {
        "people": len(groups),
        "non_mated": np.quantile(non_mated, NON_MATED).round(4).tolist(),
        "mated": np.interp(MATED, below, mated[by]).round(4).tolist(),
        "closest_stranger": np.quantile(product.max(axis=1), CLOSEST).round(4).tolist(),
    }


def fit(names: NDArray[np.str_], vectors: Vectors, listed: set[str]) -> dict[str, Any]:
    """The constants from the templates of the people listed."""
    who = np.array([name.split("/")[0] for name in names])
    kept = np.isin(who, sorted(listed))
    v, (_, person) = (
        vectors[kept].astype(np.float64),
        np.unique(who[kept], return_inverse=True),
    )
    count = np.bincount(person)
    rng = np.random.default_rng(0)
    one = v[[rng.choice(np.flatnonzero(person == p)) for p in range(len(count))]]
    within = np.zeros((v.shape[1], v.shape[1]))
    several = np.flatnonzero(count > 1)
    for p in several:
        own = v[person == p]
        within += np.cov(own.T) / len(several)
    between, axes = np.linalg.eigh(np.cov(one.T) - within)
    return {
        "about": "variances of SFace templates, LFW View 1 training people; see synthetic_faces.py",
        "mean": (axes.T @ one.mean(axis=0)).round(5).tolist(),
        "between": np.maximum(between, 1e-5).round(6).tolist(),
        "within": np.diag(axes.T @ within @ axes).round(6).tolist(),
        "lfw": quantiles(vectors[kept], person),
    }


def main(arguments: list[str] | None = None) -> None:
    """Print the quantiles of a draw beside LFW's, after fitting if asked to."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.synthetic_faces")
    parser.add_argument("--fit", type=Path, help="templates of LFW's photos: arrays names and vec")
    parser.add_argument("--lfw", type=Path, help="LFW with its lists (default: VISAVIS_LFW)")
    options = parser.parse_args(arguments)
    if options.fit:
        lfw = options.lfw or data_folder("lfw")
        if lfw is None:
            raise SystemExit("no list of people; give --lfw DIR, LFW with its lists")
        lines = (Path(lfw) / "peopleDevTrain.txt").read_text().splitlines()[1:]
        with np.load(options.fit) as arrays:
            made = fit(arrays["names"], arrays["vec"], {line.split()[0] for line in lines})
        CONSTANTS.write_text(json.dumps(made, separators=(",", ":")) + "\n")
    real = json.loads(CONSTANTS.read_text())["lfw"]
    own = quantiles(*draw(real["people"], 2, seed=1))
    for key, at in (("non_mated", NON_MATED), ("mated", MATED), ("closest_stranger", CLOSEST)):
        table = Table(key.replace("_", " "), ("quantile", "LFW", "drawn"))
        for q, there, here in zip(at, real[key], own[key], strict=True):
            table.rows.append((f"{q:g}", f"{there:.3f}", f"{here:.3f}"))
        print(table.text())


if __name__ == "__main__":
    main()
