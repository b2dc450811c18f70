"""The parts that can be tried without a server: clock, buckets, routes, shapes, assertions."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from jwt.utils import base64url_encode

from azure_sandbox.core.call import merge_patch
from azure_sandbox.core.clock import Clock
from azure_sandbox.core.entra import EntraError
from azure_sandbox.core.issuer import TokenSigner
from azure_sandbox.core.shapes import misfit
from azure_sandbox.core.throttling import Throttling
from azure_sandbox.server.coverage import document, table
from azure_sandbox.server.instance import Sandbox
from azure_sandbox.server.routing import load, parse

from .conftest import REPOSITORY


def test_callbacks_run_in_order_of_time_and_see_their_own_second() -> None:
    clock = Clock(speed=0.0001)
    seen: list[tuple[str, float]] = []

    def again() -> None:
        seen.append(("first", clock.now_s()))
        clock.call_later(5, lambda: seen.append(("chained", clock.now_s())))

    clock.call_later(100, lambda: seen.append(("last", clock.now_s())))
    clock.call_later(10, again)
    clock.step(1000)
    assert [name for name, _ in seen] == ["first", "chained", "last"]
    assert [at_s for _, at_s in seen] == pytest.approx([10, 15, 100], abs=0.01)
    assert clock.now_s() == pytest.approx(1000, abs=0.01)


def test_a_callback_that_fails_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock(speed=0.0001)
    seen: list[int] = []
    clock.call_later(1, lambda: seen.append(1 // 0))
    clock.call_later(2, lambda: seen.append(2))
    clock.step(3)
    assert seen == [2]
    assert "ZeroDivisionError" in caplog.text


def test_a_cancelled_callback_does_not_run() -> None:
    clock = Clock()
    seen: list[int] = []
    clock.call_later(1, lambda: seen.append(1)).cancel()
    clock.step(2)
    assert seen == []


async def test_the_clock_wakes_sleepers_at_its_speed() -> None:
    clock = Clock(speed=1000)
    running = asyncio.create_task(clock.run())
    before_s, began_s = clock.now_s(), time.monotonic()
    await clock.sleep(50)
    # Read in the other order, so that a machine that pauses in between can't make it wrong.
    took_s, after_s = time.monotonic() - began_s, clock.now_s()
    assert 50 <= took_s * 1000 <= after_s - before_s
    running.cancel()


def test_another_speed_goes_on_from_now() -> None:
    clock = Clock(speed=0.0001)
    clock.step(100)
    clock.set_speed(0.0002)
    assert clock.now_s() == pytest.approx(100, abs=0.01)


def test_a_bucket_refills_with_the_clock_and_a_refused_request_takes_nothing() -> None:
    """https://learn.microsoft.com/azure/aks/quotas-skus-regions: 20, then 1 a minute."""
    now_s = 0.0
    throttling = Throttling(lambda: now_s, lambda: True)
    assert [throttling.take(("put",), 20, 1 / 60) for _ in range(20)] == [0.0] * 20
    assert throttling.take(("put",), 20, 1 / 60) == pytest.approx(60)
    now_s = 30
    assert throttling.take(("put",), 20, 1 / 60) == pytest.approx(30)
    now_s = 60
    assert throttling.take(("put",), 20, 1 / 60) == 0.0
    assert throttling.take(("other",), 20, 1 / 60) == 0.0


@pytest.mark.parametrize(
    ("path", "scope", "kind", "namespace", "rest"),
    [
        ("/subscriptions/s", "/subscriptions/s", "subscription", "", ("subscriptions", "s")),
        (
            "/subscriptions/s/resourceGroups/g/providers/N/t/x",
            "/subscriptions/s/resourceGroups/g",
            "group",
            "N",
            ("t", "x"),
        ),
        (
            "/subscriptions/s/resourcegroups/g/providers/N/t/x/PROVIDERS/M/u/y",
            "/subscriptions/s/resourcegroups/g/providers/N/t/x",
            "resource",
            "M",
            ("u", "y"),
        ),
        ("/providers/N/t", "/", "tenant", "N", ("t",)),
        ("//subscriptions//s/providers/N/t/", "/subscriptions/s", "subscription", "N", ("t",)),
    ],
)
def test_paths_are_taken_apart(
    path: str, scope: str, kind: str, namespace: str, rest: tuple[str, ...]
) -> None:
    address = parse(path)
    assert (address.scope, address.kind, address.namespace, address.rest) == (scope, kind, namespace, rest)


