"""Every limit that docs/threat-model.md claims names the test that holds it, and that test is there."""

import re

import pytest

from .named_tests import REPOSITORY, is_there, named_in

TEXT = (REPOSITORY / "docs" / "threat-model.md").read_text()
NAMED = named_in(TEXT)
# This section claims nothing that a test of ours could hold.
WITHOUT_CLAIMS = {"Worth protecting"}


def claims() -> dict[str, str]:
    """Every paragraph that begins with its subject in bold, and every row of a table: where, and its text."""
    found = {}
    for section in re.split(r"(?m)^## ", TEXT)[1:]:
        title, _, body = section.partition("\n")
        if title in WITHOUT_CLAIMS:
            continue
        for paragraph in body.strip().split("\n\n"):
            if paragraph.endswith(":"):  # what follows is a list
                continue
            rows = [paragraph]
            if paragraph.startswith("|"):
                rows = paragraph.splitlines()[2:]
            elif paragraph.startswith("- "):
                rows = re.split(r"(?m)^- ", paragraph)[1:]
            found |= {f"{title}: {row[:40]}": row for row in rows}
    return found


CLAIMS = claims()


def test_the_sections_that_claim_something_are_read() -> None:
    assert {claim.partition(":")[0] for claim in CLAIMS} == {
        "The boundary",
        "Who may do what",
        "What an attacker gets",
        "Secrets, where they are and aren't",
        "Whole classes",
        "Dependencies",
    }
    assert len(CLAIMS) > 15
    assert len(NAMED) > 25


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_limit_names_its_test_or_says_whose_it_is(claim: str) -> None:
    assert "`tests/" in CLAIMS[claim] or "yours to hold" in CLAIMS[claim]


@pytest.mark.parametrize("named", NAMED)
def test_the_test_that_is_named_is_there(named: str) -> None:
    assert is_there(named)
