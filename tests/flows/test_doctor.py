"""`doctor` finds what would stop a run, each thing alone and all of them together, and writes nothing."""

import ast
import copy
import datetime
import hashlib
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any, cast

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from aks_postgres.database.objects import postgres_cluster
from aks_postgres.errors import Finding
from aks_postgres.flows._doctor import diagnose
from aks_postgres.preflight import kubernetes_versions
from aks_postgres.preflight.errors import PreflightFailed
from aks_postgres.reports.diagnosis import Diagnosis
from aks_postgres.reports.outputs import Target
from aks_postgres.runs.session import run_session
from aks_postgres.spec.names import GENERATION, STATE, Names, resource_tags
from aks_postgres.tasks.preflight import preflight
from azure_sandbox.client import SandboxProcess

from ..cases import shown
from ..conftest import spec_for
from ..subnets import delegated_to, make_subnet
from ..tasks.test_operator_chart import packed
from .conftest import writes
from .stage import API_VERSIONS, CLUSTER, POOLS, Stage, kube_for
from .test_lasting_states import _node_group_gone

pytestmark = pytest.mark.usefixtures("prefect_api")


@dataclass
class Here:
    """The sandbox and this machine, for a fault to be made in."""

    azure: SandboxProcess
    patch: pytest.MonkeyPatch
    folder: Path

    @property
    def names(self) -> Names:
        return Names.of(spec_for(self.azure), self.azure.subscription_id, 1)

    def group(self, name: str, **tags: str) -> None:
        path = f"{self.azure.subscription}/resourceGroups/{name}"
        body = {"location": "canadacentral", "tags": tags}
        assert self.azure.arm("PUT", path, body, api_version=API_VERSIONS["resourceGroups"]).ok

    def become(self, *roles: str) -> None:
        given = [{"role": role, "scope": self.azure.subscription} for role in roles]
        made = self.azure.control("POST", "principals", {"roles": given})
        self.patch.setenv("AZURE_CLIENT_ID", made["client_id"])
        self.patch.setenv("AZURE_CLIENT_SECRET", made["client_secret"])


def nothing(_: Here) -> None:
    """The spec alone is the fault."""


def retiring(here: Here) -> None:
    tags = {**resource_tags(spec_for(here.azure)), GENERATION: "1", STATE: "retiring"}
    here.group(here.names.resource_group, **tags)


def deny_usage(here: Here) -> None:
    denied = {"status": 403, "code": "AuthorizationFailed", "message": "no right to read that"}
    here.azure.fault(denied, operation="Usage_List")


def skew(here: Here) -> None:
    here.patch.setenv("AKS_POSTGRES_TIME_SCALE", "1")
    here.azure.step(3600)


def other_authority(here: Here) -> None:
    empty = here.folder / "none.pem"
    empty.write_text("")
    here.patch.setenv("SSL_CERT_FILE", str(empty))


def deny(operation: str) -> Callable[[Here], None]:
    denied = {"status": 403, "code": "AuthorizationFailed", "message": "no right to read that"}
    return lambda here: here.azure.fault(denied, operation=operation) and None


def not_in_networks(here: Here) -> None:
    """Everything but to join a subnet."""
    here.become("Reader")


def group_of_ours(
    here: Here, state: str, region: str = "canadacentral", number: int = 1, **other: str
) -> str:
    spec = spec_for(here.azure)
    name = other.pop("name", Names.of(spec, here.azure.subscription_id, number).resource_group)
    tags = {**resource_tags(spec), GENERATION: str(number), STATE: state}
    path = f"{here.azure.subscription}/resourceGroups/{name}"
    body = {"location": region, "tags": tags}
    assert here.azure.arm("PUT", path, body, api_version=API_VERSIONS["resourceGroups"]).ok
    return path


def deleting(here: Here) -> None:
    here.azure.settings(durations={"resource_group_delete": 1e7})
    path = group_of_ours(here, "building")
    assert here.azure.arm("DELETE", path, api_version=API_VERSIONS["resourceGroups"]).status_code == 202


