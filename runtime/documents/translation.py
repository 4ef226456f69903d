"""Translation of segments: text, inline tags, and the checks of both."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from dragoman.runtime.documents.projection import needs_attention, project
from dragoman.runtime.documents.segments import Content, Tag, Text
from dragoman.runtime.metadata import Metadata
from dragoman.runtime.normalisation import normalise
from dragoman.runtime.translation import Translation

# Limits of one segment, so that placing its tags takes little time.
MAX_TAGS = 2000
MAX_COPIED = 1000  # texts that are copied, such as inline code; each is like a pair of tags
MAX_DEPTH = 100

_NUMBER = re.compile(r"\d+")
_UNDECODED = re.compile("[\udc80-\udcff]")


class TextTranslator(Protocol):
    """The part of a Translator that documents need. The server's translates in batches with other requests."""

    @property
    def metadata(self) -> Metadata:
        """The file's metadata."""
        ...

    @property
    def checksum(self) -> str:
        """SHA-256 of the file."""
        ...

    @property
    def has_attention(self) -> bool:
        """True if the network has attention."""
        ...

    def translate(
        self, text: list[str], *, beam: int | None, length_penalty: float | None, alignments: bool,
        protected: Iterable[Iterable[str]], batch_size: int,
    ) -> list[Translation]:  # fmt: skip
        """Translate several texts; see `Translator.translate`."""
        ...


@dataclass(frozen=True)
class Settings:
    """Settings of the translation of a document's segments.

    Attributes:
        beam: Beam size; None for the model's own.
        length_penalty: Exponent of the length in the score; None for the model's own.
        batch_size: Largest number of texts to translate at once.
        drop_tags: Translate a segment without its inline tags if they cannot be placed. Otherwise its source is kept.
    """

    beam: int | None = None
    length_penalty: float | None = None
    batch_size: int = 32
    drop_tags: bool = False


@dataclass(frozen=True)
class Problem:
    """A finding about a segment that a person should look at.

    Attributes:
        kind: `kept` if the segment stays in the source language, `tags` if it lost its inline tags, `spans`, `numbers`
            or `incomplete`.
        message: The finding, as the rest of a sentence about the segment.
    """

    kind: str
    message: str


@dataclass(frozen=True)
class Result:
    """The result of a segment.

    Attributes:
        content: The translated content; None if the segment stays in the source language.
        text: The translation without tags, or the source.
        problems: Findings about the segment.
    """

    content: tuple[Content, ...] | None
    text: str
    problems: tuple[Problem, ...] = ()


class _Job(NamedTuple):
    """A text to translate, and what it must keep."""

    text: str
    copied: tuple[str, ...]
    aligned: bool


def translate_contents(
    translator: TextTranslator, contents: Sequence[Sequence[Content]], settings: Settings
) -> list[Result]:
    """Return the results of the contents of segments, in the same order.

    A text gets the translation that `Translator.translate` gives it. Equal texts are translated once.
    """
    jobs: list[_Job | str] = []  # of each content; or the reason why its source is kept
    obstacles = [_obstacle(content, translator) for content in contents]
    for content, obstacle in zip(contents, obstacles, strict=True):
        if reason := (obstacle if not settings.drop_tags else "") or _untranslatable(content):
            jobs.append(reason)
        else:
            aligned = translator.has_attention and not obstacle and needs_attention(content)
            jobs.append(_Job(_text(content), tuple(item.text for item in _copied(content)), aligned))
    translations: dict[_Job, Translation] = {}
    for aligned in (False, True):
        batch = [*dict.fromkeys(job for job in jobs if isinstance(job, _Job) and job.aligned == aligned)]
        if not batch:
            continue
        found = translator.translate(
            [job.text for job in batch], beam=settings.beam, length_penalty=settings.length_penalty,
            alignments=aligned, protected=[job.copied for job in batch], batch_size=settings.batch_size,
        )  # fmt: skip
        translations.update(zip(batch, found, strict=True))
    return [
        _result(content, translations[job], obstacle, settings) if isinstance(job, _Job) else _kept(content, job)
        for content, job, obstacle in zip(contents, jobs, obstacles, strict=True)
    ]


def _copied(content: Sequence[Content]) -> list[Text]:
    return [item for item in content if isinstance(item, Text) and item.source is not None]


def _text(content: Sequence[Content]) -> str:
    return "".join(item.text for item in content if isinstance(item, Text))


