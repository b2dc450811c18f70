"""Admission webhooks: refused while nobody is behind their Service, mistrusted until their CA is in place.

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/
Nothing answers webhooks in the sandbox but the operator's stand-in, which lets everything pass.
"""

from __future__ import annotations

from typing import Any

from azure_sandbox.kubernetes import errors, selectors
from azure_sandbox.kubernetes.objects import Objects
from azure_sandbox.kubernetes.resources import ResourceType

Json = dict[str, Any]

_CONFIGURATIONS = (
    "mutatingwebhookconfigurations.admissionregistration.k8s.io",
    "validatingwebhookconfigurations.admissionregistration.k8s.io",
)


class Webhooks:
    """What the registered webhooks say to a write.

    Attributes:
        authorities: namespace and name of a Service, to the CA bundle that its server's certificate is
            signed by.
    """

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self.authorities: dict[tuple[str, str], str] = {}

    def dump(self) -> list[list[str]]:
        """The authorities, as JSON."""
        return [[*service, bundle] for service, bundle in self.authorities.items()]

    def load(self, dumped: list[list[str]]) -> None:
        """Trust what was dumped."""
        self.authorities = {(namespace, name): bundle for namespace, name, bundle in dumped}

    def review(self, type_: ResourceType, operation: str, obj: Json) -> None:
        """Ask every webhook whose rules match.

        Raises:
            ApiError: 500 when one can't be reached and its failure policy is Fail.
        """
        if type_.group == "admissionregistration.k8s.io":
            return
        for key in _CONFIGURATIONS:
            for configuration in self._objects.store.all(key):
                for webhook in configuration.get("webhooks") or []:
                    if not self._concerned(webhook, type_, operation, obj):
                        continue
                    failure = self._failure(webhook)
                    if failure and webhook.get("failurePolicy", "Fail") == "Fail":
                        raise errors.internal_error(f'failed calling webhook "{webhook["name"]}": {failure}')

    def _concerned(self, webhook: Json, type_: ResourceType, operation: str, obj: Json) -> bool:
        if not any(_rule_matches(rule, type_, operation) for rule in webhook.get("rules") or []):
            return False
        labels = obj["metadata"].get("labels")
        if not selectors.matches_labels(webhook.get("objectSelector") or {}, labels):
            return False
        if not type_.namespaced:
            return True
        namespace = self._objects.store.get("namespaces", "", obj["metadata"].get("namespace", "")) or {}
        labels = namespace.get("metadata", {}).get("labels")
        return selectors.matches_labels(webhook.get("namespaceSelector") or {}, labels)

    def _failure(self, webhook: Json) -> str | None:
        config = webhook.get("clientConfig", {})
        service = config.get("service")
        if service is None:
            return f'failed to call webhook: Post "{config.get("url")}": the sandbox calls no webhooks by URL'
        namespace, name = service["namespace"], service["name"]
        found = self._objects.store.get("services", namespace, name)
        if found is None:
            return f'failed to call webhook: service "{name}" not found'
        port = service.get("port", 443)
        timeout = webhook.get("timeoutSeconds", 10)
        url = f"https://{name}.{namespace}.svc:{port}{service.get('path', '')}?timeout={timeout}s"
        post = f'failed to call webhook: Post "{url}"'
        if not self._ready(namespace, name):
            return f"{post}: dial tcp {found['spec'].get('clusterIP')}:{port}: connect: connection refused"
        authority = self.authorities.get((namespace, name))
        # Without a bundle, the system's authorities have to do.
        bundle = config.get("caBundle")
        if authority is None and bundle:
            return f"{post}: the sandbox has no server for this webhook"
        if bundle is None or bundle != authority:
            return f"{post}: tls: failed to verify certificate: x509: certificate signed by unknown authority"
        return None

    def _ready(self, namespace: str, name: str) -> bool:
        endpoints = self._objects.store.get("endpoints", namespace, name) or {}
        return any(subset.get("addresses") for subset in endpoints.get("subsets") or [])


def _rule_matches(rule: Json, type_: ResourceType, operation: str) -> bool:
    scope = rule.get("scope", "*")
    if scope != "*" and (scope == "Namespaced") != type_.namespaced:
        return False
    wanted = {
        "apiGroups": type_.group,
        "apiVersions": type_.version,
        "operations": operation,
        "resources": type_.plural,
    }
    return all("*" in rule.get(field, []) or value in rule.get(field, []) for field, value in wanted.items())
