"""No field of a spec takes a secret, and no message repeats one: Prefect keeps parameters and logs."""

import types
from collections.abc import Iterator
from typing import Any, Literal, Union, get_args, get_origin

import pytest
from pydantic import BaseModel

from aks_postgres.foreign_text import holds_secret, keep_secret, kept_secrets
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.problems import SpecError, spec_from

Json = dict[str, Any]

SECRET = "Hb5kQ2zR9wXp7T"
FORMS = {
    "user and password": f"https://worker:{SECRET}@example.org/cnpg.yaml",
    "a token as user": f"https://{SECRET}@example.org/cnpg.yaml",
    "a shared access signature": f"https://example.org/cnpg.yaml?sv=2026&sig={SECRET}%3D",
    "a token among the query": f"https://example.org/cnpg.yaml?access_token={SECRET}",
    "a bearer token": f"Bearer {SECRET}",
    "GitHub's": f"ghp_{SECRET}{SECRET}",
    "Entra's": f"abc8Q~{SECRET}{SECRET}",
    "a connection string": f"host=db user=app password={SECRET}",
    "an account's": f"DefaultEndpointsProtocol=https;AccountName=a;AccountKey={SECRET}==",
    "PEM": f"-----BEGIN RSA PRIVATE KEY-----\n{SECRET}\n-----END RSA PRIVATE KEY-----",
}
# Each has a place to be: one in a mapping's value, one in a list.
BASE: Json = {
    "name": "cnpg",
    "region": "canadacentral",
    "subscription_id": "1" * 8 + "-1111-4111-8111-" + "1" * 12,
}


def kinds_of(annotation: Any) -> Iterator[Any]:
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        for one in get_args(annotation):
            yield from kinds_of(one)
    elif origin is not None and hasattr(annotation, "__metadata__"):
        yield from kinds_of(get_args(annotation)[0])
    else:
        yield annotation


def texts(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every field that takes text, a list of texts, or a mapping of them, with which of these."""
    for name, field in model.model_fields.items():
        for kind in kinds_of(field.annotation):
            origin, inner = get_origin(kind) or kind, get_args(kind)
            if isinstance(origin, type) and issubclass(origin, BaseModel):
                yield from texts(origin, (*path, name))
            elif origin is dict:
                yield (*path, name), "mapping"
            elif origin is list:
                (item,) = [one for one in kinds_of(inner[0]) if one is not type(None)]
                if isinstance(item, type) and issubclass(item, BaseModel):
                    for deeper, how in texts(item):
                        yield (*path, name, "0", *deeper), how
                elif get_origin(item) is not Literal:
                    yield (*path, name), "list"
            elif origin is str:
                yield (*path, name), "text"


FIELDS = sorted(set(texts(EnvironmentSpec)))


def spec_with(path: tuple[str, ...], value: Any) -> Json:
    given: Json = dict(BASE)
    part: Any = given
    for name, following in zip(path, (*path[1:], None), strict=True):
        if following is None:
            part[name] = value
        elif following == "0":
            part[name] = [{}]
            part = part[name]
        elif name == "0":
            part = part[0]
        else:
            part[name] = dict(part.get(name) or {})
            part = part[name]
    return given


def test_fields_of_every_kind_are_tried() -> None:
    names = {(".".join(path), how) for path, how in FIELDS}
    assert len(names) > 45
    assert names >= {
        ("operator.manifest_url", "text"),
        ("tags", "mapping"),
        ("database.databases", "list"),
        ("database.components.plugin_manifest_url", "text"),
        ("monitoring.grafana_admins.0.object_id", "text"),
    }


@pytest.mark.parametrize(("path", "how"), FIELDS, ids=[".".join(path) for path, _ in FIELDS])
def test_a_secret_is_refused_and_not_repeated(path: tuple[str, ...], how: str) -> None:
    for form, secret in FORMS.items():
        value: Any = {"text": secret, "list": [secret], "mapping": {"note": secret}}[how]
        with pytest.raises(SpecError) as told:
            spec_from(spec_with(path, value))
        assert SECRET not in str(told.value), form
        assert ".".join(one for one in path if one != "0")[:20] in str(told.value).replace(".0", ""), form


@pytest.mark.parametrize(
    "key", ["password", "db_password", "clientSecret", "API-Key", "token", "connectionString"]
)
@pytest.mark.parametrize(
    "field", [("tags",), ("operator", "chart_values"), ("database", "parameters")], ids=".".join
)
def test_a_value_whose_name_says_so_is_a_secret(field: tuple[str, ...], key: str) -> None:
    with pytest.raises(SpecError) as told:
        spec_from(spec_with(field, {key: SECRET}))
    assert SECRET not in str(told.value)


def test_a_container_s_variable_is_one_by_its_name() -> None:
    with pytest.raises(SpecError) as told:
        spec_from(
            spec_with(("operator", "chart_values"), {"env": [{"name": "PROXY_PASSWORD", "value": SECRET}]})
        )
    assert SECRET not in str(told.value)


def test_a_secret_that_is_known_by_its_value_is_refused_whatever_it_looks_like(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("aks_postgres.foreign_text.kept_secrets", dict(kept_secrets))
    keep_secret("correct horse battery")
    with pytest.raises(SpecError) as told:
        spec_from(spec_with(("tags",), {"note": "correct horse battery"}))
    assert "horse" not in str(told.value)


@pytest.mark.parametrize("before", [0, 3_990, 7_990, 100_000])
@pytest.mark.parametrize("secret", FORMS.values(), ids=list(FORMS))
def test_a_secret_is_seen_wherever_a_long_text_holds_it(secret: str, before: int) -> None:
    assert holds_secret(f"{'word ' * (before // 5)}{secret}{' word' * 2_000}")


@pytest.mark.parametrize(
    "value",
    [
        "https://github.com/cloudnative-pg/cloudnative-pg/releases/download/v1.30.0/cnpg-1.30.0.yaml",
        "https://example.org/files?name=cnpg.yaml&ref=main",
        "registry.example.org:5000/cnpg/postgresql:18.6@sha256:" + "0123456789abcdef" * 4,
        "ssh-rsa " + "AAAAB3NzaC1yc2E" * 24 + " me@laptop",
        "0123456789abcdef" * 4,
        "/subscriptions/11111111-1111-4111-8111-111111111111/resourceGroups/rg/providers/Microsoft.Network/x/y",
        "platform-team@example.org",
        "0 0 2 * * *",
        {
            "token-rotation": "weekly",
            "keyvault": "kv-shop",
            "password-policy": "strict",
            "owner": "secrets team",
        },
        {
            "password_encryption": "scram-sha-256",
            "ssl_ciphers": "HIGH:MEDIUM",
            "log_line_prefix": "%m user=%u ",
        },
        {
            "existingSecret": "cnpg-credentials",
            "imagePullSecrets": [{"name": "registry"}],
            "secretName": "tls",
        },
        ["appdb", "tokens", "secrets"],
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_people_write_is_none(value: Any) -> None:
    assert not holds_secret(value)
