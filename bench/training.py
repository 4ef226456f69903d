"""`make bench-train`: target tokens a second while training, the flagship, an LSTM of as many parameters, and JoeyNMT.

All three train on the same pairs, cut into the same pieces (BPE-dropout is off, so that a sentence has as many tokens
for each), on all cores, in turns; a turn is a process of its own. What is timed is the training loop alone, after its
first steps: no start, no validation, no checkpoint, for either side. JoeyNMT's model is its recurrent one: a
bidirectional LSTM of 2 layers, an LSTM decoder of 512 with input feeding, Luong's attention, batches of 64 sentences.

Ours compute products in bfloat16 where the processor gains by it, as they do for a user; JoeyNMT computes in float32.

Prints a JSON object a line with the keys figure, threads, precision (of ours), ours, peer (tokens a second), ratio and
spread (the lowest and the highest turn's); above 1 is faster. With --record also writes them for docs/speed.md.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dragoman.runtime.tokenizer import Tokenizer
from dragoman.translate.config import Config, load
from dragoman.translate.corpus.builders.cldr import from_cldr
from dragoman.translate.corpus.folder import Corpus, write_corpus
from dragoman.translate.evaluation.cell_comparison import WARM, equal_hidden, training_rate
from dragoman.translate.evaluation.provenance import commit, machine
from dragoman.translate.files import write_atomically
from dragoman.translate.training.run import Run
from dragoman.translate.training.trainer import Trainer

PHRASES = 20000  # of the corpus that is made where none is given
STEPS = 60  # of JoeyNMT, a turn

JOEYNMT = """
name: bench
joeynmt_version: "2.3.0"
model_dir: "{folder}/model"
use_cuda: False
fp16: False
random_seed: 1
data:
  train: "{folder}/train"
  dev: "{folder}/valid"
  test: "{folder}/valid"
  dataset_type: plain
  src: {{lang: {source}, max_length: 100, level: bpe, voc_file: "{folder}/vocab.txt", tokenizer_type: sentencepiece,
         tokenizer_cfg: {{model_file: "{folder}/pieces.model", model_type: bpe, pretokenizer: none}}}}
  trg: {{lang: {target}, max_length: 100, level: bpe, voc_file: "{folder}/vocab.txt", tokenizer_type: sentencepiece,
         tokenizer_cfg: {{model_file: "{folder}/pieces.model", model_type: bpe, pretokenizer: none}}}}
  special_symbols: {{unk_token: "<unk>", unk_id: 0, pad_token: "<pad>", pad_id: 1, bos_token: "<s>", bos_id: 2,
                     eos_token: "</s>", eos_id: 3}}
testing: {{beam_size: 5, batch_size: 1024, batch_type: token, eval_metrics: [bleu]}}
training:
  optimizer: adamw
  learning_rate: 0.001
  clip_grad_norm: 1.0
  loss: crossentropy
  label_smoothing: 0.1
  batch_size: 64
  batch_type: sentence
  normalization: tokens
  scheduling: warmupinversesquareroot  # its default fails with this torch
  learning_rate_warmup: 400
  epochs: 9
  updates: {steps}
  validation_freq: 100000
  logging_freq: 10
  overwrite: True
  shuffle: True
model:
  initializer: xavier_uniform
  embed_initializer: normal
  bias_initializer: zeros
  lstm_forget_gate: 1.0
  tied_embeddings: True
  encoder: {{type: recurrent, rnn_type: lstm, hidden_size: 256, bidirectional: True, dropout: 0.2, num_layers: 2,
            embeddings: {{embedding_dim: 256, scale: False, dropout: 0.2}}}}
  decoder: {{type: recurrent, rnn_type: lstm, hidden_size: 512, dropout: 0.2, hidden_dropout: 0.2, num_layers: 1,
            input_feeding: True, init_hidden: bridge, attention: luong,
            embeddings: {{embedding_dim: 256, scale: False, dropout: 0.2}}}}
"""


def work(config: Config, folder: Path, seconds: float) -> tuple[float, int]:
    """Target tokens a second of our training loop, and the network's parameters."""
    trainer = Trainer(config, folder)
    return training_rate(trainer, seconds), trainer.parameters


def ours(options: argparse.Namespace, corpus: Path, changes: list[str]) -> tuple[float, int]:
    """One turn, in a process of its own."""
    words = [sys.executable, __file__, "--worker", "--config", options.config, "--seconds", str(options.seconds)]
    for change in (f"data.corpus={json.dumps(str(corpus))}", "tokenizer.sampling=0", *changes):
        words += ["--set", change]
    rate, parameters = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    return rate, parameters


def joeynmt(python: Path, folder: Path) -> float:
    """One turn of JoeyNMT, from what it logs of itself."""
    words = [str(python), "-m", "joeynmt", "train", str(folder / "bench.yaml"), "--skip-test"]
    out = subprocess.run(words, capture_output=True, text=True, check=False)
    return joeynmt_rate(out.stdout + out.stderr)


