"""Metadata of an exported file, from the records of a run."""

from __future__ import annotations

from typing import Any

from dragoman.runtime.errors import UserError
from dragoman.runtime.metadata import Metadata
from dragoman.translate.network.selection import VocabularySelection
from dragoman.translate.training.run import Run

# The keys of run.json that the model card repeats.
CARD_KEYS = ("corpus", "corpus_sha256", "training", "scores", "parameters", "commit", "command")


def card_of(facts: dict[str, Any]) -> dict[str, Any]:
    """Return the model card of a run, given the contents of its run.json."""
    return {key: facts[key] for key in CARD_KEYS if key in facts}


def corpus_digests(card: dict[str, Any]) -> set[str]:
    """Return the digests of the corpus in a model card, and of the corpora that its synthetic text was made from.

    The set is empty if the card does not say, like those of earlier versions.
    """
    digests = {card.get("corpus_sha256")}
    for key in ("distilled", "back_translated"):
        synthetic = card.get("corpus", {}).get(key)
        while synthetic:
            digests.add(synthetic.get("corpus_sha256"))
            synthetic = synthetic.get("before")
    return set() if None in digests else {digest for digest in digests if digest}


def selection_facts(selection: VocabularySelection | None) -> dict[str, int]:
    """Return what the metadata of a file says of its vocabulary selection."""
    return {"shared": len(selection.shared), "own": selection.longest} if selection else {}


def metadata_of(run: Run, selection: VocabularySelection | None = None) -> Metadata:
    """Return the metadata of a translation run, as export stores it, with an empty self-test.

    selection: that of the search, or None if every translation may use the whole vocabulary.
    Raises UserError when the run was trained for another task.
    """
    config = run.config()
    if config.task != "translate":
        raise UserError(f"{run.folder} was trained to {config.task}, not to translate; give a run that translates")
    facts = run.read_json("run.json")
    source, target = run.tokenizers()
    return Metadata(
        source_language=facts["source_language"],
        target_language=facts["target_language"],
        source_tokenizer=source.model,
        target_tokenizer=target.model,
        max_source=facts["max_source"],
        max_sentences=facts.get("max_sentences", 1),
        defaults={
            "beam_size": config.search.beam_size,
            "length_penalty": config.search.length_penalty,
            "max_length": config.search.max_length,
        },
        config=run.read_json("config.json"),
        card=card_of(facts),
        self_test={},
        normalisation=source.normalisation,
        selection=selection_facts(selection),
    )
