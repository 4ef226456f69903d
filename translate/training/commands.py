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
        help="train a translator",
        description="Train what a configuration describes and write runs/NAME. Ctrl-C ends it with a checkpoint.",
    )
    p.add_argument("config", metavar="CONFIG.toml")
    p.add_argument(
        "--set", action="append", default=[], metavar="key=value", help="another value, such as training.lr=1e-3"
    )
    p.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    p.set_defaults(run=train)


def train(a: argparse.Namespace) -> int:
    """`dragoman train`."""
    from dragoman.translate.config import load

    config = load(a.config, a.set)
    from dragoman.translate.evaluation.plots import draw_curves
    from dragoman.translate.training.display import Display
    from dragoman.translate.training.trainer import Trainer

    folder = RUNS / config.name
    try:
        trainer = Trainer(config, folder, resume=a.resume, display=Display())
        trainer.fit()
    except Interrupted as stop:
        raise Interrupted(f"{stop}; --resume goes on from there") from None
    if trainer.workers.main:
        draw_curves(folder)
        print(folder)
    return 0
