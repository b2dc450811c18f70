"""`python -m azure_sandbox.server.coverage`: what is emulated, as a document made from the code."""

from azure_sandbox.core.blobs import OPERATIONS
from azure_sandbox.core.provider import Provider
from azure_sandbox.kubernetes.resources import Registry
from azure_sandbox.server.routing import load

PLACES = {
    "group": "{group}",
    "subscription": "{subscription}",
    "tenant": "",
    "any": "{any scope}",
    "path": "",
}
HEAD = """\
# What the sandbox emulates

Made from the code: `python -m azure_sandbox.server.coverage > docs/sandbox-coverage.md`. An operation that isn't here
is answered 501 with its name and the file that it would be added to; a type that isn't here is 404 in a cluster's own
API.
What each provider leaves out of its operations stands at the head of its module in `azure_sandbox/providers/`.
"""


def document(providers: list[Provider]) -> str:
    """The whole document."""
    count = sum(len(provider.routes) for provider in providers)
    namespaces = len({provider.namespace for provider in providers})
    return "\n".join(
        [
            HEAD,
            f"## Azure Resource Manager: {count} operations of {namespaces} providers",
            "",
            "`{group}` is `/subscriptions/{subscription}/resourceGroups/{group}`.",
            "",
            table(providers),
            "",
            "## API versions",
            "",
            versions(providers),
            "",
            "## Blob data plane",
            "",
            ", ".join(f"`{name}`" for name in sorted(OPERATIONS)),
            "",
            "## Kubernetes API of each cluster",
            "",
            types(),
            "",
        ]
    )


def table(providers: list[Provider]) -> str:
    """The operations: a row for each, by namespace."""
    rows = [
        (provider.namespace, route.operation, route.method, _path(provider, route.scope, route.pattern))
        for provider in providers
        for route in provider.routes
    ]
    lines = ["| provider | operation | method | path |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {namespace} | {operation} | {method} | `{path}` |"
        for namespace, operation, method, path in sorted(rows)
    ]
    return "\n".join(lines)


def versions(providers: list[Provider]) -> str:
    """The api-versions that each type takes."""
    rows = sorted(
        (f"{provider.namespace}/{kind.name}", kind.api_versions)
        for provider in providers
        for kind in provider.types.values()
    )
    lines = ["| type | api-versions |", "| --- | --- |"]
    lines += [f"| {name} | {known[0]} to {known[-1]} ({len(known)}) |" for name, known in rows]
    return "\n".join(lines)


def types() -> str:
    """The built-in types of a cluster's API; a CustomResourceDefinition adds its own."""
    by_version: dict[str, list[str]] = {}
    for item in Registry().all():
        by_version.setdefault(item.api_version, []).append(item.plural)
    lines = ["| API version | types |", "| --- | --- |"]
    lines += [f"| {version} | {', '.join(plurals)} |" for version, plurals in by_version.items()]
    return "\n".join(lines)


def _path(provider: Provider, scope: str, pattern: str) -> str:
    if scope == "path":
        return f"/{pattern}"
    return f"{PLACES[scope]}/providers/{provider.namespace}/{pattern}"


if __name__ == "__main__":
    print(document(load()), end="")
