"""Provenance of a score: command, commit, machine and seed."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from dragoman.runtime.metadata import Metadata
from dragoman.translate.files import read_rows, write_rows

if TYPE_CHECKING:
    from dragoman.translate.evaluation.metrics import Score

# These keys identify a row: a later row with the same values replaces it.
ROW_KEY = ("run", "set", "references", "protocol", "precision", "beam", "length_penalty", "seed")
MISSING = {"references": 1}  # values of keys that older rows do not have


def score_row(scores: Sequence[Score], metadata: Metadata, settings: dict[str, Any]) -> dict[str, Any]:
    """Return one row of a file of scores: all metrics of a test set, and everything needed to measure them again.

    settings: those of the evaluation, such as the name of the test set and the beam. An ensemble's row holds the
    provenance of each member.
    """
    card = metadata.card
    corpus = card.get("corpus", {})
    members = [trained_by(member) for member in card.get("members", [])]
    trained = trained_by(card)
    if members:
        trained["seed"], trained["commit"] = ("+".join(str(m[key]) for m in members) for key in ("seed", "commit"))
        trained["members"] = members
    return {
        "run": metadata.config["name"],
        "corpus": corpus.get("corpus", "unknown"),
        "pair": "-".join(filter(None, (metadata.source_language, metadata.target_language))),
        "protocol": scores[0].protocol,
        **settings,
        "metrics": {s.metric: {"score": s.score, "signature": s.signature} for s in scores},
        "parameters": card.get("parameters"),
        **trained,
        **{key: corpus[key] for key in ("distilled", "back_translated") if key in corpus},
        "command": command(),
        "evaluated_at": commit(),
        "machine": machine(),
    }


def record(path: Path, row: dict[str, Any]) -> None:
    """Write a row into a file of rows, replacing the row with the same ROW_KEY if there is one.

    Raises UserError when the file cannot be read or written.
    """
    rows = read_rows(path) if path.exists() else []
    key = [row[name] for name in ROW_KEY]
    rows = [other for other in rows if [other.get(name, MISSING.get(name)) for name in ROW_KEY] != key]
    write_rows(path, [*rows, row])


def trained_by(card: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a model card that says how the weights were trained."""
    training = card.get("training", {})
    return {
        "seed": training.get("seed"),
        "train_minutes": training.get("minutes"),
        "train_command": card.get("command"),
        "commit": card.get("commit", "unknown"),
    }


def command() -> str:
    """Return the command that started this process, as one can paste it into a shell, with torchrun if that did.

    Of several machines, it is the command of the first one.
    """
    is_command = Path(sys.argv[0]).name.removesuffix(".exe") == "dragoman"
    words = ["dragoman", *sys.argv[1:]] if is_command else sys.orig_argv[1:]
    environment = os.environ
    if "TORCHELASTIC_RUN_ID" not in environment:
        return shlex.join(words if is_command else ["python", *words])
    options = [f"--nproc-per-node={environment['LOCAL_WORLD_SIZE']}"]
    if environment["GROUP_WORLD_SIZE"] != "1":
        options += [f"--nnodes={environment['GROUP_WORLD_SIZE']}", f"--node-rank={environment['GROUP_RANK']}"]
        options += [f"--master-addr={environment['MASTER_ADDR']}", f"--master-port={environment['MASTER_PORT']}"]
    if is_command:
        options.append("--no-python")
    return shlex.join(["torchrun", *options, *(words[1:] if words[0] == "-u" else words)])  # torchrun itself adds -u


def commit() -> str:
    """Return the commit of the source tree, with `+changed` if files differ from it, or the installed version."""
    root = Path(__file__).resolve().parents[2]
    try:
        if (root / ".git").exists():
            words = ["git", "-C", str(root), "describe", "--always", "--abbrev=12", "--dirty=+changed", "--exclude=*"]
            return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
        return "dragoman " + version("dragoman")
    except (OSError, subprocess.CalledProcessError, PackageNotFoundError):
        return "unknown"


def machine() -> str:
    """Return the processor, the GPU and the version of PyTorch that a figure was measured with."""
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            name = next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    vectors = torch.backends.cpu.get_cpu_capability()  # AVX2 or AVX512: one model name may have either
    return f"{name} ({vectors}), {os.cpu_count()} cores{gpu}, torch {torch.__version__}"
