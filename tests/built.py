"""The distributions as a release builds them, by pip and setuptools, from a copy of the repository."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
# Of each distribution, in the repository.
FOLDERS = {"aks-postgres": Path(), "azure-sandbox": Path("packages/azure-sandbox")}
PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")


def copy_repository(folder: Path) -> Path:
    """A copy of what is committed, as setuptools builds in the folder that it builds from."""
    copy = folder / "copy"
    subprocess.run(["git", "clone", "--quiet", str(REPOSITORY), str(copy)], check=True)
    return copy


def build_wheels(folder: Path, *sources: Path) -> list[Path]:
    """The wheels of source folders or sdists; they are all that is in that folder."""
    command = [*PIP, "wheel", "--no-deps", "--wheel-dir", str(folder), *map(str, sources)]
    subprocess.run(command, check=True, capture_output=True)
    return sorted(folder.glob("*.whl"))


def build_sdist(folder: Path, source: Path) -> Path:
    """The sdist of a source folder, by setuptools itself, as pip builds none."""
    backend = str(folder / "backend")
    subprocess.run([*PIP, "install", "setuptools>=77", "--target", backend], check=True, capture_output=True)
    code = f"import setuptools.build_meta as backend; backend.build_sdist({str(folder)!r})"
    subprocess.run(
        [sys.executable, "-c", code],
        cwd=source,
        env={**os.environ, "PYTHONPATH": backend},
        check=True,
        capture_output=True,
    )
    (sdist,) = folder.glob("*.tar.gz")
    return sdist
