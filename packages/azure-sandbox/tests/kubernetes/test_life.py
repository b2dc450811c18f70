"""What happens in an emulated cluster by itself: nodes, workloads, namespaces, add-ons, webhooks."""

import json
from typing import Any

import pytest
import yaml

from azure_sandbox.core.clock import Clock
from azure_sandbox.kubernetes import KubernetesApi

from .conftest import MERGE, Cluster
from .test_apply_contract import MANIFEST
from .test_objects_contract import deployment

Json = dict[str, Any]

SYSTEM = {"name": "system", "count": 1, "zones": ["1"], "region": "eastus", "vm_size": "Standard_D4s_v5"}
SYSTEM |= {"version": "1.35.2", "mode": "System"}
POSTGRES = {"name": "postgres", "count": 3, "zones": ["1", "2", "3"], "region": "eastus"}
POSTGRES |= {"vm_size": "Standard_D8s_v5", "version": "1.35.2", "labels": {"workload": "postgres"}}


def conditions(obj: Json) -> dict[str, str]:
    return {item["type"]: item["status"] for item in obj.get("status", {}).get("conditions") or []}


async def names(cluster: Cluster, path: str, **query: str) -> list[str]:
    return [item["metadata"]["name"] for item in (await cluster.done("GET", path, **query))["items"]]


def step(cluster: Cluster, seconds: float) -> None:
    assert cluster.clock is not None
    cluster.clock.step(seconds)


def set_pools(cluster: Cluster, *pools: Json) -> None:
    assert cluster.api is not None
    cluster.api.set_pools(list(pools))


@pytest.fixture
async def running(emulated: Cluster) -> Cluster:
    """A cluster whose nodes are ready."""
    set_pools(emulated, SYSTEM, POSTGRES)
    step(emulated, 60)
    return emulated


async def test_nodes_come_and_get_ready_with_the_labels_of_aks(emulated: Cluster) -> None:
    set_pools(emulated, SYSTEM, POSTGRES)
    assert await names(emulated, "/api/v1/nodes") == []
    step(emulated, 5)
    nodes = (await emulated.done("GET", "/api/v1/nodes"))["items"]
    assert len(nodes) == 4
    assert {conditions(node)["Ready"] for node in nodes} == {"False"}
    step(emulated, 60)
    nodes = (await emulated.done("GET", "/api/v1/nodes", labelSelector="agentpool=postgres"))["items"]
    assert {conditions(node)["Ready"] for node in nodes} == {"True"}
    assert [node["metadata"]["labels"]["topology.kubernetes.io/zone"] for node in nodes] == [
        "eastus-1",
        "eastus-2",
        "eastus-3",
    ]
    labels = nodes[0]["metadata"]["labels"]
    wanted = {
        "kubernetes.azure.com/agentpool": "postgres",
        "kubernetes.azure.com/mode": "user",
        "kubernetes.io/os": "linux",
        "topology.kubernetes.io/region": "eastus",
        "node.kubernetes.io/instance-type": "Standard_D8s_v5",
        "workload": "postgres",
    }
    assert wanted.items() <= labels.items()
    assert nodes[0]["status"]["nodeInfo"]["kubeletVersion"] == "v1.35.2"
    assert "taints" not in nodes[0]["spec"]


async def test_nodes_go_with_their_pool(running: Cluster) -> None:
    set_pools(running, SYSTEM)
    step(running, 30)
    assert len(await names(running, "/api/v1/nodes")) == 1


async def test_nodes_are_upgraded_one_after_the_other(running: Cluster) -> None:
    set_pools(running, SYSTEM, {**POSTGRES, "version": "1.36.1"})

    async def versions() -> list[str]:
        nodes = await running.done("GET", "/api/v1/nodes", labelSelector="agentpool=postgres")
        return sorted(node["status"]["nodeInfo"]["kubeletVersion"] for node in nodes["items"])

    step(running, 45)
    assert len(set(await versions())) == 2
    step(running, 120)
    assert await versions() == ["v1.36.1"] * 3


