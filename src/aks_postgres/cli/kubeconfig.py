"""The kubeconfig of an environment's cluster, for a person who asks for it. No flow: nothing is recorded."""

from __future__ import annotations

from aks_postgres.kubernetes.client import kubeconfig_of
from aks_postgres.runs.session import run_session
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.tasks.preflight import locate


async def kubeconfig(spec: EnvironmentSpec) -> str:
    """The cluster user's kubeconfig as YAML. Secret: a cluster administrator's credentials.

    Of a cluster with Microsoft Entra ID it holds no credentials: it lets kubelogin get them.

    Args:
        spec: the environment; name, region and subscription say which.

    Raises:
        AzureRefused: there is no such cluster, or the caller may not have its credentials.
    """
    async with run_session(spec, read_only=True) as run:
        names = await locate(run.azure, spec)
        return (await kubeconfig_of(run.azure, names.resource_group, names.cluster)).decode()
