"""The LibreOffice corpus: help and interface from Debian's or Ubuntu's packages."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import polib

from dragoman.runtime.errors import UserError
from dragoman.translate.corpus.readers.raw import Raw

HELP, INTERFACE = "libreoffice-help-", "libreoffice-l10n-"  # packages, a language each


Key = tuple[str, str]  # the file within its language, and the paragraph or message


HEADINGS = {"p", "h1", "h2", "h3", "h4", "h5", "h6"}


# What marks the letter of a shortcut, once in a message: before it, or in CJK after the text, in brackets.
SHORTCUT = re.compile(r"\([~_]\w\)|[~_](?=\w)")


def packages(language: str) -> list[str]:
    """The Debian packages of a language: its help, and its interface but for English, whose words are the keys."""
    code = language.lower().replace("_", "-")
    return [HELP + "en-us"] if code == "en" else [HELP + code, INTERFACE + code]


def read_libreoffice(
    languages: tuple[str, str], folder: str | None, say: Callable[[str], None] = lambda _: None
) -> tuple[list[Raw], dict[str, Any]]:
    """Raw pairs of help paragraphs and interface strings, and the card's facts of where they came from.

    folder: holds the packages (.deb) already; else apt-get downloads them. Two languages in three have no help: then
    the interface is all there is. Raises UserError when that is not there.
    """
    names = [name for language in languages for name in packages(language)]
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        there = _in_folder(Path(folder)) if folder else _on_offer(names)
        for name in names:
            if name.startswith(INTERFACE) and name not in there:
                codes = sorted(other.removeprefix(INTERFACE) for other in there if other.startswith(INTERFACE))
                where = f"--from {folder}: no {name}_*.deb is there" if folder else f"there is no package {name}"
                raise UserError(f"{where}; the languages that are: {', '.join(['en', *codes])}")
        helpless = [name for name in names if name.startswith(HELP) and name not in there]
        if helpless:
            say(f"{', '.join(helpless)}: there is no such package, so the corpus is of the interface alone")
            names = [name for name in names if not name.startswith(HELP)]
        debs = _given(Path(folder), names) if folder else _download(names, place, say)
        trees = {}
        for name, deb in debs.items():
            say(f"unpacking {deb.name}")
            _run(["dpkg-deb", "-x", str(deb), str(place / name)], f"{deb} cannot be unpacked")
            trees[name] = place / name
        own = [[trees[name] for name in packages(code) if name in trees] for code in languages]
        help_, interface = [_help(t) for t in own], [_interface(t) for t in own]
        for side, code in enumerate(languages):
            if code == "en":  # its words are the keys of the other side
                interface[side] = {key: key[1].rpartition("\x04")[2] for key in interface[1 - side]}
        rows: list[Raw] = [(text, help_[1][key]) for key, text in help_[0].items() if key in help_[1]]
        paragraphs = len(rows)
        rows += [(plain(text), plain(interface[1][key])) for key, text in interface[0].items() if key in interface[1]]
    facts = {
        "corpus": "libreoffice",
        "from": sorted(deb.name for deb in debs.values()),
        "licence": "MPL-2.0 (LibreOffice's contributors)",
        "read_help": paragraphs,
        "read_interface": len(rows) - paragraphs,
    }
    return rows, facts


def _in_folder(folder: Path) -> set[str]:
    """The packages that a folder holds."""
    return {path.name.partition("_")[0] for path in folder.glob("*.deb")}


def _on_offer(names: list[str]) -> set[str]:
    """The packages of LibreOffice's that apt-get could download. names: what is wanted, for who has no apt-get."""
    if not all(map(shutil.which, ("apt-get", "apt-cache", "dpkg-deb"))):
        raise UserError(
            "apt-get and dpkg-deb are not here: this corpus is made of Debian's or Ubuntu's packages "
            f"{', '.join(names)}; run this on such a machine, or bring the packages in a folder and name it with --from"
        )
    found = set(_run(["apt-cache", "pkgnames", "libreoffice-"], "apt-cache does not say what there is").split())
    if not found:
        raise UserError("apt-get knows no package of LibreOffice's: run `apt-get update` first")
    return found


