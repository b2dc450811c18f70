"""What clients can do to objects, and how they are refused: the emulator and a real API server alike."""

from typing import Any

import pytest

from .conftest import JSON_PATCH, MERGE, STRATEGIC, Cluster

Json = dict[str, Any]


def config_map(name: str = "c", **data: str) -> Json:
    return {"metadata": {"name": name}, "data": data}


def deployment(name: str = "d", replicas: int = 0) -> Json:
    container = {
        "name": "main",
        "image": "image:1",
        "env": [{"name": "A", "value": "1"}],
        "ports": [{"containerPort": 80}],
    }
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


async def test_created_object_has_what_the_server_gives(cluster: Cluster, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    answer = await cluster.send("POST", path, config_map(k="v"))
    assert answer.status == 201
    metadata = answer.body["metadata"]
    assert {"uid", "resourceVersion", "creationTimestamp"} <= set(metadata)
    assert (metadata["name"], metadata["namespace"]) == ("c", namespace)
    assert metadata["managedFields"] == [
        {
            "manager": "tests",
            "operation": "Update",
            "apiVersion": "v1",
            "time": metadata["creationTimestamp"],
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:data": {".": {}, "f:k": {}}},
        }
    ]
    assert await cluster.done("GET", f"{path}/c") == answer.body


async def test_generated_names_start_as_asked(cluster: Cluster, namespace: str) -> None:
    body = {"metadata": {"generateName": "gen-"}}
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    names = {(await cluster.done("POST", path, body))["metadata"]["name"] for _ in range(3)}
    assert len(names) == 3
    assert all(name.startswith("gen-") and len(name) == 9 for name in names)


async def test_defaults_of_a_deployment_are_filled_in(cluster: Cluster, namespace: str) -> None:
    made = await cluster.done("POST", f"/apis/apps/v1/namespaces/{namespace}/deployments", deployment())
    spec = made["spec"]
    assert spec["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"},
    }
    assert (spec["revisionHistoryLimit"], spec["progressDeadlineSeconds"]) == (10, 600)
    pod = spec["template"]["spec"]
    assert pod["containers"] == [
        {
            "name": "main",
            "image": "image:1",
            "env": [{"name": "A", "value": "1"}],
            "ports": [{"containerPort": 80, "protocol": "TCP"}],
            "resources": {},
            "terminationMessagePath": "/dev/termination-log",
            "terminationMessagePolicy": "File",
            "imagePullPolicy": "IfNotPresent",
        }
    ]
    del pod["containers"]
    assert pod == {
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "securityContext": {},
        "schedulerName": "default-scheduler",
    }
    assert made["metadata"]["generation"] == 1
    assert made["status"] == {}


async def test_string_data_of_a_secret_is_encoded(cluster: Cluster, namespace: str) -> None:
    body = {"metadata": {"name": "s"}, "stringData": {"password": "x"}}
    made = await cluster.done("POST", f"/api/v1/namespaces/{namespace}/secrets", body)
    assert made["data"] == {"password": "eA=="}
    assert made["type"] == "Opaque"
    assert "stringData" not in made


