"""Who may reach the API server: data in, data out."""

import pytest

from aks_postgres.preflight.authorized_ranges import authorized_ranges, needs_worker_address
from aks_postgres.preflight.findings import Findings
from aks_postgres.spec.environment import NetworkSpec


def network(**fields: object) -> NetworkSpec:
    return NetworkSpec.model_validate(fields)


@pytest.mark.parametrize(
    ("given", "address", "ranges", "added"),
    [
        ([], "20.51.7.9", ("20.51.7.9/32",), "20.51.7.9"),
        (["52.1.0.0/16"], "20.51.7.9", ("52.1.0.0/16", "20.51.7.9/32"), "20.51.7.9"),
        (["20.51.0.0/16"], "20.51.7.9", ("20.51.0.0/16",), None),
        (["20.51.7.9"], "20.51.7.9", ("20.51.7.9/32",), None),
        (["20.51.7.8", "52.1.0.0/16"], None, ("20.51.7.8/32", "52.1.0.0/16"), None),
    ],
)
def test_worker_is_added_only_where_no_range_covers_it(
    given: list[str], address: str | None, ranges: tuple[str, ...], added: str | None
) -> None:
    assert authorized_ranges(network(authorized_ip_ranges=given), address) == (ranges, added, Findings())


def test_open_to_the_internet_has_no_ranges_and_asks_for_no_address() -> None:
    is_open = network(open_to_internet=True)
    assert not needs_worker_address(is_open)
    assert authorized_ranges(is_open, None) == ((), None, Findings())


def test_address_is_not_asked_for_where_it_is_not_added() -> None:
    assert needs_worker_address(network())
    assert not needs_worker_address(network(authorized_ip_ranges=["20.51.7.9"], add_worker_address=False))


@pytest.mark.parametrize("answer", ["10.0.0.4", "<html>", "2001:4860:4860::8888", ""])
def test_address_that_aks_would_not_take_is_a_problem(answer: str) -> None:
    _, added, verdict = authorized_ranges(network(), answer)
    assert added is None
    assert verdict.problems[0].startswith("network.worker_address: ")
    assert "Set network.worker_address" in verdict.problems[0]
