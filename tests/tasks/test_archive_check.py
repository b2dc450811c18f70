"""A backup counts when every blob of it is there; each lie that a container can tell is a refusal."""

from dataclasses import replace

import pytest

from aks_postgres.tear_down.archive_check import NOT_READ, Archive, BackupInfo, folders_from, why_incomplete

from .archives import BACKUP_ID, BASE, SYSTEM_ID, info, segment, whole_archive


def judged(archive: Archive, system_id: str = SYSTEM_ID) -> str | None:
    return why_incomplete(archive, BACKUP_ID, system_id)


def sized(name: str, size: int) -> Archive:
    whole = whole_archive()
    return replace(whole, sizes={**whole.sizes, name: size})


HISTORY = "wals/00000002.history"


def after_a_failover(*, history: int | None = 40, second: tuple[int, ...] = (7, 8, 9)) -> Archive:
    """The primary died while it wrote segment 7, and another went on in it on the next timeline."""
    first = whole_archive(segments=range(1, 7))
    sizes = {**first.sizes, **dict.fromkeys((segment(number, 2) for number in second), 70_000)}
    sizes["wals/0000000100000000/000000010000000000000007.partial.gz"] = 900
    if history is not None:
        sizes[HISTORY] = history
    return replace(first, sizes=sizes)


@pytest.mark.parametrize(
    "archive",
    [
        whole_archive(),
        whole_archive(segments=range(4, 6)),
        whole_archive(segments=range(4, 700)),
        whole_archive(segments=[*range(1, 3), *range(4, 9)]),
        after_a_failover(),
        sized(f"{BASE}/data_0001.tar.gz", 10),
        whole_archive(text=info(size="4000000", cluster_size="x")),
        replace(
            sized(f"{BASE}/16400.tar.gz", 10), infos={BACKUP_ID: info(tablespaces="[('t', 16400, '/t')]")}
        ),
    ],
    ids=[
        "whole",
        "just enough",
        "long",
        "a gap before it",
        "failover",
        "in parts",
        "more words",
        "tablespace",
    ],
)
def test_a_backup_whose_files_and_wal_are_there_is_proven(archive: Archive) -> None:
    assert judged(archive) is None


