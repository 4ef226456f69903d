"""The boundaries of the packages: a light runtime, the direction of imports, and the content of the wheel."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

import dragoman
from dragoman.cli import main

ROOT = Path(__file__).resolve().parents[1]
ALLOWED = {"runtime": {"runtime"}, "translate": {"runtime", "translate"}, "export": {"runtime", "translate", "export"}}
HEAVY = (
    "torch",
    "onnx",
    "onnxscript",
    "sacrebleu",
    "sacremoses",
    "msgspec",
    "safetensors",
    "filelock",
    "rich",
    "babel",
    "matplotlib",
)

NOT_LIGHT = {"socket", "urllib", "http", "ftplib", "smtplib", "ssl", "pickle", "shelve", "marshal"}
LIGHT = {"dragoman", "numpy", "onnxruntime", "sentencepiece"} | sys.stdlib_module_names - NOT_LIGHT

# What parts of the runtime import besides, from their extras.
EXTRAS = {
    "runtime/documents": {"markdown_it"},
    "runtime/languages.py": {"babel"},
    "runtime/server": {
        *("httptools", "prometheus_client", "py3langid", "python_multipart", "starlette", "uvicorn"),
        *("socket", "urllib"),  # to listen, and to read URLs
    },
}


def python(code: str, *arguments: str) -> str:
    """Run code in a new interpreter that imports the project from its root, and return standard output."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True, check=True
    )
    return result.stdout


def test_runtime_translates_without_training_packages(tiny_file: Path) -> None:
    code = (
        "import sys\n"
        "from dragoman.runtime.translator import Translator\n"
        "print(Translator.load(sys.argv[1]).translate('12').text)\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules])"
    )
    assert python(code, str(tiny_file)).splitlines()[-1] == "[]"


def test_documents_load_nothing_heavy_for_plain_text(tiny_file: Path) -> None:
    code = (
        "import sys\n"
        "from dragoman.runtime.commands import main\n"
        "main(['translate', sys.argv[1], '12'])\n"
        "print([m for m in sys.modules if m.startswith(('markdown_it', 'dragoman.runtime.documents.'))])"
    )
    assert python(code, str(tiny_file)).splitlines()[-1] == "['dragoman.runtime.documents.names']"


def test_the_public_names_load_without_torch() -> None:
    code = (
        "import sys\n"
        "from dragoman import Translator, load\n"
        "print(Translator.__name__, load.__name__)\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules])"
    )
    assert python(code).splitlines() == ["Translator load", "[]"]


def test_importing_the_package_is_cheap() -> None:
    """Neither numpy nor onnxruntime is loaded before a public name is used."""
    heavy = (*HEAVY, "numpy", "onnxruntime", "sentencepiece")
    code = f"import sys, dragoman; print(dragoman.__version__, [m for m in {heavy!r} if m in sys.modules])"
    assert python(code).strip() == f"{dragoman.__version__} []"


@pytest.mark.parametrize("module", ["dragoman", "dragoman.runtime"])
@pytest.mark.parametrize("torch", [True, False])
def test_version_is_one_line_and_imports_nothing(module: str, torch: bool) -> None:
    heavy = (*HEAVY, "numpy", "onnxruntime", "sentencepiece")
    code = (
        "import importlib.metadata, runpy, sys\n"
        "version = importlib.metadata.version\n"
        "def version_of(package):\n"
        f"    if package == 'torch' and not {torch}:\n"
        "        raise importlib.metadata.PackageNotFoundError(package)\n"
        "    return version(package)\n"
        "importlib.metadata.version = version_of\n"
        f"for m in {heavy!r}: sys.modules[m] = None\n"
        "sys.argv = ['dragoman', '--version']\n"
        f"runpy.run_module({module!r}, run_name='__main__')"
    )
    expected = [
        f"dragoman {dragoman.__version__}",
        f"Python {sys.version.split()[0]}",
        f"onnxruntime {version('onnxruntime')}",
        *([f"torch {version('torch')}"] if torch else []),
    ]
    assert python(code) == ", ".join(expected) + "\n"


