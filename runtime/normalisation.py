"""The one text normalisation that training, evaluation and every host share."""

from __future__ import annotations

import re
import unicodedata

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
