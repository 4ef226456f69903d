"""Numbers of things in messages."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural unless it is one: "1 pair", "1,234 pairs"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
