"""The command `dragoman web`: write a site of static files, whose page translates in the browser."""

from __future__ import annotations

import argparse
import contextlib
import gzip
import hashlib
import html
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dragoman.runtime.errors import UserError
from dragoman.runtime.files import real_path, replace_folder
from dragoman.runtime.languages import language_name
from dragoman.runtime.server.models import Models, ServedModel

RUNTIME = Path(__file__).resolve().parents[1]
SERVER_PAGE = RUNTIME / "server" / "page"
PAGE = RUNTIME / "site" / "page"
PACKAGE = RUNTIME / "web"
OF_SERVER = {"api.js", "documents.js"}  # files of the server's page that the site has no use for

ENTRY = "dist/ort.wasm.bundle.min.mjs"
WASM = "dist/ort-wasm-simd-threaded.wasm"

POLICY = (
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; img-src 'self'; "
    "style-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'"
)
LINKS = (("href", "style.css"), ("src", "theme.js"), ("src", "page.js"))  # of index.html
SERVICE_WORKER = "sw.js"
FIRST_LINE = "// This site was written by `dragoman web`."
MEGABYTE = 1e6


@dataclass(frozen=True)
class OnnxRuntime:
    """The files of onnxruntime-web that the site needs.

    Attributes:
        version: Its version.
        files: Their content by their name on the site.
    """

    version: str
    files: dict[str, bytes]

    @classmethod
    def read(cls, folder: Path) -> OnnxRuntime:
        """Read the files in the folder of the npm package. Raises UserError."""
        package = folder / "package.json"
        if not package.is_file():
            raise UserError(
                f"there is no onnxruntime-web in {folder}; run `npm install onnxruntime-web` here, or name its folder "
                "with --onnxruntime"
            )
        found = re.search(r"\"version\": *\"([^\"]*)\"", package.read_text("utf-8", "replace"))
        version = found[1] if found else "unknown"
        missing = [name for name in (ENTRY, WASM) if not (folder / name).is_file()]
        if missing:
            raise UserError(f"{folder} holds version {version} without {missing[0]}; run `npm install onnxruntime-web`")
        wasm = (folder / WASM).read_bytes()
        if not wasm.startswith(b"\0asm"):
            raise UserError(f"{folder / WASM} is no WebAssembly; run `npm install onnxruntime-web`")
        # The ending .js, since some hosts give .mjs a type that browsers do not run. The ending .gzip, since some hosts
        # declare a file that ends in .gz as compressed on the way, and browsers then decompress it.
        files = {
            "onnxruntime/ort.js": (folder / ENTRY).read_bytes(),
            "onnxruntime/ort.wasm.gzip": gzip.compress(wasm, 9, mtime=0),
            "onnxruntime/LICENSE": (PAGE.parent / "onnxruntime-licence.txt").read_bytes(),
        }
        return cls(version, files)


def web(a: argparse.Namespace) -> int:
    """Run `dragoman web` and return its exit status."""
    check_title(a.title)
    out = real_path(a.out)
    check_folder(a.out, out)
    onnxruntime = OnnxRuntime.read(Path(a.onnxruntime))
    models = [*Models(a.models)]
    check_models(models)
    files = files_of_site(models, onnxruntime, a.title)
    try:
        with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as temporary:
            folder = Path(temporary, out.name)
            folder.mkdir()
            write_site(folder, files, models)
            replace_folder(out, folder)
    except OSError as error:
        raise UserError(f"cannot write {a.out}: {error.strerror or error}") from None
    print(f"{a.out}:\n{table_of_sizes(files, models, onnxruntime.version)}")
    print(f"try it: python -m http.server --directory {a.out} 8000")
    return 0


