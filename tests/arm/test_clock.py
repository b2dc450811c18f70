import pytest

from aks_postgres.arm import clock
from aks_postgres.arm.error_codes import BUSY, CONFLICT
from aks_postgres.arm.retry import BUSY_BUDGET_VARIABLE, budget_s
from aks_postgres.errors import PermanentError


@pytest.mark.parametrize(
    ("given", "scale"), [("", 1), ("1", 1), ("60", 60), ("1e3", 1000), ("0.5", 1), ("0", 1)]
)
def test_the_clock_runs_as_fast_as_the_environment_says_and_never_slower_than_azures(
    given: str, scale: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(clock.TIME_SCALE_VARIABLE, given)
    assert clock.time_scale() == scale


def test_outside_a_sandbox_seconds_are_real(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(clock.TIME_SCALE_VARIABLE)
    assert clock.time_scale() == 1


@pytest.mark.parametrize("given", ["fast", "-2", "inf", "nan", "1,5", "60x"])
@pytest.mark.parametrize("variable", [clock.TIME_SCALE_VARIABLE, BUSY_BUDGET_VARIABLE])
def test_what_is_no_number_is_refused_and_its_variable_named(
    variable: str, given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, given)
    with pytest.raises(
        PermanentError, match=f"{variable}: '{given}' was given; a number from 0 up is expected"
    ):
        clock.time_scale() if variable == clock.TIME_SCALE_VARIABLE else budget_s(BUSY)


def test_only_a_busy_clusters_budget_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(BUSY_BUDGET_VARIABLE, raising=False)
    assert (budget_s(BUSY), budget_s(CONFLICT)) == (1800, 600)
    monkeypatch.setenv(BUSY_BUDGET_VARIABLE, "90")
    assert (budget_s(BUSY), budget_s(CONFLICT)) == (90, 600)


async def test_a_sleep_lasts_azures_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(clock.TIME_SCALE_VARIABLE, "1000")
    began_s = clock.now_s()
    await clock.sleep(40)
    assert clock.now_s() - began_s >= 40


@pytest.mark.parametrize("azure_s", [0, -5, 1])
async def test_the_shortest_sleep_gives_others_a_turn(
    azure_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(clock.TIME_SCALE_VARIABLE, "1000")
    began_s = clock.now_s()
    await clock.sleep(azure_s)
    assert clock.now_s() - began_s >= 15


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (0.4, "0 s"),
        (45, "45 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (400, "6 min 40 s"),
        (3600, "60 min 0 s"),
    ],
)
def test_durations_are_written_for_people(seconds: float, words: str) -> None:
    assert clock.minutes(seconds) == words
