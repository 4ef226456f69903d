"""Nasty texts: random strings over alphabets that break tokenizers."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Sequence

from dragoman.runtime.protection import PLACEHOLDERS

POOLS = [
    "abcdefghij klmno pqrst uvwxyz   ABC DEF",
    "0123456789.,:;!?%$€-–—'\"„“()[]{}<>/\\|@#&*+=~^_`",
    "äöüßéèêçñåøæœıİğşžčřđłαβγδжзиклмנושאبتثجحकखगघนมยกขคหাখগঘ",
    "中文字漢日本語ひらがなカタカナ한국어조선말。，、！？「」",
    "😀👍🏽👨‍👩‍👧🇩🇪🏴󠁧󠁢󠁥󠁮󠁧󠁿❤️🔥1️⃣",
    "\u0301\u0308\u200b\u200c\u200d\u200e\u00a0\u2003\u3000\t\n\r\x00\x1f\x7f\x85\ufeff\u2581\ufffd",
    "".join(PLACEHOLDERS) + "\U00010348\U0001d11e\U00020000\U0010ffff",
]

# Those that this Python knows; another version of Unicode may put others in another order.
ASSIGNED = [c for c in map(chr, range(0x110000)) if unicodedata.category(c) not in ("Cn", "Cs", "Co")]


def nasty_strings(seed: int, count: int, characters: Sequence[str] = ASSIGNED) -> list[str]:
    """Return random strings over nasty alphabets: single ones, mixed ones, and long runs of one character.

    characters: If there are any, every third string is of them.
    """
    draw = random.Random(seed)
    found = ["", " ", "a", "▁", "\ud800"]
    while len(found) < count:
        pools = draw.choices(POOLS, k=draw.choice((1, 1, 2, 4)))
        pool = [character for each in pools for character in each]
        text = "".join(draw.choices(pool, k=draw.choice((3, 8, 20, 40))))
        if draw.random() < 0.1:
            text = draw.choice(pool) * draw.choice((17, 100, 400)) + text
        if characters and draw.random() < 0.3:
            text = "".join(draw.choice(characters) for _ in text)
        found.append(text)
    return found


def nasty_lines() -> list[str]:
    """Return invented lines in which every kind of character stands."""
    draw = random.Random(3)
    words = ["".join(draw.choices(draw.choice(POOLS[:4]).replace(" ", ""), k=draw.randint(2, 7))) for _ in range(300)]
    return [" ".join(draw.choices(words, k=9)) for _ in range(2000)]
