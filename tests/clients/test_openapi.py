"""`dragoman serve` against its own OpenAPI description, with requests that Schemathesis makes up."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from clients.driving import ENVIRONMENT, FOLDER, PYTHON
from clients.serving import Server

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON.exists(), reason="Schemathesis is not installed; run make .venv-clients/installed"),
]

LANGUAGES = ["en", "de"]
FILE_NAME = 'form-data; name="file"; filename="a.txt"'

# A process that reaches no other machine. Python would find this project's packages in the current folder.
PROGRAM = f"""
import sys
sys.path[:] = [{str(FOLDER)!r}, *filter(None, sys.path)]
import loopback
loopback.stay_on_loopback()
from schemathesis.cli import schemathesis
try:
    schemathesis()
finally:
    assert not loopback.others, loopback.others
"""


def description(server: Server) -> dict[str, Any]:
    """Return the server's OpenAPI description."""
    with urlopen(f"{server.url}/spec") as response:
        found = json.load(response)
    assert isinstance(found, dict)
    return found


def with_languages(described: dict[str, Any]) -> dict[str, Any]:
    """Return a description that also says what only /languages does, so that most requests reach a translator."""
    for path in ("/translate", "/translate_file"):
        for form in described["paths"][path]["post"]["requestBody"]["content"].values():
            properties = form["schema"]["properties"]
            properties["source"] |= {"enum": [*LANGUAGES, "auto"]}
            properties["target"] |= {"enum": LANGUAGES}
    for parameter in described["paths"]["/translate"]["get"]["parameters"]:
        if parameter["name"] == "langpair":
            parameter["schema"] = {"type": "string", "enum": ["en|de", "de|en"]}
    upload = described["paths"]["/translate_file"]["post"]["requestBody"]["content"]["multipart/form-data"]
    upload["encoding"] = {"file": {"headers": {"Content-Disposition": {"example": FILE_NAME}}}}
    upload["schema"]["properties"]["api_key"] = {}  # a number or true is text in a form, too
    return described


def run(tmp_path: Path, *arguments: str) -> None:
    """Run Schemathesis. Any difference between the description and the server is a failure."""
    options = ("--no-color", "--config-file", str(FOLDER / "schemathesis.toml"))
    ran = subprocess.run(
        [str(PYTHON), "-c", PROGRAM, *options, "run", *arguments],
        capture_output=True, encoding="utf-8", errors="replace", cwd=tmp_path, env=ENVIRONMENT, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_description_is_true(server: Server, tmp_path: Path) -> None:
    # It leaves open which languages there are, so that valid requests may be refused.
    run(
        tmp_path, f"{server.url}/spec", "--phases", "examples,coverage,fuzzing", "--max-examples", "300", "--seed", "2",
        "--exclude-checks", "positive_data_acceptance",
    )  # fmt: skip


def test_valid_requests_are_accepted(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "description.json"
    path.write_text(json.dumps(with_languages(description(server))))
    run(
        tmp_path, str(path), "--url", server.url, "--phases", "examples,coverage,fuzzing", "--max-examples", "200",
        "--seed", "2",
    )  # fmt: skip


def test_a_server_with_keys_refuses_strangers_as_it_says(server_with_keys: Server, tmp_path: Path) -> None:
    run(
        tmp_path, f"{server_with_keys.url}/spec", "--phases", "examples,coverage,fuzzing", "--max-examples", "30",
        "--seed", "3", "--exclude-checks", "positive_data_acceptance,negative_data_rejection",
    )  # fmt: skip
