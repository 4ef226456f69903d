"""The command `dragoman train`."""

from __future__ import annotations

import argparse
from pathlib import Path

from dragoman.runtime.console import Commands
from dragoman.runtime.errors import Interrupted

RUNS = Path("runs")


def add_commands(commands: Commands) -> None:
    """Register `train`."""
    p = commands.add_parser(
        "train",
        help="train a model",
        description="Train the model that a configuration describes and write it to runs/NAME. "
        "Ctrl-C saves a checkpoint and stops.",
    )
    p.add_argument("config", metavar="CONFIG.toml", help="the configuration")
    p.add_argument(
        "--set", action="append", default=[], metavar="key=value",
        help="change a value of the configuration, for example training.lr=1e-3; can be repeated",
    )  # fmt: skip
    p.add_argument("--resume", action="store_true", help="continue from the last checkpoint")
    p.set_defaults(run=train)


def train(a: argparse.Namespace) -> int:
    """Run `dragoman train` and return its exit status."""
    from dragoman.translate.config import load

    config = load(a.config, a.set)
    from dragoman.translate.evaluation.plots import draw_curves
    from dragoman.translate.training.display import Display
    from dragoman.translate.training.trainer import Trainer

    folder = RUNS / config.name
    try:
        trainer = Trainer(config, folder, resume=a.resume, display=Display(), config_folder=Path(a.config).parent)
        trainer.fit()
    except Interrupted as error:
        raise Interrupted(f"{error}; continue with --resume") from None
    if trainer.workers.main:
        draw_curves(folder)
        print(folder)
    return 0
