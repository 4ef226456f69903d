"""Measure how well inline tags keep their places in translation, on the pages of LibreOffice's help.

The set: headings and paragraphs of the help that have inline tags, and whose source text is in a held-out set of the
corpus. The reference is the same paragraph in the target language, if it has the same tags. A professional translator
has placed them.

The figures: an element, such as a link, counts where the words agree: the translation has the text of the reference's
element. It is right if the translation's element has exactly this text. Elements with equal tags may change places,
because nobody can see the difference. The headline leaves out elements around a whole paragraph, which cannot go wrong.
The lenient figure ignores case, and punctuation at both ends. Elements without text, and tags that stand alone, are not
compared. Most of them are anchors at the start of a paragraph.

The baseline is the rule of Bergamot's translator, with the same translations and attention: each target word takes the
tags of the source word with the most attention. An element in several pieces is wrong.

Run it in the folder of the repository: python -m bench.tags MODEL.onnx --corpus data/libreoffice. It prints a table,
and before it each segment that lost tags. With --record one row goes to a file, in place of an older row of the same
model, corpus, set and beam size.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dragoman.runtime.alignment import AttentionMap
from dragoman.runtime.documents.html import segments
from dragoman.runtime.documents.options import Options
from dragoman.runtime.documents.projection import subword_spans, visible_length, words_of
from dragoman.runtime.documents.segments import Content, Segment, Tag, Text
from dragoman.runtime.documents.translation import Result, Settings, tag_difference, translate_contents
from dragoman.runtime.errors import UserError
from dragoman.runtime.normalisation import normalise
from dragoman.runtime.translation import Translation
from dragoman.runtime.translator import Translator
from dragoman.translate.corpus.builders import debian_packages
from dragoman.translate.corpus.builders.libreoffice import help_pages, packages
from dragoman.translate.corpus.folder import SPLITS, Corpus, check_model_languages
from dragoman.translate.evaluation.provenance import command, commit, machine
from dragoman.translate.files import read_rows, write_rows

OURS, BASELINE = "Dragoman", "Bergamot's rule"
ROW_KEY = ("model", "corpus", "set", "beam")  # a later row with the same values replaces an older one

_PARAGRAPH = re.compile(r'<(p|h[1-6])\b[^>]*?\sid="([^"]+)"[^>]*>(.*?)</\1>', re.DOTALL)
_LANGUAGE_FOLDER = re.compile(r'="[\w-]+/text/')  # of a link: each language has its own
_EDGES = re.compile(r"^\W+|\W+$")

Page = tuple[str, str]  # its name, which is the same in every language, and its HTML
Paragraphs = Mapping[tuple[str, str], Segment]  # by page and id
Spans = Sequence[tuple[int, int]]
Row = dict[str, Any]
Element = tuple[str, str]  # its opening tag without the language, and its text


class Example(NamedTuple):
    """A paragraph of the help in both languages."""

    source: Segment
    reference: Segment


class Comparison(NamedTuple):
    """The comparison of an element of the reference with the translation, which has its words."""

    element: Element
    is_whole: bool  # around a whole paragraph
    exact: bool
    lenient: bool


class Wrong(NamedTuple):
    """A wrong element, with its segment."""

    example: Example
    content: Sequence[Content]  # of the translation
    comparison: Comparison


class Measured(NamedTuple):
    """The row of figures, the wrong elements, and the segments that lost tags."""

    row: Row
    wrong: list[Wrong]
    lost: list[Example]


def unpacked_help(languages: tuple[str, str], folder: str | None, scratch: Path) -> list[Path]:
    """Return the folders of the unpacked help of both languages, from the .deb files in `folder` or downloaded."""
    names = [packages(language)[0] for language in languages]
    if folder:
        if missing := [name for name in names if name not in debian_packages.packages_in(Path(folder))]:
            raise UserError(f"--from {folder} holds no {missing[0]}_*.deb; download it into this folder")
        files = debian_packages.newest_files(Path(folder), names)
    else:
        files = debian_packages.download(names, scratch, lambda message: print(message, file=sys.stderr))
    return [debian_packages.unpack(files[name], scratch / name) for name in names]


def paragraphs(pages: Iterable[Page]) -> Paragraphs:
    """Return the headings and paragraphs by page and id.

    Those with a line break, or with text that depends on the system or program, are left out.
    """
    found: dict[tuple[str, str], Segment] = {}
    for name, html in pages:
        for _, number, inner in _PARAGRAPH.findall(html):
            if "switchinline" not in inner and len(whole := segments(inner, Options())) == 1:
                found.setdefault((name, number), whole[0])  # the first one, as in the corpus
    return found


def examples(sources: Paragraphs, references: Paragraphs, texts: Iterable[str]) -> tuple[list[Example], Row]:
    """Return the examples whose source is one of the texts, and how many texts were left out for which reason.

    Each text is taken once, where it first has tags.
    """
    wanted = set(texts)
    found: dict[str, Example] = {}
    for key, source in sources.items():
        text = plain(source.text)
        if text in wanted and key in references and not (text in found and tag_counts(found[text].source.content)):
            found[text] = Example(source, references[key])
    with_tags = [example for example in found.values() if tag_counts(example.source.content)]
    equal = [
        (source, reference)
        for source, reference in with_tags
        if tag_counts(source.content) == tag_counts(reference.content)
    ]
    counts = {
        "texts": len(wanted), "in_help": len(found), "with_tags": len(with_tags),
        "different_tags": len(with_tags) - len(equal), "segments": len(equal),
        "tags": sum(tag_counts(source.content).total() for source, _ in equal),
    }  # fmt: skip
    return [Example(*pair) for pair in equal], counts


def plain(text: str) -> str:
    """Return text as it is in a corpus."""
    return normalise(" ".join(text.split()))


def text_of(content: Sequence[Content]) -> str:
    """Return the text without tags."""
    return "".join(item.text for item in content if isinstance(item, Text))


def spelling(tag: Tag) -> str:
    """Return a tag without the language in its link."""
    return _LANGUAGE_FOLDER.sub('="*/text/', tag.source)


def tag_counts(content: Sequence[Content]) -> Counter[str]:
    """Return the number of tags of each spelling."""
    return Counter(spelling(item) for item in content if isinstance(item, Tag))


def element_spans(content: Sequence[Content]) -> Iterator[tuple[str, int, int]]:
    """Yield the opening tag of each element that has text, and the offsets of its text."""
    text, position = text_of(content), 0
    opened: list[tuple[str, int]] = []
    for item in content:
        if isinstance(item, Text):
            position += len(item.text)
        elif item.kind == "open":
            opened.append((spelling(item), position))
        elif item.kind == "close":
            name, start = opened.pop()
            if text[start:position].strip():
                yield name, start, position


def elements(content: Sequence[Content]) -> list[Element]:
    """Return the elements that have text."""
    text = text_of(content)
    return [(name, plain(text[start:end])) for name, start, end in element_spans(content)]


def comparisons(example: Example, text: str, placed: Sequence[Element]) -> Iterator[Comparison]:
    """Yield the comparison for each element of the reference whose words stand in the translation.

    text: the translation. placed: its elements.
    """
    whole = {name for segment in example for name, inner in elements(segment.content) if inner == plain(segment.text)}
    exact = Counter(placed)
    lenient = Counter((name, loose(inner)) for name, inner in placed)
    for name, inner in elements(example.reference.content):
        if not re.search(rf"(?<!\w){re.escape(inner)}(?!\w)", plain(text)):
            continue
        is_exact, is_lenient = exact[name, inner] > 0, lenient[name, loose(inner)] > 0
        exact[name, inner] -= 1
        lenient[name, loose(inner)] -= 1
        yield Comparison((name, inner), name in whole, is_exact, is_lenient)


def loose(text: str) -> str:
    """Return text without its case, and without marks at its ends."""
    return _EDGES.sub("", text).casefold()


def bergamot_elements(content: Sequence[Content], translation: Translation) -> list[Element]:
    """Return the elements of a translation by Bergamot's rule. An element in several pieces has no text."""
    source, target = text_of(content), translation.text
    source_words, target_words = [*words_of(source)], [*words_of(target)]
    best = word_weights(source, source_words, target, target_words, translation.attention).argmax(axis=1)
    starts = np.array([start for start, _ in source_words])[best]  # of the source word of each target word
    placed = []
    for name, start, end in element_spans(content):
        words = np.flatnonzero((start <= starts) & (starts < end))
        in_one_piece = words.size and words[-1] - words[0] + 1 == words.size
        text = target[target_words[words[0]][0] : target_words[words[-1]][1]] if in_one_piece else ""
        placed.append((name, plain(text)))
    return placed


