"""Names clusters by a gallery, and enrolls clusters in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from visavis.albums.judging import cluster_means
from visavis.albums.records import Album, RunSettings
from visavis.albums.view import GalleryName
from visavis.decision.open_set import IdentificationPoint, OpenSet, open_set
from visavis.decision.profile import Calibration
from visavis.errors import GalleryError, ModelMismatchError, OptionError
from visavis.former import SORT_AGAIN, incomparable, levelled
from visavis.gallery.records import NewFace
from visavis.gallery.space import calibration_in
from visavis.gallery.store import GalleryStore

MOST_ENROLLED: Final = 20
"""Most faces enrolled per cluster."""


def open_set_of(
    gallery: GalleryStore, model: str, model_sha256: str, calibration: Calibration
) -> OpenSet:
    """Creates the open-set model of a gallery's templates.

    Args:
        gallery: who is enrolled.
        model: name of the model in use.
        model_sha256: hash of its file.
        calibration: of the model in use.

    Raises:
        GalleryError: nobody is enrolled with the model in use.
        ModelMismatchError: templates of the model were levelled by a former version.
    """
    gallery.info().require_plain(model_sha256)
    templates = [p.faces[model_sha256] for p in gallery.people() if p.faces.get(model_sha256)]
    if not templates:
        raise GalleryError(
            f"a gallery with nobody enrolled by model {model} ({model_sha256[:12]})",
            "enroll people with this model, or run with the gallery's by --model",
        )
    known = calibration_in(gallery, calibration, model_sha256)
    return open_set(
        people=len(templates),
        templates=float(np.mean(templates)),
        calibration=known,
        own=gallery.non_mated(model_sha256=model_sha256, domain=known.domain),
        own_mean=known is not calibration,
    )


def gallery_names(
    album: Album,
    vectors: Mapping[int, NDArray[np.float32]],
    gallery: GalleryStore,
    *,
    calibration: Calibration,
    fpir: float,
) -> tuple[dict[int, GalleryName], IdentificationPoint]:
    """Identifies clusters in a gallery.

    A cluster is one probe. Its score with a person is the mean score of its faces with the person's
    fused template, weighted by quality score. A mean of scores varies less than single scores, so
    non-mated clusters reach the threshold of a single face no more often than single faces do. (The
    score of the *normalized* mean template grows with the number of faces, for non-mated clusters,
    too.) A cluster is named if its best score reaches the gallery's threshold for ``fpir``.

    Args:
        album: the clusters.
        vectors: plain templates by face.
        gallery: who is enrolled.
        calibration: of the model in use.
        fpir: accepted false positive identification rate of clusters, in (0, 1).

    Raises:
        GalleryError: nobody is enrolled with the model in use.
        UnsupportedFmrError: neither calibration nor gallery support the rate.
    """
    settings = album.settings
    open_set = open_set_of(gallery, settings.model, settings.model_sha256, calibration)
    point = open_set.point(fpir)
    faces = [(c.id, face) for c in album.clusters for face in c.faces if face in vectors]
    if not faces:
        return {}, point
    domain, rows = open_set.domain, np.stack([vectors[face] for _, face in faces])
    clusters = cluster_means(
        rows if domain is None else domain.apply(rows, side="b"),
        np.array([cluster for cluster, _ in faces]),
        np.array([album.faces[face].quality_score for _, face in faces]),
    )
    usable = np.flatnonzero(clusters.means.any(axis=1))
    means = clusters.means[usable]
    probes = means if domain is None else domain.restore(means, side="b")
    found = gallery.search(probes, model_sha256=settings.model_sha256, k=1, domain=domain)
    names: dict[int, GalleryName] = {}
    for row, matches in zip(usable, found, strict=True):
        score = matches[0].score * float(clusters.lengths[row]) if matches else -1.0
        if matches and score >= point.threshold:
            names[int(clusters.clusters[row])] = GalleryName(matches[0].person, score)
    return names, point


def new_faces(
    album: Album,
    cluster: int,
    person: str,
    vectors: Mapping[int, NDArray[np.float32]],
) -> list[NewFace]:
    """Returns the most typical faces of a cluster for enrollment, without doubtful ones if
    possible.

    Args:
        album: the clusters.
        cluster: number of the cluster.
        person: name to enroll.
        vectors: templates by face.

    Raises:
        OptionError: unknown cluster, or none of its templates is known.
        ModelMismatchError: the templates were levelled by a former version.
    """
    settings: RunSettings = album.settings
    if levelled(settings.pipeline_id):
        what = "the collection was sorted"
        raise ModelMismatchError(incomparable(what, settings.pipeline_id), SORT_AGAIN)
    chosen = next((one for one in album.clusters if one.id == cluster), None)
    if chosen is None:
        raise OptionError(f"cluster {cluster}", "there is no such cluster; clusters.csv lists them")
    names = {file.sha256: file.photo for file in reversed(album.files)}
    known = [album.faces[face] for face in chosen.faces if face in vectors]
    usable = [face for face in known if not face.doubt] or known
    if not usable:
        raise OptionError(
            f"cluster {cluster} without templates", "run `visavis cluster` again, with its cache"
        )
    return [
        NewFace(
            person=person,
            vector=vectors[face.id],
            model=settings.model,
            model_sha256=settings.model_sha256,
            pipeline_id=settings.pipeline_id,
            quality_score=face.quality_score,
            photo=names.get(face.photo_sha256, ""),
            photo_sha256=face.photo_sha256,
        )
        for face in usable[:MOST_ENROLLED]
    ]
