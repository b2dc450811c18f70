"""The guide's commands, in its order: what each says, how it runs offline, and what of ours does the same.

"Create infrastructure" is run from start to end; of the two articles after it, the az commands. Their kubectl
commands are shortened, and not run.
https://learn.microsoft.com/azure/aks/create-postgresql-ha
https://learn.microsoft.com/azure/aks/deploy-postgresql-ha
https://learn.microsoft.com/azure/aks/validate-postgresql-ha
The text is that of MicrosoftDocs/azure-aks-docs (its code is under the MIT licence) in the revision that names
westus3 and Kubernetes 1.29, with the `az aks wait` of the one after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass(frozen=True)
class Command:
    """One block of commands, as a reader of the guide pastes it into a shell.

    Args:
        title: what the guide says that it does.
        text: the block as the guide has it.
        changes: what is said otherwise when it runs offline: the guide's words and those in their place.
        runs: what runs in the place of the whole block; nothing when empty.
        because: why it doesn't run as written; needed with `changes` and `runs`.
        fails_with: what az says, where the guide expects that the command may fail.
        ours: functions of ours that do the same.
        tests: tests that hold those functions to it.
        not_ours: why nothing of ours does the same; needed without `ours`.
    """

    title: str
    text: str
    changes: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    runs: str | None = None
    because: str = ""
    fails_with: str = ""
    ours: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    not_ours: str = ""

    @property
    def script(self) -> str:
        """What runs; empty when nothing does."""
        if self.runs is not None:
            return self.runs
        script = self.text
        for theirs, instead in self.changes.items():
            if theirs not in script:
                raise ValueError(f"{self.title}: the guide doesn't say {theirs!r}")
            script = script.replace(theirs, instead)
        return script


@dataclass(frozen=True)
class Chapter:
    """A second-level heading of an article, with the commands under it."""

    heading: str
    commands: tuple[Command, ...]


_EVERY = "tests/tasks/test_every_resource.py::test_absent_is_created_as_the_guide_creates_it"
_WAITED_FOR = "tests/tasks/test_every_resource.py::test_a_half_done_operation_is_waited_for_and_not_repeated"
_ROLES = "tests/tasks/test_roles.py::test_missing_roles_are_assigned"
_REPORTED = "tests/tasks/test_aks_cluster.py::test_ids_version_and_issuer_are_reported"
_WHOLE_RUN = "tests/flows/test_provision.py::test_first_run_makes_the_writes_of_the_guide"
_VARIABLES = (
    "tests/cli/test_guide_variables.py::"
    "test_every_variable_of_the_guide_is_there_under_its_own_name_and_in_its_order"
)

CREATE_INFRASTRUCTURE = (
    Chapter(
        "Set environment variables",
        (
            Command(
                "Set the variables used throughout the guide",
                r"""
export SUFFIX=$(cat /dev/urandom | LC_ALL=C tr -dc 'a-z0-9' | fold -w 8 | head -n 1)
export LOCAL_NAME="cnpg"
export TAGS="owner=user"
export RESOURCE_GROUP_NAME="rg-${LOCAL_NAME}-${SUFFIX}"
export PRIMARY_CLUSTER_REGION="westus3"
export AKS_PRIMARY_CLUSTER_NAME="aks-primary-${LOCAL_NAME}-${SUFFIX}"
export AKS_PRIMARY_MANAGED_RG_NAME="rg-${LOCAL_NAME}-primary-aksmanaged-${SUFFIX}"
export AKS_PRIMARY_CLUSTER_FED_CREDENTIAL_NAME="pg-primary-fedcred1-${LOCAL_NAME}-${SUFFIX}"
export AKS_PRIMARY_CLUSTER_PG_DNSPREFIX=$(echo $(echo "a$(openssl rand -hex 5 | cut -c1-11)"))
export AKS_UAMI_CLUSTER_IDENTITY_NAME="mi-aks-${LOCAL_NAME}-${SUFFIX}"
export AKS_CLUSTER_VERSION="1.29"
export PG_NAMESPACE="cnpg-database"
export PG_SYSTEM_NAMESPACE="cnpg-system"
export PG_PRIMARY_CLUSTER_NAME="pg-primary-${LOCAL_NAME}-${SUFFIX}"
export PG_PRIMARY_STORAGE_ACCOUNT_NAME="hacnpgpsa${SUFFIX}"
export PG_STORAGE_BACKUP_CONTAINER_NAME="backups"
export ENABLE_AZURE_PVC_UPDATES="true"
export MY_PUBLIC_CLIENT_IP=$(dig +short myip.opendns.com @resolver3.opendns.com)
""",
                changes={
                    "$(cat /dev/urandom | LC_ALL=C tr -dc 'a-z0-9' | fold -w 8 | head -n 1)": "$GUIDE_SUFFIX",
                    '"westus3"': "$GUIDE_REGION",
                    '"1.29"': "$GUIDE_KUBERNETES_VERSION",
                    "$(dig +short myip.opendns.com @resolver3.opendns.com)": (
                        '$(curl --silent --fail --cacert "$SSL_CERT_FILE" "$GUIDE_EGRESS_URL")'
                    ),
                },
                because="Kubernetes 1.29 can't be created any more; suffix and region are those of the run that "
                "this one is compared with; dig asks a server on the internet, and the sandbox knows the answer.",
                ours=(
                    "aks_postgres.cli.guide_variables.guide_variables",
                    "aks_postgres.tasks.preflight.preflight",
                ),
                tests=(_VARIABLES, "tests/arm/test_egress.py::test_opendns_is_asked_as_the_guide_does"),
            ),
        ),
    ),
    Chapter(
        "Install required extensions",
        (
            Command(
                "Install the extensions of az",
                r"""