def word_weights(
    source: str, source_words: Spans, target: str, target_words: Spans, attention: Sequence[AttentionMap]
) -> npt.NDArray[np.floating]:
    """Return the attention of target words to source words, the sums over their subwords."""
    weights = np.zeros((len(target_words), len(source_words)))
    source_spans, target_spans = visible_spans(source, source_words), visible_spans(target, target_words)
    source_end = target_end = 0
    for part in attention:
        source_subwords, source_end = subword_spans(part.source_subwords, source_end)
        target_subwords, target_end = subword_spans(part.target_subwords, target_end)
        weights += overlaps(target_spans, target_subwords) @ part.weights @ overlaps(source_spans, source_subwords).T
    return weights


def visible_spans(text: str, words: Spans) -> Spans:
    """Return the places of words, counted in visible characters as in dragoman.runtime.documents.projection."""
    return [(visible_length(normalise(text[:start])), visible_length(normalise(text[:end]))) for start, end in words]


def overlaps(words: Spans, subwords: Spans) -> npt.NDArray[np.floating]:
    """Return the share of each subword that is part of each word (words, subwords)."""
    word, subword = np.array(words)[:, None], np.array(subwords)[None]
    common = np.minimum(word[..., 1], subword[..., 1]) - np.maximum(word[..., 0], subword[..., 0])
    shares: npt.NDArray[np.floating] = np.maximum(common, 0) / np.maximum(subword[..., 1] - subword[..., 0], 1)
    return shares


