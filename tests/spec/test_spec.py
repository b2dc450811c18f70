import json
from datetime import date
from typing import Any

import pytest
from pydantic import ValidationError

from aks_postgres.spec.environment import OPERATOR_MANIFEST_SHA256, EnvironmentSpec, OperatorSpec
from aks_postgres.spec.problems import SpecError, SpecProblem, spec_from

GUID = "6b1f0f60-4a4a-4c11-9d0e-0a1b2c3d4e5f"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJm3Sm6rKW6cYzkPvRx7W0V8mlVtUfTWvPY2m6H0dGcX"


def nested(field: str, value: Any) -> dict[str, Any]:
    """The mapping that sets one field, named as in a message: `cluster.tier`."""
    *parents, last = field.split(".")
    given: dict[str, Any] = {last: value}
    for parent in reversed(parents):
        given = {parent: given}
    return given


def problems(given: Any) -> list[SpecProblem]:
    with pytest.raises(SpecError) as caught:
        spec_from(given)
    assert str(caught.value).startswith("the spec has ")
    return caught.value.problems


REFUSED: list[tuple[str, Any, str]] = [
    # field, value, what the message says is allowed
    ("name", "c", "2 to 6 lower-case letters and digits"),
    ("name", "toolong", "2 to 6 lower-case letters and digits"),
    ("name", "1abc", "letter first"),
    ("name", "CNPG", "lower-case"),
    ("name", "cn-pg", "^[a-z][a-z0-9]{1,5}$"),
    ("name", "cnpg\n", "^[a-z][a-z0-9]{1,5}$"),
    ("name", 5, "text is expected"),
    ("name", None, "text is expected"),
    ("region", "canada_central", "such as canadacentral"),
    ("region", "", "such as canadacentral"),
    ("region", "3westus", "such as canadacentral"),
    ("region", ["westus3"], "text is expected"),
    ("subscription_id", "my subscription", "a GUID"),
    ("subscription_id", f"{{{GUID}}}", "a GUID"),
    ("subscription_id", GUID.replace("-", ""), "a GUID"),
    ("suffix", "short", "8 characters"),
    ("suffix", "ABCD1234", "8 characters"),
    ("adopt", "rg/cnpg", "a resource group's name"),
    ("tags", {"managed-by": "me"}, "is one of ours"),
    ("tags", {"Managed-By": "me"}, "is one of ours"),
    ("tags", {"aks-postgres-environment": "x"}, "is one of ours"),
    ("tags", {"AzureThing": "x"}, "prefix that Azure keeps (microsoft, azure, windows)"),
    ("tags", {"microsoft.x": "x"}, "prefix that Azure keeps"),
    ("tags", {"": "x"}, "1 to 128 are allowed"),
    ("tags", {"k" * 129: "x"}, "1 to 128 are allowed"),
    ("tags", {"owner": "v" * 257}, "at most 256 are allowed"),
    ("tags", {"cost/center": "x"}, "<>%&\\?/ aren't allowed"),
    ("tags", {"owner": "a", "Owner": "b"}, "don't differ by case"),
    ("tags", {"owner": "\ud800"}, "surrogate"),
    ("tags", {f"tag{n}": "x" for n in range(43)}, "at most 42 items"),
    ("tags.owner", 5, "text is expected"),
    ("tags", ["owner"], "a mapping, such as {owner: data}, is expected"),
    ("network.authorized_ip_ranges", ["20.51.0.0/33"], "no IPv4 address or CIDR range such as 20.51.0.0/24"),
    ("network.authorized_ip_ranges", ["20.51.0.256"], "no IPv4 address or CIDR range"),
    ("network.authorized_ip_ranges", ["home"], "no IPv4 address or CIDR range"),
    ("network.authorized_ip_ranges", [""], "no IPv4 address or CIDR range"),
    ("network.authorized_ip_ranges", [" 20.51.7.9"], "no IPv4 address or CIDR range"),
    ("network.authorized_ip_ranges", ["20.51.0.0/255.255.255.0"], "no IPv4 address or CIDR range"),
    ("network.authorized_ip_ranges", ["20.51.0.0/024"], "no IPv4 address or CIDR range"),
    ("network.authorized_ip_ranges", ["20.51.7.9/24"], "the range is 20.51.7.0/24"),
    ("network.authorized_ip_ranges", ["2603:1030::/32"], "AKS takes IPv4 only"),
    ("network.authorized_ip_ranges", ["10.0.0.0/8"], "isn't globally routable"),
    ("network.authorized_ip_ranges", ["203.0.113.7"], "isn't globally routable"),
    ("network.authorized_ip_ranges", ["100.64.0.0/10"], "isn't globally routable"),
    ("network.authorized_ip_ranges", ["224.0.1.1"], "isn't globally routable"),
    ("network.authorized_ip_ranges", ["0.0.0.0/0"], "say open_to_internet: true instead"),
    ("network.authorized_ip_ranges", ["20.51.7.9", "20.51.7.9"], "each range once"),
    ("network.authorized_ip_ranges", ["20.51.7.9", "20.51.7.9/32"], "each range once"),
    ("network.authorized_ip_ranges", [f"20.51.{n}.0/24" for n in range(200)], "at most 199 items"),
    ("network.authorized_ip_ranges", "20.51.7.9", "a list, such as [a, b], is expected"),
    ("network.worker_address", "20.51.7.0/24", "give one IPv4 address"),
    ("network.worker_address", "192.168.1.4", "isn't globally routable"),
    ("network.worker_address", "localhost", "no IPv4 address"),
    ("network.add_worker_address", "perhaps", "true or false is expected"),
    ("cluster.kubernetes_version", "1", "1.35 (newest patch) or 1.35.2"),
    ("cluster.kubernetes_version", "v1.35", "1.35 (newest patch) or 1.35.2"),
    ("cluster.kubernetes_version", "1.35.2-preview", "1.35 (newest patch) or 1.35.2"),
    ("cluster.kubernetes_version", "\u0661.\u0663\u0665", "1.35 (newest patch) or 1.35.2"),
    ("cluster.kubernetes_version", 1.35, "quotes make a number text"),
    ("cluster.tier", "standard", "'Free', 'Standard' or 'Premium'"),
    ("cluster.ssh_public_key", "ssh-rsa", "SSH public key"),
    ("cluster.ssh_public_key", "ssh-dss AAAAB3NzaC1kc3M=", "SSH public key"),
    ("cluster.ssh_public_key", f"{KEY}\n{KEY}", "SSH public key"),
    ("cluster.ssh_public_key", KEY.replace("ssh-ed25519", "ssh-rsa"), "no whole ssh-rsa key"),
    ("cluster.ssh_public_key", "ssh-ed25519 AAAAC3", "give the line of the .pub file"),
    ("cluster.ssh_public_key", "ssh-ed25519 A=A=", "give the line of the .pub file"),
    ("system_pool.name", "thirteenchars", "^[a-z][a-z0-9]{0,11}$"),
    ("postgres_pool.name", "Postgres", "^[a-z][a-z0-9]{0,11}$"),
    ("postgres_pool.name", "pg-pool", "^[a-z][a-z0-9]{0,11}$"),
    ("postgres_pool.vm_size", "D4s_v5", "VM size"),
    ("postgres_pool.vm_size", "Standard_D4s v5", "VM size"),
    ("postgres_pool.min_count", 0, "at least 1 is expected"),
    ("postgres_pool.min_count", "three", "a whole number is expected"),
    ("postgres_pool.min_count", 2.5, "a whole number is expected"),
    ("postgres_pool.min_count", True, "a number of nodes is expected"),
    ("postgres_pool.max_count", 1001, "at most 1000 is expected"),
    ("postgres_pool.max_count", 2, "at least min_count, which is 3"),
    ("system_pool.max_count", 1, "at least min_count, which is 2"),
    ("postgres_pool.zones", [], "at least 1 item"),
    ("postgres_pool.zones", ["1", "2", "3", "1"], "at most 3 items"),
    ("postgres_pool.zones", ["1", "1"], "each zone once"),
    ("postgres_pool.labels", {"kubernetes.azure.com/mode": "x"}, "AKS keeps the prefix"),
    ("postgres_pool.labels", {"sub.kubernetes.azure.com/mode": "x"}, "AKS keeps the prefix"),
    ("postgres_pool.labels", {"work load": "x"}, "[dns-prefix/]name"),
    ("postgres_pool.labels", {"-workload": "x"}, "[dns-prefix/]name"),
    ("postgres_pool.labels", {"/workload": "x"}, "[dns-prefix/]name"),
    ("postgres_pool.labels", {"a..b/workload": "x"}, "[dns-prefix/]name"),
    ("postgres_pool.labels", {"a" * 254 + "/workload": "x"}, "[dns-prefix/]name"),
    ("postgres_pool.labels", {"w" * 64: "x"}, "at most 63 letters, digits, '-', '_', '.'"),
    ("postgres_pool.labels", {"workload": "post gres"}, "no label value"),
    ("postgres_pool.labels", {"workload": "v" * 64}, "no label value"),
    ("storage.sku", "Premium_LRS", "'Standard_ZRS'"),
    ("storage.container", "ab", "at least 3 characters"),
    ("storage.container", "a-" * 32 + "a", "at most 63 characters"),
    ("storage.container", "back--ups", "single dashes"),
    ("storage.container", "-backups", "single dashes"),
    ("storage.container", "Backups", "lower-case letters"),
    ("storage.backups", "elsewhere", "'own_group' or 'in_environment_group'"),
    ("storage.blob_owners", [{"object_id": GUID}] * 51, "at most 50 items"),
    ("monitoring.log_retention_days", 29, "at least 30 is expected"),
    ("monitoring.log_retention_days", 731, "at most 730 is expected"),
    ("monitoring.monitoring_reader_scope", "tenant", "'environment' or 'subscription'"),
    ("namespaces.database", "Cnpg", "Namespace of the Postgres cluster"),
    ("namespaces.database", "n" * 64, "Namespace of the Postgres cluster"),
    ("namespaces.database", "cnpg-", "Namespace of the Postgres cluster"),
    ("namespaces.database", "default", "belongs to Kubernetes; choose another namespace"),
    ("namespaces.operator", "kube-system", "belongs to Kubernetes; choose another namespace"),
    ("operator.version", "1.30", "CloudNativePG version"),
    ("operator.manifest_url", "http://example.com/cnpg.yaml", "an https URL, or a path on the worker"),
    ("operator.manifest_url", "cnpg.yaml", "an https URL, or a path on the worker"),
    ("operator.manifest_sha256", "f8bede", "SHA-256 of the manifest's bytes"),
    ("operator.manifest_sha256", OPERATOR_MANIFEST_SHA256.upper(), "SHA-256 of the manifest's bytes"),
    ("operator.installer", "olm", "'manifest' or 'helm'"),
    (
        "operator.chart",
        "oci://ghcr.io/cloudnative-pg/charts",
        "a .tgz: an https URL, or a path on the worker",
    ),
    ("operator.chart_version", "v0.29.0", "Version of the chart"),
    ("operator.chart_sha256", "668e06", "sha256sum says it"),
    ("operator.chart_values", ["replicaCount"], "a mapping, such as {owner: data}, is expected"),
]