async def test_deployment_becomes_available_on_the_nodes(running: Cluster) -> None:
    await running.done("POST", "/apis/apps/v1/namespaces/default/deployments", deployment(replicas=3))
    step(running, 2)
    path = "/apis/apps/v1/namespaces/default/deployments/d"
    early = await running.done("GET", path)
    assert conditions(early)["Available"] == "False"
    assert early["status"]["unavailableReplicas"] == 3
    step(running, 60)
    ready = await running.done("GET", path)
    assert conditions(ready) == {"Available": "True", "Progressing": "True"}
    status = ready["status"]
    counts = ("replicas", "readyReplicas", "updatedReplicas", "availableReplicas", "observedGeneration")
    assert [status[name] for name in counts] == [3, 3, 3, 3, 1]
    pods = (await running.done("GET", "/api/v1/namespaces/default/pods", labelSelector="app=d"))["items"]
    assert len({pod["spec"]["nodeName"] for pod in pods}) == 3
    assert {pod["status"]["phase"] for pod in pods} == {"Running"}
    [replica_set] = await names(running, "/apis/apps/v1/namespaces/default/replicasets")
    assert all(pod["metadata"]["name"].startswith(f"{replica_set}-") for pod in pods)


async def test_pods_go_only_where_the_selector_lets_them(running: Cluster) -> None:
    body = deployment(replicas=4)
    body["spec"]["template"]["spec"]["nodeSelector"] = {"workload": "postgres"}
    await running.done("POST", "/apis/apps/v1/namespaces/default/deployments", body)
    step(running, 60)
    pods = (await running.done("GET", "/api/v1/namespaces/default/pods"))["items"]
    assert len(pods) == 4
    assert all(pod["spec"]["nodeName"].startswith("aks-postgres-") for pod in pods)


async def test_unschedulable_pod_says_why_and_waits_for_a_node(emulated: Cluster) -> None:
    set_pools(emulated, SYSTEM)
    step(emulated, 60)
    body = deployment(replicas=1)
    body["spec"]["template"]["spec"]["nodeSelector"] = {"workload": "postgres"}
    await emulated.done("POST", "/apis/apps/v1/namespaces/default/deployments", body)
    step(emulated, 700)
    [pod] = (await emulated.done("GET", "/api/v1/namespaces/default/pods"))["items"]
    assert pod["status"]["phase"] == "Pending"
    [scheduled] = pod["status"]["conditions"]
    assert (scheduled["type"], scheduled["status"], scheduled["reason"]) == (
        "PodScheduled",
        "False",
        "Unschedulable",
    )
    assert scheduled["message"] == (
        "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."
    )
    path = "/apis/apps/v1/namespaces/default/deployments/d"
    stuck = {item["type"]: item for item in (await emulated.done("GET", path))["status"]["conditions"]}
    assert stuck["Progressing"]["reason"] == "ProgressDeadlineExceeded"
    set_pools(emulated, SYSTEM, POSTGRES)
    step(emulated, 120)
    assert conditions(await emulated.done("GET", path)) == {"Available": "True", "Progressing": "True"}


async def test_taints_keep_pods_away_unless_tolerated(emulated: Cluster) -> None:
    set_pools(emulated, {**POSTGRES, "taints": ["dedicated=postgres:NoSchedule"]})
    step(emulated, 60)
    await emulated.done("POST", "/apis/apps/v1/namespaces/default/deployments", deployment("no", 1))
    body = deployment("yes", 1)
    toleration = {"key": "dedicated", "operator": "Equal", "value": "postgres", "effect": "NoSchedule"}
    body["spec"]["template"]["spec"]["tolerations"] = [toleration]
    await emulated.done("POST", "/apis/apps/v1/namespaces/default/deployments", body)
    step(emulated, 60)
    pods = (await emulated.done("GET", "/api/v1/namespaces/default/pods"))["items"]
    found = {pod["metadata"]["labels"]["app"]: pod["status"]["phase"] for pod in pods}
    assert found == {"no": "Pending", "yes": "Running"}


