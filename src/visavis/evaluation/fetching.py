"""Downloads Labeled Faces in the Wild from its public mirror, with verified hashes.

Mirror and hashes are those of scikit-learn's ``fetch_lfw_people``: the original site is offline.
The photos are the funneled version; terms: research use.
"""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from visavis.errors import DataError
from visavis.writing import private_folder


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file of the dataset.

    Attributes:
        name: file name.
        url: download address.
        sha256: hash of its bytes.
    """

    name: str
    url: str
    sha256: str


_MIRROR: Final = "https://ndownloader.figshare.com/files/"

LFW_FILES: Final = (
    RemoteFile(
        "pairsDevTrain.txt",
        f"{_MIRROR}5976012",
        "1d454dada7dfeca0e7eab6f65dc4e97a6312d44cf142207be28d688be92aabfa",
    ),
    RemoteFile(
        "pairs.txt",
        f"{_MIRROR}5976006",
        "ea42330c62c92989f9d7c03237ed5d591365e89b3e649747777b70e692dc1592",
    ),
    RemoteFile(
        "lfw-funneled.tgz",
        f"{_MIRROR}5976015",
        "b47c8422c8cded889dc5a13418c4bc2abbda121092b3533a83306f90d900100a",
    ),
    # Last: it marks a complete folder.
    RemoteFile(
        "pairsDevTest.txt",
        f"{_MIRROR}5976009",
        "7cb06600ea8b2814ac26e946201cdb304296262aad67d046a16a7ec85d0ff87c",
    ),
)


def fetch_lfw(
    folder: Path,
    *,
    files: tuple[RemoteFile, ...] = LFW_FILES,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Downloads missing files of LFW into ``folder`` (243 MB) and returns the folder.

    Existing files with the right hash are kept; archives are unpacked beside them, atomically.

    Args:
        folder: created if missing.
        files: files to download.
        progress: called with (files done, all files).

    Raises:
        DataError: a file cannot be downloaded, or its hash is wrong.
    """
    import pooch
    import requests

    private_folder(folder)
    for k, file in enumerate(files):
        try:
            path = pooch.retrieve(
                file.url,
                known_hash=f"sha256:{file.sha256}",
                fname=file.name,
                path=folder,
                downloader=pooch.HTTPDownloader(timeout=60),
            )
        except (requests.RequestException, ValueError, OSError) as error:
            raise DataError(
                f"{file.name} could not be fetched from {file.url} ({error})",
                "check the network and run the command again, or name your own copy by --lfw",
            ) from error
        Path(path).chmod(0o600)
        if file.name.endswith(".tgz"):
            _unpack(Path(path), folder)
        if progress is not None:
            progress(k + 1, len(files))
    return folder


def _unpack(archive: Path, folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        try:
            with tarfile.open(archive) as tar:
                # The "data" filter refuses paths outside the folder, links and devices.
                tar.extractall(temporary, filter="data")
        except (tarfile.TarError, OSError) as error:
            raise DataError(
                f"{archive.name}: an archive that cannot be unpacked ({error})",
                "delete it and run the command again",
            ) from error
        for path in Path(temporary).rglob("*"):  # private photos
            path.chmod(0o700 if path.is_dir() else 0o600)
        for part in sorted(Path(temporary).iterdir()):
            target = folder / part.name
            if target.exists():
                shutil.rmtree(target)
            part.rename(target)
