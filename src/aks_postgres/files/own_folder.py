"""Folders that only their owner can look into, whatever the umask says."""

from __future__ import annotations

from pathlib import Path


def make_own_folder(folder: Path) -> None:
    """Make a folder with mode 0700, and its parents that aren't there; what is there stays as it is.

    `Path.mkdir(mode=0o700, parents=True)` gives parents what the umask leaves: under 000 anybody could put another
    folder in place of ours.
    """
    for part in (*reversed(folder.parents), folder):
        part.mkdir(mode=0o700, exist_ok=True)
