"""Which address this machine comes from: by DNS, at a name server on loopback, and by URL."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import dns.message
import dns.rrset
import pytest
import pytest_asyncio

from aks_postgres.arm.client import current_azure
from aks_postgres.preflight.egress import EgressUnknown, address_from_dns, egress_address
from aks_postgres.reports.journal import Journal


class NameServer(asyncio.DatagramProtocol):
    """Answers every question with one address, or not at all."""

    def __init__(self, address: str | None) -> None:
        self._address = address
        self.asked: list[str] = []

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        query = dns.message.from_wire(data)
        name = query.question[0].name
        self.asked.append(str(name))
        if self._address:
            answer = dns.message.make_response(query)
            answer.answer.append(dns.rrset.from_text(name, 0, "IN", "A", self._address))
            self._transport.sendto(answer.to_wire(), addr)


async def serve(address: str | None) -> tuple[asyncio.DatagramTransport, NameServer, int]:
    transport, server = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: NameServer(address), local_addr=("127.0.0.1", 0)
    )
    return transport, server, transport.get_extra_info("sockname")[1]


@pytest_asyncio.fixture
async def name_server() -> AsyncIterator[tuple[NameServer, int]]:
    transport, server, port = await serve("20.51.7.9")
    yield server, port
    transport.close()


async def test_opendns_is_asked_as_the_guide_does(name_server: tuple[NameServer, int]) -> None:
    server, port = name_server
    assert await address_from_dns("127.0.0.1", port) == "20.51.7.9"
    assert server.asked == ["myip.opendns.com."]


async def test_name_server_that_is_silent_is_given_up_and_named() -> None:
    transport, _, port = await serve(None)
    with pytest.raises(EgressUnknown, match=r"myip\.opendns\.com at 127\.0\.0\.1"):
        await address_from_dns("127.0.0.1", port, timeout_s=0.2)
    transport.close()


async def test_url_is_asked_where_one_is_given(azure: Any, journal: Journal) -> None:
    azure.settings(egress_address="52.1.2.3")
    assert await egress_address(current_azure()) == "52.1.2.3"


@pytest.mark.parametrize("path", ["/nowhere", ":1/"])
async def test_url_that_does_not_answer_is_named(
    azure: Any, journal: Journal, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    url = f"{azure.endpoint}{path}" if path.startswith("/") else f"https://127.0.0.1{path}"
    monkeypatch.setenv("AKS_POSTGRES_EGRESS_URL", url)
    with pytest.raises(EgressUnknown, match="AKS_POSTGRES_EGRESS_URL"):
        await egress_address(current_azure())