@pytest.mark.parametrize(("field", "value", "allowed"), REFUSED)
def test_a_wrong_value_is_refused_with_field_value_and_what_is_allowed(
    field: str, value: Any, allowed: str
) -> None:
    (problem,) = problems(nested(field, value))
    assert problem.field == field
    assert allowed in problem.allowed
    shown = json.dumps(value, ensure_ascii=False).encode(errors="backslashreplace").decode()
    assert problem.given.removesuffix("...") == shown[: len(problem.given.removesuffix("..."))]
    assert problem.given == shown or len(problem.given) == 60
    assert str(problem) == f"{field}: {problem.given} was given; {problem.allowed}"


CONTRADICTIONS: list[tuple[dict[str, Any], str, str]] = [
    (
        {
            "network": {
                "authorized_ip_ranges": ["20.51.0.0/24"],
                "add_worker_address": False,
                "worker_address": "20.51.7.9",
            }
        },
        "network.worker_address",
        "contradicts add_worker_address",
    ),
    (
        {"network": {"authorized_ip_ranges": ["20.51.0.0/24"], "open_to_internet": True}},
        "network.open_to_internet",
        "contradicts authorized_ip_ranges",
    ),
    (
        {"network": {"worker_address": "20.51.7.9", "open_to_internet": True}},
        "network.open_to_internet",
        "contradicts worker_address",
    ),
    (
        {"network": {"add_worker_address": False}},
        "network.open_to_internet",
        "would open the API server to everyone",
    ),
    (
        {"postgres_pool": {"min_count": 9, "max_count": 8}},
        "postgres_pool.max_count",
        "at least min_count, which is 9",
    ),
    ({"postgres_pool": {"min_count": 9}}, "postgres_pool.max_count", "at least min_count, which is 9"),
    ({"system_pool": {"name": "postgres"}}, "postgres_pool", "must differ from system_pool.name"),
    (
        {"namespaces": {"database": "pg", "operator": "pg"}},
        "namespaces.operator",
        "must differ from namespaces.database",
    ),
    ({"namespaces": {"database": "cnpg-system"}}, "namespaces.operator", "must differ"),
    (
        {"operator": {"version": "1.29.1"}},
        "operator.manifest_sha256",
        "give manifest_url and manifest_sha256 of 1.29.1",
    ),
    *(
        ({"operator": {"installer": "helm", field: value}}, f"operator.{field}", "is for installer: manifest")
        for field, value in {"manifest_url": "/operator.yaml", "manifest_sha256": "0" * 64}.items()
    ),
    *(
        ({"operator": {field: value}}, f"operator.{field}", "is for installer: helm")
        for field, value in {
            "chart": "/chart.tgz",
            "chart_version": "0.28.0",
            "chart_sha256": "0" * 64,
            "chart_values": {"replicaCount": 2},
        }.items()
    ),
    (
        {"operator": {"installer": "helm", "version": "1.29.1"}},
        "operator.chart_sha256",
        "give chart, chart_version and chart_sha256 of 1.29.1",
    ),
    (
        {"operator": {"installer": "helm", "chart_version": "0.28.0"}},
        "operator.chart_sha256",
        "give chart and chart_sha256 of 0.28.0",
    ),
    *(
        ({"operator": {"installer": "helm", "chart_values": values}}, "operator.chart_values", words)
        for values, words in (
            ({"fullnameOverride": "pg"}, "leave fullnameOverride out: the deployment is looked for as"),
            ({"nameOverride": "pg"}, "leave nameOverride out"),
            ({"namespaceOverride": "pg"}, "leave namespaceOverride out: namespaces.operator says where"),
            ({"image": {"tag": "1.29.1"}}, "image.tag 1.29.1 contradicts version 1.30.0"),
            ({"image": {"tag": "1.30.01"}}, "image.tag 1.30.01 contradicts version 1.30.0"),
            ({"replicaCount": float("nan")}, "Helm takes what JSON can hold"),
            ({"since": date(2026, 11, 24)}, "Helm takes what JSON can hold"),
        )
    ),
]


