"""The kubeconfig of an environment's cluster, for a person who asks for it. No flow: nothing is recorded."""

from __future__ import annotations

from cloud.kubernetes_api import kubeconfig_of
from environment.spec import EnvironmentSpec
from flows._session import run_session
from tasks.preflight import locate


async def kubeconfig(spec: EnvironmentSpec) -> str:
    """The cluster user's kubeconfig as YAML. Secret: a cluster administrator's credentials.

    Args:
        spec: the environment; name, region and subscription say which.

    Raises:
        AzureRefused: there is no such cluster, or the caller may not have its credentials.
    """
    async with run_session(spec, read_only=True):
        names = await locate(spec)
        return (await kubeconfig_of(names.resource_group, names.cluster)).decode()
