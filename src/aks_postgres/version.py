"""The version of this product, as installed."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def product_version() -> str:
    """Such as 0.1.0; `unknown` when it runs from a folder that was never installed."""
    try:
        return version("aks-postgres")
    except PackageNotFoundError:
        return "unknown"