az extension add --upgrade --name aks-preview --yes --allow-preview true
az extension add --upgrade --name k8s-extension --yes --allow-preview false
az extension add --upgrade --name amg --yes --allow-preview false
""",
                runs="",
                because="They are downloaded from the internet. No command needs aks-preview (the later revision "
                "dropped it) or k8s-extension; in the place of amg, see Managed Grafana.",
                not_ours="No az is used: the flow calls Azure's SDKs.",
            ),
            Command(
                "Install Krew and kubectl's CloudNativePG plugin",
                r"""
(
  set -x; cd "$(mktemp -d)" &&
  OS="$(uname | tr '[:upper:]' '[:lower:]')" &&
  ARCH="$(uname -m | sed -e 's/x86_64/amd64/' -e 's/\(arm\)\(64\)\?.*/\1\2/' -e 's/aarch64$/arm64/')" &&
  KREW="krew-${OS}_${ARCH}" &&
  curl -fsSLO "https://github.com/kubernetes-sigs/krew/releases/latest/download/${KREW}.tar.gz" &&
  tar zxvf "${KREW}.tar.gz" &&
  ./"${KREW}" install krew
)

export PATH="${KREW_ROOT:-$HOME/.krew}/bin:$PATH"

kubectl krew install cnpg
""",
                runs="",
                because="It is downloaded from the internet, and no later command of this article uses it.",
                not_ours="A tool for a person's terminal: the flow calls the Kubernetes API.",
            ),
        ),
    ),
    Chapter(
        "Create a resource group",
        (
            Command(
                "Create the resource group",
                r"""
az group create \
    --name $RESOURCE_GROUP_NAME \
    --location $PRIMARY_CLUSTER_REGION \
    --tags $TAGS \
    --query 'properties.provisioningState' \
    --output tsv
""",
                ours=("aks_postgres.tasks.resource_group.ensure_resource_group",),
                tests=(_EVERY,),
            ),
        ),
    ),
    Chapter(
        "Create a user-assigned managed identity",
        (
            Command(
                "Create the identity",
                r"""
AKS_UAMI_WI_IDENTITY=$(az identity create \
    --name $AKS_UAMI_CLUSTER_IDENTITY_NAME \
    --resource-group $RESOURCE_GROUP_NAME \
    --location $PRIMARY_CLUSTER_REGION \
    --output json)
""",
                ours=("aks_postgres.tasks.managed_identity.ensure_managed_identity",),
                tests=(_EVERY,),
            ),
            Command(
                "Take its IDs",
                r"""
export AKS_UAMI_WORKLOAD_OBJECTID=$( \
    echo "${AKS_UAMI_WI_IDENTITY}" | jq -r '.principalId')
export AKS_UAMI_WORKLOAD_RESOURCEID=$( \
    echo "${AKS_UAMI_WI_IDENTITY}" | jq -r '.id')
export AKS_UAMI_WORKLOAD_CLIENTID=$( \
    echo "${AKS_UAMI_WI_IDENTITY}" | jq -r '.clientId')

echo "ObjectId: $AKS_UAMI_WORKLOAD_OBJECTID"
echo "ResourceId: $AKS_UAMI_WORKLOAD_RESOURCEID"
echo "ClientId: $AKS_UAMI_WORKLOAD_CLIENTID"
""",
                ours=("aks_postgres.cli.guide_variables.guide_variables",),
                tests=(_VARIABLES,),
            ),
        ),
    ),
    Chapter(
        "Create a storage account in the primary region",
        (
            Command(
                "Create the storage account",
                r"""
az storage account create \
    --name $PG_PRIMARY_STORAGE_ACCOUNT_NAME \
    --resource-group $RESOURCE_GROUP_NAME \
    --location $PRIMARY_CLUSTER_REGION \
    --sku Standard_ZRS \
    --kind StorageV2 \
    --query 'provisioningState' \
    --output tsv
""",
                ours=("aks_postgres.tasks.storage.ensure_storage_account",),
                tests=(_EVERY,),
            ),
            Command(
                "Create the container",
                r"""
az storage container create \
    --name $PG_STORAGE_BACKUP_CONTAINER_NAME \
    --account-name $PG_PRIMARY_STORAGE_ACCOUNT_NAME \
    --auth-mode login
""",
                # The guide's note on it quotes the words for another reason, a network rule.
                fails_with="You do not have the required permissions needed to perform this operation",
                ours=("aks_postgres.tasks.storage.ensure_backup_container",),
                tests=(_EVERY,),
            ),
            Command(
                "If necessary, take the role Storage Blob Data Owner",
                r"""
export USER_ID=$(az ad signed-in-user show --query id --output tsv)

export STORAGE_ACCOUNT_PRIMARY_RESOURCE_ID=$(az storage account show \
    --name $PG_PRIMARY_STORAGE_ACCOUNT_NAME \
    --resource-group $RESOURCE_GROUP_NAME \
    --query "id" \
    --output tsv)

az role assignment list --scope $STORAGE_ACCOUNT_PRIMARY_RESOURCE_ID --output table

