"""`--record` and `compare-recording`: what a recording holds, what it never holds, and that no difference is missed."""

import copy
import json
import random
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from typer.testing import CliRunner

from aks_postgres.arm.redaction import Redaction, is_field
from aks_postgres.cli.main import app, record_first
from aks_postgres.flows.plan import plan
from aks_postgres.flows.provision import provision
from aks_postgres.flows.rebuild import rebuild
from aks_postgres.flows.tear_down import tear_down
from aks_postgres.reports.recordings import Difference, differences, read_recording, repeatable, runs_in
from aks_postgres.runs.session import run_session
from aks_postgres.spec.environment import EnvironmentSpec
from azure_sandbox.client import SandboxProcess, start

from ..cases import shown
from ..conftest import spec_for, without_lock
from ..database.crds import schemas
from ..flows.conftest import quicken
from ..flows.database_state import components, with_database
from ..tasks.resources import STEPS

Json = dict[str, Any]
NAMES = ("Azure", "the sandbox")
ENVIRONMENT = "cnpg-canadacentral"

KEY = "c2VjcmV0LW9mLWEtc3RvcmFnZS1hY2NvdW50LWNhbmFyeS1jYW5hcnktY2FuYXJ5LWNhbmFyeS1jYW5hcnk="
BEARER = "eyJjYW5hcnkiOiJiZWFyZXIifQ.eyJjYW5hcnkiOiJvZiBhbiBhY2Nlc3MifQ.Y2FuYXJ5LXNpZ25hdHVyZQ"
TAG = "canary-of-a-tag-4711"
# Names of letters only, which look like any other word.
LETTERS: Json = {
    "name": "kaviar",
    "namespaces": {"database": "lohnbuero", "operator": "schatzamt"},
    "system_pool": {"name": "forelle", "labels": {"strasse": "hafenweg"}},
    "postgres_pool": {"name": "hering", "labels": {"kostenstelle": "vertrieb"}},
    "tags": {"abteilung": "gehaelter"},
}
LETTERS_OF_STORAGE: Json = {"container": "belege"}
LETTERS_OF_A_DATABASE: Json = {
    "name": "tresor",
    "databases": ["kassenbuch", "inventur"],
    "owner": "buchhalter",
    "roles": [{"name": "revisor"}],
}
OWNER = "5f5d7e4e-3f0c-4b38-9b6a-0f7c34b8a001"


def words_of(given: Any) -> list[str]:
    """The texts of a part of a spec, and the keys where they are somebody's own."""
    if isinstance(given, dict):
        own = {key for key in given if key in ("strasse", "kostenstelle", "abteilung")}
        return [*own, *(word for one in given.values() for word in words_of(one))]
    return [word for one in given for word in words_of(one)] if isinstance(given, list) else [str(given)]


def owned_by(object_id: str) -> Json:
    return {"blob_owners": [{"object_id": object_id, "type": "ServicePrincipal"}]}


# --- planted differences -----------------------------------------------------------------------------------------