def test_command_line_imports_no_heavy_package() -> None:
    code = f"import sys, dragoman.cli; print([m for m in {(*HEAVY, 'numpy')!r} if m in sys.modules])"
    assert python(code).strip() == "[]"


@pytest.mark.parametrize("package", ALLOWED)
def test_packages_import_only_those_below_them(package: str) -> None:
    for path in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}: relative import"
                names = [node.module or ""] + [f"{node.module}.{alias.name}" for alias in node.names]
            for name in names:
                parts = name.split(".")
                if package == "runtime":
                    place = path.relative_to(ROOT).as_posix()
                    extra = {each for prefix, names in EXTRAS.items() if place.startswith(prefix) for each in names}
                    assert parts[0] in LIGHT | extra, f"{path} imports {name}"
                if parts[0] == "dragoman" and len(parts) > 1:
                    assert parts[1] in ALLOWED[package], f"{path} imports {name}"


def test_missing_training_extras_are_one_line(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        f"for m in {HEAVY!r}: sys.modules[m] = None\n"
        "from dragoman.cli import main\n"
        "sys.exit(0 if main(['train', 'x.toml']) == 2 else 1)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert result.stderr.count("\n") == 1
    assert "pip install '.[train]' in Dragoman's folder" in result.stderr


@pytest.mark.parametrize(
    "command", "corpus train evaluate plot export verify quickstart translate run serve web info bench".split()
)
def test_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert len(capsys.readouterr().out) > 100


def test_architecture_fits_on_one_page() -> None:
    assert len((ROOT / "ARCHITECTURE.md").read_text("utf-8").splitlines()) <= 60


@pytest.mark.slow  # builds the wheel and installs it into a new environment
def test_wheel_holds_every_module_and_runs_alone(tiny_file: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"  # a copy, because building leaves folders behind that the next wheel would contain
    shutil.copytree(
        ROOT,
        tree,
        symlinks=True,
        ignore=shutil.ignore_patterns(".*", "runs", "data", "build", "*.egg-info", "node_modules"),
    )
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(tree)],
        check=True, capture_output=True,
    )  # fmt: skip
    (wheel,) = tmp_path.glob("*.whl")
    packaged = {n for n in zipfile.ZipFile(wheel).namelist() if n.startswith("dragoman/")}
    modules = {
        f"dragoman/{path.relative_to(ROOT)}"
        for package in ALLOWED
        for path in (ROOT / package).rglob("*")
        if path.suffix in (".py", ".typed", ".toml", ".html", ".css", ".js", ".svg")
        and not {"__pycache__", "test", "node_modules"} & {*path.relative_to(ROOT).parts}
    }
    others = "web/package.json web/index.d.ts web/LICENSE web/README.md site/onnxruntime-licence.txt"
    modules |= {f"dragoman/runtime/{name}" for name in others.split()}
    modules |= {f"dragoman/{path.name}" for path in (ROOT / "dragoman").iterdir() if path.suffix in (".py", ".typed")}
    assert packaged == modules
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    binary = tmp_path / "venv" / "bin"
    subprocess.run(
        [str(binary / "pip"), "install", "-q", "-c", str(ROOT / "constraints.txt"), str(wheel)],
        check=True, capture_output=True,
    )  # fmt: skip
    installed = subprocess.run([str(binary / "pip"), "list"], check=True, capture_output=True, text=True).stdout
    assert "torch" not in installed
    result = subprocess.run(
        [str(binary / "dragoman"), "translate", str(tiny_file), "12", "345"], check=True, capture_output=True, text=True
    )
    assert len(result.stdout.splitlines()) == 2
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["translate", "m.onnx", "--beam", "0"], "dragoman: argument --beam: '0' is not "),
        (
            ["export", "runs/x"],
            "are required: -o/--output; see `dragoman export --help`",
        ),
        (["trane"], "dragoman: argument COMMAND: invalid choice: 'trane'"),
        (
            ["corpus", "files", "--pair", "en-de", "a.tsv", "--out", "x", "--columns", "0,1"],
            "counted from 1, such as 2,4",
        ),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line(
    words: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert expected in error
    assert error.count("\n") == 1
