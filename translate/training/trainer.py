"""The training loop: fit, validate, checkpoint, average."""

from __future__ import annotations

import json
import time
import weakref
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dragoman.runtime.errors import Interrupted, UserError
from dragoman.translate.config import Config, differing_keys
from dragoman.translate.encoding.batching import AnyBatch, share
from dragoman.translate.evaluation.provenance import command, commit, machine
from dragoman.translate.files import append_row, make_folder, read_rows, write_atomically, write_json
from dragoman.translate.tasks.forecasting import ForecastingTask
from dragoman.translate.tasks.labelling import LabellingTask
from dragoman.translate.tasks.task import EpochBatches, Task
from dragoman.translate.tasks.translation import TranslationTask
from dragoman.translate.training.allocator import Heap, keep_freed_memory
from dragoman.translate.training.checkpoint import load_tensors, load_weights, save_tensors, weights_of
from dragoman.translate.training.display import Display
from dragoman.translate.training.distributed import WorkerLost, Workers
from dragoman.translate.training.interrupt import interrupt_flag
from dragoman.translate.training.optimizers import make_optimizers, wants_bfloat16
from dragoman.translate.training.run import Run
from dragoman.translate.training.schedule import learning_rate

# Keys that may differ between a run and its resumption: they say when training stops (and so the rest of the schedule).
RESUMABLE = ("training.epochs", "training.minutes", "training.patience", "training.checkpoint_minutes")


@dataclass
class Position:
    """Where training is: everything that is neither weights nor optimiser."""

    step: int = 0
    epoch: int = 0
    batch: int = 0
    seconds: float = 0.0
    prepared: float = 0.0  # of these, before the first step: reading, and encoding
    tokens: int = 0
    skipped: float = 0.0  # of the epochs: what the clock did not let begin
    world: int = 1  # processes that train together
    history: list[dict[str, Any]] = field(default_factory=list)  # one entry a validation


TASKS: dict[str, type[Task]] = {
    "translate": TranslationTask,
    "classify": LabellingTask,
    "tag": LabellingTask,
    "forecast": ForecastingTask,
}