def answers(entries: list[Json]) -> list[int]:
    return [
        number
        for number, entry in enumerate(entries)
        if isinstance(entry.get("body"), dict) and entry["body"]
    ]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place of a body that holds something."""
    found = [path] if path else []
    if isinstance(value, dict):
        for key, one in value.items():
            found += places(one, (*path, key))
    elif isinstance(value, list):
        for number, one in enumerate(value):
            found += places(one, (*path, number))
    return found


def holder(body: Any, path: tuple[Any, ...]) -> Any:
    for key in path[:-1]:
        body = body[key]
    return body


def lose_a_field(entries: list[Json], draw: random.Random) -> str:
    entry = entries[draw.choice(answers(entries))]
    path = draw.choice([one for one in places(entry["body"]) if isinstance(one[-1], str)])
    del holder(entry["body"], path)[path[-1]]
    return f"lost {path}"


def gain_a_field(entries: list[Json], draw: random.Random) -> str:
    entry = entries[draw.choice(answers(entries))]
    entry["body"]["planted"] = draw.choice([1, "text-1", None, [], {}, True])
    return "gained a field"


def change_a_type(entries: list[Json], draw: random.Random) -> str:
    entry = entries[draw.choice(answers(entries))]
    path = draw.choice(places(entry["body"]))
    old = holder(entry["body"], path)[path[-1]]
    holder(entry["body"], path)[path[-1]] = [{"planted": 1}] if not isinstance(old, list) else "text-1"
    return f"another type at {path}"


def change_a_status(entries: list[Json], draw: random.Random) -> str:
    entry = draw.choice([entry for entry in entries if "status" in entry])
    entry["status"] = draw.choice([one for one in (200, 201, 202, 204, 404, 409) if one != entry["status"]])
    return "another status"


def lose_a_header(entries: list[Json], draw: random.Random) -> str:
    entry = draw.choice([entry for entry in entries if entry.get("headers")])
    del entry["headers"][draw.choice(sorted(entry["headers"]))]
    return "lost a header"


def gain_a_header(entries: list[Json], draw: random.Random) -> str:
    entry = draw.choice([entry for entry in entries if "headers" in entry])
    entry["headers"]["retry-after-planted"] = "number"
    return "gained a header"


def swap_two(entries: list[Json], draw: random.Random) -> str:
    """Two answers about one resource that follow each other and aren't alike."""
    last: dict[str, int] = {}
    pairs = []
    for number, entry in enumerate(entries):
        before = last.get(path := entry["path"].partition("?")[0])
        if before is not None and alike(entries[before]) != alike(entry):
            pairs.append((before, number))
        last[path] = number
    one, two = draw.choice(pairs)
    entries[one], entries[two] = entries[two], entries[one]
    return "swapped two"


def alike(entry: Json) -> tuple[Any, ...]:
    body = entry.get("body") or {}
    state = (body.get("properties") or {}).get("provisioningState") if isinstance(body, dict) else None
    return entry["method"], entry.get("status"), state


PLANTS: tuple[Callable[[list[Json], random.Random], str], ...] = (
    lose_a_field,
    gain_a_field,
    change_a_type,
    change_a_status,
    lose_a_header,
    gain_a_header,
    swap_two,
)


@pytest_asyncio.fixture
async def recorded(
    azure: SandboxProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Path]:
    """Some steps of an environment, recorded, with secrets in what Azure says and in what the spec holds."""
    from ..tasks.conftest import MOMENTS, place_for
    from ..tasks.world import World

    azure.settings(durations=MOMENTS, spontaneous_operations=False, autoscaler=False)
    monkeypatch.setenv("AKS_POSTGRES_RECORD", str(tmp_path / "recording"))
    spec = spec_for(azure, tags={"owner": TAG}, storage=owned_by(OWNER))
    leak = {"status": 409, "code": "Conflict", "message": f"AccountKey={KEY}; 'Bearer {BEARER}' of {TAG}"}
    azure.fault(leak, operation="StorageAccounts_Create", nth=1)
    async with run_session(spec) as run:
        without_lock()
        world = World(azure, run.journal, spec, place_for(azure, spec), STEPS)
        await world.prepare("storage_account", "container", "log_workspace", "namespaces")
    yield tmp_path / "recording"


def secrets_of(azure: SandboxProcess) -> list[str]:
    found = azure.description
    whose = [found["client_secret"], found["client_id"], found["subscription_id"], found["tenant_id"]]
    return [*whose, azure.object_id, KEY, BEARER, TAG, OWNER, "localhost", "127.0.0.1", "20.51.7.9"]


def seen_in(folder: Path, secrets: list[str]) -> list[str]:
    texts = [file.read_text() for file in folder.rglob("*") if file.is_file()]
    assert texts
    return [one for one in secrets if any(one.casefold() in text.casefold() for text in texts)]


