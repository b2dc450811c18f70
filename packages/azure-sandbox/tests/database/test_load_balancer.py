"""A Service of type LoadBalancer on a static public IP: it leads to the primary, and lets in whom its ranges name.

https://learn.microsoft.com/azure/aks/static-ip and https://cloud-provider-azure.sigs.k8s.io/topics/loadbalancer/
"""

from __future__ import annotations

from typing import Any

import pytest

from .test_backups import IMAGE, Environment, env, until

__all__ = ["env"]

Json = dict[str, Any]
CLUSTER = "/apis/postgresql.cnpg.io/v1/namespaces/db/clusters/pg"
SERVICES = "/api/v1/namespaces/db/services"
MERGE = "application/merge-patch+json"


def spec(env: Environment, ip_name: str, *ranges: str) -> Json:
    """A Cluster with a public Service."""
    annotations = {
        "service.beta.kubernetes.io/azure-load-balancer-resource-group": env.azure.group,
        "service.beta.kubernetes.io/azure-pip-name": ip_name,
    }
    service = {"type": "LoadBalancer", "loadBalancerSourceRanges": list(ranges)}
    template = {"metadata": {"name": "pg-public", "annotations": annotations}, "spec": service}
    return {
        "instances": 2,
        "imageName": IMAGE,
        "storage": {"size": "1Gi"},
        "bootstrap": {"initdb": {"database": "appdb", "owner": "app"}},
        "managed": {"services": {"additional": [{"selectorType": "rw", "serviceTemplate": template}]}},
    }


@pytest.fixture(scope="module")
def public(env: Environment) -> tuple[Environment, str]:
    """A healthy Cluster whose Service has the public IP; the address."""
    azure = env.azure
    wanted = {
        "location": azure.region,
        "sku": {"name": "Standard"},
        "properties": {"publicIPAllocationMethod": "Static"},
    }
    poller = azure.network.public_ip_addresses.begin_create_or_update(azure.group, "ip-pg", wanted)
    azure.step(60)
    address = str(poller.result().ip_address)
    here = azure.control("GET", "/sandbox/settings")["egress_address"]
    env.make("clusters", "pg", spec(env, "ip-pg", f"{here}/32"))
    until(lambda: (env.get("clusters", "pg").get("status") or {}).get("phase") == "Cluster in healthy state")
    return env, address


def ingress(env: Environment, name: str = "pg-public") -> list[str]:
    status = env.send("GET", f"{SERVICES}/{name}").get("status") or {}
    return [item["ip"] for item in (status.get("loadBalancer") or {}).get("ingress") or []]


def answers(env: Environment, wanted: str) -> bool:
    return "pg-public" in env.services() and env.ask("pg-public", "select pg_is_in_recovery()") == wanted


def test_the_service_has_the_address_and_leads_to_the_primary(public: tuple[Environment, str]) -> None:
    env, address = public
    assert until(lambda: ingress(env)) == [address]
    until(lambda: answers(env, "f"))


def test_who_isnt_in_the_ranges_is_not_let_in(public: tuple[Environment, str]) -> None:
    env, _ = public
    here = env.azure.control("GET", "/sandbox/settings")["egress_address"]
    until(lambda: answers(env, "f"))
    env.azure.set(egress_address="198.51.100.7")
    assert "failed" in env.ask("pg-public", "select 1")
    assert env.ask("pg-rw", "select 1") == "1"  # Nobody comes to this one from outside.
    env.azure.set(egress_address=here)
    until(lambda: answers(env, "f"))
    env.send("PATCH", CLUSTER, {"spec": spec(env, "ip-pg", "198.51.100.0/24")}, MERGE)
    until(lambda: "failed" in env.ask("pg-public", "select 1"))
    env.send("PATCH", CLUSTER, {"spec": spec(env, "ip-pg", f"{here}/32", "198.51.100.0/24")}, MERGE)
    until(lambda: answers(env, "f"))


def test_it_follows_the_primary(public: tuple[Environment, str]) -> None:
    env, address = public
    until(lambda: answers(env, "f"))
    asked = "select inet_server_addr()"
    before = env.ask("pg-public", asked)
    old = env.get("clusters", "pg")["status"]["currentPrimary"]
    new = {"pg-1": "pg-2", "pg-2": "pg-1"}[old]
    env.send("PATCH", f"{CLUSTER}/status", {"status": {"targetPrimary": new}}, MERGE)
    until(lambda: env.get("clusters", "pg")["status"]["currentPrimary"] == new)
    until(lambda: answers(env, "f"))
    assert env.ask("pg-public", asked) != before
    assert ingress(env) == [address]


def test_a_service_whose_address_isnt_there_stays_pending(public: tuple[Environment, str]) -> None:
    env, _ = public
    annotations = {"service.beta.kubernetes.io/azure-pip-name": "ip-none"}
    body = {
        "metadata": {"name": "pending", "annotations": annotations},
        "spec": {"type": "LoadBalancer", "selector": {"cnpg.io/cluster": "pg"}, "ports": [{"port": 5432}]},
    }
    env.send("POST", SERVICES, body)
    until(lambda: "pending" in env.services())
    assert ingress(env, "pending") == []