# What is sent, and the refusal: status, reason, text with {ns} for the namespace.
_REFUSED = {
    "absent": ("GET", "configmaps/no", None, 404, "NotFound", 'configmaps "no" not found'),
    "absent with a group": (
        "GET",
        "deployments/no",
        None,
        404,
        "NotFound",
        'deployments.apps "no" not found',
    ),
    "bad name": (
        "POST",
        "configmaps",
        {"metadata": {"name": "Bad_Name"}},
        422,
        "Invalid",
        'ConfigMap "Bad_Name" is invalid: metadata.name: Invalid value: "Bad_Name": a lowercase RFC 1123 '
        "subdomain "
        "must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an "
        "alphanumeric "
        "character (e.g. 'example.com', regex used for validation is "
        r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
    ),
    "no name": (
        "POST",
        "configmaps",
        {"metadata": {}},
        422,
        "Invalid",
        'ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required',
    ),
    "other namespace": (
        "POST",
        "configmaps",
        {"metadata": {"name": "x", "namespace": "elsewhere"}},
        400,
        "BadRequest",
        "the namespace of the provided object does not match the namespace sent on the request",
    ),
    "bad label": (
        "POST",
        "configmaps",
        {"metadata": {"name": "x", "labels": {"a": "b c"}}},
        422,
        "Invalid",
        'ConfigMap "x" is invalid: metadata.labels: Invalid value: "b c": a valid label must be an empty '
        "string or "
        "consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
        "alphanumeric character "
        "(e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
        "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
    ),
    "bad key": (
        "POST",
        "configmaps",
        {"metadata": {"name": "x"}, "data": {"k k": "v"}},
        422,
        "Invalid",
        'ConfigMap "x" is invalid: data[k k]: Invalid value: "k k": a valid config key must consist of '
        "alphanumeric "
        "characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for "
        "validation is "
        "'[-._a-zA-Z0-9]+')",
    ),
    "wrong name": (
        "PUT",
        "configmaps/x",
        {"metadata": {"name": "y"}},
        400,
        "BadRequest",
        "the name of the object (y) does not match the name on the URL (x)",
    ),
    "post to an object": (
        "POST",
        "configmaps/x",
        {},
        405,
        "MethodNotAllowed",
        "the server does not allow this method on the requested resource",
    ),
    "put to a collection": (
        "PUT",
        "configmaps",
        {},
        405,
        "MethodNotAllowed",
        "the server does not allow this method on the requested resource",
    ),
    "service without ports": (
        "POST",
        "services",
        {"metadata": {"name": "s"}, "spec": {}},
        422,
        "Invalid",
        'Service "s" is invalid: spec.ports: Required value',
    ),
    "service name": (
        "POST",
        "services",
        {"metadata": {"name": "1s"}, "spec": {"ports": [{"port": 1}]}},
        422,
        "Invalid",
        'Service "1s" is invalid: metadata.name: Invalid value: "1s": a DNS-1035 label must consist of '
        "lower case "
        "alphanumeric characters or '-', start with an alphabetic character, and end with an "
        "alphanumeric character "
        "(e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')",
    ),
    "unknown type": (
        "GET",
        "nothings",
        None,
        404,
        "NotFound",
        "the server could not find the requested resource",
    ),
    "pod log of nobody": ("GET", "pods/no/log", None, 404, "NotFound", 'pods "no" not found'),
    "unknown field selector": (
        "GET",
        "configmaps?fieldSelector=data=x",
        None,
        400,
        "BadRequest",
        '"data" is not a known field selector: only "metadata.name", "metadata.namespace"',
    ),
    "bad dry run": (
        "POST",
        "configmaps?dryRun=maybe",
        {"metadata": {"name": "x"}},
        422,
        "Invalid",
        'CreateOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: []string{"maybe"}: '
        'supported values: "All"',
    ),
}


@pytest.mark.parametrize("case", _REFUSED)
async def test_refusals_have_the_servers_reasons_and_texts(
    cluster: Cluster, namespace: str, case: str
) -> None:
    method, resource, body, status, reason, message = _REFUSED[case]
    group = "/apis/apps/v1" if resource.startswith("deployments") else "/api/v1"
    answer = await cluster.send(method, f"{group}/namespaces/{namespace}/{resource}", body)
    assert (answer.status, answer.body["reason"], answer.body["message"]) == (status, reason, message)
    assert (answer.body["kind"], answer.body["status"], answer.body["code"]) == ("Status", "Failure", status)


