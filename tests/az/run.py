"""Run the guide with the real az against a sandbox, from the first command to the last."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from azure_sandbox.client import SandboxProcess

from . import afterwards
from .azure_cli import POINT_AT_SANDBOX, environment
from .guide import AFTERWARDS, CLEAN_UP, CREATE_INFRASTRUCTURE, Chapter, Command
from .shell import Call, Ran, Shell


def prepare(sandbox: SandboxProcess) -> None:
    """Let az wait 30 of Azure's seconds, and not of ours, between two looks; and let no node come or go meanwhile."""
    sandbox.settings(poll_interval_s={sandbox.description["client_id"]: 30}, autoscaler=False)


class GuideFailed(Exception):
    """A command of the guide didn't end as it should; holds its words."""


@dataclass(frozen=True)
class Choices:
    """What the guide's reader chooses: its suffix, region, version and sizes."""

    suffix: str
    region: str
    kubernetes_version: str
    vm_size: str

    def variables(self) -> dict[str, str]:
        """As the commands take them."""
        return {
            "GUIDE_SUFFIX": self.suffix,
            "GUIDE_REGION": self.region,
            "GUIDE_KUBERNETES_VERSION": self.kubernetes_version,
            "GUIDE_VM_SIZE": self.vm_size,
        }


@dataclass
class GuideRun:
    """The guide under way, and what became of each of its commands.

    Args:
        way: how az is pointed at the sandbox: a key of `WAYS`.
        sandbox: what the sandbox's sandbox.json says.
        az: the executable.
        home: a new folder in the place of the home folder.
        choices: suffix, region, version and sizes.
        say: told of every command once it has ended.
        deadline_s: real seconds for a block; an `az aks create` that makes some sixty requests takes up to a minute.
    """

    way: str
    sandbox: Mapping[str, Any]
    az: Path
    home: Path
    choices: Choices
    say: Callable[[str], None] = lambda _line: None
    deadline_s: float = 300
    ran: dict[str, Ran] = field(default_factory=dict)
    not_run: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        first = environment(self.way, self.sandbox, self.az, self.home)
        self.shell = Shell(self.home, first | self.choices.variables(), self.deadline_s)

    @property
    def calls(self) -> list[Call]:
        """Every call of az and kubectl until now."""
        return [call for ran in self.ran.values() for call in ran.calls]

    def log_in(self) -> None:
        """Make az know the sandbox and sign in as its service principal."""
        self._run("Log in", POINT_AT_SANDBOX)

    def create_infrastructure(self) -> None:
        """The article that this product does."""
        self._run_all(CREATE_INFRASTRUCTURE)

    def continue_with_later_articles(self) -> None:
        """The az commands of the two articles after it."""
        self._run_all(AFTERWARDS)

    def look_and_take_apart(self) -> None:
        """List, show and delete everything that was made."""
        self._run("List and show what was made", afterwards.LOOK)
        self._run("Delete it one by one", afterwards.TAKE_APART)

    def clean_up(self) -> None:
        """The guide's last command, and its end."""
        self._run_all(CLEAN_UP)
        self._run("Until it is gone", afterwards.GONE)

    def _run_all(self, chapters: Iterable[Chapter]) -> None:
        for chapter in chapters:
            for command in chapter.commands:
                self._run(f"{chapter.heading}: {command.title}", command.script, command)

    def _run(self, title: str, script: str, command: Command | None = None) -> None:
        if not script.strip():
            assert command is not None
            self.not_run[title] = command.because
            self.say(f"{self.way:13} not run  {title}: {command.because}")
            return
        ran = self.shell.run(script)
        self.ran[title] = ran
        self.say(f"{self.way:13} {ran.took_s:6.1f} s {title}")
        wanted = command.fails_with if command else ""
        if ran.failed and not (wanted and wanted in ran.stderr):
            raise GuideFailed(f"{self.way}, {title}:\n{ran}")
        if wanted and not ran.failed:
            raise GuideFailed(f"{self.way}, {title}: it should have been refused with {wanted!r}\n{ran}")
