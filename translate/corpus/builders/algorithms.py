"""Corpora of algorithmic tasks with one right answer: copy, reverse, sort, add."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from dragoman.runtime.errors import UserError
from dragoman.translate.corpus.folder import Pair

LANGUAGES = "task", "answer"


SYMBOLS = "abcdefghijklmnopqrst"


TESTED = 50  # test pairs of each length


PLUS = "+"


SUM = re.compile(r"[\d ]+\+[\d ]+")


Make = Callable[[random.Random, int], tuple[list[str], list[str]]]  # a length -> what is given, and the answer


LONGEST = 1000  # more is beyond reason, and beyond the digits that Python writes quickly


TRIES = 50  # for a pair that is new


def _symbols(rng: random.Random, length: int) -> list[str]:
    return rng.choices(SYMBOLS, k=length)


def _digits(rng: random.Random, length: int) -> str:
    """A number of so many digits."""
    return str(rng.randrange(10 ** (length - 1) if length > 1 else 0, 10**length))


def _add(rng: random.Random, length: int) -> tuple[list[str], list[str]]:
    """Two numbers, one of `length` digits and one of at most as many; the sum's last digit comes first, as by hand."""
    numbers = [_digits(rng, length), _digits(rng, rng.randint(1, length))]
    rng.shuffle(numbers)
    total = str(sum(map(int, numbers)))
    return [*numbers[0], PLUS, *numbers[1]], [*reversed(total)]


def length_of(given: str) -> int:
    """The length of a task as `from_algorithm` means it: how many symbols, or digits of the longer of two numbers."""
    parts = given.split(PLUS) if SUM.fullmatch(given) else [given]
    return max(len(part.split()) for part in parts)


def _of_symbols(answer: Callable[[list[str]], list[str]]) -> Make:
    def make(rng: random.Random, length: int) -> tuple[list[str], list[str]]:
        given = _symbols(rng, length)
        return given, answer(given)

    return make


ALGORITHMS: dict[str, Make] = {
    "copy": _of_symbols(list),
    "reverse": _of_symbols(lambda given: given[::-1]),
    "sort": _of_symbols(sorted),
    "add": _add,
}


def from_algorithm(
    name: str, size: int, length: int, beyond: int, seed: int
) -> tuple[dict[str, list[Pair]], dict[str, Any]]:
    """The parts of a corpus, and its card. Raises UserError when there are too few different tasks.

    length: of what is trained on, from 1; beyond: the longest that is tested. No task stands in two parts.
    """
    if beyond > LONGEST:
        raise UserError(f"--beyond {beyond}: tasks of a length up to {LONGEST} can be made")
    if beyond < length:
        raise UserError(f"--beyond {beyond} is less than --length {length}, which training already goes up to")
    rng = random.Random(f"{name} {seed}")
    make, seen = ALGORITHMS[name], set[str]()

    def new(lengths: Callable[[], int], count: int) -> Iterator[Pair]:
        for _ in range(count):
            for _ in range(TRIES):
                given, answer = make(rng, lengths())
                text = " ".join(given)
                if text not in seen:
                    seen.add(text)
                    yield Pair(text, " ".join(answer))
                    break

    tests = [pair for n in range(1, beyond + 1) for pair in new(partial(int, n), min(TESTED, 2**n))]
    valid = [*new(lambda: rng.randint(1, length), max(20, size // 50))]
    train = [*new(lambda: rng.randint(1, length), size)]
    if len(train) < size // 2:
        raise UserError(
            f"of length {length} there are only {len(train):,} different tasks to train on; ask for fewer or longer"
        )
    asked = {"size": size, "length": length, "beyond": beyond, "seed": seed}
    facts = {"corpus": name, **asked, "licence": "made up: free of rights"}
    return {"train": train, "valid": valid, "test": tests}, {**facts, "dropped": {}}
