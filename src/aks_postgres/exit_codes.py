"""How a command ends: the exit code says who has to act, the message says what to do.

| code | meaning |
| --- | --- |
| 0 | done |
| 1 | failed: Azure refused or didn't finish; act as the message says, or run again |
| 2 | bad input: spec, region, usage or environment variable, or nobody to ask and no `--yes`; nothing was written |
| 3 | credentials: none, wrong, or without access |
| 4 | the sandbox or the Prefect server isn't running, or can't be reached |
| 5 | `plan` found something to create or change, or `rebuild --plan` or `tear-down --plan` something to do |
| 130 | interrupted; run again to go on |
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the shell gets."""

    DONE = 0
    FAILED = 1
    BAD_INPUT = 2
    CREDENTIALS = 3
    NOT_RUNNING = 4
    CHANGES = 5
    INTERRUPTED = 130


class CommandFailed(Exception):
    """A command can't go on; `str()` is the whole message for the person at the terminal."""

    def __init__(self, message: str, code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(message)
        self.code = code
