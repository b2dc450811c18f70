"""The search for secrets sees what it is there for."""

import subprocess
import sys
import time

from .canary import Arguments, names_in


def test_a_secret_among_a_processs_arguments_is_seen_and_another_ones_is_not() -> None:
    arguments = Arguments()
    secrets = {"given": "canary-of-an-argument-1", "kept": "canary-of-an-argument-2"}
    command = [sys.executable, "-c", "import sys; sys.stdin.read()", secrets["given"]]
    with (
        arguments.watched(),
        subprocess.Popen(command, stdin=subprocess.PIPE) as process,
    ):
        deadline = time.monotonic() + 60
        while not arguments.holding(secrets) and time.monotonic() < deadline:
            time.sleep(0.1)
        process.communicate()
    assert set(arguments.holding(secrets)) == {("a process's arguments", "given")}


def test_a_secret_is_seen_in_each_form_that_a_text_may_have_of_it() -> None:
    secret = 'a "quoted" p/ss+word'
    forms = (
        secret.encode(),
        b"YSAicXVvdGVkIiBwL3NzK3dvcmQ=",
        b"a%20%22quoted%22%20p%2Fss%2Bword",
        b'a \\"quoted\\" p/ss+word',
    )
    for form in forms:
        assert names_in(b"before " + form + b" after", {"password": secret}) == ["password"], form
    assert names_in(b"a quoted p/ss+word", {"password": secret}) == []
