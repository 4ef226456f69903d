"""Tests of corpora from CLDR, Multi30k and LibreOffice."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from babel.messages import Catalog
from babel.messages.mofile import write_mo

from dragoman.cli import main
from dragoman.runtime.errors import UserError
from dragoman.translate.corpus.builders.cldr import build_cldr
from dragoman.translate.corpus.builders.libreoffice import read_libreoffice
from dragoman.translate.corpus.builders.multi30k import build_multi30k
from dragoman.translate.corpus.deduplication import near_duplicate_key
from dragoman.translate.corpus.folder import Corpus
from dragoman.translate.corpus.languages import parse_pair
from dragoman.translate.corpus.rules import RULES
from dragoman.translate.corpus.split import NEAR_HELD_OUT
from tiny import MULTI30K, needs_multi30k

EN_DE = ("en", "de")


@pytest.mark.parametrize("pair", ["en-de", "fr-ja", "ar-pt_BR"])
def test_cldr_phrases(pair: str) -> None:
    languages = parse_pair(pair)
    splits, card = build_cldr(languages, 3000, 100, 100, seed=2)
    assert {k: len(v) for k, v in splits.items()} == {"train": 3000, "valid": 100, "test": 100}
    sources = [p.source for rows in splits.values() for p in rows]
    assert len(set(sources)) == len(sources)
    assert splits == build_cldr(languages, 3000, 100, 100, seed=2)[0]
    assert not any("volume-" in side or "duration-" in side for rows in splits.values() for p in rows for side in p)
    assert "CLDR" in card["licence"]


def test_cldr_rejects_unknown_languages() -> None:
    with pytest.raises(UserError, match="CLDR has no language xx"):
        build_cldr(("en", "xx"), 100)
    _, card = build_cldr(("en", "de"), 2500, 10, 10)
    assert card["corpus"] == "cldr"


def test_cldr_languages_with_gaps() -> None:
    splits, _ = build_cldr(("en", "tn"), 200, 5, 5)  # Setswana lacks most names
    assert len(splits["test"]) == 5


@needs_multi30k
def test_multi30k_folder() -> None:
    splits, card = build_multi30k(str(MULTI30K), ("en", "fr"))
    assert {k: len(list(v)) for k, v in splits.items()} == {"train": 28999, "valid": 1014, "test": 1000}
    assert card["dropped"] == {NEAR_HELD_OUT: 1}


@needs_multi30k
@pytest.mark.parametrize("target", ["de", "fr"])
def test_multi30k_test_lines_are_not_in_training(target: str) -> None:
    splits, _ = build_multi30k(str(MULTI30K), ("en", target))
    train, test = list(splits["train"]), list(splits["test"])
    for side in (0, 1):
        assert not {near_duplicate_key(p[side]) for p in train} & {near_duplicate_key(p[side]) for p in test}


def test_multi30k_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds neither train\.en nor train\.en\.gz"):
        build_multi30k(str(tmp_path), ("en", "de"))


@pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="needs dpkg-deb to pack packages")
def test_libreoffice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    switch = (  # LibreOffice's help has switches by operating system and by program
        '<span class="switchinline"><span hidden="true" class="MAC"><span class="emph">Mac</span></span>'
        '<span hidden="true" id="default1">{2}</span></span><span class="switchinline">'
        '<span hidden="true" class="CALC"><i>.</i></span><span hidden="true" class="WRITER">!</span></span>'
    )
    page = f'<h1 id="hd_1"><a name="x"></a>{{0}}</h1><p id="par_1">{{1}} <b>{switch}</b><br>{{3}}</p><p>no id</p>'
    texts = {
        "en-US": ("Help", "Press", "Start", "Then wait"),
        "de": ("Hilfe", "Drücken Sie", "Start", "Dann warten Sie"),
    }
    for code, text in texts.items():
        name = f"libreoffice-help-{code.lower()}"
        folder = tmp_path / name / "usr/share/libreoffice/help" / code / "text/shared"
        folder.mkdir(parents=True)
        (folder / "a.html").write_text(page.format(*text), "utf-8")
        pack(tmp_path, name)
    folder = tmp_path / "libreoffice-l10n-de" / "usr/lib/libreoffice/program/resource/de/LC_MESSAGES"
    folder.mkdir(parents=True)
    catalogue = Catalog()
    catalogue.add("Open ~file", "Datei ö~ffnen", context="MENU")
    catalogue.add("my_own_name", "my_own_name", context="NAME")
    with (folder / "cui.mo").open("wb") as file:
        write_mo(file, catalogue)
    pack(tmp_path, "libreoffice-l10n-de")
    rows, facts = read_libreoffice(EN_DE, str(tmp_path))
    assert rows == [
        ("Help", "Hilfe"),
        ("Press Start. Then wait", "Drücken Sie Start. Dann warten Sie"),
        ("Open file", "Datei öffnen"),
        ("my_own_name", "my_own_name"),
    ]
    assert (facts["read_help"], facts["read_interface"]) == (2, 2)
    command = ["corpus", "libreoffice", "--from", str(tmp_path), "--valid", "1", "--test", "1", "--pair"]
    out = str(tmp_path / "corpus")
    assert main([*command, "en-de", "--out", out, "--dropped", str(tmp_path / "dropped.tsv")]) == 0
    assert (tmp_path / "dropped.tsv").read_text() == "same\tmy_own_name\tmy_own_name\n"
    assert Corpus(out).card["dropped"] == {RULES["same"]: 1}
    assert main([*command, "en-fr", "--out", str(tmp_path / "fr")]) == 2
    assert "holds no libreoffice-l10n-fr_*.deb; available languages: en, de" in capsys.readouterr().err
    (tmp_path / "libreoffice-help-de_1_all.deb").unlink()  # two thirds of the languages have no help
    messages: list[str] = []
    rows, facts = read_libreoffice(EN_DE, str(tmp_path), messages.append)
    assert rows == [("Open file", "Datei öffnen"), ("my_own_name", "my_own_name")]
    assert "no package libreoffice-help-de: the corpus holds the interface only" in messages


def pack(folder: Path, name: str) -> None:
    (folder / name / "DEBIAN").mkdir()
    control = (
        f"Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: nobody <nobody@example.org>\nDescription: x\n"
    )
    (folder / name / "DEBIAN/control").write_text(control)
    subprocess.run(["dpkg-deb", "-b", name, f"{name}_1_all.deb"], cwd=folder, check=True, capture_output=True)


def test_libreoffice_without_apt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(UserError, match=r"apt-get and dpkg-deb are not installed, .*libreoffice-l10n-pt-br; .*--from"):
        read_libreoffice(("en", "pt_BR"), None)
