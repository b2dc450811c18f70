"""The shell that runs the guide's blocks notices every failure in them."""

import os
import subprocess
from pathlib import Path

import pytest

from .azure_cli import FOLDER, VERSION, NoAzureCli, installed
from .guide import Command
from .shell import Shell


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Its az says its arguments, and fails where one of them is `refused`."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("az", "kubectl"):
        (tools / tool).write_text(f'#!/bin/sh\necho "{tool} $*"\ncase "$*" in *refused*) exit 3;; esac\n')
        (tools / tool).chmod(0o755)
    return Shell(
        tmp_path / "home", {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}", "HOME": str(tmp_path)}
    )


def test_variables_last_from_block_to_block_exported_or_not(shell: Shell) -> None:
    shell.run("export A='one two'\nB=$(az show)")
    assert shell.run('echo "$A, $B"').stdout == "one two, az show\n"
    assert shell.variables()["B"] == "az show"


@pytest.mark.parametrize(
    "script", ["az refused", "export X=$(az refused)", "az refused | cat", "(az refused) || true"]
)
def test_a_call_that_fails_is_noticed_wherever_it_stands(shell: Shell, script: str) -> None:
    ran = shell.run(script)
    assert [call.exit_code for call in ran.calls] == [3]
    assert ran.failed


@pytest.mark.parametrize("script", ["false", "false | cat", "echo $NOT_THERE"])
def test_anything_else_that_fails_is_noticed_too(shell: Shell, script: str) -> None:
    ran = shell.run(script)
    assert ran.calls == ()
    assert ran.failed


def test_every_call_is_noted_with_its_words(shell: Shell) -> None:
    ran = shell.run("az group show \\\n  --name x\nkubectl get ds")
    assert [(call.words, call.is_az) for call in ran.calls] == [
        ("az group show --name x", True),
        ("kubectl get ds", False),
    ]
    assert not ran.failed


def test_the_secret_is_not_among_the_words(shell: Shell) -> None:
    ran = shell.run("AZURE_CLIENT_SECRET=hush-1\naz login -p hush-1 -u me")
    assert ran.stdout == "az login -p hush-1 -u me\n"
    assert [call.words for call in ran.calls] == ["az login -p *** -u me"]


def test_blobs_of_a_custom_cloud_are_asked_for_by_path(shell: Shell) -> None:
    ran = shell.run(
        "GUIDE_BLOB_ENDPOINT=https://h/blob PG_PRIMARY_STORAGE_ACCOUNT_NAME=acc\naz storage blob list"
    )
    assert ran.stdout == "az storage blob list --blob-endpoint https://h/blob/acc\n"
    assert shell.run("unset GUIDE_BLOB_ENDPOINT\naz storage blob list").stdout == "az storage blob list\n"


def test_is_and_has_fail_with_what_they_got(shell: Shell) -> None:
    assert not shell.run('is "az show --output tsv" az show').failed
    assert not shell.run('has "az show --output tsv" az show').failed
    for question in ('is "az show" az show', 'has "az show" az show'):
        ran = shell.run(question)
        assert ran.failed
        assert "az show --output tsv" in ran.stderr


def test_a_change_of_what_the_guide_doesnt_say_is_refused() -> None:
    with pytest.raises(ValueError, match="doesn't say 'b'"):
        _ = Command("title", "a", changes={"b": "c"}, because="why").script


@pytest.mark.az
def test_without_a_package_index_the_reason_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(NoAzureCli, match=f"azure-cli {VERSION} can't be installed: ERROR"):
        installed(tmp_path)
    assert not list(tmp_path.glob("*/installed"))


def test_az_lives_in_a_folder_that_git_ignores() -> None:
    ignored = (FOLDER.parent / ".gitignore").read_text().splitlines()
    assert f"{FOLDER.name}/" in ignored


def test_a_command_runs_what_is_left_out_of_the_other_tests() -> None:
    commands = subprocess.run(
        ["make", "--dry-run", "test-az"], cwd=FOLDER.parent, capture_output=True, text=True, check=True
    ).stdout
    assert " -m az tests/az\n" in commands
