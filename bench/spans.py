"""Measure how surely protected spans, such as URLs and placeholders, survive translation.

The sets: the lines of a corpus that have protected spans, from its held-out sets and a sample of its training set; and
made sentences. A made sentence is a template of plain English with one to four made spans, which stand in all
positions. All kinds of spans are equally frequent in it.

The unit is a string that a text must keep, with all its copies. It is kept if it stands in the translation as often as
in the source. "Before" is a translator that knows of no spans. "After" is `Translator.translate`; a string in a part
that stays in the source language does not count as kept there. A string is lost silently if the translation does not
keep it. The table also says what kept each string: the model itself, another hypothesis of the beam, or attention.

The placement: a span is in the right place if the word before it or the word after it is the same as in the reference,
without regard to case and marks. The end of a text counts as a word. Only spans that stand once in the source, the
reference and the translation are compared. The figure is low for any translation in other words than the reference, so
it serves to compare.

A string that touches another word has a neighbour other than a space or a usual mark, where the source has a space.

Run it in the folder of the repository: python -m bench.spans MODEL.onnx --corpus data/libreoffice. It prints a table
for each set. With --record one row for each set goes to a file, in place of an older row of the same model, corpus, set
and beam size.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench.tags import record
from dragoman.runtime.documents.translation import different_numbers
from dragoman.runtime.engine import Engine
from dragoman.runtime.errors import UserError
from dragoman.runtime.metadata import Metadata
from dragoman.runtime.normalisation import normalise
from dragoman.runtime.parts import Part, PartSplitter
from dragoman.runtime.protection import PATTERNS, count_in, protected_spans
from dragoman.runtime.translator import Translator
from dragoman.translate.corpus.folder import Corpus, Pair, check_model_languages
from dragoman.translate.evaluation.provenance import command, commit, machine

SEED = 1
N_MADE = 2000
MUST_KEEP = 99.5  # % of the strings, after the repair

# Ways by which a string is kept; or it is lost, or its part stays in the source language.
OWN, OTHER, ATTENTION, SOURCE, LOST = "model", "other hypothesis", "attention", "source language", "lost"
OUTCOMES = (OWN, OTHER, ATTENTION, SOURCE, LOST)

TEMPLATES = (
    # one span: at the start, at the end, before marks, in brackets and in quotation marks
    "{0} is the first thing that you should look at.",
    "{0} cannot be opened",
    "{0}: the value is not valid.",
    "The new version of the program can be found at {0}",
    "Please write to {0}.",
    "Do you want to replace {0}?",
    "Never delete {0}!",
    "Click the button and enter {0}, then press the key.",
    "The name of the file ({0}) must not be empty.",
    'Type "{0}" into the field and confirm with OK.',
    "You will not see {0} in the list if the option is off.",
    "The children played in the garden and found {0} under a tree.",
    # two
    "Replace {0} by {1} in the whole document.",
    "{0} depends on {1}",
    "If {0} is empty, the program uses {1} instead.",
    "Both values are shown: {0} {1}",
    "The options {0} {1} are not available in this mode.",
    "My sister sent {0} to the teacher; the teacher answered with {1}.",
    "Select {0} (see {1}) to open the dialog.",
    # the same twice
    "{0} is not the same as {1}, but {0} can be used, too.",
    "Open {0} and close {0} again.",
    "{0} {0} appears twice in the line.",
    # three and four
    "Copy {0}, {1} and {2} into the folder of the document.",
    "{0} asked whether {1} belongs to {2}.",
    "For more information, see {0}, {1} or {2}.",
    "The error in {0}, line {1}, was caused by {2}; it is reported to {3}.",
    "{0}, {1}, {2} and {3} are names.",
    "When you save {0}, the old man reads {1} {2} and writes {3}.",
)
_WORDS = (
    "alpha report user total river lamp window index order green paper north summer count title bridge orange silver "
    "market station letter winter button garden"
).split()
_EMOJI = "😀 😎 🎉 👍 🚀 ❤ ☀ ⚠ ✅ 👩‍💻 🇩🇪 👍🏽 🌍 🍎 🐶".split()

# Marks that may touch a span. A hyphen makes a compound: "%PRODUCTNAME-Fenster".
_MARKS_BEFORE = r"\s(\[\"'„“‚‘«»–-"
_MARKS_AFTER = r"\s.,:;!?…)\]\"'“”‘’«»–-"

Row = dict[str, Any]


class Example(NamedTuple):
    """A text, the strings that its translation must keep, each with its kind, and its reference if there is one."""

    source: str
    strings: Mapping[str, str]
    reference: str | None = None


class Outcome(NamedTuple):
    """The two translations of an example, and the outcome of each string."""

    example: Example
    bare: str
    translation: str
    strings: Mapping[str, str]  # one of OUTCOMES for each


class RecordingSplitter(PartSplitter):
    """A splitter that records the parts of each text."""

    def __init__(self, translator: Translator) -> None:
        tokenizers = translator.source_tokenizer, translator.target_tokenizer
        placeholders = all(tokenizer.has_placeholders for tokenizer in tokenizers)
        super().__init__(translator.metadata, translator.source_tokenizer, placeholders=placeholders)
        self.parts: list[list[Part]] = []

    def split(self, text: str, protected: Sequence[str] = ()) -> list[Part]:
        """Return the parts of a text, and record them."""
        self.parts.append(super().split(text, protected))
        return self.parts[-1]


class UnprotectedSplitter(PartSplitter):
    """A splitter that finds no spans."""

    def _split_line(self, line: str, protected: Sequence[str]) -> list[Part]:
        return self._split_hidden(line) if line else []


class RecordingTranslator(Translator):
    """A translator that records the parts of each text, and the texts that each search found for a part."""

    def __init__(self, engine: Engine, metadata: Metadata) -> None:
        super().__init__(engine, metadata)
        self.searches: dict[int, list[list[str]]] = {}  # by the identity of the part, which the splitter keeps alive
        self.recorder = self._splitter = RecordingSplitter(self)

    def _search(self, batch: Sequence[Part], n_best: int, settings: dict[str, int | float]) -> list[list[Any]]:
        found: list[list[Any]] = super()._search(batch, n_best, settings)
        for part, candidates in zip(batch, found, strict=True):
            self.searches.setdefault(id(part), []).append([candidate.hypothesis.text for candidate in candidates])
        return found


class BareTranslator(Translator):
    """A translator that knows of no spans."""

    def __init__(self, engine: Engine, metadata: Metadata) -> None:
        super().__init__(engine, metadata)
        self._splitter = UnprotectedSplitter(metadata, self.source_tokenizer)


def kind_of(text: str, start: int, end: int) -> str:
    """Return the kind of a protected span."""
    for kind, pattern in PATTERNS.items():
        if (match := re.compile(pattern).match(text, start)) and match.end() == end:
            return kind
    raise ValueError(f"{text[start:end]!r} is no protected span")


def example_of(pair: Pair) -> Example:
    """Return a pair of a corpus as an example."""
    source = normalise(pair.source)
    strings = {source[start:end]: kind_of(source, start, end) for start, end in protected_spans(source)}
    return Example(source, strings, normalise(pair.target))


def makers(generator: random.Random) -> dict[str, Callable[[], str]]:
    """Return functions that make a span of each kind."""
    choose, number = generator.choice, generator.randint

    def word() -> str:
        return choose(_WORDS)

    def ending() -> str:
        return choose(("txt", "html", "png", "py", "odt", "csv", "tar.gz"))

    forms: dict[str, tuple[Callable[[], str], ...]] = {
        "url": (
            lambda: f"https://www.{word()}-{word()}.org/{word()}/{word()}?{word()}={number(1, 99)}",
            lambda: f"http://{word()}.example.com:{number(80, 9000)}/",
            lambda: f"www.{word()}.{choose(('com', 'de', 'org'))}",
            lambda: f"https://{word()}.net/{word()}_{word()}.html#{word()}",
        ),
        "e-mail": (
            lambda: f"{word()}.{word()}@{word()}.org",
            lambda: f"{word()}{number(1, 99)}@mail.{word()}.co.uk",
            lambda: f"{word()}+{word()}@example.com",
        ),
        "template": (
            lambda: f"{{{word()}}}",
            lambda: f"{{{number(0, 9)}}}",
            lambda: f"{{{{ {word()}.{word()} }}}}",
            lambda: f"{{{{{word()}}}}}",
            lambda: f"${{{word().upper()}}}",
        ),
        "format": (
            lambda: choose(("%s", "%d", "%.2f", "%i", "%5d")),
            lambda: f"%{number(1, 4)}${choose('sd')}",
            lambda: f"%({word()}){choose('sd')}",
            lambda: f"%{word().upper()}%",
            lambda: f"%{word().upper()}",
        ),
        "variable": (lambda: f"${word()}", lambda: f"${word().upper()}", lambda: f"${word()}_{word()}"),
        "tag": (
            lambda: f"<{choose(('b', 'br', 'li', 'p'))}>",
            lambda: f"</{choose(('b', 'i', 'span'))}>",
            lambda: f'<a href="{word()}.html">',
            lambda: f"<{word()}/>",
            lambda: f"<{word()}_{word()}>",
        ),
        "path": (
            lambda: f"/{word()}/{word()}/{word()}.{ending()}",
            lambda: f"C:\\{word().title()}\\{word()}.{ending()}",
            lambda: f"~/{word()}/{word()}",
            lambda: f"{word()}-{word()}.{ending()}",
            lambda: f"{word()}/{word()}.{ending()}",
            lambda: f"./{word()}.sh",
        ),
        "version": (
            lambda: f"{number(0, 20)}.{number(0, 20)}.{number(0, 20)}",
            lambda: f"v{number(0, 20)}.{number(0, 20)}",
            lambda: f"{number(1, 20)}.{number(0, 20)}.{number(0, 9)}-rc{number(1, 4)}",
            lambda: f"{number(1, 200)}.{number(1, 200)}.0.{number(1, 200)}",
        ),
        "mention": (lambda: f"@{word()}", lambda: f"@{word()}_{number(1, 99)}", lambda: f"@{word().title()}"),
        "hashtag": (lambda: f"#{word()}", lambda: f"#{word().title()}{word().title()}"),
        "emoji": (lambda: choose(_EMOJI), lambda: f":{word()}:", lambda: f":{word()}_{word()}:"),
    }  # fmt: skip
    return {kind: lambda of_kind=of_kind: choose(of_kind)() for kind, of_kind in forms.items()}  # type: ignore[misc]


def made_examples(count: int, seed: int = SEED) -> list[Example]:
    """Return made sentences. Each kind of span is equally frequent, and so is each template."""
    generator = random.Random(seed)
    make = makers(generator)
    kinds = shuffled_without_end(tuple(make), generator)
    templates = shuffled_without_end(TEMPLATES, generator)
    examples = []
    for _ in range(count):
        template = next(templates)
        strings: dict[str, str] = {}
        for _ in range(len(set(re.findall(r"\{\d\}", template)))):
            kind = next(kinds)
            string = normalise(make[kind]())
            while any(string in other or other in string for other in strings):  # else their copies count twice
                string = normalise(make[kind]())
            strings[string] = kind
        examples.append(Example(normalise(template.format(*strings)), strings))
    return examples


def shuffled_without_end(items: Sequence[str], generator: random.Random) -> Iterator[str]:
    """Yield all items in random order, again and again."""
    while True:
        yield from generator.sample(items, len(items))


def outcomes_of(
    examples: Sequence[Example], translator: RecordingTranslator, bare: Translator, beam: int | None
) -> list[Outcome]:
    """Return the outcomes of examples."""
    texts = [example.source for example in examples]
    translator.recorder.parts.clear()
    translator.searches.clear()
    translations = translator.translate(texts, beam=beam)
    bare_translations = bare.translate(texts, beam=beam)
    outcomes = []
    for example, translation, other, parts in zip(
        examples, translations, bare_translations, translator.recorder.parts, strict=True
    ):
        strings = {
            string: outcome_of(string, example.source, translation.text, parts, translator.searches)
            for string in example.strings
        }
        outcomes.append(Outcome(example, other.text, translation.text, strings))
    return outcomes


def outcome_of(
    string: str, source: str, translation: str, parts: Iterable[Part], searches: Mapping[int, Sequence[Sequence[str]]]
) -> str:
    """Return the outcome of a string, the worst over the parts that have it. OUTCOMES are in order, the best first.

    searches: the texts that the searches found for each part. The first search is that for the best hypothesis, and the
    second one is for the whole beam.
    """
    if not is_kept(string, source, translation):
        return LOST
    found = [OWN]
    for part in parts:
        if not part.ids or not count_in(part.text, string):
            continue
        of_part = searches[id(part)]
        if not part.is_translated:
            found.append(SOURCE)
        elif is_kept(string, part.text, of_part[0][0]):
            found.append(OWN)
        elif part.hypotheses[0].text in of_part[-1]:
            found.append(OTHER)
        else:
            found.append(ATTENTION)
    return max(found, key=OUTCOMES.index)


def is_kept(string: str, source: str, translation: str) -> bool:
    """Return whether a string stands in a translation as often as in the source."""
    return count_in(source, string) == count_in(translation, string)


def neighbours(text: str, string: str) -> tuple[str, str]:
    """Return the words before and after a string in a text, in small letters; nothing for the end of the text."""
    start = text.index(string)
    before = re.findall(r"\w+", text[:start])
    after = re.search(r"\w+", text[start + len(string) :])
    return (before[-1].casefold() if before else ""), (after[0].casefold() if after else "")


def is_well_placed(string: str, translation: str, reference: str) -> bool:
    """Return whether a neighbour of a string in a translation is the same as in the reference."""
    found, right = neighbours(translation, string), neighbours(reference, string)
    return found[0] == right[0] or found[1] == right[1]


def stands_apart(string: str, source: str, translation: str) -> bool:
    """Return whether nothing but a usual mark touches a string on that side where a space stands in the source."""
    start, end = source.index(string), source.index(string) + len(string)
    before = rf"(?<![^{_MARKS_BEFORE}])" if source[start - 1 : start] in ("", " ") else ""
    after = rf"(?![^{_MARKS_AFTER}])" if source[end : end + 1] in ("", " ") else ""
    return len(re.findall(before + re.escape(string) + after, translation)) == translation.count(string)


def row_of(outcomes: Sequence[Outcome]) -> Row:
    """Return the figures of outcomes."""
    by_kind: dict[str, Counter[str]] = {kind: Counter() for kind in PATTERNS}
    places: dict[str, list[bool]] = {"bare": [], "same": [], "repaired": []}
    numbers: Counter[str] = Counter()
    apart: list[bool] = []
    for example, bare, translation, found in outcomes:
        source, reference = example.source, example.reference
        for name, text in (("source", ""), ("before", bare), ("after", translation), ("reference", reference)):
            numbers[name] += text is not None and bool(different_numbers(source, text))
        for string, outcome in found.items():
            counts = by_kind[example.strings[string]]
            kept_before = is_kept(string, source, bare)
            counts.update({"strings": 1, "before": int(kept_before), outcome: 1})
            if outcome in (LOST, SOURCE):
                continue
            apart.append(stands_apart(string, source, translation))
            if reference and source.count(string) == reference.count(string) == translation.count(string) == 1:
                if not kept_before:
                    places["repaired"].append(is_well_placed(string, translation, reference))
                elif bare.count(string) == 1:
                    places["bare"].append(is_well_placed(string, bare, reference))
                    places["same"].append(is_well_placed(string, translation, reference))
    total = sum(by_kind.values(), Counter())
    return {
        "texts": len(outcomes),
        **shares_of(total),
        "silently_lost": total[LOST],
        "not_apart": len(apart) - sum(apart),
        "placed": {name: [sum(right), len(right)] for name, right in places.items()},
        "different_numbers": dict(numbers),
        "kinds": {kind: shares_of(counts) for kind, counts in by_kind.items() if counts},
    }


def shares_of(counts: Counter[str]) -> Row:
    """Return the shares of strings that are kept before and after, in percent, and the number of each outcome."""
    strings = max(counts["strings"], 1)
    after = counts["strings"] - counts[LOST] - counts[SOURCE]
    return {
        "strings": counts["strings"],
        "before": round(100 * counts["before"] / strings, 2),
        "after": round(100 * after / strings, 2),
        "outcomes": {outcome: counts[outcome] for outcome in OUTCOMES},
    }


def table(row: Row) -> str:
    """Return the figures for people to read."""
    lines = [
        f"{row['set']}, beam {row['beam']}: {row['texts']:,} texts",
        f"{'':<12}{'strings':>8}{'before %':>10}{'after %':>10}" + "".join(f"{outcome:>18}" for outcome in OUTCOMES),
    ]
    for kind, counts in [*row["kinds"].items(), ("all", row)]:
        lines.append(
            f"{kind:<12}{counts['strings']:>8,}{counts['before']:>10.2f}{counts['after']:>10.2f}"
            + "".join(f"{counts['outcomes'][outcome]:>18,}" for outcome in OUTCOMES)
        )
    numbers = row["different_numbers"]
    lines += [
        f"{row['silently_lost']:,} lost silently; after the repair, {MUST_KEEP} % must be kept: "
        f"{'yes' if row['after'] >= MUST_KEEP and not row['silently_lost'] else 'no'}",
        f"{row['not_apart']:,} touch another word",
        f"texts whose numbers differ: {numbers['before']:,} before, {numbers['after']:,} after, "
        f"{numbers['reference']:,} in the reference, of {numbers['source']:,} with numbers",
    ]
    if row["placed"]["same"][1]:
        shares = {name: f"{100 * right / max(n, 1):.1f} % of {n:,}" for name, (right, n) in row["placed"].items()}
        lines.append(
            f"in the right place: kept by the model {shares['bare']} before and {shares['same']} after; "
            f"lost by it {shares['repaired']}"
        )
    return "\n".join(lines) + "\n"


def badness(outcome: Outcome) -> int:
    """Return how bad an outcome is, for the order in which examples are shown."""
    example, _, translation, found = outcome
    worst = 4 * max((OUTCOMES.index(string) for string in found.values()), default=0)
    reference = example.reference
    for string, kept_by in found.items():
        if kept_by in (LOST, SOURCE):
            continue
        worst += not stands_apart(string, example.source, translation)
        worst += bool(reference and string in reference and not is_well_placed(string, translation, reference))
    return worst


def shown(outcome: Outcome) -> str:
    """Return an example with its translations."""
    example, bare, translation, found = outcome
    return (
        f"strings:     {', '.join(f'{string} ({kept_by})' for string, kept_by in found.items())}\n"
        f"source:      {example.source}\n"
        f"before:      {bare}\n"
        f"translation: {translation}\n"
    ) + (f"reference:   {example.reference}\n" if example.reference is not None else "")


def sets_of(corpus: Corpus, n_train: int) -> dict[str, list[Example]]:
    """Return the examples of each set. n_train: size of the sample of training pairs with spans."""
    pairs = {"held-out": [*corpus.read("valid"), *corpus.read("test")], f"train {n_train}": [*corpus.read("train")]}
    sets = {
        name: [example for example in map(example_of, of_set) if example.strings]
        for name, of_set in pairs.items()
        if n_train or name == "held-out"
    }
    for name, examples in sets.items():
        if name != "held-out":
            sets[name] = random.Random(SEED).sample(examples, min(n_train, len(examples)))
    return {**sets, f"made {N_MADE}": made_examples(N_MADE)}


def measure(options: argparse.Namespace) -> Iterator[tuple[Row, list[Outcome]]]:
    """Yield the row of each set, and its outcomes."""
    translator, bare = RecordingTranslator.load(options.model), BareTranslator.load(options.model)
    corpus = Corpus(options.corpus)
    check_model_languages(options.model, translator, options.corpus, corpus.languages)
    assert isinstance(translator, RecordingTranslator)
    for name, examples in sets_of(corpus, options.train).items():
        outcomes = outcomes_of(examples, translator, bare, options.beam)
        described = {
            "model": translator.checksum, "corpus": corpus.card.get("corpus", "unknown"),
            "pair": "-".join(corpus.languages), "set": name,
            "beam": options.beam or translator.metadata.defaults["beam_size"],
        }  # fmt: skip
        yield {**described, **row_of(outcomes)}, outcomes


def main() -> int:
    """Measure, print the figures, and record them if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", metavar="MODEL.onnx", help="model file")
    parser.add_argument("--corpus", required=True, metavar="FOLDER", help="corpus folder, such as data/libreoffice")
    parser.add_argument("--train", type=int, default=0, metavar="N", help="also measure N training lines with spans")
    parser.add_argument("--beam", type=int, metavar="K", help="beam size (default: the model's own)")
    parser.add_argument("--show", type=int, default=0, metavar="N", help="print the N worst examples of each set")
    parser.add_argument("--record", metavar="FILE", help="write the rows to this file")
    options = parser.parse_args()
    try:
        for row, outcomes in measure(options):
            for outcome in sorted(outcomes, key=badness, reverse=True)[: options.show]:
                print(shown(outcome))
            print(table(row))
            if options.record:
                origin = {"commit": commit(), "machine": machine(), "command": command()}
                record(Path(options.record), {**row, **origin})
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
