"""The list of guards keeps up with the code; what its tests notice, `make mutations` sees."""

import pytest

from .kept import REPOSITORY
from .mutations import MUTATIONS, Mutation


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.guard)
def test_each_guard_stands_once_where_the_list_says_and_its_test_is_there(mutation: Mutation) -> None:
    assert (REPOSITORY / mutation.file).read_text().count(mutation.text) == 1
    file, *_, name = mutation.test.partition("[")[0].split("::")
    assert f"def {name}(" in (REPOSITORY / file).read_text()