@pytest.mark.parametrize(("given", "field", "allowed"), CONTRADICTIONS)
def test_two_fields_that_contradict_are_refused_under_the_later_one(
    given: dict[str, Any], field: str, allowed: str
) -> None:
    (problem,) = problems(given)
    assert problem.field == field
    assert allowed in problem.allowed


@pytest.mark.parametrize(
    ("given", "field", "sibling"),
    [
        ({"nmae": "cnpg"}, "nmae", "name"),
        ({"cluster": {"sku": "Standard"}}, "cluster.sku", "tier"),
        ({"postgres_pool": {"count": 3}}, "postgres_pool.count", "min_count"),
        (
            {"storage": {"blob_owners": [{"object_id": GUID, "name": "me"}]}},
            "storage.blob_owners.0.name",
            "type",
        ),
    ],
)
def test_an_unknown_field_is_refused_and_its_siblings_are_named(
    given: dict[str, Any], field: str, sibling: str
) -> None:
    (problem,) = problems(given)
    assert problem.field == field
    assert problem.allowed.startswith("there is no such field; ")
    assert sibling in problem.allowed.lower().partition("allowed here: ")[2].split(", ")


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({"nmae": "cnpg"}, "name"),
        ({"cluster": {"Kubernetes-version": "1.35"}}, "kubernetes_version"),
        ({"postgres_pool": {"max_coutn": 3}}, "max_count"),
    ],
)
def test_a_field_nearly_written_right_is_told_what_was_meant(given: dict[str, Any], meant: str) -> None:
    (problem,) = problems(given)
    assert f"did you mean {meant}? Allowed here: " in problem.allowed