az role assignment create \
    --assignee-object-id $USER_ID \
    --assignee-principal-type User \
    --scope $STORAGE_ACCOUNT_PRIMARY_RESOURCE_ID \
    --role "Storage Blob Data Owner" \
    --output tsv
""",
                changes={
                    "az ad signed-in-user show": "az ad sp show --id $AZURE_CLIENT_ID",
                    "--assignee-principal-type User": "--assignee-principal-type ServicePrincipal",
                },
                because="A service principal is signed in, not a person, and Graph's /me knows persons only.",
                ours=("aks_postgres.tasks.storage.ensure_blob_roles",),
                tests=(_ROLES,),
            ),
            Command(
                "... and create the container again",
                r"""
az storage container create \
    --name $PG_STORAGE_BACKUP_CONTAINER_NAME \
    --account-name $PG_PRIMARY_STORAGE_ACCOUNT_NAME \
    --auth-mode login
""",
                ours=("aks_postgres.tasks.storage.ensure_backup_container",),
                tests=(_EVERY,),
            ),
        ),
    ),
    Chapter(
        "Assign RBAC to storage accounts",
        (
            Command(
                "Get the resource ID of the storage account",
                r"""
export STORAGE_ACCOUNT_PRIMARY_RESOURCE_ID=$(az storage account show \
    --name $PG_PRIMARY_STORAGE_ACCOUNT_NAME \
    --resource-group $RESOURCE_GROUP_NAME \
    --query "id" \
    --output tsv)

echo $STORAGE_ACCOUNT_PRIMARY_RESOURCE_ID
""",
                ours=("aks_postgres.tasks.storage.ensure_storage_account",),
                tests=(_VARIABLES,),
            ),
            Command(
                "Give the identity Storage Blob Data Contributor on it",
                r"""
az role assignment create \
    --role "Storage Blob Data Contributor" \
    --assignee-object-id $AKS_UAMI_WORKLOAD_OBJECTID \
    --assignee-principal-type ServicePrincipal \
    --scope $STORAGE_ACCOUNT_PRIMARY_RESOURCE_ID \
    --query "id" \
    --output tsv
""",
                ours=("aks_postgres.tasks.storage.ensure_blob_roles",),
                tests=(_ROLES,),
            ),
        ),
    ),
    Chapter(
        "Set up monitoring infrastructure",
        (
            Command(
                "Create the Managed Grafana instance",
                r"""
export GRAFANA_PRIMARY="grafana-${LOCAL_NAME}-${SUFFIX}"

export GRAFANA_RESOURCE_ID=$(az grafana create \
    --resource-group $RESOURCE_GROUP_NAME \
    --name $GRAFANA_PRIMARY \
    --location $PRIMARY_CLUSTER_REGION \
    --zone-redundancy Enabled \
    --tags $TAGS \
    --query "id" \
    --output tsv)

echo $GRAFANA_RESOURCE_ID
""",
                # Body and roles are in the extension's source:
                # https://github.com/Azure/azure-cli-extensions/tree/main/src/amg
                # Its client registers a missing provider by itself; `az resource create` doesn't. az 2.91.0 without the
                # registration: "ERROR: (MissingSubscriptionRegistration) The subscription is not registered to use
                # namespace 'Microsoft.Dashboard'."
                runs=r"""
export GRAFANA_PRIMARY="grafana-${LOCAL_NAME}-${SUFFIX}"

az provider register --namespace Microsoft.Dashboard --wait

export GRAFANA_RESOURCE_ID=$(az resource create \
    --resource-group $RESOURCE_GROUP_NAME \
    --name $GRAFANA_PRIMARY \
    --resource-type Microsoft.Dashboard/grafana \
    --api-version 2023-09-01 \
    --is-full-object \
    --properties '{
        "location": "'$PRIMARY_CLUSTER_REGION'",
        "tags": {"owner": "user"},
        "sku": {"name": "Standard"},
        "identity": {"type": "SystemAssigned"},
        "properties": {
            "zoneRedundancy": "Enabled",
            "apiKey": "Disabled",
            "deterministicOutboundIP": "Disabled",
            "publicNetworkAccess": "Enabled"
        }
    }' \
    --query "id" \
    --output tsv)

az role assignment create \
    --role "Grafana Admin" \
    --assignee-object-id $USER_ID \
    --assignee-principal-type ServicePrincipal \
    --scope $GRAFANA_RESOURCE_ID \
    --output none

az role assignment create \
    --role "Monitoring Reader" \
    --assignee-object-id $(az resource show \
        --ids $GRAFANA_RESOURCE_ID --query identity.principalId --output tsv) \
    --assignee-principal-type ServicePrincipal \
    --scope /subscriptions/$AZURE_SUBSCRIPTION_ID \
    --output none

echo $GRAFANA_RESOURCE_ID
""",
                because="`az grafana` is the extension amg, which is downloaded from the internet; these are the "
                "requests that it sends.",
                ours=(
                    "aks_postgres.tasks.grafana.ensure_grafana",
                    "aks_postgres.tasks.grafana.ensure_grafana_roles",
                ),
                tests=(_EVERY, _ROLES),
            ),
            Command(
                "Create the Azure Monitor workspace",
                r"""
export AMW_PRIMARY="amw-${LOCAL_NAME}-${SUFFIX}"

export AMW_RESOURCE_ID=$(az monitor account create \
    --name $AMW_PRIMARY \
    --resource-group $RESOURCE_GROUP_NAME \
    --location $PRIMARY_CLUSTER_REGION \
    --tags $TAGS \
    --query "id" \
    --output tsv)

