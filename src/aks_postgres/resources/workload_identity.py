"""A token for blob storage as a pod gets it: one of its service account, exchanged at Microsoft Entra ID.

https://learn.microsoft.com/entra/workload-id/workload-identity-federation
"""

from __future__ import annotations

import json
import os
from urllib.parse import urlencode

from aks_postgres.arm.responses import ArmFault, clean
from aks_postgres.database.objects import AUDIENCE
from aks_postgres.foreign_text import keep_secret
from aks_postgres.kubernetes.client import KubernetesApi
from aks_postgres.resources.blobs import STORAGE_SCOPE, answer

_SHORTEST_TOKEN_S = 600


async def pods_token(
    api: KubernetesApi, namespace: str, service_account: str, client_id: str, tenant_id: str
) -> str:
    """A token of the service account, and one of the identity for it.

    Raises:
        ArmFault: Kubernetes or Microsoft Entra ID refuses.
    """
    found = await api.request(
        "POST",
        f"/api/v1/namespaces/{namespace}/serviceaccounts/{service_account}/token",
        {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"audiences": [AUDIENCE], "expirationSeconds": _SHORTEST_TOKEN_S},
        },
    )
    assertion = (found.get("status") or {}).get("token")
    if not isinstance(assertion, str) or not assertion:
        raise ArmFault(None, "UnreadableAnswer", "the answer to a TokenRequest holds no token")
    keep_secret(assertion)
    authority = (os.environ.get("AZURE_AUTHORITY_HOST") or api.azure.facts.login).rstrip("/")
    form = {
        "client_id": client_id,
        "client_assertion": assertion,
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "grant_type": "client_credentials",
        "scope": STORAGE_SCOPE,
    }
    status, text, _ = await answer(
        api.azure.http,
        "POST",
        f"{authority}/{tenant_id}/oauth2/v2.0/token",
        {"Content-Type": "application/x-www-form-urlencoded"},
        urlencode(form),
    )
    try:
        said = json.loads(text)
    except ValueError:
        said = None
    said = said if isinstance(said, dict) else {}
    token = said.get("access_token")
    if status != 200 or not isinstance(token, str):
        raise ArmFault(
            status,
            clean(str(said.get("error") or f"HTTP{status}")),
            clean(str(said.get("error_description") or "no message")),
        )
    keep_secret(token)
    return token
