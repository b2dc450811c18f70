"""Guide: Deploy, "Install the CloudNativePG operator in the AKS cluster", by Helm - with a chart of our own."""

import asyncio
import base64
import gzip
import hashlib
import io
import json
import random
import re
import string
import tarfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from aks_postgres.arm.client import current_azure
from aks_postgres.arm.errors import AzureRefused, AzureUnavailable, LastingState, NotOurs, WouldWrite
from aks_postgres.kubernetes.client import kubeconfig_of
from aks_postgres.kubernetes.helm import helm
from aks_postgres.kubernetes.helm_release import UNTIL_LABEL
from aks_postgres.kubernetes.operator_chart import chart_of
from aks_postgres.limits import limits
from aks_postgres.runs.session import run_session
from aks_postgres.spec.environment import OperatorSpec
from aks_postgres.spec.problems import spec_from
from aks_postgres.tasks.cnpg_operator import refuse_other

from .conftest import world_with
from .kube import Kube
from .world import LONG_S, Json, World

needs_helm = pytest.mark.helm
CHARTS = Path(__file__).with_name("charts")
NAMESPACE = "/api/v1/namespaces/cnpg-system"
DEPLOYMENT = "/apis/apps/v1/namespaces/cnpg-system/deployments/cnpg-cloudnative-pg"
DEFINITION = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/clusters.postgresql.cnpg.io"


def packed(
    change: Callable[[str, str], str] = lambda name, text: text, more: dict[str, str] | None = None
) -> bytes:
    """The chart as a .tgz, with some of its texts changed and more files; the same texts make the same bytes."""
    unpacked = io.BytesIO()
    with tarfile.open(fileobj=unpacked, mode="w") as files:
        shipped = {
            str(file.relative_to(CHARTS)): file.read_text()
            for file in (CHARTS / "cloudnative-pg").rglob("*.yaml")
        }
        for name, text in sorted((shipped | (more or {})).items()):
            content = change(name, text).encode()
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            files.addfile(entry, io.BytesIO(content))
    return gzip.compress(unpacked.getvalue(), mtime=0)


def with_chart(
    world: World, folder: Path, archive: bytes | None = None, *, namespace: str = "cnpg-system", **values: Any
) -> World:
    """The same environment, with the operator by a chart on the worker's disk."""
    archive = packed() if archive is None else archive
    file = folder / f"{hashlib.sha256(archive).hexdigest()[:8]}.tgz"
    file.write_bytes(archive)
    operator = {
        "installer": "helm",
        "chart": str(file),
        "chart_sha256": hashlib.sha256(archive).hexdigest(),
        "chart_values": values,
    }
    return world_with(world, operator=operator, namespaces={"operator": namespace})


# The chart's file. Pure.


def test_a_chart_is_what_the_spec_says() -> None:
    archive = packed()
    chart = chart_of(OperatorSpec(installer="helm", chart_values={"replicaCount": 2}), archive)
    assert (chart.name, chart.version, chart.values) == ("cloudnative-pg", "0.29.0", {"replicaCount": 2})
    assert hashlib.sha256(archive).hexdigest() in chart.description


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("name: cloudnative-pg", "name: cluster", "operator.chart: cloudnative-pg was given"),
        ("version: 0.29.0", "version: 0.28.0", "operator.chart_version: 0.29.0 was given"),
        ("appVersion: 1.30.0", "appVersion: 1.29.1", "operator.version: 1.30.0 was given"),
    ],
)
def test_a_chart_that_says_something_else_of_itself_is_refused_by_the_spec_s_field(
    old: str, new: str, words: str
) -> None:
    archive = packed(lambda name, text: text.replace(old, new) if name.endswith("Chart.yaml") else text)
    with pytest.raises(AzureRefused) as refused:
        chart_of(OperatorSpec(installer="helm"), archive)
    assert str(refused.value).startswith(words)
    assert repr(new.split(": ")[1]) in str(refused.value)


def archive_of(**files: str) -> bytes:
    unpacked = io.BytesIO()
    with tarfile.open(fileobj=unpacked, mode="w:gz") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(f"chart/{name}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return unpacked.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>moved</html>",
        packed()[:200],
        archive_of(**{"values.yaml": "{}"}),
        archive_of(**{"charts/sub/Chart.yaml": "name: cloudnative-pg"}),
        archive_of(**{"Chart.yaml": "a: ["}),
    ],
)
def test_what_is_no_chart_is_refused(content: bytes) -> None:
    with pytest.raises(AzureRefused, match=r"operator\.chart: no Helm chart") as refused:
        chart_of(OperatorSpec(installer="helm"), content)
    assert refused.value.code == "NotAChart"


