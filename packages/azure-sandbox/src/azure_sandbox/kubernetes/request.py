"""An HTTP request as the API server reads it: which verb on which resource, and what the body holds.

https://kubernetes.io/docs/reference/using-api/api-concepts/
"""

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from azure_sandbox.core.json_text import read_json
from azure_sandbox.kubernetes import errors, protobuf

Json = dict[str, Any]

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
PATCHES = (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, APPLY_PATCH)
BODIES = ("application/json", "application/yaml", protobuf.CONTENT_TYPE)


@dataclass
class ApiRequest:
    """One request on a resource.

    Attributes:
        verb: create, get, list, watch, update, patch, delete or deletecollection.
        namespace: empty for cluster-wide types and for lists over all namespaces.
    """

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    content: bytes
    group: str = ""
    version: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    verb: str = ""
    user: str = ""
    warnings: list[str] = field(default_factory=list)

    @property
    def operation(self) -> str:
        """Verb and resource, such as `create namespaces` or `patch deployments.apps/status`."""
        if not self.resource:
            return f"{self.method.lower()} {self.path}"
        name = f"{self.resource}.{self.group}" if self.group else self.resource
        return f"{self.verb} {name}{'/' + self.subresource if self.subresource else ''}"

    @property
    def content_type(self) -> str:
        """Of the body, without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def dry_run(self) -> bool:
        """Whether nothing is to be stored."""
        wanted = self.query.get("dryRun", "")
        if wanted not in ("", "All"):
            kind = {"POST": "Create", "PUT": "Update", "DELETE": "Delete"}.get(
                self.method, "Patch"
            ) + "Options"
            why = f'Unsupported value: []string{{"{wanted}"}}: supported values: "All"'
            details = {
                "group": "meta.k8s.io",
                "kind": kind,
                "causes": [errors.cause("dryRun", "FieldValueNotSupported", why)],
            }
            text = f'{kind}.meta.k8s.io "" is invalid: dryRun: {why}'
            raise errors.ApiError(422, "Invalid", text, details)
        return wanted == "All"

    @property
    def field_manager(self) -> str:
        """The manager named, or the first part of the user agent."""
        named = self.query.get("fieldManager")
        if named:
            return named
        return self.headers.get("user-agent", "").partition("/")[0] or "unknown"

    def flag(self, name: str) -> bool:
        """A boolean of the query."""
        return self.query.get(name, "").lower() in ("true", "1", "t")

    def number(self, name: str) -> int | None:
        """A whole number of the query.

        Raises:
            ApiError: 400 when it is none.
        """
        text = self.query.get(name)
        if not text:
            return None
        if not text.isdigit():
            raise errors.bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
        return int(text)

    def body(self) -> Json:
        """The object sent.

        Raises:
            ApiError: 415 for an unknown content type, 400 for a body that can't be read.
        """
        kind = self.content_type
        if kind == protobuf.CONTENT_TYPE:
            return protobuf.decode(self.content)
        if kind in ("application/yaml", APPLY_PATCH):
            return self._yaml()
        if kind not in ("", "application/json"):
            raise errors.unsupported_media_type(BODIES)
        value = self.json()
        if not isinstance(value, dict):
            raise errors.bad_request("couldn't get version/kind; json parse error: the body is no object")
        return value

    def json(self) -> Any:
        """The body as JSON, of whatever type."""
        try:
            return read_json(self.content)
        except ValueError as error:
            raise errors.bad_request(f"couldn't get version/kind; json parse error: {error}") from error

    def _yaml(self) -> Json:
        try:
            value = yaml.load(self.content, Loader=_Loader)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise errors.bad_request(f"error decoding YAML: {error}") from error
        if not isinstance(value, dict):
            raise errors.bad_request("error decoding YAML: the body is no object")
        return value


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # libyaml may be missing
    """YAML as Kubernetes reads it: dates stay texts."""

    yaml_implicit_resolvers = {  # noqa: RUF012  # PyYAML's own way to set them
        first: [(tag, regexp) for tag, regexp in found if tag != "tag:yaml.org,2002:timestamp"]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_CORE = re.compile(r"^/api/(?P<version>v1)(?P<rest>/.*)?$")
_GROUP = re.compile(r"^/apis/(?P<group>[^/]+)/(?P<version>[^/]+)(?P<rest>/.*)?$")


def parse(
    method: str, path: str, query: dict[str, str], headers: dict[str, str], content: bytes
) -> ApiRequest:
    """Read a request's path; `resource` stays empty when it names none."""
    request = ApiRequest(method, path, query, headers, content)
    found = _CORE.match(path) or _GROUP.match(path)
    if not found:
        return request
    request.group = found.groupdict().get("group") or ""
    request.version = found["version"]
    parts = [part for part in (found["rest"] or "").split("/") if part]
    if not parts:
        return request
    if parts[0] == "namespaces" and len(parts) > 2 and parts[2] not in ("status", "finalize"):
        request.namespace, parts = parts[1], parts[2:]
    request.resource = parts[0]
    if len(parts) > 1:
        request.name = parts[1]
    if len(parts) > 2:
        request.subresource = "/".join(parts[2:])
    request.verb = _verb(request)
    return request


def _verb(request: ApiRequest) -> str:
    if request.method in ("GET", "HEAD"):
        if request.name:
            return "get"
        return "watch" if request.flag("watch") else "list"
    if request.method == "DELETE":
        return "delete" if request.name else "deletecollection"
    return {"POST": "create", "PUT": "update", "PATCH": "patch"}.get(request.method, request.method.lower())
