"""One Kubernetes API server per AKS cluster, emulated or real."""

from sandbox.kubernetes.api import KubernetesApi
from sandbox.kubernetes.real import RealKubernetesApi
from sandbox.kubernetes.server import ClusterServer

__all__ = ["ClusterServer", "KubernetesApi", "RealKubernetesApi", "cluster_api"]


def cluster_api(kind: str) -> type[KubernetesApi] | type[RealKubernetesApi]:
    """The API server of a kind, `emulated` or `real`; both are made and used alike."""
    return RealKubernetesApi if kind == "real" else KubernetesApi