def test_the_examples_in_the_document_are_specs() -> None:
    text = (CHARTS.parents[2] / "docs" / "operator.md").read_text()
    examples = re.findall(r"```yaml\n(.*?)```", text, re.S)
    installers = [spec_from(yaml.safe_load(example)).operator.installer for example in examples]
    assert installers == ["helm", "helm"]


# Another operator in the cluster. Pure.

MANIFESTS, HELMS = "cnpg-controller-manager", "cnpg-cloudnative-pg"


def deployment(name: str, namespace: str = "cnpg-system") -> Json:
    return {"metadata": {"name": name, "namespace": namespace}}


@pytest.mark.parametrize(("installer", "name"), [("manifest", MANIFESTS), ("helm", HELMS)])
def test_our_own_operator_is_no_other(installer: str, name: str) -> None:
    refuse_other([], installer, "cnpg-system")
    refuse_other([deployment(name)] * 2, installer, "cnpg-system")


@pytest.mark.parametrize(
    ("installer", "name", "namespace", "words"),
    [
        ("manifest", HELMS, "cnpg-system", "helm uninstall cnpg --namespace cnpg-system"),
        ("manifest", HELMS, "databases", "helm uninstall cnpg --namespace databases"),
        ("helm", MANIFESTS, "cnpg-system", "Set operator.installer to manifest"),
        ("helm", MANIFESTS, "databases", "Don't delete the manifest's objects"),
        ("manifest", MANIFESTS, "databases", "Set namespaces.operator back to databases"),
        ("helm", HELMS, "databases", "helm uninstall cnpg --namespace databases"),
        ("helm", "cnpg-operator", "cnpg-system", "was installed in another way"),
        ("manifest", "cnpg-operator", "databases", "was installed in another way"),
    ],
)
def test_a_second_operator_is_refused_and_the_way_out_spares_the_databases(
    installer: str, name: str, namespace: str, words: str
) -> None:
    with pytest.raises(NotOurs, match=f"deployment {namespace}/{name}: ") as refused:
        refuse_other([deployment(name, namespace)], installer, "cnpg-system")
    assert words in str(refused.value)
    assert "CRDs" in str(refused.value)


# The release, in a cluster.


@pytest.fixture
async def world(world: World) -> World:
    """The environment up to its cluster with both pools."""
    await world.prepare("node_pool", "api_server")
    return world


@pytest.fixture
def kube(world: World, tmp_path: Path) -> Kube:
    """The cluster as a person with kubectl has it."""
    return Kube(world, tmp_path)


def revisions(kube: Kube) -> list[tuple[int, str]]:
    """Numbers and statuses of the release's revisions."""
    found = kube.get(f"{NAMESPACE}/secrets?labelSelector=owner%3Dhelm") or {}
    labels = [item["metadata"]["labels"] for item in found["items"]]
    return sorted((int(item["version"]), item["status"]) for item in labels)


def rewrite(
    kube: Kube,
    revision: int,
    status: str,
    begun: datetime,
    *,
    until: datetime | None = None,
    chart: str = "cloudnative-pg",
) -> None:
    """Put a revision into another status, as an installer that begins or dies leaves it."""
    path = f"{NAMESPACE}/secrets/sh.helm.release.v1.cnpg.v{revision}"
    secret = kube.get(path) or {}
    release = json.loads(gzip.decompress(base64.b64decode(base64.b64decode(secret["data"]["release"]))))
    release["info"] |= {"status": status, "last_deployed": begun.isoformat()}
    release["chart"]["metadata"]["name"] = chart
    stored = base64.b64encode(base64.b64encode(gzip.compress(json.dumps(release).encode()))).decode()
    labels = {"status": status, UNTIL_LABEL: str(int(until.timestamp())) if until else None}
    kube.merge(path, {"metadata": {"labels": labels}, "data": {"release": stored}})


async def uninstalled(world: World, kube: Kube) -> None:
    """Somebody runs helm uninstall; what the operator was is gone, its CRDs aren't."""
    cluster = world.made["cluster"]
    kubeconfig = await kubeconfig_of(current_azure(), cluster.resource_group, cluster.name)
    async with helm(current_azure().gate, kubeconfig, "cnpg-system") as session:
        await session.uninstall("cnpg")
        assert await session.release("cnpg") is None
    kube.until(lambda: kube.get(DEPLOYMENT) is None)


