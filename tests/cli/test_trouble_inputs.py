"""What people who do this job ran into, each by the command: it ends well, or names the cause and the way out."""

import copy
import hashlib
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from azure_sandbox.client import SandboxProcess

from ..cases import shown
from ..tasks.test_operator_chart import needs_helm, packed
from .conftest import NAMED, Run, run_in
from .test_commands import failed, writes

Json = dict[str, Any]
Done = subprocess.CompletedProcess[str]
INPUTS = Path(__file__).with_name("trouble")
POLICIES = yaml.safe_load((INPUTS / "policy-modify.yaml").read_text())["settings"]["policies"]
KEY = "cnpg-canadacentral"
GROUPS = "Microsoft.Resources/resourceGroups"
thorough = pytest.mark.thorough
# A busy machine needs minutes for a rebuild or two.
pytestmark = pytest.mark.timeout(900)


class Desk:
    """A finished environment on a sandbox, and a person at a terminal."""

    def __init__(self, azure: SandboxProcess, run: Run, state: Json, prefect_url: str) -> None:
        self.azure, self.state = azure, state
        self._run, self._prefect_url = run, prefect_url

    def run(self, command: str, *arguments: object, **variables: str) -> Done:
        """The command, for this environment and sandbox."""
        here = (*NAMED, "--sandbox", "--state", self.azure.folder)
        return self._run(command, *here, *arguments, PREFECT_API_URL=self._prefect_url, **variables)

    def provision(self, *arguments: object, **variables: str) -> Done:
        """`provision`, which asks nobody."""
        return self.run("provision", "--yes", "--json", *arguments, **variables)

    def order(self, name: str) -> None:
        """What the sandbox is to do, by a file."""
        done = self._run("sandbox", "faults", "order", INPUTS / name, "--state", self.azure.folder)
        assert done.returncode == 0, done.stderr

    def of_type(self, *types: str) -> list[Json]:
        """The bodies of the stored resources of these types."""
        return [one["body"] for one in self.state["resources"] if one["type"] in types]

    def put_back(self) -> None:
        """Let the sandbox hold the state as it is here."""
        self.azure.control("PUT", "state", self.state)

    def is_done(self, *arguments: object) -> bool:
        """Whether a plan finds nothing to do."""
        plan = self.run("plan", *arguments)
        assert plan.returncode in (0, 5), plan.stderr
        return "nothing to do" in plan.stdout