def two_current(here: Here) -> None:
    for number in (1, 2):
        group_of_ours(here, "current", number=number)


def another_suffix(here: Here) -> None:
    group_of_ours(here, "current", name="rg-cnpg-zzzzzzzz")


def retired_with_resources(here: Here) -> None:
    address = f"{group_of_ours(here, 'retired')}/providers/Microsoft.Network/publicIPAddresses/left"
    body = {
        "location": "canadacentral",
        "sku": {"name": "Standard"},
        "properties": {"publicIPAllocationMethod": "Static"},
    }
    assert here.azure.arm("PUT", address, body, api_version=API_VERSIONS["publicIPAddresses"]).ok


def account_of_others(here: Here) -> None:
    path = group_of_ours(here, "current", name=here.names.backup_group)
    account = f"{path}/providers/Microsoft.Storage/storageAccounts/{here.names.storage_account}"
    body = {
        "location": "canadacentral",
        "kind": "StorageV2",
        "sku": {"name": "Standard_ZRS"},
        "properties": {},
    }
    assert here.azure.arm("PUT", account, body, api_version=API_VERSIONS["storageAccounts"]).ok
    here.azure.step(1000)


def elsewhere(here: Here) -> None:
    group_of_ours(here, "building", "westus3")


def sets(**values: Any) -> Callable[[Here], None]:
    return lambda here: here.azure.settings(**values)


def version(wanted: str) -> dict[str, Any]:
    return {"cluster": {"kubernetes_version": wanted}}


DSV5 = {"region": "*", "family": "standardDSv5Family"}
NOWHERE = "https://127.0.0.1:9/m.yaml"


def operator_supports(minor: str) -> Callable[[Here], None]:
    return lambda here: here.patch.setattr(kubernetes_versions, "OPERATOR_SUPPORTS", {"1.30": (minor,)})


WRONG = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: cnpg-controller-manager, namespace: cnpg-system}
spec:
  replicas: two
  selector: {matchLabels: {app: a}}
  template: {metadata: {labels: {app: a}}, spec: {containers: [{name: manager, image: a}]}}
"""


def wrong_file(here: Here) -> dict[str, str]:
    """A manifest whose Deployment has a word for a number."""
    file = here.folder / "wrong.yaml"
    file.write_text(WRONG)
    return {"url": str(file), "sha256": hashlib.sha256(WRONG.encode()).hexdigest()}


def wrong_manifest(here: Here) -> dict[str, Any]:
    return {"operator": {f"manifest_{key}": value for key, value in wrong_file(here).items()}}


def wrong_chart(here: Here) -> dict[str, Any]:
    archive = packed()
    file = here.folder / "chart.tgz"
    file.write_bytes(archive)
    chart = {"chart": str(file), "chart_sha256": hashlib.sha256(archive).hexdigest()}
    return {"operator": {"installer": "helm", **chart, "chart_values": {"replicaCount": "two"}}}


def components(here: Here, sha256: str = "", url: str = "") -> dict[str, Any]:
    """A database whose plugin comes from elsewhere."""
    found = here.azure.description
    names = [f"{part}_manifest_{what}" for part in ("cert_manager", "plugin") for what in ("url", "sha256")]
    given = {name: found[name] for name in names}
    given |= {"plugin_manifest_url": url or given["plugin_manifest_url"]}
    given |= {"plugin_manifest_sha256": sha256 or given["plugin_manifest_sha256"]}
    return {"database": {"components": given}}


def stopped(stage: Stage) -> None:
    for which in (CLUSTER, POOLS):
        for one in stage.all(which):
            one["body"]["properties"]["powerState"] = {"code": "Stopped"}


def as_it_is(_: Stage) -> None:
    """A finished environment, as it is."""


def larger_database(here: Here) -> None:
    """A Postgres cluster with larger volumes than the spec's."""
    wanted = spec_for(here.azure, database={"storage": {"size_gib": 4000}})
    site = Target(subscription_id=here.azure.subscription_id, generation=1, names=here.names)
    cluster = site.resource_id("Microsoft.ContainerService/managedClusters", here.names.cluster)
    kube = kube_for(here.azure, cast(Any, SimpleNamespace(cluster=SimpleNamespace(id=cluster))), here.folder)
    path = "/apis/postgresql.cnpg.io/v1/namespaces/cnpg-database/clusters"
    kube.create(path, postgres_cluster(wanted, site, "", here.names.node_resource_group))


