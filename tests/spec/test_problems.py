import datetime
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.problems import SpecError, spec_from

# A busy machine is slow, not wrong.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.text(st.characters(categories=["Cs", "Cc", "Lu"]), max_size=4)
    | st.binary(max_size=4)
    | st.dates()
    | st.datetimes()
    | st.sampled_from(["cnpg", "westus3", "20.51.7.9", "10.0.0.0/8", "1.35", "Standard", "postgres", "1"])
)
KEYS = st.text(max_size=8) | st.integers() | st.dates() | st.booleans() | st.none() | st.binary(max_size=3)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3) | st.sets(KEYS, max_size=2)
    ),
    max_leaves=6,
)


def almost(model: type[BaseModel]) -> st.SearchStrategy[dict[Any, Any]]:
    """Mappings that use the model's own field names, some with values that it takes, and some other keys."""
    known = {
        name: almost(field.annotation) | ANYTHING
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
        else ANYTHING | st.just(field.get_default())
        for name, field in model.model_fields.items()
    }
    return st.builds(
        lambda fields, others: {**others, **fields},
        st.fixed_dictionaries({}, optional=known),
        st.just({}) | st.dictionaries(KEYS, ANYTHING, max_size=2),
    )


def check(found: Any) -> None:
    """A spec, or an error that says of each problem where it is and what is allowed, in printable text."""
    try:
        spec = spec_from(found)
    except SpecError as error:
        refusal = error
    else:
        assert EnvironmentSpec.model_validate_json(spec.model_dump_json()) == spec
        return
    assert refusal.problems
    for problem in refusal.problems:
        assert problem.field
        assert problem.given
        assert problem.allowed
        assert str(problem) in str(refusal)
    str(refusal).encode()


@UNHURRIED
@given(almost(EnvironmentSpec))
def test_any_mapping_gives_a_spec_or_says_field_and_reason(found: dict[Any, Any]) -> None:
    check(found)


@UNHURRIED
@given(ANYTHING)
def test_anything_else_gives_a_spec_or_says_field_and_reason(found: Any) -> None:
    check(found)


@UNHURRIED
@given(almost(EnvironmentSpec))
def test_what_yaml_makes_of_a_mapping_gives_a_spec_or_says_field_and_reason(found: dict[Any, Any]) -> None:
    try:
        text = yaml.safe_dump(found)
    except yaml.YAMLError:  # a default that is an object
        return
    try:
        read = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):  # not every character that YAML writes can be read again
        return
    check(read)


@pytest.mark.parametrize(
    "text",
    [
        "name: &n [*n]",
        "cluster: &c {tier: *c}",
        "tags: {owner: 2026-11-24}",
        "tags: {a: {2026-11-24: b}}",
        "2026-11-24: today",
        "1: 2",
        "~: 1",
        "name: 0x" + "f" * 5000,
        "postgres_pool: {min_count: 0x" + "f" * 5000 + "}",
        "postgres_pool: {min_count: .inf, max_count: .nan}",
        'name: "\\ud800"',
        '"\\ud800": 1',
        "tags: {owner: !!binary gIGC}",
        "name: !!set {a, b}",
        "cluster:",
        "[name, cnpg]",
        "just text",
        "",
    ],
)
def test_odd_yaml_is_refused_in_words(text: str) -> None:
    with pytest.raises(SpecError) as caught:
        spec_from(yaml.safe_load(text))
    str(caught.value).encode()
    assert all(problem.field and problem.given and problem.allowed for problem in caught.value.problems)


def test_a_value_nested_without_end_is_refused() -> None:
    deep: list[Any] = []
    for _ in range(20_000):
        deep = [deep]
    with pytest.raises(SpecError, match="text is expected"):
        spec_from({"name": deep})
    while deep:  # taken apart here, as Python's own way down would be as deep
        deep = deep.pop()


def test_one_problem_and_several_are_counted_in_the_message() -> None:
    with pytest.raises(SpecError, match=r"^the spec has 1 problem; nothing was written:\n  - name: "):
        spec_from({"name": "?"})
    with pytest.raises(SpecError, match=r"^the spec has 2 problems; nothing was written:\n  - name: "):
        spec_from({"name": "?", "region": "?"})


def test_what_is_no_mapping_is_refused_as_a_whole() -> None:
    with pytest.raises(SpecError, match='spec: "cnpg" was given; a mapping of fields is expected'):
        spec_from("cnpg")


def test_a_section_left_empty_names_the_fields_that_belong_there() -> None:
    with pytest.raises(
        SpecError, match="cluster: null was given; a mapping of these fields is expected: kubernetes"
    ):
        spec_from({"cluster": None})


def test_a_long_value_is_cut() -> None:
    with pytest.raises(SpecError) as caught:
        spec_from({"name": "x" * 5000})
    assert len(caught.value.problems[0].given) == 60


def test_a_private_key_given_for_a_public_one_is_not_shown() -> None:
    key = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQ"
    with pytest.raises(SpecError, match="a private key \\(not shown\\) was given") as caught:
        spec_from({"cluster": {"ssh_public_key": key}})
    assert "b3BlbnNz" not in str(caught.value)


def test_a_date_is_shown_as_it_was_written() -> None:
    with pytest.raises(SpecError, match='name: "2026-11-24" was given; text is expected'):
        spec_from({"name": datetime.date(2026, 11, 24)})


def test_signs_that_nobody_sees_are_shown_by_their_numbers() -> None:
    with pytest.raises(SpecError, match=r'adopt: "rg\\u200c" was given'):
        spec_from({"adopt": "rg\u200c"})


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {
                "tags": {
                    "app/name": "x",
                    "Microsoft.Team": "z",
                    "windows-patch": 1,
                    "": "n",
                    "Owner": "a",
                    "owner": "b",
                }
            },
            ("tags.windows-patch: 1", "'app/name'", "'Microsoft.Team'", "0 characters", "'Owner' twice"),
        ),
        ({"tags": {7: "x", "a?b": "y"}}, ("tags.7", "'a?b'")),
        (
            {"system_pool": {"labels": {"a b": "x", "y": 1}}},
            ("system_pool.labels.y: 1", "'a b' is no label key"),
        ),
        (
            {"network": {"authorized_ip_ranges": [*range(11), "10.0.0.0/8"], "add_worker_address": False}},
            ("network.authorized_ip_ranges.10: 10", "'10.0.0.0/8' isn't globally routable"),
        ),
        ({"postgres_pool": {"zones": [1, "2", "2"]}}, ('put it in quotes, "1"', "each zone once")),
    ],
)
def test_an_entry_of_a_wrong_type_hides_nothing_about_the_others(given: Any, words: tuple[str, ...]) -> None:
    with pytest.raises(SpecError) as caught:
        spec_from(given)
    for word in words:
        assert word in str(caught.value)
    fields = [problem.field for problem in caught.value.problems]
    assert len(set(fields)) == len(fields)
    assert "open_to_internet" not in str(caught.value)  # a problem of what is left out only


def test_numbers_for_zones_are_told_to_take_quotes() -> None:
    with pytest.raises(SpecError) as caught:
        spec_from({"postgres_pool": {"zones": [1, 2, 3]}})
    assert [problem.allowed for problem in caught.value.problems] == [
        f'text is expected: in YAML, put it in quotes, "{zone}"' for zone in (1, 2, 3)
    ]
    with pytest.raises(SpecError, match="4 was given; '1', '2' or '3' is expected"):
        spec_from({"postgres_pool": {"zones": [4]}})
