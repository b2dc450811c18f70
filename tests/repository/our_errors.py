"""Every error of the product, wherever it stands: what has a base that is one."""

import ast
from functools import cache
from importlib import import_module
from pathlib import Path

from aks_postgres.errors import ProvisioningError

PRODUCT = Path(__file__).parents[2] / "src" / "aks_postgres"


@cache
def every_error() -> dict[str, type[ProvisioningError]]:
    """The classes by their names; private ones never leave their file."""
    # The two links in the package are followed by name, as `rglob` doesn't.
    files = [*PRODUCT.rglob("*.py"), *(PRODUCT / "tasks").glob("**/*.py"), *(PRODUCT / "flows").glob("*.py")]
    classes = [
        (".".join(file.relative_to(PRODUCT.parent).with_suffix("").parts), node)
        for file in files
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.ClassDef)
    ]
    found = {ProvisioningError.__name__: ProvisioningError}
    while more := [
        (module, node)
        for module, node in classes
        if node.name not in found
        and any(isinstance(base, ast.Name) and base.id in found for base in node.bases)
    ]:
        found |= {node.name: getattr(import_module(module), node.name) for module, node in more}
    return {name: kind for name, kind in found.items() if not name.startswith("_")}