def write_site(folder: Path, files: dict[str, bytes], models: list[ServedModel]) -> None:
    """Write the files of a site and copy its models. Raises OSError."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (folder / "models").mkdir()
    for model in models:
        copied = folder / url_of(model)
        shutil.copyfile(model.path, copied)
        if not copied.read_bytes().endswith(model.translator.checksum.encode()):
            raise UserError(f"{model.path} changes while it is copied; run the command again")


def table_of_sizes(files: dict[str, bytes], models: list[ServedModel], version: str) -> str:
    """Return lines with the size of each part of a site."""
    of_runtime = sum(len(data) for name, data in files.items() if "/onnxruntime/" in name)
    rows = [
        *((url_of(model), model.stamp.size, name_of(model)) for model in models),
        ("ONNX Runtime", of_runtime, f"onnxruntime-web {version}"),
        ("the page", sum(map(len, files.values())) - of_runtime, "HTML, JavaScript and CSS"),
    ]
    width = max(len(name) for name, _, _ in rows)
    return "\n".join(f"  {name:<{width}}  {size / MEGABYTE:6.1f} MB  {note}" for name, size, note in rows)


def check_title(title: str) -> None:
    """Raise UserError for a title that is empty, or cannot be written."""
    if not title.strip():
        raise UserError("--title is empty; give the title of the page, or leave it out")
    if not title.isprintable():
        raise UserError(f"--title {title!a} has characters that cannot be shown, such as line breaks; leave them out")


def check_folder(given: str, out: Path) -> None:
    """Raise UserError unless a folder can be written, or replaced because `dragoman web` wrote all its files."""
    if not given:
        raise UserError("--out '' names no folder; give a name, such as site")
    if not out.parent.is_dir():
        raise UserError(f"--out {given}: there is no folder {out.parent}; make it first")
    if not os.access(out.parent, os.W_OK):
        raise UserError(f"--out {given}: the folder {out.parent} cannot be written to; name another one")
    if not out.exists():
        return
    if not out.is_dir():
        raise UserError(f"--out {given} is a file; name a folder")
    if Path.cwd().is_relative_to(out):
        raise UserError(f"--out {given} is the folder that you are in, or one around it; name one in it, such as site")
    written = written_files(out)
    try:
        if not written and any(out.iterdir()):
            raise UserError(
                f"--out {given} holds files that are not from `dragoman web`; name a new or an empty folder"
            )
        present = {path.relative_to(out).as_posix() for path in _files_in(out)}
    except OSError as error:
        raise UserError(f"--out {given}: cannot read {error.filename}: {error.strerror}; name another folder") from None
    if others := sorted(present - written):
        raise UserError(
            f"--out {given} would be replaced, and {others[0]} in it is not from `dragoman web`; move that file away"
        )


def _files_in(folder: Path) -> Iterator[Path]:
    """Yield all files, links and empty folders below a folder. Raises OSError."""
    for path in folder.iterdir():
        inner = [*_files_in(path)] if path.is_dir() and not path.is_symlink() else []
        yield from inner or [path]


def written_files(folder: Path) -> set[str]:
    """Return the names of all files of a site, or nothing for another folder."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        first, files, models = (folder / SERVICE_WORKER).read_text("utf-8").splitlines()[:3]
        if first == FIRST_LINE:
            names = [json.loads(line.split(" = ", 1)[1].rstrip(";")) for line in (files, models)]
            return {SERVICE_WORKER, *names[0], *(url.split("?")[0] for url in names[1])}
    return set()


def check_models(models: list[ServedModel]) -> None:
    """Raise UserError for a model that browsers cannot run, or whose languages give it no name."""
    for model in models:
        if model.translator.metadata.quantisation.get("target") == "vnni":
            raise UserError(
                f"{model.path}: files of `--target vnni` do not run in browsers; export the run with `--int8` alone, "
                "which makes a file for any processor"
            )
        if model.source == model.target:
            raise UserError(f"{model.path} translates {model.source} to itself; the page needs two languages")
        for tag in (model.source, model.target):
            if not all(part.isascii() and part.isalnum() for part in tag.split("-")):
                raise UserError(f"{model.path}: its language {tag!r} is no language tag, such as en or pt-BR")


