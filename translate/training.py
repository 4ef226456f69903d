"""Training: set up, fit, validate. The loss and the schedule are pure functions."""

from __future__ import annotations

import json
import math
import os
import shlex
import signal
import sys
import time
import weakref
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dragoman.runtime.bundle import PAD
from dragoman.runtime.errors import Interrupted, UserError
from dragoman.runtime.tokenizer import Tokenizer
from dragoman.runtime.translator import Translator
from dragoman.translate.allocator import keep_freed_memory
from dragoman.translate.batching import Batch, Epoch, make_batch, plan, share, turned_round
from dragoman.translate.checkpoint import (
    Run,
    append_row,
    differing_keys,
    load_tensors,
    load_weights,
    make_folder,
    read_rows,
    save_tensors,
    weights_of,
    write_atomically,
    write_json,
)
from dragoman.translate.config import Config, TrainingConfig
from dragoman.translate.corpus.ragged import Ints
from dragoman.translate.corpus.shards import Shards, build, describe
from dragoman.translate.corpus.store import Corpus, Pair
from dragoman.translate.evaluate import TorchEngine, bundle_of, commit, machine, score, translate_all
from dragoman.translate.model import Seq2Seq
from dragoman.translate.progress import Display
from dragoman.translate.search import BeamSearch
from dragoman.translate.tokenize import default_vocabulary, encode, train_tokenizer
from dragoman.translate.workers import WorkerLost, Workers

# Keys that may differ between a run and its resumption: they say when training stops (and so the rest of the schedule).
RESUMABLE = ("training.epochs", "training.minutes", "training.patience", "training.checkpoint_minutes")


class _SmoothedLoss(torch.autograd.Function):
    """Label-smoothed cross-entropy whose gradient, softmax minus the smoothed target, is formed in one buffer."""

    @staticmethod
    def forward(logits: Tensor, target: Tensor, smoothing: float) -> tuple[Tensor, Tensor, Tensor]:
        log_probability = torch.log_softmax(logits, -1, dtype=torch.float32)
        plain = -log_probability.gather(1, target[:, None]).sum()
        uniform = -log_probability.mean(-1).sum() if smoothing else plain
        return (1 - smoothing) * plain + smoothing * uniform, plain, log_probability

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, float], output: tuple[Tensor, Tensor, Tensor]) -> None:  # noqa: ANN401 (torch's own type)
        ctx.dtype, ctx.smoothing = inputs[0].dtype, inputs[2]
        ctx.save_for_backward(inputs[1], output[2])
        ctx.mark_non_differentiable(output[1], output[2])
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401
        target, log_probability = ctx.saved_tensors
        out = log_probability.exp_()  # the buffer is not needed again
        if ctx.smoothing:
            out -= ctx.smoothing / out.shape[1]
        out.scatter_add_(1, target[:, None], out.new_full((len(target), 1), ctx.smoothing - 1))
        return out.mul_(grad).to(ctx.dtype), None, None


