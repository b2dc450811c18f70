"""psql through the cluster: what is told before anything is asked."""

import pytest

from aks_postgres.cli.psql import parts_of, psql_program
from aks_postgres.cli.sandbox_client import PSQL_VARIABLE
from aks_postgres.exit_codes import CommandFailed


def test_psql_that_is_not_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PSQL_VARIABLE, raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(CommandFailed, match="psql isn't installed"):
        psql_program()
    monkeypatch.setenv(PSQL_VARIABLE, "/opt/psql")
    assert psql_program() == "/opt/psql"


def test_a_server_that_takes_the_connection_and_says_nothing_is_waited_for_within_a_bound() -> None:
    parts = parts_of("pg-rw", 40001, "app", "appdb", "/proc/self/fd/3", "/proc/self/fd/4")
    assert 5 <= int(parts["connect_timeout"]) <= 60
    assert (parts["sslmode"], parts["hostaddr"]) == ("verify-full", "127.0.0.1")