def test_a_field_like_no_other_is_told_what_is_allowed_alone() -> None:
    (problem,) = problems({"cluster": {"flavour": "vanilla"}})
    assert problem.allowed.startswith("there is no such field; allowed here: ")


def test_a_principal_is_refused_by_its_place_in_the_list() -> None:
    owners = [{"object_id": GUID}, {"object_id": "me@example.com", "type": "Robot"}, {}]
    found = {problem.field: problem.allowed for problem in problems({"storage": {"blob_owners": owners}})}
    assert set(found) == {
        "storage.blob_owners.1.object_id",
        "storage.blob_owners.1.type",
        "storage.blob_owners.2.object_id",
    }
    assert "a GUID" in found["storage.blob_owners.1.object_id"]
    assert "'User', 'Group' or 'ServicePrincipal'" in found["storage.blob_owners.1.type"]


@pytest.mark.parametrize("zone", ["4", "a", 4])
def test_a_zone_is_one_two_or_three_as_text(zone: Any) -> None:
    (problem,) = problems({"postgres_pool": {"zones": ["1", zone]}})
    assert problem.field == "postgres_pool.zones.1"
    assert problem.allowed == "'1', '2' or '3' is expected"


def test_all_problems_are_told_at_once() -> None:
    given = {
        "name": "Too-Long",
        "region": "?",
        "subscription_id": "none",
        "tags": {"azure": "x", "a?": "y"},
        "network": {"authorized_ip_ranges": ["10.0.0.1", "nowhere"], "add_worker_address": False},
        "cluster": {"kubernetes_version": "latest", "ssh_public_key": "id_rsa.pub"},
        "system_pool": {"min_count": 5, "max_count": 4},
        "postgres_pool": {"zones": ["1", "1"], "labels": {"": "x"}},
        "namespaces": {"database": "default", "operator": "cnpg_system"},
        "surprise": 1,
    }
    found = problems(given)
    assert [problem.field for problem in found] == [
        "name",
        "region",
        "subscription_id",
        "tags",
        "network.authorized_ip_ranges",
        "cluster.kubernetes_version",
        "cluster.ssh_public_key",
        "system_pool.max_count",
        "postgres_pool.zones",
        "postgres_pool.labels",
        "namespaces.database",
        "namespaces.operator",
        "surprise",
    ]
    by_field = {problem.field: problem.allowed for problem in found}
    assert "'azure'" in by_field["tags"]
    assert "'a?'" in by_field["tags"]
    assert "10.0.0.1" in by_field["network.authorized_ip_ranges"]
    assert "nowhere" in by_field["network.authorized_ip_ranges"]


