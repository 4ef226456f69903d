"""The command `dragoman web`: the folder that it writes, and mistakes."""

from __future__ import annotations

import gzip
import hashlib
import html
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from copying import METADATA, file_of
from dragoman.cli import main
from dragoman.runtime.metadata import Metadata
from dragoman.runtime.site.command import ENTRY, WASM, written_files


@pytest.fixture
def onnxruntime(tmp_path: Path) -> Path:
    """Return a folder with the files of onnxruntime-web that the command takes."""
    folder = tmp_path / "onnxruntime-web"
    (folder / "dist").mkdir(parents=True)
    (folder / "package.json").write_text('{"name": "onnxruntime-web", "version": "1.30.0"}')
    (folder / ENTRY).write_text("export const env = {};")
    (folder / WASM).write_bytes(b"\0asm" + bytes(1000))
    return folder


def model(folder: Path, source: str = "en", target: str = "de", **changes: object) -> Path:
    """Write a model and return its path."""
    languages: dict[str, object] = {"source_language": source, "target_language": target, **changes}
    metadata: Metadata = replace(METADATA, **languages)  # type: ignore[arg-type]  # of the fields
    return file_of(folder / f"{source}-{target}.onnx", metadata)


def web(*words: str | Path) -> int:
    return main(["web", *map(str, words)])


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_the_folder(tmp_path: Path, onnxruntime: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = [model(tmp_path, "en", "pt_BR"), model(tmp_path, "de", "en")]
    site = tmp_path / "site"
    assert web(*models, "--out", site, "--onnxruntime", onnxruntime, "--title", "Tom & Jerry") == 0
    out = capsys.readouterr().out
    assert "models/en_pt-BR.onnx" in out
    assert "English to Portuguese (Brazil)" in out
    assert "onnxruntime-web 1.30.0" in out
    assert out.endswith(f"try it: python -m http.server --directory {site} 8000\n")

    files = files_in(site)
    (page,) = (path.name for path in site.glob("page-*"))
    assert {
        "index.html",
        "sw.js",
        "icon.svg",
        "manifest.webmanifest",
        *(f"{page}/{name}" for name in ("page.js", "api.js", "models.json", "dragoman/worker.js")),
        f"{page}/dragoman/src/text.js",
    } <= files
    assert not [name for name in files if "documents" in name or "test" in name]
    assert written_files(site) == files
    assert (site / "models" / "de_en.onnx").read_bytes() == models[1].read_bytes()
    assert (
        gzip.decompress((site / page / "onnxruntime" / "ort.wasm.gzip").read_bytes())
        == (onnxruntime / WASM).read_bytes()
    )
    rows = json.loads((site / page / "models.json").read_text("utf-8"))
    assert rows[0] == {
        "url": "models/en_pt-BR.onnx",
        "source": "en",
        "target": "pt-BR",
        "names": {"en": "English", "pt-BR": "Portuguese (Brazil)"},
        "size": models[0].stat().st_size,
        "sha256": models[0].read_bytes()[-64:].decode(),
    }
    index = (site / "index.html").read_text("utf-8")
    assert index.count("Tom &amp; Jerry") == 2
    assert "documents" not in index.split("<body>")[0]

    lines = (site / "sw.js").read_text("utf-8").splitlines()
    digests = json.loads(lines[1].removeprefix("const FILES = ").rstrip(";"))
    assert digests.keys() == {name for name in files if not name.startswith("models/")} - {"sw.js"}
    for name, digest in digests.items():
        assert hashlib.sha256((site / name).read_bytes()).hexdigest() == digest
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_every_file_that_a_script_names_is_there(tmp_path: Path, onnxruntime: Path) -> None:
    site = tmp_path / "site"
    assert web(model(tmp_path), "--out", site, "--onnxruntime", onnxruntime) == 0
    for path in site.rglob("*.js"):
        for name in re.findall(r"""(?:from|import|import\()\s*["'](\./[^"']+)["']""", path.read_text("utf-8")):
            if name != "./documents.js":  # only the page of a server imports it
                assert (path.parent / name).is_file(), f"{path}: {name}"


def test_a_site_is_replaced_and_the_same_twice(tmp_path: Path, onnxruntime: Path) -> None:
    site = tmp_path / "site"
    words: list[str | Path] = ["--out", site, "--onnxruntime", onnxruntime]
    assert web(model(tmp_path), model(tmp_path, "de", "en"), *words) == 0
    first = (site / "sw.js").read_bytes()
    assert web(model(tmp_path), model(tmp_path, "de", "en"), *words) == 0
    assert (site / "sw.js").read_bytes() == first
    assert web(model(tmp_path), *words) == 0
    assert [path.name for path in (site / "models").iterdir()] == ["en_de.onnx"]
    assert (site / "sw.js").read_bytes() != first


def test_an_empty_folder_and_a_link_are_written_to(tmp_path: Path, onnxruntime: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("empty")
    assert web(model(tmp_path), "--out", tmp_path / "link", "--onnxruntime", onnxruntime) == 0
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "empty" / "index.html").is_file()
    if os.name == "posix":
        assert (tmp_path / "empty").stat().st_mode & 0o055 == 0o055 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["MODEL", "--out", ""], "--out '' names no folder"),
        (["MODEL", "--out", "none/site"], "there is no folder"),
        (["MODEL", "--out", "en-de.onnx"], "--out en-de.onnx is a file; name a folder"),
        (["MODEL", "--out", "full"], "--out full holds files that are not from `dragoman web`"),
        (["MODEL", "--out", "site", "--onnxruntime", "none"], "run `npm install onnxruntime-web` here, or name its"),
        (["MODEL", "--out", "site", "--onnxruntime", "old"], "old holds version 1.2 without dist/ort.wasm.bundle"),
        (["MODEL", "--out", "site", "--onnxruntime", "text"], "ort-wasm-simd-threaded.wasm is no WebAssembly; run"),
        (["MODEL", "--out", "."], "--out . is the folder that you are in, or one around it"),
        (["MODEL", "--out", ".."], "--out .. is the folder that you are in, or one around it"),
        (["MODEL", "--out", "site", "--title", " "], "--title is empty; give the title of the page"),
        (["MODEL", "--out", "site", "--title", "a\nb"], "--title 'a\\nb' has characters that cannot be shown"),
        (["MODEL", "--out", "site", "--title", "\udcff"], "--title '\\udcff' has characters that cannot be shown"),
        (["same.onnx", "--out", "site"], "same.onnx translates en to itself; the page needs two languages"),
        (["MODEL", "MODEL", "--out", "site"], "both translate en-de; leave one of them out"),
        (["none.onnx", "--out", "site"], "cannot read none.onnx: No such file or directory"),
        (["full/file", "--out", "site"], "full/file is not a Dragoman model"),
        (["full", "--out", "site"], "full is no regular file; give the file of a model"),
        (["tagger.onnx", "--out", "site"], "the model was trained to tag, not to translate"),
        (["up.onnx", "--out", "site"], "its language '../up' is no language tag, such as en or pt-BR"),
        (["vnni.onnx", "--out", "site"], "export the run with `--int8` alone, which makes a file for any processor"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(
    words: list[str], message: str, tmp_path: Path, onnxruntime: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    shutil.copytree(onnxruntime, tmp_path / "text")
    (tmp_path / "text" / WASM).write_text("no such page")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "package.json").write_text('{"version": "1.2"}')
    if words[0] != "none.onnx":
        model(tmp_path)
        file_of(tmp_path / "tagger.onnx", replace(METADATA, task="tag", labels=["O"]))
        file_of(tmp_path / "same.onnx", replace(METADATA, source_language="en", target_language="en"))
        file_of(tmp_path / "up.onnx", replace(METADATA, source_language="../up"))
        file_of(tmp_path / "vnni.onnx", replace(METADATA, quantisation={"target": "vnni"}))
    words = ["en-de.onnx" if word == "MODEL" else word for word in words]
    if "--onnxruntime" not in words:
        words += ["--onnxruntime", str(onnxruntime)]
    monkeypatch.setattr("dragoman.runtime.session.check_products", lambda: None)  # as on a machine that runs the file
    before = files_in(tmp_path)
    assert web(*words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert files_in(tmp_path) == before


def test_files_of_others_in_a_site_are_not_deleted(
    tmp_path: Path, onnxruntime: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words: list[str | Path] = [model(tmp_path), "--out", tmp_path / "site", "--onnxruntime", onnxruntime]
    assert web(*words) == 0
    (tmp_path / "other").mkdir()
    makers: list[Callable[[Path], object]] = [
        lambda path: path.write_text("example.org"),
        lambda path: path.mkdir(),
        lambda path: path.symlink_to(tmp_path / "other"),
        lambda path: path.symlink_to("nothing"),
    ]
    for make in makers:
        path = tmp_path / "site" / "models" / "CNAME"
        make(path)
        assert web(*words) == 2
        assert "models/CNAME in it is not from `dragoman web`; move that file away" in capsys.readouterr().err
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink()
    assert web(*words) == 0


@pytest.mark.parametrize("title", ["Translate texts and documents.", '<meta charset="utf-8">', "</title>", "\\1"])
def test_any_title_is_written_as_it_is(title: str, tmp_path: Path, onnxruntime: Path) -> None:
    site = tmp_path / "site"
    assert web(model(tmp_path), "--out", site, "--onnxruntime", onnxruntime, "--title", title) == 0
    assert (site / "index.html").read_text("utf-8").count(html.escape(title)) >= 2
    assert json.loads((site / "manifest.webmanifest").read_text("utf-8"))["name"] == title


def test_nothing_half_written_remains(
    tmp_path: Path, onnxruntime: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    words: list[str | Path] = [model(tmp_path), "--out", tmp_path / "site", "--onnxruntime", onnxruntime]
    monkeypatch.setattr("shutil.copyfile", full_disk)
    before = {*tmp_path.iterdir()}
    assert web(*words) == 2
    assert f"cannot write {tmp_path / 'site'}: No space left on device" in capsys.readouterr().err
    assert {*tmp_path.iterdir()} == before


def test_a_missing_package_is_one_line(tmp_path: Path) -> None:
    code = "import sys; sys.modules['babel'] = None; from dragoman.cli import main; sys.exit(main(sys.argv[1:]))"
    words = [sys.executable, "-c", code, "web", str(model(tmp_path)), "--out", str(tmp_path / "site")]
    result = subprocess.run(words, capture_output=True, text=True)
    assert result.returncode == 2
    assert (
        result.stderr
        == "dragoman: `dragoman web` needs the package babel: pip install '.[serve]' in Dragoman's folder\n"
    )