# A change of a good Deployment, and the causes of its refusal.
_BAD_DEPLOYMENTS: dict[str, tuple[Any, list[tuple[str, str, str]]]] = {
    "selector of other labels": (
        lambda spec: spec["selector"].update(matchLabels={"x": "y"}),
        [
            (
                "spec.template.metadata.labels",
                "FieldValueInvalid",
                'Invalid value: map[string]string{"app":"d"}: `selector` does not match template `labels`',
            )
        ],
    ),
    "no selector": (
        lambda spec: spec.pop("selector"),
        [
            ("spec.selector", "FieldValueRequired", "Required value"),
            (
                "spec.template.metadata.labels",
                "FieldValueInvalid",
                'Invalid value: map[string]string{"app":"d"}: `selector` does not match template `labels`',
            ),
        ],
    ),
    "no containers": (
        lambda spec: spec["template"]["spec"].update(containers=[]),
        [("spec.template.spec.containers", "FieldValueRequired", "Required value")],
    ),
    "no image": (
        lambda spec: spec["template"]["spec"]["containers"][0].pop("image"),
        [("spec.template.spec.containers[0].image", "FieldValueRequired", "Required value")],
    ),
    "no container name": (
        lambda spec: spec["template"]["spec"]["containers"][0].pop("name"),
        [("spec.template.spec.containers[0].name", "FieldValueRequired", "Required value")],
    ),
    "same container twice": (
        lambda spec: spec["template"]["spec"]["containers"].append({"name": "main", "image": "x"}),
        [("spec.template.spec.containers[1].name", "FieldValueDuplicate", 'Duplicate value: "main"')],
    ),
    "negative replicas": (
        lambda spec: spec.update(replicas=-1),
        [("spec.replicas", "FieldValueInvalid", "Invalid value: -1: must be greater than or equal to 0")],
    ),
    "pull policy": (
        lambda spec: spec["template"]["spec"]["containers"][0].update(imagePullPolicy="Now"),
        [
            (
                "spec.template.spec.containers[0].imagePullPolicy",
                "FieldValueNotSupported",
                'Unsupported value: "Now": supported values: "Always", "IfNotPresent", "Never"',
            )
        ],
    ),
    "mount of no volume": (
        lambda spec: spec["template"]["spec"]["containers"][0].update(
            volumeMounts=[{"name": "v", "mountPath": "/v"}]
        ),
        [("spec.template.spec.containers[0].volumeMounts[0].name", "FieldValueNotFound", 'Not found: "v"')],
    ),
}


@pytest.mark.parametrize("case", _BAD_DEPLOYMENTS)
async def test_invalid_deployments_are_refused_with_each_cause(
    cluster: Cluster, namespace: str, case: str
) -> None:
    spoil, causes = _BAD_DEPLOYMENTS[case]
    body = deployment()
    spoil(body["spec"])
    answer = await cluster.send("POST", f"/apis/apps/v1/namespaces/{namespace}/deployments", body)
    assert answer.error == (422, "Invalid")
    found = answer.body["details"]["causes"]
    assert [(item["field"], item["reason"], item["message"]) for item in found] == causes


async def test_value_of_a_wrong_type_is_a_bad_request(cluster: Cluster, namespace: str) -> None:
    body = deployment()
    body["spec"]["replicas"] = "three"
    answer = await cluster.send("POST", f"/apis/apps/v1/namespaces/{namespace}/deployments", body)
    assert answer.error == (400, "BadRequest")
    assert answer.body["message"].startswith('Deployment in version "v1" cannot be handled as a Deployment: ')


