"""What a resource provider is written with: `Provider`, `Call`, `Resource`, `Response`, `ArmError`.

How a provider hooks in
-----------------------
A module in `azure_sandbox/providers/` holds one or more `Provider` objects at module level; the sandbox finds them
all by itself (two objects may share a namespace). For each of its types a provider declares

- `provider.type("managedClusters", api_versions=(...), ...)`: what ARM has to know about the type:
  api-versions, duration of a deletion, its rank when its resource group is deleted, whether it is deletable
  while busy;
- operations, `@provider.put("managedClusters/{cluster}/agentPools/{pool}")` and `get`, `patch`, `delete`,
  `post`, `list`. The function takes a `Call`, returns a `Response` and may be `async`. The REST operation id
  is the first word of its docstring (`AgentPools_CreateOrUpdate: ...`), or `operation=`. The pattern is what
  follows `/providers/{namespace}/`; `scope` says what precedes it: "group" (default), "subscription",
  "tenant", "any" (an extension resource such as a role assignment) or "path" (the pattern is the whole path);
- `@provider.view("managedClusters")`: how a resource looks to clients (default: its body);
- `@provider.removed("managedClusters")`: what happens once a resource is gone (its children are gone
  already);
- `@provider.restored("managedClusters")`: what happens when a kept resource is back after a restart (only
  with `--persist`): open its port again and the like;
- `@provider.group_delete("managedClusters")`: what a group's deletion does with it: returns the duration in
  sandbox seconds, or raises an `ArmError` that blocks the deletion of the group (default: the type's
  `delete_duration`);
- `@provider.reset`: called at `/sandbox/reset` and before the end of the process (close ports and the like);
  may be async.

Before the function runs, ARM has checked: token, api-version, the caller's permission
(`Namespace/types/write`, `read`, `delete` or, for POST, `.../{action}/action`; `permission=` overrides it),
ARM's throttling, the subscription, the provider's registration (writes), the resource group (404, or 409
while it is being deleted), locks, policies that deny, and that the body is JSON.

In the function, `call.live` is the resource that the path names, or None; `call.put()` stores what was sent;
`call.begin()` starts a long-running operation on it and answers in the service's own shape (`Polling`), and
`call.begin_delete()` the same for a deletion. When an operation ends well its `effect` runs, then the state
becomes Succeeded; an effect that raises `ArmError` makes the operation, and the resource, Failed.
`azure_sandbox.core.operations.start()` starts an operation nobody asked for (`spontaneous=True`), typically from
`call.sandbox.clock.call_later`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from azure_sandbox.core.operations import TERMINAL, Operation, Polling
from azure_sandbox.core.shapes import misfit

if TYPE_CHECKING:
    from azure_sandbox.core.instance import Sandbox

__all__ = [
    "TERMINAL",
    "ArmError",
    "Call",
    "Operation",
    "Polling",
    "Principal",
    "Provider",
    "Resource",
    "ResourceType",
    "Response",
    "Route",
]

Json = dict[str, Any]
ScopeKind = Literal["group", "subscription", "tenant", "any", "path"]


class ArmError(Exception):
    """An error answer.

    Args:
        status: HTTP status.
        code: ARM's error code.
        message: the text, as Azure writes it.
        target: `error.target`.
        details: `error.details`.
        bare: AKS's form, without the `error` wrapper: `{"code", "details", "message", "subcode"}`.
        retry_after_s: sandbox seconds for a Retry-After header.
        headers: further headers.
        additional_info: `error.additionalInfo`.
        latency_s: sandbox seconds that pass before the answer.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        target: str | None = None,
        details: list[Json] | None = None,
        bare: bool = False,
        subcode: str = "",
        retry_after_s: float | None = None,
        headers: Mapping[str, str] | None = None,
        additional_info: list[Json] | None = None,
        latency_s: float = 0.0,
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.target = target
        self.details = details
        self.bare = bare
        self.subcode = subcode
        self.retry_after_s = retry_after_s
        self.headers = dict(headers or {})
        self.additional_info = additional_info
        self.latency_s = latency_s

    def error(self) -> Json:
        """The error object, as it also appears in the document of a failed operation."""
        error: Json = {"code": self.code, "message": self.message}
        if self.target is not None:
            error["target"] = self.target
        if self.details is not None:
            error["details"] = self.details
        if self.additional_info is not None:
            error["additionalInfo"] = self.additional_info
        return error

    def body(self) -> Json:
        """The whole answer."""
        if self.bare:
            return {
                "code": self.code,
                "details": self.details,
                "message": self.message,
                "subcode": self.subcode,
                **({"target": self.target} if self.target is not None else {}),
            }
        return {"error": self.error()}


