"""What docs/recordings.md says of each difference to Azure names the test that holds it, and that test is there."""

import pytest

from .named_tests import REPOSITORY, is_there, named_in

TEXT = (REPOSITORY / "docs" / "recordings.md").read_text()
ROWS = [row for row in TEXT.splitlines() if row.startswith("| ") and not row.startswith(("| ---", "| what"))]


def test_every_difference_names_its_test() -> None:
    # Thirteen of the product, fifteen of the sandbox.
    assert len(ROWS) == 28
    assert [row for row in ROWS if not named_in(row.rpartition(" | ")[2])] == []


@pytest.mark.parametrize("named", named_in(TEXT))
def test_the_test_that_is_named_is_there(named: str) -> None:
    assert is_there(named)