def missed(entries: list[Json], seeds: range) -> list[str]:
    found = []
    for seed in seeds:
        draw = random.Random(seed)
        changed = copy.deepcopy(entries)
        what = draw.choice(PLANTS)(changed, draw)
        if not differences(entries, changed, NAMES):
            found.append(f"{seed}: {what}")
    return found


async def test_a_recording_tells_how_azure_answers_and_nothing_about_whose_it_is(
    azure: SandboxProcess, recorded: Path
) -> None:
    (file,) = recorded.iterdir()
    assert (stat.S_IMODE(file.stat().st_mode), stat.S_IMODE(recorded.stat().st_mode)) == (0o600, 0o700)
    assert seen_in(recorded, secrets_of(azure)) == []
    entries = read_recording(recorded)
    writes = [
        entry for entry in entries if entry["method"] == "PUT" and "storageAccounts/name-" in entry["path"]
    ]
    assert [entry["status"] for entry in writes][:2] == [409, 202]
    assert writes[0]["body"]["error"]["code"] == "Conflict"
    assert {"arm", "kubernetes"} == {entry["service"] for entry in entries}
    (polled,) = {entry["headers"]["location"].partition("?")[0] for entry in writes if entry["status"] == 202}
    assert polled.startswith("https://management/subscriptions/00000000-0000-0000-0000-")
    # The same thing has the same stand-in.
    assert len({entry["path"] for entry in writes if "blobServices" not in entry["path"]}) == 1

    assert differences(entries, entries, NAMES) == []
    assert missed(entries, range(10)) == []


async def test_every_planted_difference_has_its_own_word(recorded: Path) -> None:
    entries = read_recording(recorded)
    draw = random.Random(1)
    for plant, kinds in (
        (change_a_status, {"status", "order"}),
        (gain_a_header, {"header"}),
        (gain_a_field, {"shape"}),
        (swap_two, {"order"}),
    ):
        changed = copy.deepcopy(entries)
        plant(changed, draw)
        assert kinds & {one.kind for one in differences(entries, changed, NAMES)}, plant.__name__


@pytest.mark.thorough
async def test_two_hundred_planted_differences_are_found(
    azure: SandboxProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefect_api: None
) -> None:
    quicken(azure)
    monkeypatch.setenv("AKS_POSTGRES_RECORD", str(tmp_path))
    await provision(spec_for(azure))
    entries = read_recording(tmp_path)
    assert differences(entries, entries, NAMES) == []
    assert missed(entries, range(200)) == []


@pytest.mark.thorough
async def test_recordings_of_four_flows_hold_no_canary(
    azure: SandboxProcess,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    prefect_api: None,
) -> None:
    quicken(azure)
    monkeypatch.setenv("AKS_POSTGRES_RECORD", str(tmp_path))
    owner = str(azure.control("POST", "principals", {"roles": []})["object_id"])
    storage = {**owned_by(owner), **LETTERS_OF_STORAGE}
    labels = {"workload": "postgres", "team": TAG, **LETTERS["postgres_pool"]["labels"]}
    fields = {
        **LETTERS,
        "tags": {"owner": TAG, **LETTERS["tags"]},
        "storage": storage,
        "postgres_pool": {**LETTERS["postgres_pool"], "labels": labels},
    }
    spec = spec_for(azure, **fields)
    words = [*words_of([LETTERS, LETTERS_OF_STORAGE, LETTERS_OF_A_DATABASE]), "altbestand"]
    message = (
        f"AccountKey={KEY}; 'Bearer {BEARER}' of {TAG} for {owner}. Resource group {words[0]} could not be found: "
        f"{', '.join(words)}."
    )
    for operation in ("StorageAccounts_Create", "ManagedClusters_CreateOrUpdate", "Grafana_Delete"):
        azure.fault({"status": 409, "code": "Conflict", "message": message}, operation=operation, nth=1)
    await plan(spec, return_state=True)
    outputs = await provision(spec)
    before = azure.control("GET", "state")
    database = {"components": components(azure), **LETTERS_OF_A_DATABASE}
    with_one = spec_for(azure, **fields, database=database)
    status = status_of_a_cluster()
    # A role that nobody asked for: of those of the spec none may fail.
    status["managedRolesStatus"]["cannotReconcile"] = {"altbestand": ["altbestand owns objects"]}
    folder = tmp_path_factory.mktemp("kube")
    state = await with_database(azure, outputs, folder, with_one, status)
    azure.control("PUT", "state", state)
    await plan(with_one, return_state=True)
    fields_of_status = ["instancesReportedState", "cannotReconcile", "passwordStatus"]
    assert seen_in(tmp_path, fields_of_status) == fields_of_status
    azure.control("PUT", "state", before)
    await rebuild(spec, "kaviar-canadacentral", "replace")
    await tear_down(spec, "kaviar-canadacentral")
    names = [one["name"] for one in azure.control("GET", "resources")["resources"] if len(one["name"]) > 12]
    assert seen_in(tmp_path, [*secrets_of(azure), owner, *names, *words]) == []


