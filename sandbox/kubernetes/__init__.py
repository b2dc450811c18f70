"""One Kubernetes API server per AKS cluster, emulated or real."""

from sandbox.kubernetes.api import KubernetesApi
from sandbox.kubernetes.server import ClusterServer

__all__ = ["ClusterServer", "KubernetesApi"]
