"""Text to ids and back: SentencePiece, and the one normalisation that training and run time share."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import sentencepiece

from dragoman.runtime.bundle import BOS, EOS, PAD, UNK, BundleError

_SPACES = re.compile(r"[ \t\r\n\v\f\x85\u2028\u2029]+")  # a no-break space is not among them: it is text
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ufeff]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def normalise(text: str) -> str:
    """Canonical composition (Unicode NFC), no control characters, single spaces, nothing at the ends.

    Half of a surrogate pair, which no encoding can carry, becomes U+FFFD, and U+2581, which SentencePiece writes for a
    space, a low line.
    """
    text = _CONTROL.sub("", _SPACES.sub(" ", _SURROGATE.sub("\ufffd", text))).replace("\u2581", "_")
    return _SPACES.sub(" ", unicodedata.normalize("NFC", text)).strip(" ")


def has_control_characters(text: str) -> bool:
    """Whether `normalise` would drop a character other than white space."""
    return _CONTROL.search(_SPACES.sub(" ", text)) is not None


class Tokenizer:
    """A SentencePiece model with Dragoman's special ids. Raises BundleError for anything else."""

    def __init__(self, model: bytes) -> None:
        self.model = model
        self.processor = sentencepiece.SentencePieceProcessor()
        try:
            self.processor.LoadFromSerializedProto(model)
        except RuntimeError:
            raise BundleError("the tokenizer is not a SentencePiece model") from None
        p = self.processor
        if (p.pad_id(), p.unk_id(), p.bos_id(), p.eos_id()) != (PAD, UNK, BOS, EOS):
            raise BundleError("the tokenizer's special ids are not those of a Dragoman model")

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
