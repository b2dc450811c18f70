"""The objects that a Cluster gives rise to: pkg/specs of CloudNativePG."""

from __future__ import annotations

import base64
import json
import urllib.parse
from collections.abc import Mapping
from typing import Any

from azure_sandbox.kubernetes.controllers.life import owner_reference
from azure_sandbox.kubernetes.controllers.postgres import words

Json = dict[str, Any]

DOMAIN = "svc.cluster.local"


def metadata(cluster: Json, name: str, labels: Json | None = None, *, inherit: bool = True) -> Json:
    """Metadata of an object that the Cluster owns."""
    inherited = (cluster["spec"].get("inheritedMetadata") or {}) if inherit else {}
    found: Json = {
        "name": name,
        "namespace": cluster["metadata"]["namespace"],
        "labels": {
            words.CLUSTER_LABEL: cluster["metadata"]["name"],
            "app.kubernetes.io/managed-by": words.OPERATOR,
            "app.kubernetes.io/instance": cluster["metadata"]["name"],
            **(inherited.get("labels") or {}),
            **(labels or {}),
        },
        "ownerReferences": [owner_reference(cluster)],
    }
    if inherited.get("annotations"):
        found["annotations"] = dict(inherited["annotations"])
    return found


def encoded(data: Mapping[str, str | bytes]) -> Json:
    """A Secret's data."""
    return {
        name: base64.b64encode(value if isinstance(value, bytes) else value.encode()).decode()
        for name, value in data.items()
    }


def app_secret(cluster: Json, name: str, user: str, database: str, password: str, kind: str) -> Json:
    """The Secret of a role: CreateSecret in pkg/specs/secrets.go."""
    host, namespace = f"{cluster['metadata']['name']}-rw", cluster["metadata"]["namespace"]
    quoted = f"{urllib.parse.quote(user)}:{urllib.parse.quote(password)}"

    def uri(where: str) -> str:
        return f"postgresql://{quoted}@{where}:5432/{database}"

    def jdbc(where: str) -> str:
        query = urllib.parse.urlencode({"password": password, "user": user})
        return f"jdbc:postgresql://{where}:5432/{database}?{query}"

    short, full = f"{host}.{namespace}", f"{host}.{namespace}.{DOMAIN}"
    return {
        "metadata": metadata(cluster, name, {"cnpg.io/userType": kind, "cnpg.io/reload": "true"}),
        "type": "kubernetes.io/basic-auth",
        "data": encoded(
            {
                "username": user,
                "user": user,
                "password": password,
                "dbname": database,
                "host": host,
                "port": "5432",
                "pgpass": f"{host}:5432:{database}:{user}:{password}\n",
                "uri": uri(short),
                "jdbc-uri": jdbc(short),
                "fqdn-uri": uri(full),
                "fqdn-jdbc-uri": jdbc(full),
            }
        ),
    }


def server_names(cluster: Json) -> tuple[str, ...]:
    """The names that the server certificate is for."""
    name, namespace = cluster["metadata"]["name"], cluster["metadata"]["namespace"]
    found = []
    for service in (f"{name}-rw", f"{name}-r", f"{name}-ro"):
        found += [
            service,
            f"{service}.{namespace}",
            f"{service}.{namespace}.svc",
            f"{service}.{namespace}.{DOMAIN}",
        ]
    return (*found, *((cluster["spec"].get("certificates") or {}).get("serverAltDNSNames") or []))


def services(cluster: Json) -> list[Json]:
    """The Services of a Cluster: -rw, -ro and -r, without the disabled, and the additional ones."""
    name = cluster["metadata"]["name"]
    managed = (cluster["spec"].get("managed") or {}).get("services") or {}
    off = managed.get("disabledDefaultServices") or []
    found = [
        {
            "metadata": metadata(cluster, f"{name}-{kind}"),
            "spec": {"type": "ClusterIP", "selector": selector(cluster, kind), "ports": [_port()]},
        }
        for kind in ("rw", "ro", "r")
        if kind not in off
    ]
    for additional in managed.get("additional") or []:
        template = additional.get("serviceTemplate") or {}
        sent = template.get("metadata") or {}
        made = metadata(
            cluster, sent.get("name", ""), {**(sent.get("labels") or {}), "cnpg.io/isManaged": "true"}
        )
        made["annotations"] = {
            **made.get("annotations", {}),
            **(sent.get("annotations") or {}),
            "cnpg.io/updateStrategy": additional.get("updateStrategy", "patch"),
        }
        spec = {"type": "ClusterIP", **(template.get("spec") or {})}
        spec["selector"] = selector(cluster, additional.get("selectorType", "rw"))
        if not any(
            port.get("name") == "postgres" or port.get("port") == 5432 for port in spec.get("ports") or []
        ):
            spec["ports"] = [*(spec.get("ports") or []), _port()]
        found.append({"metadata": made, "spec": spec})
    return found


def _port() -> Json:
    return {"name": "postgres", "protocol": "TCP", "port": 5432, "targetPort": 5432}


def selector(cluster: Json, kind: str) -> Json:
    """Which pods a Service of a kind leads to."""
    by_role = {"rw": {words.ROLE_LABEL: words.PRIMARY}, "ro": {words.ROLE_LABEL: words.REPLICA}}
    return {
        words.CLUSTER_LABEL: cluster["metadata"]["name"],
        **by_role.get(kind, {words.POD_ROLE_LABEL: "instance"}),
    }


