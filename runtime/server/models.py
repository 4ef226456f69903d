"""The models that a server serves: one for each pair of languages, loaded once and again when its file changes."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from dragoman.runtime.errors import UserError
from dragoman.runtime.languages import bcp47, best_match, language_name
from dragoman.runtime.server.errors import RequestError, shown
from dragoman.runtime.translator import Translator


class Stamp(NamedTuple):
    """The state of a file, which changes whenever the file does."""

    device: int
    inode: int
    size: int
    modified: int  # nanoseconds


@dataclass(frozen=True)
class ServedModel:
    """A translator of one pair of languages.

    Attributes:
        path: Its file.
        translator: The translator.
        source: Tag of the source language, as in BCP 47.
        target: Tag of the target language.
        stamp: The state of the file when it was loaded.
    """

    path: str
    translator: Translator
    source: str
    target: str
    stamp: Stamp

    @classmethod
    def load(cls, path: str) -> ServedModel:
        """Load a model. Raises UserError."""
        try:
            stamp = stamp_of(path)
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror or error}") from None
        translator = Translator.load(path)
        translator.translate("1", max_length=2)  # the first search is slow
        metadata = translator.metadata
        return cls(path, translator, bcp47(metadata.source_language), bcp47(metadata.target_language), stamp)

    @property
    def pair(self) -> str:
        """The pair of languages, such as `en-de`."""
        return f"{self.source}-{self.target}"


def stamp_of(path: str) -> Stamp:
    """Return the state of a file. Raises OSError, and UserError for a folder or a pipe."""
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):
        raise UserError(f"{path} is no regular file; give the file of a model")
    return Stamp(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


class Models:
    """The models of a server, by their pair of languages."""

    def __init__(self, paths: Sequence[str]) -> None:
        """Load the models in some files. Raises UserError, also for two models of one pair of languages."""
        self._models: dict[tuple[str, str], ServedModel] = {}
        self._seen: dict[str, Stamp] = {}  # the state of changed files at the last look
        self._rejected: dict[str, Stamp] = {}  # the state of changed files that could not be loaded
        self._find = lru_cache(4096)(self._search)
        for path in paths:
            model = ServedModel.load(path)
            if other := self._models.get((model.source, model.target)):
                raise UserError(f"{other.path} and {path} both translate {model.pair}; leave one of them out")
            self._models[model.source, model.target] = model

    def __iter__(self) -> Iterator[ServedModel]:
        """Iterate over the models, in the order of the command line."""
        return iter([*self._models.values()])

    @property
    def tags(self) -> list[str]:
        """Tags of all languages, in the order of the models."""
        return [*dict.fromkeys(tag for model in self for tag in (model.source, model.target))]

    def languages(self) -> list[dict[str, Any]]:
        """Return rows with the code, the name and the targets of each language, sorted by name.

        As a language's text is given back where source and target are the same, each is one of its own targets.
        """
        targets = {tag: {tag} for tag in self.tags}
        for model in self:
            targets[model.source].add(model.target)
        rows = [{"code": tag, "name": language_name(tag), "targets": sorted(targets[tag])} for tag in targets]
        return sorted(rows, key=lambda row: str(row["name"]))

    def find(self, source: str, target: str) -> ServedModel | None:
        """Return the model for two languages in any spelling, or None if both are the same language.

        Raises RequestError if a language is unknown or no model translates between them.
        """
        return self._find(source, target)

    def sources_of(self, target: str) -> tuple[list[str], str]:
        """Return the languages that models translate to a target, and the target's own tag.

        Raises RequestError if there are none.
        """
        models = [model for model in self if best_match(target, [model.target])]
        if not models:
            known = ", ".join(dict.fromkeys(model.target for model in self))
            raise RequestError(400, f"target is {shown(target)}, to which no model translates; choose from {known}")
        return [*dict.fromkeys(model.source for model in models)], models[0].target

    def _search(self, source: str, target: str) -> ServedModel | None:
        known = self.tags
        tags = []
        for name, given in (("source", source), ("target", target)):
            tag = best_match(given, known)
            if tag is None:
                raise RequestError(400, f"{name} is {shown(given)}, which no model has; choose from {', '.join(known)}")
            tags.append(tag)
        if tags[0] == tags[1]:
            return None
        candidates = [
            model for model in self if best_match(source, [model.source]) and best_match(target, [model.target])
        ]
        if not candidates:
            pairs = ", ".join(model.pair for model in self)
            raise RequestError(400, f"no model translates from {tags[0]} to {tags[1]}; the pairs are {pairs}")
        return max(candidates, key=lambda model: (model.source == tags[0]) + (model.target == tags[1]))

    def reload(self, *, all_files: bool = False) -> list[str]:
        """Load the models again whose files have changed, and return a message about each.

        A file that has changed since the last call may still be written, so it is loaded at the next call. A model
        stays in use until the new one is loaded, and if that fails.

        Args:
            all_files: Load all models now.
        """
        messages = []
        for key, model in [*self._models.items()]:
            try:
                stamp = stamp_of(model.path)
            except (OSError, UserError):  # it is being replaced, or is gone
                continue
            if not all_files:
                if stamp in (model.stamp, self._rejected.get(model.path)):
                    continue
                if self._seen.get(model.path) != stamp:
                    self._seen[model.path] = stamp
                    continue
            try:
                new = ServedModel.load(model.path)
                if (new.source, new.target) != key:
                    raise UserError(f"{model.path} now translates {new.pair}; restart the server for another pair")
            except Exception as error:  # whatever is wrong with the new file, the server lives on
                self._rejected[model.path] = stamp
                messages.append(f"{error or type(error).__name__}; the model that was loaded before stays in use")
            else:
                self._models[key] = new
                self._find.cache_clear()
                messages.append(f"loaded {model.path} again")
        return messages
