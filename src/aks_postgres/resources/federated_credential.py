"""Federated credentials of a managed identity.

https://learn.microsoft.com/rest/api/managedidentity/federated-identity-credentials
"""

from __future__ import annotations

from aks_postgres.arm.kind import Kind

KIND = Kind(
    "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials",
    "federated credential",
    "Identity",
    lambda azure: azure.identities.federated_identity_credentials,
    immutable=(),
    option="database credential",
)