class TestRelease:
    """With the SDK."""

    pytestmark = needs_helm

    async def test_the_chart_is_installed_and_the_operator_available(
        self, world: World, kube: Kube, tmp_path: Path
    ) -> None:
        made = await with_chart(world, tmp_path, config={"data": {"INHERITED_LABELS": "team"}}).run(
            "operator"
        )
        assert (made.namespace, made.deployment) == ("cnpg-system", "cnpg-cloudnative-pg")
        assert (made.version, made.objects, made.change.kind) == ("1.30.0", 8, "created")
        assert ((kube.get(DEPLOYMENT) or {})["status"])["availableReplicas"] == 1
        settings = kube.get(f"{NAMESPACE}/configmaps/cnpg-controller-manager-config")
        assert (settings or {})["data"] == {"INHERITED_LABELS": "team"}
        assert revisions(kube) == [(1, "deployed")]

    async def test_another_checksum_is_refused_before_the_cluster_is_touched(
        self, world: World, tmp_path: Path
    ) -> None:
        operator = with_chart(world, tmp_path).spec.operator.model_dump(exclude_unset=True)
        other = world_with(world, operator={**operator, "chart_sha256": "0" * 64})
        with pytest.raises(AzureRefused, match=r"isn't the file whose SHA-256 the spec has") as refused:
            await other.run("operator")
        assert refused.value.code == "ChecksumMismatch"
        assert other.requests(service="kubernetes") == []

    async def test_a_second_installation_writes_nothing(self, world: World, tmp_path: Path) -> None:
        other = with_chart(world, tmp_path, replicaCount=1)
        await other.run("operator")
        again = await other.run("operator")
        assert (other.writes(), again.change.kind, again.objects) == ([], "unchanged", 8)

    @pytest.mark.thorough
    async def test_changed_values_make_a_revision_and_removed_ones_are_gone(
        self, world: World, kube: Kube, tmp_path: Path
    ) -> None:
        await with_chart(world, tmp_path, config={"data": {"A": "b"}}).run("operator")
        more = await with_chart(world, tmp_path, config={"data": {"A": "b"}}, replicaCount=2).run("operator")
        assert [change.field for change in more.change.fields] == ["values.replicaCount"]
        assert (more.change.kind, revisions(kube)) == ("updated", [(1, "superseded"), (2, "deployed")])
        assert (kube.get(DEPLOYMENT) or {})["status"]["availableReplicas"] == 2
        none = await with_chart(world, tmp_path).run("operator")
        assert [change.field for change in none.change.fields] == ["values.config", "values.replicaCount"]
        assert (kube.get(DEPLOYMENT) or {})["spec"]["replicas"] == 1
        settings = kube.get(f"{NAMESPACE}/configmaps/cnpg-controller-manager-config")
        assert not (settings or {}).get("data")

    async def test_another_file_of_the_same_version_is_a_change(
        self, world: World, kube: Kube, tmp_path: Path
    ) -> None:
        await with_chart(world, tmp_path).run("operator")
        other = packed(lambda name, text: text.replace("args: [controller]", "args: [controller, --v=2]"))
        made = await with_chart(world, tmp_path, other).run("operator")
        assert [change.field for change in made.change.fields] == ["chart 0.29.0"]
        pods = (kube.get(DEPLOYMENT) or {})["spec"]["template"]["spec"]
        assert pods["containers"][0]["args"] == ["controller", "--v=2"]

    @pytest.mark.thorough
    async def test_a_deleted_object_comes_back(self, world: World, kube: Kube, tmp_path: Path) -> None:
        other = with_chart(world, tmp_path)
        await other.run("operator")
        kube.delete(f"{NAMESPACE}/configmaps/ballast")
        kube.delete(DEFINITION)
        again = await other.run("operator")
        assert {(one.field, one.new) for one in again.change.fields} == {
            ("ConfigMap ballast", "restored"),
            ("CustomResourceDefinition clusters.postgresql.cnpg.io", "restored"),
        }
        assert again.change.kind == "updated"
        assert kube.get(f"{NAMESPACE}/configmaps/ballast")
        assert kube.get(DEFINITION)

    @pytest.mark.thorough
    async def test_a_release_as_large_as_kubernetes_can_store_goes_through(
        self, world: World, kube: Kube, tmp_path: Path
    ) -> None:
        ballast = "".join(random.Random(1).choices(string.ascii_letters + string.digits, k=480_000))
        other = with_chart(world, tmp_path, ballast=ballast)
        await other.run("operator")
        stored = (kube.get(f"{NAMESPACE}/secrets/sh.helm.release.v1.cnpg.v1") or {})["data"]["release"]
        assert 900_000 < len(base64.b64decode(stored)) < 1_048_576
        assert (await other.run("operator")).change.kind == "unchanged"

    @pytest.mark.thorough
    async def test_a_namespace_of_ones_own_holds_release_and_operator(
        self, world: World, kube: Kube, tmp_path: Path
    ) -> None:
        made = await with_chart(world, tmp_path, namespace="databases-operator").run("operator")
        assert (made.namespace, made.deployment) == ("databases-operator", "cnpg-cloudnative-pg")
        assert kube.get(DEPLOYMENT.replace("cnpg-system", "databases-operator"))
        assert kube.get("/api/v1/namespaces/databases-operator/secrets/sh.helm.release.v1.cnpg.v1")

    async def test_the_operator_doesnt_move_to_another_namespace(self, world: World, tmp_path: Path) -> None:
        await with_chart(world, tmp_path).run("operator")
        moved = with_chart(world, tmp_path, namespace="databases-operator")
        await moved.prepare("namespaces")
        moved.made.pop("namespaces")
        with pytest.raises(NotOurs, match="lives in the namespace cnpg-system"):
            await moved.run("operator")
        assert moved.writes() == []

    @pytest.mark.thorough
    async def test_the_installer_doesnt_change_either_way(
        self, world: World, kube: Kube, tmp_path: Path
    ) -> None:
        await with_chart(world, tmp_path).run("operator")
        with pytest.raises(NotOurs, match="was installed by Helm"):
            await world.run("operator")
        assert world.writes() == []

    @pytest.mark.thorough
    @pytest.mark.thorough
    async def test_once_helm_has_uninstalled_it_the_manifest_goes_on_with_the_same_definitions(
        self, world: World, kube: Kube, tmp_path: Path
    ) -> None:
        await with_chart(world, tmp_path).run("operator")
        kept = (kube.get(DEFINITION) or {})["metadata"]["uid"]
        await uninstalled(world, kube)
        made = await world.run("operator")
        assert (made.deployment, made.change.kind) == ("cnpg-controller-manager", "created")
        assert (kube.get(DEFINITION) or {})["metadata"]["uid"] == kept
        assert (await world.run("operator")).change.kind == "unchanged"

    async def test_a_manifest_s_operator_isnt_taken_over_by_helm(self, world: World, tmp_path: Path) -> None:
        await world.run("operator")
        other = with_chart(world, tmp_path)
        with pytest.raises(
            NotOurs, match=r"was installed by its manifest.* Set operator\.installer to manifest"
        ):
            await other.run("operator")
        assert other.writes() == []
        assert (await world.run("operator")).change.kind == "unchanged"

    async def test_an_operator_of_another_way_is_removed_by_whoever_put_it_there(
        self, world: World, kube: Kube
    ) -> None:
        """As OLM does it: https://operatorhub.io/operator/cloudnative-pg"""
        await world.run("operator")
        live = kube.get(DEPLOYMENT.replace("cnpg-cloudnative-pg", MANIFESTS)) or {}
        path = f"/apis/apps/v1/namespaces/cnpg-system/deployments/{MANIFESTS}"
        labels, spec = live["metadata"]["labels"], live["spec"]
        kube.delete(path)
        kube.until(lambda: kube.get(path) is None)
        metadata = {"name": "cnpg-operator", "labels": labels}
        kube.create(path.rpartition("/")[0], {"metadata": metadata, "spec": spec})
        with pytest.raises(NotOurs, match=r"was installed in another way.* Remove that one"):
            await world.run("operator")
        assert world.writes() == []
        kube.delete(path.replace(MANIFESTS, "cnpg-operator"))
        assert (await world.run("operator")).deployment == MANIFESTS

    async def test_another_chart_s_release_of_that_name_is_left_alone(
        self, world: World, kube: Kube, tmp_path: Path
    ) -> None:
        other = with_chart(world, tmp_path)
        await other.run("operator")
        rewrite(kube, 1, "deployed", datetime.now(UTC), chart="cluster")
        with pytest.raises(
            NotOurs,
            match=r"is a release of the chart cluster, not of cloudnative-pg\. Uninstall it \(helm uninstall cnpg ",
        ):
            await other.run("operator")
        assert other.writes() == []
        await uninstalled(other, kube)
        assert (await other.run("operator")).change.kind == "created"

    async def test_what_somebody_took_over_is_refused_in_kubernetes_words(
        self, world: World, kube: Kube, tmp_path: Path
    ) -> None:
        await with_chart(world, tmp_path).run("operator")
        mine = {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": 3}}
        answer = kube.send(
            "PATCH",
            f"{DEPLOYMENT}?fieldManager=somebody&force=true",
            mine,
            **{"Content-Type": "application/apply-patch+yaml"},
        )
        assert answer.status_code == 200, answer.text
        with pytest.raises(AzureRefused, match="conflict") as refused:
            await with_chart(world, tmp_path, replicaCount=2).run("operator")
        assert "spec.replicas" in str(refused.value)
        assert "somebody" in str(refused.value)
        assert "Set operator.chart_values to the value that is there" in refused.value.way_out
        assert (await with_chart(world, tmp_path, replicaCount=3).run("operator")).change.kind == "updated"

    async def test_what_isnt_helms_is_removed_and_the_chart_makes_it(
        self, world: World, kube: Kube, tmp_path: Path
    ) -> None:
        other = with_chart(world, tmp_path)
        await other.prepare("namespaces")
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "cnpg-cloudnative-pg"}}
        kube.create(f"{NAMESPACE}/serviceaccounts", account)
        with pytest.raises(NotOurs, match=r"belongs to another installation.* Remove what is named"):
            await other.run("operator")
        kube.delete(f"{NAMESPACE}/serviceaccounts/cnpg-cloudnative-pg")
        assert (await other.run("operator")).change.kind == "created"

    async def test_what_only_the_cluster_refuses_is_told_in_its_words_and_goes_once_it_is_mended(
        self, world: World, tmp_path: Path
    ) -> None:
        number, text = ({"data": {"CLUSTERS_ROLLOUT_DELAY": value}} for value in (60, "60"))
        with pytest.raises(AzureRefused, match="Helm refused: ") as refused:
            await with_chart(world, tmp_path, config=number).run("operator")
        assert "Correct operator.chart or operator.chart_values" in refused.value.way_out
        made = await with_chart(world, tmp_path, config=text).run("operator")
        assert made.change.kind in ("created", "updated")

    @pytest.mark.thorough
    async def test_an_operator_that_isnt_available_in_time_is_no_failed_release(
        self, world: World, kube: Kube, tmp_path: Path
    ) -> None:
        other = with_chart(world, tmp_path, nodeSelector={"there-is": "no-such-node"})
        with pytest.raises(
            LastingState, match=r"deployment cnpg-system/cnpg-cloudnative-pg: .* not so after"
        ):
            await other.run("operator")
        assert revisions(kube) == [(1, "deployed")]
        with pytest.raises(LastingState):
            await other.run("operator")
        assert other.writes() == []