echo $AMW_RESOURCE_ID
""",
                ours=("aks_postgres.tasks.monitor_workspaces.ensure_monitor_workspace",),
                tests=(_EVERY,),
            ),
            Command(
                "Create the Log Analytics workspace",
                r"""
export ALA_PRIMARY="ala-${LOCAL_NAME}-${SUFFIX}"

export ALA_RESOURCE_ID=$(az monitor log-analytics workspace create \
    --resource-group $RESOURCE_GROUP_NAME \
    --workspace-name $ALA_PRIMARY \
    --location $PRIMARY_CLUSTER_REGION \
    --query "id" \
    --output tsv)

echo $ALA_RESOURCE_ID
""",
                ours=("aks_postgres.tasks.monitor_workspaces.ensure_log_workspace",),
                tests=(_EVERY,),
            ),
        ),
    ),
    Chapter(
        "Create the AKS cluster to host the PostgreSQL cluster",
        (
            Command(
                "Create the cluster, with managed Prometheus",
                r"""
export SYSTEM_NODE_POOL_VMSKU="standard_d2s_v3"
export USER_NODE_POOL_NAME="postgres"
export USER_NODE_POOL_VMSKU="standard_d4s_v3"

az aks create \
    --name $AKS_PRIMARY_CLUSTER_NAME \
    --tags $TAGS \
    --resource-group $RESOURCE_GROUP_NAME \
    --location $PRIMARY_CLUSTER_REGION \
    --generate-ssh-keys \
    --node-resource-group $AKS_PRIMARY_MANAGED_RG_NAME \
    --enable-managed-identity \
    --assign-identity $AKS_UAMI_WORKLOAD_RESOURCEID \
    --network-plugin azure \
    --network-plugin-mode overlay \
    --network-dataplane cilium \
    --nodepool-name systempool \
    --enable-oidc-issuer \
    --enable-workload-identity \
    --enable-cluster-autoscaler \
    --min-count 2 \
    --max-count 3 \
    --node-vm-size $SYSTEM_NODE_POOL_VMSKU \
    --enable-azure-monitor-metrics \
    --azure-monitor-workspace-resource-id $AMW_RESOURCE_ID \
    --grafana-resource-id $GRAFANA_RESOURCE_ID \
    --api-server-authorized-ip-ranges $MY_PUBLIC_CLIENT_IP \
    --tier standard \
    --kubernetes-version $AKS_CLUSTER_VERSION \
    --zones 1 2 3 \
    --output table
""",
                changes={'"standard_d2s_v3"': "$GUIDE_VM_SIZE", '"standard_d4s_v3"': "$GUIDE_VM_SIZE"},
                because="AKS asks for 4 vCPUs in a system pool now, and the Dsv3 sizes are of an old generation.",
                ours=(
                    "aks_postgres.tasks.aks_cluster.ensure_cluster",
                    "aks_postgres.tasks.providers.register_providers",
                    "aks_postgres.tasks.managed_prometheus.ensure_metrics_endpoint",
                    "aks_postgres.tasks.managed_prometheus.ensure_metrics_rule",
                    "aks_postgres.tasks.managed_prometheus.ensure_metrics_association",
                    "aks_postgres.tasks.grafana.ensure_metrics_reader",
                    "aks_postgres.tasks.grafana.ensure_grafana_link",
                    "aks_postgres.tasks.managed_prometheus.ensure_rule_groups",
                    "aks_postgres.tasks.managed_prometheus.ensure_metrics_on",
                ),
                tests=(_EVERY, _WHOLE_RUN),
            ),
            Command(
                "Wait until the cluster is created",
                r"""
az aks wait \
    --name $AKS_PRIMARY_CLUSTER_NAME \
    --resource-group $RESOURCE_GROUP_NAME \
    --created
""",
                ours=("aks_postgres.tasks.aks_cluster.ensure_cluster",),
                tests=(_WAITED_FOR,),
            ),
            Command(
                "Add the node pool for PostgreSQL",
                r"""
az aks nodepool add \
    --resource-group $RESOURCE_GROUP_NAME \
    --cluster-name $AKS_PRIMARY_CLUSTER_NAME \
    --name $USER_NODE_POOL_NAME \
    --enable-cluster-autoscaler \
    --min-count 3 \
    --max-count 6 \
    --node-vm-size $USER_NODE_POOL_VMSKU \
    --zones 1 2 3 \
    --labels workload=postgres \
    --output table
""",
                ours=("aks_postgres.tasks.aks_cluster.ensure_node_pool",),
                tests=(_EVERY,),
            ),
            Command(
                "Storage class: Premium SSD",
                r"""
export POSTGRES_STORAGE_CLASS="managed-csi-premium"
""",
                ours=("aks_postgres.cli.guide_variables.guide_variables",),
                tests=(_VARIABLES,),
            ),
            Command(
                "Storage class: Premium SSD v2, the second choice",
                r"""
cat <<EOF | kubectl apply --context $AKS_PRIMARY_CLUSTER_NAME -n $PG_NAMESPACE -v 9 -f -
apiVersion: storage.k8s.io/v1
 kind: StorageClass
 metadata:
   name: premium2-disk-sc
 parameters:
   cachingMode: None
   skuName: PremiumV2_LRS
   DiskIOPSReadWrite: "4000"
   DiskMBpsReadWrite: "1000"
 provisioner: disk.csi.azure.com
 reclaimPolicy: Delete
 volumeBindingMode: Immediate
 allowVolumeExpansion: true
