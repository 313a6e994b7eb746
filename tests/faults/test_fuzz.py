"""A bounded part of the fuzzing; ``python -m tests.faults.fuzz`` is the long one."""

from __future__ import annotations

from tests.faults import fuzz


def test_changed_files_are_read_or_refused() -> None:
    found = fuzz.fuzz(60.0, seed=3, most=40)
    assert {name: reader.findings for name, reader in found.items()} == {name: {} for name in found}
    assert all(reader.runs for reader in found.values())


def test_the_fuzzing_would_notice(tmp_path: object) -> None:
    def read(data: bytes, _: object) -> int:
        return 1 // data[0]

    reader = fuzz.Reader((b"\1",), read)
    reader.once(b"\0", None)  # type: ignore[arg-type]
    assert "ZeroDivisionError" in next(iter(reader.findings))
