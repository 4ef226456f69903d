"""Helpers of the tests: a tiny network whose sizes all differ, a tiny regular language, tiny corpora and settings."""

from __future__ import annotations

import importlib.util
import math
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock

from dragoman.runtime.contract import EOS, PAD
from dragoman.runtime.metadata import Metadata
from dragoman.translate.config import ModelConfig
from dragoman.translate.corpus.folder import Pair
from dragoman.translate.network.search import BeamSearch
from dragoman.translate.network.selection import VocabularySelection
from dragoman.translate.network.seq2seq import Seq2Seq
from dragoman.translate.training.checkpoint import load_tensors, save_tensors

CELLS = ("elman", "lstm", "gru", "sru")
VOCABULARY = 37
WIDTH = 12
ROOT = Path(__file__).resolve().parents[1]
MULTI30K = ROOT.parent / "shared" / "data" / "multi30k"

needs_multi30k = pytest.mark.skipif(not MULTI30K.exists(), reason="the Multi30k captions are not on this machine")


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """Return a folder that the first test process fills with `make`, while the others wait for it."""
    top = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # each worker has a folder in the one that all of them share
        top = top.parent
    folder = top / f"shared-{name}"
    with FileLock(top / f"shared-{name}.lock"):
        if not (folder / "made").exists():
            folder.mkdir()
            make(folder)
            (folder / "made").touch()
    return folder


def script(path: str) -> Any:  # noqa: ANN401 (a module without types)
    """Import a script of the project by its path."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tiny_config(cell: str = "sru", attention: str = "dot", decoder_layers: int = 2, heads: int = 3) -> ModelConfig:
    """Return a model configuration whose sizes all differ, so that a transposed axis fails."""
    return ModelConfig(
        cell=cell,  # type: ignore[arg-type]  # one of CELLS
        width=WIDTH,
        hidden=10,
        encoder_layers=3,
        decoder_layers=decoder_layers,
        feed_forward=14,
        heads=heads,
        attention=attention,  # type: ignore[arg-type]  # a kind of attention
    )


def tiny_selection(vocabulary: int = VOCABULARY, width: int = WIDTH, *, rest: bool = True) -> VocabularySelection:
    """Return a random vocabulary selection. Sentences share some candidates, and source ids have up to four more.

    rest: give all other ids some probability.
    """
    generator = torch.Generator().manual_seed(1)
    shared = torch.tensor([EOS, *range(5, 15, 2)])
    others = torch.tensor([i for i in range(EOS + 1, vocabulary) if i not in shared])
    lengths = torch.randint(0, 5, (vocabulary,), generator=generator).to(torch.uint8)
    lengths[:EOS] = 0
    copies = torch.arange(vocabulary, dtype=torch.int16)
    copies[: EOS + 1] = PAD
    copies[shared] = PAD
    table = others[torch.randint(0, len(others), (int(lengths.sum()),), generator=generator)]
    selection = VocabularySelection.compact(shared.numpy(), copies.numpy(), lengths.numpy(), table.numpy(), width)
    if rest:
        selection.rest, selection.rest_bias = 3 * torch.randn(width, generator=generator), torch.ones(1)
    return selection


def tiny_search(
    cell: str = "sru", attention: str = "dot", vocabulary: int = VOCABULARY, scale: float = 2.5, heads: int = 3,
    selection: VocabularySelection | None = None,
) -> BeamSearch:  # fmt: skip
    """Return the search of a seeded random network.

    Its weights are scaled up, so that no test depends on a near-tie between two tokens.
    """
    torch.manual_seed(0)
    model = Seq2Seq(tiny_config(cell, attention, heads=heads), vocabulary, vocabulary)
    for p in model.parameters():
        p.data.mul_(scale)
    return BeamSearch(model.requires_grad_(False), 2, selection=selection).eval()


def tiny_metadata(precision: str = "float32") -> Metadata:
    """Return the metadata that comparisons need, for a network that was never trained."""
    defaults = {"beam_size": 3, "length_penalty": 1.0, "max_length": 40}
    return Metadata("en", "xx", b"", b"", 40, defaults, {}, {}, {}, precision=precision)


def number_pairs(count: int) -> list[Pair]:
    """Return numbers and their digits in words, last digit first: a regular language, learnt in seconds."""
    words = "zero one two three four five six seven eight nine".split()
    return [Pair(str(n), " ".join(words[int(d)] for d in reversed(str(n)))) for n in range(count)]


def tiny_toml(corpus: Path, name: str = "tiny") -> str:
    """Return a configuration that trains in seconds."""
    return f"""
name = "{name}"
[data]
corpus = "{corpus}"
[tokenizer]
vocabulary = 300
sampling = 0.05
[model]
width = 24
hidden = 20
encoder_layers = 1
decoder_layers = 1
feed_forward = 32
heads = 2
dropout = 0.1
[training]
epochs = 3
batch_tokens = 400
optimizer = "adamw"
warmup = 5
average = 2
precision = "float32"
[search]
beam_size = 3
length_penalty = 0.8
max_length = 200
"""


def scaled(run: Path, to: Path, by: float) -> Path:
    """Copy a run to a new folder, multiply its weights by a factor, and return the folder: another model."""
    shutil.copytree(run, to)
    weights = load_tensors(to / "model.safetensors")[0]
    save_tensors(to / "model.safetensors", {name: by * weight for name, weight in weights.items()})
    return to


def classes() -> str:
    """Return lines of label, tab, text. One word of each text determines the label."""
    rng = random.Random(1)
    cues = {"positive": "good fine lovely".split(), "negative": "bad sad poor".split(), "neutral": ["plain"]}
    lines = []
    for i in range(400):
        label = rng.choice([*cues])
        words = [*rng.choices("table house street water".split(), k=rng.randint(1, 6)), rng.choice(cues[label])]
        rng.shuffle(words)
        lines.append(f"{label}\t{' '.join(words)} {i}\n")
    return "".join(lines)


def tagged() -> str:
    """Return text in CoNLL format, with named entities."""
    rng = random.Random(1)
    text = []
    for i in range(400):
        rows = []
        for _ in range(rng.randint(1, 4)):
            rows += rng.choice([["Ada B-PER", "Byron I-PER"], ["in O", "London B-LOC"], ["walks O"], [f"{i} O"]])
        text.append("\n".join(rows) + "\n\n")
    return "".join(text)


def temperatures(hours: int = 900) -> str:
    """Return a CSV file of two hourly variables, with missing times and values."""
    rng = random.Random(1)
    rows = ["time,temp,wind"]
    for hour in range(hours):
        daily = math.sin(hour / 24 * 2 * math.pi)
        if hour % 97 != 5:  # some times are missing
            time = datetime(2024, 1, 1) + timedelta(hours=hour)
            temp = "" if hour % 41 == 3 else f"{10 + 5 * daily + rng.gauss(0, 0.5):.2f}"
            rows.append(f"{time:%Y-%m-%d %H:%M},{temp},{3 - daily + rng.gauss(0, 0.2):.2f}")
    return "\n".join(rows) + "\n"


def torchrun(folder: Path, toml: Path, world: int, changes: list[str]) -> subprocess.Popen[str]:
    """Start a training by several processes, as the documentation does."""
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={world}"]
    words += ["-m", "dragoman.translate", "train", str(toml)]
    for change in changes:
        words += ["--set", change]
    return subprocess.Popen(words, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
