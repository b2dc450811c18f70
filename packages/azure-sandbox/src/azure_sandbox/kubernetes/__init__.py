"""One Kubernetes API server per AKS cluster, emulated or real."""

from azure_sandbox.kubernetes.api import KubernetesApi
from azure_sandbox.kubernetes.server import ClusterServer

__all__ = ["ClusterServer", "KubernetesApi"]

# `RealKubernetesApi`, with the same surface, is in `azure_sandbox.kubernetes.real`: its HTTP client takes a third of
# a second to import, which only `--kubernetes real` has to wait for.
