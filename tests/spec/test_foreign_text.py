"""Secrets in every form that Azure, Entra and Kubernetes write them in, and every sign that isn't one to read."""

import base64
import html
import json
import unicodedata
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from aks_postgres import foreign_text
from aks_postgres.foreign_text import (
    clean,
    holds_secret,
    in_code,
    in_markdown,
    keep_secret,
    printable,
    shown,
    without_known,
)
from aks_postgres.limits import limits

KEY = "Ab1+" * 21 + "Q=="
PEM = "\n".join(
    [
        "-----BEGIN PRIVATE KEY-----",
        "MIIEvQIBADAN" + "Bgkq" * 13,
        "hkiG9w0B" * 8,
        "AQEFshortEnd=",
        "-----END PRIVATE KEY-----",
    ]
)
JWT = "eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ.eyJvaWQiOiJhYmMifQ.c2lnbmF0dXJl-_x"
ENTRA = "Abc8Q~dEfGhIjKlMnOpQrStUvWxYz0123456789-_"

# What is written, and what of it must not be read any more.
FORMS: dict[str, tuple[str, list[str]]] = {
    "JSON client_secret": ('{"client_secret": "hunter-22"}', ["hunter-22"]),
    "JSON without spaces": ('{"clientSecret":"hunter-22","x":1}', ["hunter-22"]),
    "JSON in JSON": ('{\\"client_secret\\": \\"hunter-22\\"}', ["hunter-22"]),
    "JSON in JSON in JSON": ('{\\\\\\"password\\\\\\": \\\\\\"hunter-22\\\\\\"}', ["hunter-22"]),
    "JSON with spaces inside": ('"password": "correct horse battery"', ["correct", "horse", "battery"]),
    "Python's repr": ("{'client_secret': 'hunter-22'}", ["hunter-22"]),
    "form": ("client_secret=hunter-22&grant_type=client_credentials", ["hunter-22"]),
    "form in a URL": ("https://login.example/token?client_secret=hunter-22&a=b", ["hunter-22"]),
    "form, encoded": ("client_secret%3Dhunter-22%26grant_type", ["hunter-22"]),
    "JSON, encoded": ("%22client_secret%22%3A%22hunter-22%22", ["hunter-22"]),
    "HTML": ("&quot;client_secret&quot;: &quot;hunter-22&quot;", ["hunter-22"]),
    "YAML": ("password: hunter-22", ["hunter-22"]),
    "YAML, a plain word": ("password: swordfish", ["swordfish"]),
    "YAML token": ("token: abcdef.0123456789abcdef", ["0123456789"]),
    "kubeconfig client key": ("client-key-data: LS0tLS1CRUdJTg", ["LS0tLS1"]),
    "XML": ("<Password>hunter-22</Password>", ["hunter-22"]),
    "connection string": ("Server=x;User=sa;Password=hunter-22;Encrypt=1", ["hunter-22"]),
    "storage connection string": (
        f"DefaultEndpointsProtocol=https;AccountName=x;AccountKey={KEY};",
        ["Ab1+"],
    ),
    "short account key": ("AccountKey=YWJjZA==;EndpointSuffix=x", ["YWJjZA"]),
    "environment variable": ("AZURE_CLIENT_SECRET=hunter-22", ["hunter-22"]),
    "PGPASSWORD": ("PGPASSWORD=hunter-22 psql", ["hunter-22"]),
    "command line": ("az login --service-principal --password hunter-22 --tenant x", ["hunter-22"]),
    "command line with equals": ("--client-secret=hunter-22", ["hunter-22"]),
    "user:password@host": ("postgres://app:hunter-22@db.example:5432/x", ["hunter-22"]),
    "user:password@host with an at": ("https://app:hunt@er-22@db.example/", ["hunt", "er-22"]),
    "bearer": ("Authorization: Bearer abc.DEF~ghi+jkl/mno==", ["abc.DEF"]),
    "bearer alone": ("sent Bearer 0123456789abcdef", ["0123456789"]),
    "basic": ("Authorization: Basic YXBwOmh1bnRlcg==", ["YXBwOmh1"]),
    "basic alone": ("with Basic YXBwOmh1bnRlcg==", ["YXBwOmh1"]),
    "shared key": ("Authorization: SharedKey account:c2lnbmF0dXJl=", ["c2lnbmF0"]),
    "authorization in JSON": ('"Authorization": "Bearer 0123456789abcdef"', ["0123456789"]),
    "header of an API": ("x-api-key: 0123-hunter", ["0123-hunter"]),
    "cookie": ("Set-Cookie: session=hunter22; Path=/", ["hunter22"]),
    "SAS": ("https://x.blob.core.windows.net/b?sv=2026&sig=aB%2Fc%3D&se=1", ["aB%2Fc"]),
    "SAS in HTML": ("https://x.blob.core.windows.net/b?sv=2026&amp;sig=aB%2Fc%3D&amp;se=1", ["aB%2Fc"]),
    "SAS, encoded": ("url=https%3A%2F%2Fx%3Fsv%3D2026%26sig%3DaB-hunter", ["aB-hunter"]),
    "SAS, sig first": ("?sig=aB%2Fc%3D", ["aB%2Fc"]),
    "PEM": (PEM, ["MIIEv", "hkiG9", "AQEFshort"]),
    "PEM in JSON": (json.dumps(PEM), ["MIIEv", "hkiG9", "AQEFshort"]),
    "PEM, cut": (PEM[:120], ["MIIEv"]),
    "body of a PEM": ("\n".join(PEM.splitlines()[1:-1]), ["MIIEv", "hkiG9", "AQEFshort"]),
    "JWT": (JWT, [JWT, "c2lnbmF0"]),
    "refresh token": ('"refresh_token":"0.AXoAabc-def_ghi"', ["0.AXoA"]),
    "client assertion": ("client_assertion=abc.def.ghi", ["abc.def"]),
    "Entra's own secrets, anywhere": (f"for {ENTRA} of the app", [ENTRA[3:20]]),
    "Entra's prose": ("AADSTS7000215: Invalid client secret provided: 'hunter-22'.", ["hunter-22"]),
    "Entra's prose with a value": ("the client secret value 'hunter-22' is expired", ["hunter-22"]),
    "prose": ('password is "hunter-22"', ["hunter-22"]),
    "hexadecimal": ("token " + "0123456789abcdef" * 4, ["0123456789"]),
    "GitHub": ("ghp_" + "aB3" * 12, ["aB3aB3"]),
    "a template's parameter": ('{"adminPassword":{"value":"hunter-22"}}', ["hunter-22"]),
    "a template's parameter in JSON": (
        '{\\"adminPassword\\": {\\"value\\": \\"hunter-22\\"}}',
        ["hunter-22"],
    ),
    "a container's variable": ('{"name":"DB_PASSWORD","value":"hunter-22"}', ["hunter-22"]),
    "an account's keys": ('{"keys":[{"keyName":"key1","value":"hunter-22"}]}', ["hunter-22"]),
    "a list": ('{"passwords":["hunter-22","hunter-23"]}', ["hunter-22", "hunter-23"]),
    "docker's": ('{"auths":{"x":{"auth":"aHVudGVyLTIy"}}}', ["aHVudGVy"]),
    "YAML, on the next line": ("password: |\n  hunter-22", ["hunter-22"]),
    "YAML, folded": ("client_secret: >-\n    hunter-22\n", ["hunter-22"]),
    "curl": ("curl -u admin:hunter-22 https://x", ["hunter-22"]),
    "netrc": ("machine h login u password hunter-22", ["hunter-22"]),
    "pgpass": ("db.example:5432:*:app:hunter-22", ["hunter-22"]),
    "prose without quotes": ("secret value hunter-22 is invalid", ["hunter-22"]),
    "Prefect": ("pnu_" + "aB3" * 12, ["aB3aB3"]),
    "Slack": ("xoxb-123456789012-hunterhunter", ["hunter"]),
    "an address that anyone may post to": ("https://hooks.slack.com/services/T0/B0/hunterhunter", ["hunter"]),
    "a secret split by a sign that can't be seen": ("client_\u200bsecret=hunter-22", ["hunter-22"]),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_secret_in_any_form_is_removed(form: str) -> None:
    text, secrets = FORMS[form]
    found = clean(f"It failed: {text}")
    assert found.startswith("It failed: ")
    assert "(removed)" in found
    for secret in secrets:
        assert secret not in found


def test_there_are_at_least_forty_forms() -> None:
    assert len(FORMS) >= 40


@pytest.mark.parametrize(
    "text",
    [
        "ExpiredAuthenticationToken: The access token has expired.",
        "AADSTS7000222: The provided client secret keys for app '6b1f0f60-4a4a-4c11-9d0e-0a1b2c3d4e5f' are expired.",
        'secrets "cnpg-webhook-cert" not found',
        'failed calling webhook "mcluster.cnpg.io": the password must be set',
        "The token is missing. Token: required",
        "/subscriptions/6b1f0f60-4a4a-4c11-9d0e-0a1b2c3d4e5f/resourceGroups/rg-cnpg-c9a0asar/providers/"
        "Microsoft.OperationalInsights/workspaces/ala-cnpg-c9a0asar",
        "MSProm-canadacentral-aks-cnpg-c9a0asar and NodeRecordingRulesRuleGroup-aks-cnpg-c9a0asar",
        "https://management.azure.com/subscriptions/x/providers/Microsoft.Storage/locations/y/operations/z?t=1",
        "Basic authentication isn't allowed; digest authentication neither.",
        "duplicate key: metadata.labels",
        "at 10:22:33:44 and 2001:db8:0:1:2:3:4:5; the password must be at least 12 characters long",
        "see https://aka.ms/aks-pending-operation at 12:30, user@example.com",
        "sha256:" + "0123456789abcdef" * 2,
    ],
)
def test_what_a_person_needs_to_read_stays(text: str) -> None:
    assert clean(text) == text


@pytest.fixture
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign_text, "kept_secrets", {})