class TestInterruptedRelease:
    """What an installer leaves that was killed, or is still at work."""

    pytestmark = needs_helm

    async def test_an_interrupted_installation_is_cleared_away_and_done_again(
        self, world: World, kube: Kube, tmp_path: Path
    ) -> None:
        other = with_chart(world, tmp_path)
        await other.run("operator")
        kept = (kube.get(DEFINITION) or {})["metadata"]["uid"]
        rewrite(kube, 1, "pending-install", datetime.now(UTC) - timedelta(hours=1))
        made = await other.run("operator")
        assert [(one.field, one.old) for one in made.change.fields] == [("status", "pending-install")]
        assert revisions(kube) == [(1, "deployed")]
        assert (kube.get(DEFINITION) or {})["metadata"]["uid"] == kept
        assert (kube.get(DEPLOYMENT) or {})["status"]["availableReplicas"] == 1

    @pytest.mark.thorough
    @pytest.mark.thorough
    async def test_an_interrupted_upgrade_is_rolled_back_and_done_again(
        self, world: World, kube: Kube, tmp_path: Path
    ) -> None:
        await with_chart(world, tmp_path).run("operator")
        other = with_chart(world, tmp_path, replicaCount=2)
        await other.run("operator")
        an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
        rewrite(kube, 1, "deployed", an_hour_ago)
        rewrite(kube, 2, "pending-upgrade", an_hour_ago, until=an_hour_ago + timedelta(minutes=2))
        await other.run("operator")
        assert revisions(kube)[-2:] == [(3, "superseded"), (4, "deployed")]
        assert (kube.get(DEPLOYMENT) or {})["spec"]["replicas"] == 2

    @pytest.mark.thorough
    @pytest.mark.thorough
    async def test_a_failed_first_installation_is_upgraded(
        self, world: World, kube: Kube, tmp_path: Path
    ) -> None:
        other = with_chart(world, tmp_path)
        await other.run("operator")
        rewrite(kube, 1, "failed", datetime.now(UTC))
        made = await other.run("operator")
        assert (made.change.kind, revisions(kube)[-1]) == ("updated", (2, "deployed"))

    @pytest.mark.thorough
    async def test_a_live_installer_is_waited_for(self, world: World, kube: Kube, tmp_path: Path) -> None:
        other = with_chart(world, tmp_path)
        await other.run("operator")
        now = datetime.now(UTC)
        rewrite(kube, 1, "pending-install", now, until=now + timedelta(minutes=2))
        waits = other.when("waiting", lambda: rewrite(kube, 1, "deployed", now))
        made = await other.run("operator")
        assert waits[0].startswith(
            "Helm release cnpg-system/cnpg is pending-install; its installer has until"
        )
        assert made.change.kind == "unchanged"

    @pytest.mark.thorough
    async def test_an_api_server_that_falls_silent_ends_the_call_and_the_next_run_goes_on(
        self, world: World, kube: Kube, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "helm_write_s", 4.0)
        await world.prepare("namespaces")
        world.azure.fault(
            {"delay_s": 1_000_000}, service="kubernetes", method="PATCH", path="/deployments/", times=99
        )
        other = with_chart(world, tmp_path)
        with pytest.raises(AzureUnavailable, match="no answer within 4 s"):
            await other.run("operator")
        assert revisions(kube) == [(1, "pending-install")]
        world.azure.control("DELETE", "faults")
        monkeypatch.setattr(limits, "helm_write_s", 60.0)
        waits = other.when("waiting")
        made = await other.run("operator")
        assert made.change.kind == "updated"
        assert revisions(kube) == [(1, "deployed")]
        assert all("pending-install" in wait for wait in waits)

    @pytest.mark.thorough
    async def test_a_cancelled_installation_is_a_failed_revision_that_the_next_run_upgrades(
        self, world: World, kube: Kube, tmp_path: Path
    ) -> None:
        await world.prepare("namespaces")
        world.azure.fault({"delay_s": LONG_S}, service="kubernetes", method="PATCH", path="/deployments/")
        other = with_chart(world, tmp_path)
        installing = asyncio.create_task(other.run("operator"))
        while not revisions(kube):
            await asyncio.sleep(0)
        installing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await installing
        assert revisions(kube) == [(1, "failed")]
        world.azure.control("DELETE", "faults")
        assert (await other.run("operator")).change.kind == "updated"
        assert revisions(kube) == [(1, "superseded"), (2, "deployed")]


