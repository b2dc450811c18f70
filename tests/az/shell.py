"""A bash whose variables last from one block of commands to the next, and which notes every az and kubectl."""

from __future__ import annotations

import shlex
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# `export X=$(az ...)` ends well whatever az does, so each call notes its own exit code.
_PROLOGUE = r"""
set -euo pipefail
noted() {
    local begun=$EPOCHREALTIME code=0 words=${*//$'\n'/ }
    command "$@" || code=$?
    printf '%s\t%s\t%s\t%s\n' "$code" "$begun" "$EPOCHREALTIME" "${words//"${AZURE_CLIENT_SECRET:-}"/***}" >>"$CALLS"
    return "$code"
}
az() {
    case "${1-} ${2-}" in "storage container" | "storage blob")
        set -- "$@" ${GUIDE_BLOB_ENDPOINT:+--blob-endpoint "$GUIDE_BLOB_ENDPOINT/$PG_PRIMARY_STORAGE_ACCOUNT_NAME"}
    esac
    noted az "$@"
}
kubectl() {
    if type -P kubectl >/dev/null; then noted kubectl "$@"; else echo "not run: kubectl isn't installed" >&2; fi
}
is() {
    local wanted=$1 got
    shift
    got=$("$@" --output tsv)
    [ "$got" = "$wanted" ] || { echo "$*: wanted $wanted, got $got" >&2 && return 1; }
}
has() {
    local wanted=$1 got
    shift
    got=$("$@" --output tsv)
    grep --quiet --line-regexp --fixed-strings -- "$wanted" <<<"$got" ||
        { echo "$*: no $wanted in $got" >&2 && return 1; }
}
set -a
"""


@dataclass(frozen=True)
class Call:
    """One call of az or kubectl."""

    words: str
    exit_code: int
    took_s: float

    @property
    def is_az(self) -> bool:
        return self.words.startswith("az ")


@dataclass(frozen=True)
class Ran:
    """What became of one block of commands."""

    script: str
    exit_code: int
    stdout: str
    stderr: str
    calls: tuple[Call, ...]
    took_s: float

    @property
    def failed(self) -> bool:
        return bool(self.exit_code or any(call.exit_code for call in self.calls))

    def __str__(self) -> str:
        codes = "".join(f"\n{call.exit_code:>4}  {call.words}" for call in self.calls)
        return f"{self.script.strip()}\n-- exit code {self.exit_code}{codes}\n{self.stdout}{self.stderr}"


class Shell:
    """Runs blocks of commands one after another, each in a bash that takes over the variables of the last.

    Args:
        folder: for what the blocks leave to each other.
        environment: variables of the first block; nothing else is inherited.
        deadline_s: real seconds for a block; after that it is ended.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str], deadline_s: float = 300) -> None:
        self._folder = folder
        self._deadline_s = deadline_s
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._environment = dict(environment)
        self._variables = folder / "variables.sh"
        self._variables.write_text("")
        self._calls = folder / "calls.tsv"

    def run(self, script: str) -> Ran:
        """Run a block to its end."""
        self._calls.write_text("")
        variables, calls = shlex.quote(str(self._variables)), shlex.quote(str(self._calls))
        whole = f". {variables}\nCALLS={calls}\n{_PROLOGUE}{script}\nexport -p >{variables}\n"
        began = time.monotonic()
        ended = subprocess.run(
            ["bash", "-c", whole],
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=self._deadline_s,
            check=False,
        )
        made = [line.split("\t", 3) for line in self._calls.read_text().splitlines()]
        return Ran(
            script=script,
            exit_code=ended.returncode,
            stdout=ended.stdout,
            stderr=ended.stderr,
            calls=tuple(
                Call(words, int(code), float(end) - float(begin)) for code, begin, end, words in made
            ),
            took_s=time.monotonic() - began,
        )

    def variables(self) -> dict[str, str]:
        """The variables as they are now."""
        lines = self.run("env --null").stdout.split("\0")
        return dict(line.split("=", 1) for line in lines if "=" in line)
