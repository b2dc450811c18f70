import os
import stat
from pathlib import Path

import pytest

from aks_postgres.cli.kubeconfig_file import write_kubeconfig
from aks_postgres.exit_codes import CommandFailed, ExitCode

ONE = "kind: Config\nclusters: [{name: one}]\n"
TWO = "kind: Config\nclusters: [{name: one}, {name: two}]\n"


def test_the_file_is_its_owner_s_alone_whatever_the_umask(tmp_path: Path) -> None:
    target = tmp_path / "state" / "aks-postgres" / "new" / "kubeconfig"
    before = os.umask(0)
    try:
        write_kubeconfig(target, ONE)
    finally:
        os.umask(before)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    for folder in list(target.parents)[:3]:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert target.read_text() == ONE
    assert [entry.name for entry in target.parent.iterdir()] == ["kubeconfig"]


def test_a_folder_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    write_kubeconfig(tmp_path / "new" / "kubeconfig", ONE)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_an_earlier_one_is_replaced_and_ends_with_mode_0600(tmp_path: Path) -> None:
    target = tmp_path / "kubeconfig"
    target.write_text(ONE)
    target.chmod(0o644)
    write_kubeconfig(target, ONE.replace("one", "next"))
    assert "next" in target.read_text()
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


@pytest.mark.parametrize("text", [TWO, "notes of mine", "{"])
def test_what_isn_t_one_cluster_s_kubeconfig_is_left_alone(tmp_path: Path, text: str) -> None:
    target = tmp_path / "file"
    target.write_text(text)
    with pytest.raises(CommandFailed, match="give another file") as refused:
        write_kubeconfig(target, ONE)
    assert refused.value.code == ExitCode.BAD_INPUT
    assert target.read_text() == text


def test_kubectl_s_own_file_is_refused_by_any_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".kube").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / ".kube")
    for target in (tmp_path / ".kube" / "config", tmp_path / "link" / "config"):
        with pytest.raises(CommandFailed, match="kubectl's own file"):
            write_kubeconfig(target, ONE)
    assert not (tmp_path / ".kube" / "config").exists()


def test_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text(ONE)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CommandFailed, match="give another file"):
        write_kubeconfig(tmp_path / "link", ONE)


def test_a_folder_that_can_t_be_made_is_said_plainly(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CommandFailed, match="can't be written"):
        write_kubeconfig(tmp_path / "file" / "kubeconfig", ONE)
