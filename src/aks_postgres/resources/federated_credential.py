"""Federated credentials of a managed identity.

https://learn.microsoft.com/rest/api/managedidentity/federated-identity-credentials
"""

from __future__ import annotations

from aks_postgres.arm.kind import Kind
from aks_postgres.arm.responses import Json

KIND = Kind(
    "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials",
    "federated credential",
    "Identity",
    lambda azure: azure.identities.federated_identity_credentials,
    immutable=(),
    option="database credential",
)


def desired(issuer: str, subject: str, audience: str) -> Json:
    """Whose tokens stand for the identity: the cluster's, of one service account."""
    return {"properties": {"issuer": issuer, "subject": subject, "audiences": [audience]}}
