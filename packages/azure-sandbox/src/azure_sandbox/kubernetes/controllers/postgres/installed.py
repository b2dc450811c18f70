"""What is installed in a cluster: the operator, its plugins and their images."""

from __future__ import annotations

from typing import Any

from azure_sandbox.kubernetes.conditions import is_true
from azure_sandbox.kubernetes.store import Store

Json = dict[str, Any]


def plugins_of(spec: Json) -> list[str]:
    """Names of the plugins that a Cluster has on."""
    return [str(plugin.get("name")) for plugin in spec.get("plugins") or [] if plugin.get("enabled", True)]


def operator_runs(store: Store) -> bool:
    """Whether a Pod of the operator is ready."""
    return any(
        is_true(pod, "Ready") and any(_is_operator(container) for container in pod["spec"]["containers"])
        for pod in store.all("pods")
    )


def _is_operator(container: Json) -> bool:
    return "/cloudnative-pg:" in container.get("image", "")


def plugin_runs(store: Store, name: str) -> bool:
    """Whether a plugin's Service is beside the operator, with a ready Pod behind it."""
    for service in store.all("services"):
        if (service["metadata"].get("labels") or {}).get("cnpg.io/pluginName") == name:
            metadata = service["metadata"]
            endpoints = store.get("endpoints", metadata["namespace"], metadata["name"]) or {}
            return any(subset.get("addresses") for subset in endpoints.get("subsets") or [])
    return False


def sidecar_image(store: Store) -> str:
    """The image that the plugin puts beside PostgreSQL."""
    for deployment in store.all("deployments.apps"):
        for container in deployment["spec"]["template"]["spec"]["containers"]:
            for variable in container.get("env") or []:
                if variable["name"] == "SIDECAR_IMAGE" and "value" in variable:
                    return str(variable["value"])
    return "ghcr.io/cloudnative-pg/plugin-barman-cloud-sidecar:v0.14.0"
