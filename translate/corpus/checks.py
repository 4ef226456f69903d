"""Checks that several commands make before they write a corpus or read one with a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dragoman.runtime.errors import UserError
from dragoman.translate.files import real

if TYPE_CHECKING:
    from dragoman.runtime.translator import Translator


def check_other(out: str, corpus: str | Path) -> None:
    """Refuse to replace a corpus by what is made of it: runs that were trained on it could not go on."""
    if real(out) == real(corpus):
        raise UserError(f"--out {out} is the corpus that this is made of; name another folder")


def check_languages(name: str, translator: Translator, where: Path, languages: tuple[str, ...]) -> None:
    """Raise UserError for a model, called `name`, of other languages than what is `where`."""
    own = translator.metadata.source_language, translator.metadata.target_language
    if own != languages:
        raise UserError(f"{name} translates {'-'.join(own)}, and {where} needs a model for {'-'.join(languages)}")
