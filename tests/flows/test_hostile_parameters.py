"""What the run form may send: parameters of any kind are taken or refused before a flow begins; words must be exact."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prefect import Flow
from prefect.exceptions import ParameterBindError, ParameterTypeError

from aks_postgres.flows.plan import plan
from aks_postgres.flows.provision import provision
from aks_postgres.flows.provision_fleet import provision_fleet
from aks_postgres.flows.rebuild import rebuild
from aks_postgres.flows.tear_down import tear_down
from aks_postgres.reports.receipt import BackupAccount
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import Names
from aks_postgres.tasks.inventory import judge_words

from ..cases import shown
from ..spec.test_problems import ANYTHING, UNHURRIED, almost

FLOWS: tuple[Flow[Any, Any], ...] = (rebuild, provision_fleet, plan, provision, tear_down)
SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"


@pytest.mark.parametrize("flow", shown(FLOWS), ids=lambda flow: flow.name)
def test_any_parameters_are_taken_or_refused_by_name(flow: Flow[Any, Any]) -> None:
    names = list(flow.parameters.properties)

    @UNHURRIED
    @given(st.fixed_dictionaries({}, optional=dict.fromkeys(names, ANYTHING)), almost(EnvironmentSpec))
    def check(found: dict[str, Any], spec: dict[Any, Any]) -> None:
        required = dict.fromkeys(flow.parameters.required or [], "x")
        given_parameters = {**required, **found, "spec": spec}
        try:
            flow.validate_parameters(given_parameters)
        except (ParameterTypeError, ParameterBindError) as error:
            refusal = str(error)
        else:
            return
        assert any(name in refusal for name in names)

    check()


def vault_of(spec: EnvironmentSpec, wanted: bool) -> BackupAccount:
    names = Names.of(spec, SUBSCRIPTION, 1)
    group_id = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{names.backup_group}"
    return BackupAccount(
        name=names.storage_account,
        id=f"{group_id}/providers/Microsoft.Storage/storageAccounts/{names.storage_account}",
        group=names.backup_group,
        group_id=group_id,
        wanted=wanted,
        apart=True,
        is_there=True,
    )


@UNHURRIED
@given(
    *[
        st.text(max_size=20)
        | st.sampled_from(["", " ", "*", "yes", "cnpg", "CNPG-canadacentral", "cnpg-canadacentral "])
    ]
    * 3
)
def test_no_word_but_the_exact_one_says_yes(confirm: str, delete_backups: str, discard_data: str) -> None:
    spec = EnvironmentSpec()
    vault = vault_of(spec, wanted=False)
    problems = judge_words("cnpg-canadacentral", [vault], confirm, delete_backups, discard_data)
    assert [problem.partition(":")[0] for problem in problems] == [
        "confirm",
        "delete_backups",
        "discard_data",
    ]
    assert "Type cnpg-canadacentral" in problems[0]
    assert vault.name in problems[1]
    assert judge_words("cnpg-canadacentral", [vault], "cnpg-canadacentral", None, None) == []