async def test_second_create_says_already_exists(cluster: Cluster, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    await cluster.done("POST", path, config_map())
    answer = await cluster.send("POST", path, config_map())
    assert answer.error == (409, "AlreadyExists")
    assert answer.body["message"] == 'configmaps "c" already exists'
    assert answer.body["details"] == {"name": "c", "kind": "configmaps"}


async def test_namespace_that_is_absent_is_named(cluster: Cluster) -> None:
    answer = await cluster.send("POST", "/api/v1/namespaces/nowhere/configmaps", config_map())
    assert answer.error == (404, "NotFound")
    assert answer.body["message"] == 'namespaces "nowhere" not found'


async def test_replace_of_an_older_version_conflicts(cluster: Cluster, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps/c"
    first = await cluster.done("POST", path.removesuffix("/c"), config_map(a="1"))
    await cluster.done("PUT", path, {**first, "data": {"a": "2"}})
    answer = await cluster.send("PUT", path, {**first, "data": {"a": "3"}})
    assert answer.error == (409, "Conflict")
    assert answer.body["message"] == (
        'Operation cannot be fulfilled on configmaps "c": the object has been modified; please apply '
        "your changes to "
        "the latest version and try again"
    )
    assert (await cluster.done("GET", path))["data"] == {"a": "2"}


async def test_replace_of_an_object_made_anew_conflicts(cluster: Cluster, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps/c"
    first = await cluster.done("POST", path.removesuffix("/c"), config_map())
    await cluster.done("DELETE", path)
    await cluster.done("POST", path.removesuffix("/c"), config_map())
    stale = {"metadata": {"name": "c", "uid": first["metadata"]["uid"]}}
    answer = await cluster.send("PUT", path, stale)
    assert answer.error == (409, "Conflict")


async def test_write_without_a_change_keeps_the_version(cluster: Cluster, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps/c"
    first = await cluster.done("POST", path.removesuffix("/c"), config_map(a="1"))
    again = await cluster.done("PUT", path, first)
    patched = await cluster.done("PATCH", path, {"data": {"a": "1"}}, MERGE)
    assert {item["metadata"]["resourceVersion"] for item in (first, again, patched)} == {
        first["metadata"]["resourceVersion"]
    }


async def test_generation_counts_changes_of_the_spec_only(cluster: Cluster, namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    await cluster.done("POST", path, deployment())
    labelled = await cluster.done("PATCH", f"{path}/d", {"metadata": {"labels": {"a": "b"}}}, MERGE)
    assert labelled["metadata"]["generation"] == 1
    changed = await cluster.done("PATCH", f"{path}/d", {"spec": {"minReadySeconds": 1}}, MERGE)
    assert changed["metadata"]["generation"] == 2


async def test_merge_patch_removes_with_null(cluster: Cluster, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    await cluster.done("POST", path, config_map(a="1", b="2"))
    patched = await cluster.done("PATCH", f"{path}/c", {"data": {"a": None, "c": "3"}}, MERGE)
    assert patched["data"] == {"b": "2", "c": "3"}


async def test_json_patch_adds_and_tests(cluster: Cluster, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    await cluster.done("POST", path, config_map(a="1"))
    add = [{"op": "add", "path": "/metadata/labels", "value": {"x/y": "z"}}]
    await cluster.done("PATCH", f"{path}/c", add, JSON_PATCH)
    remove = [
        {"op": "test", "path": "/metadata/labels/x~1y", "value": "z"},
        {"op": "remove", "path": "/data/a"},
    ]
    patched = await cluster.done("PATCH", f"{path}/c", remove, JSON_PATCH)
    assert "data" not in patched or patched["data"] == {}
    answer = await cluster.send("PATCH", f"{path}/c", remove, JSON_PATCH)
    assert answer.error == (422, "Invalid")


async def test_strategic_merge_patch_merges_lists_by_their_keys(cluster: Cluster, namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    await cluster.done("POST", path, deployment())
    change = {
        "containers": [{"name": "main", "env": [{"name": "B", "value": "2"}]}, {"name": "b", "image": "y"}]
    }
    patch = {"spec": {"template": {"spec": change}}}
    patched = await cluster.done("PATCH", f"{path}/d", patch, STRATEGIC)
    containers = patched["spec"]["template"]["spec"]["containers"]
    assert [(item["name"], item["image"]) for item in containers] == [("main", "image:1"), ("b", "y")]
    # New items come before those that the patch doesn't name.
    assert [item["name"] for item in containers[0]["env"]] == ["B", "A"]
    drop = {"spec": {"template": {"spec": {"containers": [{"name": "b", "$patch": "delete"}]}}}}
    patched = await cluster.done("PATCH", f"{path}/d", drop, STRATEGIC)
    assert [item["name"] for item in patched["spec"]["template"]["spec"]["containers"]] == ["main"]


async def test_set_element_order_decides_the_order(cluster: Cluster, namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    await cluster.done("POST", path, deployment())
    env = {"$setElementOrder/env": [{"name": "A"}, {"name": "B"}], "env": [{"name": "B", "value": "2"}]}
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "main", **env}]}}}}
    patched = await cluster.done("PATCH", f"{path}/d", patch, STRATEGIC)
    container = patched["spec"]["template"]["spec"]["containers"][0]
    assert [item["name"] for item in container["env"]] == ["A", "B"]


async def test_immutable_fields_stay(cluster: Cluster, namespace: str) -> None:
    apps = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    await cluster.done("POST", apps, deployment())
    labels = {"app": "other"}
    patch = {"spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}}}}
    answer = await cluster.send("PATCH", f"{apps}/d", patch, MERGE)
    assert answer.error == (422, "Invalid")
    assert answer.body["message"].endswith("field is immutable")

    secrets = f"/api/v1/namespaces/{namespace}/secrets"
    await cluster.done("POST", secrets, {"metadata": {"name": "s"}, "type": "a/b"})
    answer = await cluster.send("PATCH", f"{secrets}/s", {"type": "c/d"}, MERGE)
    assert answer.body["message"] == 'Secret "s" is invalid: type: Invalid value: "c/d": field is immutable'

    roles = "/apis/rbac.authorization.k8s.io/v1"
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    bindings = f"{roles}/namespaces/{namespace}/rolebindings"
    await cluster.done("POST", bindings, {"metadata": {"name": "b"}, "roleRef": role})
    answer = await cluster.send("PATCH", f"{bindings}/b", {"roleRef": {"name": "other"}}, MERGE)
    assert answer.error == (422, "Invalid")
    assert answer.body["message"].endswith("cannot change roleRef")


async def test_status_is_written_through_its_subresource_only(cluster: Cluster, namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    await cluster.done("POST", path, deployment())
    ignored = await cluster.done("PATCH", f"{path}/d", {"status": {"readyReplicas": 7}}, MERGE)
    assert "readyReplicas" not in ignored["status"]
    patch = {"status": {"observedGeneration": 9}, "spec": {"minReadySeconds": 5}}
    written = await cluster.done("PATCH", f"{path}/d/status", patch, MERGE)
    assert written["status"]["observedGeneration"] == 9
    assert "minReadySeconds" not in written["spec"]


async def test_scale_changes_the_replicas(cluster: Cluster, namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    await cluster.done("POST", path, deployment())
    scaled = await cluster.done("PATCH", f"{path}/d/scale", {"spec": {"replicas": 2}}, MERGE)
    assert (scaled["kind"], scaled["apiVersion"], scaled["spec"]) == (
        "Scale",
        "autoscaling/v1",
        {"replicas": 2},
    )
    assert (await cluster.done("GET", f"{path}/d"))["spec"]["replicas"] == 2


async def test_lists_are_selected_by_labels_and_fields(cluster: Cluster, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    for name, labels in (("one", {"a": "1"}), ("two", {"a": "2", "b": "x"}), ("three", {"b": "y"})):
        await cluster.done("POST", path, {"metadata": {"name": name, "labels": labels}})

    async def names(**query: str) -> list[str]:
        listed = await cluster.done("GET", path, **query)
        found = [item["metadata"]["name"] for item in listed["items"]]
        return [name for name in found if name != "kube-root-ca.crt"]

    assert await names() == ["one", "three", "two"]
    assert await names(labelSelector="a=1") == ["one"]
    assert await names(labelSelector="a") == ["one", "two"]
    assert await names(labelSelector="a!=1,b") == ["three", "two"]
    assert await names(labelSelector="!a,b in (y,z)") == ["three"]
    assert await names(labelSelector="b notin (y)") == ["one", "two"]
    assert await names(fieldSelector="metadata.name=two") == ["two"]
    assert await names(fieldSelector="metadata.name!=two", labelSelector="b") == ["three"]


async def test_items_of_a_built_in_list_have_no_kind(cluster: Cluster, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    await cluster.done("POST", path, config_map())
    listed = await cluster.done("GET", path)
    assert (listed["kind"], listed["apiVersion"]) == ("ConfigMapList", "v1")
    assert all("kind" not in item for item in listed["items"])


async def test_lists_come_in_pages(cluster: Cluster, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/secrets"
    for index in range(5):
        await cluster.done("POST", path, {"metadata": {"name": f"s{index}"}})
    found, token, left = [], "", []
    while True:
        page = await cluster.done("GET", path, limit="2", **({"continue": token} if token else {}))
        found += [item["metadata"]["name"] for item in page["items"]]
        token = page["metadata"].get("continue", "")
        left.append(page["metadata"].get("remainingItemCount"))
        if not token:
            break
    assert found == [f"s{index}" for index in range(5)]
    assert left == [3, 1, None]


async def test_deletion_answers_with_the_objects_end(cluster: Cluster, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    made = await cluster.done("POST", path, config_map())
    answer = await cluster.done("DELETE", f"{path}/c")
    assert answer["status"] == "Success"
    assert answer["details"] == {"name": "c", "kind": "configmaps", "uid": made["metadata"]["uid"]}
    assert (await cluster.send("DELETE", f"{path}/c")).error == (404, "NotFound")


async def test_deletion_of_another_object_is_refused(cluster: Cluster, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    await cluster.done("POST", path, config_map())
    answer = await cluster.send("DELETE", f"{path}/c", {"preconditions": {"uid": "another"}})
    assert answer.error == (409, "Conflict")
    assert "the UID in the precondition (another) does not match the UID in record" in answer.body["message"]


async def test_finalizers_keep_an_object_that_is_deleted(cluster: Cluster, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    body = {"metadata": {"name": "c", "finalizers": ["example.com/keep"]}}
    await cluster.done("POST", path, body)
    ending = await cluster.done("DELETE", f"{path}/c")
    assert ending["metadata"]["deletionTimestamp"]
    again = await cluster.send("POST", path, config_map())
    assert again.error == (409, "AlreadyExists")
    assert again.body["message"] == 'object is being deleted: configmaps "c" already exists'
    more = {"metadata": {"finalizers": ["example.com/keep", "example.com/more"]}}
    refused = await cluster.send("PATCH", f"{path}/c", more, MERGE)
    assert refused.error == (422, "Invalid")
    await cluster.done("PATCH", f"{path}/c", {"metadata": {"finalizers": None}}, MERGE)
    assert (await cluster.send("GET", f"{path}/c")).status == 404


async def test_collections_are_deleted_by_selector(cluster: Cluster, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/secrets"
    for name, owner in (("a", "helm"), ("b", "helm"), ("c", "me")):
        await cluster.done("POST", path, {"metadata": {"name": name, "labels": {"owner": owner}}})
    await cluster.done("DELETE", path, labelSelector="owner=helm")
    left = [item["metadata"]["name"] for item in (await cluster.done("GET", path))["items"]]
    assert left == ["c"]


async def test_terminating_namespace_takes_nothing_new(cluster: Cluster, namespace: str) -> None:
    ending = await cluster.done("DELETE", f"/api/v1/namespaces/{namespace}")
    assert ending["status"]["phase"] == "Terminating"
    assert ending["metadata"]["deletionTimestamp"]
    answer = await cluster.send("POST", f"/api/v1/namespaces/{namespace}/configmaps", config_map())
    assert answer.error == (403, "Forbidden")
    assert answer.body["message"] == (
        f'configmaps "c" is forbidden: unable to create new content in namespace {namespace} because it '
        f"is being "
        "terminated"
    )
    assert answer.body["details"]["causes"] == [
        {
            "reason": "NamespaceTerminating",
            "message": f"namespace {namespace} is being terminated",
            "field": "metadata.namespace",
        }
    ]
    again = await cluster.send("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
    assert again.error == (409, "AlreadyExists")


async def test_dry_run_stores_nothing(cluster: Cluster, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    answer = await cluster.send("POST", path, config_map(a="1"), dryRun="All")
    assert answer.status == 201
    assert (await cluster.send("GET", f"{path}/c")).status == 404
    await cluster.done("POST", path, config_map(a="1"))
    await cluster.done("PATCH", f"{path}/c", {"data": {"a": "2"}}, MERGE, dryRun="All")
    await cluster.done("DELETE", f"{path}/c", dryRun="All")
    assert (await cluster.done("GET", f"{path}/c"))["data"] == {"a": "1"}


async def test_unknown_fields_are_dropped_warned_of_or_refused(cluster: Cluster, namespace: str) -> None:
    cluster.needs("1.25", "fieldValidation")
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    body = deployment()
    body["spec"]["template"]["spec"]["containers"][0]["imag"] = "x"
    answer = await cluster.send("POST", path, body, fieldValidation="Strict")
    assert answer.error == (400, "BadRequest")
    assert (
        'strict decoding error: unknown field "spec.template.spec.containers[0].imag"'
        in answer.body["message"]
    )
    answer = await cluster.send("POST", path, body)
    assert answer.status == 201
    expected = r'299 - "unknown field \"spec.template.spec.containers[0].imag\""'
    assert answer.headers["warning"] == expected
    assert "imag" not in answer.body["spec"]["template"]["spec"]["containers"][0]


@pytest.mark.parametrize("token", ["", "Bearer wrong", "Basic abc"])
async def test_without_a_good_token_everything_is_unauthorized(cluster: Cluster, token: str) -> None:
    for path in ("/api/v1/nodes", "/version", "/healthz"):
        answer = await cluster.send("GET", path, headers={"Authorization": token})
        assert answer.error == (401, "Unauthorized")
        assert answer.body["message"] == "Unauthorized"


async def test_unknown_group_is_no_status(cluster: Cluster) -> None:
    answer = await cluster.send("GET", "/apis/example.net/v1/things")
    assert (answer.status, answer.body) == (404, "404 page not found\n")
