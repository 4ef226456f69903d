"""A short run of the fuzzer; `make fuzz` runs the long one."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from fuzz import Failure, check, fuzz_files, fuzz_lines, mutate, valid_file

from tiny import ROOT


@pytest.mark.slow
def test_random_lines_get_a_line_each(tmp_path: Path) -> None:
    fuzz_lines(3000, 7, tmp_path, lambda _: None)


@pytest.mark.slow
def test_damaged_files_are_read_or_refused(tmp_path: Path) -> None:
    fuzz_files(200, 7, tmp_path, lambda _: None)


@pytest.mark.parametrize("suffix", ["tmx", "xlf", "xliff", "po"])
def test_the_undamaged_files_are_valid(suffix: str, tmp_path: Path) -> None:
    from dragoman.translate.corpus.readers.files import read_files

    draw = random.Random(1)
    data = valid_file(draw, suffix)
    assert mutate(data, draw) != data
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(data)
    rows = [*read_files([str(path)], ("en", "de"))]
    assert len(rows) >= 20
    assert all(isinstance(row, tuple) and len(row) == 2 for row in rows)


@pytest.mark.parametrize(("status", "text"), [(1, ""), (2, "Traceback\nValueError: no"), (0, "")])
def test_the_fuzzer_notices_a_failure(status: int, text: str, tmp_path: Path) -> None:
    with pytest.raises(Failure):
        check(status, text, ROOT / "a.tmx", tmp_path / "corpus")
