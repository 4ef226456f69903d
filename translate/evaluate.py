"""Scores with their signatures: BLEU, chrF and TER by sacreBLEU, on two bases that must never be mixed."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import regex
import sacrebleu
import torch
from sacremoses import MosesPunctNormalizer, MosesTokenizer

from dragoman.runtime.bundle import Bundle
from dragoman.runtime.errors import UserError
from dragoman.runtime.text import UNSPACED
from dragoman.runtime.translator import Floats, Ids, Translation, Translator
from dragoman.translate.allocator import keep_freed_memory
from dragoman.translate.checkpoint import Run
from dragoman.translate.corpus.algorithms import length_of
from dragoman.translate.corpus.languages import primary
from dragoman.translate.search import BeamSearch
from dragoman.translate.workers import device_of

Basis = Literal["cased", "lc.tok"]
HANGUL = regex.compile(r"\p{Hangul}")
NO_SPACES = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}]")
IDEOGRAPHIC = {"zh", "yue", "ja"}  # whose characters sacreBLEU's TER can count as words
TOKENIZERS = {**dict.fromkeys(UNSPACED, "char"), "zh": "zh", "yue": "zh", "ko": "char"}  # for what 13a cannot tokenise


@dataclass(frozen=True)
class Score:
    """A number and everything needed to know what it means."""

    metric: str
    score: float
    signature: str  # sacreBLEU's; of other scores, what they were counted on
    basis: str  # a Basis; of other scores, the task


def lowercase_tokenised(lines: Sequence[str], language: str) -> list[str]:
    """The basis `lc.tok`: lower-cased, punctuation-normalised, Moses-tokenised, as in the published Multi30k scores."""
    code = primary(language)
    punctuation, tokenizer = MosesPunctNormalizer(lang=code), MosesTokenizer(lang=code)
    return [tokenizer.tokenize(punctuation.normalize(line).lower(), return_str=True, escape=True) for line in lines]


def prepared(lines: Sequence[str], language: str, basis: Basis) -> list[str]:
    """Text as a basis wants it."""
    return lowercase_tokenised(lines, language) if basis == "lc.tok" else [*lines]


def check_basis(language: str, basis: Basis) -> None:
    """Raise UserError for `lc.tok` of a language written without spaces, where Moses makes one word of a sentence."""
    if basis == "lc.tok" and primary(language) in UNSPACED:
        raise UserError(f"--basis lc.tok cuts text at spaces, and {language} is written without; use cased")


def metrics_of(language: str, basis: Basis, *, ter: bool = True) -> dict[str, Any]:
    """sacreBLEU's metrics by name, for text that is `prepared`; no TER where it could not tell words.

    Raises UserError as `check_basis` does.
    """
    check_basis(language, basis)
    code = primary(language)
    if basis == "lc.tok":
        bleu = sacrebleu.BLEU(tokenize="none", force=True)
    else:
        bleu = sacrebleu.BLEU(tokenize=TOKENIZERS.get(code, "13a"))
    metrics = {"BLEU": bleu, "chrF": sacrebleu.CHRF()}
    if ter and (code in IDEOGRAPHIC or code not in UNSPACED):
        asian = code in IDEOGRAPHIC and basis == "cased"
        metrics["TER"] = sacrebleu.TER(normalized=asian, asian_support=asian)
    return metrics


def score(
    output: Sequence[str], reference: Sequence[str], language: str, basis: Basis = "cased", *, ter: bool = True
) -> list[Score]:
    """BLEU, chrF and (slower) TER of translations against one reference each.

    `cased` is what sacreBLEU does to detokenised text. `lc.tok` is for comparison with published Multi30k scores.
    """
    output, reference = prepared(output, language, basis), prepared(reference, language, basis)
    results = []
    for name, metric in metrics_of(language, basis, ter=ter).items():
        value = metric.corpus_score(output, [reference]).score
        results.append(Score(name, round(value, 3), str(metric.get_signature()), basis))
    return results


def sentence_chrf(text: str, reference: str) -> float:
    """chrF of one line, 0 to 100: of the metrics, the one that means most for a single sentence, in every script."""
    return float(sacrebleu.sentence_chrf(text, [reference]).score)


def exact_by_length(source: Sequence[str], output: Sequence[str], reference: Sequence[str]) -> list[dict[str, Any]]:
    """For each length of a task: how many lines have it, and how many of 100 of these are exactly as expected."""
    right: dict[int, list[bool]] = {}
    for line, found, expected in zip(source, output, reference, strict=True):
        right.setdefault(length_of(line), []).append(found == expected)
    return [
        {"length": length, "lines": len(own), "exact": round(100 * sum(own) / len(own), 2)}
        for length, own in sorted(right.items())
    ]


def within_and_beyond(exact: Sequence[dict[str, Any]], trained_to: int) -> dict[str, float | None]:
    """Of `exact_by_length`, how many of 100 lines are right up to the trained length, and of the longer ones."""
    shares: dict[str, float | None] = {}
    for where, beyond in (("within", False), ("beyond", True)):
        own = [e for e in exact if (e["length"] > trained_to) == beyond]
        lines = sum(e["lines"] for e in own)
        shares[where] = sum(e["exact"] * e["lines"] for e in own) / lines if lines else None
    return shares


def unspaced(lines: Sequence[str]) -> bool:
    """Whether most letters are of scripts that put no spaces between words."""
    return _mostly(NO_SPACES, lines)


def wants_language(lines: Sequence[str]) -> bool:
    """Whether most letters are of scripts that 13a does not tokenise as TOKENIZERS does."""
    return unspaced(lines) or _mostly(HANGUL, lines)


def _mostly(script: regex.Pattern[str], lines: Sequence[str]) -> bool:
    letters = [c for line in lines for c in line if c.isalpha()]
    return 2 * sum(script.match(c) is not None for c in letters) > len(letters)


def as_dict(scores: Sequence[Score]) -> dict[str, Any]:
    """Scores by metric, for JSON."""
    return {s.metric: asdict(s) for s in scores}


def records(
    scores: Sequence[Score], bundle: Bundle, *, name: str, beam: int, length_penalty: float
) -> list[dict[str, Any]]:
    """Measurements as they are stored: each with what is needed to make it again, of a committee for each member."""
    card = bundle.card
    corpus = card.get("corpus", {})
    members = [trained_by(member) for member in card.get("members", [])]
    trained = trained_by(card)
    if members:
        trained["seed"], trained["commit"] = ("+".join(str(m[key]) for m in members) for key in ("seed", "commit"))
        trained["members"] = members
    made = {key: corpus[key] for key in ("distilled", "back_translated") if key in corpus}
    now, here, words = commit(), machine(), command()
    return [
        {
            "run": bundle.config["name"],
            "corpus": corpus.get("corpus", "unknown"),
            "pair": "-".join(filter(None, (bundle.source_language, bundle.target_language))),
            "set": name,
            "basis": s.basis,
            "metric": s.metric,
            "score": s.score,
            "signature": s.signature,
            "beam": beam,
            "length_penalty": length_penalty,
            "precision": bundle.precision,
            "parameters": card.get("parameters"),
            **trained,
            **made,
            "command": words,
            "evaluated_at": now,
            "machine": here,
        }
        for s in scores
    ]


def trained_by(card: dict[str, Any]) -> dict[str, Any]:
    """What of a card says how the weights came about."""
    training = card.get("training", {})
    return {
        "seed": training.get("seed"),
        "train_minutes": training.get("minutes"),
        "train_command": card.get("command"),
        "commit": card.get("commit", "unknown"),
    }


def command() -> str:
    """The command that this process was started by."""
    return shlex.join(["dragoman", *sys.argv[1:]])


def commit() -> str:
    """The commit of the source tree that this runs from, `+changed` if it is not that, or the installed version."""
    root = Path(__file__).resolve().parents[1]
    try:
        if (root / ".git").exists():
            words = ["git", "-C", str(root), "describe", "--always", "--abbrev=12", "--dirty=+changed", "--exclude=*"]
            return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
        return "dragoman " + version("dragoman")
    except (OSError, subprocess.CalledProcessError, PackageNotFoundError):
        return "unknown"


def machine() -> str:
    """The processor and the software that a number was measured on."""
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            name = next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    vectors = torch.backends.cpu.get_cpu_capability()  # AVX2, AVX512: the same name may stand for either
    return f"{name} ({vectors}), {os.cpu_count()} cores{gpu}, torch {torch.__version__}"


class TorchEngine:
    """A trained network in PyTorch, behind the same door as the exported file."""

    def __init__(self, search: BeamSearch) -> None:
        keep_freed_memory()
        self.search = search

    def run(
        self, source: Ids, source_length: Ids, *, beam_size: int, n_best: int, max_length: int,
        length_penalty: float, attended: int,
    ) -> tuple[Ids, Floats, Floats]:  # fmt: skip
        """See runtime.translator.Engine."""
        device = self.search.model.bias.device
        ids, length = torch.from_numpy(source).to(device), torch.from_numpy(np.asarray(source_length)).to(device)
        out = self.search.search(
            ids, length, beam=beam_size, n_best=n_best, max_length=max_length, length_penalty=length_penalty,
            attended=attended,
        )  # fmt: skip
        return out.target.cpu().numpy(), out.score.cpu().numpy(), out.attention.cpu().numpy()


def card_of(facts: dict[str, Any]) -> dict[str, Any]:
    """What of a run's facts its file tells."""
    told = ("corpus", "training", "scores", "parameters", "commit", "command")
    return {key: facts[key] for key in told if key in facts}