def translations_of(translator: Translator, set_: Sequence[Example], settings: Settings) -> list[Translation]:
    """Return the translations with their attention, as `translate_contents` gets them."""
    copied = [
        [item.text for item in example.source.content if isinstance(item, Text) and item.source is not None]
        for example in set_
    ]
    texts = [example.source.text for example in set_]
    return translator.translate(
        texts, beam=settings.beam, length_penalty=settings.length_penalty, alignments=True, protected=copied
    )


def figures(set_: Sequence[Example], results: Sequence[Result], translations: Sequence[Translation]) -> Measured:
    """Return the figures of translations, with what went wrong."""
    compared: dict[str, list[Comparison]] = {OURS: [], BASELINE: []}
    problems: Counter[str] = Counter()
    wrong, lost = [], []
    for example, result, translation in zip(set_, results, translations, strict=True):
        problems.update(problem.kind for problem in result.problems)
        if result.content is None:  # it stays in the source language, which is one of the problems
            continue
        assert result.text == translation.text
        if not keeps_tags(example.source, result.content):
            lost.append(example)
        found = [*comparisons(example, result.text, elements(result.content))]
        wrong += [Wrong(example, result.content, comparison) for comparison in found if not comparison.exact]
        compared[OURS] += found
        compared[BASELINE] += comparisons(example, result.text, bergamot_elements(example.source.content, translation))
    row = {
        "tags_kept": len(set_) - len(lost) - problems["kept"],
        "problems": dict(problems),
        "elements": sum(len(elements(example.reference.content)) for example in set_),
        "words_agree": len(compared[OURS]),
        "words_agree_inner": sum(not comparison.is_whole for comparison in compared[OURS]),
        "right": {name: percentages(found) for name, found in compared.items()},
    }
    return Measured(row, wrong, lost)


def percentages(compared: Sequence[Comparison]) -> dict[str, float]:
    """Return the percentages of right elements, of all and of those around a part of a paragraph."""
    inner = [comparison for comparison in compared if not comparison.is_whole]
    return {
        f"{name}_{kind}": round(100 * sum(getattr(comparison, kind) for comparison in some) / max(len(some), 1), 1)
        for name, some in (("inner", inner), ("all", compared))
        for kind in ("exact", "lenient")
    }


