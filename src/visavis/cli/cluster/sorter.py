"""What ``visavis cluster`` does with the faces that it found, as the command line asks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from visavis.cli.gallery import options as gallery_options
from visavis.cli.output import messages

if TYPE_CHECKING:
    from visavis.albums.records import Album, RunSettings
    from visavis.albums.sorting import Found
    from visavis.albums.store import AlbumStore
    from visavis.clustering.clusterer import Clusterer
    from visavis.clustering.thresholds import Strangers
    from visavis.decision.profile import Calibration
    from visavis.gallery.milvus import MilvusGallery
    from visavis.gallery.sqlite.store import SqliteGallery
    from visavis.pipeline import Recognizer


@dataclass(frozen=True, slots=True)
class Sorter:
    """What the command line asks of a run, besides looking at the photos."""

    recognizer: Recognizer
    algorithm: str
    false_merge: float
    same_photo: bool
    must: Path | None
    cannot: Path | None
    anew: bool
    gallery: str | None
    key_file: Path | None
    tenant: str
    fpir: float | None
    min_size: int
    pictures: bool
    copy: bool

    def checked(self) -> Sorter:
        """Return a copy with the FPIR decided; raise option errors before any photo is read.

        If no rate was given and the data do not support the default, the lowest supported one is
        used.
        """
        from visavis.errors import OptionError

        self._clusterer(self.recognizer.calibration)
        for path in (self.must, self.cannot):
            if path is not None and not path.is_file():
                raise OptionError(f"{path}: there is no such file", "give a CSV file")
        if self.gallery is None:
            return self
        if self.fpir is not None and not 0 < self.fpir < 1:
            raise OptionError(f"--fpir {self.fpir}", "give one in (0, 1), such as 0.01")
        from visavis.albums.naming import open_set_of
        from visavis.decision.open_set import DEFAULT_FPIR, above_default

        known = self.recognizer
        with self._gallery() as people:
            strangers = open_set_of(people, known.model, known.model_sha256, known.calibration)
        rate = strangers.supported(DEFAULT_FPIR) if self.fpir is None else self.fpir
        unusual = above_default(rate) if self.fpir is None else ()
        for sentence in (*unusual, *strangers.warnings(rate)):
            messages.print(f"warning: {sentence}", markup=False)
        return replace(self, fpir=rate)

    def sort(self, store: AlbumStore, folder: Path, found: Found) -> Album:
        """Cluster what was found, remember it, and bring it together."""
        from visavis.albums import link_lists, sorting
        from visavis.albums.references import References
        from visavis.albums.view import album_of

        with store.changing():
            seen = sorting.remember_faces(store, found)
            calibration = sorting.about_own_mean(store, seen, self.recognizer.calibration)
            algorithm, strangers = self._clusterer(calibration)
            settings = self._settings(folder, algorithm.name, calibration)
            self._say_what_stays(store, settings)
            references = References(store)
            links = [
                link
                for path, must in ((self.must, True), (self.cannot, False))
                if path is not None
                for link in link_lists.read(path, references, must=must)
            ]
            sorting.sort_faces(
                store,
                seen,
                algorithm,
                settings=settings,
                threshold=lambda clusters: strangers.for_faces(
                    clusters, false_merge_rate=self.false_merge
                ),
                links=links,
                anew=self.anew,
                strangers=strangers,
                domain=calibration.domain,
            )
        vectors = {face: one.vector for face, one in seen.faces.items()}
        album = album_of(store, vectors)
        if album.settings.threshold >= strangers.thresholds[-1]:
            messages.print(
                f"visavis: for a false-merge rate of {self.false_merge:g} in a collection of this "
                f"size the calibration {album.settings.calibration} has no score (its strictest is "
                f"{strangers.thresholds[-1]:.3f}, which is used): the rate may be higher",
                markup=False,
            )
        if self.gallery is None or self.fpir is None:
            return album
        from visavis.albums.naming import gallery_names

        with self._gallery() as people:
            names, _ = gallery_names(
                album, vectors, people, calibration=self.recognizer.calibration, fpir=self.fpir
            )
        with store.changing():
            store.set_gallery_names({k: (name.name, name.score) for k, name in names.items()})
        return album_of(store, vectors)

    def _say_what_stays(self, store: AlbumStore, settings: RunSettings) -> None:
        last = store.last_run()
        if last is None or self.anew:
            return
        told = ("model_sha256", "settings", "algorithm", "false_merge", "same_photo")
        if any(last[2][name] != getattr(settings, name) for name in told):
            messages.print(
                "visavis: other options than last time: clusters that are there stay as they are, "
                "new faces join by these options; --anew makes all anew"
            )

    def _clusterer(self, calibration: Calibration) -> tuple[Clusterer, Strangers]:
        from visavis.clustering import choose

        strangers = choose.strangers_of(calibration.points, calibration.reference)
        chosen = choose.by_name(self.algorithm, strangers, false_merge_rate=self.false_merge)
        return chosen, strangers

    def _gallery(self) -> SqliteGallery | MilvusGallery:
        return gallery_options.open_gallery(
            self.gallery, key_file=self.key_file, tenant=self.tenant
        )

    def _settings(self, folder: Path, algorithm: str, calibration: Calibration) -> RunSettings:
        from visavis.albums.records import RunSettings

        own = calibration.domain if calibration is not self.recognizer.calibration else None
        return RunSettings(
            root=str(folder.resolve()),
            model=self.recognizer.model,
            model_sha256=self.recognizer.model_sha256,
            settings=self.recognizer.settings,
            algorithm=algorithm,
            false_merge=self.false_merge,
            threshold=float("nan"),
            calibration=calibration.name,
            same_photo=self.same_photo,
            min_size=self.min_size,
            pictures=self.pictures,
            copy=self.copy,
            gallery=self.gallery or "",
            fpir=self.fpir if self.gallery and self.fpir is not None else float("nan"),
            mean_of_people=0 if own is None else own.people,
        )
