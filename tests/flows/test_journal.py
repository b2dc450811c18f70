"""What a run logs, and how loudly: the Prefect UI shows it by level."""

import logging

from aks_postgres.reports.journal import Journal, use_journal


def test_what_a_person_should_read_is_a_warning_and_a_retry_isnt() -> None:
    logged: list[tuple[int, str]] = []
    with use_journal(Journal()) as journal:
        journal.log = lambda level, text: logged.append((level, text))
        journal.note("the heartbeat couldn't be written")
        with journal.step("preflight cnpg", lambda level, text: logged.append((level, text))):
            journal.note("support ends soon")
            journal.note("the plan", logging.INFO)
            journal.conflict("busy")
            journal.ended("done")
    assert logged == [
        (logging.WARNING, "the heartbeat couldn't be written"),
        (logging.WARNING, "preflight cnpg: support ends soon"),
        (logging.INFO, "preflight cnpg: the plan"),
        (logging.INFO, "preflight cnpg: busy"),
        (logging.INFO, "preflight cnpg: done"),
    ]
