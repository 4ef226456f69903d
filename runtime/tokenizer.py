"""Tokenise text to ids and back with SentencePiece."""

from __future__ import annotations

from collections.abc import Sequence

import sentencepiece

from dragoman.runtime.contract import BOS, EOS, PAD, UNK
from dragoman.runtime.metadata import ModelFileError
from dragoman.runtime.normalisation import normalise


class Tokenizer:
    """A SentencePiece model with Dragoman's special ids. Raises ModelFileError for anything else."""

    def __init__(self, model: bytes) -> None:
        self.model = model
        self.processor = sentencepiece.SentencePieceProcessor()
        try:
            self.processor.LoadFromSerializedProto(model)
        except RuntimeError:
            raise ModelFileError("the tokenizer is not a SentencePiece model") from None
        p = self.processor
        if (p.pad_id(), p.unk_id(), p.bos_id(), p.eos_id()) != (PAD, UNK, BOS, EOS):
            raise ModelFileError("the tokenizer's special ids are not those of a Dragoman model")

    def __len__(self) -> int:
        size: int = self.processor.GetPieceSize()
        return size

    def encode(self, text: str) -> list[int]:
        """The ids of a text, which is normalised first, with `</s>` at the end."""
        ids: list[int] = self.processor.EncodeAsIds(normalise(text))
        return [*ids, EOS]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids; special ids are left out. Always one line: a model can spell a line feed in bytes."""
        size = len(self)
        text: str = self.processor.DecodeIds([int(i) for i in ids if EOS < i < size])
        return normalise(text)

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """Each id as the piece of text that it stands for."""
        out: list[str] = [self.processor.IdToPiece(int(i)) for i in ids]
        return out
