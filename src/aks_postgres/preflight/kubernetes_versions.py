"""Which Kubernetes version the cluster gets.

Unset: a live cluster keeps its version; a new one takes the region's default if the operator supports it,
else the newest that both support. Never down, up only on an explicit version and one minor at a time. As on
AKS itself, a minor version such as 1.35 means its newest patch for a new cluster, and leaves a live cluster
of that minor on its
patch: https://learn.microsoft.com/azure/aks/supported-kubernetes-versions#alias-minor-version
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from aks_postgres.arm.responses import Json
from aks_postgres.preflight.findings import FINE, Findings, problem, warning
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.versions import minor_of, order

COMMUNITY = "KubernetesOfficial"
LONG_TERM = "AKSLongTermSupport"

# "Supported", not "tested, but not supported"; the table of
# https://cloudnative-pg.io/documentation/current/supported_releases/ (docs/src/supported_releases.md in its
# repository).
OPERATOR_SUPPORTS: dict[str, tuple[str, ...]] = {
    "1.30": ("1.34", "1.35", "1.36"),
    "1.29": ("1.33", "1.34", "1.35"),
    "1.28": ("1.32", "1.33", "1.34", "1.35"),
}


@dataclass(frozen=True)
class Offered:
    """A minor version that AKS offers in a region, with its patches, oldest first, and its support plans."""

    minor: str
    patches: tuple[str, ...]
    plans: frozenset[str]
    is_default: bool = False
    is_preview: bool = False


def offered_versions(listing: Json) -> list[Offered]:
    """Read AKS's list (https://learn.microsoft.com/rest/api/aks/managed-clusters/list-kubernetes-versions)."""
    found = [
        Offered(
            minor=str(entry["version"]),
            patches=tuple(sorted(entry.get("patchVersions") or {}, key=order)),
            plans=frozenset((entry.get("capabilities") or {}).get("supportPlan") or ()),
            is_default=bool(entry.get("isDefault")),
            is_preview=bool(entry.get("isPreview")),
        )
        for entry in listing.get("values") or []
    ]
    return sorted(found, key=lambda offered: order(offered.minor))


def plan_of(spec: EnvironmentSpec) -> str:
    """The support plan that the tier stands for; a version has to be in it."""
    return LONG_TERM if spec.cluster.tier == "Premium" else COMMUNITY


def choose_version(
    spec: EnvironmentSpec, offered: Sequence[Offered], live: str | None = None, live_patch: str | None = None
) -> tuple[str, Findings]:
    """The version to ask AKS for, such as 1.35.2.

    Args:
        spec: the environment wanted.
        offered: what the region offers, oldest first.
        live: the live cluster's `kubernetesVersion` (as it was asked for, perhaps 1.35); None if absent.
        live_patch: the live cluster's `currentKubernetesVersion` (always with a patch).
    """
    wanted = spec.cluster.kubernetes_version
    if live is not None:
        version, findings = _for_live_cluster(spec, offered, wanted, live, live_patch or live)
    elif wanted:
        version, findings = _resolve(spec, offered, wanted)
    else:
        version, findings = _for_new_cluster(spec, offered)
    if findings.problems:
        return version, findings
    return version, findings + _judge_operator(spec, version, live and minor_of(live_patch or live))


def unasked_version(spec: EnvironmentSpec) -> str:
    """The version where AKS can't be asked yet because its provider isn't registered; so no cluster lives.

    Without a wish it is the second-newest minor that the operator supports, which is how AKS chooses its
    default.
    """
    known = _supported(spec) or OPERATOR_SUPPORTS[max(OPERATOR_SUPPORTS, key=order)]
    return spec.cluster.kubernetes_version or known[-2:][0]


def _supported(spec: EnvironmentSpec) -> tuple[str, ...] | None:
    return OPERATOR_SUPPORTS.get(minor_of(spec.operator.version))


