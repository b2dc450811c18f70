"""Which provider's function a path of ARM means.

A path is a scope, `/providers/`, a namespace and pairs of type and name; what is registered is looked up
segment by segment, literals before variables, without regard to case.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import azure_sandbox.providers
from azure_sandbox.core.provider import Provider, ResourceType, Route
from azure_sandbox.core.resource import Resource

if TYPE_CHECKING:
    from azure_sandbox.server.instance import Sandbox

Json = dict[str, Any]
Kind = Literal["tenant", "subscription", "group", "resource"]


@dataclass
class _Node:
    literals: dict[str, _Node] = field(default_factory=dict)
    variable: _Node | None = None
    variable_name: str = ""
    routes: dict[tuple[str, str], tuple[Route, tuple[str, ...]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Address:
    """A path taken apart.

    Args:
        path: the whole, `//` collapsed.
        scope: what precedes the last `/providers/`; the whole path when there is none.
        kind: what the scope is.
        namespace: of the provider, as sent; "" when there is none.
        rest: the segments after the namespace.
        subscription: subscription id, "" at tenant scope.
        group: resource group, "" outside one.
    """

    path: str
    scope: str
    kind: Kind
    namespace: str
    rest: tuple[str, ...]
    subscription: str
    group: str


def parse(path: str) -> Address:
    """Take a path apart."""
    clean = re.sub(r"/{2,}", "/", "/" + path.strip("/"))
    segments = clean.split("/")[1:]
    lowered = [segment.lower() for segment in segments]
    subscription = segments[1] if len(segments) > 1 and lowered[0] == "subscriptions" else ""
    group = segments[3] if len(segments) > 3 and subscription and lowered[2] == "resourcegroups" else ""
    last = len(lowered) - 1 - lowered[::-1].index("providers") if "providers" in lowered else -1
    if last < 0 or last + 2 >= len(segments):
        return Address(clean, clean, _kind(lowered), "", tuple(segments), subscription, group)
    scope = "/" + "/".join(segments[:last]) if last else "/"
    rest = tuple(segments[last + 2 :])
    return Address(clean, scope, _kind(lowered[:last]), segments[last + 1], rest, subscription, group)


def _kind(scope: list[str]) -> Kind:
    if not scope:
        return "tenant"
    if len(scope) == 2 and scope[0] == "subscriptions":
        return "subscription"
    if len(scope) == 4 and scope[2] == "resourcegroups":
        return "group"
    return "resource"


class Router:
    """All providers of `azure_sandbox.providers`, and the tables made of them."""

    def __init__(self, providers: list[Provider] | None = None) -> None:
        self.providers = load() if providers is None else providers
        self._roots: dict[str, _Node] = {}
        self._types: dict[str, tuple[Provider, ResourceType]] = {}
        self.namespaces: dict[str, str] = {}
        for provider in self.providers:
            self.namespaces[provider.namespace.lower()] = provider.namespace
            for name, kind in provider.types.items():
                self._types[f"{provider.namespace}/{name}".lower()] = (provider, kind)
            for route in provider.routes:
                self._add(route)

    def _add(self, route: Route) -> None:
        root = "" if route.scope == "path" else route.provider.namespace.lower()
        node = self._roots.setdefault(root, _Node())
        names: list[str] = []
        for segment in route.pattern.strip("/").split("/"):
            if segment.startswith("{"):
                names.append(segment[1:-1])
                node.variable = node.variable or _Node()
                node = node.variable
            else:
                node = node.literals.setdefault(segment.lower(), _Node())
        key = (route.method, route.scope)
        if key in node.routes:
            raise TypeError(f"two operations for {route.method} {route.provider.namespace} {route.pattern}")
        node.routes[key] = (route, tuple(names))

    def find(self, method: str, address: Address) -> tuple[Route, dict[str, str]] | None:
        """The operation of a request and its variables."""
        if not address.namespace:
            return self._walk(self._roots.get(""), address.rest, method, ("path",))
        scopes = (address.kind, "any") if address.kind != "resource" else ("any",)
        found = self._walk(self._roots.get(address.namespace.lower()), address.rest, method, scopes)
        return found or self._walk(
            self._roots.get(""), tuple(address.path.strip("/").split("/")), method, ("path",)
        )

    def methods(self, address: Address) -> list[str]:
        """The methods that are emulated for a path."""
        return [
            name for name in ("GET", "HEAD", "PUT", "PATCH", "POST", "DELETE") if self.find(name, address)
        ]

    def _walk(
        self, root: _Node | None, segments: tuple[str, ...], method: str, scopes: tuple[str, ...]
    ) -> tuple[Route, dict[str, str]] | None:
        def descend(node: _Node, index: int, values: tuple[str, ...]) -> tuple[Route, dict[str, str]] | None:
            if index == len(segments):
                for scope in scopes:
                    found = node.routes.get((method, scope))
                    if found is not None:
                        return found[0], dict(zip(found[1], values, strict=True))
                return None
            literal = node.literals.get(segments[index].lower())
            if literal is not None:
                result = descend(literal, index + 1, values)
                if result is not None:
                    return result
            if node.variable is not None:
                return descend(node.variable, index + 1, (*values, segments[index]))
            return None

        return None if root is None else descend(root, 0, ())

    def type(self, full_type: str) -> ResourceType | None:
        """What is declared about a full type."""
        found = self._types.get(full_type.lower())
        return found[1] if found else None

    def types_of(self, namespace: str) -> list[ResourceType]:
        """The types declared for a namespace."""
        return [
            kind for provider, kind in self._types.values() if provider.namespace.lower() == namespace.lower()
        ]

    def view(self, resource: Resource, sandbox: Sandbox) -> Json:
        """A resource as its type's view shows it."""
        for provider in self._providers_of(resource.type):
            view = provider.views.get(resource.type.partition("/")[2].lower())
            if view is not None:
                return view(resource, sandbox)
        return resource.body

    def removals(self, full_type: str) -> list[Callable[[Resource, Sandbox], None]]:
        """What is to be called when a resource of the type is gone."""
        kind = full_type.partition("/")[2].lower()
        return [
            hook for provider in self._providers_of(full_type) for hook in provider.removals.get(kind, ())
        ]

    def savings(self, full_type: str) -> list[Callable[[Resource, Sandbox], None]]:
        """What is to be called before a resource of the type is kept."""
        kind = full_type.partition("/")[2].lower()
        return [hook for provider in self._providers_of(full_type) for hook in provider.savings.get(kind, ())]

    def restorals(self, full_type: str) -> list[Callable[[Resource, Sandbox], None]]:
        """What is to be called when a resource of the type is back after a restart."""
        kind = full_type.partition("/")[2].lower()
        return [
            hook for provider in self._providers_of(full_type) for hook in provider.restorals.get(kind, ())
        ]

    def group_delete(self, full_type: str) -> Callable[[Resource, Sandbox], float] | None:
        """What the deletion of a group asks about a resource of the type."""
        kind = full_type.partition("/")[2].lower()
        for provider in self._providers_of(full_type):
            if kind in provider.group_deletes:
                return provider.group_deletes[kind]
        return None

    def _providers_of(self, full_type: str) -> list[Provider]:
        namespace = full_type.partition("/")[0].lower()
        return [provider for provider in self.providers if provider.namespace.lower() == namespace]


def load() -> list[Provider]:
    """Every `Provider` at module level in the modules of `azure_sandbox.providers`."""
    found: list[Provider] = []
    for module_info in sorted(
        pkgutil.iter_modules(azure_sandbox.providers.__path__), key=lambda module: module.name
    ):
        module = importlib.import_module(f"azure_sandbox.providers.{module_info.name}")
        for value in vars(module).values():
            if isinstance(value, Provider) and all(value is not known for known in found):
                found.append(value)
    return found
