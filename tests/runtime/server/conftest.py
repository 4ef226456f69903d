"""Model files for the tests of the server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from copying import METADATA, file_of
from serving import Client, serving


@pytest.fixture(scope="session")
def copying_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return files that copy English to German, German to English, and English to the Portuguese of Brazil."""
    folder = tmp_path_factory.mktemp("copying")
    pairs = [("en", "de"), ("de", "en"), ("en", "pt_BR")]
    return [
        file_of(folder / f"{source}-{target}.onnx", replace(METADATA, source_language=source, target_language=target))
        for source, target in pairs
    ]


@pytest.fixture(scope="module")
def client(copying_files: list[Path], tiny_file: Path) -> Iterator[Client]:
    """Return a client of a server of four models. The last one, `en-xx`, has learnt to translate numbers."""
    with serving(*copying_files, tiny_file) as client:
        yield client
