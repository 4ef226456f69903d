"""Measure training speed for `make bench-train`: the flagship, an LSTM of equal size, JoeyNMT, and busy cores.

The flagship also trains beside a process that keeps one core busy, and is compared with itself alone. Exits with 1 when
it keeps less than MIN_BUSY_RATIO of its speed.

All three train on the same pairs, segmented into the same subwords. BPE-dropout is off, so that a sentence has the
same number of tokens for all. They run on all cores, in turns, each turn in its own process. Only the training loop is
timed, after its first steps: no start-up, validation or checkpoint on either side. JoeyNMT trains its recurrent model:
a bidirectional LSTM encoder of 2 layers, an LSTM decoder of width 512 with input feeding, Luong attention, and batches
of 64 sentences.

Dragoman computes matrix products in bfloat16 where the processor supports that well, as it does for a user. JoeyNMT
computes in float32.

Prints one JSON object per line with the keys figure, threads, precision (Dragoman's), ours and peer (target tokens per
second), ratio (ours divided by peer) and spread (lowest and highest ratio of a turn). With --record the rows also go to
a file, in place of this machine's older rows.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from dragoman.runtime.tokenizer import Tokenizer
from dragoman.translate.config import Config, load
from dragoman.translate.corpus.builders.cldr import build_cldr
from dragoman.translate.corpus.folder import Corpus, write_corpus
from dragoman.translate.evaluation.cell_comparison import WARM_UP_STEPS, equal_hidden, training_rate
from dragoman.translate.evaluation.provenance import commit, machine
from dragoman.translate.files import read_rows, write_rows
from dragoman.translate.training.run import Run
from dragoman.translate.training.trainer import Trainer

PHRASES = 20000  # in the default corpus
STEPS = 60  # training steps of JoeyNMT in a turn

# The least speed beside a busy core, as a fraction of that alone. Two cores of which one is shared leave at most 0.75.
MIN_BUSY_RATIO = 0.45

# Pairs of systems that are compared. "busy" is the flagship beside a process that keeps one core busy.
COMPARISONS = (("flagship", "JoeyNMT"), ("lstm", "JoeyNMT"), ("flagship", "lstm"), ("busy", "flagship"))

AGAINST = {
    "JoeyNMT": "JoeyNMT 2.3.0, recurrent",
    "lstm": "lstm of as many parameters",
    "flagship": "the same training alone",
}

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
         tokenizer_cfg: {{model_file: "{folder}/subwords.model", model_type: bpe, pretokenizer: none}}}}
  trg: {{lang: {target}, max_length: 100, level: bpe, voc_file: "{folder}/vocab.txt", tokenizer_type: sentencepiece,
         tokenizer_cfg: {{model_file: "{folder}/subwords.model", model_type: bpe, pretokenizer: none}}}}
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
  scheduling: warmupinversesquareroot  # the default fails with this version of PyTorch
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


def worker_rate(config: Config, folder: Path, seconds: float) -> tuple[float, int]:
    """Return target tokens per second of Dragoman's training loop, and the number of parameters."""
    trainer = Trainer(config, folder)
    return training_rate(trainer, seconds), trainer.parameters


def dragoman_rate(options: argparse.Namespace, corpus: Path, changes: list[str]) -> tuple[float, int]:
    """Run one turn of Dragoman in its own process and return what worker_rate returns."""
    words = [sys.executable, __file__, "--worker", "--config", options.config, "--seconds", str(options.seconds)]
    for change in (f"data.corpus={json.dumps(str(corpus))}", "tokenizer.sampling=0", *changes):
        words += ["--set", change]
    rate, parameters = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    return rate, parameters