@pytest.fixture(scope="module")
def finished(
    sandbox_process: SandboxProcess, prefect_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Json:
    """The sandbox's state with a finished environment."""
    sandbox_process.reset()
    sandbox_process.settings(registered={"Microsoft.Dashboard": True, "Microsoft.Monitor": True})
    run = run_in(tmp_path_factory.mktemp("home"))
    here = (*NAMED, "--sandbox", "--state", sandbox_process.folder)
    done = run("provision", "--yes", *here, PREFECT_API_URL=prefect_url)
    assert done.returncode == 0, done.stderr
    return sandbox_process.control("GET", "state")


@pytest.fixture
def desk(sandbox: SandboxProcess, tmp_path: Path, finished: Json, prefect_url: str) -> Desk:
    """The finished environment, whatever the test before did to it."""
    found = Desk(sandbox, run_in(tmp_path, hangs_s=400), copy.deepcopy(finished), prefect_url)
    found.put_back()
    return found


def test_tags_with_many_problems(run: Run, sandbox: SandboxProcess, state: Path) -> None:
    done = run("provision", *NAMED, "--state", state, "--spec", INPUTS / "tags-many-problems.yaml")
    told = ("app/name", "k8s.io/cluster", "Microsoft.Team", "azure-env", "windows-patch", "Owner", "owner")
    failed(done, 2, "nothing was written", "quotes", *told)
    assert sandbox.ledger() == []


def test_operator_file_wrong(run: Run, sandbox: SandboxProcess, state: Path, prefect_url: str) -> None:
    spec = INPUTS / "operator-file-wrong.yaml"
    done = run("provision", "--yes", *NAMED, "--state", state, "--spec", spec, PREFECT_API_URL=prefect_url)
    failed(done, 1, "operator.chart", "some-other-file.tgz", "No such file", "nothing was written")
    assert writes(sandbox) == []


@thorough
@needs_helm
def test_helm_values(desk: Desk, tmp_path: Path) -> None:
    chart = packed()
    (tmp_path / "chart.tgz").write_bytes(chart)
    given = (
        f"operator.chart={tmp_path}/chart.tgz",
        f"operator.chart_sha256={hashlib.sha256(chart).hexdigest()}",
    )
    since = len(writes(desk.azure))
    done = desk.provision("--spec", INPUTS / "helm-values.yaml", "--set", given[0], "--set", given[1])
    fields = ("config.data.CLUSTERS_ROLLOUT_DELAY", "config.data.ENABLE_INSTANCE_MANAGER_INPLACE_UPDATES")
    failed(done, 1, *(f"operator.chart_values.{field}" for field in fields), "Put it in quotes")
    assert writes(desk.azure)[since:] == []


@thorough
def test_double_rebuild(desk: Desk) -> None:
    """The second waits, sees that its work was done, and throws nothing away."""
    with ThreadPoolExecutor() as pool:
        both = [pool.submit(desk.run, "rebuild", "--yes", "--confirm", KEY) for _ in range(2)]
        done = [one.result() for one in both]
    assert [one.returncode for one in done] == [0, 0], "".join(one.stderr for one in done)
    path = f"{desk.azure.subscription}/resourceGroups"
    groups = desk.azure.arm("GET", path, api_version="2024-11-01").json()["value"]
    tags = [group.get("tags") or {} for group in groups if "aksmanaged" not in group["name"]]
    assert {one["aks-postgres-generation"] for one in tags if "aks-postgres-generation" in one} == {"2"}
    assert desk.is_done()


@thorough
def test_policy_modify(desk: Desk) -> None:
    """The message names field, value and where to look; what it says to do ends well."""
    desk.order("policy-modify.yaml")
    grafana = desk.provision("--set", "tags.team=x")
    failed(grafana, 1, "properties.publicNetworkAccess is 'Disabled' and 'Enabled' was sent", "effect Modify")
    (shown,) = desk.of_type("Microsoft.Dashboard/grafana")
    assert f"az policy assignment list --disable-scope-strict-match --scope {shown['id']}." in grafana.stderr
    assert "ask whoever owns the policy for an exemption" in grafana.stderr

    group = desk.provision("--set", "tags.owner=me")
    failed(group, 1, "tags.owner is 'platform' and 'me' was sent", "Set the spec to that value")
    (scope,) = set(re.findall(r"--scope (\S+)\. Set", group.stderr))
    assert scope.startswith(f"{desk.azure.subscription}/resourceGroups/rg-cnpg")

    desk.azure.settings(policies=[one for one in POLICIES if one["name"] == "owner-of-groups"])
    ended = desk.provision("--set", "tags.owner=platform")
    assert ended.returncode == 0, ended.stderr
    assert desk.is_done("--set", "tags.owner=platform")


@pytest.mark.parametrize("name", shown(["https_proxy", "HTTPS_PROXY"], first=1))
def test_proxy_without_scheme(run: Run, sandbox: SandboxProcess, state: Path, name: str) -> None:
    done = run("plan", *NAMED, "--state", state, no_proxy="127.0.0.1", **{name: "127.0.0.1:3128"})
    failed(done, 2, name, "127.0.0.1:3128 was given", "Set it with http:// in front")
    assert "AZURE_TENANT_ID" not in done.stderr
    assert sandbox.ledger() == []


@thorough
def test_identity_recreated(desk: Desk) -> None:
    (identity,) = [
        one
        for one in desk.of_type("Microsoft.ManagedIdentity/userAssignedIdentities")
        if one["name"].startswith("mi-aks-cnpg")
    ]
    gone = desk.azure.arm("DELETE", identity["id"], api_version="2024-11-30")
    assert gone.status_code == 200
    assert not desk.is_done()
    done = desk.provision()
    assert done.returncode == 0, done.stderr
    assert desk.is_done()
    (cluster,) = desk.of_type("Microsoft.ContainerService/managedClusters")
    live = desk.azure.arm("GET", cluster["id"], api_version="2026-06-01").json()
    made = desk.azure.arm("GET", identity["id"], api_version="2024-11-30").json()
    (held,) = live["identity"]["userAssignedIdentities"].values()
    assert held["principalId"] == made["properties"]["principalId"]


@thorough
def test_subscription_id_in_capitals(desk: Desk) -> None:
    assert desk.azure.subscription_id.upper() != desk.azure.subscription_id
    done = desk.provision("--subscription-id", desk.azure.subscription_id.upper(), "--set", "tags.owner=me")
    assert done.returncode == 0, done.stderr
    assert desk.is_done("--set", "tags.owner=me")


@thorough
def test_subscription_read_only(desk: Desk) -> None:
    desk.order("subscription-read-only.yaml")
    done = desk.provision("--set", "tags.owner=me")
    failed(done, 1, "ReadOnlyDisabledSubscription", "Ask its owner to enable it again", "Reactivate")
    assert "again in" not in done.stderr
    assert "waiting for another run" not in done.stderr
    desk.put_back()
    ended = desk.provision("--set", "tags.owner=me")
    assert ended.returncode == 0, ended.stderr
    assert desk.is_done("--set", "tags.owner=me")


@thorough
def test_stopped_cluster(desk: Desk) -> None:
    for body in desk.of_type(
        "Microsoft.ContainerService/managedClusters", "Microsoft.ContainerService/managedClusters/agentPools"
    ):
        body["properties"]["powerState"] = {"code": "Stopped"}
    desk.put_back()
    desk.order("stopped-cluster.yaml")
    plan = desk.run("plan", "--set", "postgres_pool.max_count=7")
    assert (plan.returncode, "is stopped. Start it (az aks start" in plan.stdout) == (1, True), plan.stdout
    since = len(writes(desk.azure))
    done = desk.provision("--set", "postgres_pool.max_count=7")
    failed(done, 1, "is stopped. Start it (az aks start", "cluster.if_stopped: start", "nothing was written")
    assert writes(desk.azure)[since:] == []
    desk.azure.control("DELETE", "faults")
    ended = desk.provision("--set", "postgres_pool.max_count=7", "--set", "cluster.if_stopped=start")
    assert ended.returncode == 0, ended.stderr
    assert desk.is_done("--set", "postgres_pool.max_count=7")


@thorough
def test_node_group_gone(desk: Desk) -> None:
    (group,) = [one["id"] for one in desk.of_type(GROUPS) if "aksmanaged" in one["id"]]
    desk.state["resources"] = [
        one for one in desk.state["resources"] if not one["id"].casefold().startswith(group.casefold())
    ]
    desk.put_back()
    told = ("has lost its node resource group", "AKS can't bring that back", "Make the environment anew")
    plan = desk.run("plan")
    assert (plan.returncode, [words for words in told if words not in plan.stdout]) == (1, [])
    since = len(writes(desk.azure))
    failed(desk.provision(), 1, *told, "aks-postgres rebuild", "nothing was written")
    assert writes(desk.azure)[since:] == []
    anew = desk.run("rebuild", "--yes", "--confirm", KEY)
    assert anew.returncode == 0, anew.stderr
    assert desk.is_done()


@thorough
def test_tags_wiped(desk: Desk) -> None:
    for body in desk.of_type(GROUPS):
        if body.get("tags"):
            body["tags"] = {"CostCenter": "1", "Environment": "Prod"}
    desk.put_back()
    done = desk.provision()
    failed(done, 1, "adopt: [")
    (names,) = set(re.findall(r"adopt: (\[[^\]]+\])", done.stderr))
    again = desk.provision("--set", f"adopt={names}")
    assert again.returncode == 0, again.stderr
    assert desk.is_done()


@thorough
def test_grafana_retired_version(desk: Desk) -> None:
    (grafana,) = desk.of_type("Microsoft.Dashboard/grafana")
    grafana["properties"] |= {"grafanaMajorVersion": "10", "grafanaVersion": "10.4.1"}
    desk.put_back()
    desk.order("grafana-retired-version.yaml")
    done = desk.provision("--set", "tags.owner=other")
    assert done.returncode == 0, done.stderr
    assert desk.is_done("--set", "tags.owner=other")
