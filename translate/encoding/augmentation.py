"""Changes that people make to text: case, punctuation, typing errors, numbers.

Training uses some of them for augmentation (word by word, see shards.py). The robustness evaluation uses CHANGES, which
work on whole lines.
"""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Callable

MIN_TYPO_LENGTH = 4  # characters: shorter words get no typing error

WORDS_PER_TYPO = 8  # in a line with typing errors


def upper(word: str) -> str:
    """Return a word in capitals."""
    return word.upper()


def title(word: str) -> str:
    """Return a word with a capital first letter."""
    return word[:1].upper() + word[1:]


def bare(word: str) -> str:
    """Return a word without final punctuation. Signs such as % stay, though Unicode classes them as punctuation."""
    end = len(word)
    while end and unicodedata.category(word[end - 1]) in ("Po", "Pf", "Pi", "Pe") and word[end - 1] not in "%‰#&@*/\\":
        end -= 1
    return word[:end]


def typo(word: str, rng: random.Random) -> str:
    """Return a word with one typing error: two letters swapped, one left out, or one doubled. Short words stay."""
    positions = [i for i in range(1, len(word) - 1) if word[i].isalpha() and word[i + 1].isalpha()]
    if len(word) < MIN_TYPO_LENGTH or not positions:
        return word
    i = rng.choice(positions)
    kind = rng.randrange(3)
    if kind == 0:
        return word[:i] + word[i + 1] + word[i] + word[i + 2 :]
    return word[:i] + word[i + 1 :] if kind == 1 else word[: i + 1] + word[i:]


def with_typos(line: str, rng: random.Random) -> str:
    """Return a line with a typing error in one word of WORDS_PER_TYPO, and in at least one."""
    words = line.split(" ")
    long_words = [i for i, word in enumerate(words) if len(word) >= MIN_TYPO_LENGTH]
    for i in rng.sample(long_words, min(len(long_words), max(1, len(words) // WORDS_PER_TYPO))):
        words[i] = typo(words[i], rng)
    return " ".join(words)


def with_number(line: str, rng: random.Random) -> str:
    """Return a line with its numbers replaced by one of five digits, or with one added if it has none."""
    number = str(rng.randrange(10_000, 100_000))
    words = line.split(" ")
    if not any(c.isdecimal() for c in line):
        return " ".join([*words[:-1], number, words[-1]])
    return " ".join(number if any(c.isdecimal() for c in word) else word for word in words)


def longest_word(line: str, rng: random.Random) -> str:
    """Return the longest word of a line."""
    return max((bare(word) for word in line.split(" ")), key=len)


def without_final_punctuation(line: str, rng: random.Random) -> str:
    """Return a line without the punctuation at its end."""
    return bare(line).rstrip()


Change = Callable[[str, random.Random], str]

CHANGES: dict[str, Change] = {
    "upper case": lambda line, rng: line.upper(),
    "title case": lambda line, rng: " ".join(map(title, line.split(" "))),
    "no final punctuation": without_final_punctuation,
    "typing errors": with_typos,
    "doubled spaces": lambda line, rng: line.replace(" ", "  "),
    "unseen numbers": with_number,
    "one word": longest_word,
    "empty": lambda line, rng: "",
}
