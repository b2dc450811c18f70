"""What built-in types ask for beyond their fields: derived defaults, rules, and fields that can't change.

Rules: the API reference of each type (https://kubernetes.io/docs/reference/kubernetes-api/); texts: a
kube-apiserver's. Only what a mistake in a manifest usually hits is checked.
"""

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any

from azure_sandbox.kubernetes import errors, selectors

Json = dict[str, Any]

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_DNS_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_DATA_KEY = re.compile(r"[-._a-zA-Z0-9]+")

_ENDS = "and must start and end with an alphanumeric character"
_REGEX = "regex used for validation is"
_LABEL_TEXT = (
    f"a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', {_ENDS} "
    f"(e.g. 'my-name',  or '123-abc', {_REGEX} '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_SUBDOMAIN_TEXT = (
    f"a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', {_ENDS} "
    rf"(e.g. 'example.com', {_REGEX} '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_DNS_1035_TEXT = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic "
    "character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', "
    f"{_REGEX} '[a-z]([-a-z0-9]*[a-z0-9])?')"
)
_LABEL_VALUE_TEXT = (
    f"a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', {_ENDS} "
    f"(e.g. 'MyValue',  or 'my_value',  or '12345', {_REGEX} "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
_DATA_KEY_TEXT = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or "
    f"'KEY_NAME',  or 'key-name', {_REGEX} '[-._a-zA-Z0-9]+')"
)
_POD_TEXT = (
    "Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"
    "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to "
    "existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was "
    "previously negative)"
)

UNCONDITIONAL_UPDATE_REFUSED = {
    "CustomResourceDefinition",
    "MutatingWebhookConfiguration",
    "ValidatingWebhookConfiguration",
    "Lease",
    "EndpointSlice",
    "PodDisruptionBudget",
}
"""Kinds whose replace must name a resourceVersion; custom resources do too."""


def bad_metadata(kind: str, custom: bool, metadata: Json) -> list[Json]:
    """Causes for names and labels that aren't allowed."""
    found = []
    name = metadata.get("name", "")
    if not name:
        return [errors.required("metadata.name", "name or generateName is required")]
    if kind.startswith(("Role", "ClusterRole")):
        if "/" in name or "%" in name or name in (".", ".."):
            found.append(errors.bad_value("metadata.name", name, "may not contain '/' or '%'"))
    elif kind == "Namespace":
        found += _name(name, _LABEL, 63, _LABEL_TEXT)
    elif kind == "Service":
        found += _name(name, _DNS_1035, 63, _DNS_1035_TEXT)
    else:
        found += _name(name, _SUBDOMAIN, 253, _SUBDOMAIN_TEXT)
    for key, value in (metadata.get("labels") or {}).items():
        del key
        if not _LABEL_VALUE.fullmatch(value):
            found.append(errors.bad_value("metadata.labels", value, _LABEL_VALUE_TEXT))
        elif len(value) > 63:
            found.append(errors.bad_value("metadata.labels", value, "must be no more than 63 characters"))
    return found


def _name(name: str, allowed: re.Pattern[str], length: int, text: str) -> list[Json]:
    found = []
    if not allowed.fullmatch(name):
        found.append(errors.bad_value("metadata.name", name, text))
    if len(name) > length:
        found.append(errors.bad_value("metadata.name", name, f"must be no more than {length} characters"))
    return found


def complete(obj: Json) -> None:
    """Set what follows from other fields, in place."""
    completing = _COMPLETE.get(obj["kind"])
    if completing is not None:
        completing(obj)


def _complete_secret(obj: Json) -> None:
    plain = obj.pop("stringData", None)
    if plain:
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in plain.items()}
        obj["data"] = {**obj.get("data", {}), **encoded}


def _complete_service(obj: Json) -> None:
    for port in obj.get("spec", {}).get("ports") or []:
        port.setdefault("targetPort", port.get("port"))


