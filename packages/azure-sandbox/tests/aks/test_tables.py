"""Sizes, quota, versions and public addresses, as their providers answer."""

import pytest


def skus(azure, location):
    path = f"/subscriptions/{azure.subscription}/providers/Microsoft.Compute/skus?api-version=2021-07-01"
    status, body, _ = azure.raw("GET", f"{path}&$filter=location%20eq%20'{location}'")
    assert status == 200
    return {item["name"]: item for item in body["value"] if item["resourceType"] == "virtualMachines"}


def test_a_size_has_its_family_its_vcpus_and_its_zones(azure):
    """https://learn.microsoft.com/rest/api/compute/resource-skus/list."""
    size = skus(azure, "canadacentral")["Standard_D4s_v5"]
    assert (size["family"], size["locations"]) == ("standardDSv5Family", ["canadacentral"])
    capabilities = {item["name"]: item["value"] for item in size["capabilities"]}
    assert (capabilities["vCPUs"], capabilities["MemoryGB"]) == ("4", "16")
    assert size["locationInfo"][0]["zones"] == ["1", "2", "3"]
    assert size["restrictions"] == []


def test_a_size_that_may_not_be_used_is_listed_with_its_restriction(azure):
    """https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/error-sku-not-available."""
    restrictions = skus(azure, "eastus")["Standard_D4s_v3"]["restrictions"]
    assert [(item["type"], item["reasonCode"]) for item in restrictions] == [
        ("Location", "NotAvailableForSubscription"),
        ("Zone", "NotAvailableForSubscription"),
    ]


def test_a_zone_that_is_closed_is_listed_as_such(azure):
    (restriction,) = skus(azure, "eastus2")["Standard_D4s_v3"]["restrictions"]
    assert (restriction["type"], restriction["restrictionInfo"]["zones"]) == ("Zone", ["2"])


def test_a_size_that_isnt_offered_isnt_listed(azure):
    assert "Standard_D4s_v6" not in skus(azure, "brazilsouth")
    assert "Standard_D4s_v6" in skus(azure, "canadacentral")


def usages(azure, namespace, version):
    path = f"/subscriptions/{azure.subscription}/providers/{namespace}/locations/canadacentral/usages"
    _, body, _ = azure.raw("GET", f"{path}?api-version={version}")
    return {item["name"]["value"]: (item["currentValue"], item["limit"]) for item in body["value"]}


def test_the_nodes_of_clusters_use_the_quota_of_their_family(azure):
    azure.set(quota={"standardDSv5Family": 40})
    azure.create()
    found = usages(azure, "Microsoft.Compute", "2024-11-01")
    assert found["standardDSv5Family"] == (12, 40)
    assert found["cores"] == (12, 350)
    assert found["standardDSv3Family"] == (0, 100)


def test_versions_are_those_of_november_2026(azure):
    """The AKS calendar: https://learn.microsoft.com/azure/aks/supported-kubernetes-versions."""
    found = azure.clusters.list_kubernetes_versions(azure.region).values_property
    plans = {item.version: item.capabilities.support_plan for item in found}
    assert plans["1.32"] == plans["1.33"] == ["AKSLongTermSupport"]
    assert all("KubernetesOfficial" in plans[version] for version in ("1.34", "1.35", "1.36"))
    assert [item.version for item in found if item.is_default] == ["1.35"]
    assert [item.version for item in found if item.is_preview] == ["1.37"]
    newest = max(found[-1].patch_versions, key=lambda text: [int(part) for part in text.split(".")])
    assert newest.startswith("1.32.")


def address(azure, **properties):
    zones = properties.pop("zones", ["1", "2", "3"])
    return {
        "location": properties.pop("location", azure.region),
        "sku": {"name": "Standard"},
        "zones": zones,
        "properties": {"publicIPAllocationMethod": "Static", "idleTimeoutInMinutes": 4, **properties},
    }


def ip_path(azure, name="pip"):
    base = f"/subscriptions/{azure.subscription}/resourceGroups/{azure.group}"
    return f"{base}/providers/Microsoft.Network/publicIPAddresses/{name}?api-version=2026-03-01"


