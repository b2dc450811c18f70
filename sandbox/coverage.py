"""`python -m sandbox.coverage`: what of ARM is emulated, as a table made from the registered operations."""

from sandbox.arm import Provider
from sandbox.routing import load

PLACES = {
    "group": "{group}",
    "subscription": "{subscription}",
    "tenant": "",
    "any": "{any scope}",
    "path": "",
}


def table(providers: list[Provider]) -> str:
    """The table: a row for each operation, by namespace."""
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


def _path(provider: Provider, scope: str, pattern: str) -> str:
    if scope == "path":
        return f"/{pattern}"
    return f"{PLACES[scope]}/providers/{provider.namespace}/{pattern}"


if __name__ == "__main__":
    print(table(load()))
