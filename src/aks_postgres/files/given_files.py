"""Files that a person names: regular ones of bounded size, and what is said when a disk takes no more."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_WAYS_OUT = {
    errno.ENOSPC: "free some space there",
    errno.EDQUOT: "free some of this user's space there, or raise its quota",
    errno.EROFS: "choose a folder that can be written",
    errno.EACCES: "choose a folder that this user may write to, or let it",
    errno.EPERM: "choose a folder that this user may write to, or let it",
}
_FULL = (errno.ENOSPC, errno.EDQUOT)


class FileRefused(ValueError):
    """A file that isn't read; `str()` says what it is and what is allowed, without what it holds."""


def read_given(path: str | Path, largest_bytes: int) -> bytes:
    """The bytes of a regular file. Blocks: on an event loop it belongs into a thread.

    A device or a FIFO would keep the process for ever, and so would their opening without O_NONBLOCK.

    Raises:
        FileRefused: it is no regular file, too large, or can't be read.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        try:
            kind = stat.S_IFMT(os.fstat(file).st_mode)
            if kind != stat.S_IFREG:
                raise _not_regular(path, kind)
            with os.fdopen(file, "rb", closefd=False) as stream:
                found = stream.read(largest_bytes + 1)
        finally:
            os.close(file)
    except OSError as error:
        if error.errno == errno.ENXIO:  # what opening a socket gives
            raise _not_regular(path, stat.S_IFSOCK) from None
        raise FileRefused(f"{path} can't be read: {error.strerror}") from None
    except ValueError as error:
        if isinstance(error, FileRefused):
            raise
        raise FileRefused("the path holds a character that none can hold") from None  # NUL
    if len(found) > largest_bytes:
        raise FileRefused(f"{path} has more than {largest_bytes} bytes, which is the most that is read")
    return found


def _not_regular(path: str | Path, kind: int) -> FileRefused:
    return FileRefused(f"{path} is {_KINDS.get(kind, 'no file')}; a regular file is allowed")


@contextmanager
def writing(where: str | Path) -> Iterator[None]:
    """Let an error of the system say which file was written; that of a full disk doesn't by itself."""
    try:
        yield
    except OSError as error:
        error.filename, error.filename2 = error.filename or str(where), None
        raise


class DiskProblem(NamedTuple):
    """What is wrong with a disk that was written to, and what to do."""

    text: str
    way_out: str

    def __str__(self) -> str:
        return f"{self.text}; {self.way_out}, then run again"


def disk_problem(error: OSError) -> DiskProblem | None:
    """Return what is wrong with the disk that was written to; None where it is something else."""
    way_out = _WAYS_OUT.get(error.errno or 0)
    # Of a connection that a firewall forbids it is said without a file.
    if way_out is None or (error.filename is None and error.errno not in _FULL):
        return None
    return DiskProblem(f"{error.filename or 'the output'} can't be written: {error.strerror}", way_out)