def smoothed_loss(logits: Tensor, target: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
    """Cross-entropy with label smoothing (Szegedy et al. 2016), and without, each summed over targets.

    logits (N, V), target (N). The second has no gradient.
    """
    loss, plain, _ = _SmoothedLoss.apply(logits, target, smoothing)  # type: ignore[no-untyped-call]  # torch's
    return loss, plain


def learning_rate(step: int, progress: float, c: TrainingConfig) -> float:
    """The rate at a step (counted from 0): a linear warm-up, then the decay; progress runs from 0 to 1."""
    warm = min(1.0, (step + 1) / c.warmup) if c.warmup else 1.0
    if c.decay == "linear":
        return c.lr * warm * max(0.0, 1 - progress)
    if c.decay == "cosine":
        return c.lr * warm * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    return c.lr * warm * math.sqrt(max(c.warmup, 1) / max(step + 1, c.warmup, 1))


def limit_ratio(source: Ints, target: Ints) -> int:
    """The longest translation allowed, as a multiple of the source: above nearly all lengths that training shows."""
    ratios = np.sort(target / source)
    return max(2, math.ceil(1.25 * float(ratios[int(0.999 * (len(ratios) - 1))])))


def wants_bfloat16(precision: str, device: torch.device) -> bool:
    """Whether to compute matrix products in bfloat16: when asked, or when the processor has instructions for it."""
    if precision != "auto":
        return precision == "bfloat16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


class Objective(nn.Module):
    """What training makes small, as a module whose `forward` is all of it: what several workers share."""

    def __init__(self, model: Seq2Seq, smoothing: float) -> None:
        super().__init__()
        self.model, self.smoothing = model, smoothing

    def forward(
        self, source: Tensor, source_length: Tensor, target_in: Tensor, target_out: Tensor
    ) -> tuple[Tensor, Tensor]:
        """A batch (see Batch) -> its smoothed and plain loss, summed over target ids."""
        x = self.model(source, source_length, target_in)
        real = target_out != PAD
        return smoothed_loss(self.model.logits(x[real]), target_out[real], self.smoothing)


@dataclass
class Data:
    """Text to train and to validate on, and what turns text into ids."""

    train: Shards
    kept: Ints  # the rows of `train` that are not too long
    valid: list[Pair]
    source_tokenizer: Tokenizer
    target_tokenizer: Tokenizer


@dataclass
class Position:
    """Where training is: everything that is neither weights nor optimiser."""

    step: int = 0
    epoch: int = 0
    batch: int = 0
    seconds: float = 0.0
    tokens: int = 0
    world: int = 1  # processes that train together
    history: list[dict[str, Any]] = field(default_factory=list)  # one entry a validation


class Trainer:
    """One training run, from a configuration to final weights."""

    def __init__(
        self, config: Config, folder: str | Path, *, resume: bool = False, display: Display | None = None
    ) -> None:
        keep_freed_memory()
        self.clock = time.perf_counter()
        self.config, self.run = config, Run(folder)
        self.workers = Workers.join()
        self.display = display if display and self.workers.main else Display(quiet=True)
        self.position = Position(world=self.workers.world)
        self.corpus = Corpus(config.data.corpus)
        if self.workers.main:
            resuming = self._open(resume)
            self.data = self._prepare(resuming)
        self.workers.wait()
        if not self.workers.main:  # what the first has prepared
            resuming = self.run.path("last.safetensors").exists()
            self.data = self._prepare(True)
        d = self.data
        torch.manual_seed(config.training.seed)
        self.model = Seq2Seq(config.model, len(d.source_tokenizer), len(d.target_tokenizer)).to(self.workers.device)
        self.bfloat16 = wants_bfloat16(config.training.precision, self.workers.device)
        self.optimizers = self._optimizers()
        if resuming:
            self._restore()
        self.objective: nn.Module = Objective(self.model, config.training.label_smoothing)
        self.shared = self.workers.share(self.objective)
        if self.workers.rank:  # not the same dropout as the first
            torch.manual_seed(config.training.seed + 1_000_003 * self.workers.rank + self.position.step)
        if self.workers.main:
            self._record()

    def _open(self, resume: bool) -> bool:
        """Make or check the run's folder. Returns whether there is a checkpoint to go on from."""
        run = self.run
        started = run.path("last.safetensors").exists()  # before the first checkpoint there is nothing to lose
        if started and not resume:
            raise UserError(f"{run.folder} holds a run already; go on with --resume, or choose another name")
        if started:
            changed = [k for k in differing_keys(run.config(), self.config) if k not in RESUMABLE]
            if changed:
                raise UserError(
                    f"{run.folder} was started with another {', '.join(changed)}; resume with the same configuration"
                )
        elif resume and not run.folder.exists():
            raise UserError(f"{run.folder} does not exist, so there is nothing to resume")
        make_folder(run.folder)
        weakref.finalize(self, os.close, run.lock())
        run.write_config(self.config)
        return started

    def _prepare(self, prepared: bool) -> Data:
        """Tokenizers and encoded text; prepared: the tokenizers are there already."""
        c = self.config
        valid = self.corpus.read("valid")
        if not valid:
            raise UserError(f"{self.corpus.folder} has no validation pairs, by which training chooses its weights")
        digest = self.corpus.digest()
        if prepared:
            if self.workers.main:
                self._check_corpus(digest)
            tokenizers = self.run.tokenizers()
        else:
            tokenizers = self._train_tokenizers()
        train = self._encoded(tokenizers, digest)
        source, target = (train.usual_lengths(side) for side in (0, 1))
        kept = np.flatnonzero(np.maximum(source, target) <= c.data.max_length)
        if not len(kept):
            raise UserError(f"data.max_length = {c.data.max_length}: every training pair is longer")
        self.limit_ratio = limit_ratio(source[kept], target[kept])
        self.too_long = train.rows - len(kept)
        self.digest = digest
        return Data(train, kept, valid, *tokenizers)

    def _encoded(self, tokenizers: tuple[Tokenizer, Tokenizer], digest: str) -> Shards:
        """The training text as numbers on disk: what an earlier start of this run left, or made now."""
        c, folder = self.config, self.run.path("shards")
        asked = describe(digest, tokenizers, c.tokenizer, c.augment, c.training.seed)
        if folder.exists():
            try:
                found = Shards(folder)
                if all(found.card.get(key) == value for key, value in asked.items()):
                    return found
                problem = f"{folder} holds other text"
            except UserError as error:
                problem = str(error)
            self.display.message(f"{problem}; it is made again")
        seed, progress = c.training.seed, self.display.preparing
        return build(folder, self.corpus, tokenizers, c.tokenizer, seed, digest, c.augment, progress)

    def _check_corpus(self, digest: str) -> None:
        if self.run.read_json("run.json").get("corpus_sha256") != digest:
            raise UserError(
                f"{self.corpus.folder} is not the corpus that {self.run.folder} was started with; "
                "resume with that corpus, or start a run of another name"
            )

    def _train_tokenizers(self) -> tuple[Tokenizer, Tokenizer]:
        c = self.config.tokenizer
        lines = self.corpus.lines
        count = sum(1 for _ in lines("train", 0))
        vocabulary = c.vocabulary or default_vocabulary(count)
        tags = self.corpus.card.get("tags", [])
        if c.joint:
            both = train_tokenizer(lines("train", 0, 1), c, vocabulary, tags, 2 * count)
            tokenizers = both, both
        else:
            tokenizers = (
                train_tokenizer(lines("train", 0), c, vocabulary, tags, count),
                train_tokenizer(lines("train", 1), c, vocabulary, count=count),
            )
        for name, tokenizer in zip(("source", "target"), tokenizers, strict=True):
            write_atomically(self.run.path(f"{name}.model"), tokenizer.model)
        return tokenizers

    def _optimizers(self) -> list[torch.optim.Optimizer]:
        """AdamW for all, or for embeddings and vectors, with Muon (Jordan et al. 2024) for the matrices of products."""
        c = self.config.training
        matrices = []
        if c.optimizer == "muon":
            matrices = [m.weight for m in self.model.modules() if isinstance(m, torch.nn.Linear)]
        taken = {id(p) for p in matrices}
        rest = [p for p in self.model.parameters() if id(p) not in taken]
        groups = [
            {"params": [p for p in rest if p.ndim > 1], "weight_decay": c.weight_decay},
            {"params": [p for p in rest if p.ndim <= 1], "weight_decay": 0.0},
        ]
        optimizers: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(groups, lr=c.lr, betas=(0.9, 0.98), eps=1e-9, fused=True)
        ]
        if matrices:  # steps of the size that AdamW's have (Liu et al. 2025), so that one rate serves both
            optimizers.append(
                torch.optim.Muon(matrices, lr=c.lr, weight_decay=c.weight_decay, adjust_lr_fn="match_rms_adamw")
            )
        return optimizers

    def _record(self) -> None:
        """Write run.json: facts of the data and the machine."""
        write_json(
            self.run.path("run.json"),
            {
                "source_language": self.corpus.languages[0],
                "target_language": self.corpus.languages[1],
                "corpus": self.corpus.card,
                "corpus_sha256": self.digest,
                "command": shlex.join(["dragoman", *sys.argv[1:]]),
                "too_long": self.too_long,
                "max_source": self.config.data.max_length,
                "limit_ratio": self.limit_ratio,
                "parameters": self.parameters,
                "bfloat16": self.bfloat16,
                "machine": machine(),
                "commit": commit(),
            },
        )

    @property
    def parameters(self) -> int:
        """Trained numbers, a shared matrix counted once."""
        return sum(p.numel() for p in self.model.parameters())

    def batches(self, epoch: int) -> Epoch:
        """The batches of an epoch, in order: the same for the same seed, however often and wherever asked."""
        c = self.config
        seed = (c.training.seed * 100_003 + epoch) % 2**31
        tokens = c.training.batch_tokens * self.workers.world
        turned = c.data.right_to_left
        return Epoch(self.data.train, self.data.kept, tokens, seed, augment=c.augment, turned=turned)

    def progress(self, epoch: Epoch) -> float:
        """The share of training that is done, 0 to 1: by epochs, or by the clock where that is further."""
        c, p = self.config.training, self.position
        done = (p.epoch + min(1.0, p.batch / epoch.expected)) / c.epochs
        return max(done, p.seconds / 60 / c.minutes) if c.minutes else done

    def loss(self, batch: Batch, objective: nn.Module) -> tuple[Tensor, Tensor]:
        """Summed smoothed and plain loss of a batch; objective: this worker's own, or the one shared by all."""
        device = self.workers.device
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=self.bfloat16):
            tensors = (batch.source, batch.source_length, batch.target_in, batch.target_out)
            out: tuple[Tensor, Tensor] = objective(*(x.to(device) for x in tensors))
        return out

    def train_step(self, batch: Batch, rate: float) -> tuple[float, float]:
        """One update. Returns the plain loss, summed over this worker's target ids, and the gradient's norm."""
        self.shared.train()
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.zero_grad(set_to_none=True)
        mine = share(batch, self.workers.rank, self.workers.world)
        with self.workers.watched():
            loss, plain = self.loss(mine, self.shared)
            # Gradients are averaged over workers, and are to be the mean over the ids of all of them.
            (loss * (self.workers.world * bool(mine.tokens) / batch.tokens)).backward()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.training.clip_norm)
        if torch.isfinite(norm):  # a batch whose gradient overflowed teaches nothing
            for optimizer in self.optimizers:
                optimizer.step()
        return float(plain), float(norm)

    def fit(self) -> dict[str, Any]:
        """Train to the end, average, score. Returns the contents of run.json.

        Raises Interrupted after Ctrl-C or a polite kill, once the step has ended and a checkpoint is written, and
        UserError when another worker has ended; then there is a checkpoint, too.
        """
        c, p = self.config.training, self.position
        try:
            with _interrupt_flag() as interrupted, self.display:
                self.display.start(c.epochs, self.parameters, self.bfloat16)
                while p.epoch < c.epochs and not self._finished():
                    self._epoch(self.batches(p.epoch), interrupted)
                if self.workers.main and (not p.history or p.history[-1]["step"] != p.step):
                    self.validate()  # resumed beyond a limit that is now lower
        except WorkerLost as lost:
            if not self.workers.main:
                raise
            self.save()
            raise UserError(f"{lost}; a checkpoint of step {p.step} is written: go on with --resume") from None
        else:
            return self._conclude() if self.workers.main else {}
        finally:
            self.workers.leave()

    def _read_clock(self) -> None:
        """Bring the time spent up to date: all of it, from reading the corpus to writing checkpoints."""
        now = time.perf_counter()
        self.position.seconds += now - self.clock
        self.clock = now

    def _late(self) -> bool:
        """Whether this process's clock has reached the limit, where there is one."""
        minutes = self.config.training.minutes
        return minutes is not None and self.position.seconds >= 60 * minutes

    def _finished(self) -> bool:
        c, p = self.config.training, self.position
        scores = [entry["BLEU"] for entry in p.history]
        settled = (
            bool(c.patience) and len(scores) > c.patience and max(scores[-c.patience :]) <= max(scores[: -c.patience])
        )
        return bool(self.workers.most([self.workers.main and (self._late() or settled)])[0])  # others have no history

    def _epoch(self, epoch: Epoch, interrupted: list[bool]) -> None:
        c, p = self.config.training, self.position
        saved = clock = time.perf_counter()
        recent: defaultdict[str, float] = defaultdict(float)
        rate = stop = 0.0
        main = self.workers.main
        for batch in epoch.batches(p.batch):
            # The first worker's clock counts; any worker may have been told to end.
            rate, stop, ending = self.workers.most(
                [main * learning_rate(p.step, self.progress(epoch), c), main * self._late(), interrupted[0]]
            )
            if ending:
                self.save()
                raise Interrupted(f"interrupted after step {p.step}, and a checkpoint is written")
            if stop:
                break
            loss, norm = self.train_step(batch, rate)
            now = time.perf_counter()
            for name, value in (("loss", loss), ("tokens", batch.tokens), ("norm", norm), ("steps", 1)):
                recent[name] += value
            recent["seconds"] += now - clock
            clock = now
            self._read_clock()
            p.step, p.batch, p.tokens = p.step + 1, p.batch + 1, p.tokens + batch.tokens
            if recent["steps"] == 20:
                self._report(recent, rate, self.progress(epoch))
                recent.clear()
            if now - saved > 60 * c.checkpoint_minutes:
                self.save()
                saved = clock = time.perf_counter()
        if recent["steps"]:
            self._report(recent, rate, self.progress(epoch))
        p.epoch, p.batch = p.epoch + 1, 0
        if main and (p.epoch % c.validate_every == 0 or p.epoch == c.epochs or stop):
            self.validate()
        self.save()

    def _report(self, recent: dict[str, float], rate: float, progress: float) -> None:
        p = self.position
        recent["loss"] = self.workers.total([recent["loss"]])[0]
        if not self.workers.main:
            return
        values: dict[str, Any] = {
            "step": p.step,
            "epoch": p.epoch,
            "seconds": round(p.seconds, 1),
            "loss": round(recent["loss"] / recent["tokens"], 4),
            "gradient_norm": round(recent["norm"] / recent["steps"], 3),
            "lr": rate,
            "tokens_per_second": round(recent["tokens"] / max(recent["seconds"], 1e-9)),
        }
        self._log({"kind": "train", **values})
        self.display.step(progress, p.seconds, values)

    def _log(self, value: dict[str, Any]) -> None:
        append_row(self.run.path("metrics.jsonl"), value)

    @torch.no_grad()
    def perplexity(self) -> tuple[float, float]:
        """Loss a target id and perplexity on the validation set, teacher-forced."""
        self.model.eval()
        d = self.data
        source = encode(d.source_tokenizer, [p.source for p in d.valid])
        target = encode(d.target_tokenizer, [p.target for p in d.valid])
        if self.config.data.right_to_left:
            target = [turned_round(row) for row in target]
        rows = plan([len(s) for s in source], [len(t) for t in target], self.config.training.batch_tokens * 2, 0)
        total = tokens = 0.0
        for row in rows:
            batch = make_batch([source[i] for i in row], [target[i] for i in row])
            total += float(self.loss(batch, self.objective)[1])
            tokens += batch.tokens
        return total / tokens, math.exp(min(total / tokens, 50))

    def translator(self) -> Translator:
        """The network as it is now, ready to translate."""
        search = BeamSearch(self.model, self.limit_ratio, right_to_left=self.config.data.right_to_left)
        return Translator(TorchEngine(search.eval()), bundle_of(self.run))

    def _scores(self, beam: int) -> dict[str, float]:
        valid = self.data.valid[: self.config.training.validation_sentences]
        output = translate_all(self.translator(), [p.source for p in valid], beam=beam, batch_size=64)
        scores = score(output, [p.target for p in valid], self.corpus.languages[1], ter=False)
        return {s.metric: round(s.score, 2) for s in scores}

    def validate(self) -> None:
        """Loss, perplexity, BLEU and chrF (greedy) of the validation set; keep the weights if the average does."""
        p, c = self.position, self.config.training
        loss, perplexity = self.perplexity()
        self._read_clock()
        entry = {"step": p.step, "epoch": p.epoch, "seconds": round(p.seconds, 1), "loss": round(loss, 4),
                 "perplexity": round(perplexity, 3), **self._scores(beam=1)}  # fmt: skip
        p.history.append(entry)
        self._log({"kind": "validation", **entry})
        self.display.validation(entry)
        save_tensors(self.run.path(f"step-{p.step}.safetensors"), weights_of(self.model))
        kept = {entry["step"] for entry in self._averaged(p.history, c)}
        for path in self.run.folder.glob("step-*.safetensors"):
            if int(path.stem.split("-")[1]) not in kept:
                path.unlink()

    @staticmethod
    def _averaged(history: Sequence[dict[str, Any]], c: TrainingConfig) -> list[dict[str, Any]]:
        """The validations whose weights go into the average."""
        if c.average_of == "best":
            return sorted(history, key=lambda entry: -entry["BLEU"])[: c.average]
        return list(history[-c.average :])

    def _conclude(self) -> dict[str, Any]:
        """Average the kept weights; keep whichever of average and single best scores higher on the validation set."""
        p, c = self.position, self.config
        candidates: dict[str, dict[str, Tensor]] = {}
        members = [self._weights_at(e["step"]) for e in self._averaged(p.history, c.training)]
        best = max(self._averaged(p.history, c.training), key=lambda e: e["BLEU"])
        candidates[f"epoch {best['epoch']}"] = self._weights_at(best["step"])
        if len(members) > 1:
            candidates[f"average of {len(members)}"] = {
                name: torch.stack([m[name] for m in members]).mean(0) for name in members[0]
            }
        results: dict[str, dict[str, float]] = {}
        for name, weights in candidates.items():
            load_weights(self.model, weights, self.run.folder)
            self.display.message(f"validating {name}")
            results[name] = self._scores(beam=c.search.beam_size)
        chosen = max(results, key=lambda name: results[name]["BLEU"])
        load_weights(self.model, candidates[chosen], self.run.folder)
        save_tensors(self.run.path("model.safetensors"), weights_of(self.model))
        self._read_clock()
        facts = self.run.read_json("run.json")
        facts["training"] = {
            "minutes": round(p.seconds / 60, 2),
            "steps": p.step,
            "epochs": p.epoch,
            "target_tokens_per_second": round(p.tokens / max(p.seconds, 1e-9)),
            "weights": chosen,
            "seed": c.training.seed,
        }
        facts["scores"] = {"validation": {"beam": c.search.beam_size, "basis": "cased", **results[chosen]}}
        facts["candidates"] = results
        write_json(self.run.path("run.json"), facts)
        self.display.finish(facts["training"], facts["scores"]["validation"])
        return facts

    def _weights_at(self, step: int) -> dict[str, Tensor]:
        return load_tensors(self.run.path(f"step-{step}.safetensors"))[0]

    def save(self) -> None:
        """Write last.safetensors: all that an exact resumption needs. (Of several workers' dropout, the first's.)"""
        if not self.workers.main:
            return
        tensors = {f"model.{name}": tensor for name, tensor in weights_of(self.model).items()}
        names = {id(p): name for name, p in self.model.named_parameters()}
        for optimizer in self.optimizers:
            for p, state in optimizer.state.items():
                for key, value in state.items():
                    tensors[f"optimizer.{key}.{names[id(p)]}"] = value
        tensors["random"] = torch.get_rng_state()
        if self.workers.device.type == "cuda":
            tensors["random_cuda"] = torch.cuda.get_rng_state(self.workers.device)
        save_tensors(self.run.path("last.safetensors"), tensors, vars(self.position))

    def _restore(self) -> None:
        path = self.run.path("last.safetensors")
        tensors, facts = load_tensors(path)
        load_weights(self.model, {k[6:]: v for k, v in tensors.items() if k.startswith("model.")}, path)
        parameters = dict(self.model.named_parameters())
        owners = {id(p): o for o in self.optimizers for group in o.param_groups for p in group["params"]}
        for name, tensor in tensors.items():
            if name.startswith("optimizer."):
                _, key, parameter = name.split(".", 2)
                p = parameters[parameter]
                owners[id(p)].state[p][key] = tensor.to(p.device, copy=True)
        torch.set_rng_state(tensors["random"])
        if self.workers.device.type == "cuda" and "random_cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random_cuda"], self.workers.device)
        self.position = Position(**facts)
        if self.position.world != self.workers.world:
            raise UserError(
                f"{path} was written by a training of {self.position.world} processes, not {self.workers.world}; "
                "its batches would be others: resume with as many"
            )
        if self.workers.main:
            self._rewind_log()

    def _rewind_log(self) -> None:
        """Leave out of metrics.jsonl what came after the checkpoint: those steps are about to run again."""
        path = self.run.path("metrics.jsonl")
        if path.exists():
            kept = [row for row in read_rows(path) if row["step"] <= self.position.step]
            write_atomically(path, "".join(json.dumps(row) + "\n" for row in kept).encode())


@contextmanager
def _interrupt_flag() -> Iterator[list[bool]]:
    """Turn Ctrl-C and a polite kill into a flag, so that the step in progress ends; a second Ctrl-C acts at once.

    (torchrun may send several polite kills, one after the other.)
    """
    flag = [False]
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def note(number: int, frame: FrameType | None) -> None:
        flag[0] = True
        if number == signal.SIGINT:
            signal.signal(number, before[signal.SIGINT])

    try:
        for number in before:
            signal.signal(number, note)
    except ValueError:  # not in the main thread: the caller handles signals
        yield flag
        return
    try:
        yield flag
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
