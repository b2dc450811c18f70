"""An archive as barman-cloud leaves it, for those that spoil it."""

from collections.abc import Iterable

from aks_postgres.tear_down.archive_check import Archive

BACKUP_ID = "20261124T115000"
SYSTEM_ID = "7577777777777777777"
# Later than the text in backup.info, which the plugin's status has in whole seconds.
ENDED = "2026-11-24T11:50:09Z"
BASE = f"base/{BACKUP_ID}"
# Recorded of barman 3.19.1's barman-cloud-backup, without what a restore doesn't need.
INFO = {
    "backup_name": "backup-20261124115000",
    "begin_time": "2026-11-24 11:50:03.113020+00:00",
    "begin_wal": "000000010000000000000004",
    "begin_xlog": "0/4000028",
    "compression": "gzip",
    "encryption": "None",
    "end_time": "2026-11-24 11:50:09.604710+00:00",
    "end_wal": "000000010000000000000005",
    "end_xlog": "0/5000120",
    "error": "None",
    "mode": "concurrent",
    "pgdata": "/var/lib/postgresql/data/pgdata",
    "server_name": "cloud",
    "size": "None",
    "status": "DONE",
    "systemid": SYSTEM_ID,
    "tablespaces": "None",
    "timeline": "1",
    "version": "180006",
    "xlog_segment_size": "16777216",
}


def info(**other: str) -> str:
    """The text of a backup.info."""
    return "".join(f"{key}={value}\n" for key, value in {**INFO, **other}.items() if value != "(left out)")


def segment(number: int, timeline: int = 1) -> str:
    """The blob of a WAL file."""
    folder = f"{timeline:08X}{number // 256:08X}"
    return f"wals/{folder}/{folder}{number % 256:08X}.gz"


def whole_archive(
    *, segments: Iterable[int] = range(1, 9), without: str = "", text: str | None = None
) -> Archive:
    """One whose newest backup is BACKUP_ID.

    Args:
        segments: the WAL files of timeline 1.
        without: a blob that is left out.
        text: of backup.info.
    """
    found = {f"{BASE}/backup.info": 1200, f"{BASE}/data.tar.gz": 4_000_000}
    found |= dict.fromkeys(map(segment, segments), 70_000)
    found["wals/0000000100000000/000000010000000000000004.00000028.backup.gz"] = 250
    found.pop(without, None)
    return Archive(found, {BACKUP_ID: info() if text is None else text})
