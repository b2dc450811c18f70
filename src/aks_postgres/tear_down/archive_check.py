"""Whether a backup is where its operator says: judged from what the container lists, without a network.

A base backup can be restored when its files are there, and every WAL file from its beginning on: one that is missing
ends recovery, and where it is one of the backup's own, there is none. Barman's layout (barman 3.19, cloud.py and
xlog.py), with names as PostgreSQL gives them (https://www.postgresql.org/docs/current/wal-internals.html). What the
files hold isn't read; only a restore proves that.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from aks_postgres.arm.responses import clean

_SEGMENT = re.compile(
    r"wals/(?P<folder>[0-9A-F]{16})/(?P<timeline>[0-9A-F]{8})(?P<log>[0-9A-F]{8})(?P<part>[0-9A-F]{8})(\.[a-z0-9]+)?"
)
_HISTORY = re.compile(r"wals/(?P<timeline>[0-9A-F]{8})\.history(\.[a-z0-9]+)?")
_WAL_NAME = re.compile(r"[0-9A-F]{24}")
# PostgreSQL's limits of --wal-segsize.
_SMALLEST_SEGMENT, _LARGEST_SEGMENT = 2**20, 2**30


@dataclass(frozen=True)
class Archive:
    """What a container holds under the name that one Postgres cluster archives as."""

    sizes: Mapping[str, int] = field(default_factory=dict)
    """Bytes of each blob, by its name after the server's."""
    infos: Mapping[str, str] = field(default_factory=dict)
    """The text of backup.info, by the backup's ID."""
    unread: str = ""
    """Why it couldn't be read."""


NOT_READ = Archive(unread="nobody looked")


@dataclass(frozen=True)
class BackupInfo:
    """What barman notes of a base backup, as far as it is needed here."""

    status: str
    system_id: str
    begin_wal: str
    end_wal: str
    end_time: str
    segment_bytes: int
    tablespaces: tuple[int, ...]

    @classmethod
    def of(cls, text: str) -> BackupInfo | None:
        """Read a backup.info; None if it says too little."""
        said = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
        begin, end = said.get("begin_wal", ""), said.get("end_wal", "")
        size = said.get("xlog_segment_size", "")
        try:
            places = ast.literal_eval(said.get("tablespaces") or "None") or []
            oids = tuple(int(one[1]) for one in places)
            segment_bytes = int(size)
        except (ValueError, SyntaxError, TypeError, IndexError, KeyError, RecursionError, MemoryError):
            return None
        is_power = segment_bytes > 0 and segment_bytes & (segment_bytes - 1) == 0
        if (
            not is_power
            or not _SMALLEST_SEGMENT <= segment_bytes <= _LARGEST_SEGMENT
            or not all(_WAL_NAME.fullmatch(one) for one in (begin, end))
        ):
            return None
        return cls(
            status=said.get("status", ""),
            system_id=said.get("systemid", ""),
            begin_wal=begin,
            end_wal=end,
            end_time=said.get("end_time", ""),
            segment_bytes=segment_bytes,
            tablespaces=oids,
        )


def folders_from(info: BackupInfo, folders: Iterable[str]) -> list[str]:
    """Those of the archive's WAL folders (16 hexadecimal digits) that a restore of this backup may read."""
    first = info.begin_wal[:16]
    return sorted(
        one
        for one in folders
        if re.fullmatch("[0-9A-F]{16}", one) and one[:8] >= first[:8] and one[8:] >= first[8:]
    )


def why_incomplete(archive: Archive, backup_id: str, system_id: str) -> str | None:
    """Return why a backup can't be restored from these blobs; None where nothing is missing.

    Args:
        archive: what the container holds of the cluster.
        backup_id: barman's name of the backup.
        system_id: PostgreSQL's own number of the database that is to be saved.
    """
    if archive.unread:
        return f"can't be looked at in the container ({archive.unread})"
    base = f"base/{backup_id}"
    if not archive.sizes.get(f"{base}/backup.info"):
        return f"isn't in the container: {base}/backup.info is missing or empty"
    info = BackupInfo.of(archive.infos.get(backup_id, ""))
    if info is None:
        return f"has a backup.info that can't be read ({base})"
    if info.status != "DONE":
        return f"isn't finished, as its backup.info says ({clean(info.status) or 'nothing'})"
    if not system_id or info.system_id != system_id:
        return (
            f"is of another database: system identifier {clean(info.system_id) or 'unknown'}, and this one's is "
            f"{clean(system_id) or 'unknown'}"
        )
    return _missing_data(archive, base, info) or _missing_wal(archive, info)


def _missing_data(archive: Archive, base: str, info: BackupInfo) -> str | None:
    for name in ("data", *map(str, info.tablespaces)):
        # A large one is in parts: data.tar, data_0001.tar, and so on.
        pattern = re.compile(rf"{re.escape(base)}/{name}(_(?P<part>\d{{4,}}))?\.tar(\.[a-z0-9]+)?")
        parts = {
            int(match["part"] or 0): size
            for blob, size in archive.sizes.items()
            if (match := pattern.fullmatch(blob))
        }
        gone = [part for part in range(max(parts, default=0) + 1) if not parts.get(part)]
        if gone:
            file = f"{name}_{gone[0]:04}.tar" if gone[0] else f"{name}.tar"
            return f"has lost its data: {base}/{file} is missing or empty"
    return None


def _missing_wal(archive: Archive, info: BackupInfo) -> str | None:
    per_log = 2**32 // info.segment_bytes

    def position(log: str, part: str) -> int:
        return int(log, 16) * per_log + int(part, 16)

    began, begin = info.begin_wal[:8], position(info.begin_wal[8:16], info.begin_wal[16:])
    end = position(info.end_wal[8:16], info.end_wal[16:])
    there: set[int] = set()
    own: set[int] = set()
    timelines = {began}
    newest = end
    for blob, size in archive.sizes.items():
        match = _SEGMENT.fullmatch(blob)
        if match is None or match["timeline"] < began or blob.endswith(".partial"):
            continue
        if (found := position(match["log"], match["part"])) < begin:
            continue
        timelines.add(match["timeline"])
        newest = max(newest, found)
        if size and match["folder"] == match["timeline"] + match["log"]:
            there.add(found)
            if match["timeline"] == began:
                own.add(found)
    if end < begin or info.end_wal[:8] != began:
        return f"has a backup.info whose WAL begins at {info.begin_wal} and ends at {info.end_wal}"

    def named(number: int) -> str:
        return f"{number // per_log:08X}{number % per_log:08X}"

    # Its own have to be of its timeline; later ones of any.
    for number in range(begin, end + 1):
        if number not in own:
            return f"can't be restored: WAL file {began}{named(number)} is missing or empty"
    if len(there) < newest - begin + 1:
        gap = next(number for number in range(begin, newest + 1) if number not in there)
        return f"can't be gone on from: WAL file {named(gap)} is missing or empty, and isn't the last one"
    known = {
        match["timeline"]
        for blob, size in archive.sizes.items()
        if size and (match := _HISTORY.fullmatch(blob))
    }
    for timeline in sorted(timelines - {began} - known):
        return f"can't be gone on from: the history of timeline {timeline} is missing or empty"
    return None
