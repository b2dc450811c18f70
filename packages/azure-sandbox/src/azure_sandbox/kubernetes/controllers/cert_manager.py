"""cert-manager's stand-in: a Certificate becomes a Secret while cert-manager runs.

https://cert-manager.io/docs/usage/certificate/. Every issuer signs as a self-signed one does; left out: renewal,
requests, issuers that aren't there.
"""

from __future__ import annotations

import base64
import re
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from azure_sandbox.kubernetes.conditions import condition, is_true
from azure_sandbox.kubernetes.controllers.life import Controller
from azure_sandbox.kubernetes.exposition import Metric, text_of
from azure_sandbox.kubernetes.store import Event, Store

Json = dict[str, Any]

METRICS_PORT = 9402
CERTIFICATES = "certificates.cert-manager.io"
IMAGE = "/cert-manager-controller:"
MANAGER = "cert-manager-certificates-issuing"
ISSUE_S = (1.0, 3.0)
LIFE = timedelta(days=90)
"""cert-manager's default."""


class CertManager(Controller):
    """Issues what Certificates ask for."""

    def on_change(self, event: Event) -> None:
        """See to new Certificates, and to all when cert-manager gets ready."""
        metadata = event.obj["metadata"]
        if event.change == "DELETED":
            return
        if event.key == CERTIFICATES:
            at = (metadata["namespace"], metadata["name"])
            delay_s = self.life.between(*ISSUE_S, "certificate", *at)
            self.life.after(delay_s, partial(self._issue, *at), "certificate", *at)
        elif event.key == "pods" and is_true(event.obj, "Ready") and is_cert_manager(event.obj):
            self.life.after(0.5, self._issue_all, "certificates")

    def _issue_all(self) -> None:
        for obj in self.store.all(CERTIFICATES):
            self._issue(obj["metadata"]["namespace"], obj["metadata"]["name"])

    def _issue(self, namespace: str, name: str) -> None:
        obj = self.store.get(CERTIFICATES, namespace, name)
        running = any(is_true(pod, "Ready") and is_cert_manager(pod) for pod in self.store.all("pods"))
        if obj is None or not running:
            return
        spec, now = obj["spec"], self.objects.now()
        if self.store.get("secrets", namespace, spec["secretName"]) is None:
            certificate, key = self._made(spec)
            data = {"tls.crt": certificate, "tls.key": key, "ca.crt": certificate}
            secret = {
                "metadata": {
                    "name": spec["secretName"],
                    "namespace": namespace,
                    "annotations": {"cert-manager.io/certificate-name": name},
                },
                "type": "kubernetes.io/tls",
                "data": {field: base64.b64encode(value).decode() for field, value in data.items()},
            }
            self.make("secrets", secret, MANAGER)
        text = "Certificate is up to date and has not expired"
        ready = condition("Ready", "True", "Ready", text, now, obj.get("status"))
        status = {"conditions": [ready], "revision": 1, **self._times(obj)}
        self.set_status(CERTIFICATES, obj, status, MANAGER)

    def _times(self, obj: Json) -> Json:
        """From when and until when, and when it is renewed: a third of its life before, unless its spec says.

        https://cert-manager.io/docs/usage/certificate/#renewal
        """
        namespace, spec = obj["metadata"]["namespace"], obj["spec"]
        secret = self.store.get("secrets", namespace, spec["secretName"]) or {}
        try:
            found = x509.load_pem_x509_certificate(base64.b64decode(secret["data"]["tls.crt"]))
        except (KeyError, ValueError):
            return {}
        begins, ends = found.not_valid_before_utc, found.not_valid_after_utc
        before = _duration(spec.get("renewBefore"), (ends - begins) / 3)
        times = {"notBefore": begins, "notAfter": ends, "renewalTime": ends - before}
        return {name: f"{moment:%Y-%m-%dT%H:%M:%SZ}" for name, moment in times.items()}

    def _made(self, spec: Json) -> tuple[bytes, bytes]:
        key = ec.generate_private_key(ec.SECP256R1())
        now = self.life.clock.now()
        names = spec.get("dnsNames") or []
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, spec.get("commonName") or names[0])])
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now)
            .not_valid_after(now + _duration(spec.get("duration"), LIFE))
        )
        if names:
            alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
            builder = builder.add_extension(alternatives, critical=False)
        certificate = builder.sign(key, hashes.SHA256())
        return certificate.public_bytes(serialization.Encoding.PEM), key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


def _duration(text: str | None, default: timedelta) -> timedelta:
    """Go's words for a duration, as far as Certificates use them: 2160h, 90m, 1h30m."""
    found = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", text or "")
    if not text or found is None:
        return default
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)


def certificate_metrics(store: Store) -> str:
    """What cert-manager's controller says of Certificates on its metrics port.

    https://github.com/cert-manager/cert-manager/blob/v1.19.4/internal/collectors/certificate_collector.go
    """
    prefix = "certmanager_certificate"
    times = {
        "not_after": Metric(f"{prefix}_not_after_timestamp_seconds", "When it ends."),
        "not_before": Metric(f"{prefix}_not_before_timestamp_seconds", "When it begins."),
        "expiration": Metric(f"{prefix}_expiration_timestamp_seconds", "When it ends."),
        "renewal": Metric(f"{prefix}_renewal_timestamp_seconds", "When it is to be renewed."),
    }
    ready = Metric(f"{prefix}_ready_status", "Whether it is ready.")
    keys = {"not_after": "notAfter", "not_before": "notBefore", "expiration": "notAfter"}
    for obj in store.all(CERTIFICATES):
        issuer, status = obj["spec"].get("issuerRef") or {}, obj.get("status") or {}
        labels = {
            **{key: obj["metadata"][key] for key in ("name", "namespace")},
            **{f"issuer_{key}": issuer.get(key, "") for key in ("name", "kind", "group")},
        }
        for name, metric in times.items():
            text = status.get(keys.get(name, "renewalTime"))
            moment = datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() if text else 0.0
            metric.add(moment, **labels)
        conditions = {item["type"]: item["status"] for item in status.get("conditions") or []}
        for value in ("True", "False", "Unknown"):
            ready.add(float(conditions.get("Ready", "Unknown") == value), condition=value, **labels)
    return text_of([*times.values(), ready])


def is_cert_manager(pod: Json) -> bool:
    """Whether a Pod is cert-manager's controller."""
    return any(IMAGE in container.get("image", "") for container in pod["spec"]["containers"])