class Trainer:
    """One training run, from a configuration to final weights."""

    def __init__(
        self, config: Config, folder: str | Path, *, resume: bool = False, display: Display | None = None
    ) -> None:
        keep_freed_memory()
        self.heap = Heap()
        self.clock = time.perf_counter()
        self.config, self.run = config, Run(folder)
        self.workers = Workers.join()
        self.display = display if display and self.workers.main else Display(quiet=True)
        self.position = Position(world=self.workers.world)
        self.close: Callable[[], object] = lambda: None  # lets another process train in the folder
        self.task: Task = TASKS[config.task](config, self.run, self.workers, self.display)
        if self.workers.main:
            resuming = self._open(resume)
            self.task.prepare(resuming)
        self.workers.barrier()
        if not self.workers.main:  # what the first has prepared
            resuming = self.run.path("last.safetensors").exists()
            self.task.prepare(True)
        torch.manual_seed(config.training.seed)
        self.model = self.task.network().to(self.workers.device)
        self.bfloat16 = self._wants_bfloat16(resuming)
        self.optimizers = make_optimizers(self.model, config.training, self.bfloat16)
        if resuming:
            self._restore()
        self.objective = self.task.objective(self.model)
        self.shared = self.workers.wrap_ddp(self.objective)
        if self.workers.rank:  # not the same dropout as the first
            torch.manual_seed(config.training.seed + 1_000_003 * self.workers.rank + self.position.step)
        self.ended = resuming and self._has_ended()
        if self.workers.main and not self.ended:
            self._record()

    def _open(self, resume: bool) -> bool:
        """Make or check the run's folder. Returns whether there is a checkpoint to go on from."""
        run = self.run
        started = run.path("last.safetensors").exists()  # before the first checkpoint there is nothing to lose
        if started and not resume:
            raise UserError(f"{run.folder} holds a run already; go on with --resume, or choose another name")
        if started:
            if changed := [k for k in differing_keys(run.config(), self.config) if k not in RESUMABLE]:
                raise UserError(
                    f"{run.folder} was started with another {', '.join(changed)}; resume with the same configuration"
                )
        elif resume and not run.folder.exists():
            raise UserError(f"{run.folder} does not exist, so there is nothing to resume")
        make_folder(run.folder)
        self.close = weakref.finalize(self, run.lock().release)
        if not started:
            for left in (run.path("metrics.jsonl"), *run.folder.glob("step-*.safetensors")):  # by a start cut short
                left.unlink(missing_ok=True)
            run.write_config(self.config)
        return started

    def _has_ended(self) -> bool:
        """Whether a resumed run has nothing left to do: it was concluded, where the configuration still ends it."""
        p, over = self.position, self.position.epoch >= self.config.training.epochs or self._finished()
        concluded = False
        if self.workers.main and self.run.path("model.safetensors").exists():
            concluded = self.run.read_json("run.json").get("training", {}).get("steps") == p.step
        return bool(self.workers.all_reduce_max([over and concluded])[0])

    def _wants_bfloat16(self, resuming: bool) -> bool:
        """Whether to compute products in bfloat16: as before on the same machine, and as the first worker does."""
        wanted, precision = False, self.config.training.precision
        if self.workers.main:
            before = self.run.read_json("run.json") if resuming and precision == "auto" else {}
            known = before.get("machine") == machine()
            wanted = before["bfloat16"] if known else wants_bfloat16(precision, self.workers.device)
        return bool(self.workers.all_reduce_max([float(wanted)])[0])

    def _record(self) -> None:
        """Write run.json: facts of the data and the machine. What was changed since is told."""
        if differing := differing_keys(self.run.config(), self.config):
            self.display.message(f"{self.run.folder} goes on with another {', '.join(differing)} than before")
            self.run.write_config(self.config)
        self.origin = {"command": command(), "commit": commit()}  # of the weights to come: files may change meanwhile
        facts = {
            "parameters": self.parameters,
            "bfloat16": self.bfloat16,
            "machine": machine(),
            **self.origin,
        }
        before = self.run.read_json("run.json") if self.position.step else {}
        if "training" in before:  # it was concluded: until it is again, its weights are those of then
            facts |= {key: before[key] for key in (*self.origin, "training", "scores", "candidates") if key in before}
        write_json(self.run.path("run.json"), {**self.task.facts(), **facts})

    @property
    def parameters(self) -> int:
        """Trained numbers, a shared matrix counted once."""
        return sum(p.numel() for p in self.model.parameters())

    def batches(self, epoch: int) -> EpochBatches:
        """The batches of an epoch."""
        return self.task.epoch(epoch)

    def progress(self, epoch: EpochBatches) -> float:
        """The share of training that is done, 0 to 1: by epochs, or by the clock where that is further."""
        c, p = self.config.training, self.position
        done = (p.epoch + min(1.0, p.batch / epoch.expected)) / c.epochs
        if not c.minutes:
            return done
        return max(done, (p.seconds - p.prepared) / max(60 * c.minutes - p.prepared, 1e-9))

    def loss(self, batch: AnyBatch, objective: nn.Module) -> tuple[Tensor, Tensor]:
        """The summed losses of a batch; objective: this worker's own, or the one shared by all."""
        device = self.workers.device
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=self.bfloat16):
            out: tuple[Tensor, Tensor] = objective(*(x.to(device) for x in batch.tensors()))
        return out

    def train_step(self, batch: AnyBatch, rate: float) -> tuple[float, float]:
        """One update. Returns the plain loss, summed over this worker's target ids, and the gradient's norm."""
        self.shared.train()
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.zero_grad(set_to_none=True)
        mine, counts = share(batch, self.workers.rank, self.workers.world)
        with self.workers.watched():
            loss, plain = self.loss(mine, self.shared)
            # Gradients are averaged over workers, and are to be the mean over the ids of all of them.
            (loss * (self.workers.world * counts / batch.tokens)).backward()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.training.clip_norm)
        if torch.isfinite(norm):  # a batch whose gradient overflowed teaches nothing
            for optimizer in self.optimizers:
                optimizer.step()
        self.heap.tidy()
        return float(plain), float(norm)

    def fit(self) -> dict[str, Any]:
        """Train to the end, average, score. Returns the contents of run.json.

        Raises Interrupted after Ctrl-C or a polite kill, once the step has ended and a checkpoint is written, and
        UserError when another worker has ended; then there is a checkpoint, too.
        """
        c, p = self.config.training, self.position
        try:
            if self.ended:
                return self._said_again() if self.workers.main else {}
            with interrupt_flag(lasting=self.workers.world > 1) as interrupted:
                try:
                    with self.display:
                        self._read_clock()
                        if not p.step:
                            p.prepared = p.seconds
                        self.display.start(c.epochs, self.parameters, self.bfloat16, self.task.counted)
                        while p.epoch < c.epochs and not (p.step and self._finished()):
                            self._epoch(self.batches(p.epoch), interrupted)
                        if self.workers.main and (not p.history or p.history[-1]["step"] != p.step):
                            self.validate()  # resumed beyond a limit that is now lower
                except WorkerLost as lost:
                    raise self._left_by(lost) from None
            return self._conclude() if self.workers.main else {}
        finally:
            self.shared = self.objective
            self.workers.shutdown()
            self.close()

    def _said_again(self) -> dict[str, Any]:
        """What run.json says of a training that ended before."""
        path = self.run.path("model.safetensors")
        load_weights(self.model, load_tensors(path)[0], path)
        c, p = self.config.training, self.position
        limits = {"epochs": p.epoch >= c.epochs, "minutes": self._late(), "patience": self._settled()}
        reached = [f"training.{name} = {getattr(c, name)}" for name, over in limits.items() if over]
        more = "a larger one goes" if len(reached) == 1 else "larger ones go"
        self.display.message(f"{self.run.folder} is trained already, to its {' and '.join(reached)}; {more} on")
        return self.run.read_json("run.json")

    def _left_by(self, lost: WorkerLost) -> UserError:
        """What to say when another worker has gone; the first writes a checkpoint."""
        if self.workers.main:
            self.save()
            return UserError(f"{lost}; a checkpoint of step {self.position.step} is written: go on with --resume")
        saved = self.run.path("last.safetensors").exists()
        return UserError(f"{lost}; " + ("go on with --resume" if saved else "there was no checkpoint yet"))

    def _read_clock(self) -> None:
        """Bring the time spent up to date: all of it, from reading the corpus to writing checkpoints."""
        now = time.perf_counter()
        self.position.seconds += now - self.clock
        self.clock = now

    def _late(self) -> bool:
        """Whether this process's clock has reached the limit, where there is one."""
        minutes = self.config.training.minutes
        return minutes is not None and self.position.seconds >= 60 * minutes

    def _settled(self) -> bool:
        """Whether so many validations as the patience, where there is one, gave no better score."""
        patience = self.config.training.patience
        scores = [entry[self.task.metric] for entry in self.position.history]
        return 0 < patience < len(scores) and max(scores[-patience:]) <= max(scores[:-patience])

    def _finished(self) -> bool:  # others have no history
        return bool(self.workers.all_reduce_max([self.workers.main and (self._late() or self._settled())])[0])

    def _epoch(self, epoch: EpochBatches, interrupted: list[bool]) -> None:
        c, p = self.config.training, self.position
        saved = clock = time.perf_counter()
        recent: defaultdict[str, float] = defaultdict(float)
        rate = stop = 0.0
        main = self.workers.main
        for batch in epoch.batches(p.batch):
            # The first worker's clock counts; any worker may have been told to end.
            rate, stop, ending = self.workers.all_reduce_max(
                [main * learning_rate(p.step, self.progress(epoch), c), main * self._late(), interrupted[0]]
            )
            if ending:
                self.save()
                raise Interrupted(f"interrupted after step {p.step}, and a checkpoint is written")
            if stop:
                if not p.step:
                    raise UserError(
                        f"training.minutes = {c.minutes:g} were over before the first step: reading the corpus and "
                        f"setting up took {p.seconds / 60:.2g}"
                    )
                p.skipped += max(0.0, 1 - p.batch / epoch.expected)
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
        validating = main and ((p.epoch + 1) % c.validate_every == 0 or p.epoch + 1 == c.epochs or stop)
        if validating:
            self.save()  # it may take longer than torchrun waits between a polite kill and one that is not
        p.epoch, p.batch = p.epoch + 1, 0
        if validating:
            self.validate()
        self.save()

    def _report(self, recent: dict[str, float], rate: float, progress: float) -> None:
        p = self.position
        recent["loss"] = self.workers.all_reduce_sum([recent["loss"]])[0]
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
    def validation_loss(self) -> float:
        """The plain loss on the validation set, a target's mean."""
        self.model.eval()
        total = tokens = 0.0
        for batch in self.task.validation():
            total += float(self.loss(batch, self.objective)[1])
            tokens += batch.tokens
        return total / tokens

    def validate(self) -> None:
        """Loss and scores of the validation set; keep the weights if the average does."""
        p = self.position
        loss = self.validation_loss()
        self._read_clock()
        entry = {"step": p.step, "epoch": p.epoch, "seconds": round(p.seconds, 1), "loss": round(loss, 4),
                 **self.task.measures(loss), **self._scores(final=False)}  # fmt: skip
        p.history.append(entry)
        self._log({"kind": "validation", **entry})
        self.display.validation(entry)
        save_tensors(self.run.path(f"step-{p.step}.safetensors"), weights_of(self.model))
        kept = {entry["step"] for entry in [*self._averaged(), self._best()]}
        for path in self.run.folder.glob("step-*.safetensors"):
            if int(path.stem.split("-")[1]) not in kept:
                path.unlink()

    def _scores(self, *, final: bool) -> dict[str, float]:
        self.model.eval()
        with torch.no_grad():
            return self.task.scores(self.model, final=final)

    def _averaged(self) -> list[dict[str, Any]]:
        """The validations whose weights go into the average."""
        c, history = self.config.training, self.position.history
        if c.average_of == "best":
            return sorted(history, key=self._rank)[: c.average]
        return list(history[-c.average :])

    def _best(self) -> dict[str, Any]:
        """The best validation whose weights are there: an earlier version kept none but those of the average."""
        here = [e for e in self.position.history if self.run.path(f"step-{e['step']}.safetensors").exists()]
        return min(here, key=self._rank)

    def _rank(self, entry: dict[str, Any]) -> tuple[float, float]:
        """The better a validation, the lower: by the score, and by the loss where scores are equal."""
        return -entry[self.task.metric], entry["loss"]

    def _conclude(self) -> dict[str, Any]:
        """Average the kept weights; keep whichever of average and single best scores higher on the validation set."""
        p, c, metric = self.position, self.config, self.task.metric
        candidates: dict[str, dict[str, Tensor]] = {}
        members = [self._weights_at(e["step"]) for e in self._averaged()]
        best = self._best()
        candidates[f"epoch {best['epoch']}"] = self._weights_at(best["step"])
        if len(members) > 1:
            candidates[f"average of {len(members)}"] = {
                name: torch.stack([m[name] for m in members]).mean(0) for name in members[0]
            }
        results: dict[str, dict[str, float]] = {}
        for name, weights in candidates.items():
            load_weights(self.model, weights, self.run.folder)
            self.display.message(f"validating {name}")
            results[name] = self._scores(final=True)
        chosen = max(results, key=lambda name: results[name][metric])
        load_weights(self.model, candidates[chosen], self.run.folder)
        save_tensors(self.run.path("model.safetensors"), weights_of(self.model))
        self._read_clock()
        facts = self.run.read_json("run.json") | self.origin
        facts["training"] = {
            "minutes": round(p.seconds / 60, 2),
            "steps": p.step,
            "epochs": round(p.epoch - p.skipped, 2) if p.skipped else p.epoch,
            "target_tokens_per_second": round(p.tokens / max(p.seconds, 1e-9)),
            "weights": chosen,
            "seed": c.training.seed,
        }
        facts["scores"] = {"validation": {**self.task.evaluation_settings(), **results[chosen]}}
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
