"""Never a crash: whatever is sent to whatever is emulated, the answer is Azure's or a plain 501."""

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest

from azure_sandbox.client import SandboxProcess
from azure_sandbox.core.provider import Route
from azure_sandbox.server.routing import Router

ROUTER = Router()
NAMESPACES = (
    "Microsoft.Resources",
    "Microsoft.Authorization",
    "Microsoft.ManagedIdentity",
    "Microsoft.Storage",
    "Microsoft.OperationalInsights",
    "Microsoft.Monitor",
    "Microsoft.Insights",
    "Microsoft.AlertsManagement",
    "Microsoft.Dashboard",
    "Microsoft.ContainerService",
    "Microsoft.Compute",
    "Microsoft.Network",
)
JUNK: tuple[Any, ...] = (None, 5, "x", [1], {"a": 1}, [{"name": 5}], [None])


def routes() -> Iterator[Route]:
    for provider in ROUTER.providers:
        yield from provider.routes


def path_of(route: Route, subscription: str, group: str) -> str:
    segments = []
    for segment in route.pattern.split("/"):
        known = {"{subscription}": subscription.rsplit("/", 1)[-1], "{group}": "rg-test"}
        segments.append(known.get(segment, "thing1" if segment.startswith("{") else segment))
    below = "/".join(segments)
    if route.scope == "path":
        return "/" + below
    scope = {"group": group, "any": group, "subscription": subscription, "tenant": ""}[route.scope]
    return f"{scope}/providers/{route.provider.namespace}/{below}"


def version_of(route: Route) -> str:
    kind = ROUTER.type(f"{route.provider.namespace}/{route.type_name}")
    assert kind is not None, f"{route.operation}: {route.type_name} isn't declared"
    return kind.api_versions[-1]


def bodies() -> Iterator[Any]:
    base: dict[str, Any] = {
        "location": "canadacentral",
        "kind": "StorageV2",
        "sku": {"name": "Standard_ZRS"},
        "identity": {"type": "SystemAssigned"},
        "properties": {
            "scopes": ["/x"],
            "rules": [{"record": "a", "expression": "b"}],
            "destinations": {"logAnalytics": [{"name": "l", "workspaceResourceId": "/x"}]},
            "dataFlows": [{"streams": ["s"], "destinations": ["l"]}],
            "issuer": "i",
            "subject": "s",
            "audiences": ["a"],
            "level": "ReadOnly",
            "roleDefinitionId": "/x/acdd72a7-3385-48ef-bd42-f606fba81ae7",
            "principalId": "p",
            "principalType": "User",
            "tags": {"a": "b"},
            "encryption": {"services": {}},
            "networkAcls": {"defaultAction": "Allow"},
            "grafanaIntegrations": {"azureMonitorWorkspaceIntegrations": []},
            "zoneRedundancy": "Enabled",
            "dataCollectionRuleId": "/x",
            "dataCollectionEndpointId": "/y",
        },
        "name": "abc",
        "operation": "Merge",
        "tags": {"a": "b"},
    }
    yield base
    for name, junk in itertools.product(base, JUNK):
        yield {**base, name: junk}
    for name, junk in itertools.product(base["properties"], JUNK):
        yield {**base, "properties": {**base["properties"], name: junk}}


def test_every_provider_module_loads_and_declares_its_types() -> None:
    for route in routes():
        assert version_of(route)
    assert {provider.namespace for provider in ROUTER.providers} >= set(NAMESPACES)


# Five has no factor in common with the seven kinds of junk, so that each is met.
@pytest.mark.parametrize("every_nth", [5, pytest.param(1, marks=pytest.mark.thorough)])
@pytest.mark.parametrize("namespace", NAMESPACES)
def test_no_body_makes_it_fail(sandbox: SandboxProcess, group: str, namespace: str, every_nth: int) -> None:
    sandbox.settings(throttling=False)
    sandbox.control("POST", "clock", {"speed": 1_000_000})
    failed = []
    for route in routes():
        if route.provider.namespace != namespace or route.method in ("GET", "HEAD", "DELETE"):
            continue
        if route.operation in ("Providers_Unregister",):
            continue
        path, version = path_of(route, sandbox.subscription, group), version_of(route)
        for body in itertools.islice(bodies(), 0, None, every_nth):
            answer = sandbox.arm(route.method, path, body, api_version=version)
            if "SandboxError" in answer.text or (answer.status_code >= 500 and answer.status_code != 501):
                failed.append((route.operation, answer.status_code, json.dumps(body)[:300]))
                break
        sandbox.arm("DELETE", path, api_version=version)
        for scope in (group, sandbox.subscription):
            sandbox.arm(
                "DELETE", f"{scope}/providers/Microsoft.Authorization/locks/thing1", api_version="2020-05-01"
            )
        sandbox.arm("PUT", group, {"location": "canadacentral"}, api_version="2024-11-01")
    assert failed == []


def test_no_read_makes_it_fail(sandbox: SandboxProcess, group: str) -> None:
    sandbox.settings(throttling=False)
    for route in routes():
        if route.method not in ("GET", "HEAD"):
            continue
        path = path_of(route, sandbox.subscription, group)
        for query in ("", "&$filter=nonsense", "&$filter=name eq 'a'", "&$expand=x", "&$top=x"):
            answer = sandbox.arm(route.method, f"{path}?api-version={version_of(route)}{query}")
            assert "SandboxError" not in answer.text, (route.operation, query)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "//",
        "/subscriptions",
        "/subscriptions/",
        "/providers",
        "/providers/",
        "/providers/x",
        "/subscriptions/x/providers/y/z/..//%00/%ff",
        "/subscriptions/x/resourceGroups",
        "/blob",
        "/blob/",
        "/blob/none/x",
        "/v1.0/",
        "/v1.0/users",
        "/common/discovery/instance",
        "/x/oauth2/v2.0/token",
        "/sandbox/",
        "/sandbox/nothing",
        "/" + "a" * 5000,
    ],
)
@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "HEAD"])
def test_no_path_makes_it_fail(sandbox: SandboxProcess, method: str, path: str) -> None:
    answer = sandbox.arm(method, path, raw=b"\x00{", api_version="2024-11-01")
    assert "SandboxError" not in answer.text
    assert answer.status_code < 500 or answer.status_code == 501


def test_a_body_above_four_megabytes_is_413(sandbox: SandboxProcess, group: str) -> None:
    """https://learn.microsoft.com/azure/azure-resource-manager/management/azure-subscription-service-limits"""
    answer = sandbox.arm("PUT", group, raw=b"x" * (4 * 1024 * 1024 + 1), api_version="2024-11-01")
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "RequestEntityTooLarge")
