"""`doctor` finds what would stop a run, each thing alone and all of them together, and writes nothing."""

import datetime
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from aks_postgres.flows._doctor import diagnose
from aks_postgres.preflight import kubernetes_versions
from aks_postgres.preflight.errors import PreflightFailed
from aks_postgres.reports.diagnosis import Diagnosis
from aks_postgres.runs.session import run_session
from aks_postgres.spec.names import GENERATION, STATE, Names, resource_tags
from aks_postgres.tasks.preflight import preflight
from azure_sandbox.client import SandboxProcess

from ..cases import shown
from ..conftest import spec_for
from .conftest import writes
from .stage import API_VERSIONS, CLUSTER, POOLS, Stage

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


@dataclass(frozen=True)
class Fault:
    """What is done, what the spec asks for, and the check that has to find it with these words."""

    check: str
    words: str
    do: Callable[[Here], None] = nothing
    spec: dict[str, Any] = field(default_factory=dict)
    code: int = 1


# Those that may be there all at once.
TOGETHER: dict[str, Fault] = {
    "quota of vCPUs": Fault(
        "quota", "standardDSv5Family", lambda here: here.azure.settings(quota={"standardDSv5Family": 4})
    ),
    "foreign group": Fault(
        "names", "without this environment's tags", lambda here: here.group(here.names.resource_group)
    ),
    "subscription disabled": Fault(
        "subscription", "Disabled", lambda here: here.azure.settings(subscription_state="Disabled")
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
}
ALONE: dict[str, Fault] = {
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
}


def together(*many: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for given in many:
        for name, value in given.items():
            found[name] = {**found.get(name, {}), **value} if isinstance(value, dict) else value
    return found


async def examined(here: Here, faults: list[Fault]) -> Diagnosis:
    stand_in = spec_for(here.azure).operator
    fields = together(
        {"operator": {"manifest_url": stand_in.manifest_url, "manifest_sha256": stand_in.manifest_sha256}},
        *(fault.spec for fault in faults),
    )
    if fields["operator"].get("installer") == "helm":
        fields["operator"] = {"installer": "helm"}
    for fault in faults:
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


@pytest.mark.parametrize("name", shown({**TOGETHER, **ALONE}, first=1))
async def test_each_fault_is_found_by_its_check_and_nothing_else_stops(here: Here, name: str) -> None:
    fault = {**TOGETHER, **ALONE}[name]
    found = await examined(here, [fault])
    assert is_found(found, fault), found.blockers
    assert {check.name for check in found.blockers} == {fault.check}
    assert found.exit_code == fault.code


async def test_all_faults_together_are_found(here: Here) -> None:
    found = await examined(here, list(TOGETHER.values()))
    assert [name for name, fault in TOGETHER.items() if not is_found(found, fault)] == []
    assert found.exit_code == 4  # the first in the table is the Prefect server


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
    fault = TOGETHER["quota of vCPUs"]
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