@dataclass(frozen=True)
class Fault:
    """What is done, what the spec asks for, and the check that has to find it with these words."""

    check: str
    words: str
    do: Callable[[Here], None] = nothing
    spec: dict[str, Any] | Callable[[Here], dict[str, Any]] = field(default_factory=dict)
    code: int = 1
    live: Callable[[Stage], None] | None = None
    """What was done to a finished environment before."""


FAULTS: dict[str, Fault] = {
    "quota of vCPUs": Fault(
        "quota", "standardDSv5Family", lambda here: here.azure.settings(quota={"standardDSv5Family": 4})
    ),
    "foreign group": Fault(
        "names", "without this environment's tags", lambda here: here.group(here.names.resource_group)
    ),
    "reader": Fault("rights", "roleAssignments/write", lambda here: here.become("Reader")),
    "no role in the cluster": Fault(
        "rights", "lets it into the cluster", spec={"cluster": {"access": "entra"}}
    ),
    "version": Fault("versions", "1.29 was given", spec={"cluster": {"kubernetes_version": "1.29"}}),
    "small system pool": Fault("region", "system pool", spec={"system_pool": {"vm_size": "Standard_D2s_v5"}}),
    "storage redundancy": Fault(
        "region", "storage.sku", lambda here: here.azure.settings(regions={"*": {"zrs": False}})
    ),
    "storage name": Fault(
        "names",
        "is taken",
        lambda here: here.azure.settings(taken_storage_names=[here.names.storage_account]),
    ),
    "adopt": Fault("names", "rg-famous", spec={"adopt": "rg-famous"}),
    "address": Fault(
        "network", "globally routable", lambda here: here.azure.settings(egress_address="10.0.0.4")
    ),
    "manifest": Fault("operator", "operator.manifest_url", spec={"operator": {"manifest_sha256": "0" * 64}}),
    "Prefect server": Fault("Prefect server", "can't be reached", code=4),
    "policy of the tenant": Fault(
        "policies",
        "storage.shared_keys: the policy no-shared-keys",
        lambda here: here.azure.control("POST", "scenarios", {"name": "tenant-denies-shared-keys"}) and None,
    ),
    # Of a size that isn't there, nobody knows the quota.
    "no such size": Fault("region", "Standard_M8ms", spec={"postgres_pool": {"vm_size": "Standard_M8ms"}}),
    "nobody tells the address": Fault(
        "network",
        "AKS_POSTGRES_EGRESS_URL",
        lambda here: here.patch.setenv("AKS_POSTGRES_EGRESS_URL", f"{here.azure.endpoint}/nowhere"),
    ),
    "helm": Fault(
        "operator",
        "helm was given",
        lambda here: here.patch.setattr("aks_postgres.kubernetes.helm.PACKAGE", "no_such_package"),
        {"operator": {"installer": "helm"}},
    ),
    "tear-down": Fault("names", "retiring", retiring),
    "state": Fault("names", "isn't known", lambda here: group_of_ours(here, "Retiring ")),
    "refused read": Fault("Azure", "vCPU quota of canadacentral", deny_usage),
    "contributor": Fault("rights", "roleAssignments/write", lambda here: here.become("Contributor")),
    "Grafana's zones": Fault("region", "zone-redundant Grafana", spec={"region": "brazilsouth"}),
    "no such region": Fault("region", "no such region", spec={"region": "canadacentra"}, code=2),
    "unseen subscription": Fault("subscription", "can't see it", lambda here: here.become(), code=3),
    "secret": Fault(
        "credential",
        "AZURE_CLIENT_SECRET",
        lambda here: here.patch.setenv("AZURE_CLIENT_SECRET", "wrong"),
        code=3,
    ),
    "proxy": Fault(
        "proxy", "HTTPS_PROXY", lambda here: here.patch.setenv("HTTPS_PROXY", "socks5://proxy:1"), code=2
    ),
    "certificate": Fault("TLS", "ertificate", other_authority),
    "clock": Fault("clock", "behind Azure's", skew),
    "no such subnet": Fault("network", "there is no subnet nodes2", spec={"subnet": {"name": "nodes2"}}),
    "no such network": Fault(
        "network", "there is no subnet nodes in hub", spec={"subnet": {"network": "hub"}}
    ),
    "subnet too small": Fault("network", "has 3 free addresses", spec={"subnet": {"prefix": "10.8.0.0/29"}}),
    "subnet elsewhere": Fault("network", "is in westus3", spec={"subnet": {"region": "westus3"}}),
    "subnet delegated": Fault(
        "network", "delegated to Microsoft.Web", spec={"subnet": delegated_to("Microsoft.Web/serverFarms")}
    ),
    "subnet among services": Fault(
        "network", "overlaps 10.0.0.0/16", spec={"subnet": {"prefix": "10.0.9.0/24"}}
    ),
    "subnet among pods": Fault(
        "network", "overlaps 10.244.0.0/16", spec={"subnet": {"prefix": "10.244.9.0/24"}}
    ),
    "subnet of another subscription": Fault(
        "network", "across subscriptions", spec={"subnet": {"subscription": "0" * 36}}
    ),
    "network refused": Fault("network", "no right to read that", deny("VirtualNetworks_Get"), {"subnet": {}}),
    "no right in the subnet": Fault(
        "rights",
        "roleAssignments/write in the subnet",
        not_in_networks,
        {"subnet": {}},
    ),
    "another region's group": Fault("names", "a group can't move", elsewhere),
    "group being deleted": Fault("names", "is being deleted by someone", deleting),
    "two current": Fault("names", "one current generation", two_current),
    "another suffix": Fault("names", "already lives in the resource group", another_suffix),
    "retired, and not empty": Fault("names", "state: retired, and", retired_with_resources),
    "storage account of others": Fault("names", "exists without this environment's tags", account_of_others),
    "addresses": Fault("quota", "public IP addresses are needed", sets(quota={"StaticPublicIPAddresses": 1})),
    "no Grafana here": Fault(
        "region", "has no Microsoft.Dashboard/grafana", spec={"region": "northcentralus"}
    ),
    "size not allowed": Fault(
        "region", "may not use it", sets(vm_sizes=[{**DSV5, "restricted": "location"}])
    ),
    "zone closed": Fault(
        "region",
        "can't be had in zone 1, 2",
        sets(vm_sizes=[{**DSV5, "restricted": "zones", "zones": ["3"]}]),
    ),
    "patch version": Fault("versions", "of 1.35 it has", spec=version("1.35.99")),
    "long-term version": Fault("versions", "in long-term support only", spec=version("1.33")),
    "operator for another Kubernetes": Fault(
        "versions", "supports Kubernetes 1.34, and the cluster", operator_supports("1.34"), version("1.35")
    ),
    "operator for none": Fault("versions", "supports Kubernetes 1.20, and", operator_supports("1.20")),
    "manifest out of reach": Fault("operator", "127.0.0.1", spec={"operator": {"manifest_url": NOWHERE}}),
    "manifest of wrong types": Fault("operator", "is what Kubernetes takes there", spec=wrong_manifest),
    "chart values of wrong types": Fault("operator", "operator.chart_values", spec=wrong_chart),
    "plugin's manifest": Fault(
        "operator", "components.plugin_manifest_url", spec=lambda here: components(here, "0" * 64)
    ),
    "plugin out of reach": Fault("operator", "127.0.0.1", spec=lambda here: components(here, url=NOWHERE)),
    "plugin of wrong types": Fault(
        "operator", "is what Kubernetes takes", spec=lambda here: components(here, **wrong_file(here))
    ),
    "stopped": Fault("cluster", "is stopped", live=stopped),
    "node group gone": Fault("cluster", "has lost its node resource group", live=_node_group_gone),
    "downgrade": Fault("versions", "AKS can't go back", spec=version("1.34"), live=as_it_is),
    "two minors at once": Fault(
        "versions", "one minor version at a time", spec=version("1.37"), live=as_it_is
    ),
    "database that can't become it": Fault(
        "cluster", "can't be changed in place", larger_database, components, live=as_it_is
    ),
    # The last, as nothing is written to it any more.
    "subscription disabled": Fault(
        "subscription", "Disabled", lambda here: here.azure.settings(subscription_state="Disabled")
    ),
}


