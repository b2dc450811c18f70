"""Bodies that make no sense are refused with AKS's form, never a failure of the sandbox."""

import copy

import pytest

JUNK = [None, True, 7, -1, 1.5, "x", "", [], [None], ["x"], {}, {"x": 1}, [[1]], {"x": None}]


def paths(value, path=()):
    """Every place in a JSON value."""
    if path:
        yield path
    children = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, child in children:
        yield from paths(child, (*path, key))


def changed(body, path, value):
    body = copy.deepcopy(body)
    where = body
    for step in path[:-1]:
        where = where[step]
    where[path[-1]] = value
    return body


def test_no_body_of_a_cluster_breaks_the_sandbox(azure):
    azure.set(throttling=False, busy_lock=False)
    body = azure.body(
        kubernetesVersion="1.35",
        oidcIssuerProfile={"enabled": True},
        apiServerAccessProfile={"authorizedIPRanges": ["20.51.7.9"]},
        azureMonitorProfile={"metrics": {"enabled": False}},
        addonProfiles={"azurepolicy": {"enabled": False, "config": {"a": "b"}}},
        upgradeSettings={},
        tags={"a": "b"},
    )
    body["properties"]["agentPoolProfiles"][0] |= {
        "nodeLabels": {"a": "b"},
        "nodeTaints": ["a=b:NoSchedule"],
        "upgradeSettings": {"maxSurge": "10%"},
        "enableAutoScaling": True,
        "minCount": 2,
        "maxCount": 3,
    }
    body["properties"]["networkProfile"] |= {"serviceCidr": "10.0.0.0/16", "podCidr": "10.244.0.0/16"}
    seen = set()
    for number, path in enumerate(paths(body)):
        for value in JUNK:
            status, answer, _ = azure.raw("PUT", azure.cluster_path(f"c{number}"), changed(body, path, value))
            assert status in (200, 201, 400, 409), (path, value, status, answer)
            assert "SandboxError" not in str(answer)
            seen.add(status)
    assert {201, 400} <= seen


def test_no_body_of_a_pool_breaks_the_sandbox(azure):
    azure.set(throttling=False, busy_lock=False, quota={"standardDSv5Family": 100000, "cores": 100000})
    azure.create()
    pool = azure.pool(
        enableAutoScaling=True,
        minCount=3,
        maxCount=6,
        nodeLabels={"a": "b"},
        nodeTaints=["a=b:NoSchedule"],
        upgradeSettings={"maxSurge": "33%"},
        orchestratorVersion="1.35",
    )
    for number, path in enumerate(paths({"properties": pool})):
        for value in JUNK:
            body = changed({"properties": pool}, path, value)
            at = azure.cluster_path().replace("?", f"/agentPools/p{number}?")
            status, answer, _ = azure.raw("PUT", at, body)
            assert status in (200, 201, 400), (path, value, status, answer)
    azure.step(3600)
    assert azure.clusters.get(azure.group, "c1").provisioning_state == "Succeeded"


def test_no_body_of_an_address_breaks_the_sandbox(azure):
    body = {
        "location": azure.region,
        "sku": {"name": "Standard", "tier": "Regional"},
        "zones": ["1"],
        "properties": {
            "publicIPAllocationMethod": "Static",
            "idleTimeoutInMinutes": 4,
            "dnsSettings": {"domainNameLabel": "a"},
        },
    }
    base = f"/subscriptions/{azure.subscription}/resourceGroups/{azure.group}/providers"
    for number, path in enumerate(paths(body)):
        for index, value in enumerate(JUNK):
            at = f"{base}/Microsoft.Network/publicIPAddresses/a{number}-{index}?api-version=2026-03-01"
            status, answer, _ = azure.raw("PUT", at, changed(body, path, value))
            assert status in (201, 400), (path, value, status, answer)


@pytest.mark.parametrize(
    ("path", "value", "code"),
    [
        (("properties", "agentPoolProfiles"), "x", "UnmarshalError"),
        (("properties", "agentPoolProfiles", 0, "count"), "3", "UnmarshalError"),
        (("properties", "networkProfile", "serviceCidr"), "10.0.0.0/33", "InvalidParameter"),
        (("properties", "kubernetesVersion"), "latest", "InvalidParameter"),
        (("properties", "agentPoolProfiles", 0, "mode"), "Sys", "InvalidParameter"),
    ],
)
def test_a_wrong_shape_has_its_code(azure, path, value, code):
    status, answer, _ = azure.raw("PUT", azure.cluster_path(), changed(azure.body(), path, value))
    assert (status, answer["code"]) == (400, code)