def disruption_budgets(cluster: Json) -> list[Json]:
    """One for the primary, and one for replicas where there are two."""
    if cluster["spec"].get("enablePDB") is False:
        return []
    name, instances = cluster["metadata"]["name"], int(cluster["spec"].get("instances", 1))

    def budget(title: str, role: str, available: int) -> Json:
        labels = {words.CLUSTER_LABEL: name, words.ROLE_LABEL: role}
        spec = {"minAvailable": available, "selector": {"matchLabels": labels}}
        return {"metadata": metadata(cluster, title), "spec": spec}

    found = [budget(f"{name}-primary", words.PRIMARY, 1)]
    return found if instances < 3 else [*found, budget(name, words.REPLICA, instances - 2)]


def claim(cluster: Json, instance: str, serial: int, kind: str) -> Json:
    """The PersistentVolumeClaim of an instance: PG_DATA or PG_WAL."""
    storage = cluster["spec"].get("storage" if kind == "PG_DATA" else "walStorage") or {}
    template = storage.get("pvcTemplate") or {}
    spec: Json = {"accessModes": ["ReadWriteOnce"], "volumeMode": "Filesystem", **template}
    if storage.get("size"):
        spec["resources"] = {"requests": {"storage": storage["size"]}}
    if storage.get("storageClass"):
        spec["storageClassName"] = storage["storageClass"]
    name = instance if kind == "PG_DATA" else f"{instance}-wal"
    found = metadata(cluster, name, {words.INSTANCE_LABEL: instance, words.PVC_ROLE_LABEL: kind})
    found["annotations"] = {
        **found.get("annotations", {}),
        words.SERIAL: str(serial),
        "cnpg.io/pvcStatus": "ready",
    }
    return {"metadata": found, "spec": spec}


def pod(cluster: Json, instance: str, serial: int, image: str, sidecar: str | None) -> Json:
    """The Pod of an instance.

    Args:
        cluster: owns it.
        instance: its name.
        serial: its number.
        image: of PostgreSQL.
        sidecar: image of the plugin's sidecar, if there is one.
    """
    spec, name = cluster["spec"], cluster["metadata"]["name"]
    labels = {
        words.INSTANCE_LABEL: instance,
        words.POD_ROLE_LABEL: "instance",
        words.ROLE_LABEL: words.REPLICA,
        words.OLD_ROLE_LABEL: words.REPLICA,
    }
    made = metadata(cluster, instance, labels)
    made["annotations"] = {**made.get("annotations", {}), words.SERIAL: str(serial)}
    env = [
        {"name": "PGDATA", "value": "/var/lib/postgresql/data/pgdata"},
        {"name": "POD_NAME", "value": instance},
        {"name": "NAMESPACE", "value": cluster["metadata"]["namespace"]},
        {"name": "CLUSTER_NAME", "value": name},
        {"name": "PGPORT", "value": "5432"},
        {"name": "PGHOST", "value": "/controller/run"},
    ]
    container: Json = {
        "name": "postgres",
        "image": image,
        "command": ["/controller/manager", "instance", "run"],
        "env": [*env, *(spec.get("env") or [])],
        "ports": [
            {"name": "postgresql", "containerPort": 5432, "protocol": "TCP"},
            {"name": "metrics", "containerPort": 9187, "protocol": "TCP"},
            {"name": "status", "containerPort": 8000, "protocol": "TCP"},
        ],
    }
    if spec.get("resources"):
        container["resources"] = spec["resources"]
    affinity = spec.get("affinity") or {}
    volumes = [{"name": "pgdata", "persistentVolumeClaim": {"claimName": instance}}]
    if spec.get("walStorage"):
        volumes.append({"name": "pg-wal", "persistentVolumeClaim": {"claimName": f"{instance}-wal"}})
    body: Json = {
        "hostname": instance,
        "containers": [container],
        "volumes": volumes,
        "affinity": _affinity(name, affinity),
        "tolerations": affinity.get("tolerations") or [],
        "serviceAccountName": spec.get("serviceAccountName") or name,
        "automountServiceAccountToken": False,
        "nodeSelector": affinity.get("nodeSelector") or {},
        "terminationGracePeriodSeconds": int(spec.get("stopDelay", 1800)),
        "topologySpreadConstraints": spec.get("topologySpreadConstraints") or [],
    }
    if sidecar is not None:
        body["initContainers"] = [
            {
                "name": "plugin-barman-cloud",
                "image": sidecar,
                "args": ["instance"],
                "restartPolicy": "Always",
                "env": env[1:4],
            }
        ]
    # What it was made as, whatever is filled in later: by it the operator sees that another one is wanted.
    made["annotations"][words.POD_SPEC] = json.dumps(body, sort_keys=True)
    return {"metadata": made, "spec": body}


def _affinity(cluster: str, wanted: Json) -> Json:
    """CreateAffinitySection in pkg/specs/pods.go: instances keep apart, by node unless said otherwise."""
    found: Json = {}
    if wanted.get("nodeAffinity"):
        found["nodeAffinity"] = wanted["nodeAffinity"]
    if wanted.get("enablePodAntiAffinity", True) is False:
        return found
    expressions = [
        {"key": words.CLUSTER_LABEL, "operator": "In", "values": [cluster]},
        {"key": words.POD_ROLE_LABEL, "operator": "In", "values": ["instance"]},
    ]
    term = {
        "labelSelector": {"matchExpressions": expressions},
        "topologyKey": wanted.get("topologyKey") or "kubernetes.io/hostname",
    }
    if wanted.get("podAntiAffinityType") == "required":
        found["podAntiAffinity"] = {"requiredDuringSchedulingIgnoredDuringExecution": [term]}
    else:
        preferred = [{"weight": 100, "podAffinityTerm": term}]
        found["podAntiAffinity"] = {"preferredDuringSchedulingIgnoredDuringExecution": preferred}
    return found


def serial(name: str) -> int:
    """The number at the end of an instance's name."""
    text = name.rpartition("-")[2]
    return int(text) if text.isdigit() else 0