def bundle_of(run: Run) -> Bundle:
    """What an exported file says about a run, but for its self-test. Raises UserError when it does not translate."""
    config = run.config()
    if config.task != "translate":
        raise UserError(f"{run.folder} was made to {config.task}, not to translate")
    facts = run.read_json("run.json")
    source, target = run.tokenizers()
    return Bundle(
        source_language=facts["source_language"],
        target_language=facts["target_language"],
        source_tokenizer=source.model,
        target_tokenizer=target.model,
        max_source=facts["max_source"],
        max_sentences=facts.get("max_sentences", 1),
        defaults={
            "beam_size": config.search.beam_size,
            "length_penalty": config.search.length_penalty,
            "max_length": config.search.max_length,
        },
        config=run.read_json("config.json"),
        card=card_of(facts),
        self_test={},
    )


def translator_of(run: Run) -> Translator:
    """A run as a Translator that computes in PyTorch."""
    bundle = bundle_of(run)
    return Translator(TorchEngine(run.search().to(device_of())), bundle)


def translate_all(
    translator: Translator, lines: Sequence[str], *, beam: int | None = None, batch_size: int = 32,
    length_penalty: float | None = None, progress: Callable[[int], None] | None = None,
) -> list[Translation]:  # fmt: skip
    """Best translations of many lines, in chunks so that progress can be shown."""
    out: list[Translation] = []
    chunk = batch_size * 8
    for start in range(0, len(lines), chunk):
        out += translator.translate(
            lines[start : start + chunk], beam=beam, batch_size=batch_size, length_penalty=length_penalty
        )
        if progress:
            progress(len(out))
    return out
