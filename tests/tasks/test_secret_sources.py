"""Wherever a secret comes from, its value is removed from every text from then on."""

import base64
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from aks_postgres import foreign_text
from aks_postgres.arm.client import current_azure
from aks_postgres.arm.errors import AzureUnavailable
from aks_postgres.cli import main as command
from aks_postgres.cli.psql import psql
from aks_postgres.cli.sandbox_client import PSQL_VARIABLE
from aks_postgres.files.environment_secrets import keep_secrets_of_environment
from aks_postgres.foreign_text import REMOVED, shown, without_known
from aks_postgres.kubernetes.client import kubeconfig_of, kubernetes_api
from aks_postgres.reports.journal import Journal
from aks_postgres.resources.workload_identity import pods_token
from aks_postgres.tasks.database import secret as secret_step
from aks_postgres.tasks.preflight import locate

from .kube import Kube
from .test_database import CLUSTERS, NAMESPACE, with_database
from .world import World

# Looks like no secret.
WORDS = "plain words"

pytestmark = pytest.mark.usefixtures("nothing_known")


@pytest.fixture
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign_text, "kept_secrets", {})


# The fixtures below open a connection, which has to come after that.
@pytest.fixture
def database(nothing_known: None, world: World) -> World:
    return with_database(world)


GIVEN = {
    "client secret": ("AZURE_CLIENT_SECRET", WORDS, WORDS),
    "password of a certificate": ("AZURE_CLIENT_CERTIFICATE_PASSWORD", WORDS, WORDS),
    "password of a person": ("AZURE_PASSWORD", WORDS, WORDS),
    "key for Prefect": ("PREFECT_API_KEY", WORDS, WORDS),
    "user and password for Prefect": ("PREFECT_API_AUTH_STRING", f"me:{WORDS}", f"me:{WORDS}"),
    "password for Prefect": ("PREFECT_API_AUTH_STRING", f"me:{WORDS}", WORDS),
    "header for Prefect": (
        "PREFECT_API_AUTH_STRING",
        f"me:{WORDS}",
        base64.b64encode(f"me:{WORDS}".encode()).decode(),
    ),
    **{
        f"{what} in {variable}": (variable, given, hidden)
        for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
        for variable in (name, name.lower())
        for what, given, hidden in (
            ("password", "http://me:plainword@proxy.example:3128", "plainword"),
            ("password with signs", "http://me:plain%40word@proxy.example:3128", "plain@word"),
            ("password without a scheme", "me:plainword@proxy.example:3128", "plainword"),
            (
                "header",
                "http://me:plain%40word@proxy.example:3128",
                base64.b64encode(b"me:plain@word").decode(),
            ),
        )
    },
}


