"""Model files, and a server in a process of its own that serves them."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import NamedTuple

import onnx
from onnx import helper

import dragoman
from copying import METADATA, file_of
from dragoman.runtime.metadata import Metadata, append_checksum
from tiny import ROOT

CHAR_LIMIT = 20_000  # of the servers
KEY = "a-key-of-the-tests"


class Server(NamedTuple):
    """A server that runs.

    Attributes:
        url: Its URL, without a slash at the end.
        files: The model file of each pair of languages.
    """

    url: str
    files: dict[tuple[str, str], Path]

    def translations(self, texts: list[str], source: str, target: str) -> list[str]:
        """Return the translations of texts that the model's file gives without a server."""
        translator = dragoman.Translator.load(self.files[source, target])
        return [translation.text for translation in translator.translate(texts)]


def write_models(folder: Path) -> dict[tuple[str, str], Path]:
    """Write models of two languages that every client knows: from en, numbers become words; from de, texts are copied.

    Returns:
        The file of each pair of languages.
    """
    forward, backward = folder / "en-de.onnx", folder / "de-en.onnx"
    model = onnx.load(ROOT / "tests/files/35c52c7/float32.onnx")
    props = {prop.key: prop.value for prop in model.metadata_props}
    metadata = replace(Metadata.from_props(props), source_language="en", target_language="de")
    del model.metadata_props[:]
    helper.set_model_props(model, metadata.to_props())
    forward.write_bytes(append_checksum(model.SerializeToString()))
    file_of(backward, replace(METADATA, source_language="de", target_language="en"))
    return {("en", "de"): forward, ("de", "en"): backward}


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[Server]:
    """Serve two models in a process of its own. Its end must be clean, and its log without a traceback.

    Args:
        folder: An empty folder for the models.
        options: Further options of `dragoman serve`.
    """
    files = write_models(folder)
    command = [sys.executable, "-m", "dragoman", "serve", *map(str, files.values()), "--port", "0", "--workers", "1"]
    process = subprocess.Popen(
        [*command, "--char-limit", str(CHAR_LIMIT), *options],
        stderr=subprocess.PIPE, text=True, encoding="utf-8", cwd=ROOT,
    )  # fmt: skip
    assert process.stderr
    log = []
    reader = None
    try:
        url = None
        for line in process.stderr:
            log.append(line)
            if url := re.search(r"^dragoman: serving .* on (http://\S+) with ", line):
                break
        assert url, "".join(log)
        reader = Thread(target=log.extend, args=(process.stderr,))  # else the server would wait when the pipe is full
        reader.start()
        yield Server(url[1], files)
    finally:
        process.terminate()
        status = process.wait()
        if reader:
            reader.join()
        process.stderr.close()
    assert status == 0, "".join(log)
    assert "Traceback" not in "".join(log), "".join(log)
