import asyncio
import base64
import socket
import ssl
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from kubernetes import client, config
from urllib3.exceptions import ProtocolError


def connect(azure, name="c1"):
    return config.new_client_from_config_dict(azure.kubeconfig(name))


def nodes(azure):
    with connect(azure) as api:
        return client.CoreV1Api(api).list_node().items


def test_the_kubeconfig_works_as_it_is(azure):
    azure.create()
    document = azure.kubeconfig()
    assert document["clusters"][0]["cluster"]["server"].startswith("https://localhost:")
    authority = base64.b64decode(document["clusters"][0]["cluster"]["certificate-authority-data"])
    assert authority.startswith(b"-----BEGIN CERTIFICATE-----")
    assert document["users"][0]["name"] == "clusterUser_rg1_c1"
    assert document["current-context"] == "c1"
    with connect(azure) as api:
        names = {item.metadata.name for item in client.CoreV1Api(api).list_namespace().items}
        assert client.VersionApi(api).get_code().git_version.startswith("v1.35.")
    assert {"default", "kube-system"} <= names


def test_nodes_carry_their_pool_and_their_zone(azure):
    azure.create()
    azure.add_pool(nodeLabels={"workload": "postgres"})
    azure.step(300)
    found = nodes(azure)
    labels = [node.metadata.labels for node in found]
    postgres = [item for item in labels if item["agentpool"] == "postgres"]
    assert (len(labels), len(postgres)) == (6, 3)
    assert {item["topology.kubernetes.io/zone"] for item in postgres} == {
        "canadacentral-1",
        "canadacentral-2",
        "canadacentral-3",
    }
    assert {item["workload"] for item in postgres} == {"postgres"}


def ready(azure):
    conditions = [
        {item.type: item.status for item in node.status.conditions}["Ready"] for node in nodes(azure)
    ]
    return conditions.count("True")


def test_nodes_are_ready_when_the_operation_that_made_them_is_done(azure):
    azure.create()
    assert ready(azure) == 3
    azure.add_pool()
    assert ready(azure) == 6


def test_a_deleted_pool_takes_its_nodes_with_it(azure):
    azure.create()
    azure.add_pool()
    poller = azure.pools.begin_delete(azure.group, "c1", "postgres")
    azure.step(1200)
    poller.result()
    azure.step(300)
    assert {node.metadata.labels["agentpool"] for node in nodes(azure)} == {"systempool"}


def answers(azure, name="c1"):
    """Whether a TLS handshake with the API server comes about."""
    document = azure.kubeconfig(name)
    server = urlsplit(document["clusters"][0]["cluster"]["server"])
    with socket.create_connection((server.hostname, server.port), timeout=0.5) as raw:
        try:
            with ssl._create_unverified_context().wrap_socket(raw):
                return True
        except (TimeoutError, ssl.SSLError, ConnectionResetError):
            return False


def test_the_api_answers_nobody_before_the_cluster_is_ready(azure):
    azure.begin_create()
    azure.step(100)
    assert not answers(azure)
    azure.step(600)
    assert answers(azure)


def test_callers_outside_the_authorized_ranges_get_no_tls_answer(azure):
    """azure-docs#65228: a connect time-out, not a 403."""
    azure.create(apiServerAccessProfile={"authorizedIPRanges": ["52.1.2.3"]})
    assert not answers(azure)


def test_a_change_of_the_ranges_works_after_up_to_two_minutes(azure):
    """https://learn.microsoft.com/azure/aks/api-server-authorized-ip-ranges."""
    azure.create(apiServerAccessProfile={"authorizedIPRanges": ["52.1.2.3"]})
    azure.set(durations={"aks_authorized_ranges": 100})
    cluster = azure.clusters.get(azure.group, "c1")
    assert cluster.api_server_access_profile.authorized_ip_ranges == ["52.1.2.3/32"]
    cluster.api_server_access_profile.authorized_ip_ranges.append("20.51.0.0/16")
    poller = azure.clusters.begin_create_or_update(azure.group, "c1", cluster)
    operation = azure.operations()[-1]
    azure.step(operation["ends_s"] - operation["started_s"] + 1)
    poller.result()
    assert not answers(azure)
    azure.step(101)
    assert answers(azure)