ACCEPTED: list[dict[str, Any]] = [
    {},
    {"name": "pg"},
    {"name": "abcde1"},
    {"subscription_id": GUID.upper()},
    {"suffix": "abcd1234"},
    {"tags": {}},
    {"tags": {"k" * 128: "v" * 256, "cost center": ""}},
    {"tags": {f"tag{n}": "x" for n in range(42)}},
    {"network": {"authorized_ip_ranges": ["20.51.7.9", "20.52.0.0/16"], "add_worker_address": False}},
    {"network": {"authorized_ip_ranges": [f"20.51.{n}.0/24" for n in range(199)]}},
    {"network": {"worker_address": "20.51.7.9"}},
    {"network": {"open_to_internet": True}},
    {"network": {"open_to_internet": True, "add_worker_address": False}},
    {"cluster": {"kubernetes_version": "1.35"}},
    {"cluster": {"kubernetes_version": "1.35.12", "tier": "Premium"}},
    {"cluster": {"ssh_public_key": KEY}},
    {"cluster": {"ssh_public_key": f"{KEY} me@laptop with words"}},
    {"postgres_pool": {"min_count": 1, "max_count": 1, "zones": ["2"]}},
    {"postgres_pool": {"labels": {"workload": "", "example.com/a_b.c": "x-1"}}},
    {"storage": {"container": "a-b"}},
    {"storage": {"container": "c" * 63}},
    {"monitoring": {"log_retention_days": 730}},
    {"namespaces": {"database": "a", "operator": "n" * 63}},
    {"operator": {"version": "1.29.1", "manifest_url": "/srv/cnpg.yaml", "manifest_sha256": "0" * 64}},
]


