"""Kubernetes versions in AKS: what is offered, on which support plan, and which upgrades are allowed.

Facts: `azure_sandbox/data/kubernetes_versions.yaml`. Policy:
https://learn.microsoft.com/azure/aks/supported-kubernetes-versions
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from azure_sandbox.core.responses import ArmError

DATA = Path(__file__).parent.parent / "data"

COMMUNITY = "KubernetesOfficial"
LONG_TERM = "AKSLongTermSupport"


@dataclass(frozen=True)
class Minor:
    """A minor version, `1.35`, with its patch versions, oldest first."""

    version: str
    patches: tuple[str, ...]
    support_plans: tuple[str, ...]
    default: bool = False
    preview: bool = False


@cache
def minors() -> dict[str, Minor]:
    """The minor versions on offer, oldest first; every region offers the same."""
    table = yaml.safe_load((DATA / "kubernetes_versions.yaml").read_text(encoding="utf-8"))["versions"]
    listed = [
        Minor(
            version=entry["version"],
            patches=tuple(entry["patches"]),
            support_plans=tuple(entry["support_plans"]),
            default=entry.get("default", False),
            preview=entry.get("preview", False),
        )
        for entry in table
    ]
    return {minor.version: minor for minor in listed}


def number(version: str) -> tuple[int, ...]:
    """A version to compare: `1.35.2` is (1, 35, 2)."""
    return tuple(int(part) for part in version.split("."))


def minor_of(version: str) -> str:
    """`1.35` of `1.35.2`."""
    return ".".join(version.split(".")[:2])


def default_minor() -> str:
    """The version that a cluster gets when it names none."""
    return next(minor.version for minor in minors().values() if minor.default)


def newest_patch(version: str) -> str:
    """A full version: of a minor version the newest patch, of a full version itself."""
    minor = minors().get(version)
    return minor.patches[-1] if minor else version


def is_preview(version: str) -> bool:
    """Whether a version is offered as a preview."""
    minor = minors().get(minor_of(version))
    return minor is not None and minor.preview


def check_offered(cluster: str, version: str, support_plan: str) -> str:
    """The full version for the one asked for, or 400 K8sVersionNotSupported.

    Long-term support only: https://github.com/apecloud/kubeblocks/pull/10136 (raw, April 2026).
    Not offered at all: https://github.com/cloudnative-pg/cloudnative-pg/pull/5638.

    Args:
        cluster: its name, for the text.
        version: `1.35` or `1.35.2`.
        support_plan: the cluster's.
    """
    full = newest_patch(version)
    minor = minors().get(minor_of(version))
    hint = (
        "use [az aks get-versions] command to get the supported version list in this region. For more "
        "information, please check https://aka.ms/supported-version-list"
    )
    if minor is None or full not in minor.patches:
        text = (
            f"Managed cluster {cluster} is on version {full} which is not supported in this region. "
            f"Please {hint}"
        )
        raise ArmError(400, "K8sVersionNotSupported", text, bare=True)
    if support_plan not in minor.support_plans:
        text = (
            f"Managed cluster {cluster} is on version {full}, which is only available for Long-Term "
            "Support (LTS). If you intend to onboard to LTS, please ensure the cluster is in Premium tier "
            f"and LTS support plan (see https://aka.ms/aks/enable-lts). Otherwise, {hint}"
        )
        raise ArmError(400, "K8sVersionNotSupported", text, bare=True)
    return full


def upgrades_from(version: str) -> list[str]:
    """The full versions that a control plane may go to: newer patches, and the next minor's."""
    major, minor = number(version)[:2]
    return [
        patch
        for offered in minors().values()
        if number(offered.version)[1] in (minor, minor + 1) and number(offered.version)[0] == major
        for patch in offered.patches
        if number(patch) > number(version)
    ]


def check_upgrade(live: str, wanted: str) -> None:
    """Refuse a control plane version that isn't an upgrade from the live one.

    Text: https://github.com/rancher/rancher/issues/33561; one minor at a time:
    https://learn.microsoft.com/azure/aks/upgrade-aks-cluster
    """
    allowed = upgrades_from(live)
    if wanted == live or wanted in allowed:
        return
    verb = "Downgrading" if number(wanted) < number(live) else "Upgrading"
    raise ArmError(
        400,
        "OperationNotAllowed",
        f"{verb} Kubernetes version {live} to {wanted} is not allowed. Available upgrades: "
        f"{','.join(allowed)}. Please see https://aka.ms/aks-supported-k8s-ver for version details.",
        bare=True,
    )


def check_pool_version(live: str | None, wanted: str, control_plane: str) -> None:
    """Refuse a node pool version that is newer than the control plane's, or older than the pool's own.

    Texts: https://learn.microsoft.com/troubleshoot/azure/azure-kubernetes/create-upgrade-delete (error
    NodePoolMcVersionIncompatible) and https://github.com/nebari-dev/nebari/issues/524.

    Args:
        live: the pool's full version, None for a new pool.
        wanted: the full version asked for.
        control_plane: the cluster's full version.
    """
    if minors().get(minor_of(wanted)) is None or wanted not in minors()[minor_of(wanted)].patches:
        raise ArmError(
            400,
            "AgentPoolK8sVersionNotSupported",
            f"Version {wanted} is not supported in this region. Please use [az aks get-versions] command "
            "to get the supported version list in this region. For more information, please check "
            "https://aka.ms/supported-version-list",
            bare=True,
        )
    for part, index in (("Minor", 1), ("Patch", 2)):
        if number(wanted) > number(control_plane) and number(wanted)[index] > number(control_plane)[index]:
            raise ArmError(
                400,
                "NodePoolMcVersionIncompatible",
                f"Node pool version {wanted} and control plane version {control_plane} are incompatible. "
                f"{part} version of node pool version {number(wanted)[index]} is bigger than control "
                f"plane version {number(control_plane)[index]}. For more information, please check "
                "https://aka.ms/aks/nodepoolmcversionincompatible",
                bare=True,
            )
    if live is not None and number(wanted) < number(live):
        raise ArmError(
            400,
            "AgentPoolUpgradeVersionNotAllowed",
            f"Upgrade agent pool version from {live} to {wanted} is not allowed, you can only upgrade one "
            "minor version at a time. Please use [az aks get-upgrades] command to get the supported "
            "upgrade paths. For more information, please check https://aka.ms/version-skew-policy",
            bare=True,
        )


def listing() -> dict[str, Any]:
    """The answer of ManagedClusters_ListKubernetesVersions."""
    return {
        "values": [
            {
                "version": minor.version,
                "capabilities": {"supportPlan": list(minor.support_plans)},
                **({"isDefault": True} if minor.default else {}),
                **({"isPreview": True} if minor.preview else {}),
                "patchVersions": {patch: {"upgrades": upgrades_from(patch)} for patch in minor.patches},
            }
            for minor in reversed(minors().values())
        ]
    }
