"""The run forms in the Prefect UI, as the schemas of which it draws them; tests/end_to_end looks at the pixels."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect.utilities.schema_tools.validation import ValidationError, validate

from aks_postgres.deploy.forms import REGIONS, with_forms
from aks_postgres.deploy.regions import read_regions
from aks_postgres.deploy.rendering import by_name, document

WHERE = "- spec: {name: cnpg, region: canadacentral, postgres_pool: {max_count: 9}}\n- spec: {name: cnpg, region: moon}"


@pytest.fixture(scope="module")
def forms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    file = tmp_path_factory.mktemp("regions") / "regions.yaml"
    file.write_text(WHERE)
    return by_name(with_forms(document(read_regions(file)))["deployments"])


def fields(
    schema: dict[str, Any], part: dict[str, Any]
) -> Iterator[tuple[dict[str, Any], dict[str, Any], str]]:
    """Every field that the form shows: the group, the field and its name."""
    for name, field in part.get("properties", {}).items():
        yield part, field, name
        if "$ref" in field:
            yield from fields(schema, schema["definitions"][field["$ref"].rsplit("/", 1)[-1]])


# A field more makes a form longer for everybody. Where a run deletes, only what such a run decides is worth it; the
# others have every field of the spec, which may grow a little.
@pytest.mark.parametrize(
    ("name", "first", "count"),
    [
        ("rebuild/canadacentral", ["confirm", "strategy", "approval"], 9),
        ("tear-down/canadacentral", ["confirm", "delete_backups"], 5),
        ("plan/canadacentral", ["spec"], 75),
        ("provision/canadacentral", ["spec", "if_another_run"], 75),
        ("provision-fleet/fleet", ["regions", "spec", "at_once"], 75),
    ],
)
def test_a_form_begins_with_what_a_person_decides_and_does_not_grow(
    forms: dict[str, Any], name: str, first: list[str], count: int
) -> None:
    form = forms[name]["form"]
    order = sorted(form["properties"], key=lambda field: form["properties"][field]["position"])
    assert order[: len(first)] == first
    assert len(list(fields(form, form))) <= count


def test_no_field_is_marked_optional_and_every_run_has_what_is_required(forms: dict[str, Any]) -> None:
    for name, one in forms.items():
        optional = [
            field for group, _, field in fields(one["form"], one["form"]) if field not in group["required"]
        ]
        assert optional == [], name
        deletes = name.startswith(("rebuild", "tear-down"))
        typed = {"confirm": f"cnpg-{one['name']}"} if deletes else {}
        # As the server does it for a run that says nothing else, which is the UI's quick run.
        validate({**one["parameters"], **typed}, one["form"], raise_on_error=True)
        assert set(one["form"]["required"]) - set(one["parameters"]) == set(typed)


def test_the_form_sends_lists_that_are_empty(forms: dict[str, Any]) -> None:
    """The UI leaves out a required list that has fewer items than the schema says, and one where it says nothing."""
    for one in forms.values():
        lists = [field for _, field, _ in fields(one["form"], one["form"]) if field.get("type") == "array"]
        assert [field["title"] for field in lists if "minItems" not in field] == []


def test_titles_are_spelled(forms: dict[str, Any]) -> None:
    form = forms["provision/canadacentral"]["form"]
    titles = {name: field["title"] for _, field, name in fields(form, form) if "title" in field}
    assert titles["vm_size"] == "VM size"
    assert titles["ssh_public_key"] == "SSH public key"
    assert titles["sku"] == "SKU"
    assert titles["subscription_id"] == "Subscription ID"
    assert titles["authorized_ip_ranges"] == "Authorized IP ranges"
    assert titles["manifest_sha256"] == "Manifest SHA-256"
    assert [title for title in titles.values() if re.search(r"_|\b(Vm|Id|Ip|Url|Sku|Ssh)\b", title)] == []


@pytest.mark.parametrize("flow", ["rebuild", "tear-down"])
def test_where_a_run_deletes_the_deployment_fixes_the_environment(forms: dict[str, Any], flow: str) -> None:
    one = forms[f"{flow}/canadacentral"]
    told = one["form"]["properties"]["confirm"]["description"]
    assert told.startswith("Type cnpg-canadacentral. The deployment fixes the environment: ")
    assert "It is cnpg in canadacentral, in the worker's subscription (AZURE_SUBSCRIPTION_ID)" in told
    assert told.endswith(", with all defaults but postgres_pool.max_count: 9.")
    spec = {"name": "cnpg", "region": "canadacentral", "postgres_pool": {"max_count": 9}}
    assert one["parameters"]["spec"] == spec
    validate({**one["parameters"], "confirm": "x"}, one["form"], raise_on_error=True)
    other = {**one["parameters"], "confirm": "x", "spec": {**spec, "region": "northeurope"}}
    with pytest.raises(ValidationError, match="'spec'"):
        validate(other, one["form"], raise_on_error=True)


def test_a_large_spec_makes_no_long_form(tmp_path: Path) -> None:
    tags = {f"tag{number}": "x" * 200 for number in range(14)}
    (tmp_path / "regions.yaml").write_text(
        json.dumps([{"spec": {"name": "cnpg", "region": "moon", "tags": tags, "database": {}}}])
    )
    deployments = by_name(with_forms(document(read_regions(tmp_path / "regions.yaml")))["deployments"])
    told = deployments["rebuild/moon"]["form"]["properties"]["confirm"]["description"]
    assert "tags.tag0: " + "x" * 39 + "\u2026, " in told
    assert "and 3 more, under Parameters on the deployment's page." in told
    assert len(told) < 1200


@pytest.mark.parametrize("name", ["plan/canadacentral", "provision/moon", "provision-fleet/fleet"])
def test_what_writes_or_reads_takes_any_name_and_a_region_of_a_list(forms: dict[str, Any], name: str) -> None:
    one = forms[name]
    spec = {**one["parameters"]["spec"], "name": "web1"}
    listed = {*REGIONS, "moon"}
    if name == "provision-fleet/fleet":
        assert set(one["form"]["properties"]["regions"]["items"]["enum"]) == listed
        assert "region" not in one["form"]["definitions"]["EnvironmentSpec"]["properties"]
    else:
        assert set(one["form"]["definitions"]["EnvironmentSpec"]["properties"]["region"]["enum"]) == listed
        spec["region"] = "westeurope"
    validate({**one["parameters"], "spec": spec}, one["form"], raise_on_error=True)


def test_what_is_for_the_command_line_is_in_no_form(forms: dict[str, Any]) -> None:
    shown = {name for one in forms.values() for name in one["form"]["properties"]}
    assert shown.isdisjoint({"approved_plan", "runs"})
    assert forms["provision-fleet/fleet"]["parameters"]["runs"] == "deployments"


def test_the_file_for_prefects_own_command_stays_short(tmp_path: Path) -> None:
    (tmp_path / "regions.yaml").write_text(WHERE)
    deployments = by_name(document(read_regions(tmp_path / "regions.yaml"))["deployments"])
    assert "form" not in deployments["plan/moon"]
    assert deployments["plan/moon"]["parameters"] == {"spec": {"name": "cnpg", "region": "moon"}}