def joeynmt_rate(log: str) -> float:
    """Target tokens a second from its log, a line every ten steps; the first steps do not count.

    Each line's rate is of as many steps, so that their harmonic mean is the whole's but for the steps' sizes. Raises
    SystemExit when there are fewer lines than steps call for.
    """
    rates = [float(r) for r in re.findall(r"Tokens per Sec:\s*([\d.]+)", log)]
    if len(rates) < STEPS // 10:
        raise SystemExit(f"JoeyNMT did not train: {(log.strip().splitlines() or ['it said nothing'])[-1]}")
    return statistics.harmonic_mean(rates[WARM // 10 :])


def prepare_joeynmt(folder: Path, corpus: Corpus, pieces: Tokenizer) -> None:
    """Its data, pieces and configuration."""
    (folder / "pieces.model").write_bytes(pieces.model)
    names = pieces.pieces(range(4, len(pieces)))  # without the four special ones
    (folder / "vocab.txt").write_text("\n".join(names) + "\n", "utf-8")
    for part in ("train", "valid"):
        for language in corpus.languages:
            name = f"{part}.{language}"
            (folder / name).write_bytes((corpus.folder / name).read_bytes())
    source, target = corpus.languages
    text = JOEYNMT.format(folder=folder, source=source, target=target, steps=STEPS)
    (folder / "bench.yaml").write_text(text, "utf-8")


def measure(options: argparse.Namespace, folder: Path) -> Iterator[dict[str, Any]]:
    """All figures."""
    if options.corpus:
        corpus = Corpus(options.corpus)
    else:
        write_corpus(folder / "cldr", ("en", "de"), *from_cldr(("en", "de"), PHRASES, 500, 500, 1))
        corpus = Corpus(folder / "cldr")
    config = load(options.config, [f"data.corpus={json.dumps(str(corpus.folder))}"])
    trainer = Trainer(config, folder / "tokenizer")  # makes it
    source, target = Run(folder / "tokenizer").tokenizers()
    prepare_joeynmt(folder, corpus, source)
    lstm = ["model.cell=lstm"]
    hidden = equal_hidden(load(options.config, lstm), (len(source), len(target)), trainer.parameters) // 8 * 8
    lstm.append(f"model.hidden={hidden}")  # a multiple of eight, which products like
    turns: dict[str, list[float]] = {"flagship": [], "lstm": [], "JoeyNMT": []}
    sizes = {}
    for _ in range(options.repeat):
        for name, changes in (("flagship", []), ("lstm", lstm)):
            rate, sizes[name] = ours(options, corpus.folder, changes)
            turns[name].append(rate)
        turns["JoeyNMT"].append(joeynmt(Path(options.peer), folder))
    for name, peer in (("flagship", "JoeyNMT"), ("lstm", "JoeyNMT"), ("flagship", "lstm")):
        ratios = [a / b for a, b in zip(turns[name], turns[peer], strict=True)]
        yield {
            "figure": f"training, {name}, {sizes[name] / 1e6:.1f}M parameters",
            "threads": os.cpu_count(),
            "precision": "bfloat16 products" if trainer.bfloat16 else "float32",  # of ours
            "ours": round(statistics.median(turns[name])),
            "peer": round(statistics.median(turns[peer])),
            "ratio": round(statistics.median(ratios), 2),
            "spread": [round(min(ratios), 2), round(max(ratios), 2)],
            "against": "JoeyNMT 2.3.0, recurrent" if peer == "JoeyNMT" else f"{peer} of as many parameters",
            "corpus": corpus.card.get("corpus", "unknown"),
        }


def main() -> int:
    """Run all, print, and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="configs/multi30k-en-de.toml", help="what to train")
    parser.add_argument("--corpus", help="a corpus folder (default: phrases made from CLDR data)")
    parser.add_argument("--peer", default=".venv-joeynmt/bin/python", help="a Python that has joeynmt")
    parser.add_argument("--repeat", type=int, default=3, help="turns of each")
    parser.add_argument("--seconds", type=float, default=20, help="of a turn of ours")
    parser.add_argument("--record", help="also write the figures as JSON lines to this file")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--set", action="append", default=[], help=argparse.SUPPRESS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.worker:
            print(json.dumps(work(load(options.config, options.set), folder / "run", options.seconds)))
            return 0
        about = {"commit": commit(), "machine": machine(), "command": " ".join(["python", *sys.argv])}
        rows = []
        for row in measure(options, folder):
            rows.append({**row, **about})
            print(json.dumps(rows[-1]), flush=True)
    if options.record:
        write_atomically(Path(options.record), "".join(json.dumps(row) + "\n" for row in rows).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
