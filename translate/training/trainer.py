"""The training loop: fit, train epochs, validate, average and record.

The trainer knows nothing of translation: a `Task` (tasks/task.py) supplies the batches, the network, the loss and the
scores. Each other concern has a module of its own: state.py (checkpoints), schedule.py, stopping.py, averaging.py,
log.py, record.py (run.json) and distributed.py (several processes).
"""

from __future__ import annotations

import math
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dragoman.runtime.errors import Interrupted, UserError
from dragoman.translate.config import Config, differing_keys
from dragoman.translate.encoding.batching import Batch, share
from dragoman.translate.evaluation.provenance import machine
from dragoman.translate.files import make_folder, write_json
from dragoman.translate.tasks.forecasting import ForecastingTask
from dragoman.translate.tasks.labelling import LabellingTask
from dragoman.translate.tasks.task import EpochBatches, Task
from dragoman.translate.tasks.translation import TranslationTask
from dragoman.translate.training.allocator import HeapTrimmer, keep_freed_memory
from dragoman.translate.training.averaging import averaged_entries, best_entry, mean_weights
from dragoman.translate.training.checkpoint import load_tensors, load_weights, save_tensors, weights_of
from dragoman.translate.training.display import Display
from dragoman.translate.training.distributed import WorkerLost, Workers
from dragoman.translate.training.interrupt import interrupt_flag
from dragoman.translate.training.log import REPORT_STEPS, MetricsLog, StepTotals
from dragoman.translate.training.optimizers import make_optimizers, wants_bfloat16
from dragoman.translate.training.record import (
    check_folder,
    has_results,
    record_place,
    record_start,
    start_from_scratch,
    training_facts,
    weights_provenance,
)
from dragoman.translate.training.run import Run
from dragoman.translate.training.schedule import learning_rate
from dragoman.translate.training.state import Position, load_state, save_state
from dragoman.translate.training.stopping import (
    check_skipped_steps,
    limits_reached,
    out_of_patience,
    out_of_time,
    training_progress,
)

TASKS: dict[str, type[Task]] = {
    "translate": TranslationTask,
    "classify": LabellingTask,
    "tag": LabellingTask,
    "forecast": ForecastingTask,
}


