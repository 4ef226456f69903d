"""The LibreOffice corpus: the help and the interface, from Debian's or Ubuntu's packages.

It is a real corpus that anybody on Debian or Ubuntu can build. Help pages are HTML, and their paragraphs have the same
ids in every language. Interface strings are in gettext catalogues, keyed by the English text. Both are translated by
professionals, under the MPL-2.0. The packages are downloaded and unpacked, but not installed.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from dragoman.runtime.errors import UserError
from dragoman.translate.corpus.builders import debian_packages
from dragoman.translate.corpus.readers.catalogues import CONTEXT_END, read_catalogue
from dragoman.translate.corpus.readers.rows import RawRow

HELP, INTERFACE = "libreoffice-help-", "libreoffice-l10n-"  # prefixes of the packages, which hold a language each

Key = tuple[str, str]  # the file, and the paragraph's id or the message, which are the same in every language

PARAGRAPHS = {"p", "h1", "h2", "h3", "h4", "h5", "h6"}

# The mark of a shortcut's letter: before the letter, or in CJK the letter in brackets after the text.
SHORTCUT = re.compile(r"\([~_]\w\)|[~_](?=\w)")


def packages(language: str) -> list[str]:
    """Return the Debian packages of a language: help and interface. English needs no interface package."""
    code = language.lower().replace("_", "-")
    return [HELP + "en-us"] if code == "en" else [HELP + code, INTERFACE + code]


def read_libreoffice(
    languages: tuple[str, str], folder: str | None, log: Callable[[str], None] = lambda _: None
) -> tuple[list[RawRow], dict[str, Any]]:
    """Return the raw rows of help paragraphs and interface strings, and the facts for the corpus card.

    `folder` holds the .deb files; if it is None, apt-get downloads them. Two thirds of the languages have no help, so
    their corpus is the interface alone. Raises UserError if the interface is missing, too.
    """
    with tempfile.TemporaryDirectory() as scratch:
        debs = _find_packages(languages, folder, Path(scratch), log)
        trees = {}
        for name, deb in debs.items():
            log(f"unpacking {deb.name}")
            trees[name] = debian_packages.unpack(deb, Path(scratch) / name)
        source_trees, target_trees = (
            [trees[name] for name in packages(language) if name in trees] for language in languages
        )
        help_rows = _aligned(_read_help(source_trees), _read_help(target_trees))
        source, target = _read_interface(source_trees), _read_interface(target_trees)
        if languages[0] == "en":
            source = _english_interface(target)
        if languages[1] == "en":
            target = _english_interface(source)
        interface_rows = [(plain(a), plain(b)) for a, b in _aligned(source, target)]
    facts = {
        "corpus": "libreoffice",
        "from": sorted(deb.name for deb in debs.values()),
        "licence": "MPL-2.0 (LibreOffice's contributors)",
        "read_help": len(help_rows),
        "read_interface": len(interface_rows),
    }
    return [*help_rows, *interface_rows], facts


def _find_packages(
    languages: tuple[str, str], folder: str | None, scratch: Path, log: Callable[[str], None]
) -> dict[str, Path]:
    """Return the .deb files of both languages by package, from `folder` or downloaded into `scratch`.

    Help is left out for both languages if one has none.
    """
    names = [name for language in languages for name in packages(language)]
    if folder:
        available = debian_packages.packages_in(Path(folder))
    else:
        available = debian_packages.available_packages("libreoffice-", names)
    for name in names:
        if name.startswith(INTERFACE) and name not in available:
            codes = sorted(other.removeprefix(INTERFACE) for other in available if other.startswith(INTERFACE))
            problem = f"--from {folder} holds no {name}_*.deb" if folder else f"there is no package {name}"
            raise UserError(f"{problem}; available languages: {', '.join(['en', *codes])}")
    if missing := [name for name in names if name.startswith(HELP) and name not in available]:
        log(f"no package {' or '.join(missing)}: the corpus holds the interface only")
        names = [name for name in names if not name.startswith(HELP)]
    if folder:
        return debian_packages.newest_files(Path(folder), names)
    return debian_packages.download(names, scratch, log)


def _aligned(source: dict[Key, str], target: dict[Key, str]) -> list[tuple[str, str]]:
    """Return the texts that both languages have."""
    return [(text, target[key]) for key, text in source.items() if key in target]


def _english_interface(other: dict[Key, str]) -> dict[Key, str]:
    """Return the English messages, which are the keys of another language's."""
    return {key: key[1].rpartition(CONTEXT_END)[2] for key in other}


