"""The CloudNativePG operator's stand-in: what it does to the cluster by starting.

It makes a certificate authority and writes it into its webhook configurations, whose calls fail until then
(https://cloudnative-pg.io/documentation/current/operator_conf/, `MANAGE_WEBHOOK_CONFIGURATIONS`). Left out:
everything it does for a Postgres cluster; a `Cluster` is accepted and stays as it is.

Started without its CRDs it ends again and again, as its caches can't be filled
(https://github.com/cloudnative-pg/cloudnative-pg/issues/1739); one that runs already only logs that they are gone.
"""

import base64
from datetime import timedelta
from functools import partial
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from azure_sandbox.kubernetes.admission import Webhooks
from azure_sandbox.kubernetes.conditions import is_true
from azure_sandbox.kubernetes.controllers.life import Controller, Life
from azure_sandbox.kubernetes.store import Event, Store

Json = dict[str, Any]

IMAGE = "/cloudnative-pg:"
MANAGER = "manager"
SERVICE = "cnpg-webhook-service"
CONFIGURATIONS = (
    ("mutatingwebhookconfigurations.admissionregistration.k8s.io", "cnpg-mutating-webhook-configuration"),
    ("validatingwebhookconfigurations.admissionregistration.k8s.io", "cnpg-validating-webhook-configuration"),
)
CERTIFY_S = (2.0, 6.0)
"""From a ready pod to trusted webhooks. Unverified; reports of the error speak of moments after the install
(https://github.com/cloudnative-pg/charts/issues/674)."""
DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"
OWN_DEFINITIONS = ("clusters", "backups", "scheduledbackups", "poolers")
RESTART_S = 10.0
"""Until the operator looks again for webhook configurations that weren't there: it ends, and is started anew."""


class CnpgOperator(Controller):
    """Acts when a pod of the operator becomes ready."""

    def __init__(self, life: Life, webhooks: Webhooks) -> None:
        super().__init__(life)
        self._webhooks = webhooks

    def on_change(self, event: Event) -> None:
        """See to operator pods that have just become ready."""
        if event.key != "pods" or event.change == "DELETED" or not is_true(event.obj, "Ready"):
            return
        if event.before is not None and is_true(event.before, "Ready"):
            return
        if any(_is_operator(container) for container in event.obj["spec"]["containers"]):
            namespace, name = event.obj["metadata"]["namespace"], event.obj["metadata"]["name"]
            delay_s = self.life.between(*CERTIFY_S, "certify", name)
            self.life.after(delay_s, partial(self._certify, namespace), "certify", namespace)

    def _certify(self, namespace: str) -> None:
        secret = self.store.get("secrets", namespace, "cnpg-ca-secret")
        if secret is None:
            certificate, private = self._authority()
            data = {"ca.crt": _encoded(certificate), "ca.key": _encoded(private)}
            self.make("secrets", _secret(namespace, "cnpg-ca-secret", "Opaque", data), MANAGER)
            served = {"tls.crt": _encoded(certificate), "tls.key": _encoded(private)}
            self.make(
                "secrets", _secret(namespace, "cnpg-webhook-cert", "kubernetes.io/tls", served), MANAGER
            )
            secret = self.store.get("secrets", namespace, "cnpg-ca-secret")
        if secret is None:  # The namespace is going away.
            return
        bundle = secret["data"]["ca.crt"]
        self._webhooks.authorities[(namespace, SERVICE)] = bundle

        def change(obj: Json) -> None:
            for webhook in obj.get("webhooks") or []:
                if webhook["clientConfig"].get("service", {}).get("namespace") == namespace:
                    webhook["clientConfig"]["caBundle"] = bundle

        for key, name in CONFIGURATIONS:
            self.objects.write(key, "", name, change, MANAGER)
        if not all(self.store.get(key, "", name) for key, name in CONFIGURATIONS):
            self.life.after(RESTART_S, partial(self._certify, namespace), "certify", namespace)

    def _authority(self) -> tuple[bytes, bytes]:
        key = ec.generate_private_key(ec.SECP256R1())
        now = self.life.clock.now()
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, SERVICE)])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now)
            .not_valid_after(now + timedelta(days=90))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM), key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


def lacks_definitions(store: Store, pod: Json) -> bool:
    """Whether a pod is the operator's, and a CRD that it needs to start isn't there."""
    return any(_is_operator(container) for container in pod["spec"]["containers"]) and not all(
        store.get(DEFINITIONS, "", f"{name}.postgresql.cnpg.io") for name in OWN_DEFINITIONS
    )


def _is_operator(container: Json) -> bool:
    command = [*(container.get("command") or []), *(container.get("args") or [])]
    return IMAGE in container.get("image", "") and "controller" in command


def _secret(namespace: str, name: str, type_: str, data: Json) -> Json:
    return {"metadata": {"name": name, "namespace": namespace}, "type": type_, "data": data}


def _encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()
