"""Feeds a reader of files changes that reach new lines of it (libFuzzer); needs ``atheris``.

``pip install atheris``, then ``python -m tests.faults.guided packs -max_total_time=300 -seed=1``;
the names are those of ``tests.faults.fuzz``, further options libFuzzer's. Prints what it finds, as
``tests.faults.fuzz`` does, and goes on.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path


def main() -> None:
    """Fuzzes until libFuzzer ends the process."""
    import atheris  # type: ignore[import-not-found]

    with atheris.instrument_imports(include=["visavis", "zipfile", "onnx"]):
        from tests.faults import fuzz
    name, options = sys.argv[1], sys.argv[2:]
    with tempfile.TemporaryDirectory() as place:
        folder, corpus = Path(place) / "files", Path(place) / "corpus"
        folder.mkdir()
        corpus.mkdir()
        reader = fuzz.readers(folder)[name]
        for number, data in enumerate(reader.seeds):
            (corpus / str(number)).write_bytes(data)
        longest = 2 * max(map(len, reader.seeds))

        def one(data: bytes) -> None:
            known = len(reader.findings)
            reader.once(data, folder)
            for what in list(reader.findings)[known:]:
                sys.stderr.write(f"found: {what}\n    {reader.findings[what].hex()}\n")

        atheris.Setup(
            ["guided", str(corpus), f"-max_len={longest}", "-rss_limit_mb=8192", *options], one
        )
        atheris.Fuzz()


if __name__ == "__main__":
    main()
