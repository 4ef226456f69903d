"""Changes to text that people make: case, punctuation, typing errors, numbers."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Callable

SHORT = 4  # letters of a word that is too short to be spelt wrong


EVERY = 8  # one word in so many of a line with typing errors has one


def upper(word: str) -> str:
    """In capitals."""
    return word.upper()


def title(word: str) -> str:
    """With a capital first letter."""
    return word[:1].upper() + word[1:]


def bare(word: str) -> str:
    """Without the punctuation at its end. (Unicode counts signs among it that are not.)"""
    end = len(word)
    while end and unicodedata.category(word[end - 1]) in ("Po", "Pf", "Pi", "Pe") and word[end - 1] not in "%‰#&@*/\\":
        end -= 1
    return word[:end]


def typo(word: str, rng: random.Random) -> str:
    """With one typing error: two letters exchanged, one left out, or one doubled. Short words stay."""
    places = [i for i in range(1, len(word) - 1) if word[i].isalpha() and word[i + 1].isalpha()]
    if len(word) < SHORT or not places:
        return word
    i = rng.choice(places)
    kind = rng.randrange(3)
    if kind == 0:
        return word[:i] + word[i + 1] + word[i] + word[i + 2 :]
    return word[:i] + word[i + 1 :] if kind == 1 else word[: i + 1] + word[i:]


def with_typos(line: str, rng: random.Random) -> str:
    """A line with a typing error in one word of EVERY, at least one."""
    words = line.split(" ")
    able = [i for i, word in enumerate(words) if len(word) >= SHORT]
    for i in rng.sample(able, min(len(able), max(1, len(words) // EVERY))):
        words[i] = typo(words[i], rng)
    return " ".join(words)


def with_number(line: str, rng: random.Random) -> str:
    """A line with its numbers replaced by others of five digits, or with one put before its last word."""
    number = str(rng.randrange(10_000, 100_000))
    words = line.split(" ")
    if not any(c.isdecimal() for c in line):
        return " ".join([*words[:-1], number, words[-1]])
    return " ".join(number if any(c.isdecimal() for c in word) else word for word in words)


def longest_word(line: str, rng: random.Random) -> str:
    """The longest word alone."""
    return max((bare(word) for word in line.split(" ")), key=len)


def last_bare(line: str, rng: random.Random) -> str:
    """A line without the punctuation at its end."""
    return bare(line).rstrip()


Change = Callable[[str, random.Random], str]


CHANGES: dict[str, Change] = {
    "upper case": lambda line, rng: line.upper(),
    "title case": lambda line, rng: " ".join(map(title, line.split(" "))),
    "no final punctuation": last_bare,
    "typing errors": with_typos,
    "doubled spaces": lambda line, rng: line.replace(" ", "  "),
    "unseen numbers": with_number,
    "one word": longest_word,
    "empty": lambda line, rng: "",
}
