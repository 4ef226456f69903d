"""Corpora of algorithmic tasks with one right answer: copy, reverse, sort, add.

They show what a recurrent network can compute with and without attention. copy, reverse and sort take symbols. add
takes two numbers, digit by digit, with a plus sign between them. Training and validation use lengths up to `length`,
and the test set goes `beyond`, so scores by length show both.
"""

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
PLUS = "+"
SUM = re.compile(r"[\d ]+\+[\d ]+")

TESTS_PER_LENGTH = 50
MAX_LENGTH = 1000  # Python converts longer integers to text slowly
MAX_TRIES = 50  # for a task that is new

# Returns a random task of the given length and its answer, both as lists of symbols.
TaskMaker = Callable[[random.Random, int], tuple[list[str], list[str]]]


def _random_number(rng: random.Random, digits: int) -> str:
    """Return a random number with this many digits."""
    return str(rng.randrange(10 ** (digits - 1) if digits > 1 else 0, 10**digits))


def _add(rng: random.Random, length: int) -> tuple[list[str], list[str]]:
    """Return a sum of two numbers and its answer, whose digits run from last to first.

    One number has `length` digits, the other at most as many. The answer starts with its last digit, as in addition by
    hand, so that carries follow the order of decoding.
    """
    numbers = [_random_number(rng, length), _random_number(rng, rng.randint(1, length))]
    rng.shuffle(numbers)
    total = str(sum(map(int, numbers)))
    return [*numbers[0], PLUS, *numbers[1]], [*reversed(total)]


def _on_symbols(answer: Callable[[list[str]], list[str]]) -> TaskMaker:
    """Return a TaskMaker that draws random symbols and computes their answer."""

    def make_task(rng: random.Random, length: int) -> tuple[list[str], list[str]]:
        symbols = rng.choices(SYMBOLS, k=length)
        return symbols, answer(symbols)

    return make_task


ALGORITHMS: dict[str, TaskMaker] = {
    "copy": _on_symbols(list),
    "reverse": _on_symbols(lambda symbols: symbols[::-1]),
    "sort": _on_symbols(sorted),
    "add": _add,
}


def length_of(task: str) -> int:
    """Return the length of a task: its number of symbols, or of the digits of the longer summand."""
    parts = task.split(PLUS) if SUM.fullmatch(task) else [task]
    return max(len(part.split()) for part in parts)


def build_algorithm(
    name: str, size: int, length: int, beyond: int, seed: int
) -> tuple[dict[str, list[Pair]], dict[str, Any]]:
    """Return the splits of a corpus of one of ALGORITHMS, and its card. No task is in two splits.

    `size` is the number of training pairs, `length` the greatest length to train on, and `beyond` the greatest to test.
    Raises UserError if the lengths contradict each other, or if there are too few different tasks.
    """
    if beyond > MAX_LENGTH:
        raise UserError(f"--beyond {beyond}: the greatest length is {MAX_LENGTH}")
    if beyond < length:
        raise UserError(f"--beyond {beyond} is less than --length {length}; test at least the lengths to train on")
    rng = random.Random(f"{name} {seed}")
    make_task, seen = ALGORITHMS[name], set[str]()

    def new_tasks(next_length: Callable[[], int], count: int) -> Iterator[Pair]:
        for _ in range(count):
            for _ in range(MAX_TRIES):
                symbols, answer = make_task(rng, next_length())
                task = " ".join(symbols)
                if task not in seen:
                    seen.add(task)
                    yield Pair(task, " ".join(answer))
                    break

    def training_length() -> int:
        return rng.randint(1, length)

    test = [pair for n in range(1, beyond + 1) for pair in new_tasks(partial(int, n), min(TESTS_PER_LENGTH, 2**n))]
    valid = [*new_tasks(training_length, max(20, size // 50))]
    train = [*new_tasks(training_length, size)]
    if len(train) < size // 2:
        raise UserError(
            f"there are only {len(train):,} different tasks up to length {length} to train on; lower --size or raise "
            "--length"
        )
    card = {
        "corpus": name,
        "size": size,
        "length": length,
        "beyond": beyond,
        "seed": seed,
        "licence": "made up: free of rights",
        "dropped": {},
    }
    return {"train": train, "valid": valid, "test": test}, card
