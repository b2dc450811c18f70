import io
from typing import Any

import pytest
from rich.console import Console

from aks_postgres.cli.progress import LiveProgress, PlainProgress, progress
from aks_postgres.reports.journal import Event, Journal, Kind
from aks_postgres.runs.summary import timings


def event(at_s: float, step: str, kind: Kind, text: str = "", **waited: float) -> Event:
    return Event(at_s, step, kind, text, **waited)


RUN = [
    event(0, "ensure_cluster a", "started"),
    event(1, "ensure_pool b", "started"),
    event(2, "ensure_cluster a", "waiting", "a is Creating", elapsed_s=120, expected_s=400),
    event(3, "ensure_pool b", "conflict", "AKS is busy; again in 20 s"),
    event(40, "ensure_cluster a", "waiting", "a is Creating", elapsed_s=160, expected_s=400),
    event(41, "ensure_cluster a", "waiting", "a is Creating", elapsed_s=161, expected_s=400),
    event(45, "ensure_cluster a", "created"),
    event(46, "ensure_pool b", "failed", "first line\nsecond line"),
]


def shown(terminal: bool) -> str:
    console = Console(file=io.StringIO(), width=120, force_terminal=terminal, color_system=None)
    with progress(console) as view:
        assert isinstance(view, LiveProgress if terminal else PlainProgress)
        for one in RUN:
            view(one)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_without_a_terminal_each_end_and_conflict_is_a_line_and_a_long_wait_is_mentioned() -> None:
    assert [" ".join(line.split()) for line in shown(terminal=False).splitlines()] == [
        "3.0 s ensure_pool b: AKS is busy; again in 20 s",
        "40.0 s ensure_cluster a: a is Creating (2 min 40 s of about 6 min 40 s)",
        "45.0 s ensure_cluster a: created (45.0 s)",
        "46.0 s ensure_pool b: failed: first line (45.0 s)",
    ]


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("kind", ["created", "updated", "unchanged", "done"])
@pytest.mark.parametrize("planned", [True, False])
def test_what_a_plan_would_do_isnt_told_as_done(kind: Any, planned: bool, terminal: bool) -> None:
    console = Console(file=io.StringIO(), width=120, force_terminal=terminal, color_system=None)
    journal = Journal()
    with progress(console) as view:
        journal.subscribe(view)
        with journal.step("ensure_cluster a"):
            journal.ended(kind, "", planned=planned)
    assert isinstance(console.file, io.StringIO)
    would = planned and kind in ("created", "updated")
    assert (f"would be {kind}" in console.file.getvalue()) is would
    assert f"{kind}" in console.file.getvalue()
    assert [row[3] for row in timings(journal.events)] == [f"would be {kind}" if would else kind]


@pytest.mark.parametrize("words", ["created", "AKS is busy; again in 20 s", "failed: first line"])
def test_on_a_terminal_what_has_ended_stays(words: str) -> None:
    assert words in shown(terminal=True)


def test_on_a_terminal_what_is_under_way_shows_its_time_and_what_it_waits_for() -> None:
    now = [0.0]
    console = Console(file=io.StringIO(), width=120, force_terminal=True, color_system=None)
    view = LiveProgress(console, now_s=lambda: now[0])
    for one in RUN[:3]:
        view(one)
    now[0] = 12.0
    with console.capture() as captured:
        console.print(view.under_way())
    lines = captured.get().splitlines()
    assert "ensure_cluster a" in lines[0]
    assert "12 s" in lines[0]
    assert "a is Creating (2 min 0 s of about 6 min 40 s)" in lines[0]
    assert lines[-1].strip() == "0 steps done, 2 under way, 12 s"
