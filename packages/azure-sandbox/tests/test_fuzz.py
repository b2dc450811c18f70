"""Requests that nobody should send: whatever comes, an error of the service's own form comes back, never a 500."""

import contextlib
import json
import socket
import ssl
from typing import Any

import pytest
import requests
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from azure_sandbox.client import SandboxProcess

FUZZ = settings(
    max_examples=80,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

KINDS = (
    "Microsoft.ContainerService/managedClusters",
    "Microsoft.Storage/storageAccounts",
    "Microsoft.Network/publicIPAddresses",
    "Microsoft.Dashboard/grafana",
    "Microsoft.OperationalInsights/workspaces",
    "Microsoft.Insights/dataCollectionRules",
    "Microsoft.Authorization/roleAssignments",
    "Microsoft.ManagedIdentity/userAssignedIdentities",
    "Microsoft.Monitor/accounts",
    "microsoft.NOBODY/knows",
)
SEGMENTS = st.one_of(
    st.sampled_from(
        [
            *(
                "..",
                ".",
                "",
                "%2e%2e",
                "%2F",
                "%00",
                "%ff%fe",
                "%",
                "%zz",
                "a" * 3000,
                "ünïcode",
                "null",
                "$batch",
            ),
            *(
                "providers",
                "subscriptions",
                "resourceGroups",
                "rg-test",
                "locations",
                "operations",
                "default",
            ),
            *("listKeys", "operationresults", "Microsoft.Storage", "microsoft.authorization", "locks"),
            "11111111-1111-1111-1111-111111111111",
        ]
    ),
    st.text(st.characters(blacklist_categories=["Cs", "Cc"], blacklist_characters="?#"), max_size=12),
)
VERSIONS = st.sampled_from(
    ["2024-11-01", "2025-08-01", "9999-99-99", "", "'", "2024-11-01&api-version=x", "latest", "%00"]
)
METHODS = st.sampled_from(["GET", "PUT", "POST", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "BREW"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)
BODIES = st.one_of(
    VALUES.map(lambda value: json.dumps(value).encode()),
    st.fixed_dictionaries(
        {"location": st.sampled_from(["canadacentral", "", None, 3]), "properties": VALUES},
        optional={"tags": VALUES, "sku": VALUES, "identity": VALUES, "kind": VALUES, "zones": VALUES},
    ).map(lambda value: json.dumps(value).encode()),
    st.binary(max_size=40),
    st.sampled_from(
        [
            b'{"a":' * 2000 + b"1" + b"}" * 2000,
            b"[" * 100_000,
            b'{"location": "canadacentral", "properties": ' + b'{"a":' * 400 + b"1" + b"}" * 401,
            b'{"location": "canadacentral", "tags": {"a": "' + b"x" * 100_000 + b'"}}',
            b'{"a": 1, "a": 2}',
            b'{"location": "\\ud800"}',
            b'{"properties": {"a": 1e999, "b": NaN, "c": -Infinity}}',
            b"\xef\xbb\xbf{}",
            b'{"a": ' + b"9" * 5000 + b"}",
        ]
    ),
)


def send(sandbox: SandboxProcess, method: str, url: str, raw: bytes | None = None, **headers: str) -> Any:
    """A request with the URL as it is: nothing is quoted, nothing normalized."""
    request = requests.Request(method, sandbox.endpoint, data=raw, headers=headers).prepare()
    request.url = sandbox.endpoint + url
    return sandbox.http.send(request, allow_redirects=False, timeout=120)


def check_error(answer: Any, where: object) -> None:
    """No crash; an error has ARM's form, or AKS's."""
    assert "SandboxError" not in answer.text, where
    assert answer.status_code < 500 or answer.status_code == 501, where
    if answer.status_code >= 400 and answer.request.method != "HEAD":
        body = answer.json()
        error = body.get("error", body)
        assert error["code"], where
        assert error["message"], where


@pytest.fixture
def bearer(sandbox: SandboxProcess) -> dict[str, str]:
    sandbox.settings(throttling=False)
    return {"Authorization": f"Bearer {sandbox.token()}"}


@FUZZ
@given(st.lists(SEGMENTS, max_size=9), VERSIONS, METHODS, BODIES)
def test_no_path_to_arm_makes_it_fail(
    sandbox: SandboxProcess,
    bearer: dict[str, str],
    segments: list[str],
    version: str,
    method: str,
    raw: bytes,
) -> None:
    path = "/".join(["", "subscriptions", sandbox.subscription_id, *segments])
    url = requests.utils.quote(path, safe="/%") + f"?api-version={version}"
    check_error(send(sandbox, method, url, raw, **bearer), (method, url, raw[:200]))


@FUZZ
@given(
    st.sampled_from(KINDS), st.sampled_from(["thing1", "x" * 300, "Ä", "a.b", "-", "%2e%2e"]), METHODS, BODIES
)
@example(KINDS[0], "thing1", "PUT", b"[" * 100_000)
def test_no_body_to_arm_makes_it_fail(
    sandbox: SandboxProcess, group: str, bearer: dict[str, str], kind: str, name: str, method: str, raw: bytes
) -> None:
    version = {"Microsoft.ContainerService": "2026-08-01", "Microsoft.Storage": "2025-08-01"}.get(
        kind.partition("/")[0], "2024-11-01"
    )
    url = f"{group}/providers/{kind}/{requests.utils.quote(name, safe='%')}?api-version={version}"
    check_error(send(sandbox, method, url, raw, **bearer), (method, url, raw[:200]))


@FUZZ
@given(
    st.dictionaries(
        st.sampled_from(
            [
                "If-Match",
                "Authorization",
                "x-ms-client-request-id",
                "Content-Type",
                "Content-Encoding",
                "Accept",
                "Expect-None",
                "Cookie",
                "Host",
            ]
        ),
        st.text(
            st.characters(min_codepoint=32, max_codepoint=255, blacklist_characters="\x7f"), max_size=30
        ).map(str.strip),
        max_size=4,
    )
)
def test_no_header_makes_it_fail(sandbox: SandboxProcess, headers: dict[str, str]) -> None:
    encoded: Any = {name: value.encode("latin-1") for name, value in headers.items()}
    answer = send(sandbox, "GET", f"{sandbox.subscription}?api-version=2022-12-01", None, **encoded)
    assert "SandboxError" not in answer.text, headers
    assert answer.status_code < 500, headers


@FUZZ
@given(
    st.sampled_from(
        ["/oauth2/v2.0/token", "/oauth2/token", "/v2.0/.well-known/openid-configuration", "/discovery/x"]
    ),
    METHODS,
    st.dictionaries(
        st.sampled_from(
            ["grant_type", "client_id", "client_secret", "scope", "client_assertion", "resource"]
        ),
        st.sampled_from(
            ["client_credentials", "", "a.b.c", "\x00", "é", "e30.e30.e30", "bnVsbA.bnVsbA.bnVsbA"]
        ),
    ),
    st.sampled_from(["", "Basic !!!", "Basic /////w==", "Bearer x"]),
)
def test_no_form_to_entra_makes_it_fail(
    sandbox: SandboxProcess, path: str, method: str, form: dict[str, str], authorization: str
) -> None:
    form = {**form, "client_id": form.get("client_id", sandbox.description["client_id"])}
    headers = {"Authorization": authorization} if authorization else {}
    answer = sandbox.http.request(
        method, f"{sandbox.endpoint}/{sandbox.tenant_id}{path}", data=form, headers=headers
    )
    assert "SandboxError" not in answer.text, (path, form, authorization)
    assert answer.status_code < 500 or answer.status_code == 501


@FUZZ
@given(
    st.sampled_from(["acc1", "none", "", "ÄÖ"]),
    st.lists(SEGMENTS, max_size=3),
    METHODS,
    st.sampled_from(
        ["", "?restype=container", "?comp=list&restype=container", "?comp=block&blockid=%00", "?comp"]
    ),
    st.sampled_from(["", "Bearer x", "SharedKey acc1:x", "SharedKey", "Basic x"]),
)
def test_no_request_for_blobs_makes_it_fail(
    sandbox: SandboxProcess, account: str, segments: list[str], method: str, query: str, authorization: str
) -> None:
    url = requests.utils.quote("/".join(["/blob", account, *segments]), safe="/%") + query
    answer = send(sandbox, method, url, b"x", **({"Authorization": authorization} if authorization else {}))
    assert "SandboxError" not in answer.text, (method, url)
    assert answer.status_code < 500 or answer.status_code == 501


@FUZZ
@given(
    st.sampled_from(
        ["faults", "settings", "clock", "scenarios", "principals", "ledger", "nothing", "faults/../x"]
    ),
    st.sampled_from(["POST", "PUT", "DELETE", "GET", "PATCH"]),
    BODIES,
)
@example("clock", "POST", b'{"step_s": "x"}')
@example("clock", "POST", b'{"speed": NaN}')
@example("clock", "POST", b'{"step_s": 1e400}')
@example("settings", "PUT", b'{"durations": {"x": "y"}}')
@example("settings", "PUT", b'{"durations": {"grafana_create": 1e400}}')
@example("settings", "PUT", b'{"regions": {"*": {"zrs": 3}}}')
@example("settings", "PUT", b'{"vm_sizes": [{"region": "eastus"}]}')
@example("settings", "PUT", b'{"policies": [{"type": "("}]}')
@example("settings", "PUT", b'{"egress_address": "::1"}')
@example("reset", "POST", b'{"speed": 0}')
@example("faults", "POST", b'{"path": "x", "do": {"cut": [1]}}')
@example("faults", "POST", b'{"path": "x", "do": {"poll": 3}}')
@example("faults", "POST", b'{"path": "x", "do": {"status": 503, "headers": {"a b": "c"}}}')
@example("faults", "POST", b'{"path": "x", "do": {"operation_fails": {"then": "Failed"}}}')
@example("principals", "POST", b'{"roles": [{"role": 1, "scope": 2}]}')
def test_no_request_to_the_control_api_makes_it_fail(
    sandbox: SandboxProcess, name: str, method: str, raw: bytes
) -> None:
    key = {"x-sandbox-key": sandbox.description["control_key"]}
    answer = send(sandbox, method, f"/sandbox/{name}", raw, **key)
    assert "SandboxError" not in answer.text, (name, method, raw[:200])
    assert answer.status_code in (200, 400, 404)
    assert send(sandbox, "GET", "/sandbox/health").status_code == 200


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /%zz HTTP/1.1\r\nHost: \xff\r\n\r\n",
        b"PUT /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: abc\r\n\r\n",
        b"PUT /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nshort",
        b"PUT /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 10_000 + b"\r\n",
        bytes(range(256)) * 20,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_no_bytes_stop_it(sandbox: SandboxProcess, raw: bytes) -> None:
    tls = ssl.create_default_context(cafile=sandbox.ca_file)
    port = int(sandbox.endpoint.rpartition(":")[2])
    with (
        socket.create_connection(("localhost", port), timeout=60) as plain,
        tls.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        with contextlib.suppress(OSError):  # It has hung up before all was sent.
            connection.sendall(raw)
        connection.settimeout(0.2)
        with contextlib.suppress(OSError):  # It waits for the rest, or has hung up.
            assert b" 500 " not in connection.recv(4096).partition(b"\r\n")[0]
    assert send(sandbox, "GET", "/sandbox/health").status_code == 200


def test_a_body_of_seventy_megabytes_is_413(sandbox: SandboxProcess, group: str) -> None:
    answer = sandbox.arm("PUT", group, raw=b"x" * 70 * 1024 * 1024, api_version="2024-11-01")
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "RequestEntityTooLarge")