@dataclass
class Response:
    """An answer.

    Args:
        status: HTTP status.
        body: JSON, a `Resource` (shown through its type's view), bytes, or None for an empty answer.
        headers: headers beyond those of every answer.
        retry_after_s: sandbox seconds for Retry-After (below a real second: `x-ms-retry-after-ms`).
        latency_s: sandbox seconds between the effect and the answer.
    """

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    retry_after_s: float | None = None
    latency_s: float = 0.0


@dataclass
class Resource:
    """A resource as the store has it.

    Args:
        id: canonical resource id.
        type: full type, `Microsoft.ContainerService/managedClusters/agentPools`.
        body: what the service knows and shows: `id`, `name`, `type`, `location`, `tags`, `properties`, ...
        etag: changes with every write and every change of state.
        notes: what the provider remembers and never shows.
        previous: the body that the last PUT or PATCH replaced.
    """

    id: str
    type: str
    body: Json
    etag: str = ""
    created_s: float = 0.0
    notes: dict[str, Any] = field(default_factory=dict)
    previous: Json | None = None

    @property
    def name(self) -> str:
        """The last segment of the id."""
        return self.id.rsplit("/", 1)[-1]

    @property
    def properties(self) -> Json:
        """The `properties` of the body, which can be changed in place."""
        properties: Json = self.body.setdefault("properties", {})
        return properties

    @property
    def state(self) -> str | None:
        """`properties.provisioningState`, None for types without one."""
        state: str | None = self.body.get("properties", {}).get("provisioningState")
        return state

    @state.setter
    def state(self, state: str) -> None:
        self.properties["provisioningState"] = state

    @property
    def settled(self) -> bool:
        """Whether nothing is going on: the state is final, or the type has none."""
        return self.state is None or self.state in TERMINAL

    @property
    def location(self) -> str:
        """The region, as stored."""
        return str(self.body.get("location", ""))

    @property
    def group_id(self) -> str:
        """The id of the resource group."""
        return "/".join(self.id.split("/")[:5])


@dataclass(frozen=True)
class Principal:
    """Who is calling."""

    object_id: str
    client_id: str
    name: str = ""
    kind: str = "ServicePrincipal"


Handler = Callable[["Call"], Response | Awaitable[Response]]
HandlerT = TypeVar("HandlerT", bound=Callable[..., Any])


@dataclass(frozen=True)
class ResourceType:
    """What ARM knows of a type.

    Args:
        name: without namespace: `managedClusters/agentPools`.
        api_versions: the ones accepted.
        delete_duration: name of a duration, for the deletion of its resource group.
        group_delete_rank: resources of a lower rank are deleted before those of a higher one.
        deletable_when_busy: whether a running operation gives way to the deletion of the group; else it
            blocks it.
        tracked: has a location and tags, and shows in the lists of resources; children and extensions don't.
        supports_tags: None means as `tracked`.
    """

    name: str
    api_versions: tuple[str, ...]
    delete_duration: str | None = None
    group_delete_rank: int = 0
    deletable_when_busy: bool = True
    tracked: bool = True


