"""The access token goes to ARM alone: every listing of every SDK client, and every way to name another host."""

import inspect
import json
import time
from collections.abc import AsyncIterator, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
import pytest_asyncio
from azure.core.credentials import AccessToken

from aks_postgres.arm.client import Azure, open_azure
from aks_postgres.arm.errors import AzureRefused
from aks_postgres.arm.response_checks import is_below
from aks_postgres.arm.responses import ArmFault, wire_items
from aks_postgres.arm.retry import once, read
from aks_postgres.preflight.facts import pages
from azure_sandbox.client import SandboxProcess
from azure_sandbox.core.certificates import Authority

from ..conftest import without_lock

CLIENTS = [
    name
    for name, member in vars(Azure).items()
    if isinstance(member, cached_property) and not name.startswith("_")
]
FOREIGN = "https://management.azure.example/subscriptions/page"
# Log Analytics' storage insights name the next page in OData's way.
PAGE = json.dumps({"value": [], "nextLink": FOREIGN, "@odata.nextLink": FOREIGN})
# These take the first page for all of it: in Azure's REST API their answers have no `nextLink`, and the SDK reads none.
# Any other listing has to refuse the page; one that no longer stays silent goes from here.
ONE_PAGE = {
    "monitor": {
        "action_groups.list_by_resource_group",
        "action_groups.list_by_subscription_id",
        "alert_rule_incidents.list_by_alert_rule",
        "baselines.list",
        "event_categories.list",
        "log_profiles.list",
        "metric_alerts.list_by_resource_group",
        "metric_alerts.list_by_subscription",
        "metric_definitions.list",
        "metric_definitions.list_at_subscription_scope",
        "metric_namespaces.list",
    },
}


@pytest_asyncio.fixture
async def opened(azure: SandboxProcess) -> AsyncIterator[Azure]:
    async with open_azure(azure.subscription_id) as found:
        without_lock()
        yield found


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Where requests went; those for other hosts than the sandbox's end here."""
    urls: list[str] = []
    send = aiohttp.ClientSession._request

    async def noted(self: aiohttp.ClientSession, method: str, url: Any, **options: Any) -> Any:
        urls.append(str(url))
        if urlsplit(str(url)).hostname != "localhost":
            raise AssertionError(f"{method} {url} with {sorted(options['headers'])}")
        return await send(self, method, url, **options)

    monkeypatch.setattr(aiohttp.ClientSession, "_request", noted)
    return urls


def listings(client: Any) -> Iterator[tuple[str, Any]]:
    """Every operation of a client that returns pages."""
    for group_name in dir(client):
        if group_name.startswith("_"):
            continue
        group = getattr(client, group_name)
        for name, operation in inspect.getmembers(group, inspect.isroutine):
            if name.startswith("_") or inspect.iscoroutinefunction(operation):
                continue
            returned = str(inspect.signature(operation).return_annotation)
            if "AsyncItemPaged" in returned or "AsyncIterable" in returned:
                yield f"{group_name}.{name}", operation


def arguments(operation: Any) -> dict[str, Any]:
    return {
        name: "x"
        for name, given in inspect.signature(operation).parameters.items()
        if given.default is inspect.Parameter.empty and given.kind is not inspect.Parameter.VAR_KEYWORD
    }


@pytest.mark.parametrize("client", CLIENTS)
async def test_no_listing_of_any_client_follows_a_page_to_another_host(
    client: str, azure: SandboxProcess, opened: Azure, asked: list[str]
) -> None:
    azure.fault(
        {"status": 200, "raw_body": PAGE, "headers": {"content-type": "application/json"}},
        path="^/",
        service="arm",
        times=10_000,
    )
    ends: dict[str, str] = {}
    for name, operation in listings(getattr(opened, client)):
        before = len(asked)
        try:
            await once(lambda operation=operation: wire_items(operation(**arguments(operation))))
        except ArmFault as fault:
            ends[name] = fault.code
        else:
            ends[name] = "Ended"
        assert [bool(urlsplit(url).path) for url in asked[before:]] == [True], name
    silent = ONE_PAGE.get(client, set())
    assert ends == {name: "Ended" if name in silent else "ForeignHost" for name in ends}
    assert silent < set(ends)


