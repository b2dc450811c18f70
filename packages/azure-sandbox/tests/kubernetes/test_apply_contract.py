"""Server-side apply, its ownership and conflicts: the emulator and a real API server alike."""

from pathlib import Path
from typing import Any

import yaml

import azure_sandbox.data

from .conftest import MERGE, Cluster
from .test_objects_contract import deployment

Json = dict[str, Any]

MANIFEST = Path(azure_sandbox.data.__file__).parent / "cnpg-operator.yaml"


def config_map(**data: str) -> Json:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data}


def owned(obj: Json) -> dict[str, Json]:
    """The fields of each manager."""
    return {entry["manager"]: entry["fieldsV1"] for entry in obj["metadata"].get("managedFields", [])}


async def test_applying_creates_and_owns_what_was_said(cluster: Cluster, namespace: str) -> None:
    answer = await cluster.apply(f"/api/v1/namespaces/{namespace}/configmaps/c", config_map(a="1"))
    assert answer.status == 201
    entry = answer.body["metadata"]["managedFields"][0]
    assert (entry["manager"], entry["operation"], entry["apiVersion"]) == ("tests", "Apply", "v1")
    assert entry["fieldsV1"] == {"f:data": {"f:a": {}}}


async def test_applying_the_same_again_changes_nothing(cluster: Cluster, namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/d"
    first = await cluster.apply(path, deployment())
    await cluster.settle()
    before = await cluster.done("GET", path)
    again = await cluster.apply(path, deployment())
    assert (first.status, again.status) == (201, 200)
    assert again.body["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


async def test_field_of_another_manager_conflicts(cluster: Cluster, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps/c"
    await cluster.apply(path, config_map(a="1", b="1"), "first")
    answer = await cluster.apply(path, config_map(a="2"), "second")
    assert answer.error == (409, "Conflict")
    assert answer.body["message"] == 'Apply failed with 1 conflict: conflict with "first": .data.a'
    assert answer.body["details"]["causes"] == [
        {"reason": "FieldManagerConflict", "message": 'conflict with "first"', "field": ".data.a"}
    ]
    answer = await cluster.apply(path, config_map(a="2", b="2"), "second")
    assert answer.body["message"] == (
        'Apply failed with 2 conflicts: conflicts with "first":\n- .data.a\n- .data.b'
    )


async def test_conflict_with_an_update_says_by_which_version(cluster: Cluster, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps/c"
    await cluster.done("POST", path.removesuffix("/c"), config_map(a="1"))
    answer = await cluster.apply(path, config_map(a="2"), "second")
    assert answer.error == (409, "Conflict")
    assert answer.body["message"].startswith('Apply failed with 1 conflict: conflict with "tests" using v1')


async def test_same_value_is_shared_without_a_conflict(cluster: Cluster, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps/c"
    await cluster.apply(path, config_map(a="1"), "first")
    answer = await cluster.apply(path, config_map(a="1"), "second")
    assert answer.status == 200
    fields = {"f:data": {"f:a": {}}}
    assert owned(answer.body) == {"first": fields, "second": fields}


async def test_force_takes_the_field_over(cluster: Cluster, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps/c"
    await cluster.apply(path, config_map(a="1", b="1"), "first")
    answer = await cluster.apply(path, config_map(a="2"), "second", force="true")
    assert answer.body["data"] == {"a": "2", "b": "1"}
    assert owned(answer.body) == {
        "first": {"f:data": {"f:b": {}}},
        "second": {"f:data": {"f:a": {}}},
    }


async def test_what_is_left_out_goes_unless_somebody_else_has_it(cluster: Cluster, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps/c"
    await cluster.apply(path, config_map(a="1", b="1", c="1"), "first")
    await cluster.apply(path, config_map(b="1"), "second")
    answer = await cluster.apply(path, config_map(a="1"), "first")
    assert answer.body["data"] == {"a": "1", "b": "1"}


async def test_container_left_out_goes_with_its_defaults(cluster: Cluster, namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/d"
    body = deployment()
    body["spec"]["template"]["spec"]["containers"].append({"name": "side", "image": "s"})
    made = await cluster.apply(path, body)
    assert len(made.body["spec"]["template"]["spec"]["containers"]) == 2
    answer = await cluster.apply(path, deployment())
    names = [item["name"] for item in answer.body["spec"]["template"]["spec"]["containers"]]
    assert names == ["main"]


async def test_field_that_a_person_changed_conflicts_and_can_be_taken_back(
    cluster: Cluster, namespace: str
) -> None:
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/d"
    await cluster.apply(path, deployment())
    change = {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "image:2"}]}}}}
    strategic = "application/strategic-merge-patch+json"
    await cluster.done("PATCH", path, change, strategic, fieldManager="person")
    answer = await cluster.apply(path, deployment())
    assert answer.error == (409, "Conflict")
    field = '.spec.template.spec.containers[name="main"].image'
    assert [item["field"] for item in answer.body["details"]["causes"]] == [field]
    answer = await cluster.apply(path, deployment(), force="true")
    assert answer.body["spec"]["template"]["spec"]["containers"][0]["image"] == "image:1"


async def test_list_items_are_owned_one_by_one(cluster: Cluster, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/services/s"

    def service(port: int) -> Json:
        ports = [{"name": f"p{port}", "port": port}]
        metadata = {"name": "s"}
        return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"ports": ports}}

    await cluster.apply(path, service(1), "first")
    answer = await cluster.apply(path, service(2), "second")
    assert sorted(port["port"] for port in answer.body["spec"]["ports"]) == [1, 2]
    # The protocol is part of the key, by its default.
    item = 'k:{"port":1,"protocol":"TCP"}'
    assert owned(answer.body)["first"]["f:spec"]["f:ports"][item] == {".": {}, "f:name": {}, "f:port": {}}


async def test_rules_of_webhooks_conflict_even_when_they_are_the_same(cluster: Cluster) -> None:
    """Their default `scope` is inside a list that is owned as a whole."""
    name = "rules.example.com"
    kind = "ValidatingWebhookConfiguration"
    path = f"/apis/admissionregistration.k8s.io/v1/{kind.lower()}s/{name}"
    rule = {"apiGroups": ["x"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["y"]}
    webhook = {
        "name": name,
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "clientConfig": {"service": {"name": "s", "namespace": "n"}},
        "rules": [rule],
    }
    body = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "webhooks": [webhook]}
    body["metadata"] = {"name": name}
    await cluster.apply(path, body, "first")
    assert (await cluster.apply(path, body, "first")).status == 200
    answer = await cluster.apply(path, body, "second")
    assert answer.error == (409, "Conflict")
    assert [item["field"] for item in answer.body["details"]["causes"]] == [f'.webhooks[name="{name}"].rules']
    await cluster.done("DELETE", path)


async def test_manager_must_be_named(cluster: Cluster, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps/c"
    answer = await cluster.send("PATCH", path, config_map(), "application/apply-patch+yaml")
    assert answer.error == (422, "Invalid")
    assert answer.body["message"] == (
        'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch'
    )


async def test_configuration_must_be_good(cluster: Cluster, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps/c"
    answer = await cluster.apply(path, {**config_map(), "metadata": {"name": "d"}})
    assert answer.error == (400, "BadRequest")
    answer = await cluster.apply(path, {**config_map(), "metadata": {"name": "c", "managedFields": []}})
    assert answer.body["message"] == "metadata.managedFields must be nil"
    answer = await cluster.apply(path, {"kind": "ConfigMap", "metadata": {"name": "c"}})
    assert answer.error == (400, "BadRequest")
    assert answer.body["message"].startswith("Incorrect version specified in apply patch.")


async def test_field_of_no_schema_is_refused(cluster: Cluster, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps/c"
    answer = await cluster.apply(path, {**config_map(), "dat": {}})
    assert answer.status == 500
    assert answer.body["message"].startswith("failed to create typed patch object")
    assert answer.body["message"].endswith(".dat: field not declared in schema")


async def test_update_takes_the_field_from_the_applier(cluster: Cluster, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps/c"
    await cluster.apply(path, config_map(a="1", b="1"), "first")
    changed = await cluster.done("PATCH", path, {"data": {"a": "2"}}, MERGE, fieldManager="person")
    assert owned(changed) == {"first": {"f:data": {"f:b": {}}}, "person": {"f:data": {"f:a": {}}}}
    removed = await cluster.done("PATCH", path, {"data": {"b": None}}, MERGE, fieldManager="person")
    assert owned(removed) == {"person": {"f:data": {"f:a": {}}}}


async def test_every_object_of_the_operators_stand_in_is_applied_twice(cluster: Cluster) -> None:
    plurals: dict[str, str] = {}
    for obj in yaml.safe_load_all(MANIFEST.read_text()):
        api_version, kind, metadata = obj["apiVersion"], obj["kind"], obj["metadata"]
        prefix = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
        if kind not in plurals:
            listed = (await cluster.done("GET", prefix))["resources"]
            plurals |= {item["kind"]: item["name"] for item in listed if "/" not in item["name"]}
        if "namespace" in metadata:
            prefix += f"/namespaces/{metadata['namespace']}"
        path = f"{prefix}/{plurals[kind]}/{metadata['name']}"
        first = await cluster.apply(path, obj)
        assert first.status == 201, first.body
        await cluster.settle()
        before = await cluster.done("GET", path)
        again = await cluster.apply(path, obj)
        assert again.status == 200, again.body
        if cluster.old and kind.endswith("WebhookConfiguration"):
            continue  # Before 1.21, the new time in managedFields alone made a new version.
        assert again.body["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"], path
