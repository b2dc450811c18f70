"""Guide: Deploy, "Create a federated credential": who the pods are for Azure, and the proof that it works.

The proof is not the guide's: barman tries a wrong subject for more than a minute before it says so.
"""

from __future__ import annotations

from typing import Any

from aks_postgres.arm.client import Azure
from aks_postgres.arm.diff import Decision
from aks_postgres.arm.reconcile import ensure
from aks_postgres.arm.responses import Json
from aks_postgres.database.objects import AUDIENCE, POSTGRES_API, lineage, service_account, subject
from aks_postgres.database.status import ClusterState
from aks_postgres.kubernetes.client import kubernetes_api
from aks_postgres.kubernetes.objects import ensure_objects, new_objects
from aks_postgres.reports.outputs import (
    UNCHANGED,
    CheckedTarget,
    ClusterOutputs,
    FederatedCredentialOutputs,
    IdentityOutputs,
    NamespacesOutputs,
    ObjectsOutputs,
    ResourceOutputs,
    StorageAccountOutputs,
    VerificationOutputs,
)
from aks_postgres.resources import federated_credential
from aks_postgres.resources.backup_blobs import BackupBlobs
from aks_postgres.runs.step import arm_task
from aks_postgres.spec.environment import EnvironmentSpec


@arm_task("ensure_database_credential {target.names.federated_credential}")
async def ensure_database_credential(
    azure: Azure,
    spec: EnvironmentSpec,
    target: CheckedTarget,
    group: ResourceOutputs,
    identity: IdentityOutputs,
    cluster: ClusterOutputs,
) -> FederatedCredentialOutputs:
    """Let tokens of the database's service account stand for the identity that may write backups.

    Guide: Deploy, "Create a federated credential" (az identity federated-credential create).
    REST: https://learn.microsoft.com/rest/api/managedidentity/federated-identity-credentials/create-or-update

    Args:
        spec: the environment wanted.
        target: names.
        group: the environment's resource group.
        identity: that may write backups.
        cluster: the cluster, whose issuer signs the tokens.

    Returns:
        ID, name, issuer and subject.

    Raises:
        AzureRefused: the identity has 20 of them already, or one with the same issuer and subject.
    """
    name = target.names.federated_credential
    resource = federated_credential.KIND.at(azure, f"{identity.id}/federatedIdentityCredentials/{name}")
    wanted = federated_credential.desired(cluster.oidc_issuer_url, subject(spec, target), AUDIENCE)

    def decision(live: Json | None) -> Decision:
        return federated_credential.KIND.decide(resource.label, wanted, live)

    live, change = await ensure(resource, decision)
    return FederatedCredentialOutputs(
        id=resource.id,
        name=name,
        issuer=live["properties"]["issuer"],
        subject=live["properties"]["subject"],
        client_id=identity.client_id,
        change=change,
    )


def _planned_account(
    spec: EnvironmentSpec, target: CheckedTarget, _cluster: Any, _namespaces: Any, identity: IdentityOutputs
) -> ObjectsOutputs:
    return new_objects(service_account(spec, target, identity.client_id))


@arm_task(
    "ensure_database_account {target.names.postgres_cluster}", needs="cluster", planned=_planned_account
)
async def ensure_database_account(
    azure: Azure,
    spec: EnvironmentSpec,
    target: CheckedTarget,
    cluster: ClusterOutputs,
    namespaces: NamespacesOutputs,
    identity: IdentityOutputs,
) -> ObjectsOutputs:
    """Make the pods' service account ahead of the Cluster, so that its token can be tried; the operator takes it over.

    Guide: Deploy, "Deploy the PostgreSQL cluster" (serviceAccountTemplate).
    REST: https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/service-account-v1/

    Args:
        spec: the environment wanted.
        target: names.
        cluster: the cluster.
        namespaces: both namespaces.
        identity: that may write backups.

    Returns:
        Its name.
    """
    return await ensure_objects(azure, cluster, service_account(spec, target, identity.client_id))


def _nothing_to_try(*_: Any) -> VerificationOutputs:
    return VerificationOutputs(facts=(), change=UNCHANGED)


@arm_task(
    "verify_database_credential {credential.name}", looks=True, needs="cluster", planned=_nothing_to_try
)
async def verify_database_credential(
    azure: Azure,
    spec: EnvironmentSpec,
    target: CheckedTarget,
    cluster: ClusterOutputs,
    credential: FederatedCredentialOutputs,
    account: StorageAccountOutputs,
) -> VerificationOutputs:
    """Try what the pods will do: a token of the service account, exchanged at Entra, and a blob with it.

    Guide: none; it shows by failing backups what is wrong. Once the Cluster archives, nothing is tried any more.
    REST: https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow

    Args:
        spec: the environment wanted.
        target: names.
        cluster: the cluster.
        credential: the federated credential.
        account: the storage account.

    Returns:
        What was shown.

    Raises:
        LastingState: Entra or the storage account refuses for good, or the archive was used by somebody else.
    """
    name, namespace = target.names.postgres_cluster, spec.namespaces.database
    async with kubernetes_api(azure, cluster.resource_group, cluster.name) as api:
        live = await api.get(f"/apis/{POSTGRES_API}/namespaces/{namespace}/clusters/{name}")
        if live is not None and ClusterState.of(live).archives:
            return VerificationOutputs(facts=("the Postgres cluster archives",), change=UNCHANGED)
        azure.gate.begin(f"Postgres cluster {name}: whether its pods may write backups isn't shown yet")
        blobs = BackupBlobs(api, spec, target, credential.client_id, account)
        facts = await blobs.prove_access(credential)
        if live is None:
            await blobs.refuse_used(lineage(target))
    return VerificationOutputs(facts=tuple(facts), change=UNCHANGED)
