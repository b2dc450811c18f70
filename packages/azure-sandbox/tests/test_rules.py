"""The rules of Azure that the sandbox keeps are counted, and written down as they are."""

from .conftest import REPOSITORY
from .rules import document, rules


def test_at_least_40_rules_have_a_test_that_names_its_source() -> None:
    assert len(rules()) >= 40


def test_no_two_rules_have_the_same_name() -> None:
    names = [rule.test for rule in rules()]
    assert len(names) == len(set(names))


def test_the_document_of_rules_is_current() -> None:
    written = (REPOSITORY / "docs" / "sandbox-rules.md").read_text()
    assert written == document(), "python packages/azure-sandbox/tests/rules.py > docs/sandbox-rules.md"
