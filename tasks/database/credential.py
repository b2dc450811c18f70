"""Guide: Deploy, "Create a federated credential": who the pods are for Azure, and the proof that it works.

The proof is not the guide's: barman tries a wrong subject for more than a minute before it says so.
"""

from __future__ import annotations

from aks_postgres.arm.client import Azure
from aks_postgres.arm.diff import Decision, decide
from aks_postgres.arm.reconcile import arm_resource, ensure
from aks_postgres.arm.responses import Json
from aks_postgres.database.objects import AUDIENCE, lineage, service_account, subject
from aks_postgres.database.status import ClusterState
from aks_postgres.errors import WouldWrite
from aks_postgres.kubernetes.client import KubernetesApi, kubernetes_api
from aks_postgres.reports.outputs import (
    UNCHANGED,
    ClusterOutputs,
    FederatedCredentialOutputs,
    IdentityOutputs,
    NamespacesOutputs,
    ObjectsOutputs,
    Place,
    ResourceOutputs,
    RoleOutputs,
    StorageAccountOutputs,
    VerificationOutputs,
)
from aks_postgres.resources.backup_blobs import BackupBlobs
from aks_postgres.resources.objects import ensure_objects
from aks_postgres.runs.step import arm_task
from aks_postgres.spec.environment import EnvironmentSpec


@arm_task("ensure_database_credential {place.names.federated_credential}")
async def ensure_database_credential(
    azure: Azure,
    spec: EnvironmentSpec,
    place: Place,
    group: ResourceOutputs,
    identity: IdentityOutputs,
    cluster: ClusterOutputs,
) -> FederatedCredentialOutputs:
    """Let tokens of the database's service account stand for the identity that may write backups.

    Guide: Deploy, "Create a federated credential" (az identity federated-credential create).
    REST: https://learn.microsoft.com/rest/api/managedidentity/federated-identity-credentials/create-or-update

    Args:
        spec: the environment wanted.
        place: names.
        group: the environment's resource group.
        identity: that may write backups.
        cluster: the cluster, whose issuer signs the tokens.

    Returns:
        ID, name, issuer and subject.

    Raises:
        AzureRefused: the identity has 20 of them already, or one with the same issuer and subject.
    """
    name = place.names.federated_credential
    operations = azure.identities.federated_identity_credentials
    resource = arm_resource(
        azure,
        f"federated credential {name}",
        f"{identity.id}/federatedIdentityCredentials/{name}",
        operations.get,
        operations.create_or_update,
        group.name,
        identity.name,
        name,
    )
    wanted = {
        "properties": {
            "issuer": cluster.oidc_issuer_url,
            "subject": subject(spec, place),
            "audiences": [AUDIENCE],
        }
    }

    def decision(live: Json | None) -> Decision:
        return decide(resource.label, wanted, live)

    live, change = await ensure(resource, decision)
    return FederatedCredentialOutputs(
        id=resource.id,
        name=name,
        issuer=live["properties"]["issuer"],
        subject=live["properties"]["subject"],
        change=change,
    )


@arm_task("ensure_database_account {place.names.postgres_cluster}")
async def ensure_database_account(
    azure: Azure,
    spec: EnvironmentSpec,
    place: Place,
    cluster: ClusterOutputs,
    namespaces: NamespacesOutputs,
    identity: IdentityOutputs,
) -> ObjectsOutputs:
    """Make the pods' service account ahead of the Cluster, so that its token can be tried; the operator takes it over.

    Guide: Deploy, "Deploy the PostgreSQL cluster" (serviceAccountTemplate).
    REST: https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/service-account-v1/

    Args:
        spec: the environment wanted.
        place: names.
        cluster: the cluster.
        namespaces: both namespaces.
        identity: that may write backups.

    Returns:
        Its name.
    """
    return await ensure_objects(azure, cluster, [service_account(spec, place, identity.client_id)])


@arm_task("verify_database_credential {credential.name}")
async def verify_database_credential(
    azure: Azure,
    spec: EnvironmentSpec,
    place: Place,
    cluster: ClusterOutputs,
    identity: IdentityOutputs,
    account: StorageAccountOutputs,
    container: ResourceOutputs,
    credential: FederatedCredentialOutputs,
    service_account: ObjectsOutputs,
    roles: RoleOutputs,
) -> VerificationOutputs:
    """Try what the pods will do: a token of the service account, exchanged at Entra, and a blob with it.

    Guide: none; it shows by failing backups what is wrong. Once the Cluster archives, nothing is tried any more.

    Args:
        spec: the environment wanted.
        place: names.
        cluster: the cluster.
        identity: that may write backups.
        account: the storage account.
        container: of the backups.
        credential: the federated credential.
        service_account: of the pods.
        roles: of the identity on the account.

    Returns:
        What was shown.

    Raises:
        LastingState: Entra or the storage account refuses for good, or the archive was used by somebody else.
        NotEffectiveYet: role or credential hasn't spread yet.
    """
    name, namespace = place.names.postgres_cluster, spec.namespaces.database
    if azure.gate.plans:
        return VerificationOutputs(facts=(), change=UNCHANGED)
    async with kubernetes_api(azure, cluster.resource_group, cluster.name) as api:
        live = await read_cluster(api, namespace, name)
        if live is not None and ClusterState.of(live).archives:
            return VerificationOutputs(facts=("the Postgres cluster archives",), change=UNCHANGED)
        if not azure.gate.writes:
            raise WouldWrite(f"Postgres cluster {name}: whether its pods may write backups isn't shown yet")
        blobs = BackupBlobs(api, spec, place, identity.client_id, account, container.name)
        facts = await blobs.prove_access(credential)
        if live is None:
            await blobs.refuse_used(lineage(place))
    return VerificationOutputs(facts=tuple(facts), change=UNCHANGED)


async def read_cluster(api: KubernetesApi, namespace: str, name: str) -> Json | None:
    """The Cluster as its API shows it; None where it isn't there."""
    return await api.get(f"/apis/postgresql.cnpg.io/v1/namespaces/{namespace}/clusters/{name}")
