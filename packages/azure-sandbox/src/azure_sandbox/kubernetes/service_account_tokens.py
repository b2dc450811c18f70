"""TokenRequest: tokens of service accounts, for a while and for an audience.

https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-request-v1/
Left out: binding to a pod or a secret, and the use of such a token against the cluster's own API.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from azure_sandbox.kubernetes import errors
from azure_sandbox.kubernetes.resources import ResourceType

Json = dict[str, Any]

Sign = Callable[[Json], str]
"""Makes a token of claims, adding its issuer, and its audience where none is named."""

SHORTEST_S = 600
LONGEST_S = 24 * 3600
"""AKS caps what is longer: https://learn.microsoft.com/azure/aks/workload-identity-overview."""

REQUEST = ResourceType("authentication.k8s.io", "v1", "tokenrequests", "TokenRequest", True)


def token_request(account: Json, body: Json, sign: Sign) -> Json:
    """Answer a TokenRequest. Its times are real: who checks the token has no other clock.

    Args:
        account: the service account.
        body: what was sent.
        sign: makes the token.

    Raises:
        ApiError: 422 for a life of less than ten minutes, or of a wrong type.
    """
    spec = body.get("spec") or {}
    life_s = spec.get("expirationSeconds", 3600)
    audiences = spec.get("audiences") or []
    if not isinstance(life_s, int) or isinstance(life_s, bool) or life_s < SHORTEST_S:
        why = f"Invalid value: {life_s}: may not specify a duration less than 10 minutes"
        raise errors.invalid(REQUEST, "", [errors.cause("spec.expirationSeconds", "FieldValueInvalid", why)])
    if not isinstance(audiences, list) or not all(isinstance(item, str) for item in audiences):
        raise errors.bad_request("spec.audiences must be a list of strings")
    metadata = account["metadata"]
    namespace, name = metadata["namespace"], metadata["name"]
    now = int(time.time())
    ends = now + min(life_s, LONGEST_S)
    claims = {
        "aud": audiences,
        "exp": ends,
        "iat": now,
        "jti": str(uuid.uuid4()),
        "kubernetes.io": {"namespace": namespace, "serviceaccount": {"name": name, "uid": metadata["uid"]}},
        "nbf": now,
        "sub": f"system:serviceaccount:{namespace}:{name}",
    }
    return {
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {"name": name, "namespace": namespace, "creationTimestamp": _stamp(now)},
        "spec": {"audiences": audiences, "expirationSeconds": ends - now, "boundObjectRef": None},
        "status": {"token": sign(claims), "expirationTimestamp": _stamp(ends)},
    }


def _stamp(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
