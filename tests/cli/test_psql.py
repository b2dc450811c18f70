"""psql through the cluster: what is told before anything is asked."""

import pytest

from aks_postgres.cli.psql import psql_program
from aks_postgres.cli.sandbox_client import PSQL_VARIABLE
from aks_postgres.exit_codes import CommandFailed


def test_psql_that_is_not_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PSQL_VARIABLE, raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(CommandFailed, match="psql isn't installed"):
        psql_program()
    monkeypatch.setenv(PSQL_VARIABLE, "/opt/psql")
    assert psql_program() == "/opt/psql"