def test_the_callers_address_can_move_out_of_the_ranges(azure):
    azure.create(apiServerAccessProfile={"authorizedIPRanges": ["20.51.7.9/32"]})
    assert answers(azure)
    azure.set(egress_address="20.51.7.10")
    azure.step(30)
    assert not answers(azure)


def daemon_sets(azure):
    with connect(azure) as api:
        found = client.AppsV1Api(api).list_namespaced_daemon_set("kube-system").items
    return {item.metadata.name for item in found} & {"ama-logs", "ama-metrics-node"}


def associate(azure):
    base = f"/subscriptions/{azure.subscription}/resourceGroups/{azure.group}/providers"
    rule = f"{base}/Microsoft.Insights/dataCollectionRules/rule"
    workspace = f"{base}/Microsoft.Monitor/accounts/amw"
    azure.control("PUT", "/sandbox/settings", {"registered": {"Microsoft.Monitor": True}})
    status, _, _ = azure.raw("PUT", f"{workspace}?api-version=2023-04-03", {"location": azure.region})
    assert status in (200, 201)
    endpoint = f"{base}/Microsoft.Insights/dataCollectionEndpoints/endpoint"
    body = {"location": azure.region, "kind": "Linux", "properties": {}}
    assert azure.raw("PUT", f"{endpoint}?api-version=2022-06-01", body)[0] in (200, 201)
    body = {
        "location": azure.region,
        "kind": "Linux",
        "properties": {
            "dataCollectionEndpointId": endpoint,
            "dataSources": {
                "prometheusForwarder": [
                    {
                        "name": "PrometheusDataSource",
                        "streams": ["Microsoft-PrometheusMetrics"],
                        "labelIncludeFilter": {},
                    }
                ]
            },
            "destinations": {
                "monitoringAccounts": [{"accountResourceId": workspace, "name": "MonitoringAccount1"}]
            },
            "dataFlows": [
                {"streams": ["Microsoft-PrometheusMetrics"], "destinations": ["MonitoringAccount1"]}
            ],
        },
    }
    assert azure.raw("PUT", f"{rule}?api-version=2022-06-01", body)[0] in (200, 201)
    cluster = azure.cluster_path().partition("?")[0]
    name = "Microsoft.Insights/dataCollectionRuleAssociations/ContainerInsightsMetricsExtension"
    body = {"properties": {"dataCollectionRuleId": rule}}
    path = f"{cluster}/providers/{name}?api-version=2022-06-01"
    assert azure.raw("PUT", path, body)[0] in (200, 201)


def test_metrics_agents_need_the_profile_and_the_association(azure):
    """AKS#5229: without the rule's association the agents don't come to rest."""
    azure.create(azureMonitorProfile={"metrics": {"enabled": True}})
    azure.step(600)
    assert daemon_sets(azure) == set()
    associate(azure)
    azure.step(400)
    assert daemon_sets(azure) == {"ama-metrics-node"}


def test_the_log_agent_comes_minutes_after_the_add_on_and_goes_with_it(azure):
    base = f"/subscriptions/{azure.subscription}/resourceGroups/{azure.group}/providers"
    workspace = f"{base}/Microsoft.OperationalInsights/workspaces/ala-cnpg"
    body = {"location": azure.region, "properties": {"sku": {"name": "PerGB2018"}}}
    assert azure.raw("PUT", f"{workspace}?api-version=2025-02-01", body)[0] == 201
    azure.step(60)
    azure.create()
    cluster = azure.clusters.get(azure.group, "c1")
    config_ = {"logAnalyticsWorkspaceResourceID": workspace, "useAADAuth": "true"}
    cluster.addon_profiles = {"omsagent": {"enabled": True, "config": config_}}
    poller = azure.clusters.begin_create_or_update(azure.group, "c1", cluster)
    azure.step(130)
    cluster = poller.result()
    assert daemon_sets(azure) == set()
    azure.step(300)
    assert daemon_sets(azure) == {"ama-logs"}
    # The other view of the add-on comes along from the read, and wins: nothing is switched off, and no error says so.
    cluster.addon_profiles["omsagent"].enabled = False
    poller = azure.clusters.begin_create_or_update(azure.group, "c1", cluster)
    azure.step(300)
    cluster = poller.result()
    assert cluster.addon_profiles["omsagent"].enabled is True
    assert daemon_sets(azure) == {"ama-logs"}
    cluster.azure_monitor_profile.container_insights.enabled = False
    poller = azure.clusters.begin_create_or_update(azure.group, "c1", cluster)
    azure.step(300)
    assert poller.result().addon_profiles["omsagent"].enabled is False
    assert daemon_sets(azure) == set()