LIES: dict[str, tuple[Archive, str]] = {
    "nothing is there": (Archive(), "backup.info is missing or empty"),
    "nobody looked": (NOT_READ, "can't be looked at"),
    "no backup.info": (whole_archive(without=f"{BASE}/backup.info"), "backup.info is missing or empty"),
    "an empty backup.info": (sized(f"{BASE}/backup.info", 0), "backup.info is missing or empty"),
    "a backup.info that says nothing": (whole_archive(text=""), "can't be read"),
    "a page of HTML for backup.info": (whole_archive(text="<html>a=b</html>"), "can't be read"),
    "a backup.info that wasn't read": (replace(whole_archive(), infos={}), "can't be read"),
    "a failed backup": (whole_archive(text=info(status="FAILED")), "isn't finished"),
    "a running backup": (whole_archive(text=info(status="STARTED")), "isn't finished"),
    "a backup without a state": (whole_archive(text=info(status="(left out)")), "isn't finished"),
    "another database's backup": (
        whole_archive(text=info(systemid="7500000000000000000")),
        "another database",
    ),
    "a backup of nobody knows what": (whole_archive(text=info(systemid="(left out)")), "another database"),
    "no data": (whole_archive(without=f"{BASE}/data.tar.gz"), "data.tar is missing or empty"),
    "empty data": (sized(f"{BASE}/data.tar.gz", 0), "data.tar is missing or empty"),
    "a lost part of the data": (sized(f"{BASE}/data_0002.tar.gz", 9), "data_0001.tar is missing or empty"),
    "a lost tablespace": (
        whole_archive(text=info(tablespaces="[('t', 16400, '/t')]")),
        "16400.tar is missing",
    ),
    "its first WAL file is gone": (whole_archive(segments=[1, 2, 3, 5, 6]), "00000004 is missing or empty"),
    "its last WAL file is gone": (whole_archive(segments=[1, 2, 3, 4, 6]), "00000005 is missing or empty"),
    "an empty WAL file of its own": (sized(segment(4), 0), "00000004 is missing or empty"),
    "an empty WAL file later on": (sized(segment(7), 0), "can't be gone on from: WAL file 0000000000000007"),
    "a gap later on": (
        whole_archive(segments=[4, 5, 6, 8, 9]),
        "can't be gone on from: WAL file 0000000000000007",
    ),
    "no WAL at all": (whole_archive(segments=()), "00000004 is missing or empty"),
    "WAL of another timeline only": (
        replace(
            whole_archive(segments=()),
            sizes={
                **whole_archive(segments=()).sizes,
                **{segment(number, 2): 9 for number in range(4, 9)},
                HISTORY: 40,
            },
        ),
        "000000010000000000000004 is missing",
    ),
    "WAL in another folder": (
        replace(
            whole_archive(segments=[5]),
            sizes={**whole_archive(segments=[5]).sizes, "wals/0000000200000000/000000010000000000000004": 9},
        ),
        "00000004 is missing",
    ),
    "only the rest of a WAL file": (
        replace(
            whole_archive(segments=[4]),
            sizes={
                **whole_archive(segments=[4]).sizes,
                "wals/0000000100000000/000000010000000000000005.partial": 9,
            },
        ),
        "00000005 is missing",
    ),
    "a new timeline without a history": (after_a_failover(history=None), "history of timeline 00000002"),
    "an empty history": (after_a_failover(history=0), "history of timeline 00000002"),
    "a gap at the failover": (after_a_failover(second=(8, 9)), "WAL file 0000000000000007"),
    "WAL that ends before it begins": (
        whole_archive(text=info(end_wal="000000010000000000000003")),
        "begins at 000000010000000000000004 and ends at",
    ),
    "WAL that ends on another timeline": (
        whole_archive(text=info(end_wal="000000020000000000000005")),
        "begins at 000000010000000000000004 and ends at",
    ),
    "WAL without end": (whole_archive(text=info(end_wal="00000001FFFFFFFF000000FF")), "00000009 is missing"),
    "no number for a WAL file": (whole_archive(text=info(begin_wal="None")), "can't be read"),
    "no size of WAL files": (whole_archive(text=info(xlog_segment_size="None")), "can't be read"),
    "an odd size of WAL files": (whole_archive(text=info(xlog_segment_size="3000000")), "can't be read"),
    "tablespaces that are code": (whole_archive(text=info(tablespaces="__import__('os')")), "can't be read"),
    "tablespaces of numbers": (whole_archive(text=info(tablespaces="[7]")), "can't be read"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_backup_whose_blobs_tell_otherwise_isnt_proven(lie: str) -> None:
    archive, expected = LIES[lie]
    said = judged(archive)
    assert said is not None
    assert expected in said


@pytest.mark.parametrize("name", [name for name in whole_archive().sizes if ".backup" not in name])
def test_every_blob_from_the_backups_beginning_on_matters(name: str) -> None:
    is_older = name in map(segment, (1, 2, 3))
    assert (judged(sized(name, 0)) is None) is is_older
    # Of the last one nobody can tell that it was there; PostgreSQL's own time-out limits what that is.
    assert (judged(whole_archive(without=name)) is None) is (is_older or name == segment(8))


def test_a_database_without_a_number_isnt_proven() -> None:
    assert "another database" in (judged(whole_archive(), "") or "")
    empty = whole_archive(text=info(systemid=""))
    assert "another database" in (judged(empty, "") or "")


def test_the_folders_that_are_read_are_those_from_the_backup_on() -> None:
    found = BackupInfo.of(info(begin_wal="000000020000000100000004", end_wal="000000020000000100000005"))
    assert found is not None
    folders = [
        "0000000100000001",
        "0000000200000000",
        "0000000200000001",
        "0000000200000002",
        "0000000300000001",
        "x",
    ]
    assert folders_from(found, folders) == ["0000000200000001", "0000000200000002", "0000000300000001"]