async def test_rollout_keeps_the_old_pods_until_the_new_are_ready(running: Cluster) -> None:
    path = "/apis/apps/v1/namespaces/default/deployments"
    await running.done("POST", path, deployment(replicas=2))
    step(running, 60)
    before = set(await names(running, "/api/v1/namespaces/default/pods"))
    image = {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "image:2"}]}}}}
    await running.done("PATCH", f"{path}/d", image, MERGE)
    step(running, 2)
    during = set(await names(running, "/api/v1/namespaces/default/pods"))
    assert before < during
    assert conditions(await running.done("GET", f"{path}/d"))["Available"] == "True"
    step(running, 60)
    after = set(await names(running, "/api/v1/namespaces/default/pods"))
    assert len(after) == 2
    assert not after & before
    assert len(await names(running, "/apis/apps/v1/namespaces/default/replicasets")) == 2
    made = await running.done("GET", f"{path}/d")
    assert made["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"


async def test_deleted_pod_is_replaced(running: Cluster) -> None:
    await running.done("POST", "/apis/apps/v1/namespaces/default/deployments", deployment(replicas=1))
    step(running, 60)
    [pod] = await names(running, "/api/v1/namespaces/default/pods")
    ending = await running.done("DELETE", f"/api/v1/namespaces/default/pods/{pod}")
    assert ending["metadata"]["deletionGracePeriodSeconds"] == 30
    step(running, 60)
    [other] = await names(running, "/api/v1/namespaces/default/pods")
    assert other != pod


async def test_deployments_pods_go_with_it(running: Cluster) -> None:
    path = "/apis/apps/v1/namespaces/default/deployments"
    await running.done("POST", path, deployment(replicas=2))
    step(running, 60)
    await running.done("DELETE", f"{path}/d")
    assert (await running.send("GET", f"{path}/d")).status == 404
    step(running, 60)
    assert await names(running, "/apis/apps/v1/namespaces/default/replicasets") == []
    assert await names(running, "/api/v1/namespaces/default/pods") == []


async def test_foreground_deletion_waits_for_the_dependants(running: Cluster) -> None:
    path = "/apis/apps/v1/namespaces/default/deployments"
    await running.done("POST", path, deployment(replicas=1))
    step(running, 60)
    ending = await running.done("DELETE", f"{path}/d", {"propagationPolicy": "Foreground"})
    assert ending["metadata"]["finalizers"] == ["foregroundDeletion"]
    assert (await running.send("GET", f"{path}/d")).status == 200
    step(running, 60)
    assert (await running.send("GET", f"{path}/d")).status == 404
    assert await names(running, "/api/v1/namespaces/default/pods") == []


async def test_orphaned_dependants_stay(running: Cluster) -> None:
    path = "/apis/apps/v1/namespaces/default/deployments"
    await running.done("POST", path, deployment(replicas=1))
    step(running, 60)
    await running.done("DELETE", f"{path}/d", {"propagationPolicy": "Orphan"})
    step(running, 60)
    assert (await running.send("GET", f"{path}/d")).status == 404
    [replica_set] = (await running.done("GET", "/apis/apps/v1/namespaces/default/replicasets"))["items"]
    assert "ownerReferences" not in replica_set["metadata"]
    assert len(await names(running, "/api/v1/namespaces/default/pods")) == 1


async def test_monitoring_agents_appear_late_with_a_pod_on_each_node(running: Cluster) -> None:
    assert running.api is not None
    running.api.set_addons(metrics=True, logs=True)
    step(running, 10)
    assert await names(running, "/apis/apps/v1/namespaces/kube-system/daemonsets") == []
    step(running, 240)
    for name in ("ama-metrics-node", "ama-logs"):
        found = await running.done("GET", f"/apis/apps/v1/namespaces/kube-system/daemonsets/{name}")
        counts = ("desiredNumberScheduled", "currentNumberScheduled", "numberReady", "numberAvailable")
        assert [found["status"][count] for count in counts] == [4, 4, 4, 4]
    found = await running.done("GET", "/apis/apps/v1/namespaces/kube-system/deployments/ama-metrics")
    assert conditions(found)["Available"] == "True"
    assert "podmonitors" in [
        item["name"] for item in (await running.done("GET", "/apis/azmonitoring.coreos.com/v1"))["resources"]
    ]
    running.api.set_addons(metrics=True, logs=False)
    step(running, 120)
    left = await names(running, "/apis/apps/v1/namespaces/kube-system/daemonsets")
    assert left == ["ama-metrics-node", "ama-metrics-win-node"]


async def test_daemon_set_follows_the_nodes(running: Cluster) -> None:
    assert running.api is not None
    running.api.set_addons(metrics=False, logs=True)
    step(running, 240)
    set_pools(running, SYSTEM, {**POSTGRES, "count": 5})
    step(running, 120)
    path = "/apis/apps/v1/namespaces/kube-system/daemonsets/ama-logs"
    status = (await running.done("GET", path))["status"]
    assert (status["desiredNumberScheduled"], status["numberReady"]) == (6, 6)
    set_pools(running, SYSTEM)
    step(running, 120)
    status = (await running.done("GET", path))["status"]
    assert (status["desiredNumberScheduled"], status["numberReady"]) == (1, 1)


async def test_namespace_gets_its_furniture_and_ends_empty(emulated: Cluster) -> None:
    await emulated.done("POST", "/api/v1/namespaces", {"metadata": {"name": "n"}})
    step(emulated, 1)
    assert await names(emulated, "/api/v1/namespaces/n/serviceaccounts") == ["default"]
    assert await names(emulated, "/api/v1/namespaces/n/configmaps") == ["kube-root-ca.crt"]
    await emulated.done("DELETE", "/api/v1/namespaces/n")
    step(emulated, 1)
    assert (await emulated.done("GET", "/api/v1/namespaces/n"))["status"]["phase"] == "Terminating"
    step(emulated, 20)
    assert (await emulated.send("GET", "/api/v1/namespaces/n")).status == 404
    await emulated.done("POST", "/api/v1/namespaces", {"metadata": {"name": "n"}})
    step(emulated, 1)
    assert await names(emulated, "/api/v1/namespaces/n/configmaps") == ["kube-root-ca.crt"]


async def test_namespace_hangs_on_an_objects_finalizer_and_says_so(emulated: Cluster) -> None:
    await emulated.done("POST", "/api/v1/namespaces", {"metadata": {"name": "n"}})
    body = {"metadata": {"name": "c", "finalizers": ["example.com/keep"]}}
    await emulated.done("POST", "/api/v1/namespaces/n/configmaps", body)
    await emulated.done("DELETE", "/api/v1/namespaces/n")
    step(emulated, 300)
    hanging = await emulated.done("GET", "/api/v1/namespaces/n")
    messages = {item["type"]: item["message"] for item in hanging["status"]["conditions"]}
    assert messages["NamespaceFinalizersRemaining"] == (
        "Some content in the namespace has finalizers remaining: example.com/keep in 1 resource instances"
    )
    path = "/api/v1/namespaces/n/configmaps/c"
    await emulated.done("PATCH", path, {"metadata": {"finalizers": None}}, MERGE)
    step(emulated, 10)
    assert (await emulated.send("GET", "/api/v1/namespaces/n")).status == 404


async def test_service_lists_its_ready_pods(running: Cluster) -> None:
    body = {"metadata": {"name": "s"}, "spec": {"selector": {"app": "d"}, "ports": [{"port": 80}]}}
    made = await running.done("POST", "/api/v1/namespaces/default/services", body)
    assert made["spec"]["clusterIP"].startswith("10.0.")
    step(running, 5)
    path = "/api/v1/namespaces/default/endpoints/s"
    assert "subsets" not in await running.done("GET", path)
    await running.done("POST", "/apis/apps/v1/namespaces/default/deployments", deployment(replicas=2))
    step(running, 60)
    [subset] = (await running.done("GET", path))["subsets"]
    assert len(subset["addresses"]) == 2
    assert subset["ports"] == [{"port": 80, "protocol": "TCP"}]
    [listed] = (await running.done("GET", "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"))[
        "items"
    ]
    assert {item["conditions"]["ready"] for item in listed["endpoints"]} == {True}


async def install_operator(cluster: Cluster) -> None:
    plurals = {"CustomResourceDefinition": "customresourcedefinitions", "Service": "services"}
    for obj in yaml.safe_load_all(MANIFEST.read_text()):
        version, kind, metadata = obj["apiVersion"], obj["kind"], obj["metadata"]
        prefix = f"/apis/{version}" if "/" in version else f"/api/{version}"
        prefix += f"/namespaces/{metadata['namespace']}" if "namespace" in metadata else ""
        plural = plurals.get(kind, f"{kind.lower()}s")
        answer = await cluster.apply(f"{prefix}/{plural}/{metadata['name']}", obj)
        assert answer.status in (200, 201), answer.body


CLUSTERS = "/apis/postgresql.cnpg.io/v1/namespaces/default/clusters"
POSTGRES_CLUSTER: Json = {
    "apiVersion": "postgresql.cnpg.io/v1",
    "kind": "Cluster",
    "metadata": {"name": "pg"},
    "spec": {"instances": 3, "storage": {"size": "1Gi"}},
}


async def test_operators_webhook_is_refused_then_mistrusted_then_fine(running: Cluster) -> None:
    await install_operator(running)
    seen: list[str] = []
    for _ in range(120):
        step(running, 0.5)
        answer = await running.send("POST", CLUSTERS, POSTGRES_CLUSTER)
        if answer.status == 404:  # The definition isn't served yet.
            continue
        if answer.status == 201:
            break
        assert answer.error == (500, "InternalError")
        text = answer.body["message"]
        url = "https://cnpg-webhook-service.cnpg-system.svc:443/mutate-postgresql-cnpg-io-v1-cluster"
        assert text.startswith(
            'Internal error occurred: failed calling webhook "mcluster.cnpg.io": failed to call webhook: '
            f'Post "{url}?timeout=10s": '
        )
        end = text.rsplit(": ", 1)[-1]
        if end not in seen:
            seen.append(end)
    assert answer.status == 201
    assert seen == ["connection refused", "certificate signed by unknown authority"]
    assert answer.body["spec"]["logLevel"] == "info"
    available = await running.done(
        "GET", "/apis/apps/v1/namespaces/cnpg-system/deployments/cnpg-controller-manager"
    )
    assert conditions(available)["Available"] == "True"
    webhooks = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
    found = await running.done("GET", f"{webhooks}/cnpg-validating-webhook-configuration")
    assert all(item["clientConfig"]["caBundle"] for item in found["webhooks"])


async def test_lost_ca_is_put_back_when_the_operator_restarts(running: Cluster) -> None:
    await install_operator(running)
    step(running, 120)
    webhooks = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
    path = f"{webhooks}/cnpg-mutating-webhook-configuration"
    lost = [{"op": "remove", "path": f"/webhooks/{index}/clientConfig/caBundle"} for index in (0, 1)]
    await running.done("PATCH", path, lost, "application/json-patch+json")
    answer = await running.send("POST", CLUSTERS, POSTGRES_CLUSTER)
    assert answer.error == (500, "InternalError")
    assert answer.body["message"].endswith("x509: certificate signed by unknown authority")
    restart = {
        "spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}}}
    }
    operator = "/apis/apps/v1/namespaces/cnpg-system/deployments/cnpg-controller-manager"
    await running.done("PATCH", operator, restart, MERGE)
    step(running, 120)
    assert (await running.send("POST", CLUSTERS, POSTGRES_CLUSTER)).status == 201


async def test_applying_the_manifest_again_keeps_the_ca(running: Cluster) -> None:
    await install_operator(running)
    step(running, 120)
    await install_operator(running)
    assert (await running.send("POST", CLUSTERS, POSTGRES_CLUSTER)).status == 201


async def test_webhook_of_nobody_refuses_or_is_passed_over(emulated: Cluster) -> None:
    webhook = {
        "name": "x.example.com",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "clientConfig": {"service": {"name": "nobody", "namespace": "default"}},
        "rules": [
            {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}
        ],
    }
    path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
    await emulated.done("POST", path, {"metadata": {"name": "x"}, "webhooks": [webhook]})
    body = {"metadata": {"name": "c"}}
    answer = await emulated.send("POST", "/api/v1/namespaces/default/configmaps", body)
    assert answer.body["message"] == (
        'Internal error occurred: failed calling webhook "x.example.com": failed to call webhook: '
        'service "nobody" not found'
    )
    ignore = [{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}]
    await emulated.done("PATCH", f"{path}/x", ignore, "application/json-patch+json")
    assert (await emulated.send("POST", "/api/v1/namespaces/default/configmaps", body)).status == 201


async def test_pod_logs_are_refused_politely(running: Cluster) -> None:
    await running.done("POST", "/apis/apps/v1/namespaces/default/deployments", deployment(replicas=1))
    step(running, 60)
    [pod] = await names(running, "/api/v1/namespaces/default/pods")
    answer = await running.send("GET", f"/api/v1/namespaces/default/pods/{pod}/log")
    assert answer.error == (501, "NotImplemented")
    assert answer.body["message"] == "the sandbox's Kubernetes API doesn't emulate get of pods/log"


async def test_every_request_is_told_without_secrets(emulated: Cluster) -> None:
    body = {"metadata": {"name": "s"}, "stringData": {"password": "very secret"}}
    await emulated.done("POST", "/api/v1/namespaces/default/secrets", body)
    await emulated.send("GET", "/api/v1/nodes", headers={"Authorization": "Bearer wrong"})
    told, refused = emulated.ledger[-2:]
    assert told["operation"] == "create secrets"
    assert (told["status"], told["principal"], told["cluster"]) == (201, "masterclient", "tests")
    assert "very secret" not in str(told)
    assert (refused["status"], refused["error_code"], refused["principal"]) == (401, "Unauthorized", None)


def test_same_seed_gives_the_same_cluster() -> None:
    def nodes(seed: int) -> list[str]:
        clock = Clock(0.0001)
        api = KubernetesApi("pg", "1.35.2", clock, seed)
        api.set_pools([SYSTEM, POSTGRES])
        clock.step(60)
        return [f"{node['metadata']['name']} {node['metadata']['uid']}" for node in api.store.all("nodes")]

    assert nodes(1) == nodes(1)
    assert nodes(1) != nodes(2)


async def test_kept_cluster_goes_on_where_it_was(emulated: Cluster) -> None:
    assert emulated.api is not None
    set_pools(emulated, SYSTEM, POSTGRES)
    emulated.api.set_addons(metrics=False, logs=True)
    step(emulated, 240)
    await install_operator(emulated)
    step(emulated, 120)
    kept = json.loads(json.dumps(emulated.api.state()))
    clock = Clock(0.0001)
    again = KubernetesApi("tests", "1.35.2", clock, 1, kept=kept)
    assert again.state() == emulated.api.state()
    again.set_pools([SYSTEM, {**POSTGRES, "count": 2}])
    again.set_addons(metrics=False, logs=True)
    clock.step(120)
    assert len(again.store.all("nodes")) == 3
    [agents] = [item for item in again.store.all("daemonsets.apps") if item["metadata"]["name"] == "ama-logs"]
    assert agents["status"]["numberReady"] == 3
    type_ = again.registry.named("clusters.postgresql.cnpg.io")
    body = {**POSTGRES_CLUSTER, "metadata": {"name": "pg", "namespace": "default"}}
    assert again.objects.create(type_, body, "tests")["spec"]["logLevel"] == "info"
    uids = [obj["metadata"]["uid"] for _, obj in again.store.everything()]
    assert len(set(uids)) == len(uids)


async def test_an_operator_that_starts_without_its_definitions_ends_again_and_again(running: Cluster) -> None:
    """https://github.com/cloudnative-pg/cloudnative-pg/issues/1739."""
    await install_operator(running)
    step(running, 120)
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    await running.done("DELETE", f"{definitions}/poolers.postgresql.cnpg.io")
    step(running, 60)
    operator = "/apis/apps/v1/namespaces/cnpg-system/deployments/cnpg-controller-manager"
    assert conditions(await running.done("GET", operator))["Available"] == "True"

    await running.done("DELETE", "/api/v1/namespaces/cnpg-system/pods")
    step(running, 120)
    assert conditions(await running.done("GET", operator))["Available"] == "False"
    [pod] = (await running.done("GET", "/api/v1/namespaces/cnpg-system/pods"))["items"]
    [status] = pod["status"]["containerStatuses"]
    assert status["state"]["waiting"]["reason"] == "CrashLoopBackOff"

    await install_operator(running)
    step(running, 120)
    assert conditions(await running.done("GET", operator))["Available"] == "True"


def spread_deployment(replicas: int, **spec: Any) -> Json:
    constraint = {
        "maxSkew": 1,
        "topologyKey": "topology.kubernetes.io/zone",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "spread"}},
    }
    pod = {"containers": [{"name": "a", "image": "a"}], "topologySpreadConstraints": [constraint], **spec}
    template = {"metadata": {"labels": {"app": "spread"}}, "spec": pod}
    selector = {"matchLabels": {"app": "spread"}}
    return {
        "metadata": {"name": "spread"},
        "spec": {"replicas": replicas, "selector": selector, "template": template},
    }


