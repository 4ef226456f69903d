"""A training run on disk.

config.json           the configuration that the run is trained with
source.model, target.model   the SentencePiece models
run.json              facts about the data and the machine; after training also the scores
last.safetensors      weights, optimizer state, random state and position, for `--resume` (see state.py)
step-N.safetensors    weights at a validation, kept for the final average
model.safetensors     the final weights
metrics.jsonl         one JSON object per report; the training curves are drawn from it
shards/               the encoded training text (see encoding/shards.py)
lock                  the process that trains
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from filelock import FileLock
from torch import nn

from dragoman.runtime.errors import UserError
from dragoman.runtime.files import real_path
from dragoman.runtime.metadata import ModelFileError
from dragoman.runtime.normalisation import VERSION
from dragoman.runtime.tokenizer import Tokenizer
from dragoman.translate.config import Config, from_tree, to_tree
from dragoman.translate.corpus.folder import CARD, Corpus
from dragoman.translate.files import LOCK, acquire_lock, write_json
from dragoman.translate.network.search import BeamSearch
from dragoman.translate.network.selection import VocabularySelection
from dragoman.translate.network.seq2seq import Seq2Seq
from dragoman.translate.training.candidates import SELECTION, load_selection
from dragoman.translate.training.checkpoint import load_tensors, load_weights

Network = TypeVar("Network", bound=nn.Module)


class Record(dict[str, Any]):
    """The JSON object of a file, which names the file where a value is missing."""

    def __init__(self, values: dict[str, Any], path: Path) -> None:
        super().__init__(values)
        self._path = path

    def __missing__(self, key: str) -> NoReturn:
        raise UserError(f"{self._path} has no {key}; restore it from a copy, or train again")


class Run:
    """The folder of a training run."""

    def __init__(self, folder: str | Path, config_folder: Path | None = None) -> None:
        """config_folder: the folder of the configuration file, if the run is trained by one now."""
        self.folder, self.config_folder = Path(folder), config_folder

    def path(self, name: str) -> Path:
        """Return the path of one of the run's files."""
        return self.folder / name

    def read_json(self, name: str) -> dict[str, Any]:
        """Read one of the run's JSON files. Raises UserError when it is missing or damaged."""
        try:
            value: dict[str, Any] = json.loads(self.path(name).read_text("utf-8"))
        except FileNotFoundError:
            raise UserError(f"{self.folder} is not a training run: it has no {name}") from None
        except NotADirectoryError:
            raise UserError(f"{self.folder} is a file; give the folder of a training run") from None
        except OSError as error:
            raise UserError(f"cannot read {self.path(name)}: {error.strerror or error}") from None
        except ValueError:
            raise UserError(
                f"cannot read {self.path(name)}: it is not valid JSON, so it is damaged or cut short; restore it from "
                "a copy"
            ) from None
        if not isinstance(value, dict):
            raise UserError(f"{self.path(name)} holds no JSON object; restore it from a copy")
        return Record(value, self.path(name))

    def lock(self) -> FileLock:
        """Lock the folder for this process. Raises UserError when another process holds the lock."""
        return acquire_lock(self.path(LOCK), f"{self.folder} is being trained", "choose another name")

    def config(self) -> Config:
        """Read the configuration that the run was trained with."""
        return from_tree(self.read_json("config.json"), str(self.path("config.json")))

    def write_config(self, config: Config) -> None:
        """Write config.json."""
        write_json(self.path("config.json"), to_tree(config))

    def corpus(self) -> Corpus:
        """Return the corpus that the run was trained on, from whatever folder this process was started in."""
        return self.find_corpus(self.config().data.corpus)

    def find_corpus(self, given: str) -> Corpus:
        """Return the corpus that `data.corpus` names, given its value.

        A run that has started recorded the place of its corpus (see `corpus_place`). It counts unless config.json was
        edited since. The path relative to the run comes first: both may have been copied elsewhere. A run of earlier
        versions did not record it: the path is then relative to the current folder, or to the one that holds `runs`.
        Of several folders, the one with the text of the training counts. Its text is normalised as in the training.

        A path that leads nowhere from the current folder may also be relative to the configuration file.

        Raises UserError when there is no corpus.
        """
        given_places = [Path(given), *([self.config_folder / given] if self.config_folder else [])]
        if not self.path("run.json").exists():
            return _first_corpus(given, given_places)
        facts = self.read_json("run.json")
        place = facts.get("corpus_place", {})
        if place.get("given") == given:
            places = [self.folder / place["from_run"], Path(place["absolute"])]
        else:
            places = [*given_places, self.folder / ".." / ".." / given]
        places = [*dict.fromkeys(map(real_path, places))]
        corpora = [Corpus(folder, self.normalisation()) for folder in places if (folder / CARD).exists()]
        if not corpora:
            raise UserError(
                f"{given}, the corpus of {self.folder}, is not a corpus now: there is no {CARD} in "
                f"{' or '.join(map(str, places))}; put the corpus back there"
            )
        if len(corpora) > 1:
            corpora.sort(key=lambda corpus: corpus.digest() != facts.get("corpus_sha256"))
        return corpora[0]

    def corpus_place(self, given: str, corpus: Corpus) -> dict[str, str]:
        """Return the place of the corpus in three forms for run.json; given: the value of `data.corpus`.

        They stay out of config.json, which exported files repeat: others need not learn the names of a user's folders.
        """
        absolute = os.path.abspath(corpus.folder)
        try:
            from_run = os.path.relpath(real_path(corpus.folder), real_path(self.folder))
        except ValueError:  # on Windows, there is no relative path to another drive
            from_run = absolute
        return {"given": given, "absolute": absolute, "from_run": from_run}

    def source_tokenizer(self) -> Tokenizer:
        """Return the tokenizer of the input text. Classifiers and taggers have no other."""
        return self._tokenizer("source")

    def tokenizers(self) -> tuple[Tokenizer, Tokenizer]:
        """Return the source and the target tokenizer, which are one object if the vocabulary is joint."""
        source, target = (self._tokenizer(side) for side in ("source", "target"))
        return source, source if target.model == source.model else target

    def normalisation(self) -> int:
        """Return the version of the rules that the run's text is normalised by; a run that starts has the newest."""
        return int(self.read_json("run.json").get("normalisation", 1)) if self.path("run.json").exists() else VERSION

    def _tokenizer(self, side: str) -> Tokenizer:
        path = self.path(f"{side}.model")
        try:
            return Tokenizer(path.read_bytes(), self.normalisation())
        except OSError as error:
            raise UserError(f"{self.folder} has no tokenizer: {error.strerror}: {error.filename}") from None
        except ModelFileError as error:
            raise UserError(f"{path} is damaged: {error}; restore it from a copy") from None

    def trained(self, model: Network) -> Network:
        """Load the final weights into a network of this run's shape, and prepare it for inference."""
        weights = self.path("model.safetensors")
        load_weights(model, load_tensors(weights)[0], weights)
        return model.requires_grad_(False).eval()

    def selection(self) -> VocabularySelection | None:
        """Return the run's vocabulary selection, or None if it has none. Raises UserError if its file is damaged."""
        return load_selection(self.path(SELECTION))

    def search(self, *, full_vocabulary: bool = False) -> BeamSearch:
        """Return the trained network inside its beam search, ready to translate.

        full_vocabulary: leave out the run's vocabulary selection.
        """
        config = self.config()
        source, target = self.tokenizers()
        model = self.trained(Seq2Seq(config.model, len(source), len(target)))
        ratio = int(self.read_json("run.json")["limit_ratio"])
        selection = None if full_vocabulary else self.selection()
        return BeamSearch(model, ratio, right_to_left=config.data.right_to_left, selection=selection).eval()


def _first_corpus(given: str, places: Sequence[Path]) -> Corpus:
    """Return the first corpus among the places that `data.corpus` may mean. Raises UserError if there is none."""
    found = [place for place in places if (place / CARD).exists()]
    folders = [*dict.fromkeys(map(real_path, places))]
    if not found and len(folders) > 1:
        raise UserError(
            f"{given} is not a corpus: there is no {CARD} in {' or '.join(map(str, folders))}; make one with "
            "`dragoman corpus`, or correct data.corpus"
        )
    return Corpus(found[0] if found else given)
