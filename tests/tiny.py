"""What the tests share: a tiny network whose sizes all differ, a regular tiny language, a tiny configuration."""

from __future__ import annotations

import importlib.util
import math
import random
import shutil
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import torch

from dragoman.runtime.metadata import Metadata
from dragoman.translate.config import ModelConfig
from dragoman.translate.corpus.folder import Pair
from dragoman.translate.network.search import BeamSearch
from dragoman.translate.network.seq2seq import Seq2Seq
from dragoman.translate.training.checkpoint import load_tensors, save_tensors

CELLS = ("elman", "lstm", "gru", "sru")
VOCABULARY = 37
ROOT = Path(__file__).resolve().parents[1]
MULTI30K = ROOT.parent / "shared" / "data" / "multi30k"

needs_multi30k = pytest.mark.skipif(not MULTI30K.exists(), reason="the Multi30k captions are not on this machine")


def script(path: str) -> Any:  # noqa: ANN401 (a script, not a package's module)
    """One of the project's scripts, as a module."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tiny_config(cell: str = "sru", attention: str = "dot", decoder_layers: int = 2, heads: int = 3) -> ModelConfig:
    """Every size is different, so that a transposed axis fails."""
    return ModelConfig(
        cell=cell,  # type: ignore[arg-type]  # one of CELLS
        width=12,
        hidden=10,
        encoder_layers=3,
        decoder_layers=decoder_layers,
        feed_forward=14,
        heads=heads,
        attention=attention,  # type: ignore[arg-type]
    )


def tiny_search(
    cell: str = "sru", attention: str = "dot", vocabulary: int = VOCABULARY, scale: float = 2.5, heads: int = 3
) -> BeamSearch:
    """A seeded random network; scaled weights give its choices a margin, else a near-tie decides a test."""
    torch.manual_seed(0)
    model = Seq2Seq(tiny_config(cell, attention, heads=heads), vocabulary, vocabulary)
    for p in model.parameters():
        p.data.mul_(scale)
    return BeamSearch(model.requires_grad_(False), 2).eval()


def tiny_metadata(precision: str = "float32") -> Metadata:
    """What comparisons need to know of a network that was never trained."""
    defaults = {"beam_size": 3, "length_penalty": 1.0, "max_length": 40}
    return Metadata("en", "xx", b"", b"", 40, defaults, {}, {}, {}, precision=precision)


def number_pairs(count: int) -> list[Pair]:
    """Numbers and the same numbers digit by digit, backwards, in words: regular, and learnt in seconds."""
    words = "zero one two three four five six seven eight nine".split()
    return [Pair(str(n), " ".join(words[int(d)] for d in reversed(str(n)))) for n in range(count)]


def tiny_toml(corpus: Path, name: str = "tiny") -> str:
    """A configuration that trains in seconds."""
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
    """A copy of a run, at a place, whose weights are so many times as large: all alike, and another model."""
    shutil.copytree(run, to)
    weights = load_tensors(to / "model.safetensors")[0]
    save_tensors(to / "model.safetensors", {name: by * weight for name, weight in weights.items()})
    return to


def classes() -> str:
    """Lines of label, tab, text: a word in each says which."""
    rng = random.Random(1)
    kinds = {"positive": "good fine lovely".split(), "negative": "bad sad poor".split(), "neutral": ["plain"]}
    lines = []
    for i in range(400):
        kind = rng.choice([*kinds])
        words = [*rng.choices("table house street water".split(), k=rng.randint(1, 6)), rng.choice(kinds[kind])]
        rng.shuffle(words)
        lines.append(f"{kind}\t{' '.join(words)} {i}\n")
    return "".join(lines)


def tagged() -> str:
    """CoNLL columns with names in them."""
    rng = random.Random(1)
    text = []
    for i in range(400):
        rows = []
        for _ in range(rng.randint(1, 4)):
            rows += rng.choice([["Ada B-PER", "Byron I-PER"], ["in O", "London B-LOC"], ["walks O"], [f"{i} O"]])
        text.append("\n".join(rows) + "\n\n")
    return "".join(text)


def temperatures(hours: int = 900) -> str:
    """CSV of two variables by the hour, with gaps."""
    rng = random.Random(1)
    rows = ["time,temp,wind"]
    for hour in range(hours):
        warm = math.sin(hour / 24 * 2 * math.pi)
        if hour % 97 != 5:  # a time that is missing
            time = datetime(2024, 1, 1) + timedelta(hours=hour)
            temp = "" if hour % 41 == 3 else f"{10 + 5 * warm + rng.gauss(0, 0.5):.2f}"
            rows.append(f"{time:%Y-%m-%d %H:%M},{temp},{3 - warm + rng.gauss(0, 0.2):.2f}")
    return "\n".join(rows) + "\n"


def torchrun(folder: Path, toml: Path, world: int, changes: list[str]) -> subprocess.Popen[str]:
    """A training by several processes, as the README starts it."""
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={world}"]
    words += ["-m", "dragoman.translate", "train", str(toml)]
    for change in changes:
        words += ["--set", change]
    return subprocess.Popen(words, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