def test_a_merge_patch_removes_null_and_takes_lists_as_a_whole() -> None:
    """RFC 7396"""
    before = {"a": {"b": 1, "c": 2}, "l": [1, 2]}
    assert merge_patch(before, {"a": {"b": None}, "l": [3]}) == {"a": {"c": 2}, "l": [3]}
    assert before == {"a": {"b": 1, "c": 2}, "l": [1, 2]}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"a": {"b": ["x"]}}, None),
        ({"a": None}, None),
        ({"a": 1}, "'a' must be an object"),
        ({"a": {"b": "x"}}, "'a.b' must be an array"),
        ({"a": {"b": [1]}}, "'a.b[0]' must be a string"),
        ({"a": {"b": [None]}}, "'a.b[0]' can't be null"),
    ],
)
def test_shapes_say_what_does_not_fit(body: Any, words: str | None) -> None:
    assert misfit(body, {"a": {"b": [str]}}) == words


def test_the_coverage_table_has_every_operation() -> None:
    providers = load()
    text = table(providers)
    assert len(text.splitlines()) - 2 == sum(len(provider.routes) for provider in providers)
    assert "| Microsoft.Storage | StorageAccounts_Create | PUT |" in text


def test_the_document_of_what_is_emulated_is_current() -> None:
    written = (REPOSITORY / "docs" / "sandbox-coverage.md").read_text()
    assert written == document(load()), "python -m azure_sandbox.server.coverage > docs/sandbox-coverage.md"


# Workload identity: a token of a cluster's for one of ours.

SIGNER = TokenSigner()
ISSUER, SUBJECT, AUDIENCE = (
    "https://issuer.example/",
    "system:serviceaccount:ns:sa",
    "api://AzureADTokenExchange",
)


@pytest.fixture
def federated(tmp_path: Path) -> tuple[Sandbox, dict[str, str]]:
    sandbox = Sandbox(tmp_path)
    group_id = f"{sandbox.subscription}/resourceGroups/g"
    identity_id = f"{group_id}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/mi"
    principal = sandbox.entra.add_managed_identity(identity_id, "mi")
    kind = "Microsoft.ManagedIdentity/userAssignedIdentities"
    sandbox.store.put(identity_id, kind, {})
    sandbox.store.put(
        f"{identity_id}/federatedIdentityCredentials/fc",
        f"{kind}/federatedIdentityCredentials",
        {"properties": {"issuer": ISSUER, "subject": SUBJECT, "audiences": [AUDIENCE]}},
    )
    sandbox.entra.issuers[ISSUER] = SIGNER.verifies
    form = {
        "client_id": principal.client_id,
        "grant_type": "client_credentials",
        "scope": "https://storage.azure.com/.default",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    }
    return sandbox, form


def assertion(signer: TokenSigner = SIGNER, **claims: Any) -> str:
    return signer.sign({"iss": ISSUER, "sub": SUBJECT, "aud": AUDIENCE, "exp": time.time() + 60, **claims})


def unsigned(payload: str, header: str = '{"alg": "RS256"}') -> str:
    """A token of these texts, with a signature of nothing."""
    return ".".join(base64url_encode(text.encode()).decode() for text in (header, payload, "x"))


def test_a_federated_token_is_exchanged(federated: tuple[Sandbox, dict[str, str]]) -> None:
    """https://learn.microsoft.com/entra/workload-id/workload-identity-federation"""
    sandbox, form = federated
    answer = sandbox.entra.token({**form, "client_assertion": assertion()}, None, sandbox.tenant_id)
    claims = sandbox.entra.claims(answer["access_token"])
    assert claims is not None
    assert claims["appid"] == form["client_id"]


@pytest.mark.parametrize(
    ("token", "number"),
    [
        (assertion(sub="system:serviceaccount:ns:other"), 700213),
        (assertion(iss="https://issuer.example"), 700213),  # The slash at the end belongs to the issuer.
        (assertion(aud="other"), 700213),
        (assertion(signer=TokenSigner()), 700027),
        (assertion(exp=1), 700024),
        ("nonsense", 700030),
        ("a.b.c", 700030),
        (unsigned("[" * 10_000), 700030),
        (unsigned("{}", "[" * 10_000), 700030),
        (unsigned("[]"), 700030),
        (unsigned('{"iss": 1, "sub": 2}'), 700213),
    ],
)
def test_a_federated_token_that_does_not_match_is_refused(
    federated: tuple[Sandbox, dict[str, str]], token: str, number: int
) -> None:
    sandbox, form = federated
    with pytest.raises(EntraError) as caught:
        sandbox.entra.token({**form, "client_assertion": token}, None, sandbox.tenant_id)
    assert caught.value.number == number
