"""One request to ARM on its way to a provider's function, and what the function does with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from azure_sandbox.core.operations import Operation, Polling
from azure_sandbox.core.provider import Route
from azure_sandbox.core.resource import Principal, Resource
from azure_sandbox.core.responses import ArmError, Response
from azure_sandbox.core.shapes import misfit

if TYPE_CHECKING:
    from azure_sandbox.server.instance import Sandbox

Json = dict[str, Any]


@dataclass
class Call:
    """One request to ARM, already checked, on its way to a provider's function.

    Args:
        method: HTTP method.
        path: as sent, `//` collapsed.
        names: what the pattern's variables stand for, `call.names["cluster"]`; case as sent.
        query: query parameters by lower-cased name.
        headers: by lower-cased name.
        body: parsed JSON, `{}` when nothing was sent.
        api_version: as sent.
        principal: the caller.
        id: canonical id of the resource (or collection, or action) that the path names.
        scope: canonical id of what precedes `/providers/`.
        subscription: subscription id; "" at tenant scope.
        group: resource group name as the group has it; "" outside a group.
        route: the operation.
        sandbox: clock, store, settings, durations, operations, certificates.
        live: the resource that the path names, None when there is none.
        fault: fault ordered for this request, for the operation that it starts.
        base_url: scheme and host to hand out in URLs.
    """

    method: str
    path: str
    names: dict[str, str]
    query: dict[str, str]
    headers: dict[str, str]
    body: Any
    api_version: str
    principal: Principal
    id: str
    scope: str
    subscription: str
    group: str
    route: Route
    sandbox: Sandbox
    base_url: str
    live: Resource | None = None
    fault: Json | None = None

    @property
    def type(self) -> str:
        """The full type, `Microsoft.ContainerService/managedClusters`."""
        return f"{self.route.provider.namespace}/{self.route.type_name}"

    @property
    def properties(self) -> Json:
        """The `properties` of the request's body, `{}` when there are none."""
        properties = self.body.get("properties") if isinstance(self.body, dict) else None
        return properties if isinstance(properties, dict) else {}

    def found(self) -> Resource:
        """The live resource, or ARM's 404 with the code that fits (`ParentResourceNotFound` included)."""
        if self.live is not None:
            return self.live
        if "/" in self.route.type_name:
            self.parent()
        raise self.not_found()

    def not_found(self) -> ArmError:
        """ARM's 404 for the resource that the path names."""
        names = "/".join(self.names.values())
        where = f" under resource group '{self.group}'" if self.group else ""
        return ArmError(
            404,
            "ResourceNotFound",
            f"The Resource '{self.type}/{names}'{where} was not found. For more details please go to "
            "https://aka.ms/ARMResourceNotFoundFix",
            headers={"x-ms-failure-cause": "gateway"},
        )

    def parent(self) -> Resource:
        """The resource above the one that the path names, or 404 ParentResourceNotFound."""
        segments = self.id.split("/")
        # A literal such as blobServices/default isn't stored: go up until something is.
        index = len(segments) - (len(segments) % 2)
        while index > 3 and segments[index - 3].lower() != "providers":
            index -= 2
            resource = self.sandbox.store.get("/".join(segments[: index + 1]))
            if resource is not None:
                return resource
        verb = {"GET": "read", "HEAD": "read", "DELETE": "delete"}.get(self.method, "write")
        parent_id = "/".join(segments[: index + 1])
        raise ArmError(
            404,
            "ParentResourceNotFound",
            f"Failed to perform '{verb}' on resource(s) of type '{self.route.type_name}', because the parent "
            f"resource '{parent_id}' could not be found.",
            headers={"x-ms-failure-cause": "gateway"},
        )

    def put(self, body: Json | None = None, /, **defaults: Any) -> Resource:
        """Store the resource as sent: what isn't in the body is gone, as with a real PUT.

        Args:
            body: instead of the request's body.
            defaults: properties that the service fills in when the caller left them out (or sent null).

        Returns:
            The resource, new or replaced in place (its notes are kept, its etag is new).
        """
        sent: Json = self.body if body is None else body
        properties = dict(sent.get("properties") or {})
        for name, value in defaults.items():
            if properties.get(name) is None:
                properties[name] = value
        return self.sandbox.store.put(
            self.id if self.live is None else self.live.id, self.type, {**sent, "properties": properties}
        )

    def merge(self) -> Resource:
        """Apply a PATCH to the live resource: JSON merge patch (RFC 7396), tags and all."""
        resource = self.found()
        changed = merge_patch(resource.body, self.body)
        return self.sandbox.store.put(resource.id, resource.type, changed)

    def listing(self, type_name: str | None = None, *, under: str | None = None) -> Response:
        """All resources of the route's type below the path's scope (group, subscription or parent).

        Args:
            type_name: another type (without namespace).
            under: another id to look below.
        """
        kind = type_name or self.route.type_name
        above = under or self.scope
        if under is None and "/" in kind:
            above = self.parent().id
        wanted = f"{self.route.provider.namespace}/{kind}"
        found = self.sandbox.store.under(above, wanted)
        return Response(200, {"value": [self.sandbox.view(resource) for resource in found]})

    def delete_now(self) -> Response:
        """Remove the resource at once: 200, or 204 when there is none."""
        if self.live is None:
            return Response(204)
        self.sandbox.remove(self.live)
        return Response(200)

    def begin(
        self,
        resource: Resource,
        *,
        duration: float | str,
        polling: Polling,
        status: int | None = None,
        state: str | None = None,
        effect: Callable[[Operation], None] | None = None,
        settled: Callable[[Operation], None] | None = None,
        body: Any = ...,
        latency_s: float = 0.0,
    ) -> Response:
        """Start a long-running operation on a resource and answer.

        Args:
            resource: what is being made or changed.
            duration: sandbox seconds, or the name of a duration.
            polling: how the service lets clients follow it.
            status: of the answer; default 201 for a new resource, 200 for a known one.
            state: provisioning state meanwhile; default Creating or Updating.
            effect: what happens when it ends well; may raise `ArmError` to let it fail.
            settled: called once the state is final, whatever it is.
            body: of the answer; default the resource.
            latency_s: sandbox seconds between the start and the answer.
        """
        new = self.live is None
        operation = self.sandbox.operations.start(
            resource,
            name=self.route.operation,
            duration_s=self.seconds(duration, resource.id),
            polling=polling,
            state=state or ("Creating" if new else "Updating"),
            effect=effect,
            settled=settled,
            fault=self.fault,
            api_version=self.api_version,
            principal=self.principal,
        )
        answer = Response(
            status or (201 if new else 200),
            resource if body is ... else body,
            headers=polling.headers(operation, self.base_url),
            retry_after_s=self.sandbox.operations.interval(operation),
            latency_s=latency_s,
        )
        if polling.empty_first_answer:
            answer.body = None
        return answer

    def begin_delete(
        self,
        *,
        duration: float | str,
        polling: Polling,
        resource: Resource | None = None,
        effect: Callable[[Operation], None] | None = None,
        latency_s: float = 0.0,
        status: int = 202,
    ) -> Response:
        """Start a deletion: 202 and Deleting, then the resource is removed; 204 when there is nothing."""
        target = resource or self.live
        if target is None:
            return Response(204)
        operation = self.sandbox.operations.start(
            target,
            name=self.route.operation,
            duration_s=self.seconds(duration, target.id),
            polling=polling,
            state="Deleting",
            effect=effect,
            deletes=True,
            fault=self.fault,
            api_version=self.api_version,
            principal=self.principal,
        )
        return Response(
            status,
            headers=polling.headers(operation, self.base_url),
            retry_after_s=self.sandbox.operations.interval(operation),
            latency_s=latency_s,
        )

    def seconds(self, duration: float | str, key: str = "") -> float:
        """A duration in sandbox seconds, by name or as it is."""
        if isinstance(duration, str):
            return self.sandbox.durations.seconds(duration, key or self.id)
        return float(duration)

    def check_if_match(self, *, bare: bool = False) -> None:
        """Refuse a write whose If-Match or If-None-Match doesn't hold: 412, or 400 when both are sent."""
        match, none_match = self.headers.get("if-match"), self.headers.get("if-none-match")
        if match and none_match:
            message = "If-Match and If-None-Match can't both be set."
            raise ArmError(400, "BadRequest", message, bare=bare)
        etag = self.live.etag if self.live is not None else None
        form = self.sandbox.settings["if_match_form"]
        accepted = {etag, f'"{etag}"'} if form == "any" else {etag if form == "bare" else f'"{etag}"'}
        accepted = (accepted | {"*"}) if etag else set()
        wrong = (match and match not in accepted) or (none_match == "*" and etag is not None)
        if wrong:
            raise ArmError(
                412,
                "PreconditionFailed",
                f"The request's precondition failed: the etag of '{self.id}' is '{etag}', and If-Match is "
                f"'{match or none_match}'.",
                bare=bare,
            )

    def require(self, *path: str, code: str = "InvalidParameter") -> Any:
        """A value of the request's body by its path, or 400."""
        value: Any = self.body
        for step in path:
            value = value.get(step) if isinstance(value, dict) else None
        if value is None:
            name = ".".join(path)
            raise ArmError(400, code, f"Required parameter {name} is missing (null).", target=name)
        return value

    def check_shape(self, shape: Any) -> None:
        """Refuse a body that hasn't the shape (see `azure_sandbox.core.shapes`): 400 InvalidRequestContent."""
        wrong = misfit(self.body, shape)
        if wrong is not None:
            text = f"The request content was invalid and could not be deserialized: '{wrong}'."
            raise ArmError(400, "InvalidRequestContent", text)

    def throttle(
        self, key: Iterable[str], *, capacity: float, per_s: float, message: str, bare: bool = False
    ) -> None:
        """Take from a provider's own bucket, or answer its 429 `Throttled` with Retry-After.

        Args:
            key: what the bucket belongs to, for example ("PUT", cluster id).
            capacity: burst.
            per_s: refill per sandbox second.
            message: text of the 429; `{wait}` becomes the whole seconds to wait.
            bare: without the `error` wrapper.
        """
        wait_s = self.sandbox.throttling.take((self.route.provider.namespace, *key), capacity, per_s)
        if wait_s > 0:
            text = message.replace("{wait}", str(int(wait_s) + 1))
            raise ArmError(429, "Throttled", text, retry_after_s=wait_s, bare=bare)

    def poll_interval(self) -> float | None:
        """Seconds for a Retry-After on the read of a resource that is itself what clients poll."""
        running = self.sandbox.operations.running(self.id)
        if running is None or running.polling.async_path or running.polling.location_path:
            return None
        return self.sandbox.operations.interval(running)

    def iter_children(self, type_name: str, of: Resource | None = None) -> Iterator[Resource]:
        """The resources of a child type below a resource (default: the live one)."""
        above = of or self.live
        if above is not None:
            yield from self.sandbox.store.under(above.id, f"{self.route.provider.namespace}/{type_name}")


def merge_patch(target: Any, patch: Any) -> Any:
    """Apply a JSON merge patch (RFC 7396), leaving its arguments as they are."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge_patch(result.get(name), value)
    return result