# --- redaction ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "kept"),
    shown(
        [
            (
                {"properties": {"provisioningState": "Succeeded"}},
                {"properties": {"provisioningState": "Succeeded"}},
            ),
            ({"type": "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9"}, {"type": "text-1"}),
            ({"status": "0123456789abcdef0123456789abcdef"}, {"status": "text-1"}),
            ({"primaryKey": "short"}, {"primaryKey": "text-1"}),
            ({"tags": {"cost center": "x", "b": "x"}}, {"tags": {"key-1": "text-2", "key-3": "text-2"}}),
            ({"message": "Account 'mine77' is gone."}, {"message": "Account 'name-1' is gone."}),
            ({"type": "payroll", "phase": "active"}, {"type": "text-1", "phase": "active"}),
            ({"payroll": 1, "podCIDR": 2, "payrollPods": 3}, {"key-1": 1, "podCIDR": 2, "key-2": 3}),
            (
                {"sku": {"name": "Standard_ZRS"}, "name": "mine"},
                {"sku": {"name": "Standard_ZRS"}, "name": "text-1"},
            ),
            (
                {"count": 3, "enabled": True, "nextLink": None, "value": []},
                {"count": 3, "enabled": True, "nextLink": None, "value": []},
            ),
        ],
        first=10,
    ),
)
def test_only_azures_own_words_stay(body: Json, kept: Json) -> None:
    assert Redaction("https://management.azure.com").body(body) == kept


@pytest.mark.parametrize(
    ("message", "kept"),
    [
        ("Resource group payroll could not be found.", "Resource group name-1 could not be found."),
        ("The Resource 'pay roll' isn't there, payroll's.", "The Resource 'name-1' isn't there, name-2."),
        ('namespaces "data" not found', 'namespaces "name-1" not found'),
        (
            "(OperationNotAllowed) provisioningState of PAYROLL and payroll isn't Succeeded",
            "(OperationNotAllowed) provisioningState of name-1 and name-1 isn't Succeeded",
        ),
        (
            "no authorization to perform action 'Microsoft.Storage/storageAccounts/read' over scope "
            "'/subscriptions/s/resourceGroups/payroll' by payroll, see https://payroll.example/payroll.",
            "no authorization to perform action 'Microsoft.Storage/storageAccounts/read' over scope "
            "'/subscriptions/name-1/resourceGroups/name-2' by name-2, see https://host-3/.",
        ),
        (f"AccountKey={KEY}; of 20.51.7.9, {OWNER}", None),
        (
            'Operation failed: {"code": "Conflict", "name":"payroll"}',
            'Operation failed: {"name-1": "name-2", "name-3":"name-4"}',
        ),
    ],
)
def test_of_messages_only_known_words_stay(message: str, kept: str | None) -> None:
    wanted = kept or "name-1=; of name-2, 00000000-0000-0000-0000-000000000003"
    assert Redaction("https://management.azure.com").body({"message": message}) == {"message": wanted}


