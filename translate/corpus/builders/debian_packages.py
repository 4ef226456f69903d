"""Debian packages: download them with apt-get and unpack them with dpkg-deb, without installing them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from dragoman.runtime.errors import UserError

TIMEOUT = 600  # seconds


def packages_in(folder: Path) -> set[str]:
    """Return the names of the packages whose .deb files are in a folder."""
    return {path.name.partition("_")[0] for path in folder.glob("*.deb")}


def available_packages(prefix: str, needed: list[str]) -> set[str]:
    """Return the names of the packages that start with a prefix and that apt-get can download.

    Raises UserError if apt-get is not installed, naming the `needed` packages, or if it knows no such package.
    """
    if not all(map(shutil.which, ("apt-get", "apt-cache", "dpkg-deb"))):
        raise UserError(
            "apt-get and dpkg-deb are not installed, and this corpus is built from the Debian or Ubuntu packages "
            f"{', '.join(needed)}; run this command there, or download these into a folder and name it with --from"
        )
    names = set(_run(["apt-cache", "pkgnames", prefix], "apt-cache cannot list the packages").split())
    if not names:
        raise UserError(f"apt-get knows no package {prefix}*; run `apt-get update` first")
    return names


def newest_files(folder: Path, names: list[str]) -> dict[str, Path]:
    """Return the .deb file of each package in a folder. Of several files, the last in alphabetical order is taken."""
    return {name: sorted(folder.glob(f"{name}_*.deb"))[-1] for name in names}


def download(names: list[str], folder: Path, log: Callable[[str], None]) -> dict[str, Path]:
    """Download packages into a folder, and return their .deb files. Raises UserError if that fails."""
    for name in names:
        log(f"downloading {name}")
        _run(["apt-get", "download", name], f"apt-get cannot download {name}", folder)
    return newest_files(folder, names)


def unpack(deb: Path, folder: Path) -> Path:
    """Unpack a .deb file into a folder and return that folder. Raises UserError if that fails."""
    _run(["dpkg-deb", "-x", str(deb), str(folder)], f"cannot unpack {deb}")
    return folder


def _run(command: list[str], problem: str, folder: Path | None = None) -> str:
    """Run a command and return its output. Raises UserError with `problem` and the first error line if it fails."""
    try:
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f"{problem}: {error}") from None
    if result.returncode:
        lines = result.stderr.splitlines()
        errors = [line for line in lines if line.startswith("E:")] or lines or ["unknown error"]
        raise UserError(f"{problem}: {errors[0].removeprefix('E: ')}")
    return result.stdout