def _complete_deployment(obj: Json) -> None:
    spec = obj.get("spec", {})
    if spec.get("strategy", {}).get("type") == "RollingUpdate":
        rolling = spec["strategy"].setdefault("rollingUpdate", {})
        rolling.setdefault("maxSurge", "25%")
        rolling.setdefault("maxUnavailable", "25%")
    _complete_template(obj)


def _complete_daemon_set(obj: Json) -> None:
    metadata = obj["metadata"]
    annotations = metadata.get("annotations") or {}
    # Kept by the API server for clients of long ago.
    generation = {"deprecated.daemonset.template.generation": "1"}
    metadata["annotations"] = {**generation, **annotations}
    spec = obj.get("spec", {})
    if spec.get("updateStrategy", {}).get("type") == "RollingUpdate":
        rolling = spec["updateStrategy"].setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", 1)
        rolling.setdefault("maxSurge", 0)
    _complete_template(obj)


def _complete_template(obj: Json) -> None:
    _complete_pod_spec(obj.get("spec", {}).get("template", {}).get("spec") or {})


def _complete_pod(obj: Json) -> None:
    spec = obj.get("spec", {})
    spec.setdefault("serviceAccountName", "default")
    spec.setdefault("enableServiceLinks", True)
    spec.setdefault("preemptionPolicy", "PreemptLowerPriority")
    spec.setdefault("priority", 0)
    _complete_pod_spec(spec)


def _complete_pod_spec(spec: Json) -> None:
    if spec.get("serviceAccountName"):
        spec.setdefault("serviceAccount", spec["serviceAccountName"])
    for container in [*(spec.get("containers") or []), *(spec.get("initContainers") or [])]:
        image = container.get("image", "")
        tag = image.rpartition("/")[2].partition(":")[2]
        latest = "@" not in image and tag in ("", "latest")
        container.setdefault("imagePullPolicy", "Always" if latest else "IfNotPresent")


def _complete_webhooks(obj: Json) -> None:
    for webhook in obj.get("webhooks") or []:
        service = webhook.get("clientConfig", {}).get("service")
        if service is not None:
            service.setdefault("port", 443)


def _complete_binding(obj: Json) -> None:
    obj.get("roleRef", {}).setdefault("apiGroup", "rbac.authorization.k8s.io")
    for subject in obj.get("subjects") or []:
        if subject.get("kind") in ("User", "Group"):
            subject.setdefault("apiGroup", "rbac.authorization.k8s.io")


def _complete_namespace(obj: Json) -> None:
    metadata = obj["metadata"]
    if metadata.get("name"):
        metadata["labels"] = {
            **(metadata.get("labels") or {}),
            "kubernetes.io/metadata.name": metadata["name"],
        }


def first_status(kind: str) -> Json | None:
    """The status of a new object; None for kinds without."""
    status = _FIRST_STATUS.get(kind)
    return None if status is None else dict(status)


_FIRST_STATUS: dict[str, Json] = {
    "Namespace": {"phase": "Active"},
    "Pod": {"phase": "Pending", "qosClass": "BestEffort"},
    "Service": {"loadBalancer": {}},
    "Deployment": {},
    "ReplicaSet": {"replicas": 0},
    "DaemonSet": {
        "currentNumberScheduled": 0,
        "desiredNumberScheduled": 0,
        "numberMisscheduled": 0,
        "numberReady": 0,
    },
    "Node": {},
    "PersistentVolume": {"phase": "Pending"},
    "PersistentVolumeClaim": {"phase": "Pending"},
    "PodDisruptionBudget": {},
}

_COMPLETE: dict[str, Callable[[Json], None]] = {
    "Secret": _complete_secret,
    "Service": _complete_service,
    "Deployment": _complete_deployment,
    "ReplicaSet": _complete_template,
    "DaemonSet": _complete_daemon_set,
    "Pod": _complete_pod,
    "MutatingWebhookConfiguration": _complete_webhooks,
    "ValidatingWebhookConfiguration": _complete_webhooks,
    "RoleBinding": _complete_binding,
    "ClusterRoleBinding": _complete_binding,
    "Namespace": _complete_namespace,
}


