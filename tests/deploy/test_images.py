"""`aks-postgres deployments pin`, against a registry of our own: what a tag is, and every way not to know."""

import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from aks_postgres.cli import deployments as command
from aks_postgres.deploy.images import Image, changes, read_images
from aks_postgres.exit_codes import CommandFailed

FOLDER = Path(__file__).parents[2] / "deployments"
OLD, NEW = (json.dumps({"schemaVersion": 2, "made": made}).encode() for made in ("before", "after"))
TOKEN = "anonymous-" + "t0ken" * 4


def digest_of(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


@dataclass
class Registry:
    """What it answers, and what it was asked."""

    host: str = ""
    manifests: dict[str, bytes] = field(default_factory=dict)
    needs_token: bool = False
    challenge: str = 'Bearer realm="http://{host}/token",service="registry",scope="repository:x:pull"'
    token_answer: bytes = json.dumps({"token": TOKEN}).encode()
    status: int = 200
    padding: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)


@pytest.fixture
def registry() -> Iterator[Registry]:
    answers = Registry()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answers.asked.append((self.path, self.headers.get("Authorization")))
            if self.path.startswith("/token"):
                return self.answer(200, answers.token_answer)
            if answers.needs_token and self.headers.get("Authorization") != f"Bearer {TOKEN}":
                challenge = answers.challenge.format(host=answers.host)
                return self.answer(401, b"{}", {"WWW-Authenticate": challenge})
            name = self.path.removeprefix("/v2/").replace("/manifests/", ":")
            body = answers.manifests.get(name)
            if body is not None:
                body += b" " * answers.padding
            else:
                return self.answer(404, b'{"errors": [{"code": "MANIFEST_UNKNOWN"}]}')
            return self.answer(
                answers.status, body, {"Docker-Content-Digest": digest_of(body)} | answers.headers
            )

        def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for key, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(key, value)
            self.end_headers()
            # A client may have seen enough.
            with suppress(ConnectionError):
                self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        answers.host = f"127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield answers
        server.shutdown()
        thread.join()


@pytest.fixture
def folder(tmp_path: Path, registry: Registry) -> Path:
    """What is shipped, with its images in our registry."""
    copy = tmp_path / "deployments"
    shutil.copytree(FOLDER, copy, ignore=shutil.ignore_patterns("*.py", "__pycache__", "*.env"))
    shipped = read_images(FOLDER / "images.yaml")
    for name in ("base", "database", "worker"):
        image = shipped[name]
        registry.manifests[f"library/{image.tagged}"] = OLD
        for file in copy.rglob("*"):
            if file.is_file():
                text = file.read_text()
                found = re.sub(
                    rf"(?<![\w./-]){re.escape(image.tagged)}", f"{registry.host}/library/{image.tagged}", text
                )
                file.write_text(found)
    return copy


def pinned(folder: Path) -> dict[str, str]:
    """Every image that a shipped file names, but our own: the whole reference, by its name and tag."""
    found = {}
    for name in ("Dockerfile", "compose.yaml", "kubernetes/worker.yaml"):
        for line in re.findall(r"(?m)^\s*(?:FROM|image:) (\S+)", (folder / name).read_text()):
            if "/" in line:
                found[f"{name} {line.partition('@')[0].rpartition('/')[2]}"] = line
    return found