# Faults beside which nothing else can be asked, and why.
APART: dict[str, str] = {
    "secret": "without a token Azure answers nothing",
    "proxy": "without a way to Azure nothing is asked",
    "certificate": "without a way to Azure nothing is asked",
    "unseen subscription": "of a subscription that isn't seen, nothing is told",
    "no such region": "of a region that isn't there, nothing is told",
}
# Why only one of these can be there at a time; those of an inner tuple can be there together.
ONE_OF: dict[str, tuple[str | tuple[str, ...], ...]] = {
    "a run signs in as one identity": ("reader", "contributor", "no right in the subnet"),
    "the group of a generation is in one state": (
        "foreign group",
        "tear-down",
        "state",
        "another region's group",
        "group being deleted",
        "two current",
        "retired, and not empty",
    ),
    "an account has one owner": ("storage name", "storage account of others"),
    "an environment of another region is another one": (
        "Grafana's zones",
        "no Grafana here",
        (
            "foreign group",
            "another region's group",
            "tear-down",
            "state",
            "group being deleted",
            "two current",
            "another suffix",
            "retired, and not empty",
            "storage account of others",
        ),
    ),
    "a subnet that isn't seen has no other fault": (
        "no such subnet",
        "no such network",
        "subnet of another subscription",
        "network refused",
        (
            "subnet too small",
            "subnet elsewhere",
            "subnet delegated",
            "subnet among services",
            "subnet among pods",
        ),
    ),
    "an operator that supports no version leaves none to look at": (
        "operator for none",
        ("version", "patch version", "long-term version", "operator for another Kubernetes"),
    ),
    "a worker has one address": ("address", "nobody tells the address"),
    "of a size that can't be had, nobody knows the quota": (
        ("quota of vCPUs", "small system pool"),
        "no such size",
        "refused read",
        "size not allowed",
        "zone closed",
    ),
    "one operator is installed, in one way": (
        "manifest",
        "manifest out of reach",
        "manifest of wrong types",
        "helm",
        "chart values of wrong types",
    ),
    "a database has one plugin": ("plugin's manifest", "plugin out of reach", "plugin of wrong types"),
    "a stopped cluster isn't asked for its database": ("stopped", "database that can't become it"),
}