def _read_help(trees: list[Path]) -> dict[Key, str]:
    """Return the paragraphs of help pages by file and id, from the folders of unpacked packages."""
    paragraphs: dict[Key, str] = {}
    for tree in trees:
        for name, html in help_pages(tree):
            page = _HelpPage()
            page.feed(html)
            paragraphs.update({(name, id): text for id, text in page.paragraphs.items()})
    return paragraphs


def help_pages(tree: Path) -> Iterator[tuple[str, str]]:
    """Yield the name and the HTML of each help page in the folder of an unpacked package.

    The name is the same in every language.
    """
    for root in tree.glob("usr/share/libreoffice/help/*/text"):
        for path in sorted(root.rglob("*.html")):
            yield str(path.relative_to(root)), path.read_text("utf-8", errors="replace")


class _HelpPage(HTMLParser):
    """A parser that collects the text of headings and paragraphs that have an id.

    A switch is a span whose child spans are cases: texts for one system or program each. Only the default case is used,
    or else the first.
    """

    def __init__(self) -> None:
        super().__init__()
        self.paragraphs: dict[str, str] = {}
        self.tag = self.id = ""  # of the open paragraph
        self.parts: list[str] = []  # its text so far
        self.open_spans: list[str] = []  # "switch", "case" or "" each
        self.cases: list[tuple[bool, list[str]]] = []  # of the last switch: is it the default, and its text

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag in PARAGRAPHS:
            self.tag, self.id, self.parts = tag, attributes.get("id") or "", []
            self.open_spans, self.cases = [], []
        elif tag == "span":
            in_switch = self.open_spans[-1:] == ["switch"]
            kind = "switch" if attributes.get("class") == "switchinline" else "case" if in_switch else ""
            self.open_spans.append(kind)
            if kind == "switch":
                self.cases = []
            elif kind == "case":
                self.cases.append(((attributes.get("id") or "").startswith("default"), []))
        elif tag == "br":
            self.handle_data(" ")

    def handle_data(self, data: str) -> None:
        parts = self.cases[-1][1] if "case" in self.open_spans else self.parts
        parts.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "span" and self.open_spans and self.open_spans.pop() == "switch":
            default_first = sorted(self.cases, key=lambda case: not case[0])
            self.parts += [text for _, parts in default_first[:1] for text in parts]
        if tag == self.tag and self.id:
            text = " ".join("".join(self.parts).split())
            if text:
                self.paragraphs.setdefault(self.id, text)
            self.tag = self.id = ""


def _read_interface(trees: list[Path]) -> dict[Key, str]:
    """Return the messages without plural forms by catalogue and key: context and English text."""
    messages: dict[Key, str] = {}
    for tree in trees:
        for path in sorted(tree.glob("usr/lib/libreoffice/program/resource/*/LC_MESSAGES/*.mo")):
            for message in read_catalogue(path).messages:
                if message.plural is None and message.translations:
                    key = f"{message.context or ''}{CONTEXT_END}{message.source}"
                    messages[path.name, key] = message.translations[0]
    return messages


def plain(text: str) -> str:
    """Return a message as users see it, without the mark of a shortcut and without line breaks."""
    if len(SHORTCUT.findall(text)) == 1:  # several marks belong to an identifier, such as my_own_name
        text = SHORTCUT.sub("", text)
    return " ".join(text.split())