class Trainer:
    """One training run, from a configuration to final weights."""

    def __init__(
        self,
        config: Config,
        folder: str | Path,
        *,
        resume: bool = False,
        display: Display | None = None,
        config_folder: Path | None = None,
    ) -> None:
        """Prepare data, network and optimizers, and lock the folder until `close` or the end of `fit`.

        config_folder: the folder of the configuration file, beside which the corpus may be.

        Raises UserError when the folder or the corpus cannot be used (see `check_folder` and `Task`).
        """
        keep_freed_memory()
        self.heap = HeapTrimmer()
        self.clock = time.perf_counter()
        self.config, self.run = config, Run(folder, config_folder)
        self.workers = Workers.join()
        self.display = display if display and self.workers.main else Display(quiet=True)
        self.log = MetricsLog(self.run.path("metrics.jsonl"), self.display)
        self.position = Position(world=self.workers.world)
        self.close: Callable[[], object] = lambda: None  # releases the folder's lock
        self.task: Task = TASKS[config.task](config, self.run, self.workers, self.display)
        resuming = self.restarting = self._prepare(resume)  # restarting: until the first step of a resumed session ends
        self.task.check_unchanged()
        torch.manual_seed(config.training.seed)
        self.model = self.task.network().to(self.workers.device)
        self.bfloat16 = self._choose_bfloat16(resuming)
        self.optimizers = make_optimizers(self.model, config.training, self.bfloat16)
        if resuming:
            self._restore()
        self.objective = self.task.objective(self.model)
        self.ddp_objective = self.workers.wrap_ddp(self.objective)
        if self.workers.rank:  # each worker has dropout masks of its own
            torch.manual_seed(config.training.seed + 1_000_003 * self.workers.rank + self.position.step)
        self.ended = resuming and self._has_ended()
        if self.workers.main:
            if self.ended:
                record_place(self.run, self.task.facts()["corpus_place"])
            else:
                self._record_start()

    def _prepare(self, resume: bool) -> bool:
        """Prepare folder and data, in the main worker first. Return True if there is a checkpoint to resume from."""
        if not self.workers.main:
            self.workers.barrier()
            resuming = self.run.path("last.safetensors").exists()
            self.task.prepare(True)
            return resuming
        resuming = check_folder(self.run, self.config, resume=resume)
        make_folder(self.run.folder)
        self.close = weakref.finalize(self, self.run.lock().release)
        if not resuming:
            start_from_scratch(self.run, self.config)
        self.task.prepare(resuming)
        self.workers.barrier()
        return resuming

    def _choose_bfloat16(self, resuming: bool) -> bool:
        """Decide in the main worker, for all. A run that resumes on the same machine keeps its precision."""
        chosen, precision = False, self.config.training.precision
        if self.workers.main:
            before = self.run.read_json("run.json") if resuming and precision == "auto" else {}
            same_machine = before.get("machine") == machine()
            chosen = before["bfloat16"] if same_machine else wants_bfloat16(precision, self.workers.device)
        return bool(self.workers.all_reduce_max([float(chosen)])[0])

    def _restore(self) -> None:
        path = self.run.path("last.safetensors")
        self.position = load_state(path, self.model, self.optimizers, self.workers.device)
        if self.position.world != self.workers.world:
            raise UserError(
                f"{path} was written by {self.position.world} worker processes, but this run has {self.workers.world} "
                f"and would draw different batches; resume with {self.position.world}"
            )
        if self.workers.main:
            self.log.rewind(self.position.step)
            self._check_checkpoints()

    def _check_checkpoints(self) -> None:
        """Report validations whose weights are gone. Raises UserError if weights that the average needs are damaged."""
        history, c = self.position.history, self.config.training
        needed = {self._step_path(entry["step"]) for entry in averaged_entries(history, self.task.metric, c)}
        for path in sorted(needed):
            if path.exists():
                load_tensors(path, "remove it, and the average leaves it out")
            else:
                self.display.message(f"{path} is missing; the average leaves it out")

    def _has_ended(self) -> bool:
        """Return True if a resumed run has its results, and the configuration does not extend it."""
        over = self.position.epoch >= self.config.training.epochs or self._limit_reached()
        ended = over and self.workers.main and has_results(self.run, self.position.step)
        return bool(self.workers.all_reduce_max([ended])[0])

    def _record_start(self) -> None:
        if changed := differing_keys(self.run.config(), self.config):
            self.display.message(f"{self.run.folder} resumes with new values of {', '.join(changed)}")
            self.run.write_config(self.config)
        self.provenance = weights_provenance()  # now, because the source files may change during training
        facts = {
            **self.task.facts(),
            "parameters": self.parameters,
            "bfloat16": self.bfloat16,
            "machine": machine(),
            **self.provenance,
        }
        record_start(self.run, facts, resumed=self.position.step > 0)

    @property
    def parameters(self) -> int:
        """The number of trained parameters; a shared matrix counts once."""
        return sum(p.numel() for p in self.model.parameters())

    def batches(self, epoch: int) -> EpochBatches:
        """Return the batches of an epoch, counted from 0."""
        return self.task.epoch(epoch)

    def progress(self, epoch: EpochBatches) -> float:
        """Return the fraction of training that is done (see `training_progress`)."""
        return training_progress(self.position, epoch.expected, self.config.training)

    def loss(self, batch: Batch, objective: nn.Module) -> tuple[Tensor, Tensor]:
        """Return the loss to minimise and the loss without label smoothing, each summed over a batch.

        objective: the task's module, or its DistributedDataParallel wrapper.
        """
        device = self.workers.device
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=self.bfloat16):
            out: tuple[Tensor, Tensor] = objective(*(x.to(device) for x in batch.tensors()))
        return out

    def train_step(self, batch: Batch, rate: float) -> tuple[float, float]:
        """Update the weights once, at a learning rate.

        Returns the loss without label smoothing, summed over this worker's targets, and the norm of the gradient.
        """
        self.ddp_objective.train()
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.zero_grad(set_to_none=True)
        rows, counts = share(batch, self.workers.rank, self.workers.world)
        with self.workers.detecting_lost_workers():
            loss, plain = self.loss(rows, self.ddp_objective)
            # DDP takes the mean over workers. The factor turns that into the mean over the targets of all workers.
            (loss * (self.workers.world * counts / batch.tokens)).backward()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.training.clip_norm)
        if torch.isfinite(norm):  # skip a batch whose gradient overflowed
            for optimizer in self.optimizers:
                optimizer.step()
        self.heap.trim()
        return float(plain), float(norm)

    def fit(self) -> dict[str, Any]:
        """Train to the end, average checkpoints and score. Return the contents of run.json, or {} in other workers.

        Raises Interrupted after Ctrl-C or SIGTERM, once the step in progress has ended, and UserError when another
        worker has ended. In both cases the main worker saves a checkpoint first.
        """
        try:
            if self.ended:
                return self._load_results() if self.workers.main else {}
            with interrupt_flag(keep_after_error=self.workers.world > 1) as interrupted:
                try:
                    with self.display:
                        self._train(interrupted)
                except WorkerLost as lost:
                    raise self._save_after(lost) from None
            return self._conclude() if self.workers.main else {}
        finally:
            self.ddp_objective = self.objective
            self.workers.shutdown()
            self.close()

    def _train(self, interrupted: list[bool]) -> None:
        c, p = self.config.training, self.position
        self._update_clock()
        if not p.step:
            p.prepared = p.seconds
        self.display.start(c.epochs, self.parameters, self.bfloat16, self.task.unit)
        while p.epoch < c.epochs and not (p.step and self._limit_reached()):
            self._train_epoch(self.batches(p.epoch), interrupted)
        check_skipped_steps(p, c, ended=True)
        if self.workers.main and (not p.history or p.history[-1]["step"] != p.step or not self._saved_steps()):
            self.validate()  # the run resumed beyond a limit that is now lower, or has lost the weights of validations

    def _train_epoch(self, epoch: EpochBatches, interrupted: list[bool]) -> None:
        """Train on the remaining batches of an epoch, validate if due, and save a checkpoint."""
        c, p, main = self.config.training, self.position, self.workers.main
        saved = clock = time.perf_counter()
        totals = StepTotals()
        rate = stop = 0.0
        for batch in epoch.batches(p.batch):
            # The main worker's clock decides for all; a signal to any worker interrupts all.
            rate, stop, interrupt = self.workers.all_reduce_max(
                [main * learning_rate(p.step, self.progress(epoch), c), main * out_of_time(p, c), interrupted[0]]
            )
            if interrupt:
                self.save()
                raise Interrupted(f"interrupted after step {p.step}, checkpoint saved")
            if stop:
                self._skip_rest(epoch)
                break
            loss, norm = self.train_step(batch, rate)
            now = time.perf_counter()
            totals.add(loss, batch.tokens, norm, now - clock)
            clock = now
            self._update_clock()
            self.restarting = False
            p.count_step(batch.tokens, skipped=not math.isfinite(norm))
            check_skipped_steps(p, c)
            if totals.steps == REPORT_STEPS:
                self._report(totals, rate, epoch)
                totals = StepTotals()
            if now - saved > 60 * c.checkpoint_minutes:
                self.save()
                saved = clock = time.perf_counter()
        if totals.steps:
            self._report(totals, rate, epoch)
        validating = main and ((p.epoch + 1) % c.validate_every == 0 or p.epoch + 1 == c.epochs or stop)
        if validating:
            self.save()  # torchrun follows SIGTERM with SIGKILL, and a validation may take longer than that
        p.epoch, p.batch = p.epoch + 1, 0
        if validating:
            self.validate()
        self.save()

    def _skip_rest(self, epoch: EpochBatches) -> None:
        """Count the part of an epoch that `training.minutes` cuts off."""
        c, p = self.config.training, self.position
        if not p.step:
            raise UserError(
                f"training.minutes = {c.minutes:g} ran out before the first step; reading the corpus and setting up "
                f"took {p.seconds / 60:.2g} minutes"
            )
        p.skipped += max(0.0, 1 - p.batch / epoch.expected)

    def _report(self, totals: StepTotals, rate: float, epoch: EpochBatches) -> None:
        totals.loss = self.workers.all_reduce_sum([totals.loss])[0]
        if self.workers.main:
            self.log.steps(totals, self.position, rate, self.progress(epoch))

    def _update_clock(self) -> None:
        """Add the time since the last update to the position, whatever it was spent on."""
        now = time.perf_counter()
        self.position.seconds += now - self.clock
        self.position.restarts += self.restarting * (now - self.clock)
        self.clock = now

    def _limit_reached(self) -> bool:
        """Return True once time or patience has run out in the main worker, which alone has the history."""
        c, p = self.config.training, self.position
        over = out_of_time(p, c) or out_of_patience(p.history, self.task.metric, c)
        return bool(self.workers.all_reduce_max([self.workers.main and over])[0])

    @torch.no_grad()
    def validation_loss(self) -> float:
        """Return the loss without label smoothing on the validation set, the mean over its targets."""
        self.model.eval()
        total = tokens = 0.0
        for batch in self.task.validation():
            total += float(self.loss(batch, self.objective)[1])
            tokens += batch.tokens
        return total / tokens

    @torch.no_grad()
    def _scores(self, *, final: bool) -> dict[str, float]:
        self.model.eval()
        return self.task.scores(self.model, final=final)

    def validate(self) -> None:
        """Log the loss and scores of the validation set and save the weights.

        Deletes weights that are neither the best nor part of the average.
        """
        p = self.position
        loss = self.validation_loss()
        self._update_clock()
        entry = {"step": p.step, "epoch": p.epoch, "seconds": round(p.seconds, 1), "loss": round(loss, 4),
                 **self.task.loss_metrics(loss), **self._scores(final=False)}  # fmt: skip
        p.history = [*(before for before in p.history if before["step"] != p.step), entry]
        self.log.validation(entry)
        save_tensors(self._step_path(p.step), weights_of(self.model))
        kept = {entry["step"] for entry in [*self._averaged(), self._best()]}
        for step in self._saved_steps() - kept:
            self._step_path(step).unlink()

    def _step_path(self, step: int) -> Path:
        return self.run.path(f"step-{step}.safetensors")

    def _saved_steps(self) -> set[int]:
        return {int(path.stem.split("-")[1]) for path in self.run.folder.glob("step-*.safetensors")}

    def _averaged(self) -> list[dict[str, Any]]:
        entries = averaged_entries(self.position.history, self.task.metric, self.config.training)
        return [entry for entry in entries if entry["step"] in self._saved_steps()]

    def _best(self) -> dict[str, Any]:
        return best_entry(self.position.history, self.task.metric, self._saved_steps())

    def _candidates(self) -> dict[str, dict[str, Tensor]]:
        """Return the weights to choose from, by name: the best validation's, and the average of several."""
        best = self._best()
        candidates = {f"epoch {best['epoch']}": load_tensors(self._step_path(best["step"]))[0]}
        checkpoints = [load_tensors(self._step_path(entry["step"]))[0] for entry in self._averaged()]
        if len(checkpoints) > 1:
            candidates[f"average of {len(checkpoints)}"] = mean_weights(checkpoints)
        return candidates

    def _conclude(self) -> dict[str, Any]:
        """Choose the candidate with the highest validation score; write model.safetensors and run.json."""
        candidates = self._candidates()
        results: dict[str, dict[str, float]] = {}
        for name, weights in candidates.items():
            load_weights(self.model, weights, self.run.folder)
            self.display.message(f"validating {name}")
            results[name] = self._scores(final=True)
        chosen = max(results, key=lambda name: results[name][self.task.metric])
        load_weights(self.model, candidates[chosen], self.run.folder)
        save_tensors(self.run.path("model.safetensors"), weights_of(self.model))
        scores = results[chosen]
        if self.task.prepare_search(self.model):
            scores = self._scores(final=True)
        self._update_clock()
        facts = {
            **self.run.read_json("run.json"),
            **self.provenance,
            "training": training_facts(self.position, chosen, self.config.training.seed),
            "scores": {"validation": {**self.task.evaluation_settings(), **scores}},
            "candidates": results,
        }
        write_json(self.run.path("run.json"), facts)
        self.display.finish(facts["training"], facts["scores"]["validation"])
        return facts

    def _load_results(self) -> dict[str, Any]:
        """Load the weights and return the run.json of a run that has ended before."""
        path = self.run.path("model.safetensors")
        load_weights(self.model, load_tensors(path, "remove it, and --resume writes it again")[0], path)
        limits = limits_reached(self.position, self.task.metric, self.config.training)
        advice = "raise it to continue" if len(limits) == 1 else "raise them to continue"
        self.display.message(f"{self.run.folder} is already trained, up to {' and '.join(limits)}; {advice}")
        return self.run.read_json("run.json")

    def _save_after(self, lost: WorkerLost) -> UserError:
        """Save in the main worker after another was lost, and return the error that tells the user."""
        if self.workers.main:
            self.save()
            return UserError(f"{lost}. Checkpoint of step {self.position.step} saved; continue with --resume")
        has_checkpoint = self.run.path("last.safetensors").exists()
        return UserError(f"{lost}; " + ("continue with --resume" if has_checkpoint else "no checkpoint exists yet"))

    def save(self) -> None:
        """Write last.safetensors in the main worker: all that an exact resumption needs."""
        if self.workers.main:
            path = self.run.path("last.safetensors")
            save_state(path, self.model, self.optimizers, self.position, self.workers.device)
