"""The real az runs the guide against the sandbox, as a cloud of its own and in the public cloud's place."""

import json
import re
import shutil
from collections import Counter
from pathlib import Path

import pytest

from .azure_cli import WAYS
from .conftest import Guide
from .differences import ROLE
from .guide import GUIDE
from .parity import differences

pytestmark = [pytest.mark.az, pytest.mark.timeout(540)]

each_way = pytest.mark.parametrize("way", WAYS)


@each_way
def test_every_command_ends_with_exit_code_0_but_the_one_that_the_guide_expects_to_fail(
    guides: dict[str, Guide], way: str
) -> None:
    calls = guides[way].run.calls
    failed = [call.words for call in calls if call.exit_code]
    assert len(failed) == 1
    assert failed[0].startswith("az storage container create")


@each_way
def test_every_command_that_has_no_reason_not_to_was_run(guides: dict[str, Guide], way: str) -> None:
    run = guides[way].run
    titles = [f"{chapter.heading}: {command.title}" for chapter in GUIDE for command in chapter.commands]
    assert sorted(titles) == sorted({*run.not_run, *run.ran} & set(titles))
    assert all(run.not_run.values())
    for chapter in GUIDE:
        for command in chapter.commands:
            ran = run.ran.get(f"{chapter.heading}: {command.title}")
            made = sum(call.is_az for call in ran.calls) if ran else 0
            assert made == len(re.findall(r"\baz [a-z]", command.script)), command.title


@each_way
def test_az_writes_what_its_source_says_that_it_writes(guides: dict[str, Guide], way: str) -> None:
    """https://github.com/Azure/azure-cli, command_modules/acs/azuremonitormetrics and addonconfiguration.py"""
    taken = Counter(
        entry["operation"]
        for entry in guides[way].ledger
        if entry["service"] in ("arm", "blob")
        and entry["method"] in ("PUT", "PATCH", "POST")
        and entry["status"] < 300
    )
    assert taken == {
        "Providers_Register": 2,
        "ResourceGroups_CreateOrUpdate": 1,
        "UserAssignedIdentities_CreateOrUpdate": 1,
        "StorageAccounts_CheckNameAvailability": 1,
        "StorageAccounts_Create": 1,
        "CreateContainer": 1,
        # Blob Data Owner and Contributor, Grafana Admin, Monitoring Reader and Data Reader, Network Contributor.
        "RoleAssignments_Create": 6,
        # With the workspace's link, `aks create` writes it back whole.
        "Grafana_Create": 2,
        "AzureMonitorWorkspaces_CreateOrUpdate": 1,
        "Workspaces_CreateOrUpdate": 1,
        # Without metrics, with metrics, with Container insights.
        "ManagedClusters_CreateOrUpdate": 3,
        "DataCollectionEndpoints_Create": 1,
        "DataCollectionRules_Create": 2,
        "DataCollectionRuleAssociations_Create": 2,
        "PrometheusRuleGroups_CreateOrUpdate": 6,
        "AgentPools_CreateOrUpdate": 1,
        "ManagedClusters_ListClusterUserCredentials": 1,
        "PublicIPAddresses_CreateOrUpdate": 1,
    }


@each_way
def test_the_guides_checks_show_what_the_guide_shows(guides: dict[str, Guide], way: str) -> None:
    run = guides[way].run
    shown = run.ran[
        "Update the monitoring infrastructure: Validate that metrics and logs are collected"
    ].stdout
    addons = json.loads(shown[shown.index("{") :])
    assert addons["omsagent"]["enabled"] is True
    assert addons["omsagent"]["config"]["useAADAuth"] == "true"
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl isn't installed, so the guide's kubectl commands weren't run")
    for agent in ("ama-metrics-node", "ama-logs"):
        # Six nodes, on each of which one is ready.
        assert re.search(rf"^{agent}( +6){{5}} +<none> ", shown, re.M), shown
    operator = run.ran["Install the CNPG operator in the AKS cluster: With YAML: verify"].stdout
    assert re.search(r"^cnpg-controller-manager +1/1 ", operator, re.M), operator


def test_both_ways_end_in_the_same_state(guides: dict[str, Guide]) -> None:
    custom, public = (guides[way].resources for way in WAYS)
    assert [str(found) for found in differences(custom, public)] == []


@each_way
def test_after_the_last_command_only_what_a_groups_deletion_leaves_behind_is_there(
    guides: dict[str, Guide], way: str
) -> None:
    """Monitoring Reader was given at the subscription."""
    left = guides[way].left
    assert [(body["type"], body["properties"]["scope"].count("/")) for body in left] == [
        ("Microsoft.Authorization/roleAssignments", 2)
    ]
    assert left[0]["type"].casefold() == ROLE


@each_way
def test_what_az_and_kubectl_keep_is_in_the_sandboxs_state_folder(guides: dict[str, Guide], way: str) -> None:
    """But for the guide's SSH key, which goes where SSH looks for it."""
    run, state = guides[way].run, Path(guides[way].variables["GUIDE_STATE"])
    kept = {"custom cloud": "az", "public cloud": "az-public-cloud"}[way]
    assert (state / kept / "azureProfile.json").exists()
    assert (state / "kubeconfig").stat().st_mode & 0o077 == 0
    assert {path.name for path in run.home.iterdir()} - {"variables.sh", "calls.tsv"} <= {
        ".ssh",
        ".kube",
        ".cache",
    }
    assert not (run.home / ".kube" / "config").exists()
