"""The custom roles of the three identities grant what their flows need, and no more."""

import json
import re

import pytest
from typer.testing import CliRunner

from aks_postgres.cli.deployments import app
from aks_postgres.deploy.azure_roles import condition, role_definition
from aks_postgres.deploy.work_pools import POOLS, Identity
from aks_postgres.preflight.findings import FINE
from aks_postgres.preflight.permissions import (
    ACTIONS,
    DELETE_BACKUPS_ACTION,
    TEAR_DOWN_ACTIONS,
    granting,
    judge_permissions,
    lacking_for_tear_down,
)

SUBSCRIPTION = "11111111-2222-3333-4444-555555555555"


def granted(identity: Identity) -> list[dict[str, object]]:
    """What ARM says of a caller that has the role."""
    role = role_definition(identity, SUBSCRIPTION)
    return [{"actions": role["Actions"], "notActions": role["NotActions"]}]


def test_what_writes_may_provision_and_deletes_nothing() -> None:
    assert judge_permissions("x", "/", granted("write"), ["Microsoft.Monitor"]) == FINE
    deletions = [
        action for action in (*TEAR_DOWN_ACTIONS, DELETE_BACKUPS_ACTION) if action.endswith("/delete")
    ]
    assert len(deletions) > 10
    assert [action for action in deletions if granting(action, granted("write"))] == []


def test_what_deletes_may_tear_down_and_rebuild_and_leaves_backups() -> None:
    assert lacking_for_tear_down(granted("delete"), deletes_backups=False) == ()
    assert lacking_for_tear_down(granted("delete"), deletes_backups=True) == (DELETE_BACKUPS_ACTION,)
    assert judge_permissions("x", "/", granted("delete"), []) == FINE


def test_what_reads_may_only_look_and_not_into_the_cluster() -> None:
    needed = {*ACTIONS, *TEAR_DOWN_ACTIONS}
    assert {action for action in needed if granting(action, granted("read"))} == {
        action for action in needed if action.endswith("/read")
    }


@pytest.mark.parametrize("identity", POOLS)
def test_no_role_gives_itself_another(identity: Identity) -> None:
    role = role_definition(identity, SUBSCRIPTION)
    actions = role["Actions"]
    assert role["AssignableScopes"] == [f"/subscriptions/{SUBSCRIPTION}"]
    assert [action for action in actions if "*" in action] == ["*/read"]
    for taken in ("roleDefinitions/write", "locks/write", "locks/delete", "elevateAccess/action"):
        assert not granting(f"Microsoft.Authorization/{taken}", granted(identity))


def test_the_condition_holds_giving_and_taking_to_the_roles_that_steps_give() -> None:
    text = condition()
    assert text.count("(") == text.count(")")
    found = re.findall(r"ActionMatches{'([^']+)'}\)\) OR \((@\w+)\[[^]]+] \S+ {([^}]+)}", text)
    assert [(action.rpartition("/")[2], source) for action, source, _ in found] == [
        ("write", "@Request"),
        ("delete", "@Resource"),
    ]
    # Owner, User Access Administrator, Role Based Access Control Administrator.
    for powerful in ("8e3af657-", "18d7d88d-", "f58310d9-"):
        assert powerful not in text


def test_the_command_prints_what_az_takes() -> None:
    done = CliRunner().invoke(app, ["role", "write", "--subscription", SUBSCRIPTION])
    assert json.loads(done.output) == role_definition("write", SUBSCRIPTION)
    assert CliRunner().invoke(app, ["role", "write", "--condition"]).output.strip() == condition()
    assert CliRunner().invoke(app, ["role", "write"], env={"AZURE_SUBSCRIPTION_ID": ""}).exit_code != 0
