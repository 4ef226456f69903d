"""Convert text to token ids and back with SentencePiece."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import sentencepiece

from dragoman.runtime.contract import BOS, EOS, PAD, UNK
from dragoman.runtime.metadata import ModelFileError
from dragoman.runtime.normalisation import VERSION, normalise
from dragoman.runtime.protection import PLACEHOLDERS


class Tokenizer:
    """A SentencePiece model with Dragoman's special ids, and the normalisation of its text.

    Attributes:
        model: The serialised SentencePiece model.
        normalisation: Version of the rules of `normalise`.
    """

    def __init__(self, model: bytes, normalisation: int = VERSION) -> None:
        """Load a SentencePiece model. Raise ModelFileError for one with other special ids."""
        self.model, self.normalisation = model, normalisation
        self.processor = sentencepiece.SentencePieceProcessor()
        try:
            self.processor.LoadFromSerializedProto(model)
        except RuntimeError:
            raise ModelFileError("the tokenizer is not a SentencePiece model") from None
        p = self.processor
        special_ids = (p.pad_id(), p.unk_id(), p.bos_id(), p.eos_id())
        if special_ids != (PAD, UNK, BOS, EOS):
            raise ModelFileError(
                f"the tokenizer's special ids (pad, unk, bos, eos) are {special_ids}, and a Dragoman model has "
                f"{(PAD, UNK, BOS, EOS)}"
            )

    def __len__(self) -> int:
        """Return the size of the vocabulary."""
        size: int = self.processor.GetPieceSize()
        return size

    @cached_property
    def has_placeholders(self) -> bool:
        """True if the vocabulary reserves symbols for protected spans: PLACEHOLDERS, with ids in a row."""
        first = self.processor.PieceToId(PLACEHOLDERS[0])
        ids = [self.processor.PieceToId(symbol) for symbol in PLACEHOLDERS]
        return first > EOS and ids == [*range(first, first + len(ids))]

    def normalise(self, text: str) -> str:
        """Return a text normalised as in the training of the model."""
        return normalise(text, self.normalisation)

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, closed by `</s>`. The text is normalised first."""
        ids: list[int] = self.processor.EncodeAsIds(self.normalise(text))
        return [*ids, EOS]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids without the special ones.

        The text is normalised, so it is always one line: byte fallback lets a model spell a line feed.
        """
        size = len(self)
        text: str = self.processor.DecodeIds([int(i) for i in ids if EOS < i < size])
        return self.normalise(text)

    def subwords(self, ids: Sequence[int]) -> list[str]:
        """Return the subword of each id, with `▁` for a space."""
        subwords: list[str] = [self.processor.IdToPiece(int(i)) for i in ids]
        return subwords