@pytest.mark.usefixtures("nothing_known")
@pytest.mark.parametrize("value", ["plainword", "two words here", 'qu"ote/slash+plus', "<&>amp;sand-é"])
def test_a_secret_of_this_run_is_removed_whatever_is_around_it(value: str) -> None:
    keep_secret(value)
    encodings = [
        value,
        quote(value, safe=""),
        json.dumps(value)[1:-1],
        html.escape(value),
        base64.b64encode(value.encode()).decode(),
    ]
    for text in encodings:
        for found in (without_known(f"x{text}x"), shown(f"x{text}x")):
            assert found == "x(removed)x"
        assert text not in clean(f"it said {text} to me")


@pytest.mark.usefixtures("nothing_known")
def test_a_key_of_several_lines_is_removed_line_by_line_and_words_stay() -> None:
    keep_secret(PEM.encode())
    keep_secret("short")
    keep_secret(None)
    assert PEM.splitlines()[2] not in without_known(f"line 2 is {PEM.splitlines()[2]}")
    assert without_known("short texts stay, and -----BEGIN PRIVATE KEY-----") == (
        "short texts stay, and -----BEGIN PRIVATE KEY-----"
    )


@pytest.mark.usefixtures("nothing_known")
@pytest.mark.parametrize("word", ["postgres", "Postgres", "password", "database", "kubernetes"])
def test_a_password_that_is_a_word_of_messages_leaves_them_readable(word: str) -> None:
    keep_secret(word)
    text = f"node pool {word}: the spec wants another VM size."
    assert (without_known(text), clean(text), holds_secret(text)) == (text, text, False)
    for named in (f"PGPASSWORD={word}", f"password is '{word}'", f"postgres://app:{word}@db.example/x"):
        assert f"{word}'" not in clean(named)
        assert clean(named).endswith(("(removed)", "(removed)db.example/x"))


