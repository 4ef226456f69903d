"""Calls of clients of LibreTranslate, each in a process of the environment that holds it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tiny import ROOT

FOLDER = ROOT / "tests/clients"
BIN = ROOT / ".venv-clients" / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
NODE_MODULES = FOLDER / "node_modules"
NODE = shutil.which("node")

# No proxy and no setting of a client. A client in Python would take PYTHONPATH for its own.
ENVIRONMENT = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "TMPDIR") if name in os.environ}


@dataclass(frozen=True)
class Client:
    """A client of LibreTranslate.

    Attributes:
        name: Its name in the driver.
        command: Command of the driver.
    """

    name: str
    command: tuple[str, ...]

    def ask(self, url: str, *calls: Sequence[object], key: str | None = None) -> list[Any]:
        """Return the answer of each call: what the method returned, or a Refusal.

        The client must reach the server and no other machine.

        Args:
            url: URL of the server.
            calls: The method's name and its arguments. Options are the last argument, as a dictionary.
            key: The API key.
        """
        task = {"client": self.name, "url": url, "key": key, "calls": calls}
        ran = subprocess.run(
            self.command, input=json.dumps(task), capture_output=True, encoding="utf-8", env=ENVIRONMENT, check=False
        )
        assert ran.returncode == 0, ran.stderr
        found = json.loads(ran.stdout)
        assert found["others"] == []
        assert found["connections"] > 0
        return [self._answer(answer) for answer in found["answers"]]

    def _answer(self, answer: dict[str, Any]) -> Any:  # noqa: ANN401 (what a client returns)
        return answer["value"] if "value" in answer else Refusal(answer["error"], answer["message"])


@dataclass(frozen=True)
class Refusal:
    """An error that a client raised.

    Attributes:
        kind: Name of its class.
        message: Its message.
    """

    kind: str
    message: str


def python_client(name: str) -> Client:
    """Return a client in Python by its name in python_client.py."""
    return Client(name, (str(PYTHON), str(FOLDER / "python_client.py")))


def node_client(name: str) -> Client:
    """Return a client in JavaScript by its name in node_client.mjs."""
    return Client(name, (NODE or "node", str(FOLDER / "node_client.mjs")))