async def test_spread_and_anti_affinity_keep_pods_apart_or_waiting(running: Cluster) -> None:
    """https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/"""
    namespace = await running.namespace()
    apart = {"labelSelector": {"matchLabels": {"app": "spread"}}, "topologyKey": "kubernetes.io/hostname"}
    rules = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [apart]}}
    more = {"affinity": rules, "nodeSelector": {"agentpool": "postgres"}}
    await running.done(
        "POST", f"/apis/apps/v1/namespaces/{namespace}/deployments", spread_deployment(4, **more)
    )
    step(running, 60)
    pods = (await running.done("GET", f"/api/v1/namespaces/{namespace}/pods"))["items"]
    placed = [pod["spec"]["nodeName"] for pod in pods if pod["spec"].get("nodeName")]
    assert len(placed) == len(set(placed)) == 3
    (waiting,) = (pod for pod in pods if not pod["spec"].get("nodeName"))
    message = waiting["status"]["conditions"][0]["message"]
    assert "3 node(s) didn't match pod anti-affinity rules" in message


@pytest.mark.parametrize(
    ("policy", "provisioner", "phases"),
    [
        ("Delete", "disk.csi.azure.com", []),
        ("Delete", None, ["Released"]),  # One that a person made.
        ("Retain", "disk.csi.azure.com", ["Released"]),
    ],
)
async def test_a_claim_that_goes_takes_its_volume_along_or_releases_it(
    emulated: Cluster, policy: str, provisioner: str | None, phases: list[str]
) -> None:
    """https://kubernetes.io/docs/concepts/storage/persistent-volumes/#reclaiming."""
    claims, volumes = "/api/v1/namespaces/default/persistentvolumeclaims", "/api/v1/persistentvolumes"
    asked = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    made = {
        name: await emulated.done(
            "POST", claims, {"metadata": {"name": name}, "spec": {**asked, "volumeName": "pv-1"}}
        )
        for name in ("mine", "another")
    }
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "capacity": {"storage": "1Gi"},
        "claimRef": {"namespace": "default", "name": "mine", "uid": made["mine"]["metadata"]["uid"]},
        "csi": {"driver": "disk.csi.azure.com", "volumeHandle": "a"},
        "persistentVolumeReclaimPolicy": policy,
    }
    about: Json = {"name": "pv-1"}
    if provisioner:
        about["annotations"] = {"pv.kubernetes.io/provisioned-by": provisioner}
    await emulated.done("POST", volumes, {"metadata": about, "spec": spec})
    await emulated.done("DELETE", f"{claims}/another")
    step(emulated, 10)
    assert await names(emulated, volumes) == ["pv-1"]
    await emulated.done("DELETE", f"{claims}/mine")
    step(emulated, 10)
    left = (await emulated.done("GET", volumes))["items"]
    assert [one["status"]["phase"] for one in left] == phases