def _for_new_cluster(spec: EnvironmentSpec, offered: Sequence[Offered]) -> tuple[str, Findings]:
    supported, open_to_us = _supported(spec), _open(spec, offered)
    usable = [minor for minor in open_to_us if supported is None or minor.minor in supported]
    if usable:
        return next((minor for minor in usable if minor.is_default), usable[-1]).patches[-1], FINE
    return "", problem(
        "operator.version",
        f"CloudNativePG {spec.operator.version} supports Kubernetes {', '.join(supported or ())}, and "
        f"{spec.region} offers {_listed(spec, offered)} on tier {spec.cluster.tier}.",
        "Choose another operator.version, or another region.",
    )


def _for_live_cluster(
    spec: EnvironmentSpec, offered: Sequence[Offered], wanted: str | None, live: str, live_patch: str
) -> tuple[str, Findings]:
    live_minor = order(minor_of(live_patch))
    wanted_minor = order(minor_of(wanted or live_patch))
    if wanted_minor == live_minor:
        if wanted and order(wanted) > order(live_patch):
            return _resolve(spec, offered, wanted)
        # AKS patches clusters by itself; an older patch in the spec is no wish to go back.
        return live, _judge_live(spec, offered, live_patch)
    if wanted_minor < live_minor:
        return live, problem(
            "cluster.kubernetes_version",
            f"{wanted} was given and the live cluster runs {live_patch}; AKS can't go back.",
            f"Leave it unset, or give {minor_of(live_patch)} or newer.",
        )
    following = f"{live_minor[0]}.{live_minor[1] + 1}"
    if wanted_minor > order(following):
        return live, problem(
            "cluster.kubernetes_version",
            f"{wanted} was given and the live cluster runs {live_patch}; AKS upgrades one minor version at "
            "a time.",
            f"Give {following} first.",
        )
    return _resolve(spec, offered, wanted or live_patch)


def _resolve(spec: EnvironmentSpec, offered: Sequence[Offered], wanted: str) -> tuple[str, Findings]:
    """The full version for one that a person gave."""
    found = next((minor for minor in offered if minor.minor == minor_of(wanted) and minor.patches), None)
    if found is None:
        return wanted, problem(
            "cluster.kubernetes_version",
            f"{wanted} was given and {spec.region} doesn't offer it; it offers {_listed(spec, offered)}.",
            "Choose one of these, or leave it unset.",
        )
    version = found.patches[-1] if wanted == found.minor else wanted
    if version not in found.patches:
        return wanted, problem(
            "cluster.kubernetes_version",
            f"{wanted} was given and {spec.region} doesn't offer it; of {found.minor} it has "
            f"{', '.join(found.patches)}.",
            f"Choose one of these, or {found.minor} for the newest.",
        )
    if plan_of(spec) not in found.plans:
        only = "in long-term support only" if LONG_TERM in found.plans else "without long-term support only"
        way_out = ", or set cluster.tier: Premium" if LONG_TERM in found.plans else ""
        return version, problem(
            "cluster.kubernetes_version",
            f"{wanted} was given, which AKS has {only}, and cluster.tier is {spec.cluster.tier}; for that "
            f"tier {spec.region} offers {_listed(spec, offered)}.",
            f"Choose one of these{way_out}.",
        )
    if found.is_preview:
        return version, warning(
            "cluster.kubernetes_version", f"{version} is a preview version in {spec.region}."
        )
    return version, FINE


def _open(spec: EnvironmentSpec, offered: Sequence[Offered]) -> list[Offered]:
    """Return what a cluster of this tier gets without asking for a preview."""
    return [
        minor for minor in offered if minor.patches and not minor.is_preview and plan_of(spec) in minor.plans
    ]


def _listed(spec: EnvironmentSpec, offered: Sequence[Offered]) -> str:
    return ", ".join(minor.minor for minor in _open(spec, offered)) or "none"


def _judge_live(spec: EnvironmentSpec, offered: Sequence[Offered], live_patch: str) -> Findings:
    if any(minor.minor == minor_of(live_patch) and plan_of(spec) in minor.plans for minor in offered):
        return FINE
    return warning(
        "cluster.kubernetes_version",
        f"the live cluster runs {live_patch}, which AKS doesn't support any more on tier "
        f"{spec.cluster.tier}; {spec.region} offers {_listed(spec, offered)}. Upgrade one minor version at "
        "a time.",
    )