@pytest.mark.parametrize("what", GIVEN)
def test_what_a_variable_holds_is_removed(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    variable, given, hidden = GIVEN[what]
    monkeypatch.setenv(variable, given)
    keep_secrets_of_environment()
    assert without_known(f"it is {hidden}!") == f"it is {REMOVED}!"


@pytest.mark.parametrize(
    "proxy", ["http://proxy.example:3128", "http://someuser@proxy.example", "http://u:@p"]
)
def test_a_proxy_without_a_password_keeps_its_name(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    keep_secrets_of_environment()
    assert shown(proxy) == proxy


@pytest.mark.parametrize("variable", ["AZURE_FEDERATED_TOKEN_FILE", "AZURE_CLIENT_CERTIFICATE_PATH"])
def test_what_the_file_of_a_variable_holds_is_removed(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text(WORDS + "\n")
    monkeypatch.setenv(variable, str(tmp_path / "file"))
    keep_secrets_of_environment()
    assert without_known(WORDS) == REMOVED


PROFILES = f"""\
active = "other"
[profiles.cloud]
PREFECT_API_URL = "https://api.prefect.example/api"
PREFECT_API_KEY = "{WORDS}"
[profiles.own]
PREFECT_API_AUTH_STRING = "me:plainword"
"""


@pytest.mark.parametrize("where", ["PREFECT_HOME", "PREFECT_PROFILES_PATH"])
def test_what_a_profile_of_prefects_signs_in_with_is_removed(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "profiles.toml").write_text(PROFILES)
    for name in ("PREFECT_HOME", "PREFECT_PROFILES_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(where, str(tmp_path / ("profiles.toml" if where.endswith("PATH") else "")))
    keep_secrets_of_environment()
    assert without_known(f"it is {WORDS}!") == f"it is {REMOVED}!"
    assert without_known("it is plainword!") == f"it is {REMOVED}!"
    assert without_known("https://api.prefect.example/api") == "https://api.prefect.example/api"


@pytest.mark.parametrize("text", ["[profiles", "profiles = 3", "[profiles]\ncloud = 3", ""])
def test_profiles_that_cant_be_read_are_prefects_to_tell_of(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "profiles.toml").write_text(text)
    monkeypatch.setenv("PREFECT_PROFILES_PATH", str(tmp_path / "profiles.toml"))
    keep_secrets_of_environment()


def test_a_command_knows_them_before_it_connects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_KEY", WORDS)
    monkeypatch.setattr(sys, "argv", ["aks-postgres", "version"])
    with pytest.raises(SystemExit):
        command.main()
    assert without_known(WORDS) == REMOVED


async def test_a_run_knows_them(journal: Journal, azure: Any) -> None:
    assert without_known(azure.description["client_secret"]) == REMOVED


async def test_an_access_token_is_removed(journal: Journal) -> None:
    azure = current_azure()
    token = (await azure.credential.get_token(f"{azure.facts.audience}/.default")).token
    assert without_known(token) == REMOVED


def of_cluster(user: dict[str, str]) -> dict[str, Any]:
    """ARM's answer with a kubeconfig of this user."""
    config = {
        "current-context": "x",
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
        "clusters": [
            {"name": "x", "cluster": {"server": "https://x.example", "certificate-authority-data": ""}}
        ],
        "users": [{"name": "x", "user": user}],
    }
    value = base64.b64encode(json.dumps(config).encode()).decode()
    return {"kubeconfigs": [{"name": "clusterUser", "value": value}]}


ENCODED = base64.b64encode(WORDS.encode()).decode()


@pytest.mark.parametrize(
    ("field", "given", "hidden"),
    [
        ("token", WORDS, WORDS),
        ("password", WORDS, WORDS),
        ("client-key-data", ENCODED, ENCODED),
        ("client-key-data", ENCODED, WORDS),
    ],
)
async def test_what_a_kubeconfig_signs_in_with_is_removed(
    field: str, given: str, hidden: str, journal: Journal, azure: Any
) -> None:
    azure.fault(
        {"status": 200, "raw_body": json.dumps(of_cluster({field: given}))},
        operation="ManagedClusters_ListClusterUserCredentials",
    )
    await kubeconfig_of(current_azure(), "rg", "aks")
    assert without_known(hidden) == REMOVED


async def test_a_password_that_a_step_draws_is_removed(
    database: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secret_step.secrets, "token_urlsafe", lambda _: WORDS)
    made = await database.run("secret")
    assert made.change.kind == "created"
    assert without_known(WORDS) == REMOVED


async def test_a_password_that_a_step_finds_is_removed(database: World, tmp_path: Path) -> None:
    await database.prepare("namespaces")
    Kube(database, tmp_path).create(f"{NAMESPACE}/secrets", login("db-user-pass"))
    await database.run("secret")
    assert without_known(WORDS) == REMOVED


def login(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "type": "kubernetes.io/basic-auth",
        "data": {"username": base64.b64encode(b"app").decode(), "password": ENCODED},
    }


async def test_the_password_that_psql_signs_in_with_is_removed(
    database: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await database.prepare("namespaces")
    kube = Kube(database, tmp_path)
    kube.create(f"{NAMESPACE}/secrets", login("db-user-pass"))
    await database.prepare("postgres")
    name = database.place.names.postgres_cluster
    authority = {"metadata": {"name": f"{name}-ca"}, "type": "Opaque", "data": {"ca.crt": ""}}
    kube.create(f"{NAMESPACE}/secrets", {"apiVersion": "v1", "kind": "Secret", **authority})
    kube.merge(f"{CLUSTERS}/{name}/status", {"status": {"currentPrimary": f"{name}-1"}})
    monkeypatch.setattr(foreign_text, "kept_secrets", {})  # The step that found it keeps it, too.
    monkeypatch.setenv(PSQL_VARIABLE, "/bin/true")
    with pytest.raises(AzureUnavailable, match="status 404"):  # No pod of it runs here.
        await psql(database.spec, database=None, replica=False, arguments=[])
    assert without_known(WORDS) == REMOVED


ASSERTION, ACCESS = "plain words of the cluster", "plain words of entra"


@pytest.mark.parametrize("hidden", [ASSERTION, ACCESS])
async def test_the_tokens_of_the_databases_pods_are_removed(hidden: str, database: World) -> None:
    await database.prepare("api_server")
    azure = current_azure()
    names = await locate(azure, database.spec)
    account = "/api/v1/namespaces/cnpg-database/serviceaccounts/pg/token"
    of_pod, of_entra = {"status": {"token": ASSERTION}}, {"access_token": ACCESS}
    database.azure.fault({"status": 200, "raw_body": json.dumps(of_pod)}, path=account)
    database.azure.fault({"status": 200, "raw_body": json.dumps(of_entra)}, operation="Token")
    async with kubernetes_api(azure, names.resource_group, names.cluster) as api:
        assert await pods_token(api, "cnpg-database", "pg", "client", "tenant") == ACCESS
    assert without_known(hidden) == REMOVED
