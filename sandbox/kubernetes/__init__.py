"""One Kubernetes API server per AKS cluster, emulated or real."""

from sandbox.kubernetes.api import KubernetesApi
from sandbox.kubernetes.server import ClusterServer

__all__ = ["ClusterServer", "KubernetesApi"]

# `RealKubernetesApi`, with the same surface, is in `sandbox.kubernetes.real`: its HTTP client takes a third of
# a second to import, which only `--kubernetes real` has to wait for.