def test_a_deleted_cluster_closes_its_port(azure):
    azure.create()
    server = urlsplit(azure.kubeconfig()["clusters"][0]["cluster"]["server"])
    poller = azure.clusters.begin_delete(azure.group, "c1")
    azure.step(700)
    poller.result()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((server.hostname, server.port), timeout=0.5)


def test_static_credentials_can_be_switched_off(azure):
    """caf-terraform-landingzones#416."""
    azure.create(disableLocalAccounts=True)
    error = azure.refused(azure.clusters.list_cluster_admin_credentials, azure.group, "c1")
    assert error.error.code == "BadRequest"
    assert error.error.message.startswith("Getting static credential is not allowed")


def test_requests_to_the_kubernetes_api_are_in_the_ledger(azure):
    azure.create()
    nodes(azure)
    (entry,) = azure.ledger(service="kubernetes", operation="list nodes")
    assert (entry["cluster"], entry["status"], entry["method"]) == ("c1", 200, "GET")


def test_faults_can_be_ordered_for_the_kubernetes_api(azure):
    azure.create()
    azure.order("list nodes", {"status": 500, "code": "InternalError"}, service="kubernetes")
    with connect(azure) as api, pytest.raises(client.ApiException) as caught:
        client.CoreV1Api(api).list_node()
    assert caught.value.status == 500
    assert len(nodes(azure)) == 3
    assert [entry["status"] for entry in azure.ledger(service="kubernetes")] == [500, 200]


def test_a_connection_can_be_cut_after_the_write_acted(azure):
    azure.create()
    azure.order("create namespaces", {"cut": "after"}, service="kubernetes")
    with connect(azure) as api:
        api.rest_client.pool_manager.connection_pool_kw["retries"] = False
        core = client.CoreV1Api(api)
        with pytest.raises(ProtocolError):
            core.create_namespace({"metadata": {"name": "cnpg-system"}})
        assert core.read_namespace("cnpg-system").status.phase == "Active"


def test_a_cluster_that_is_kept_over_a_restart_answers_at_its_old_port_with_what_was_in_it(own_azure):
    with own_azure("--persist") as azure:
        azure.set(durations={"aks_cluster_create_answer": 0})
        azure.resources.resource_groups.create_or_update(azure.group, {"location": azure.region})
        azure.create()
        before = azure.kubeconfig()
        with connect(azure) as api:
            made = client.CoreV1Api(api).create_namespace({"metadata": {"name": "n"}})
            azure.step(5)
            trusted = client.CoreV1Api(api).read_namespaced_config_map("kube-root-ca.crt", "n").data["ca.crt"]
        assert trusted.encode() == Path(azure.facts["ca_file"]).read_bytes()
    with own_azure("--persist") as azure:
        assert azure.kubeconfig() == before
        azure.step(60)
        assert len(nodes(azure)) == 3
        with connect(azure) as api:
            assert client.CoreV1Api(api).read_namespace("n").metadata.uid == made.metadata.uid


async def test_two_clusters_have_ports_and_tokens_of_their_own(azure):
    await asyncio.to_thread(azure.create)
    await asyncio.to_thread(azure.create, "c2")
    one, two = azure.kubeconfig(), azure.kubeconfig("c2")
    assert one["clusters"][0]["cluster"]["server"] != two["clusters"][0]["cluster"]["server"]
    one["clusters"][0]["cluster"] = two["clusters"][0]["cluster"]
    with config.new_client_from_config_dict(one) as api, pytest.raises(client.ApiException) as caught:
        client.CoreV1Api(api).list_node()
    assert caught.value.status == 401
