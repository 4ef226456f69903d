"""The commands of dragoman.translate: corpora, training, distillation and evaluation."""

from __future__ import annotations

from collections.abc import Sequence

from dragoman.runtime.console import Commands, run_commands
from dragoman.translate.corpus import commands as corpus_commands
from dragoman.translate.distillation import commands as distillation_commands
from dragoman.translate.evaluation import commands as evaluation_commands
from dragoman.translate.evaluation import plot_commands
from dragoman.translate.training import commands as training_commands


def add_commands(commands: Commands) -> None:
    """Register every command of this package."""
    for module in (corpus_commands, training_commands, distillation_commands, evaluation_commands, plot_commands):
        module.add_commands(commands)


def main(argv: Sequence[str] | None = None) -> int:
    """Run `python -m dragoman.translate` and return its exit status."""
    return run_commands("dragoman", "Build corpora, train models and evaluate them.", [add_commands], argv)