def url_of(model: ServedModel) -> str:
    """Return the URL of a model, relative to the site."""
    return f"models/{model.source}_{model.target}.onnx"


def name_of(model: ServedModel) -> str:
    """Return the languages of a model for people."""
    return f"{language_name(model.source)} to {language_name(model.target)}"


def files_of_site(models: list[ServedModel], onnxruntime: OnnxRuntime, title: str) -> dict[str, bytes]:
    """Return the content of all files of a site by their names, but for the models.

    Scripts, styles and the like are in a folder whose name has their common checksum. So files of two versions of a
    site never mix, whatever is cached on their way.
    """
    files = {path.name: path.read_bytes() for path in SERVER_PAGE.iterdir() if path.name not in OF_SERVER}
    files |= {path.name: path.read_bytes() for path in PAGE.iterdir() if path.name != SERVICE_WORKER}
    files |= {f"dragoman/{path.name}": path.read_bytes() for path in PACKAGE.glob("*.js")}
    files |= {f"dragoman/src/{path.name}": path.read_bytes() for path in PACKAGE.glob("src/*.js")}
    files |= {f"dragoman/{name}": (PACKAGE / name).read_bytes() for name in ("package.json", "LICENSE")}
    files |= onnxruntime.files
    files["models.json"] = _json([row_of(model) for model in models])
    top = {name: files.pop(name) for name in ("index.html", "icon.svg")}
    digest = hashlib.sha256()
    for name, data in sorted(files.items()):
        digest.update(f"{name} {len(data)} ".encode() + data)
    folder = f"page-{digest.hexdigest()[:12]}"
    files = {f"{folder}/{name}": data for name, data in files.items()} | top
    files["index.html"] = index(top["index.html"].decode(), title, folder).encode()
    files["manifest.webmanifest"] = _json(
        {
            "name": title,
            "short_name": title,
            "start_url": "./",
            "display": "standalone",
            "background_color": "#f5f6f4",
            "theme_color": "#0b6b66",
            "icons": [{"src": "icon.svg", "sizes": "any", "type": "image/svg+xml"}],
        }
    )
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())}
    urls = [f"{url_of(model)}?sha256={model.translator.checksum}" for model in models]
    lines = [FIRST_LINE, f"const FILES = {json.dumps(digests)};", f"const MODELS = {json.dumps(urls)};\n"]
    files[SERVICE_WORKER] = "\n".join(lines).encode() + b"\n" + (PAGE / SERVICE_WORKER).read_bytes()
    return dict(sorted(files.items()))


def row_of(model: ServedModel) -> dict[str, object]:
    """Return what the page needs to know of a model."""
    return {
        "url": url_of(model),
        "source": model.source,
        "target": model.target,
        "names": {tag: language_name(tag) for tag in (model.source, model.target)},
        "size": model.stamp.size,
        "sha256": model.translator.checksum,
    }


def index(page: str, title: str, folder: str) -> str:
    """Return the server's page as the page of the site.

    It has another title, the headers that it needs, and its scripts and styles from a folder.
    """
    title = html.escape(title)
    charset, icon = '<meta charset="utf-8">', '<link rel="icon" href="icon.svg" type="image/svg+xml">'
    changes = {
        'data-model="server"': 'data-model="device"',
        charset: f'{charset}\n  <meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '  <meta name="referrer" content="no-referrer">',
        "<title>Dragoman</title>": f"<title>{title}</title>",
        "<h1>Dragoman</h1>": f"<h1>{title}</h1>",
        "Translate texts and documents.": "Translate texts on your own device.",
        icon: f'{icon}\n  <link rel="manifest" href="manifest.webmanifest">',
    }
    changes |= {f'{name}="{file}"': f'{name}="{folder}/{file}"' for name, file in LINKS}
    assert all(page.count(old) == 1 for old in changes)
    pattern = re.compile("|".join(map(re.escape, changes)))
    return pattern.sub(lambda match: changes[match[0]], page)


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=2).encode() + b"\n"