@pytest.mark.parametrize("given", ACCEPTED)
def test_the_edges_of_what_is_allowed_are_accepted(given: dict[str, Any]) -> None:
    spec = spec_from(given)
    assert EnvironmentSpec.model_validate_json(spec.model_dump_json()) == spec


def test_an_empty_spec_is_the_guides_environment() -> None:
    spec = spec_from({})
    assert (spec.name, spec.region) == ("cnpg", "canadacentral")
    assert spec.tags == {"owner": "user"}
    assert (spec.system_pool.name, spec.system_pool.min_count, spec.system_pool.max_count) == (
        "systempool",
        2,
        3,
    )
    assert (spec.postgres_pool.name, spec.postgres_pool.min_count, spec.postgres_pool.max_count) == (
        "postgres",
        3,
        6,
    )
    assert spec.postgres_pool.labels == {"workload": "postgres"}
    assert spec.postgres_pool.zones == spec.system_pool.zones == ["1", "2", "3"]
    assert (spec.storage.sku, spec.storage.container) == ("Standard_ZRS", "backups")
    assert (spec.namespaces.database, spec.namespaces.operator) == ("cnpg-database", "cnpg-system")
    assert not spec.network.open_to_internet


def test_a_region_may_be_written_as_the_portal_shows_it() -> None:
    assert spec_from({"region": "Canada Central"}).region == "canadacentral"


def test_zones_are_sorted_so_that_their_order_is_no_difference() -> None:
    assert spec_from({"postgres_pool": {"zones": ["3", "1"]}}).postgres_pool.zones == ["1", "3"]


@pytest.mark.parametrize(
    ("pool", "count"),
    [
        ({}, 3),
        ({"min_count": 1, "max_count": 6}, 3),
        ({"min_count": 1, "max_count": 2}, 2),
        ({"min_count": 4, "max_count": 6}, 4),
        ({"min_count": 1, "max_count": 6, "zones": ["1"]}, 1),
    ],
)
def test_a_pool_starts_with_a_node_in_each_zone_where_its_range_allows_it(
    pool: dict[str, Any], count: int
) -> None:
    assert spec_from({"postgres_pool": pool}).postgres_pool.first_count == count


def test_a_chart_of_ones_own_names_file_version_and_checksum() -> None:
    operator = {
        "installer": "helm",
        "version": "1.29.1",
        "chart": "./chart.tgz",
        "chart_version": "0.28.0",
        "chart_sha256": "0" * 64,
        "chart_values": {"image": {"tag": "1.29.1@sha256:" + "0" * 64}, "fullnameOverride": ""},
    }
    assert spec_from({"operator": operator}).operator.model_dump() == {
        **OperatorSpec().model_dump(),
        **operator,
    }


def test_chart_values_are_what_helm_will_give_back() -> None:
    values = {"tolerations": ({"key": "x"},), "labels": {1: "one"}}
    spec = spec_from({"operator": {"installer": "helm", "chart_values": values}})
    assert spec.operator.chart_values == {"tolerations": [{"key": "x"}], "labels": {"1": "one"}}


def test_values_that_hold_themselves_are_refused() -> None:
    values: dict[str, Any] = {}
    values["again"] = values
    (problem,) = problems({"operator": {"installer": "helm", "chart_values": values}})
    assert problem.field == "operator.chart_values"
    assert "Circular reference" in problem.allowed


def test_a_spec_never_changes_once_made() -> None:
    spec = spec_from({})
    with pytest.raises(ValidationError, match="frozen"):
        spec.region = "westus3"  # type: ignore[misc]


def test_every_field_is_explained_in_the_run_form() -> None:
    schema = EnvironmentSpec.model_json_schema()
    models = {"EnvironmentSpec": schema, **schema["$defs"]}
    silent = [
        f"{model}.{name}"
        for model, form in models.items()
        for name, field in form["properties"].items()
        if not (field.get("description") or "$ref" in field or "allOf" in field)
    ]
    assert silent == []


def test_groups_of_fields_have_names_in_the_run_form() -> None:
    titles = {part["title"] for part in EnvironmentSpec.model_json_schema()["$defs"].values()}
    assert {"Cluster", "Postgres pool", "System pool"} <= titles
    assert [title for title in titles if title.endswith("Spec")] == []