def broken(obj: Json, before: Json | None) -> list[Json]:
    """Causes for what breaks a rule of the kind; `before` is the object that is being changed."""
    checking = _CHECKS.get(obj["kind"])
    return checking(obj, before) if checking is not None else []


def _check_workload(obj: Json, before: Json | None) -> list[Json]:
    found = []
    spec = obj.get("spec", {})
    labels = spec.get("template", {}).get("metadata", {}).get("labels")
    selector = spec.get("selector")
    if not selector:
        found.append(errors.required("spec.selector"))
    if not selectors.matches_labels(selector, labels):
        shown = (
            "map[string]string{"
            + ", ".join(f'"{key}":"{value}"' for key, value in (labels or {}).items())
            + "}"
        )
        text = f"Invalid value: {shown}: `selector` does not match template `labels`"
        found.append(errors.cause("spec.template.metadata.labels", "FieldValueInvalid", text))
    if isinstance(spec.get("replicas"), int) and spec["replicas"] < 0:
        found.append(
            errors.bad_value("spec.replicas", spec["replicas"], "must be greater than or equal to 0")
        )
    pod = spec.get("template", {}).get("spec") or {}
    found += _check_pod_spec(pod, "spec.template.spec")
    found += _unsupported(pod, "restartPolicy", "spec.template.spec", ("Always",))
    strategies = ("Recreate", "RollingUpdate")
    found += _unsupported(spec.get("strategy") or {}, "type", "spec.strategy", strategies)
    if before is not None and before["spec"].get("selector") != selector:
        text = f"Invalid value: {_selector_text(selector or {})}: field is immutable"
        found.append(errors.cause("spec.selector", "FieldValueInvalid", text))
    return found


def _selector_text(selector: Json) -> str:
    """A LabelSelector as Go shows it; expressions aren't."""
    labels = ", ".join(
        f'"{key}":"{value}"' for key, value in sorted((selector.get("matchLabels") or {}).items())
    )
    expressions = "[]v1.LabelSelectorRequirement(nil)"
    return f"v1.LabelSelector{{MatchLabels:map[string]string{{{labels}}}, MatchExpressions:{expressions}}}"


def _check_pod(obj: Json, before: Json | None) -> list[Json]:
    spec = obj.get("spec", {})
    found = _check_pod_spec(spec, "spec")
    found += _unsupported(spec, "restartPolicy", "spec", ("Always", "OnFailure", "Never"))
    if before is not None:
        old, new = (_changeable_removed(item["spec"]) for item in (before, obj))
        if old != new:
            found.append(errors.cause("spec", "FieldValueForbidden", _POD_TEXT))
    return found


def _changeable_removed(spec: Json) -> Json:
    kept = {key: value for key, value in spec.items() if key not in ("activeDeadlineSeconds", "tolerations")}
    for lists in ("containers", "initContainers"):
        if lists in kept:
            kept[lists] = [{**item, "image": ""} for item in kept[lists]]
    return kept


def _check_pod_spec(spec: Json, path: str) -> list[Json]:
    found = []
    volumes = {volume.get("name") for volume in spec.get("volumes") or []}
    containers = spec.get("containers") or []
    if not containers:
        found.append(errors.required(f"{path}.containers"))
    seen: set[str] = set()
    for index, container in enumerate(containers):
        at, name = f"{path}.containers[{index}]", container.get("name") or ""
        if not name:
            found.append(errors.required(f"{at}.name"))
        elif not _LABEL.fullmatch(name):
            found.append(errors.bad_value(f"{at}.name", name, _LABEL_TEXT))
        elif name in seen:
            found.append(errors.duplicate(f"{at}.name", name))
        seen.add(name)
        if not container.get("image"):
            found.append(errors.required(f"{at}.image"))
        found += _unsupported(container, "imagePullPolicy", at, ("Always", "IfNotPresent", "Never"))
        for place, mount in enumerate(container.get("volumeMounts") or []):
            if mount.get("name") not in volumes:
                text = f"Not found: {errors.go_value(mount.get('name') or '')}"
                found.append(errors.cause(f"{at}.volumeMounts[{place}].name", "FieldValueNotFound", text))
    return found