def test_a_tag_is_pinned_in_every_file_that_names_it_and_again_nothing_changes(
    registry: Registry, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = pinned(folder)
    assert len(before) == 3
    command.pin(ours=None, check=False, folder=folder)
    assert pinned(folder) == {name: f"{image}@{digest_of(OLD)}" for name, image in before.items()}
    listed = yaml.safe_load((folder / "images.yaml").read_text())
    assert {name: one["digest"] for name, one in listed.items()} == {
        **dict.fromkeys(("base", "database", "worker"), digest_of(OLD)),
        "ours": None,
    }
    assert "not pinned yet: your own image" in capsys.readouterr().out
    texts = {file: file.read_text() for file in folder.rglob("*") if file.is_file()}
    command.pin(ours=None, check=False, folder=folder)
    assert {file: file.read_text() for file in folder.rglob("*") if file.is_file()} == texts
    assert "changed " not in capsys.readouterr().out.replace("unchanged", "")
    command.pin(ours=None, check=True, folder=folder)


def test_a_tag_that_was_moved_is_told_and_written_only_without_check(
    registry: Registry, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command.pin(ours=None, check=False, folder=folder)
    name = next(name for name in registry.manifests if "postgres" in name)
    registry.manifests[name] = NEW
    before = pinned(folder)
    with pytest.raises(CommandFailed, match="tags were moved"):
        command.pin(ours=None, check=True, folder=folder)
    assert pinned(folder) == before
    said = capsys.readouterr().out
    assert f"{digest_of(NEW)} (was " in said
    assert digest_of(OLD) in said
    command.pin(ours=None, check=False, folder=folder)
    assert [now for where, now in pinned(folder).items() if now != before[where]] == [
        f"{registry.host}/{name}@{digest_of(NEW)}"
    ]


def test_an_image_of_ours_is_put_into_every_file_of_ours(registry: Registry, folder: Path) -> None:
    registry.manifests["team/aks-postgres:9.9.9"] = NEW
    ours = f"{registry.host}/team/aks-postgres:9.9.9"
    command.pin(ours=ours, check=False, folder=folder)
    whole = f"{ours}@{digest_of(NEW)}"
    for kind in ("docker", "kubernetes"):
        assert f'"image": "{whole}"' in (folder / kind / "base-job-template.json").read_text()
    values = yaml.safe_load((folder / "kubernetes" / "prefect-server-values.yaml").read_text())
    image = values["global"]["prefect"]["image"]
    assert f"{image['repository']}:{image['prefectTag']}" == whole
    assert changes(folder, read_images(folder / "images.yaml")) == {}


def test_a_digest_that_was_given_for_ours_is_kept_and_its_registry_not_asked(
    registry: Registry, folder: Path
) -> None:
    ours = f"{registry.host}/private/aks-postgres:1@{digest_of(NEW)}"
    command.pin(ours=ours, check=False, folder=folder)
    assert not [path for path, _ in registry.asked if "private" in path]
    assert read_images(folder / "images.yaml")["ours"].reference == ours


def test_a_registry_that_wants_a_token_gets_the_anonymous_one(registry: Registry, folder: Path) -> None:
    registry.needs_token = True
    command.pin(ours=None, check=False, folder=folder)
    assert all(image.endswith(digest_of(OLD)) for image in pinned(folder).values())
    asked = [urlsplit(path).query for path, _ in registry.asked if path.startswith("/token")]
    assert {name: value for query in asked for name, (value,) in parse_qs(query).items()} == {
        "service": "registry",
        "scope": "repository:x:pull",
    }
    assert {token for path, token in registry.asked if path.startswith("/token")} == {None}


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no such tag": ({"manifests": {}}, "answered 404. It has no such tag"),
    "server error": ({"status": 500}, "answered 500. Try again later"),
    "redirect": (
        {"status": 307, "headers": {"Location": "http://203.0.113.9/"}},
        "answered 307. Try again later",
    ),
    "digest that lies": (
        {"headers": {"Docker-Content-Digest": digest_of(NEW)}},
        f"says it has the digest {digest_of(NEW)}, and what came has {digest_of(OLD)}. Don't use it",
    ),
    "digest of another kind": (
        {"headers": {"Docker-Content-Digest": "sha512:abc"}},
        "says it has the digest sha512:abc, and what came has",
    ),
    "larger than a manifest": (
        {"padding": 4 * 1024 * 1024},
        "answered with more than 4194304 bytes, which no manifest has",
    ),
    "token refused": ({"needs_token": True, "token_answer": b'{"token": "another"}'}, "answered 401. Give"),
    "token isn't JSON": ({"needs_token": True, "token_answer": b"<html>"}, "gave no token"),
    "token isn't text": ({"needs_token": True, "token_answer": b'{"token": 1}'}, "gave no token"),
    "token of two lines": (
        {"needs_token": True, "token_answer": b'{"token": "a\\r\\nX: y"}'},
        "gave no token",
    ),
    "answer is a list": ({"needs_token": True, "token_answer": b"[]"}, "gave no token"),
    "wants a password": ({"needs_token": True, "challenge": 'Basic realm="x"'}, "names no https address"),
    "token by plain HTTP": (
        {"needs_token": True, "challenge": 'Bearer realm="http://203.0.113.9/token"'},
        "names no https address",
    ),
    "token of a file": ({"needs_token": True, "challenge": 'Bearer realm="file:///etc"'}, "names no https"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_registry_cannot_say_is_a_refusal_and_nothing_is_written(
    registry: Registry, folder: Path, case: str
) -> None:
    answers, message = REFUSED[case]
    for name, value in answers.items():
        setattr(registry, name, value)
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    with pytest.raises(CommandFailed, match=re.escape(message)) as refused:
        command.pin(ours=None, check=False, folder=folder)
    assert "\n" not in str(refused.value)
    assert {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()} == before


def test_a_registry_that_is_not_there_is_a_refusal(registry: Registry, folder: Path) -> None:
    nobody = "127.0.0.1:9"
    with pytest.raises(CommandFailed, match=f"image {nobody}/x:1: http://{nobody}/v2/x/manifests/1 can't be"):
        command.pin(ours=f"{nobody}/x:1", check=False, folder=folder)


@pytest.mark.parametrize(
    ("reference", "registry_and_path"),
    {
        "postgres:17.11": ("https://registry-1.docker.io", "library/postgres"),
        "prefecthq/prefect:3": ("https://registry-1.docker.io", "prefecthq/prefect"),
        "ghcr.io/a/b:1": ("https://ghcr.io", "a/b"),
        "localhost:5000/a:1": ("http://localhost:5000", "a"),
        "localhost.evil.example:5000/a:1": ("https://localhost.evil.example:5000", "a"),
    }.items(),
)
def test_where_an_image_is_asked_for(reference: str, registry_and_path: tuple[str, str]) -> None:
    assert Image.of(reference).registry == registry_and_path


@pytest.mark.parametrize(
    "reference",
    [
        "postgres",
        "postgres:",
        "postgres:17@sha256:abc",
        "Postgres:17",
        "a b:1",
        "postgres:17\n",
        "-x:1",
        "x:1@md5:a",
    ],
)
def test_what_is_no_reference_is_refused(reference: str) -> None:
    with pytest.raises(CommandFailed, match="repository:tag is expected"):
        Image.of(reference)


def test_the_files_shipped_name_what_is_listed() -> None:
    """Whether pinned or not: a change of a tag is made in images.yaml, by the command."""
    listed = read_images(FOLDER / "images.yaml")
    assert changes(FOLDER, listed) == {}
    for name, file in (
        ("base", "Dockerfile"),
        ("database", "compose.yaml"),
        ("worker", "kubernetes/worker.yaml"),
    ):
        assert listed[name].reference in (FOLDER / file).read_text()
