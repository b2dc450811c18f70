import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from aks_postgres.cli.environment import INTERRUPTED, interrupted
from aks_postgres.cli.progress import How, LiveProgress, progress
from aks_postgres.reports.journal import Event, Journal, Kind
from aks_postgres.reports.step_titles import TITLES
from aks_postgres.runs.summary import timings


def event(at_s: float, step: str, kind: Kind, text: str = "", **waited: float) -> Event:
    return Event(at_s, step, kind, text, **waited)


RUN = [
    event(0, "ensure_cluster a", "started"),
    event(1, "ensure_pool b", "started"),
    event(2, "ensure_cluster a", "waiting", "a is Creating", elapsed_s=120, expected_s=400),
    event(3, "ensure_pool b", "conflict", "AKS is busy (HTTP 409); again in 20 s"),
    event(4, "ensure_pool b", "conflict", "AKS is busy (HTTP 409); again in 25 s"),
    event(5, "ensure_cluster a", "waiting", "a is Creating", elapsed_s=123, expected_s=400),
    event(40, "ensure_cluster a", "waiting", "a is Creating", elapsed_s=160, expected_s=400),
    event(41, "ensure_cluster a", "waiting", "a is Creating", elapsed_s=161, expected_s=400),
    event(45, "ensure_cluster a", "updated", "tier: Free -> Standard"),
    event(46, "ensure_pool b", "failed", "first line\nsecond line"),
]


def journal_of(steps: int) -> Journal:
    journal = Journal()
    journal.expected_steps = steps
    return journal


def shown(terminal: bool, how: How = "auto", *, verbose: bool = False, width: int = 120) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=terminal, color_system=None)
    with progress(console, journal_of(34), how, verbose=verbose) as view:
        for one in RUN:
            view(one)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_without_a_terminal_each_end_is_a_line_and_a_wait_is_told_when_it_begins_and_every_30_s() -> None:
    lines = shown(terminal=False, width=40).splitlines()
    assert [" ".join(line.split()) for line in lines] == [
        "2.0 s AKS cluster: waiting: a is Creating (2 min 0 s of about 6 min 40 s) [ensure_cluster a]",
        "3.0 s Ensure pool: waiting: AKS is busy [ensure_pool b]",
        "40.0 s AKS cluster: waiting: a is Creating (2 min 40 s of about 6 min 40 s) [ensure_cluster a]",
        "45.0 s 1/34 AKS cluster: updated (45.0 s) [ensure_cluster a]",
        "46.0 s 2/34 Ensure pool: failed: first line (45.0 s) [ensure_pool b]",
    ]
    assert [line for line in lines if line != line.rstrip()] == []


def test_verbose_says_fields_and_all_of_azures_words() -> None:
    said = shown(terminal=False, verbose=True)
    assert "updated: tier: Free -> Standard" in said
    assert "AKS is busy (HTTP 409); again in 25 s" in said
    assert "tier: Free -> Standard" in shown(terminal=True, verbose=True)


def test_json_is_an_object_a_line_with_the_count() -> None:
    told = [json.loads(line) for line in shown(terminal=True, how="json").splitlines()]
    assert len(told) == len(RUN)
    assert told[2] == {
        "at_s": 2,
        "step": "ensure_cluster a",
        "title": "AKS cluster",
        "kind": "waiting",
        "text": "a is Creating",
        "elapsed_s": 120,
        "expected_s": 400,
        "ended": 0,
        "of": 34,
    }
    assert [(one["ended"], one["of"]) for one in told[-2:]] == [(1, 34), (2, 34)]


def test_a_terminal_can_have_plain_lines_and_a_step_that_is_tried_again_counts_once() -> None:
    assert shown(terminal=True, how="plain") == shown(terminal=False)
    console = Console(file=io.StringIO(), force_terminal=False)
    with progress(console, journal_of(2)) as view:
        for kind in ("started", "failed", "started", "created"):
            view(event(1, "ensure_cluster a", kind))  # type: ignore[arg-type]
    assert isinstance(console.file, io.StringIO)
    assert " 1/2" in console.file.getvalue().splitlines()[-1]


def test_every_step_has_a_title_that_fits() -> None:
    tasks = Path(__file__).parents[2] / "tasks"
    steps = {
        name
        for file in tasks.rglob("*.py")
        for name in re.findall(r"@arm_task\([^@]*?\nasync def (\w+)", file.read_text())
    }
    assert len(steps) > 55
    assert steps - TITLES.keys() == set()
    assert [title for title in TITLES.values() if len(title) > 42] == []
    assert len(set(TITLES.values())) == len(TITLES)


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("kind", ["created", "updated", "unchanged", "done"])
@pytest.mark.parametrize("planned", [True, False])
def test_what_a_plan_would_do_isnt_told_as_done(kind: Any, planned: bool, terminal: bool) -> None:
    console = Console(file=io.StringIO(), width=120, force_terminal=terminal, color_system=None)
    journal = Journal()
    with progress(console, journal) as view:
        journal.subscribe(view)
        with journal.step("ensure_cluster a"):
            journal.ended(kind, "", planned=planned)
    assert isinstance(console.file, io.StringIO)
    would = planned and kind in ("created", "updated")
    assert (f"would be {kind}" in console.file.getvalue()) is would
    assert f"{kind}" in console.file.getvalue()
    assert [row[3] for row in timings(journal.events)] == [f"would be {kind}" if would else kind]


@pytest.mark.parametrize(
    "words", ["updated", "AKS cluster", "ensure_cluster a", "failed: first line", " 1/34", " 2/34"]
)
def test_on_a_terminal_what_has_ended_stays(words: str) -> None:
    assert words in shown(terminal=True)


def test_on_a_terminal_a_long_wait_has_a_bar_and_the_time_left_within_80_columns() -> None:
    now = [0.0]
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    view = LiveProgress(console, journal_of(34), now_s=lambda: now[0])
    for one in RUN[:3]:
        view(one)
    now[0] = 12.0
    with console.capture() as captured:
        console.print(view.under_way())
    lines = captured.get().splitlines()
    assert "AKS cluster" in lines[0]
    assert "12 s" in lines[0]
    assert re.search(r"\[###\.{7}\] \d.* left$", lines[0].rstrip()), lines[0]
    assert lines[-1].strip() == "0/34 steps done, 2 under way, 12 s"
    assert max(map(len, lines)) <= 80


def test_an_interrupted_run_says_in_one_line_what_azure_goes_on_with() -> None:
    journal = Journal()
    assert interrupted(journal) == INTERRUPTED
    journal.operation_began("public IP pip")
    journal.operation_ended("public IP pip")
    journal.operation_began("AKS cluster aks-primary")
    said = interrupted(journal)
    assert said == (
        "interrupted. What Azure has begun goes on (AKS cluster aks-primary); run again to go on from there."
    )
