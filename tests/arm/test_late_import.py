"""What takes long to import is read by its ID, and imported by a run that writes it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from azure.core.credentials import AccessToken
from azure.mgmt.network import NetworkManagementClient

from aks_postgres.arm.resource import look_once
from aks_postgres.resources import public_ip
from aks_postgres.resources.kinds import KINDS

ADDRESS = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/publicIPAddresses/a"


class Asked(Exception):
    """A request came this far."""


class AzureWithoutNetwork:
    """A connection that has resources by their ID only."""

    def __init__(self) -> None:
        self.resources = SimpleNamespace(resources=self)

    async def get_by_id(self, resource_id: str, *, api_version: str, **_options: Any) -> Any:
        raise Asked(resource_id, api_version)


async def test_reading_an_address_leaves_its_client_alone() -> None:
    azure: Any = AzureWithoutNetwork()
    with pytest.raises(Asked) as asked:
        await look_once(public_ip.KIND.at(azure, ADDRESS))
    assert asked.value.args == (ADDRESS.lstrip("/"), public_ip.KIND.read_version)


def test_it_is_read_in_the_version_that_its_client_writes() -> None:
    class Transport:
        def send(self, request: Any, **_options: Any) -> Any:
            raise Asked(request.url)

    class Credential:
        def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:
            return AccessToken("token", 2**40)

    client: Any = NetworkManagementClient(Credential(), "s", transport=Transport())  # type: ignore[arg-type]
    with pytest.raises(Asked, match=f"api-version={public_ip.KIND.read_version}"):
        client.public_ip_addresses.begin_delete("g", "a", polling=False)
    assert [kind.type for kind in KINDS if kind.read_version] == [public_ip.KIND.type]