def _unsupported(obj: Json, field: str, path: str, allowed: tuple[str, ...]) -> list[Json]:
    value = obj.get(field)
    if value is None or value in allowed:
        return []
    return [errors.unsupported(f"{path}.{field}", value, allowed)]


def _check_service(obj: Json, before: Json | None) -> list[Json]:
    found = []
    spec = obj.get("spec", {})
    if not spec.get("ports") and spec.get("type") != "ExternalName" and spec.get("clusterIP") != "None":
        found.append(errors.required("spec.ports"))
    if before is not None:
        old = before["spec"].get("clusterIP")
        if old and spec.get("clusterIP") != old and spec.get("type") != "ExternalName":
            text = "may not change once set"
            found.append(errors.bad_value("spec.clusterIPs[0]", [spec.get("clusterIP", "")], text))
    return found


def _check_data(obj: Json, before: Json | None) -> list[Json]:
    found = []
    for field in ("data", "binaryData"):
        for key, value in (obj.get(field) or {}).items():
            if not _DATA_KEY.fullmatch(key):
                found.append(errors.bad_value(f"{field}[{key}]", key, _DATA_KEY_TEXT))
            if obj["kind"] == "Secret" or field == "binaryData":
                _check_base64(obj["kind"], value)
    if before is None:
        return found
    if before.get("immutable"):
        if not obj.get("immutable"):
            text = "Forbidden: field is immutable when `immutable` is set"
            found.append(errors.cause("immutable", "FieldValueForbidden", text))
        elif obj.get("data") != before.get("data"):
            text = "Forbidden: field is immutable when `immutable` is set"
            found.append(errors.cause("data", "FieldValueForbidden", text))
    if obj["kind"] == "Secret" and obj.get("type") != before.get("type"):
        found.append(errors.bad_value("type", obj.get("type"), "field is immutable"))
    return found


def _check_base64(kind: str, value: str) -> None:
    try:
        base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        text = f'{kind} in version "v1" cannot be handled as a {kind}: illegal base64 data: {error}'
        raise errors.bad_request(text) from error


def _check_binding(obj: Json, before: Json | None) -> list[Json]:
    if before is not None and before.get("roleRef") != obj.get("roleRef"):
        role = obj.get("roleRef") or {}
        shown = ", ".join(
            f"{name}:{errors.go_value(role.get(field, ''))}"
            for name, field in (("APIGroup", "apiGroup"), ("Kind", "kind"), ("Name", "name"))
        )
        text = f"Invalid value: rbac.RoleRef{{{shown}}}: cannot change roleRef"
        return [errors.cause("roleRef", "FieldValueInvalid", text)]
    return []


def _check_webhooks(obj: Json, before: Json | None) -> list[Json]:
    del before
    found = []
    for index, webhook in enumerate(obj.get("webhooks") or []):
        path, allowed = f"webhooks[{index}].sideEffects", ("None", "NoneOnDryRun")
        if not webhook.get("sideEffects"):
            found.append(errors.required(path, f"must specify one of {', '.join(allowed)}"))
        elif webhook["sideEffects"] not in allowed:
            found.append(errors.unsupported(path, webhook["sideEffects"], allowed))
    return found


_CHECKS: dict[str, Callable[[Json, Json | None], list[Json]]] = {
    "Deployment": _check_workload,
    "ReplicaSet": _check_workload,
    "DaemonSet": _check_workload,
    "Pod": _check_pod,
    "Service": _check_service,
    "ConfigMap": _check_data,
    "Secret": _check_data,
    "RoleBinding": _check_binding,
    "ClusterRoleBinding": _check_binding,
    "MutatingWebhookConfiguration": _check_webhooks,
    "ValidatingWebhookConfiguration": _check_webhooks,
}
