"""The report says what was measured, and nothing else."""

from .report import BARS, REPORT, read_figures, report


def test_the_report_is_that_of_the_figures() -> None:
    """`make bench` and `make bench-real-time` write both."""
    assert REPORT.read_text() == report(read_figures())


def test_a_bar_that_fails_is_said_to_fail() -> None:
    figures = read_figures()
    real_time = figures["real-time"]["measured"]
    real_time["single"]["wall_s"] = 1.2 * real_time["single"]["limit_s"]
    real_time["step_by_step"]["second"]["wall_s"] = 11
    text = report(figures)
    assert "1.20 (**fails**: ≤ 1.02)" in text
    assert "11.00 (**fails**: ≤ 2.5)" in text


def test_the_bars_are_those_of_the_design() -> None:
    """A looser bar would say "holds" of what is too slow."""
    assert BARS == {
        "wall / limit": 1.02,
        "step_by_step / guide": 0.82,
        "single / guide": 0.50,
        "second run, s": 2.5,
        "its writes": 0,
        "plan, s": 2.0,
        "client CPU, s": 4,
        "fleet's wall / one": 1.1,
        "fleet's memory, MiB": 512,
        "fleet's lost": 0,
    }


def test_the_bars_that_are_missed_are_named_first() -> None:
    figures = read_figures()
    found = figures["real-time"]["measured"]
    for mode in ("step_by_step", "single"):
        found[mode]["second"]["wall_s"], found[mode]["plan"]["wall_s"] = 2.5, 2.0
    assert "The recorded figures miss none." in report(figures)
    found["single"]["plan"]["wall_s"] = 2.01
    next(one for one in figures["fleet"]["measured"] if one["count"] == 50)["states"]["Completed"] = 49
    text = report(figures)
    assert (
        "**2 of 16 bars are missed** by the recorded figures: ours, single: plan, s: 2.01; 50 in one" in text
    )
    assert "50 in one process: lost: 1.00" in text


def test_machine_versions_and_durations_are_said() -> None:
    figures = read_figures()
    for part in figures.values():
        assert part["durations"]["aks_cluster_create"] == 400
        assert {"cores", "processor", "python", "prefect", "azure-cli"} <= set(part["machine"])
    assert "aks_cluster_create 400" in report(figures)