EOF

export POSTGRES_STORAGE_CLASS="premium2-disk-sc"
""",
                runs="",
                because="The first choice is taken. As printed it is no YAML (its second line is indented), and "
                "kubectl has no credentials of the cluster yet.",
                not_ours="The first choice comes with AKS and needs no step.",
            ),
            Command(
                "Storage class: local NVMe, the third choice",
                r"""
az aks update \
    --name $AKS_PRIMARY_CLUSTER_NAME \
    --resource-group $RESOURCE_GROUP_NAME \
    --enable-azure-container-storage ephemeralDisk \
    --storage-pool-option NVMe \
    --ephemeral-disk-volume-type PersistentVolumeWithAnnotation \
    --azure-container-storage-nodepools $USER_NODE_POOL_NAME

cat <<EOF | kubectl apply --context $AKS_PRIMARY_CLUSTER_NAME -n $PG_NAMESPACE -v 9 -f -
apiVersion: storage.k8s.io/v1
 kind: StorageClass
 metadata:
   name: acstor-ephemeraldisk-nvme-db
 parameters:
   acstor.azure.com/storagepool: ephemeraldisk-nvme
   hyperconverged: "true"
   ioTimeout: "60"
   proto: nvmf
   repl: "1"
   enableDBProfile: "true"
 provisioner: containerstorage.csi.azure.com
 reclaimPolicy: Delete
 volumeBindingMode: WaitForFirstConsumer
EOF

export POSTGRES_STORAGE_CLASS="acstor-ephemeraldisk-nvme-db"
""",
                runs="",
                because="The first choice is taken. It needs the extension k8s-extension, which is downloaded "
                "from the internet, and a VM size with local NVMe disks.",
                not_ours="The first choice comes with AKS and needs no step.",
            ),
        ),
    ),
    Chapter(
        "Connect to the AKS cluster and create namespaces",
        (
            Command(
                "Get the credentials of the cluster",
                r"""
az aks get-credentials \
    --resource-group $RESOURCE_GROUP_NAME \
    --name $AKS_PRIMARY_CLUSTER_NAME \
    --output none
""",
                ours=(
                    "aks_postgres.tasks.aks_cluster.reach_api_server",
                    "aks_postgres.cli.kubeconfig.kubeconfig",
                ),
                tests=("tests/cli/test_commands.py::test_an_environment_from_nothing_to_kubectl",),
            ),
            Command(
                "Create the namespaces",
                r"""
kubectl create namespace $PG_NAMESPACE --context $AKS_PRIMARY_CLUSTER_NAME
kubectl create namespace $PG_SYSTEM_NAMESPACE --context $AKS_PRIMARY_CLUSTER_NAME
""",
                ours=("aks_postgres.tasks.namespaces.ensure_namespaces",),
                tests=("tests/tasks/test_kubernetes_steps.py::test_missing_namespaces_are_created",),
            ),
        ),
    ),
    Chapter(
        "Update the monitoring infrastructure",
        (
            Command(
                "Enable Container insights",
                r"""
az aks enable-addons \
    --addon monitoring \
    --name $AKS_PRIMARY_CLUSTER_NAME \
    --resource-group $RESOURCE_GROUP_NAME \
    --workspace-resource-id $ALA_RESOURCE_ID \
    --output table
""",
                ours=(
                    "aks_postgres.tasks.container_insights.ensure_logs_rule",
                    "aks_postgres.tasks.container_insights.ensure_logs_association",
                    "aks_postgres.tasks.container_insights.ensure_container_insights",
                ),
                tests=(
                    _EVERY,
                    "tests/tasks/test_cluster_writes.py::test_the_add_on_is_switched_on_as_az_does_it",
                ),
            ),
            Command(
                "Validate that metrics and logs are collected",
                r"""
kubectl get ds ama-metrics-node \
    --context $AKS_PRIMARY_CLUSTER_NAME \
    --namespace=kube-system

kubectl get ds ama-logs \
    --context $AKS_PRIMARY_CLUSTER_NAME \
    --namespace=kube-system

az aks show \
    --resource-group $RESOURCE_GROUP_NAME \
    --name $AKS_PRIMARY_CLUSTER_NAME \
    --query addonProfiles
""",
                ours=("aks_postgres.tasks.verify.verify_environment",),
                tests=(
                    "tests/tasks/test_verify.py::test_a_finished_environment_is_verified_by_reading_only",
                ),
            ),
        ),
    ),
    Chapter(
        "Create a public static IP for PostgreSQL cluster ingress",
        (
            Command(
                "Get the name of the node resource group",
                r"""
export AKS_PRIMARY_CLUSTER_NODERG_NAME=$(az aks show \
    --name $AKS_PRIMARY_CLUSTER_NAME \
    --resource-group $RESOURCE_GROUP_NAME \
    --query nodeResourceGroup \
    --output tsv)

echo $AKS_PRIMARY_CLUSTER_NODERG_NAME
""",
                ours=("aks_postgres.tasks.aks_cluster.ensure_cluster",),
                tests=(_REPORTED,),
            ),
            Command(
                "Create the public IP address",
                r"""
export AKS_PRIMARY_CLUSTER_PUBLICIP_NAME="$AKS_PRIMARY_CLUSTER_NAME-pip"

