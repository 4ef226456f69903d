"""Text normalisation, the same in training, evaluation and every host."""

from __future__ import annotations

import re
import unicodedata

_SPACES = re.compile(r"[ \t\r\n\v\f\x85\u2028\u2029]+")  # without the no-break space, which is kept as text
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ufeff]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def normalise(text: str) -> str:
    """Return a text in Unicode NFC, without control characters, with single spaces and none at either end.

    A lone surrogate, which no encoding can represent, becomes U+FFFD. U+2581, which SentencePiece writes for a space,
    becomes a low line.
    """
    text = _CONTROL.sub("", _SPACES.sub(" ", _SURROGATE.sub("\ufffd", text))).replace("\u2581", "_")
    return _SPACES.sub(" ", unicodedata.normalize("NFC", text)).strip(" ")


def has_control_characters(text: str) -> bool:
    """Return whether `normalise` would remove a character that is not white space."""
    return _CONTROL.search(_SPACES.sub(" ", text)) is not None
