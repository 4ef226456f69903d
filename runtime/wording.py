"""Words of messages."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, such as "1 line" and "1,000 lines". `noun` is singular, with a regular plural."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
