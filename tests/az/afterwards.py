"""What a person asks az once the guide is done: look at everything it made, then take it apart again.

`is` and `has` are the shell's (tests/az/shell.py): the command's output must be, or have a line, with those words.
"""

LOOK = r"""
is "$AZURE_SUBSCRIPTION_ID" az account show --query id
has "$PRIMARY_CLUSTER_REGION" az account list-locations --query "[].name"
is Registered az provider show --namespace Microsoft.ContainerService --query registrationState

has "$RESOURCE_GROUP_NAME" az group list --query "[].name"
is true az group exists --name $RESOURCE_GROUP_NAME
has "$ALA_PRIMARY" az resource list --resource-group $RESOURCE_GROUP_NAME --query "[].name"
is Succeeded az resource show --ids $GRAFANA_RESOURCE_ID --query properties.provisioningState

is "$AKS_UAMI_CLUSTER_IDENTITY_NAME" az identity list --resource-group $RESOURCE_GROUP_NAME --query "[].name"
is "$AKS_UAMI_WORKLOAD_CLIENTID" az identity show \
    --name $AKS_UAMI_CLUSTER_IDENTITY_NAME --resource-group $RESOURCE_GROUP_NAME --query clientId
is "$AKS_PRIMARY_CLUSTER_FED_CREDENTIAL_NAME" az identity federated-credential list \
    --identity-name $AKS_UAMI_CLUSTER_IDENTITY_NAME --resource-group $RESOURCE_GROUP_NAME --query "[].name"

has "$PG_PRIMARY_STORAGE_ACCOUNT_NAME" az storage account list --query "[].name"
is false az storage account check-name --name $PG_PRIMARY_STORAGE_ACCOUNT_NAME --query nameAvailable
is backups az storage container list \
    --account-name $PG_PRIMARY_STORAGE_ACCOUNT_NAME --auth-mode login --query "[].name"

is "Storage Blob Data Contributor" az role assignment list \
    --assignee $AKS_UAMI_WORKLOAD_CLIENTID --scope $STORAGE_ACCOUNT_PRIMARY_RESOURCE_ID \
    --query "[].roleDefinitionName"
is 4d97b98b-1d4f-4787-a291-c67834d212e7 az role definition list --name "Network Contributor" --query "[].name"

is "$AMW_PRIMARY" az monitor account show \
    --name $AMW_PRIMARY --resource-group $RESOURCE_GROUP_NAME --query name
is "$ALA_PRIMARY" az monitor log-analytics workspace list --resource-group $RESOURCE_GROUP_NAME --query "[].name"
is PerGB2018 az monitor log-analytics workspace show \
    --workspace-name $ALA_PRIMARY --resource-group $RESOURCE_GROUP_NAME --query sku.name
has "MSCI-$PRIMARY_CLUSTER_REGION-$AKS_PRIMARY_CLUSTER_NAME" az resource list \
    --resource-group $RESOURCE_GROUP_NAME --resource-type Microsoft.Insights/dataCollectionRules --query "[].name"

is "$AKS_PRIMARY_CLUSTER_NAME" az aks list --resource-group $RESOURCE_GROUP_NAME --query "[].name"
has postgres az aks nodepool list \
    --cluster-name $AKS_PRIMARY_CLUSTER_NAME --resource-group $RESOURCE_GROUP_NAME --query "[].name"
is 3 az aks nodepool show --name postgres \
    --cluster-name $AKS_PRIMARY_CLUSTER_NAME --resource-group $RESOURCE_GROUP_NAME --query minCount
has "$AKS_CLUSTER_VERSION" az aks get-versions --location $PRIMARY_CLUSTER_REGION --query "values[].version"

has "$AKS_PRIMARY_CLUSTER_PUBLICIP_NAME" az network public-ip list \
    --resource-group $AKS_PRIMARY_CLUSTER_NODERG_NAME --query "[].name"
"""

TAKE_APART = r"""
az identity federated-credential delete --name $AKS_PRIMARY_CLUSTER_FED_CREDENTIAL_NAME \
    --identity-name $AKS_UAMI_CLUSTER_IDENTITY_NAME --resource-group $RESOURCE_GROUP_NAME --yes
az storage container delete --name backups --account-name $PG_PRIMARY_STORAGE_ACCOUNT_NAME --auth-mode login
az role assignment delete --assignee $AKS_UAMI_WORKLOAD_OBJECTID --scope $STORAGE_ACCOUNT_PRIMARY_RESOURCE_ID
az network public-ip delete \
    --name $AKS_PRIMARY_CLUSTER_PUBLICIP_NAME --resource-group $AKS_PRIMARY_CLUSTER_NODERG_NAME
az aks nodepool delete --name postgres \
    --cluster-name $AKS_PRIMARY_CLUSTER_NAME --resource-group $RESOURCE_GROUP_NAME
az aks delete --name $AKS_PRIMARY_CLUSTER_NAME --resource-group $RESOURCE_GROUP_NAME --yes
az resource delete --ids $GRAFANA_RESOURCE_ID
az monitor account delete --name $AMW_PRIMARY --resource-group $RESOURCE_GROUP_NAME --yes
az monitor log-analytics workspace delete \
    --workspace-name $ALA_PRIMARY --resource-group $RESOURCE_GROUP_NAME --yes
az storage account delete --name $PG_PRIMARY_STORAGE_ACCOUNT_NAME --resource-group $RESOURCE_GROUP_NAME --yes
az identity delete --name $AKS_UAMI_CLUSTER_IDENTITY_NAME --resource-group $RESOURCE_GROUP_NAME
"""

# The guide's own last command is `--no-wait`; this one sees the end.
GONE = r"""
az group wait --name $RESOURCE_GROUP_NAME --deleted
is false az group exists --name $RESOURCE_GROUP_NAME
is false az group exists --name $AKS_PRIMARY_CLUSTER_NODERG_NAME
"""
