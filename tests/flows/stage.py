"""A finished environment that a test changes one thing in: as Azure does it itself, or as other people do it.

What Azure does itself is put into the sandbox's state before the sandbox goes back to it; what people do are requests
of another client's, ARM's or the Kubernetes API's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from aks_postgres.reports.outputs import EnvironmentOutputs
from azure_sandbox.client import SandboxProcess

from ..tasks.kube import Kube
from ..tasks.world import Json, World, at, put_at

# Resources of the environment, as type/start of the name.
CLUSTER, POOLS, SYSTEM, POSTGRES = (
    "managedClusters/aks",
    "agentPools/",
    "agentPools/systempool",
    "agentPools/postgres",
)
GROUP, BACKUP_GROUP = "resourceGroups/rg-cnpg-cl", "resourceGroups/rg-cnpg-backup"
IDENTITY, ACCOUNT, CONTAINER = "userAssignedIdentities/mi-", "storageAccounts/", "containers/backups"
GRAFANA, LOGS, METRICS = "grafana/", "workspaces/", "accounts/"
ENDPOINT, METRICS_RULE, LOGS_RULE, RULES = (
    "dataCollectionEndpoints/MSProm",
    "dataCollectionRules/MSProm",
    "dataCollectionRules/MSCI",
    "dataCollectionRules/MS",
)
LINKS, METRICS_LINK, LOGS_LINK = (
    "dataCollectionRuleAssociations/",
    "dataCollectionRuleAssociations/ContainerInsightsM",
    "dataCollectionRuleAssociations/ContainerInsightsE",
)
RULE_GROUPS, NODE_RULES = "prometheusRuleGroups/", "prometheusRuleGroups/NodeRecordingRulesRuleGroup-aks"
ADDRESS = "publicIPAddresses/aks-primary"

API_VERSIONS = {
    "accounts": "2023-04-03",
    "agentPools": "2026-06-01",
    "containers": "2025-08-01",
    "dataCollectionEndpoints": "2022-06-01",
    "dataCollectionRuleAssociations": "2022-06-01",
    "dataCollectionRules": "2022-06-01",
    "grafana": "2025-08-01",
    "managedClusters": "2026-06-01",
    "prometheusRuleGroups": "2023-03-01",
    "publicIPAddresses": "2025-09-01",
    "resourceGroups": "2024-11-01",
    "roleAssignments": "2022-04-01",
    "storageAccounts": "2025-08-01",
    "userAssignedIdentities": "2024-11-30",
    "workspaces": "2025-02-01",
}


def put(azure: SandboxProcess, path: str, api_version: str, body: Json) -> None:
    answer = azure.arm("PUT", path, body, api_version=api_version)
    assert answer.status_code in (200, 201, 202), answer.text


def delete(azure: SandboxProcess, path: str, api_version: str) -> None:
    assert azure.arm("DELETE", path, api_version=api_version).status_code in (200, 202, 204)


def kube_for(azure: SandboxProcess, outputs: EnvironmentOutputs, folder: Path) -> Kube:
    return Kube(cast(World, SimpleNamespace(azure=azure, made={"cluster": outputs.cluster})), folder)


@dataclass
class Stage:
    """A finished environment, and the state of the sandbox to go back to: a copy that Azure's changes are put into."""

    azure: SandboxProcess
    outputs: EnvironmentOutputs
    state: Json
    folder: Path

    def all(self, which: str) -> list[Json]:
        """The stored resources like `agentPools/postgres`."""
        kind, _, name = which.partition("/")
        found = [
            one
            for one in self.state["resources"]
            if one["type"].endswith(f"/{kind}") and one["body"]["name"].startswith(name)
        ]
        assert found, which
        return found

    def one(self, which: str) -> Json:
        """The body of the only one like that."""
        (found,) = self.all(which)
        body: Json = found["body"]
        return body

    def id(self, which: str) -> str:
        """The ID of the only one like that."""
        return str(self.one(which)["id"])

    def role(self, guid: str, scope: str = "") -> Json:
        """The only assignment of a role, by the start of its GUID and of its scope's name."""
        (found,) = [
            one["body"]
            for one in self.all("roleAssignments/")
            if f"/{guid}" in one["body"]["properties"]["roleDefinitionId"]
            and one["body"]["properties"]["scope"].rsplit("/", 1)[-1].startswith(scope)
        ]
        body: Json = found
        return body

    def kube(self) -> Kube:
        """The cluster's API, for a person with kubectl."""
        return kube_for(self.azure, self.outputs, self.folder)


Do = Callable[[Stage], Any]


@dataclass(frozen=True)
class Change:
    """Something done to a finished environment, by Azure itself or by hand."""

    do: Do
    by_hand: bool

    def make(self, stage: Stage) -> None:
        """Let the sandbox go back to the finished environment, and do it."""
        if not self.by_hand:
            self.do(stage)
        stage.azure.control("PUT", "state", stage.state)
        if self.by_hand:
            self.do(stage)


def azure(do: Do) -> Change:
    """What Azure does to what it stores."""
    return Change(do, by_hand=False)


def by_hand(do: Do) -> Change:
    """What other people do."""
    return Change(do, by_hand=True)


def azure_sets(which: str, values: Json) -> Change:
    """Values at paths of every resource like that; a function is given the old value."""

    def do(stage: Stage) -> None:
        for found in stage.all(which):
            for path, value in values.items():
                old = at(found["body"], path)
                new = value(old) if callable(value) else value
                assert new != old, f"{which}: {path} is {old!r} already"
                put_at(found["body"], path, new)

    return azure(do)


def azure_adds(which: str, path: str, values: Json) -> Change:
    """More keys in an object of every resource like that."""
    return azure_sets(which, {path: lambda old: {**(old or {}), **values}})


def person_sets(which: str, values: Json) -> Change:
    """Reads a resource, changes values at paths, and writes it."""

    def do(stage: Stage) -> None:
        path, version = stage.id(which), API_VERSIONS[which.partition("/")[0]]
        body = stage.azure.arm("GET", path, api_version=version).json()
        for field, value in values.items():
            assert at(body, field) != value, f"{which}: {field} is {value!r} already"
            put_at(body, field, value)
        put(stage.azure, path, version, body)

    return by_hand(do)


def person_deletes(which: str) -> Change:
    """Deletes a resource."""
    version = API_VERSIONS[which.partition("/")[0]]
    return by_hand(lambda stage: delete(stage.azure, stage.id(which), version))


def person_makes(below: str, path: str, version: str, body: Json) -> Change:
    """Makes a resource of their own below another one."""
    return by_hand(lambda stage: put(stage.azure, stage.id(below) + path, version, body))


def person_takes_role(guid: str, scope: str = "") -> Change:
    """Deletes a role assignment."""
    version = API_VERSIONS["roleAssignments"]
    return by_hand(lambda stage: delete(stage.azure, stage.role(guid, scope)["id"], version))


def person_patches(path: str, body: Json) -> Change:
    """Changes an object in the cluster."""
    return by_hand(lambda stage: stage.kube().merge(path, body))


def person_removes(path: str) -> Change:
    """Deletes an object in the cluster."""
    return by_hand(lambda stage: stage.kube().delete(path))
