"""Names, tags and address ranges made of anything: taken if Azure takes them, else refused with field and reason."""

import ipaddress
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aks_postgres.spec.problems import SpecError, spec_from

from .test_problems import UNHURRIED

TEXT = st.text(max_size=20) | st.text(st.characters(categories=["Cs", "Cc", "Cf", "Zs"]), max_size=4)
DIGITS = st.integers(-1, 300).map(str) | st.sampled_from(["", "00", "0x1f", "٣", "1 ", "½"])
ADDRESSES = st.lists(DIGITS, min_size=3, max_size=5).map(".".join) | st.ip_addresses().map(str)
RANGES = (
    st.builds(lambda address, bits: f"{address}/{bits}", ADDRESSES, st.integers(-1, 40) | DIGITS)
    | ADDRESSES
    | TEXT
)
# https://learn.microsoft.com/azure/azure-resource-manager/management/tag-resources
TAG_NAMES = (
    TEXT | st.text("<>%&\\?/abc", max_size=4) | st.sampled_from(["Managed-By", "azure1", "\u017f", "\u212a"])
)


def spec_or_refusal(found: dict[str, Any], field: str) -> Any:
    """The spec, or None where it was refused, with that field and what is allowed there."""
    try:
        return spec_from(found)
    except SpecError as error:
        refusal = error
    assert all(problem.field.startswith(field) and problem.allowed for problem in refusal.problems), refusal
    str(refusal).encode()
    return None


@UNHURRIED
@given(st.lists(RANGES, min_size=1, max_size=3))
@example(["20.51.7.0/255.255.255.0"])
@example(["20.51.7.9\n"])
@example(["٢٠.51.7.9"])
def test_a_range_that_is_taken_is_one_of_global_ipv4_addresses(ranges: list[str]) -> None:
    spec = spec_or_refusal({"network": {"authorized_ip_ranges": ranges}}, "network")
    for taken in spec.network.authorized_ip_ranges if spec else ():
        assert re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,3}){3}(/[0-9]{1,2})?", taken, re.ASCII)
        network = ipaddress.IPv4Network(taken)
        assert network.is_global


@UNHURRIED
@given(st.dictionaries(TAG_NAMES, TEXT | st.text(min_size=250, max_size=260), max_size=3))
@example({"Owner": "a", "owner": "b"})
def test_a_tag_that_is_taken_is_one_that_azure_takes_and_none_of_ours(tags: dict[str, str]) -> None:
    spec = spec_or_refusal({"tags": tags}, "tags")
    taken = spec.tags if spec else {}
    assert len({name.casefold() for name in taken}) == len(taken)
    for name, value in taken.items():
        assert 1 <= len(name) <= 128
        assert not set(name) & set("<>%&\\?/")
        assert len(value) <= 256
        assert not name.casefold().startswith(("microsoft", "azure", "windows", "managed-by", "aks-postgres"))
        (name + value).encode()


@UNHURRIED
@given(st.sampled_from(["name", "region", "suffix", "adopt", "subscription_id"]), TEXT)
@example("name", "cnpg\n")
@example("region", "Canada Central")
@example("adopt", "rg\u200c")
@example("adopt", "rg\u0301")
@example("adopt", "rg.")
@example("adopt", "\u0433\u0440\u0443\u043f\u043f\u0430")
def test_a_name_that_is_taken_is_plain_text_without_surprises(field: str, text: str) -> None:
    spec = spec_or_refusal({field: text}, field)
    if spec:
        # A resource group may be called by letters of any alphabet.
        taken = "".join(getattr(spec, field))
        assert re.fullmatch(r"[-\w.()]+", taken, 0 if field == "adopt" else re.ASCII)
        assert not taken.endswith(".")


@pytest.mark.parametrize("given_range", ["0.0.0.0/0", "10.0.0.0/8", "::1", "20.51.0.1/24"])
def test_a_range_that_aks_refuses_is_refused_with_the_field(given_range: str) -> None:
    with pytest.raises(SpecError, match=r"network\.authorized_ip_ranges"):
        spec_from({"network": {"authorized_ip_ranges": [given_range]}})
