"""What a field is called in a form: vm_size is VM size."""

from __future__ import annotations

_WRITTEN = {
    "id": "ID",
    "ip": "IP",
    "sha256": "SHA-256",
    "sku": "SKU",
    "ssh": "SSH",
    "url": "URL",
    "vm": "VM",
    "kubernetes": "Kubernetes",
    "grafana": "Grafana",
    "postgres": "Postgres",
}


def title_of(name: str) -> str:
    """The title of a field: a sentence's case, and abbreviations as they are written."""
    words = [_WRITTEN.get(word, word) for word in name.split("_")]
    title = " ".join(words)
    return title[:1].upper() + title[1:]