az network public-ip create \
    --resource-group $AKS_PRIMARY_CLUSTER_NODERG_NAME \
    --name $AKS_PRIMARY_CLUSTER_PUBLICIP_NAME \
    --location $PRIMARY_CLUSTER_REGION \
    --sku Standard \
    --zone 1 2 3 \
    --allocation-method static \
    --output table
""",
                ours=("aks_postgres.tasks.public_ip.ensure_public_ip",),
                tests=(_EVERY,),
            ),
            Command(
                "Get the address",
                r"""
export AKS_PRIMARY_CLUSTER_PUBLICIP_ADDRESS=$(az network public-ip show \
    --resource-group $AKS_PRIMARY_CLUSTER_NODERG_NAME \
    --name $AKS_PRIMARY_CLUSTER_PUBLICIP_NAME \
    --query ipAddress \
    --output tsv)

echo $AKS_PRIMARY_CLUSTER_PUBLICIP_ADDRESS
""",
                ours=("aks_postgres.tasks.public_ip.ensure_public_ip",),
                tests=("tests/tasks/test_public_ip.py::test_the_address_is_reported",),
            ),
            Command(
                "Get the resource ID of the node resource group",
                r"""
export AKS_PRIMARY_CLUSTER_NODERG_NAME_SCOPE=$(az group show --name \
    $AKS_PRIMARY_CLUSTER_NODERG_NAME \
    --query id \
    --output tsv)

echo $AKS_PRIMARY_CLUSTER_NODERG_NAME_SCOPE
""",
                ours=("aks_postgres.tasks.aks_cluster.ensure_cluster",),
                tests=(_REPORTED,),
            ),
            Command(
                "Give the identity Network Contributor on it",
                r"""
az role assignment create \
    --assignee-object-id ${AKS_UAMI_WORKLOAD_OBJECTID} \
    --assignee-principal-type ServicePrincipal \
    --role "Network Contributor" \
    --scope ${AKS_PRIMARY_CLUSTER_NODERG_NAME_SCOPE}
""",
                ours=("aks_postgres.tasks.public_ip.ensure_network_role",),
                tests=(_ROLES,),
            ),
        ),
    ),
    Chapter(
        "Install the CNPG operator in the AKS cluster",
        (
            Command(
                "With Helm: add the repository, install, verify",
                r"""
helm repo add cnpg https://cloudnative-pg.github.io/charts

helm upgrade --install cnpg \
    --namespace $PG_SYSTEM_NAMESPACE \
    --create-namespace \
    --kube-context=$AKS_PRIMARY_CLUSTER_NAME \
    cnpg/cloudnative-pg

kubectl get deployment \
    --context $AKS_PRIMARY_CLUSTER_NAME \
    --namespace $PG_SYSTEM_NAMESPACE cnpg-cloudnative-pg
""",
                runs="",
                because="The chart's repository is on the internet; the guide's other way is taken.",
                ours=("aks_postgres.tasks.cnpg_operator.ensure_cnpg_operator",),
                tests=(
                    "tests/tasks/test_operator_chart.py::test_the_chart_is_installed_and_the_operator_available",
                ),
            ),
            Command(
                "With YAML: install",
                r"""
kubectl apply --context $AKS_PRIMARY_CLUSTER_NAME \
    --namespace $PG_SYSTEM_NAMESPACE \
    --server-side -f \
    https://raw.githubusercontent.com/cloudnative-pg/cloudnative-pg/release-1.23/releases/cnpg-1.23.1.yaml
""",
                changes={
                    "https://raw.githubusercontent.com/cloudnative-pg/cloudnative-pg/release-1.23/releases/"
                    "cnpg-1.23.1.yaml": "$GUIDE_OPERATOR_MANIFEST_URL"
                },
                because="The manifest is on the internet; the sandbox has one like it.",
                ours=("aks_postgres.tasks.cnpg_operator.ensure_cnpg_operator",),
                tests=(
                    "tests/tasks/test_kubernetes_steps.py::test_the_operator_is_installed_in_order_and_available",
                ),
            ),
            Command(
                "With YAML: verify",
                r"""
kubectl get deployment \
    --namespace $PG_SYSTEM_NAMESPACE cnpg-controller-manager \
    --context $AKS_PRIMARY_CLUSTER_NAME
""",
                ours=(
                    "aks_postgres.tasks.cnpg_operator.ensure_cnpg_operator",
                    "aks_postgres.tasks.verify.verify_environment",
                ),
                tests=(
                    "tests/tasks/test_kubernetes_steps.py::test_the_operator_is_installed_in_order_and_available",
                ),
            ),
        ),
    ),
)

_DATABASE = "tests/tasks/test_database.py::test_everything_is_made_once"
_REAL = "tests/database/test_real_postgres.py::test_backups_are_real_blobs_in_the_pods_own_name"
_NO_OPERATOR = (
    "With the real az no database is made; `make test-database` makes one on real PostgreSQL. Shortened here."
)
_NO_RESTORE = "A restore to a copy isn't done yet."

AFTERWARDS = (
    Chapter(
        "Deploy: Create secret for bootstrap app user",
        (
            Command(
                "Draw a password and create the secret",
                r"""
kubectl create secret generic db-user-pass \
    --from-literal=username=app \
    --from-literal=password="${PG_DATABASE_APPUSER_SECRET}" \
    --namespace $PG_NAMESPACE