def _kept(content: Sequence[Content], reason: str) -> Result:
    return Result(None, _text(content), (Problem("kept", f"{reason}, so it stays in the source language"),))


def _untranslatable(content: Sequence[Content]) -> str:
    """Return the reason why content cannot be translated, even without its tags, or nothing."""
    if (n_copied := len(_copied(content))) > MAX_COPIED:
        return f"it has {n_copied:,} pieces of code or other text to copy, and at most {MAX_COPIED:,} can be placed"
    if _UNDECODED.search(_text(content)):
        return "it has bytes that are not text in the document's encoding"
    return ""


def _obstacle(content: Sequence[Content], translator: TextTranslator) -> str:
    """Return the reason why the tags of content cannot be placed, or nothing."""
    tags = [item for item in content if isinstance(item, Tag)]
    if len(tags) > MAX_TAGS:
        return f"it has {len(tags):,} inline tags, and at most {MAX_TAGS:,} can be placed"
    depth = deepest = 0
    for tag in tags:
        depth += {"open": 1, "close": -1, "empty": 0}[tag.kind]
        deepest = max(deepest, depth)
    if deepest > MAX_DEPTH:
        return f"its inline tags are nested {deepest:,} deep, and at most {MAX_DEPTH} can be placed"
    if tags and not translator.has_attention and needs_attention(content):
        return "it has inline tags, which a model without attention cannot place"
    return ""


def _result(content: Sequence[Content], translation: Translation, obstacle: str, settings: Settings) -> Result:
    """Return the result of a segment from the translation of its text."""
    source, target = _text(content), translation.text
    if not target:
        return _kept(content, "its translation is empty")
    problems = []
    if not translation.complete:
        problems.append(Problem("incomplete", "the translation reached the largest allowed length"))
    for part in translation.untranslated:
        reason = "because no translation kept its protected spans"
        problems.append(Problem("spans", f"{_quoted(part)} stays in the source language, {reason}"))
    if numbers := different_numbers(source, target):
        problems.append(Problem("numbers", numbers))
    if not obstacle:
        placed = project(content, target, translation.attention)
        obstacle = tag_difference(content, placed)
        if not obstacle:
            return Result(tuple(placed), target, tuple(problems))
    if not settings.drop_tags:
        return _kept(content, obstacle)
    problems.append(Problem("tags", f"{obstacle}, so they are left out"))
    texts = [item for item in content if isinstance(item, Text)]
    return Result(tuple(project(texts, target, translation.attention)), target, tuple(problems))


def _quoted(text: str) -> str:
    return f'"{text[:50]}..."' if len(text) > 53 else f'"{text}"'


def different_numbers(source: str, target: str) -> str:
    """Return a message about the numbers that only one of two texts has, or nothing.

    A number is a run of digits: 1,000.5 is three of them, in any way of writing.
    """
    numbers = [Counter(_NUMBER.findall(normalise(text))) for text in (source, target)]
    lost, added = numbers[0] - numbers[1], numbers[1] - numbers[0]
    parts = [
        f"{' '.join(found.elements())} {'is' if found.total() == 1 else 'are'} only in the {where}"
        for found, where in ((lost, "source"), (added, "translation"))
        if found
    ]
    return " and ".join(parts)


def tag_difference(source: Sequence[Content], target: Sequence[Content]) -> str:
    """Return a message about tags and copied texts that differ in number, spelling or nesting, or nothing."""
    items = [
        Counter((type(item), item.source) for item in content if item.source is not None)
        for content in (source, target)
    ]
    if items[0] != items[1]:
        return "its inline tags would be lost or doubled"
    parents = [_parents(source), _parents(target)]
    if parents[0] != parents[1]:
        return "its inline tags would be nested differently"
    return ""


def _parents(content: Sequence[Content]) -> Counter[tuple[str | None, str | None]] | None:
    """Return the number of times that each tag or copied text stands in each element, or None for crossing elements."""
    opened: list[Tag] = []
    parents: Counter[tuple[str | None, str | None]] = Counter()
    for item in content:
        if item.source is None:
            continue
        if isinstance(item, Tag) and item.kind == "close":
            if not opened or opened.pop().pair != item.pair:
                return None
            continue
        parents[item.source, opened[-1].source if opened else None] += 1
        if isinstance(item, Tag) and item.kind == "open":
            opened.append(item)
    return parents
