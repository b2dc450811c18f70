"""What a resource provider is written with: `Provider`, with `Call`, `Resource`, `Response` and `ArmError`.

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
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from azure_sandbox.core.resource import Resource
from azure_sandbox.core.responses import Response

if TYPE_CHECKING:
    from azure_sandbox.core.call import Call
    from azure_sandbox.server.instance import Sandbox

Json = dict[str, Any]
ScopeKind = Literal["group", "subscription", "tenant", "any", "path"]
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