def _given(folder: Path, names: list[str]) -> dict[str, Path]:
    return {name: sorted(folder.glob(f"{name}_*.deb"))[-1] for name in names}


def _download(names: list[str], folder: Path, say: Callable[[str], None]) -> dict[str, Path]:
    for name in names:
        say(f"downloading {name}")
        _run(["apt-get", "download", name], f"apt-get cannot download {name}", folder)
    return _given(folder, names)


def _run(words: list[str], problem: str, folder: Path | None = None) -> str:
    """What a program prints. Raises UserError, `problem` and what it says, when it fails."""
    try:
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=600, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f"{problem}: {error}") from None
    if done.returncode:
        lines = (
            [line for line in done.stderr.splitlines() if line.startswith("E:")] or done.stderr.splitlines() or ["?"]
        )
        raise UserError(f"{problem}: {lines[0].removeprefix('E: ')}")
    return done.stdout


def _help(trees: list[Path]) -> dict[Key, str]:
    """The paragraphs of help pages, by file and id."""
    out: dict[Key, str] = {}
    for tree in trees:
        for root in tree.glob("usr/share/libreoffice/help/*/text"):
            for path in sorted(root.rglob("*.html")):
                page = _Page()
                page.feed(path.read_text("utf-8", errors="replace"))
                name = str(path.relative_to(root))
                out.update({(name, id): text for id, text in page.paragraphs.items()})
    return out


class _Page(HTMLParser):
    """Collects the text of headings and paragraphs that have an id."""

    def __init__(self) -> None:
        super().__init__()
        self.paragraphs: dict[str, str] = {}
        self.tag = self.id = ""
        self.parts: list[str] = []
        self.spans: list[str] = []  # the kinds of those that are open
        self.cases: list[tuple[bool, list[str]]] = []  # of a switch: whether it is the default, and its text

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        own = dict(attrs)
        if tag in HEADINGS:
            self.tag, self.id, self.parts = tag, own.get("id") or "", []
            self.spans, self.cases = [], []
        elif tag == "span":
            kind = "switch" if own.get("class") == "switchinline" else "case" if self.spans[-1:] == ["switch"] else ""
            self.spans.append(kind)
            if kind == "switch":
                self.cases = []
            elif kind == "case":
                self.cases.append(((own.get("id") or "").startswith("default"), []))
        elif tag == "br":
            self.handle_data(" ")

    def handle_data(self, data: str) -> None:
        parts = self.cases[-1][1] if "case" in self.spans else self.parts
        parts.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "span" and self.spans and self.spans.pop() == "switch":
            # What differs by system or program: the text for any other, or else the first.
            chosen = sorted(self.cases, key=lambda case: not case[0])[:1]
            self.parts += [text for _, parts in chosen for text in parts]
        if tag == self.tag and self.id:
            text = " ".join("".join(self.parts).split())
            if text:
                self.paragraphs.setdefault(self.id, text)
            self.tag = self.id = ""


def _interface(trees: list[Path]) -> dict[Key, str]:
    """The messages of the interface, by catalogue and key (context and English words), without shortcut marks."""
    out: dict[Key, str] = {}
    for tree in trees:
        for path in sorted(tree.glob("usr/lib/libreoffice/program/resource/*/LC_MESSAGES/*.mo")):
            for entry in polib.mofile(str(path)).translated_entries():
                if not entry.msgid_plural:
                    out[path.name, f"{entry.msgctxt or ''}\x04{entry.msgid}"] = entry.msgstr
    return out


def plain(text: str) -> str:
    """A message as people read it: no marks of shortcuts, no ends of lines."""
    if len(SHORTCUT.findall(text)) == 1:  # more are a name of a program's own
        text = SHORTCUT.sub("", text)
    return " ".join(text.split())