def _judge_operator(spec: EnvironmentSpec, version: str, live_minor: str | None) -> Findings:
    """Return whether the operator and the Kubernetes version go together.

    An operator version that the table doesn't know isn't refused: it may be newer than the table, and its
    manifest's checksum, which the spec then has to give, says that it was chosen on purpose.
    """
    operator, supported = spec.operator.version, _supported(spec)
    if supported is None:
        return warning(
            "operator.version",
            f"{operator} isn't in this product's table, so nobody checked that it supports Kubernetes "
            f"{version}; see https://cloudnative-pg.io/documentation/current/supported_releases/",
        )
    if minor_of(version) in supported:
        return FINE
    return problem(
        "operator.version",
        f"CloudNativePG {operator} supports Kubernetes {', '.join(supported)}, and the cluster's version is "
        f"{version} (cluster.kubernetes_version: {spec.cluster.kubernetes_version or 'unset'}).",
        _way_out(version, live_minor, supported),
    )


def _way_out(version: str, live_minor: str | None, supported: Sequence[str]) -> str:
    """How an operator and a Kubernetes version that don't go together come to do so; a live cluster never goes back."""
    minor = minor_of(version)
    releases = [release for release, minors in OPERATOR_SUPPORTS.items() if minor in minors]
    wanted = f"a {' or '.join(releases)} release" if releases else f"a release that supports {minor}"
    near = supported if live_minor is None else [one for one in supported if _is_near(live_minor, one)]
    if near:
        return f"Set operator.version to {wanted}, or cluster.kubernetes_version to {' or '.join(near)}."
    return f"Set operator.version to {wanted}."


def _is_near(live_minor: str, wanted: str) -> bool:
    """Return whether a live cluster is at that minor version, or one upgrade away from it."""
    (major, has), (other, wants) = order(live_minor), order(wanted)
    return major == other and has <= wants <= has + 1


@dataclass(frozen=True)
class EndOfLife:
    """The last day with fixes, and how sure that day is."""

    day: date
    about: bool = False

    def __str__(self) -> str:
        return f"{'about ' if self.about else ''}{self.day:%B %Y}"


# Kubernetes on AKS: https://learn.microsoft.com/azure/aks/supported-kubernetes-versions, read August 2026.
KUBERNETES_END: dict[str, EndOfLife] = {
    "1.33": EndOfLife(date(2026, 7, 31)),
    "1.34": EndOfLife(date(2026, 11, 30)),
    "1.35": EndOfLife(date(2027, 3, 31)),
    "1.36": EndOfLife(date(2027, 6, 30)),
}
# CloudNativePG: the same table as OPERATOR_SUPPORTS; 1.30 ends three months after 1.31 came out.
OPERATOR_END: dict[str, EndOfLife] = {
    "1.28": EndOfLife(date(2026, 6, 30)),
    "1.29": EndOfLife(date(2026, 9, 29)),
    "1.30": EndOfLife(date(2026, 12, 31), about=True),
}
# Two months: time to try an upgrade on another environment first.
END_IS_NEAR_DAYS = 60


def support_of(spec: EnvironmentSpec, version: str) -> str:
    """The versions of an environment, and when their support ends as far as the tables know."""
    ends = (
        (f"Kubernetes {version}", KUBERNETES_END.get(minor_of(version))),
        (f"CloudNativePG {spec.operator.version}", OPERATOR_END.get(minor_of(spec.operator.version))),
    )
    return ", ".join(f"{what} (support ends {end})" if end else f"{what} (end unknown)" for what, end in ends)


def judge_ends(spec: EnvironmentSpec, version: str, today: date) -> Findings:
    """Warn where support has ended, or ends soon."""
    findings = FINE
    for field, what, found in (
        ("cluster.kubernetes_version", f"Kubernetes {version} on AKS", KUBERNETES_END.get(minor_of(version))),
        (
            "operator.version",
            f"CloudNativePG {spec.operator.version}",
            OPERATOR_END.get(minor_of(spec.operator.version)),
        ),
    ):
        if found and (found.day - today).days <= END_IS_NEAR_DAYS:
            verb = "ended" if found.day < today else "ends"
            findings += warning(field, f"support for {what} {verb} {found}; plan the next version.")
    return findings
