"""Requests to a cluster's API that nobody should send: a Status comes back, and nothing breaks."""

import asyncio
import json
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from azure_sandbox.core.clock import Clock
from azure_sandbox.kubernetes import KubernetesApi

API = KubernetesApi("fuzz", "1.35.2", Clock(1.0), 1)
PATHS = st.sampled_from(
    [
        *("/", "/api", "/api/v1", "/api/v1/namespaces", "/api/v1/namespaces/default", "/api/v1/nodes"),
        *("/api/v1/namespaces/default/pods", "/api/v1/namespaces/default/pods/p", "/apis", "/apis/apps/v1"),
        *(
            "/apis/apps/v1/namespaces/default/deployments/d",
            "/apis/apps/v1/namespaces/default/deployments/d/scale",
        ),
        *(
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
            "/openapi/v2",
            "/openapi/v3/apis/apps/v1",
        ),
        *(
            "/api/v1/namespaces/default/configmaps",
            "/api/v1/namespaces/default/secrets/s",
            "/version",
            "/healthz",
        ),
        *(
            "/api/v1/namespaces/default/serviceaccounts/default/token",
            "/api/v1//",
            "/apis/x/y/z",
            "/api/v1/%00",
        ),
    ]
)
METHODS = st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "BREW"])
TYPES = st.sampled_from(
    [
        *(
            "application/json",
            "application/apply-patch+yaml",
            "application/merge-patch+json",
            "application/yaml",
        ),
        *("application/json-patch+json", "application/strategic-merge-patch+json", "text/plain", ""),
        "application/vnd.kubernetes.protobuf",
    ]
)
QUERIES = st.sampled_from(
    [
        *(
            "",
            "limit=x",
            "limit=-1",
            "continue=!!",
            "labelSelector=(",
            "fieldSelector=a",
            "dryRun=x",
            "force=x",
        ),
        *("fieldManager=" + "a" * 300, "resourceVersion=x", "timeoutSeconds=x", "propagationPolicy=x"),
        "fieldManager=f",
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=10,
)
METADATA = st.one_of(
    VALUES,
    st.fixed_dictionaries(
        {"name": VALUES}, optional={"labels": VALUES, "namespace": VALUES, "finalizers": VALUES}
    ),
    st.fixed_dictionaries(
        {"name": st.just("x")}, optional={"ownerReferences": VALUES, "annotations": VALUES}
    ),
)
OBJECTS = st.fixed_dictionaries(
    {"metadata": METADATA},
    optional={
        "apiVersion": st.sampled_from(["v1", "apps/v1", "", None, 3]),
        "kind": st.sampled_from(["Namespace", "Pod", "Deployment", "ConfigMap", "Secret", "", None, []]),
        "spec": VALUES,
        "data": VALUES,
        "status": VALUES,
    },
)
DEFINITIONS = st.fixed_dictionaries(
    {"metadata": st.sampled_from([{}, {"name": "xs.g.io"}, {"name": None}])},
    optional={
        "spec": st.fixed_dictionaries(
            {
                "group": st.sampled_from(["g.io", "", None, 3]),
                "scope": st.sampled_from(["Cluster", "x", None]),
            },
            optional={
                "names": st.one_of(VALUES, st.just({"plural": "xs", "kind": "X"})),
                "versions": st.one_of(
                    VALUES,
                    st.lists(
                        st.fixed_dictionaries(
                            {"name": st.sampled_from(["v1", "", None, 3])},
                            optional={
                                "served": st.booleans(),
                                "storage": st.booleans(),
                                "schema": st.one_of(
                                    VALUES, VALUES.map(lambda value: {"openAPIV3Schema": value})
                                ),
                            },
                        ),
                        max_size=2,
                    ),
                ),
            },
        )
    },
)
BODIES = st.one_of(
    DEFINITIONS.map(lambda value: json.dumps(value).encode()),
    OBJECTS.map(lambda value: json.dumps(value).encode()),
    VALUES.map(lambda value: json.dumps(value).encode()),
    st.binary(max_size=30),
    st.sampled_from(
        [b"k8s\x00", b"k8s\x00\x0a\xff\xff\xff\xff\xff", b"[" * 50_000, b"- " * 3000 + b"x", b"a: &a [*a]"]
    ),
    st.sampled_from(
        [b"!!python/object:x {}", b'[{"op": "add", "path": "/a/b/c", "value": 1}]', b"\xff\xfe", b"{a: b"]
    ),
)


async def send(method: str, path: str, query: str, kind: str, body: bytes, token: str) -> tuple[int, bytes]:
    sent: list[dict[str, Any]] = []
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        return messages.pop() if messages else {"type": "http.disconnect"}

    async def collect(message: Any) -> None:
        sent.append(dict(message))

    headers = [(b"authorization", f"Bearer {token}".encode()), (b"content-type", kind.encode())]
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": headers,
    }
    await API.app(scope, receive, collect)
    content = b"".join(message.get("body", b"") for message in sent[1:])
    return sent[0]["status"], content


@settings(deadline=None, derandomize=True)
@given(DEFINITIONS)
@example({"metadata": {}})
def test_no_definition_makes_it_fail(body: Any) -> None:
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    content = json.dumps(body).encode()
    status, answer = asyncio.run(send("POST", path, "", "application/json", content, API.token))
    assert b"the sandbox failed" not in answer, (body, answer[:300])
    assert status in (201, 400, 409, 422), (body, answer[:300])


@settings(deadline=None, derandomize=True)
@given(METHODS, PATHS, QUERIES, TYPES, BODIES)
@example("POST", "/api/v1/namespaces", "", "application/json", b"[" * 50_000)
@example("POST", "/api/v1/namespaces", "", "application/yaml", b"- " * 3000 + b"x")
@example("POST", "/api/v1/namespaces", "", "application/json", b'{"metadata": {"name": NaN}}')
def test_no_request_makes_it_fail(method: str, path: str, query: str, kind: str, body: bytes) -> None:
    status, content = asyncio.run(send(method, path, query, kind, body, API.token))
    where = (method, path, query, kind, body[:100], content[:300])
    assert b"the sandbox failed" not in content, where
    if status >= 400 and content.startswith(b"{"):
        assert json.loads(content)["kind"] == "Status", where


def test_without_a_token_everything_is_401() -> None:
    assert asyncio.run(send("GET", "/api/v1/namespaces", "", "", b"", "wrong"))[0] == 401