class TestReadingOnly:
    """`outputs` and `plan`."""

    pytestmark = needs_helm

    @pytest.mark.thorough
    async def test_a_reader_finds_a_finished_release_unchanged_and_refuses_to_write_another(
        self, world: World, tmp_path: Path
    ) -> None:
        other = with_chart(world, tmp_path)
        await other.run("operator")
        changed = with_chart(world, tmp_path, replicaCount=2)
        async with run_session(other.spec, read_only=True):
            assert (await other.run("operator")).change.kind == "unchanged"
            with pytest.raises(WouldWrite, match=r"would be changed: values\.replicaCount"):
                await changed.run("operator")
        assert changed.writes() == []

    async def test_a_plan_says_what_would_be_done(self, world: World, kube: Kube, tmp_path: Path) -> None:
        other = with_chart(world, tmp_path)
        await other.prepare("namespaces")
        other.made["cluster"] = await other.run("cluster")  # as a later run finds it
        async with run_session(other.spec, planning=True):
            planned = await other.run("operator")
        assert (planned.change.kind, other.writes()) == ("created", [])
        assert [str(one) for one in planned.change.fields] == ["Helm release cnpg: unset -> created"]
        await other.run("operator")
        changed = with_chart(world, tmp_path, replicaCount=2)
        async with run_session(changed.spec, planning=True):
            assert (await other.run("operator")).change.kind == "unchanged"
            planned = await changed.run("operator")
        assert [one.field for one in planned.change.fields] == ["values.replicaCount"]
        assert revisions(kube) == [(1, "deployed")]
