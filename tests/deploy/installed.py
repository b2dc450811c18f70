"""What a release builds, in a new virtual environment, from an empty folder beside a project with its own `flows/`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aks_postgres.exit_codes import ExitCode

from ..built import FOLDERS, PIP, build_wheels

FOREIGN = ("PREFECT_", "AZURE_", "AKS_POSTGRES_", "PYTHON")


def install(folder: Path, *distributions: Path) -> Path:
    """Programs of a new virtual environment with these; what they need comes from the one that runs the tests."""
    made = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(made)], check=True)
    install_into(made / "bin", *distributions)
    # A path in a .pth file brings a folder's packages, not the editable installs that its own .pth files name. Ours
    # may also be there as wheels: `make check-alone`.
    needed = folder / "needed"
    needed.mkdir()
    for package in Path(sysconfig.get_path("purelib")).iterdir():
        if not package.name.startswith(tuple(name.replace("-", "_") for name in FOLDERS)):
            (needed / package.name).symlink_to(package)
    site = Path(sysconfig.get_path("purelib", "venv", {"base": str(made)}))
    (site / "needed.pth").write_text(f"{needed}\n")
    return made / "bin"


def install_wheels(folder: Path, copy: Path) -> Path:
    """Programs of a new virtual environment with both wheels, built of a copy of the repository."""
    wheels = build_wheels(folder / "wheels", *(copy / source for source in FOLDERS.values()))
    return install(folder, *wheels)


def install_into(programs: Path, *distributions: Path) -> None:
    """Install these without what they need."""
    command = [*PIP, "--python", str(programs / "python"), "install", "--no-deps", *map(str, distributions)]
    subprocess.run(command, check=True)


class Project:
    """A project of somebody's own, with an empty folder in which our installed commands run."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs = programs
        for name in ("flows", "tasks", "cli", "sandbox"):
            (folder / name).mkdir(parents=True)
            (folder / name / "__init__.py").write_text("raise ImportError('of another project')\n")
        self.empty = folder / "empty"
        self.empty.mkdir()
        self.variables = {
            name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)
        } | {
            # The other project is first on Python's path.
            "PYTHONPATH": str(folder),
            "PREFECT_HOME": str(folder / "prefect"),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
        }

    def run(self, *arguments: str, ends: ExitCode = ExitCode.DONE) -> str:
        """Run a command to its end, which is to be this one; what it printed."""
        done = subprocess.run(
            [self._programs / arguments[0], *arguments[1:]],
            cwd=self.empty,
            env=self.variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == ends, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout if ends == ExitCode.DONE else done.stdout + done.stderr

    def deployments(self, *arguments: str, ends: ExitCode = ExitCode.DONE) -> Counter[str]:
        """What a command of `aks-postgres deployments` says, as how often it says what of what kind of thing."""
        said = self.run("aks-postgres", "deployments", *arguments, ends=ends)
        return Counter(
            f"{found[1]} {found[2]}"
            for found in re.finditer(r"^(\S+|left over) +(deployment|work pool|automation) ", said, re.M)
        )

    @contextmanager
    def worker(self, identity: str, azure: dict[str, str]) -> Iterator[None]:
        """A worker, as the product starts it."""
        variables = self.variables | azure | {"PREFECT_WORKER_QUERY_SECONDS": "1"}
        command = [self._programs / "aks-postgres", "deployments", "worker", identity]
        with (
            self.log(identity).open("wb") as log,
            subprocess.Popen(command, cwd=self.empty, env=variables, stdout=log, stderr=log) as process,
        ):
            try:
                yield
            finally:
                process.terminate()
                process.wait(60)

    def log(self, identity: str) -> Path:
        """Where a worker says what it does."""
        return self.empty.parent / f"{identity}.log"