@dataclass
class Route:
    """One operation of a provider."""

    method: str
    pattern: str
    scope: ScopeKind
    operation: str
    handler: Handler
    provider: Provider
    type_name: str
    permission: str
    names_resource: bool
    checks_group: bool = True
    is_async: bool = False


class Provider:
    """A resource provider: its types and operations.

    Args:
        namespace: `Microsoft.ContainerService`.
        bare_errors: its errors have no `error` wrapper (AKS). Applies to what ARM raises on its behalf not at
            all: gateway errors always have one.
    """

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self.types: dict[str, ResourceType] = {}
        self.routes: list[Route] = []
        self.views: dict[str, Callable[[Resource, Sandbox], Json]] = {}
        self.removals: dict[str, list[Callable[[Resource, Sandbox], None]]] = {}
        self.savings: dict[str, list[Callable[[Resource, Sandbox], None]]] = {}
        self.restorals: dict[str, list[Callable[[Resource, Sandbox], None]]] = {}
        self.group_deletes: dict[str, Callable[[Resource, Sandbox], float]] = {}
        self.resets: list[Callable[[Sandbox], Awaitable[None] | None]] = []
        self.limits: list[Callable[[Call], None]] = []

    def type(
        self,
        name: str,
        *,
        api_versions: Iterable[str],
        delete_duration: str | None = None,
        group_delete_rank: int = 0,
        deletable_when_busy: bool = True,
        tracked: bool | None = None,
    ) -> None:
        """Declare a type; `tracked` defaults to "has no parent"."""
        self.types[name.lower()] = ResourceType(
            name,
            tuple(sorted(api_versions)),
            delete_duration,
            group_delete_rank,
            deletable_when_busy,
            "/" not in name if tracked is None else tracked,
        )

    def put(self, pattern: str, **options: Any) -> Callable[[HandlerT], HandlerT]:
        """Register a PUT; options as for `operation`."""
        return self.operation("PUT", pattern, **options)

    def get(self, pattern: str, **options: Any) -> Callable[[HandlerT], HandlerT]:
        """Register a GET of one resource."""
        return self.operation("GET", pattern, **options)

    def head(self, pattern: str, **options: Any) -> Callable[[HandlerT], HandlerT]:
        """Register a HEAD."""
        return self.operation("HEAD", pattern, **options)

    def list(self, pattern: str, **options: Any) -> Callable[[HandlerT], HandlerT]:
        """Register a GET of a collection."""
        return self.operation("GET", pattern, **options)

    def patch(self, pattern: str, **options: Any) -> Callable[[HandlerT], HandlerT]:
        """Register a PATCH."""
        return self.operation("PATCH", pattern, **options)

    def delete(self, pattern: str, **options: Any) -> Callable[[HandlerT], HandlerT]:
        """Register a DELETE."""
        return self.operation("DELETE", pattern, **options)

    def post(self, pattern: str, **options: Any) -> Callable[[HandlerT], HandlerT]:
        """Register a POST: an action."""
        return self.operation("POST", pattern, **options)

    def operation(
        self,
        method: str,
        pattern: str,
        *,
        operation: str | None = None,
        scope: ScopeKind = "group",
        type_name: str | None = None,
        permission: str | None = None,
        checks_group: bool = True,
    ) -> Callable[[HandlerT], HandlerT]:
        """Register an operation.

        Args:
            method: the HTTP method.
            pattern: path below `/providers/{namespace}/`, such as `grafana/{grafana}`.
            operation: REST operation id; else the docstring's first word.
            scope: what precedes the pattern, see the module.
            type_name: the type whose api-versions apply, where the pattern doesn't say so.
            permission: the RBAC action wanted, where it isn't the usual one.
            checks_group: whether the resource group must exist.

        Returns:
            A decorator that leaves the function as it is.
        """

        def register(handler: HandlerT) -> HandlerT:
            name = operation or _operation_of(handler)
            segments = pattern.split("/")
            kind, action = _type_and_action(method, segments)
            kind = type_name or kind
            self.routes.append(
                Route(
                    method=method,
                    pattern=pattern,
                    scope=scope,
                    operation=name,
                    handler=handler,
                    provider=self,
                    type_name=kind,
                    permission=permission or f"{self.namespace}/{kind}/{action}",
                    names_resource=segments[-1].startswith("{"),
                    checks_group=checks_group,
                    is_async=inspect.iscoroutinefunction(handler),
                )
            )
            return handler

        return register

    def standard(
        self,
        pattern: str,
        *,
        get: str | None = None,
        list_in_group: str | None = None,
        list_in_subscription: str | None = None,
    ) -> None:
        """Register the plain reads of a type: of one, of all in a group (or parent), of all there are.

        Args:
            pattern: path of one resource, `managedClusters/{cluster}`.
            get: REST operation id of the read of one.
            list_in_group: of the list in the group, or below the parent.
            list_in_subscription: of the list in the subscription.
        """
        collection = pattern.rsplit("/", 1)[0]
        if get:
            self.get(pattern, operation=get)(
                lambda call: Response(200, call.found(), retry_after_s=call.poll_interval())
            )
        if list_in_group:
            self.list(collection, operation=list_in_group)(lambda call: call.listing())
        if list_in_subscription:
            self.list(collection, operation=list_in_subscription, scope="subscription")(
                lambda call: call.listing()
            )

    def view(self, type_name: str) -> Callable[[HandlerT], HandlerT]:
        """Register `(resource, sandbox) -> body` for a type."""

        def register(function: HandlerT) -> HandlerT:
            self.views[type_name.lower()] = function
            return function

        return register

    def removed(self, type_name: str) -> Callable[[HandlerT], HandlerT]:
        """Register `(resource, sandbox)`, called once a resource of the type is gone."""

        def register(function: HandlerT) -> HandlerT:
            self.removals.setdefault(type_name.lower(), []).append(function)
            return function

        return register

    def saving(self, type_name: str) -> Callable[[HandlerT], HandlerT]:
        """Register `(resource, sandbox)`, called before a resource is kept, to note down what isn't in it."""

        def register(function: HandlerT) -> HandlerT:
            self.savings.setdefault(type_name.lower(), []).append(function)
            return function

        return register

    def restored(self, type_name: str) -> Callable[[HandlerT], HandlerT]:
        """Register `(resource, sandbox)`, called when a kept resource is back after a restart."""

        def register(function: HandlerT) -> HandlerT:
            self.restorals.setdefault(type_name.lower(), []).append(function)
            return function

        return register

    def group_delete(self, type_name: str) -> Callable[[HandlerT], HandlerT]:
        """Register `(resource, sandbox) -> sandbox seconds`, asked when the resource's group is deleted."""

        def register(function: HandlerT) -> HandlerT:
            self.group_deletes[type_name.lower()] = function
            return function

        return register

    def limit(self, function: Callable[[Call], None]) -> Callable[[Call], None]:
        """Register `(call)`, called before every operation; raises the provider's own 429."""
        self.limits.append(function)
        return function

    def reset(self, function: HandlerT) -> HandlerT:
        """Register `(sandbox)`, called at a reset and at the end; may be async."""
        self.resets.append(function)
        return function


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


def _operation_of(handler: Callable[..., Any]) -> str:
    found = re.match(r"(\w+):", inspect.getdoc(handler) or "")
    if not found:
        raise TypeError(f"{handler.__qualname__} needs a docstring that begins with its REST operation id")
    return found[1]


def _type_and_action(method: str, segments: list[str]) -> tuple[str, str]:
    """The type that a pattern names and the verb of its RBAC action."""
    if method == "POST" and len(segments) % 2 == 1 and not segments[-1].startswith("{"):
        kinds = segments[0:-1:2]
        return "/".join(kinds) or segments[-1], f"{segments[-1]}/action"
    verb = {"GET": "read", "HEAD": "read", "DELETE": "delete", "POST": "action"}.get(method, "write")
    return "/".join(segments[0::2]), verb