""",
                runs="",
                because=_NO_OPERATOR,
                ours=("aks_postgres.tasks.database.secret.ensure_app_secret",),
                tests=(_DATABASE,),
            ),
            Command(
                "Validate that it is there",
                r"""
kubectl get secret db-user-pass --namespace $PG_NAMESPACE
""",
                runs="",
                because=_NO_OPERATOR,
                ours=("aks_postgres.tasks.database.secret.ensure_app_secret",),
                tests=(_DATABASE,),
            ),
        ),
    ),
    Chapter(
        "Deploy: Set environment variables for the PostgreSQL cluster",
        (
            Command(
                "Deploy a ConfigMap",
                r"""
kubectl apply --namespace $PG_NAMESPACE -f - # ConfigMap cnpg-controller-manager-config
""",
                runs="",
                because=_NO_OPERATOR,
                ours=("aks_postgres.tasks.database.components.ensure_operator_settings",),
                tests=(_DATABASE,),
            ),
        ),
    ),
    Chapter(
        "Deploy: Install the Prometheus PodMonitors",
        (
            Command(
                "Install a Prometheus of its own",
                r"""
helm repo add prometheus-community https://prometheus-community.github.io/helm-charts
helm upgrade --install prometheus-community
""",
                runs="",
                because=_NO_OPERATOR,
                not_ours="Managed Prometheus reads the metrics; a second Prometheus would be one more thing to run.",
            ),
        ),
    ),
    Chapter(
        "Deploy: Create a federated credential",
        (
            Command(
                "Get the OIDC issuer URL of the cluster",
                r"""
export AKS_PRIMARY_CLUSTER_OIDC_ISSUER="$(az aks show \
    --name $AKS_PRIMARY_CLUSTER_NAME \
    --resource-group $RESOURCE_GROUP_NAME \
    --query "oidcIssuerProfile.issuerUrl" \
    --output tsv)"
""",
                ours=("aks_postgres.tasks.aks_cluster.ensure_cluster",),
                tests=(_REPORTED,),
            ),
            Command(
                "Create the federated credential",
                r"""
az identity federated-credential create \
    --name $AKS_PRIMARY_CLUSTER_FED_CREDENTIAL_NAME \
    --identity-name $AKS_UAMI_CLUSTER_IDENTITY_NAME \
    --resource-group $RESOURCE_GROUP_NAME \
    --issuer "${AKS_PRIMARY_CLUSTER_OIDC_ISSUER}" \
    --subject system:serviceaccount:"${PG_NAMESPACE}":"${PG_PRIMARY_CLUSTER_NAME}" \
    --audience api://AzureADTokenExchange
""",
                ours=("aks_postgres.tasks.database.credential.ensure_database_credential",),
                tests=(_DATABASE,),
            ),
        ),
    ),
    Chapter(
        "Deploy: Deploy a highly available PostgreSQL cluster",
        (
            Command(
                "Deploy the cluster",
                r"""
kubectl apply --namespace $PG_NAMESPACE -f - # Cluster $PG_PRIMARY_CLUSTER_NAME
""",
                runs="",
                because=_NO_OPERATOR,
                ours=(
                    "aks_postgres.tasks.database.postgres_cluster.ensure_postgres_cluster",
                    "aks_postgres.tasks.database.backups.ensure_object_store",
                ),
                tests=(_DATABASE,),
            ),
            Command(
                "Look at its pods",
                r"""
kubectl get pods --namespace $PG_NAMESPACE -l cnpg.io/cluster=$PG_PRIMARY_CLUSTER_NAME
""",
                runs="",
                because=_NO_OPERATOR,
                ours=("aks_postgres.tasks.database.postgres_cluster.wait_until_postgres_is_ready",),
                tests=(_DATABASE,),
            ),
            Command(
                "Look at the PodMonitor of the Prometheus of its own",
                r"""
kubectl get podmonitors.monitoring.coreos.com --namespace $PG_NAMESPACE
""",
                runs="",
                because=_NO_OPERATOR,
                not_ours="There is none: managed Prometheus has its own.",
            ),
            Command(
                "Create and verify the PodMonitor of managed Prometheus",
                r"""
kubectl apply --namespace $PG_NAMESPACE -f - # PodMonitor cnpg-cluster-metrics-managed-prometheus
kubectl get podmonitors.azmonitoring.coreos.com --namespace $PG_NAMESPACE
""",
                runs="",
                because=_NO_OPERATOR,
                ours=("aks_postgres.tasks.database.monitoring.ensure_database_monitor",),
                tests=(_DATABASE,),
            ),
        ),
    ),
    Chapter(
        "Validate: Inspect the deployed PostgreSQL cluster",
        (
            Command(
                "Look at the zones of its nodes",
                r"""
kubectl get nodes --output json
""",
                runs="",
                because=_NO_OPERATOR,
                not_ours="The Cluster requires other nodes and other zones, so it isn't ready before it is so.",
            ),
        ),
    ),
    Chapter(
        "Validate: Connect to PostgreSQL and create a sample dataset",
        (
            Command(
                "Open psql and make a table",
                r"""
kubectl cnpg psql $PG_PRIMARY_CLUSTER_NAME --namespace $PG_NAMESPACE
""",
                runs="",
                because=_NO_OPERATOR,
                not_ours="`aks-postgres psql`, as the databases' owner and not as the superuser. "
                "A table is the application's.",
            ),
        ),
    ),
    Chapter(
        "Validate: Connect to PostgreSQL read-only replicas",
        (
            Command(
                "Open psql on a replica",
                r"""
