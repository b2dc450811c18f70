"""The page says what was counted, and nothing else."""

from .report import REPORT, counts, read_figures, report


def test_the_page_is_that_of_the_figures() -> None:
    """`make matrix`, `make canary` and `make mutations` write both."""
    assert REPORT.read_text() == report(read_figures())


def test_cases_that_were_not_run_and_defects_are_said() -> None:
    outcomes = [
        {"id": "provision: 429 at GET /a #1", "verdict": "same end", "detail": "", "took_s": 1},
        {"id": "provision: 500 at PUT /b #2", "verdict": "defect", "detail": "another end", "took_s": 2},
    ]
    counted = counts(outcomes, {"provision": 7, "tear_down": 3}) | {"date": "today", "processes": 2}
    text = report({"faults": counted})
    assert "| provision | 7 | 2 | 1 | 0 | 0 | 0 | 1 |" in text
    assert "| tear_down | 3 | 0 | 0 | 0 | 0 | 0 | 0 |" in text
    assert "| all | 10 | 2 | 1 | 0 | 0 | 0 | 1 |" in text
    assert "| 429 | 1 | 1 | 0 | 0 | 0 | 0 |" in text
    assert "1.5 s a case on average, 2 at a time." in text
    assert "- faults: provision: 500 at PUT /b #2: another end" in text


def test_a_command_of_the_canary_that_failed_is_said() -> None:
    found = {
        "runs": {"succeeds": 0},
        "commands": {"plan": 0, "psql": 1},
        "secrets": ["client secret"],
        "files": 1,
        "log_lines": 1,
        "processes": 1,
        "found": 0,
        "finds_a_planted_one": True,
        "date": "today",
    }
    assert "Not a whole run, as these commands failed: psql (1)." in report({"canary": found})
    assert "Not a whole run" not in report({"canary": found | {"commands": {"plan": 0, "psql": 0}}})
    assert "the folder of a demo" not in report({"canary": found})
    assert "ledger, the folder of a demo)" in report({"canary": found | {"commands": {"demo start": 0}}})
