"""Files that a person names: no device, FIFO, socket or folder is waited for or read without an end."""

import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from aks_postgres.files.given_files import FileRefused, disk_problem, read_given, writing

Make = Callable[[Path], Path]


def fifo(folder: Path) -> Path:
    os.mkfifo(folder / "fifo")
    return folder / "fifo"


def listening(folder: Path) -> Path:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(folder / "s"))
    return folder / "s"


def linked(make: Make) -> Make:
    def link(folder: Path) -> Path:
        (folder / "link").symlink_to(make(folder))
        return folder / "link"

    return link


def large(folder: Path) -> Path:
    with (folder / "large").open("wb") as file:
        file.truncate(2**40)
    return folder / "large"


# What is named, and what is said of it.
NO_FILES: dict[str, tuple[Make, str]] = {
    "endless device": (lambda _: Path("/dev/zero"), "is a device; a regular file is allowed"),
    "terminal": (lambda _: Path("/dev/ptmx"), "is a device; a regular file is allowed"),
    "FIFO": (fifo, "is a FIFO; a regular file is allowed"),
    "link to a FIFO": (linked(fifo), "is a FIFO; a regular file is allowed"),
    "socket": (listening, "is a socket; a regular file is allowed"),
    "folder": (lambda folder: folder, "is a directory; a regular file is allowed"),
    "large file": (large, "has more than 100 bytes, which is the most that is read"),
    "nothing": (lambda folder: folder / "nowhere", "can't be read: No such file or directory"),
    "a loop": (lambda folder: linked(lambda _: folder / "link")(folder), "Too many levels of symbolic links"),
    "a name with NUL": (lambda folder: folder / "a\0b", "a character that none can hold"),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("what", NO_FILES)
def test_only_a_regular_file_of_bounded_size_is_read(tmp_path: Path, what: str) -> None:
    make, words = NO_FILES[what]
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(FileRefused) as refused:
        read_given(make(tmp_path), 100)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_regular_file_is_read_to_its_end_also_behind_links(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 100)
    (tmp_path / "link").symlink_to("file")
    assert read_given(tmp_path / "link", 100) == b"x" * 100


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
def test_a_disk_that_takes_no_more_is_one_line_with_the_file_and_the_way_out(number: int) -> None:
    with pytest.raises(OSError, match="Errno") as failed, writing("/srv/kubeconfig"):
        raise OSError(number, os.strerror(number))
    problem = disk_problem(failed.value)
    assert problem is not None
    assert problem.text == f"/srv/kubeconfig can't be written: {os.strerror(number)}"
    assert problem.way_out
    assert str(problem) == f"{problem.text}; {problem.way_out}, then run again"
    assert "\n" not in str(problem)


def test_a_connection_that_is_refused_is_no_disk_s() -> None:
    assert disk_problem(PermissionError(errno.EACCES, "connect")) is None
    assert disk_problem(ConnectionRefusedError(errno.ECONNREFUSED, "connect")) is None