@pytest.mark.parametrize("length", [50, 3900, 4100, 7000, 20000])
@pytest.mark.parametrize("form", ["https://me:{}@host", "eyJ{}.payload.signature", "password={}"])
def test_a_secret_of_any_length_is_seen_anywhere_in_a_text(form: str, length: int) -> None:
    secret = form.format("aB3" * (length // 3))
    for before in (0, 1000, 3000, 7000):
        assert holds_secret("a " * (before // 2) + secret + " b" * 5000), before
    assert not holds_secret("a " * 10000 + "aB3" * (length // 3))


@pytest.mark.usefixtures("nothing_known")
def test_not_more_secrets_are_kept_than_a_worker_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "secrets", 12)
    for number in range(50):
        keep_secret(f"secret-{number:04}")
    assert "secret-0049" not in without_known("secret-0049")
    assert without_known("secret-0000") == "secret-0000"


def unreadable_signs(step: int) -> Iterator[str]:
    """Signs of Unicode that move, turn, hide or aren't any: all of the first 65,536, and every so many of the rest."""
    for number in (*range(0x10000), *range(0x10000, 0x110000, step)):
        sign = chr(number)
        if unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"):
            yield sign
    yield from "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180f\u2800\u3164\ufe00\ufe0f\uffa0\U000e0100\U000e01ef"


@pytest.mark.parametrize("step", [97, pytest.param(1, marks=pytest.mark.thorough)])
def test_no_sign_that_cant_be_read_comes_through(step: int) -> None:
    for sign in unreadable_signs(step):
        for found in (
            clean(f"a{sign}b"),
            printable(f"a{sign}b"),
            in_markdown(f"a{sign}b"),
            in_code(f"a{sign}b"),
        ):
            # With \x9b, which begins a command, b is its end.
            assert found in (("a",) if sign == "\x9b" else ("ab", "a b")), hex(ord(sign))
        assert shown(f"a{sign}") in ("a", "a ", "a\n"), hex(ord(sign))


@pytest.mark.parametrize(
    "command",
    [
        "\x1b[31m",
        "\x1b[2J\x1b[H",
        "\x9b1A",
        "\x1b]0;title\x07",
        "\x1b]8;;https://x.example\x1b\\",
        "\x1b]52;c;Zm9v\x07",
    ],
)
def test_a_command_to_the_terminal_is_gone_with_what_it_says(command: str) -> None:
    assert printable(f"a{command}b") == "ab"


@pytest.mark.parametrize(
    "text", ["aé", "naïve 漢字", "it's 5 µs", "Ünïcödé", "a 👍 b", "rg_with_underscores-1.2", "שלום"]
)
def test_text_of_any_language_stays(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "[click](https://x.example)",
        "![pixel](https://x.example/p.png)",
        "**bold** _it_ ~~no~~ `code`",
        "a | b\n| --- |",
        "\n# Heading\n- [ ] item",
        "&lt;b&gt; &copy;",
        "back\\slash",
        "$x^2$",
    ],
)
def test_markdown_and_html_in_foreign_text_are_shown_as_they_are_written(text: str) -> None:
    from markdown_it import MarkdownIt

    renderer = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    rendered = renderer.renderInline(in_markdown(text))
    assert html.unescape(rendered) == " ".join(text.split())
    assert not any(tag in rendered for tag in ("<a", "<img", "<em", "<strong", "<s>", "<code", "<script"))
    code = renderer.renderInline(f"`{in_code(text)}`")
    assert code.count("<code>") == 1
    assert html.unescape(code.removeprefix("<code>").removesuffix("</code>")).replace("\\|", "|") == " ".join(
        text.replace("`", "'").split()
    )