def keeps_tags(source: Segment, content: Sequence[Content]) -> bool:
    """Return whether a translation has the tags of its source in the same nesting, when it is read again as HTML."""
    written = segments(source.write(content), Options())
    return len(written) == 1 and not tag_difference(source.content, written[0].content)


def table(row: Row) -> str:
    """Return the figures for people to read."""
    lines = [
        f"{row['texts']:,} texts, {row['in_help']:,} of them in the help, {row['with_tags']:,} with tags; "
        f"{row['different_tags']:,} left out, because the reference has other tags",
        f"{row['segments']:,} segments with {row['tags']:,} tags; {row['tags_kept']:,} keep all of them",
        f"problems: {', '.join(f'{kind} {count:,}' for kind, count in row['problems'].items()) or 'none'}",
        f"{row['elements']:,} elements with text; words agree with the reference in {row['words_agree']:,}, "
        f"{row['words_agree_inner']:,} of them around a part of a paragraph",
        "",
        f"{'right, % of':<20}{'parts of paragraphs':>28}{'all':>24}",
        f"{'':<20}{'exact':>18}{'lenient':>10}{'exact':>14}{'lenient':>10}",
    ]
    for name, shares in row["right"].items():
        lines.append(
            f"{name:<20}{shares['inner_exact']:>18}{shares['inner_lenient']:>10}"
            f"{shares['all_exact']:>14}{shares['all_lenient']:>10}"
        )
    return "\n".join(lines)


def shown(wrong: Wrong) -> str:
    """Return a wrong element with its segment in three versions."""
    example, content, comparison = wrong
    write = example.source.write
    return (
        f"element:     {' '.join(comparison.element)}{' (right but for case and punctuation)' * comparison.lenient}\n"
        f"source:      {write(example.source.content)}\n"
        f"translation: {write(content)}\n"
        f"reference:   {write(example.reference.content)}\n"
    )


def record(path: Path, row: Row) -> None:
    """Write a row to a file, in place of an older row with the same ROW_KEY."""
    rows = read_rows(path) if path.exists() else []
    others = [old for old in rows if [old.get(key) for key in ROW_KEY] != [row[key] for key in ROW_KEY]]
    write_rows(path, [*others, row])


def measure(translator: Translator, options: argparse.Namespace) -> Measured:
    """Return the figures of a model."""
    corpus, settings = Corpus(options.corpus), Settings(beam=options.beam)
    check_model_languages(options.model, translator, options.corpus, corpus.languages)
    languages = corpus.languages[0], corpus.languages[1]
    with tempfile.TemporaryDirectory() as scratch:
        trees = unpacked_help(languages, options.folder, Path(scratch))
        sources, references = (paragraphs(help_pages(tree)) for tree in trees)
    set_, counts = examples(sources, references, [pair.source for pair in corpus.read(options.set)])
    results = translate_contents(translator, [example.source.content for example in set_], settings)
    row, wrong, lost = figures(set_, results, translations_of(translator, set_, settings))
    described = {
        "model": translator.checksum, "corpus": corpus.card.get("corpus", "unknown"), "pair": "-".join(languages),
        "set": options.set, "beam": options.beam or translator.metadata.defaults["beam_size"],
    }  # fmt: skip
    return Measured({**described, **counts, **row}, wrong, lost)


def main() -> int:
    """Measure, print the figures, and record them if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", metavar="MODEL.onnx", help="model file")
    parser.add_argument("--corpus", required=True, metavar="FOLDER", help="corpus of `dragoman corpus libreoffice`")
    parser.add_argument("--set", choices=SPLITS, default="test", help="set of the corpus (default: test)")
    parser.add_argument("--from", dest="folder", metavar="FOLDER", help="folder of .deb files, instead of apt-get")
    parser.add_argument("--beam", type=int, metavar="K", help="beam size (default: the model's own)")
    parser.add_argument("--show", type=int, default=0, metavar="N", help="print N wrong elements")
    parser.add_argument("--record", metavar="FILE", help="write the row to this file")
    options = parser.parse_args()
    try:
        row, wrong, lost = measure(Translator.load(options.model), options)
        for item in [item for item in wrong if not item.comparison.is_whole][: options.show]:
            print(shown(item))
        for example in lost:
            print(f"tags lost: {example.source.write(example.source.content)}")
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
