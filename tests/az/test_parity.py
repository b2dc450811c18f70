"""Our flow ends where the guide's commands end, but for a list of differences."""

import pytest

from aks_postgres.cli.guide_variables import guide_variables

from .conftest import Guide, Ours
from .differences import DIFFERENCES
from .parity import differences, explained

pytestmark = [pytest.mark.az, pytest.mark.timeout(540)]


def test_our_state_differs_from_the_guides_only_as_documented(guides: dict[str, Guide], ours: Ours) -> None:
    found = differences(ours.resources, guides["custom cloud"].resources)
    assert [str(one) for one in found if len(explained(one, DIFFERENCES)) != 1] == []


def test_every_documented_difference_is_there(guides: dict[str, Guide], ours: Ours) -> None:
    found = differences(ours.resources, guides["custom cloud"].resources)
    seen = [entry for one in found for entry in explained(one, DIFFERENCES)]
    assert [entry for entry in DIFFERENCES if entry not in seen] == []


def test_the_variables_that_we_print_are_those_of_the_guides_shell(
    guides: dict[str, Guide], ours: Ours
) -> None:
    shell = guides["custom cloud"].variables
    printed = guide_variables(ours.spec, ours.outputs)
    unlike = {name for name, value in printed.items() if shell.get(name, "").casefold() != value.casefold()}
    assert unlike == {
        # We know the patch by then.
        "AKS_CLUSTER_VERSION",
        # Drawn by the guide's shell.
        "AKS_PRIMARY_CLUSTER_PG_DNSPREFIX",
        # The whole answer of az, of which the next three variables are taken.
        "AKS_UAMI_WI_IDENTITY",
    }