def test_a_name_that_was_met_stays_in_no_message_whatever_word_it_is() -> None:
    redaction = Redaction("https://management.azure.com")
    redaction.learn(["Backups"])
    path = redaction.path("/subscriptions/s/resourceGroups/data")
    assert redaction.message("Resource group data, backups not found.") == (
        f"Resource group {path.rpartition('/')[2]}, name-3 not found."
    )


def status_of_a_cluster() -> Json:
    """Everything in which CloudNativePG's status names somebody's own: api/v1/cluster_types.go, v1.30.0."""
    pod, role, secret = "tresor", "revisor", "buchhalter"
    return {
        "phase": "Cluster in healthy state",
        "phaseReason": f"nothing to do for {pod}",
        "instanceNames": [pod],
        "instancesReportedState": {pod: {"isPrimary": True, "timeLineID": 1, "ip": "10.0.0.1"}},
        "instancesStatus": {"healthy": [pod], "replicating": [pod]},
        "topology": {
            "instances": {pod: {"strasse": "hafenweg", "owner": pod}},
            "nodesUsed": 3,
            "successfullyExtracted": True,
        },
        "managedRolesStatus": {
            "byStatus": {"reconciled": [role], "pending-reconciliation": [secret]},
            "cannotReconcile": {role: [f"role {role} of kassenbuch owns objects"], "owner": []},
            "passwordStatus": {role: {"resourceVersion": "1", "transactionID": 7}, "user": {}},
        },
        "certificates": {"expirations": {secret: "2026-12-24 00:00:00 +0000 UTC"}, "serverCASecret": secret},
        "secretsResourceVersion": {
            "applicationSecretVersion": "1",
            "managedRoleSecretVersion": {secret: "1"},
            "metrics": {"inventur": "1", "query": "2"},
        },
        "configMapResourceVersion": {"metrics": {"inventur": "1"}},
        "tablespacesStatus": [{"name": "inventur", "owner": role, "state": "reconciled"}],
        "pluginStatus": [{"name": "barman-cloud.cloudnative-pg.io", "version": "0.14.0"}],
        "poolerIntegrations": {"pgBouncerIntegration": {"secrets": [secret]}},
    }


def test_of_a_clusters_status_the_fields_stay_and_no_name() -> None:
    status = status_of_a_cluster()
    found = Redaction("https://management.azure.com").body({"kind": "Cluster", "status": status})["status"]
    words = words_of([LETTERS, LETTERS_OF_A_DATABASE])
    assert [word for word in words if word in json.dumps(found)] == []
    assert found.keys() == status.keys()
    assert found["phase"] == status["phase"]
    (instance,) = found["instancesReportedState"].values()
    assert instance.keys() == {"isPrimary", "timeLineID", "ip"}
    assert found["topology"].keys() == status["topology"].keys()
    ((pod, labels),) = found["topology"]["instances"].items()
    assert list(found["instancesReportedState"]) == [pod]
    roles = found["managedRolesStatus"]
    assert roles["byStatus"].keys() == {"reconciled", "pending-reconciliation"}
    assert roles["cannotReconcile"].keys() & roles["passwordStatus"].keys()
    versions = found["secretsResourceVersion"]
    own = [labels, roles["cannotReconcile"], roles["passwordStatus"], found["certificates"]["expirations"]]
    own += [versions["managedRoleSecretVersion"], versions["metrics"]]
    assert all(key.startswith("key-") for one in own for key in one)


def test_every_field_of_the_databases_objects_is_known() -> None:
    """What isn't would be lost from recordings of Azure."""
    unknown = sorted({name for name in fields_of(schemas()) if not is_field(name)})
    assert unknown == []