def test_listings_that_take_one_page_are_of_our_clients() -> None:
    assert set(ONE_PAGE) <= set(CLIENTS)


async def test_every_listing_that_we_use_is_among_them(opened: Azure) -> None:
    found = {name for client in CLIENTS for name, _ in listings(getattr(opened, client))}
    assert found >= {
        "resource_groups.list",
        "resources.list_by_resource_group",
        "role_assignments.list_for_scope",
        "deleted_workspaces.list",
        "skus.list",
    }
    assert len(found) > 100


@pytest.mark.usefixtures("asked")
async def test_our_own_listings_dont_follow_either(azure: SandboxProcess, opened: Azure) -> None:
    azure.fault(
        {"status": 200, "raw_body": PAGE, "headers": {"content-type": "application/json"}}, path="/locks$"
    )
    with pytest.raises(
        AzureRefused, match=r"locks: HTTP 200 ForeignHost: https://management\.azure\.example"
    ):
        await pages(
            opened, "locks", f"{azure.subscription}/providers/Microsoft.Authorization/locks", "2020-05-01"
        )
    with pytest.raises(ArmFault, match="ForeignHost"):
        await opened.get("https://sts.example/operations/1?t=secret")


ARM = urlsplit("https://management.azure.com")


@pytest.mark.parametrize(
    "url",
    [
        "https://management.azure.com/subscriptions",
        "https://management.azure.com:443/subscriptions",
        "https://MANAGEMENT.azure.com/subscriptions",
        "https://canadacentral.management.azure.com/subscriptions?a=b c",
        "HTTPS://management.azure.com/subscriptions",
    ],
)
def test_arm_s_own_hosts_are_arm(url: str) -> None:
    assert is_below(url, ARM)
    assert is_below(url, urlsplit("https://management.azure.com:443"))


@pytest.mark.parametrize(
    "url",
    [
        "http://management.azure.com/subscriptions",
        "https://management.azure.com:444/subscriptions",
        "https://management.azure.com.example/subscriptions",
        "https://evilmanagement.azure.com/subscriptions",
        "https://azure.com/subscriptions",
        "https://example.com/https://management.azure.com",
        "https://management.azure.com@example.com/",
        "https://example.com@management.azure.com/",
        "https://:secret@management.azure.com/",
        "https://example.com\\@management.azure.com/",
        "https://example.com\\.management.azure.com/",
        "https://example.com\t.management.azure.com/",
        "https://example.com #.management.azure.com/",
        "https://management.azure.com\u3002example/",
        "https://management.azure.com:port/",
        "https://[::1/",
        "//management.azure.com/",
        "/subscriptions",
        "",
        "ftp://management.azure.com/",
        "https:///subscriptions",
    ],
)
def test_nothing_else_is_arm(url: str) -> None:
    assert not is_below(url, ARM)


def test_a_sandbox_s_port_belongs_to_its_host() -> None:
    own = urlsplit("https://localhost:39049")
    assert is_below("https://localhost:39049/x", own)
    assert not is_below("https://localhost/x", own)
    assert not is_below("https://localhost:39048/x", own)


@pytest.mark.parametrize("who", ["Microsoft Entra ID", "resource group"])
async def test_who_shows_another_authoritys_certificate_gets_no_request(
    azure: SandboxProcess, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, who: str
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(Authority(tmp_path).ca_file))
    if who != "Microsoft Entra ID":

        async def has_one(*_scopes: str, **_options: Any) -> AccessToken:
            return AccessToken("token", int(time.time()) + 3600)

        monkeypatch.setattr("azure.identity.aio.ClientSecretCredential.get_token", has_one)

    async def ask() -> None:
        async with open_azure(azure.subscription_id) as found:
            without_lock()
            await read("resource group", found.resources.resource_groups.get, "rg")

    since = len(azure.ledger())
    with pytest.raises(AzureRefused, match=f"^{who}.*CERTIFICATE_VERIFY_FAILED") as refused:
        await ask()
    assert refused.value.code == "CertificateNotTrusted"
    assert azure.ledger()[since:] == []
