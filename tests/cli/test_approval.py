"""Who is asked, and what counts as a yes."""

import io
import sys

import pytest

from aks_postgres.cli.approval import ask, require_person
from aks_postgres.cli.spec_options import require_identity
from aks_postgres.exit_codes import CommandFailed, ExitCode
from aks_postgres.spec.environment import EnvironmentSpec


class Stream(io.StringIO):
    """A stream that is a terminal, or isn't."""

    def __init__(self, is_terminal: bool, text: str = "") -> None:
        super().__init__(text)
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


@pytest.mark.parametrize(("reads", "shows"), [(False, False), (False, True), (True, False)])
def test_nobody_can_be_asked_without_both_ends_of_a_terminal(
    monkeypatch: pytest.MonkeyPatch, reads: bool, shows: bool
) -> None:
    monkeypatch.setattr(sys, "stdin", Stream(reads))
    monkeypatch.setattr(sys, "stderr", Stream(shows))
    with pytest.raises(CommandFailed, match="Add --yes") as refused:
        require_person("provision")
    assert refused.value.code == ExitCode.BAD_INPUT


@pytest.mark.parametrize("typed", ["no\n", "y\n", "\n", ""])
def test_only_yes_goes_on(monkeypatch: pytest.MonkeyPatch, typed: str) -> None:
    monkeypatch.setattr(sys, "stdin", Stream(True, typed))
    with pytest.raises(CommandFailed, match="not approved; nothing was written"):
        ask("Do this?")
    monkeypatch.setattr(sys, "stdin", Stream(True, "yes\n"))
    ask("Do this?")


@pytest.mark.parametrize("given", [{}, {"name": "cnpg"}, {"region": "canadacentral"}])
def test_which_environment_it_is_has_to_be_said(given: dict[str, str]) -> None:
    with pytest.raises(CommandFailed, match="nothing was given") as refused:
        require_identity(EnvironmentSpec.model_validate(given))
    assert all(field not in str(refused.value).partition(":")[0] for field in given)
    require_identity(EnvironmentSpec(name="cnpg", region="canadacentral"))
