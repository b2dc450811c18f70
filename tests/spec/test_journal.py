import asyncio
from collections.abc import Callable

import pytest

from aks_postgres.reports.journal import Event, Journal, journal, use_journal


def told(events: list[Event]) -> list[tuple[str, str, str]]:
    return [(event.step, event.kind, event.text) for event in events]


def test_a_step_is_told_from_its_start_to_its_end() -> None:
    book = Journal()
    with book.step("ensure_cluster"):
        book.conflict("AKS is busy")
        book.note("two clusters share a name")
        book.ended("updated", "sku.tier: Free -> Standard")
    assert told(book.events) == [
        ("ensure_cluster", "started", ""),
        ("ensure_cluster", "conflict", "AKS is busy"),
        ("ensure_cluster", "note", "two clusters share a name"),
        ("ensure_cluster", "updated", "sku.tier: Free -> Standard"),
    ]
    times = [event.at_s for event in book.events]
    assert times == sorted(times)
    assert times[0] >= 0


@pytest.mark.parametrize(
    ("error", "text"),
    [(ValueError("no"), "no"), (ValueError(), "ValueError"), (asyncio.CancelledError(), "CancelledError")],
)
def test_a_step_that_fails_says_why_and_fails(error: BaseException, text: str) -> None:
    book = Journal()
    with pytest.raises(type(error)), book.step("ensure_cluster"):
        raise error
    assert told(book.events)[-1] == ("ensure_cluster", "failed", text)


def into(lines: list[str]) -> Callable[[int, str], None]:
    return lambda _, text: lines.append(text)


def test_conflicts_notes_and_ends_go_to_the_steps_log_and_waits_do_not() -> None:
    book, log = Journal(), list[str]()
    with book.step("ensure_cluster", into(log)):
        book.waiting("cluster is Creating")
        book.conflict("AKS is busy")
        book.note("read this")
        book.ended("updated", "sku.tier: Free -> Standard")
    book.note("after the step")
    end = "ensure_cluster: updated: sku.tier: Free -> Standard"
    assert log == ["ensure_cluster: AKS is busy", "ensure_cluster: read this", end]


def test_what_is_only_planned_is_not_logged_as_done() -> None:
    book, log = Journal(), list[str]()
    for kind in ("created", "updated", "unchanged"):
        with book.step("ensure_cluster", into(log)):
            book.ended(kind, planned=True)  # type: ignore[arg-type]
    assert log == [
        "ensure_cluster: would be created",
        "ensure_cluster: would be updated",
        "ensure_cluster: unchanged",
    ]


def test_of_waits_only_each_steps_last_is_kept() -> None:
    book, heard = Journal(), list[Event]()
    book.subscribe(heard.append)
    assert book.last_wait("ensure_cluster") is None
    with book.step("ensure_cluster"):
        book.waiting("cluster is Creating", elapsed_s=2, expected_s=240)
        book.waiting("cluster is Creating", elapsed_s=4, expected_s=240)
    with book.step("ensure_grafana"):
        book.waiting("Grafana is Accepted")
    last = book.last_wait("ensure_cluster")
    assert last is not None
    assert (last.text, last.elapsed_s, last.expected_s) == ("cluster is Creating", 4, 240)
    assert "waiting" not in {event.kind for event in book.events}
    assert [event.kind for event in heard].count("waiting") == 3


def test_a_listener_hears_everything_from_then_on() -> None:
    book, heard = Journal(), list[Event]()
    book.note("before")
    book.subscribe(heard.append)
    with book.step("ensure_cluster"):
        book.ended("created")
    assert told(heard) == [("ensure_cluster", "started", ""), ("ensure_cluster", "created", "")]


async def test_steps_at_the_same_time_keep_their_own_titles_and_logs() -> None:
    book = Journal()
    logs: dict[str, list[str]] = {"ensure_cluster": [], "ensure_grafana": []}
    both_inside = asyncio.Barrier(2)

    async def step(title: str) -> None:
        with book.step(title, into(logs[title])):
            await both_inside.wait()
            journal().note(f"said in {title}")
            await both_inside.wait()

    with use_journal(book):
        await asyncio.gather(*map(step, logs))
    assert logs == {title: [f"{title}: said in {title}"] for title in logs}
    assert {(e.step, e.text) for e in book.events if e.kind == "note"} == {
        (title, f"said in {title}") for title in logs
    }


def test_an_inner_step_belongs_to_itself_and_the_outer_goes_on_afterwards() -> None:
    book = Journal()
    with book.step("outer"):
        with book.step("inner"):
            book.note("inside")
        book.note("outside")
    assert told(book.events)[-2:] == [("inner", "note", "inside"), ("outer", "note", "outside")]


def test_the_outermost_journal_stays_in_charge() -> None:
    outer, inner = Journal(), Journal()
    with use_journal(outer) as opened:
        assert opened is outer is journal()
        with use_journal(inner) as reopened:
            assert reopened is outer is journal()
        assert journal() is outer
    assert journal() is not outer


def test_outside_a_run_nothing_is_kept() -> None:
    journal().note("nobody reads this")
    assert journal().events == []