@contextmanager
def busy_core() -> Iterator[subprocess.Popen[bytes]]:
    """Keep one core busy with another process inside the block."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        try:
            yield process
        finally:
            process.kill()


def joeynmt_rate(python: Path, folder: Path) -> float:
    """Run one turn of JoeyNMT and return its target tokens per second."""
    words = [str(python), "-m", "joeynmt", "train", str(folder / "bench.yaml"), "--skip-test"]
    result = subprocess.run(words, capture_output=True, text=True, check=False)
    return rate_in_log(result.stdout + result.stderr)


def rate_in_log(log: str) -> float:
    """Return target tokens per second from JoeyNMT's log, without the warm-up steps.

    The log has a line for every ten steps. The harmonic mean of their rates is the overall rate, if all steps have
    about the same number of tokens. Raises SystemExit if the log has fewer lines than expected.
    """
    rates = [float(r) for r in re.findall(r"Tokens per Sec:\s*([\d.]+)", log)]
    if len(rates) < STEPS // 10:
        raise SystemExit(f"JoeyNMT did not train: {(log.strip().splitlines() or ['it printed nothing'])[-1]}")
    return statistics.harmonic_mean(rates[WARM_UP_STEPS // 10 :])


def prepare_joeynmt(folder: Path, corpus: Corpus, tokenizer: Tokenizer) -> None:
    """Write the data, subwords and configuration of JoeyNMT."""
    (folder / "subwords.model").write_bytes(tokenizer.model)
    subwords = tokenizer.subwords(range(4, len(tokenizer)))  # JoeyNMT adds the four special ones
    (folder / "vocab.txt").write_text("\n".join(subwords) + "\n", "utf-8")
    for part in ("train", "valid"):
        for language in corpus.languages:
            name = f"{part}.{language}"
            (folder / name).write_bytes((corpus.folder / name).read_bytes())
    source, target = corpus.languages
    text = JOEYNMT.format(folder=folder, source=source, target=target, steps=STEPS)
    (folder / "bench.yaml").write_text(text, "utf-8")


def measure(options: argparse.Namespace, folder: Path) -> Iterator[dict[str, Any]]:
    """Yield all figures."""
    if options.corpus:
        corpus = Corpus(options.corpus)
    else:
        write_corpus(folder / "cldr", ("en", "de"), *build_cldr(("en", "de"), PHRASES, 500, 500, 1))
        corpus = Corpus(folder / "cldr")
    config = load(options.config, [f"data.corpus={json.dumps(str(corpus.folder))}"])
    trainer = Trainer(config, folder / "tokenizer")  # trains the tokenizer
    source, target = Run(folder / "tokenizer").tokenizers()
    if options.peer:
        prepare_joeynmt(folder, corpus, source)
    lstm = ["model.cell=lstm"]
    hidden = equal_hidden(load(options.config, lstm), (len(source), len(target)), trainer.parameters) // 8 * 8
    lstm.append(f"model.hidden={hidden}")  # multiples of eight are fast
    rates: dict[str, list[float]] = defaultdict(list)
    sizes = {}
    for _ in range(options.repeat):
        for name, changes in (("flagship", []), ("busy", []), ("lstm", lstm)):
            with busy_core() if name == "busy" else nullcontext():
                rate, sizes[name] = dragoman_rate(options, corpus.folder, changes)
            rates[name].append(rate)
        if options.peer:
            rates["JoeyNMT"].append(joeynmt_rate(Path(options.peer), folder))
    for name, peer in COMPARISONS:
        if peer not in rates:
            continue
        ratios = [a / b for a, b in zip(rates[name], rates[peer], strict=True)]
        described = {"busy": "flagship beside a process that keeps one core busy"}.get(name, name)
        yield {
            "figure": f"training, {described}, {sizes[name] / 1e6:.1f}M parameters",
            "threads": os.cpu_count(),
            "precision": "bfloat16 products" if trainer.bfloat16 else "float32",
            "ours": round(statistics.median(rates[name])),
            "peer": round(statistics.median(rates[peer])),
            "ratio": round(statistics.median(ratios), 2),
            "spread": [round(min(ratios), 2), round(max(ratios), 2)],
            "against": AGAINST[peer],
            "corpus": corpus.card.get("corpus", "unknown"),
        }


def record(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows to a file in place of older rows of the same machine. Rows of other machines stay."""
    machines = {row["machine"] for row in rows}
    others = [row for row in read_rows(path) if row["machine"] not in machines] if path.exists() else []
    write_rows(path, [*others, *rows])


def main() -> int:
    """Measure, print the rows, and record them if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="configs/multi30k-en-de.toml", help="configuration to train")
    parser.add_argument("--corpus", help="corpus folder (default: phrases from CLDR data)")
    parser.add_argument(
        "--peer", default=".venv-joeynmt/bin/python", help="Python with joeynmt installed; empty leaves JoeyNMT out"
    )
    parser.add_argument("--repeat", type=int, default=3, help="turns per system (default: 3)")
    parser.add_argument("--seconds", type=float, default=20, help="length of a turn of Dragoman (default: 20)")
    parser.add_argument(
        "--record", metavar="FILE", help="also write the rows to this file, in place of this machine's older rows"
    )
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--set", action="append", default=[], help=argparse.SUPPRESS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.worker:
            print(json.dumps(worker_rate(load(options.config, options.set), folder / "run", options.seconds)))
            return 0
        origin = {"commit": commit(), "machine": machine(), "command": shlex.join(["python", *sys.argv])}
        rows = []
        for row in measure(options, folder):
            rows.append({**row, **origin})
            print(json.dumps(rows[-1]), flush=True)
    if options.record:
        record(Path(options.record), rows)
    (ratio,) = (row["ratio"] for row in rows if "busy" in row["figure"])
    if ratio < MIN_BUSY_RATIO:
        print(f"beside a busy core, training keeps {ratio} of its speed, less than {MIN_BUSY_RATIO}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
