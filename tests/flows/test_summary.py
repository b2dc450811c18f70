"""The summary that a run leaves: where to click, and what the run changed, before all else."""

from types import SimpleNamespace
from typing import Any

from aks_postgres.reports.outputs import CREATED, UNCHANGED, Change, FieldChange
from aks_postgres.runs.summary import changes_of, links_of


def test_it_says_what_was_created_and_every_field_that_was_changed() -> None:
    field = FieldChange(field="properties.maxCount", old=6, new=9)
    changes = {
        "resource_group": UNCHANGED,
        "public_ip": CREATED,
        "grafana": CREATED,
        "node_pool": Change(kind="updated", fields=(field,)),
    }
    outputs: Any = SimpleNamespace(changes=changes)
    created, updated = changes_of(outputs).splitlines()
    assert created == "- created: Public IP; Managed Grafana"
    assert updated.startswith("- updated: **Node pool for PostgreSQL**")
    assert "properties.maxCount: 6" in updated
    assert "9" in updated
    assert changes_of(SimpleNamespace(changes={"x": UNCHANGED})).startswith("Nothing")  # type: ignore[arg-type]


def test_it_begins_with_links() -> None:
    outputs: Any = SimpleNamespace(
        place=SimpleNamespace(tenant_id="tenant"),
        resource_group=SimpleNamespace(id="/subscriptions/s/resourceGroups/rg"),
        cluster=SimpleNamespace(
            id="/subscriptions/s/resourceGroups/rg/x/aks",
            portal_url="https://portal.azure.com/#@tenant/resource/x",
        ),
        grafana=SimpleNamespace(endpoint="https://grafana.example"),
    )
    links = links_of(outputs)
    assert links.startswith("**Ready.** · [Managed Grafana](<https://grafana.example>)")
    assert "[AKS cluster](<https://portal.azure.com/#@tenant/resource/subscriptions/s/" in links