def test_a_public_address_is_updating_for_a_moment_and_then_has_its_number(azure):
    """azure-powershell, TestPublicIpAddressZones.json: 201, Updating, Azure-AsyncOperation, Retry-After 1.

    https://github.com/Azure/azure-cli (recording test_network_public_ip_zone.yaml).
    """
    status, body, headers = azure.raw("PUT", ip_path(azure), address(azure))
    assert (status, body["properties"]["provisioningState"]) == (201, "Updating")
    assert "ipAddress" not in body["properties"]
    assert (
        "/providers/Microsoft.Network/locations/canadacentral/operations/" in headers["azure-asyncoperation"]
    )
    assert headers["retry-after"] == "1"
    azure.step(4)
    _, first, _ = azure.raw("GET", ip_path(azure))
    assert first["properties"]["ipAddress"].startswith("20.")
    assert azure.raw("PUT", ip_path(azure), address(azure))[0] == 200
    azure.step(4)
    _, again, _ = azure.raw("GET", ip_path(azure))
    assert again["properties"]["ipAddress"] == first["properties"]["ipAddress"]


def test_a_bare_put_of_an_address_wipes_its_label_and_tags(azure):
    """PUT replaces: what the cloud controller wrote is lost."""
    azure.raw("PUT", ip_path(azure), address(azure, dnsSettings={"domainNameLabel": "pg"}))
    azure.step(4)
    _, body, _ = azure.raw("GET", ip_path(azure))
    assert body["properties"]["dnsSettings"]["fqdn"] == "pg.canadacentral.cloudapp.azure.com"
    azure.raw("PUT", ip_path(azure), address(azure))
    azure.step(4)
    _, body, _ = azure.raw("GET", ip_path(azure))
    assert "dnsSettings" not in body["properties"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"location": "westus"}, "InvalidAvailabilityZone"),
        ({"publicIPAllocationMethod": "Dynamic"}, "PublicIPAddressWithStandardSkuMustBeStatic"),
        ({"location": "atlantis"}, "LocationNotAvailableForResourceType"),
    ],
)
def test_a_public_address_that_cant_be_is_refused(azure, change, code):
    status, body, _ = azure.raw("PUT", ip_path(azure), address(azure, **change))
    assert (status, body["error"]["code"]) == (400, code)
    assert azure.raw("GET", ip_path(azure))[0] == 404


def test_the_zones_of_an_address_stay(azure):
    azure.raw("PUT", ip_path(azure), address(azure))
    azure.step(4)
    status, body, _ = azure.raw("PUT", ip_path(azure), address(azure, zones=["1"]))
    assert (status, body["error"]["code"]) == (400, "ResourceAvailabilityZonesCannotBeModified")


def test_the_quota_of_addresses_is_kept(azure):
    """error-code-publicipcountlimitreached."""
    azure.set(quota={"StaticPublicIPAddresses": 1})
    assert azure.raw("PUT", ip_path(azure), address(azure))[0] == 201
    status, body, _ = azure.raw("PUT", ip_path(azure, "other"), address(azure))
    assert (status, body["error"]["code"]) == (400, "PublicIPCountLimitReached")
    assert usages(azure, "Microsoft.Network", "2026-03-01")["StaticPublicIPAddresses"] == (1, 1)


def test_an_address_takes_one_write_at_a_time(azure):
    """AzureTRE#2222 (raw).

    https://github.com/microsoft/AzureTRE/issues/2222
    """
    azure.raw("PUT", ip_path(azure), address(azure))
    status, body, _ = azure.raw("PUT", ip_path(azure), address(azure))
    assert (status, body["error"]["code"]) == (409, "AnotherOperationInProgress")
    assert "/providers/Microsoft.Network/locations/canadacentral/operations/" in body["error"]["message"]


def test_an_address_is_deleted(azure):
    azure.raw("PUT", ip_path(azure), address(azure))
    azure.step(4)
    assert azure.raw("DELETE", ip_path(azure))[0] == 202
    azure.step(15)
    assert azure.raw("GET", ip_path(azure))[0] == 404
    assert azure.raw("DELETE", ip_path(azure))[0] == 204
