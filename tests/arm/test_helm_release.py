"""What a release's state asks for: data in, data out."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from aks_postgres.kubernetes.helm_release import (
    UNTIL_LABEL,
    Action,
    Chart,
    Release,
    changes,
    next_action,
    rollback_target,
)

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
CHART = Chart("cloudnative-pg", "0.29.0", b"the file", {"config": {"data": {"A": "b"}}, "replicaCount": 1})


def release(status: str = "deployed", **other: Any) -> Release:
    facts: dict[str, Any] = {
        "revision": 1,
        "status": status,
        "chart_name": "cloudnative-pg",
        "chart_version": "0.29.0",
        "deployed_at": (NOW - timedelta(days=1)).isoformat(),
        "labels": {},
        "description": CHART.description,
        "values": CHART.values,
        "objects": (),
    }
    return Release(**facts | other)


def fields(live: Release) -> list[str]:
    return [change.field for change in changes(CHART, live)]


def test_what_is_as_wanted_needs_nothing() -> None:
    assert changes(CHART, release()) == ()
    assert next_action(CHART, release(), NOW) == "nothing"


@pytest.mark.parametrize(
    ("other", "differs"),
    [
        ({"chart_version": "0.28.0"}, ["chart"]),
        ({"chart_version": "0.28.0", "description": "Upgrade complete"}, ["chart"]),
        ({"description": Chart("x", "1", b"another file", {}).description}, ["chart 0.29.0"]),
        ({"values": {}}, ["values.config", "values.replicaCount"]),
        ({"values": {**CHART.values, "crds": None}}, ["values.crds"]),
        ({"values": {**CHART.values, "replicaCount": 2}}, ["values.replicaCount"]),
        ({"values": {**CHART.values, "config": {"data": {"A": "B"}}}}, ["values.config"]),
        ({"status": "failed"}, ["status"]),
        ({"status": "failed", "chart_version": "0.28.0"}, ["chart"]),
    ],
)
def test_what_differs_is_named_and_upgraded(other: dict[str, Any], differs: list[str]) -> None:
    assert fields(release(**other)) == differs
    assert next_action(CHART, release(**other), NOW) == "upgrade"


def test_values_themselves_are_never_told() -> None:
    live = release(values={"additionalEnv": [{"name": "PASSWORD", "value": "hunter2"}]})
    assert "hunter2" not in str(changes(CHART, live))


def test_a_release_that_somebody_else_made_of_the_same_version_and_values_will_do() -> None:
    assert next_action(CHART, release(description="Install complete"), NOW) == "nothing"


def test_no_release_is_installed_and_a_kept_history_cleared_away_first() -> None:
    assert next_action(CHART, None, NOW) == "install"
    assert next_action(CHART, release("uninstalled"), NOW) == "reinstall"


PENDING: list[tuple[str, Action]] = [
    ("pending-install", "reinstall"),
    ("uninstalling", "reinstall"),
    ("pending-upgrade", "rollback"),
    ("pending-rollback", "rollback"),
]


@pytest.mark.parametrize(("status", "action"), PENDING)
def test_a_pending_revision_is_waited_for_until_its_installer_must_be_dead(
    status: str, action: Action
) -> None:
    begun = NOW - timedelta(seconds=100)
    until = int((begun + timedelta(seconds=150)).timestamp())
    live = release(status, deployed_at=begun.isoformat(), labels={UNTIL_LABEL: str(until)})
    assert next_action(CHART, live, NOW) == "wait"
    assert next_action(CHART, live, NOW + timedelta(seconds=49)) == "wait"
    assert next_action(CHART, live, NOW + timedelta(seconds=51)) == action


@pytest.mark.parametrize(("status", "action"), PENDING)
def test_somebody_else_s_installer_gets_a_quarter_of_an_hour(status: str, action: Action) -> None:
    """Helm hands our label on to revisions that others make later."""
    begun = NOW - timedelta(minutes=10)
    ours = str(int((begun - timedelta(minutes=1)).timestamp()))
    for labels in ({}, {UNTIL_LABEL: ours}, {UNTIL_LABEL: "soon"}):
        live = release(status, deployed_at=begun.isoformat(), labels=labels)
        assert next_action(CHART, live, NOW) == "wait"
        assert next_action(CHART, live, NOW + timedelta(minutes=6)) == action


@pytest.mark.parametrize(
    "end",
    [
        {"labels": {UNTIL_LABEL: "4070908800"}},
        {"labels": {UNTIL_LABEL: "9" * 40}},
        {"labels": {UNTIL_LABEL: "²"}},
        {"deployed_at": "2099-01-01T00:00:00+00:00"},
        {"deployed_at": "9999-12-31T23:59:59+00:00"},
        {"deployed_at": "2099-01-01T00:00:00"},
        {"deployed_at": "tomorrow"},
    ],
)
@pytest.mark.parametrize(("status", "action"), PENDING)
def test_a_pending_revision_dated_2099_blocks_nobody(
    status: str, action: Action, end: dict[str, Any]
) -> None:
    assert next_action(CHART, release(status, **end), NOW) == action


def test_an_installer_whose_clock_is_a_little_ahead_is_waited_for() -> None:
    ahead = release("pending-install", deployed_at=(NOW + timedelta(minutes=4)).isoformat())
    assert next_action(CHART, ahead, NOW) == "wait"
    assert next_action(CHART, ahead, NOW + timedelta(minutes=20)) == "reinstall"


def test_a_pending_revision_without_a_time_has_no_installer() -> None:
    assert next_action(CHART, release("pending-install", deployed_at=""), NOW) == "reinstall"


@pytest.mark.parametrize(
    ("statuses", "revision"),
    [
        (["superseded", "deployed", "pending-upgrade"], 2),
        (["superseded", "superseded", "failed", "pending-upgrade"], 2),
        (["deployed", "failed", "pending-rollback"], 1),
        (["failed", "pending-upgrade"], 1),
        (["pending-upgrade"], None),
        ([], None),
    ],
)
def test_going_back_is_to_the_newest_revision_that_worked(statuses: list[str], revision: int | None) -> None:
    history = [{"revision": number, "status": status} for number, status in enumerate(statuses, 1)]
    assert rollback_target(history) == revision
