"""Writing a kubeconfig where only its owner can read it, and never over one that other clusters live in."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from aks_postgres.exit_codes import CommandFailed, ExitCode
from aks_postgres.files.given_files import disk_problem, read_given, writing
from aks_postgres.files.own_folder import make_own_folder

if TYPE_CHECKING:
    from aks_postgres.spec.environment import EnvironmentSpec

# One cluster's has some ten kilobytes.
_LARGEST_BYTES = 1024 * 1024


def default_file(spec: EnvironmentSpec) -> Path:
    """The environment's own file, below $XDG_STATE_HOME or ~/.local/state."""
    base = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return base / "aks-postgres" / "kubeconfig" / f"{spec.name}-{spec.region}"


def refuse_shared_file(file: Path) -> None:
    """Refuse kubectl's own file, by whatever path it is reached.

    Raises:
        CommandFailed: it is ~/.kube/config.
    """
    if file.resolve() == (Path.home() / ".kube" / "config").resolve():
        raise CommandFailed(
            f"{file} is kubectl's own file and may hold other clusters; give a file of its own",
            ExitCode.BAD_INPUT,
        )


def write_kubeconfig(file: Path, text: str) -> None:
    """Write the file with mode 0600, whole or not at all.

    Raises:
        CommandFailed: the file holds something else than one cluster's kubeconfig, or can't be written.
    """
    refuse_shared_file(file)
    if file.is_symlink() or (file.exists() and not _holds_one_cluster(file)):
        raise CommandFailed(
            f"{file} is there already and isn't a kubeconfig of one cluster; give another file",
            ExitCode.BAD_INPUT,
        )
    try:
        with writing(file):
            make_own_folder(file.parent)
            descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")  # mode 0600
            try:
                with os.fdopen(descriptor, "w", encoding="utf-8") as part:
                    part.write(text)
                os.replace(name, file)
            except BaseException:
                os.unlink(name)
                raise
    except OSError as error:
        reason = disk_problem(error) or f"{file} can't be written: {error.strerror}"
        raise CommandFailed(f"kubeconfig: {reason}", ExitCode.BAD_INPUT) from None


def _holds_one_cluster(file: Path) -> bool:
    from aks_postgres.files.yaml_text import yaml_documents

    try:
        (found,) = yaml_documents(read_given(file, _LARGEST_BYTES))
    except ValueError:
        return False
    return isinstance(found, dict) and found.get("kind") == "Config" and len(found.get("clusters") or ()) <= 1
