"""Answers as azure-core hands them over: read from a server on loopback, by the SDKs' pipeline."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from azure.core.exceptions import HttpResponseError
from azure.core.pipeline import AsyncPipeline
from azure.core.pipeline.policies import ContentDecodePolicy
from azure.core.pipeline.transport import AioHttpTransport
from azure.core.pipeline.transport import HttpRequest as EarlierHttpRequest
from azure.core.rest import HttpRequest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aks_postgres.arm.error_codes import SERVER_TROUBLE, UNREADABLE, rule_for
from aks_postgres.arm.responses import Answer, ArmFault, answer_of, clean, retry_after_of
from aks_postgres.arm.retry import once

# A busy machine is slow, not wrong.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

JWT = "eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ.eyJvaWQiOiJhYmMifQ.c2lnbmF0dXJl-_x"
HTML = b"<html><body><h1>502 Bad Gateway</h1></body></html>"

Fetch = Callable[..., Awaitable[Answer]]


@pytest_asyncio.fixture
async def fetch() -> AsyncIterator[Fetch]:
    """Serves one answer and reads it: with status, body and headers, as either generation of azure-core."""
    answers: list[web.Response] = []

    async def serve(_: web.Request) -> web.Response:
        return answers.pop()

    app = web.Application()
    app.router.add_get("/", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    session = aiohttp.ClientSession(auto_decompress=False)
    transport = AioHttpTransport(session=session, session_owner=False)
    pipeline: AsyncPipeline[Any, Any] = AsyncPipeline(transport, policies=[ContentDecodePolicy()])

    async def read(
        status: int, body: bytes, headers: dict[str, str] | None = None, *, earlier: bool = False
    ) -> Answer:
        answers.append(
            web.Response(
                status=status, body=body, headers={"Content-Type": "application/json"} | (headers or {})
            )
        )

        async def call() -> Answer:
            request: Any = EarlierHttpRequest("GET", url) if earlier else HttpRequest("GET", url)
            response = (await pipeline.run(request)).http_response
            if response.status_code >= 400:
                raise HttpResponseError(response=response)
            return answer_of(response)

        answer: Answer = await once(call)
        return answer

    yield read
    await session.close()
    await runner.cleanup()


async def fault_of(fetch: Fetch, *arguments: Any, **options: Any) -> ArmFault:
    with pytest.raises(ArmFault) as caught:
        await fetch(*arguments, **options)
    return caught.value


@pytest.mark.parametrize("earlier", [False, True])
async def test_an_error_is_read_with_and_without_its_wrapper(fetch: Fetch, earlier: bool) -> None:
    error = {"code": "K8sVersionNotSupported", "details": None, "message": "only  LTS\nhere", "subcode": ""}
    headers = {"x-ms-correlation-request-id": "corr-1", "Retry-After": "17"}
    for body in (error, {"error": error}):
        fault = await fault_of(fetch, 400, json.dumps(body).encode(), headers, earlier=earlier)
        assert (fault.status, fault.code, fault.message) == (400, "K8sVersionNotSupported", "only LTS here")
        assert (fault.correlation_id, fault.retry_after_s, fault.reached) == ("corr-1", 17, True)
        assert str(fault) == "HTTP 400 K8sVersionNotSupported: only LTS here [correlation ID corr-1]"


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", "application/json"),
        (HTML, "text/html"),
        (HTML, "application/json"),
        (b"Service Unavailable", "text/plain; charset=utf-8"),
        (b"\xff\xfe\x00", "text/plain; charset=no-such-charset"),
        (b"null", "application/json"),
        (b"[]", "application/json"),
        (b'"text"', "application/json"),
        (b'{"error": null}', "application/json"),
        (b'{"error": "invalid_grant", "error_description": "x"}', "application/json"),
        (b'{"error": {"code": null, "message": null, "details": "none"}}', "application/json"),
        (b'{"error": {"code": "", "details": 5}}', "application/json"),
        (b'{"error": {"details": [null, 5, "x", {}, {"message": null}]}}', "application/json"),
        (b"[" * 100_000, "text/plain"),
    ],
)
@pytest.mark.parametrize("earlier", [False, True])
async def test_an_error_without_a_readable_body_keeps_its_status(
    fetch: Fetch, body: bytes, content_type: str, earlier: bool
) -> None:
    fault = await fault_of(fetch, 503, body, {"Content-Type": content_type}, earlier=earlier)
    assert (fault.status, fault.code, fault.message) == (503, "HTTP503", "no message")
    assert rule_for(fault) is SERVER_TROUBLE


async def test_a_bodiless_error_takes_its_code_from_the_header(fetch: Fetch) -> None:
    fault = await fault_of(fetch, 409, b"", {"x-ms-error-code": "ContainerBeingDeleted"})
    assert fault.code == "ContainerBeingDeleted"


@pytest.mark.parametrize("body", [b'{"id": "/subscr', HTML, b"OK", b"[" * 100_000])
@pytest.mark.parametrize("content_type", ["application/json", "text/html"])
@pytest.mark.parametrize("earlier", [False, True])
async def test_a_success_that_is_no_json_is_as_good_as_no_answer(
    fetch: Fetch, body: bytes, content_type: str, earlier: bool
) -> None:
    fault = await fault_of(fetch, 200, body, {"Content-Type": content_type}, earlier=earlier)
    assert (fault.status, fault.code) == (None, "UnreadableAnswer")
    assert rule_for(fault) is UNREADABLE


@pytest.mark.parametrize("earlier", [False, True])
async def test_a_success_is_read_as_arm_wrote_it(fetch: Fetch, earlier: bool) -> None:
    body = {"id": "/x", "eTag": "1", "properties": {"issuerURL": "https://é", "new2027Field": [1, None]}}
    headers = {"Azure-AsyncOperation": "https://status"}
    answer = await fetch(201, json.dumps(body).encode(), headers, earlier=earlier)
    assert (answer.status, answer.body) == (201, body)
    assert answer.operation_url == "https://status"
    assert (await fetch(202, b"", earlier=earlier)).body == {}
    assert (await fetch(200, b"[1]", earlier=earlier)).body == {"value": [1]}
    assert (await fetch(200, b"null", earlier=earlier)).body == {"value": None}
    assert (await fetch(200, b"", earlier=earlier)).operation_url is None


def test_details_are_told_with_their_codes() -> None:
    fault = ArmFault.of_body(
        {
            "code": "InvalidPayload",
            "message": "The rule is invalid",
            "details": [
                {"code": "InvalidOutputTable", "message": "Table  unknown"},
                {"code": "Other"},
                {"message": "why"},
            ],
        },
        status=400,
    )
    assert fault.details == "InvalidOutputTable: Table unknown; Other; why"
    assert str(fault) == (
        "HTTP 400 InvalidPayload: The rule is invalid (InvalidOutputTable: Table unknown; Other; why)"
    )


def test_a_fault_of_an_operation_that_failed_has_no_status_of_its_own_to_show() -> None:
    fault = ArmFault.of_body({"error": {"code": "Conflict"}}, status=None, fallback="Failed")
    assert str(fault) == "Conflict: no message"
    assert ArmFault.of_body("gone", status=200, fallback="Failed").code == "Failed"


@UNHURRIED
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["error", "code", "message", "details", "x"]), inner, max_size=4
            )
        ),
    )
)
def test_any_json_can_be_an_error(body: Any) -> None:
    fault = ArmFault.of_body(body, status=400, fallback="HTTP400")
    assert fault.code
    assert fault.message
    assert "\n" not in str(fault)
    assert rule_for(fault).advice


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "17"}, 17),
        ({"retry-after": " 17 "}, 17),
        ({"retry-after": "0"}, 0),
        ({"retry-after": "1.5"}, 1.5),
        ({"x-ms-retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "20", "retry-after": "1"}, 0.02),
        ({"retry-after": "999999999"}, 3600),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "1e9"}, None),
        ({"retry-after": "\u0661\u0667"}, None),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({"x-ms-retry-after-ms": "soon", "retry-after": "4"}, 4),
    ],
)
def test_retry_after_is_read_in_real_seconds(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_of(headers) == seconds


SECRETS = {
    "access token": JWT,
    "authorization header": "Authorization: Bearer abc.def~ghi+jkl/mno==",
    "storage key": "AccountKey=" + "Ab1+" * 21 + "Q==",
    "kubeconfig token": "token: " + "0123456789abcdef" * 8,
    "shared access signature": "https://x.blob.core.windows.net/b?sv=2026&sig=aB%2Fc%3D&se=1",
    "client secret": "client_secret=Q~8abcDEF.ghi_jkl-mno&grant_type=client_credentials",
    "refresh token": "refresh_token=0.AXoAabc-def_ghi",
    "assertion": "client_assertion=abc.def.ghi",
    "password": "password=hunter2;",
}
REMOVED = {
    "access token": [JWT, "c2lnbmF0dXJl"],
    "authorization header": ["abc.def"],
    "storage key": ["Ab1+"],
    "kubeconfig token": ["0123456789abcdef"],
    "shared access signature": ["aB%2Fc"],
    "client secret": ["Q~8abc"],
    "refresh token": ["0.AXoA"],
    "assertion": ["abc.def"],
    "password": ["hunter2"],
}


@pytest.mark.parametrize("kind", SECRETS)
def test_secrets_in_foreign_text_are_removed(kind: str) -> None:
    cleaned = clean(f"The request failed: {SECRETS[kind]} and so on.")
    assert cleaned.startswith("The request failed: ")
    assert "(removed)" in cleaned
    assert cleaned.endswith("and so on.")
    for secret in REMOVED[kind]:
        assert secret not in cleaned


@pytest.mark.parametrize(
    "text",
    [
        "The client '6b1f0f60-4a4a-4c11-9d0e-0a1b2c3d4e5f' with object id 'x' does not have authorization to "
        "perform action 'Microsoft.Authorization/roleAssignments/write' over scope "
        "'/subscriptions/6b1f0f60-4a4a-4c11-9d0e-0a1b2c3d4e5f/resourceGroups/rg-cnpg-c9a0asar'.",
        "AADSTS7000215: Invalid client secret provided. Trace ID: 6b1f0f60-4a4a-4c11-9d0e-0a1b2c3d4e5f",
        "The Bearer scheme is expected.",
        "KeyBasedAuthenticationNotPermitted: key based authentication is not permitted on this account.",
        "action 'Microsoft.ContainerService/managedClusters/listClusterUserCredential/action' over scope",
        "action 'microsoft.containerservice/managedclusters/listclusterusercredential/action' over scope",
    ],
)
def test_what_a_person_needs_to_read_stays(text: str) -> None:
    assert clean(text) == text


def test_foreign_text_becomes_one_line_and_is_cut() -> None:
    assert clean(" a\n\tb\r\n ") == "a b"
    assert len(clean("word " * 1000)) == 600
    assert clean("word " * 1000).endswith("...")
    assert JWT[:20] not in clean("x " * 295 + JWT)