def fields_of(schema: Any) -> Iterator[str]:
    if isinstance(schema, list):
        for one in schema:
            yield from fields_of(one)
    elif isinstance(schema, dict):
        for key, one in schema.items():
            if key == "properties" and isinstance(one, dict):
                yield from one
                yield from fields_of(list(one.values()))
            else:
                yield from fields_of(one)


def test_paths_keep_known_words_only() -> None:
    redaction = Redaction("https://management.azure.com")
    assert redaction.path("/subscriptions/s//resourceGroups/payroll") == (
        "/subscriptions/name-1/name-2/name-3/name-4"
    )
    assert redaction.path("/api/v1/watch/namespaces/payroll") == "/api/v1/name-5/name-6/name-4"


def test_ids_and_urls_keep_their_types_only() -> None:
    redaction = Redaction("https://management.azure.com")
    group = "/subscriptions/11111111-2222-4333-8444-555555555555/resourceGroups/mine"
    assert redaction.path(
        f"{group}/providers/Microsoft.Storage/storageAccounts/acc/blobServices/default"
    ) == (
        "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/name-2/providers/Microsoft.Storage/"
        "storageAccounts/name-3/blobServices/default"
    )
    assert redaction.path("/apis/apps/v1/namespaces/kube-system/deployments/x") == (
        "/apis/apps/v1/namespaces/kube-system/deployments/name-4"
    )
    polled = "https://management.azure.com/subscriptions/s/providers/A.B/locations/westus3/operations/o?api-version=1&t=x"
    assert redaction.url(polled) == (
        "https://management/subscriptions/name-5/providers/A.B/locations/westus3/operations/name-6?api-version=1&t=..."
    )
    assert redaction.url("https://mine.blob.core.windows.net/backups?sig=x") == "https://host-7/"


# --- the commands --------------------------------------------------------------------------------------------------


def test_record_may_stand_anywhere() -> None:
    assert record_first(["plan", "--record", "f", "--name", "x"]) == ["--record", "f", "plan", "--name", "x"]
    assert record_first(["plan", "--record=f"]) == ["--record=f", "plan"]
    assert record_first(["plan", "--", "--record"]) == ["plan", "--", "--record"]


