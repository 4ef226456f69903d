"""Encodings that files declare by a name."""

from __future__ import annotations

import codecs
import string

# With an escape of Python's codecs and one of UTF-7.
_SAMPLE = string.printable.replace("\\", "") + "\\x41+AEE-"


def ascii_superset(name: str) -> str | None:
    """Return Python's name of an encoding, or None if Python knows none of this name in which ASCII stays as it is."""
    try:
        codec = codecs.lookup(name).name
        return codec if _SAMPLE.encode().decode(codec, "surrogateescape") == _SAMPLE else None
    except (LookupError, ValueError):
        return None