kubectl cnpg psql --replica $PG_PRIMARY_CLUSTER_NAME --namespace $PG_NAMESPACE
""",
                runs="",
                because=_NO_OPERATOR,
                not_ours="`aks-postgres psql --replica`.",
            ),
        ),
    ),
    Chapter(
        "Validate: Set up on-demand and scheduled PostgreSQL backups using Barman",
        (
            Command(
                "Validate that WAL is archived",
                r"""
kubectl cnpg status $PG_PRIMARY_CLUSTER_NAME 1 --namespace $PG_NAMESPACE
""",
                runs="",
                because=_NO_OPERATOR,
                ours=("aks_postgres.tasks.database.backups.ensure_first_backup",),
                tests=(_DATABASE,),
            ),
            Command(
                "Take a backup, and look at it",
                r"""
kubectl apply --namespace $PG_NAMESPACE -f - # Backup on-demand-backup-1
kubectl describe backup $BACKUP_ONDEMAND_NAME --namespace $PG_NAMESPACE
""",
                runs="",
                because=_NO_OPERATOR,
                ours=("aks_postgres.tasks.database.backups.ensure_first_backup",),
                tests=(_DATABASE,),
            ),
            Command(
                "Configure a scheduled backup",
                r"""
kubectl apply --namespace $PG_NAMESPACE -f - # ScheduledBackup scheduled-backup-1
kubectl describe scheduledbackup $BACKUP_SCHEDULED_NAME --namespace $PG_NAMESPACE
""",
                runs="",
                because=_NO_OPERATOR,
                ours=("aks_postgres.tasks.database.backups.ensure_backup_schedule",),
                tests=(_DATABASE,),
            ),
            Command(
                "View the backup files",
                r"""
az storage blob list \
    --account-name $PG_PRIMARY_STORAGE_ACCOUNT_NAME \
    --container-name backups \
    --query "[*].name" \
    --only-show-errors
""",
                ours=("aks_postgres.tasks.database.backups.verify_archive",),
                tests=(_REAL,),
            ),
        ),
    ),
    Chapter(
        "Validate: Restore the on-demand backup to a new PostgreSQL cluster",
        (
            Command(
                "Create a second federated credential",
                r"""
export PG_PRIMARY_CLUSTER_NAME_RECOVERED="$PG_PRIMARY_CLUSTER_NAME-recovered-db"

az identity federated-credential create \
    --name $PG_PRIMARY_CLUSTER_NAME_RECOVERED \
    --identity-name $AKS_UAMI_CLUSTER_IDENTITY_NAME \
    --resource-group $RESOURCE_GROUP_NAME \
    --issuer "${AKS_PRIMARY_CLUSTER_OIDC_ISSUER}" \
    --subject system:serviceaccount:"${PG_NAMESPACE}":"${PG_PRIMARY_CLUSTER_NAME_RECOVERED}" \
    --audience api://AzureADTokenExchange
""",
                not_ours=_NO_RESTORE,
            ),
            Command(
                "Delete it",
                r"""
az identity federated-credential delete \
    --name $PG_PRIMARY_CLUSTER_NAME_RECOVERED \
    --identity-name $AKS_UAMI_CLUSTER_IDENTITY_NAME \
    --resource-group $RESOURCE_GROUP_NAME \
    --yes
""",
                not_ours=_NO_RESTORE,
            ),
        ),
    ),
    Chapter(
        "Validate: Expose the PostgreSQL cluster using a public load balancer",
        (
            Command(
                "Get the Services",
                r"""
kubectl get services --namespace $PG_NAMESPACE -l cnpg.io/cluster=$PG_PRIMARY_CLUSTER_NAME
""",
                runs="",
                because=_NO_OPERATOR,
                ours=("aks_postgres.tasks.database.postgres_cluster.ensure_postgres_cluster",),
                tests=(_DATABASE,),
            ),
            Command(
                "Configure the load balancers",
                r"""
kubectl apply -f - # Services cnpg-cluster-load-balancer-rw and -ro
""",
                runs="",
                because=_NO_OPERATOR,
                ours=("aks_postgres.tasks.database.postgres_cluster.ensure_postgres_cluster",),
                tests=(_DATABASE,),
            ),
            Command(
                "Get the DNS name of the load balancer",
                r"""
export AKS_PRIMARY_CLUSTER_ALB_DNSNAME="$(az network public-ip show \
    --resource-group $AKS_PRIMARY_CLUSTER_NODERG_NAME \
    --name $AKS_PRIMARY_CLUSTER_PUBLICIP_NAME \
    --query "dnsSettings.fqdn" --output tsv)"

echo $AKS_PRIMARY_CLUSTER_ALB_DNSNAME
""",
                not_ours="`aks-postgres outputs` prints it; it is computed.",
            ),
        ),
    ),
)

CLEAN_UP = (
    Chapter(
        "Validate: Clean up resources",
        (
            Command(
                "Delete the resource group",
                r"""
az group delete --resource-group $RESOURCE_GROUP_NAME --no-wait --yes
""",
                not_ours="`tear_down` deletes what the environment owns, one by one, and the group once it is empty: "
                "a group's deletion would take along what others put into it.",
            ),
        ),
    ),
)

GUIDE = CREATE_INFRASTRUCTURE + AFTERWARDS + CLEAN_UP
