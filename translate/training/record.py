"""The record of a run: config.json and run.json, checked when training starts and completed when it ends."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from dragoman.runtime.errors import UserError
from dragoman.translate.config import Config, differing_keys
from dragoman.translate.evaluation.provenance import command, commit
from dragoman.translate.files import write_json
from dragoman.translate.training.run import Run
from dragoman.translate.training.state import Position

# Keys that a resumption may change: mostly the limits that end training, and with them the rest of the schedule.
RESUMABLE = (
    "training.epochs",
    "training.minutes",
    "training.patience",
    "training.checkpoint_minutes",
    "data.corpus",  # only its place may change: `Task.check_corpus` compares the text
)


def check_folder(run: Run, config: Config, *, resume: bool) -> bool:
    """Return True if the folder holds a checkpoint to resume from, and False if training starts from scratch.

    Raises UserError when a run would be overwritten, when there is nothing to resume, or when the configuration differs
    in a key that is not RESUMABLE. A folder without weights may be overwritten: there is nothing to lose.
    """
    has_checkpoint = run.path("last.safetensors").exists()
    if not has_checkpoint and (weights := _weights_in(run)):
        raise UserError(
            f"{run.folder} holds {weights} of an earlier training, and no last.safetensors to resume that from; choose "
            "another name, or remove the folder"
        )
    if has_checkpoint and not resume:
        raise UserError(f"{run.folder} already holds a run; continue it with --resume, or choose another name")
    if resume and not run.folder.exists():
        raise UserError(f"{run.folder} does not exist, so there is nothing to resume")
    if has_checkpoint and (changed := [k for k in differing_keys(run.config(), config) if k not in RESUMABLE]):
        raise UserError(
            f"{run.folder} was started with other values of {', '.join(changed)}; resume with the same values"
        )
    return has_checkpoint


def _weights_in(run: Run) -> str:
    """Return the name of a file with weights of this or an earlier training, or nothing."""
    for path in (run.path("model.safetensors"), *sorted(run.folder.glob("step-*.safetensors"))):
        if path.is_file() and path.stat().st_size:
            return path.name
    return ""


def start_from_scratch(run: Run, config: Config) -> None:
    """Remove what a killed start left behind, and write config.json."""
    for path in (run.path("metrics.jsonl"), run.path("run.json"), *run.folder.glob("step-*.safetensors")):
        path.unlink(missing_ok=True)
    run.write_config(config)


def weights_provenance() -> dict[str, str]:
    """Return the command and the commit that the weights will come from."""
    return {"command": command(), "commit": commit()}


def record_start(run: Run, facts: dict[str, Any], *, resumed: bool) -> None:
    """Write run.json with facts about the data and the machine.

    A run that has ended before keeps its results, and the provenance of its weights, until it ends again.
    """
    before = run.read_json("run.json") if resumed else {}
    if "training" in before:
        keys = ("command", "commit", "training", "scores", "candidates")
        facts = {**facts, **{key: before[key] for key in keys if key in before}}
    write_json(run.path("run.json"), facts)


def record_place(run: Run, place: dict[str, str]) -> None:
    """Record where the corpus of a run that has ended is now, if it has moved."""
    facts, config = run.read_json("run.json"), run.config()
    if config.data.corpus != place["given"] or facts.get("corpus_place") != place:
        data = replace(config.data, corpus=place["given"])
        run.write_config(replace(config, data=data))
        write_json(run.path("run.json"), {**facts, "corpus_place": place})


def has_results(run: Run, step: int) -> bool:
    """Return True if run.json holds the results of training that ended at this step."""
    if not run.path("model.safetensors").exists():
        return False
    return bool(run.read_json("run.json").get("training", {}).get("steps") == step)


def training_facts(p: Position, weights: str, seed: int) -> dict[str, Any]:
    """Return the facts of a training that has ended, for run.json; weights names the chosen candidate."""
    return {
        "minutes": round(p.seconds / 60, 2),
        "steps": p.step,
        "epochs": round(p.epoch - p.skipped, 2) if p.skipped else p.epoch,
        "target_tokens_per_second": round(p.tokens / max(p.seconds, 1e-9)),
        **({"skipped_steps": p.skipped_steps} if p.skipped_steps else {}),
        "weights": weights,
        "seed": seed,
    }
