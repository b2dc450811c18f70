"""The report says what was measured, and nothing else."""

from .report import REPORT, read_figures, report


def test_the_report_is_that_of_the_figures() -> None:
    """`make bench` and `make bench-real-time` write both."""
    assert REPORT.read_text() == report(read_figures())


def test_a_bar_that_fails_is_said_to_fail() -> None:
    figures = read_figures()
    real_time = figures["real-time"]["measured"]
    real_time["single"]["wall_s"] = 1.2 * real_time["single"]["limit_s"]
    real_time["step_by_step"]["second"]["wall_s"] = 11
    text = report(figures)
    assert "1.20 (**fails**: ≤ 1.05)" in text
    assert "11.00 (**fails**: ≤ 10)" in text


def test_machine_versions_and_durations_are_said() -> None:
    figures = read_figures()
    for part in figures.values():
        assert part["durations"]["aks_cluster_create"] == 400
        assert {"cores", "processor", "python", "prefect", "azure-cli"} <= set(part["machine"])
    assert "aks_cluster_create 400" in report(figures)