def write(folder: Path, *entries: Json) -> Path:
    folder.mkdir()
    lines = [{"recorded_by": "a test"}, *entries]
    (folder / "a.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
    return folder


def test_compare_recording_says_what_differs(tmp_path: Path) -> None:
    entry = {
        "method": "GET",
        "path": "/subscriptions/name-1",
        "status": 200,
        "headers": {},
        "body": {"id": "text-1"},
    }
    one = write(tmp_path / "one", entry)
    two = write(tmp_path / "two", {**entry, "body": {"id": None}})
    same = CliRunner().invoke(app, ["compare-recording", str(one), str(one)])
    assert (same.exit_code, same.stdout) == (0, "0 differences in 0 operations.\n")
    other = CliRunner().invoke(app, ["compare-recording", str(one), str(two)])
    assert other.exit_code == 1
    assert other.stdout.startswith("/subscriptions/*\n  shape: ") or "GET /subscriptions/*" in other.stdout
    assert "shape: 200: id is a text in Azure's answers only" in other.stdout
    assert "shape: 200: id is null in the sandbox's answers only" in other.stdout


def test_a_recording_keeps_of_a_spec_what_a_sandbox_can_repeat_and_no_own_word(azure: SandboxProcess) -> None:
    spec = spec_for(
        azure,
        name="own",
        region="northeurope",
        tags={"owner": TAG},
        storage={**owned_by(OWNER), "sku": "Standard_GZRS", "container": "mine", "soft_delete_days": 30},
        postgres_pool={"max_count": 9, "vm_size": "Standard_D8s_v5", "labels": {"team": "mine"}},
        network={"authorized_ip_ranges": ["20.51.0.0/24"], "add_worker_address": False},
        cluster={"access": "entra", "kubernetes_version": "1.35"},
    )
    kept = repeatable(spec)
    assert kept == {
        "region": "northeurope",
        "storage": {"sku": "Standard_GZRS", "soft_delete_days": 30},
        "postgres_pool": {"max_count": 9, "vm_size": "Standard_D8s_v5"},
        "cluster": {"access": "entra", "kubernetes_version": "1.35"},
    }
    EnvironmentSpec.model_validate({"name": "cnpg", **kept})


async def test_recorded_commands_are_told_in_their_order(azure: SandboxProcess, recorded: Path) -> None:
    assert runs_in(recorded) == [("", {})]  # some steps alone, which no command runs
    refused = CliRunner().invoke(app, ["compare-recording", str(recorded)])
    assert refused.exit_code != 0
    assert "doesn't say which commands it holds" in str(refused.exception)


@pytest.mark.thorough
@pytest.mark.timeout(600)
def test_a_sandbox_of_its_own_repeats_what_was_recorded(tmp_path: Path) -> None:
    """Another sandbox is Azure here. What waits meet differs from run to run; what is asked doesn't."""
    state, recording, kept, given = (tmp_path / name for name in ("azure", "recording", "kept", "spec.json"))
    which = {"name": "cnpg", "region": "canadacentral", "tags": {"owner": TAG}}
    given.write_text(json.dumps({**which, "postgres_pool": {"max_count": 7}}))
    process = start(state, "--speed", "60")
    try:
        where = ["--spec", str(given), "--sandbox", "--state", str(state)]
        for command in (["plan"], ["provision", "--yes"], ["tear-down", "--confirm", ENVIRONMENT]):
            assert aks_postgres("--record", str(recording), *command, *where).returncode in (0, 5)
        assert seen_in(recording, secrets_of(SandboxProcess(state))) == []
    finally:
        process.terminate()
        process.wait(60)
    spec = {"postgres_pool": {"max_count": 7}}
    assert runs_in(recording) == [("plan", spec), ("provision", spec), ("tear-down", spec)]
    compared = aks_postgres("compare-recording", str(recording), "--keep", str(kept))
    said = [f"On a sandbox: {one}" for one in ("plan", "provision", "tear-down")]
    assert compared.returncode in (0, 1), compared.stderr
    assert [line for line in compared.stderr.splitlines() if line.startswith("On a")] == said
    assert runs_in(kept) == runs_in(recording)
    assert "'s recording only" not in "".join(
        line for line in compared.stdout.splitlines() if line.strip().startswith("order: asked")
    )
    # It isn't blind: what another Azure would answer is told.
    assert missed(read_recording(kept), range(10)) == []


@pytest.mark.thorough
def test_what_a_locked_down_tenant_recorded_is_repeated_too(tmp_path: Path) -> None:
    """An Entra cluster, and roles that others gave: a sandbox has neither the right nor the others."""
    recorded, kept = tmp_path / "recorded", tmp_path / "kept"
    recorded.mkdir()
    kind = EnvironmentSpec(name="cnpg", region="canadacentral", roles="verify", cluster={"access": "entra"})  # type: ignore[arg-type]
    run = {"run": "provision", "spec": repeatable(kind)}
    assert run["spec"] == {"cluster": {"access": "entra"}}
    (recorded / "a.jsonl").write_text(f"{json.dumps(run)}\n")
    compared = aks_postgres("compare-recording", str(recorded), "--keep", str(kept))
    assert compared.stderr.splitlines()[-1] == "On a sandbox: provision", compared.stderr
    assert runs_in(kept) == [("provision", run["spec"])]
    assert len(read_recording(kept)) > 100


def aks_postgres(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "aks_postgres.cli.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=500)


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no recording"):
        read_recording(tmp_path)
    (tmp_path / "a.jsonl").write_text("nothing\n")
    with pytest.raises(ValueError, match="line 1: no exchange"):
        read_recording(tmp_path)
    assert Difference("GET x", "order", "a") < Difference("GET x", "shape", "a")