def leaves(spec: Any, path: str = "") -> dict[str, Any]:
    if not isinstance(spec, dict):
        return {path: spec}
    found: dict[str, Any] = {}
    for key, value in spec.items():
        found |= leaves(value, f"{path}.{key}")
    return found


def flat(names: str | tuple[str, ...]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else names


def may_be_together(one: str, other: str) -> bool:
    """Whether both can be there at once; where the specs want two values of one field, they can't."""
    for alternatives in ONE_OF.values():
        places = [
            place for place, names in enumerate(alternatives) for name in (one, other) if name in flat(names)
        ]
        if len(set(places)) > 1:
            return False
    if (FAULTS[one].live is None) != (FAULTS[other].live is None):
        return False  # what stands needs no quota, no names and no sizes any more
    ours, theirs = (leaves({} if callable(FAULTS[name].spec) else FAULTS[name].spec) for name in (one, other))
    return all(theirs.get(path, value) == value for path, value in ours.items())


def combined() -> list[list[str]]:
    """Every fault that can have company, in as few runs as come of putting each into the first that takes it."""
    runs: list[list[str]] = []
    for name in FAULTS:
        if name in APART:
            continue
        for run in runs:
            if all(may_be_together(name, other) for other in run):
                run.append(name)
                break
        else:
            runs.append([name])
    return runs


def together(*many: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for given in many:
        for name, value in given.items():
            found[name] = {**found.get(name, {}), **value} if isinstance(value, dict) else value
    return found


async def examined(here: Here, faults: list[Fault], stage: Stage | None = None) -> Diagnosis:
    stand_in = spec_for(here.azure).operator
    fields = together(
        {"operator": {"manifest_url": stand_in.manifest_url, "manifest_sha256": stand_in.manifest_sha256}},
        *(fault.spec(here) if callable(fault.spec) else fault.spec for fault in faults),
    )
    if "subnet" in fields:
        subnet = fields.pop("subnet")
        instead = {key: subnet.pop(key, "") for key in ("name", "network", "subscription")}
        made = make_subnet(here.azure, **subnet).split("/")
        for place, given in zip((10, 8, 2), instead.values(), strict=True):
            made[place] = given or made[place]
        fields["network"] = {"subnet_id": "/".join(made)}
    if fields["operator"].get("installer") == "helm":
        for name in ("manifest_url", "manifest_sha256"):
            del fields["operator"][name]
    for fault in faults:
        if fault.live is not None:
            assert stage is not None
            fault.live(stage)
            here.azure.control("PUT", "state", stage.state)
        fault.do(here)
    since = len(here.azure.ledger())
    url = {PREFECT_API_URL: "http://127.0.0.1:9/api"} if any(fault.code == 4 for fault in faults) else {}
    with temporary_settings(url):
        found = await diagnose(spec_for(here.azure, **fields))
    assert writes(here.azure.ledger()[since:]) == []
    return found


def is_found(found: Diagnosis, fault: Fault) -> bool:
    return any(
        check.name == fault.check and fault.words in check.found and check.next_step and check.exit_code
        for check in found.blockers
    )


@pytest.fixture
def here(azure: SandboxProcess, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Here:
    for variable in ("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(variable, raising=False)
    return Here(azure, monkeypatch, tmp_path)


async def test_a_fault_is_found_by_its_check_and_nothing_else_stops(here: Here) -> None:
    fault = FAULTS["quota of vCPUs"]
    found = await examined(here, [fault])
    assert is_found(found, fault), found.blockers
    assert {check.name for check in found.blockers} == {fault.check}
    assert found.exit_code == fault.code


PREFLIGHT = Path(__file__).parents[2] / "src" / "aks_postgres" / "preflight"
SOURCES = [*sorted(PREFLIGHT.glob("*.py")), PREFLIGHT.parents[2] / "tasks" / "preflight.py"]


def blockers() -> dict[tuple[str, int], str]:
    """Every place where the preflight says what stops a run: file and line of each line of the call."""
    found = {}
    for file in SOURCES:
        if file.name == "findings.py":
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("problem", "Finding"):
                for line in range(node.lineno, int(node.end_lineno or node.lineno) + 1):
                    found[file.name, line] = f"{file.name}:{node.lineno}"
    return found


@pytest.mark.thorough
@pytest.mark.timeout(900)
async def test_every_blocker_of_the_preflight_is_found_by_its_fault_alone(
    here: Here, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, hit = blockers(), set()

    def watched(kind: type[Finding], text: str, way_out: str) -> Finding:
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            if site := known.get((Path(frame.f_code.co_filename).name, frame.f_lineno)):
                hit.add(site)
                break
            frame = frame.f_back
        return made(kind, text, way_out)

    made = Finding.__new__
    monkeypatch.setattr(Finding, "__new__", watched)
    missed = []
    for name, fault in FAULTS.items():
        here.azure.reset()
        here.azure.settings(registered={"Microsoft.Dashboard": True, "Microsoft.Monitor": True})
        with monkeypatch.context() as patch:
            one = Here(here.azure, patch, here.folder)
            at_work = Stage(here.azure, stage.outputs, copy.deepcopy(stage.state), here.folder)
            found = await examined(one, [fault], at_work)
        stops = {check.name for check in found.blockers}
        if not is_found(found, fault) or stops != {fault.check} or found.exit_code != fault.code:
            missed.append((name, [(check.name, check.found) for check in found.blockers]))
    assert missed == [], "\n".join(map(str, missed))
    assert set(known.values()) - hit == set()


FRESH = [names for names in combined() if FAULTS[names[0]].live is None]
STANDING = [names for names in combined() if FAULTS[names[0]].live]


async def find_together(here: Here, names: list[str], stage: Stage | None = None) -> None:
    here.azure.settings(registered={"Microsoft.Dashboard": True, "Microsoft.Monitor": True})
    found = await examined(here, [FAULTS[name] for name in names], stage)
    missed = [name for name in names if not is_found(found, FAULTS[name])]
    assert missed == [], "\n".join(f"{check.name}: {check.found}" for check in found.blockers)
    assert found.exit_code == found.blockers[0].exit_code  # the first in the table


@pytest.mark.parametrize("names", shown(FRESH, first=1))
async def test_all_faults_that_can_be_there_together_are_found(here: Here, names: list[str]) -> None:
    await find_together(here, names)


@pytest.mark.thorough
@pytest.mark.parametrize("names", STANDING)
async def test_all_faults_of_what_stands_are_found_together(
    here: Here, stage: Stage, names: list[str]
) -> None:
    await find_together(here, names, stage)


def test_each_exclusion_is_of_faults_that_there_are() -> None:
    named = {*APART, *(name for them in ONE_OF.values() for names in them for name in flat(names))}
    assert named <= FAULTS.keys()
    assert len(combined()) < len(FAULTS) / 4


async def test_a_clean_subscription_has_no_fault_and_a_reader_may_ask(here: Here) -> None:
    found = await examined(here, [])
    assert found.blockers == ()
    assert found.exit_code == 0
    assert {check.name for check in found.checks if check.verdict == "not asked"} == set()
    here.become("Reader")
    assert {check.name for check in (await examined(here, [])).blockers} == {"rights"}


@pytest.mark.thorough
async def test_what_stops_the_preflight_is_what_the_doctor_says(here: Here) -> None:
    """Word for word: nothing is judged twice."""
    fault = FAULTS["quota of vCPUs"]
    found = await examined(here, [fault])
    spec = spec_for(here.azure)
    async with run_session(spec):
        with pytest.raises(PreflightFailed) as failed:
            await preflight.fn(spec)
    assert [(one.text, one.way_out) for one in failed.value.problems] == [
        (check.found, check.next_step) for check in found.blockers
    ]


@pytest.mark.thorough
async def test_a_stopped_cluster_and_a_run_that_writes_are_told(stage: Stage, here: Here) -> None:
    for which in (CLUSTER, POOLS):
        for one in stage.all(which):
            one["body"]["properties"]["powerState"] = {"code": "Stopped"}
    group = stage.one("resourceGroups/rg-cnpg-backup")
    until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)
    group["tags"]["aks-postgres-writer"] = (
        f"00000000-0000-4000-8000-000000000000 {until.isoformat()} the run x"
    )
    stage.azure.control("PUT", "state", stage.state)
    found = await examined(here, [])
    assert [check.name for check in found.blockers] == ["cluster"]
    assert "az aks start" in found.blockers[0].next_step
    lock = next(check for check in found.checks if check.name == "lock")
    assert lock.verdict == "look"
    assert "is writing" in lock.found


async def test_versions_come_with_their_ends(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    far = kubernetes_versions.EndOfLife(datetime.date(2099, 1, 31))
    monkeypatch.setattr(kubernetes_versions, "KUBERNETES_END", {"1.35": far})
    monkeypatch.setattr(kubernetes_versions, "OPERATOR_END", {"1.30": far})
    found = await examined(here, [])
    versions = next(check for check in found.checks if check.name == "versions")
    assert versions.verdict == "fine"
    assert "Kubernetes 1.35.4 (support ends January 2099)" in versions.found
