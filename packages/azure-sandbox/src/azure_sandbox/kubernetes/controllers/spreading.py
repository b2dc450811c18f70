"""What keeps pods apart, and near their volumes: spread constraints, anti-affinity, volumes that are bound to a zone.

https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/ and
https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/. Left out: affinity to pods, namespace
selectors, minDomains, node inclusion policies, spread constraints of ScheduleAnyway.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from azure_sandbox.kubernetes.selectors import matches_expression, matches_labels
from azure_sandbox.kubernetes.store import Store

Json = dict[str, Any]

ZONE = "topology.kubernetes.io/zone"
DISK_ZONE = "topology.disk.csi.azure.com/zone"
"""What Azure's disk driver calls it; a node has it with the same value."""
_WHY = {
    "spread": "node(s) didn't match pod topology spread constraints",
    "apart": "node(s) didn't match pod anti-affinity rules",
    "volume": "node(s) had volume node affinity conflict",
}


def why_not(pod: Json, node: Json, candidates: list[Json], store: Store) -> str | None:
    """Why a pod can't go on a node that its own selectors allow, in the scheduler's words.

    Args:
        pod: to be placed.
        node: one of the candidates.
        candidates: all nodes that the pod's selectors allow.
        store: has the other pods, and volumes.
    """
    if not _near_volumes(pod, node, store):
        return _WHY["volume"]
    others = _others(pod, store)
    for constraint in pod["spec"].get("topologySpreadConstraints") or []:
        if constraint.get("whenUnsatisfiable", "DoNotSchedule") == "DoNotSchedule":
            counts = _counts(
                constraint["topologyKey"], constraint.get("labelSelector"), others, candidates, store
            )
            here = (node["metadata"].get("labels") or {}).get(constraint["topologyKey"])
            if here is None or counts[here] + 1 - min(counts.values()) > int(constraint["maxSkew"]):
                return _WHY["spread"]
    for term in _anti_affinity(pod).get("requiredDuringSchedulingIgnoredDuringExecution") or []:
        if _meets(term, node, others, store):
            return _WHY["apart"]
    return None


def penalty(pod: Json, node: Json, store: Store) -> int:
    """How much a node goes against what the pod prefers."""
    others = _others(pod, store)
    preferred = _anti_affinity(pod).get("preferredDuringSchedulingIgnoredDuringExecution") or []
    return sum(
        int(preference["weight"])
        for preference in preferred
        if _meets(preference["podAffinityTerm"], node, others, store)
    )


def _anti_affinity(pod: Json) -> Json:
    found: Json = (pod["spec"].get("affinity") or {}).get("podAntiAffinity") or {}
    return found


def _others(pod: Json, store: Store) -> list[Json]:
    metadata = pod["metadata"]
    return [
        other
        for other in store.all("pods", metadata["namespace"])
        if other["metadata"]["uid"] != metadata["uid"] and other["spec"].get("nodeName")
    ]


def _domain(pod: Json, key: str, store: Store) -> str | None:
    node = store.get("nodes", "", pod["spec"]["nodeName"])
    return None if node is None else (node["metadata"].get("labels") or {}).get(key)


def _counts(
    key: str, selector: Json | None, others: list[Json], nodes: list[Json], store: Store
) -> Counter[str]:
    domains = {(node["metadata"].get("labels") or {}).get(key) for node in nodes} - {None}
    counts: Counter[str] = Counter({str(domain): 0 for domain in domains})
    for other in others:
        domain = _domain(other, key, store)
        going = other["metadata"].get("deletionTimestamp")
        if domain in domains and not going and matches_labels(selector, other["metadata"].get("labels")):
            counts[str(domain)] += 1
    return counts


def _meets(term: Json, node: Json, others: list[Json], store: Store) -> bool:
    """Whether a pod that the term selects is in the node's domain."""
    key = term["topologyKey"]
    here = (node["metadata"].get("labels") or {}).get(key)
    return here is not None and any(
        _domain(other, key, store) == here
        and matches_labels(term.get("labelSelector"), other["metadata"].get("labels"))
        for other in others
    )


def _near_volumes(pod: Json, node: Json, store: Store) -> bool:
    labels = dict(node["metadata"].get("labels") or {})
    labels.setdefault(DISK_ZONE, labels.get(ZONE, ""))
    for volume in pod["spec"].get("volumes") or []:
        claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        found = claim and store.get("persistentvolumeclaims", pod["metadata"]["namespace"], claim)
        name = found and found["spec"].get("volumeName")
        bound = name and store.get("persistentvolumes", "", name)
        terms = bound and ((bound["spec"].get("nodeAffinity") or {}).get("required") or {}).get(
            "nodeSelectorTerms"
        )
        if terms and not any(
            all(matches_expression(expression, labels) for expression in term.get("matchExpressions") or [])
            for term in terms
        ):
            return False
    return True
