"""Which Kubernetes version the cluster gets: data in, data out."""

from datetime import date
from typing import Any

import pytest

from aks_postgres.preflight.findings import Findings
from aks_postgres.preflight.kubernetes_versions import (
    COMMUNITY,
    LONG_TERM,
    OPERATOR_SUPPORTS,
    choose_version,
    judge_ends,
    minor_of,
    offered_versions,
    unasked_version,
)
from aks_postgres.spec.environment import EnvironmentSpec


def listing(default: str = "1.35", newest_plan: str = COMMUNITY) -> dict[str, Any]:
    """As AKS lists them, newest first; https://learn.microsoft.com/rest/api/aks/managed-clusters/list-kubernetes-versions."""
    rows: list[tuple[str, list[str], list[str]]] = [
        ("1.37", ["1.37.0"], [COMMUNITY]),
        ("1.36", ["1.36.0", "1.36.2"], [newest_plan, LONG_TERM]),
        ("1.35", ["1.35.10", "1.35.9", "1.35.1"], [COMMUNITY, LONG_TERM]),
        ("1.34", ["1.34.6"], [COMMUNITY, LONG_TERM]),
        ("1.33", ["1.33.8"], [LONG_TERM]),
    ]
    return {
        "values": [
            {
                "version": minor,
                "capabilities": {"supportPlan": plans},
                "isPreview": minor == "1.37" or None,
                "isDefault": minor == default or None,
                "patchVersions": {patch: {"upgrades": []} for patch in patches},
            }
            for minor, patches, plans in rows
        ]
    }


def release(version: str) -> dict[str, str]:
    return {} if version == "1.30.0" else {"version": version, "manifest_sha256": "0" * 64}


def choose(
    live: str | None = None,
    live_patch: str | None = None,
    default: str = "1.35",
    operator: str = "1.30.0",
    **cluster: Any,
) -> tuple[str, Findings]:
    spec = EnvironmentSpec.model_validate({"cluster": cluster, "operator": release(operator)})
    return choose_version(spec, offered_versions(listing(default)), live, live_patch)


@pytest.mark.parametrize(
    ("case", "version"),
    [
        ({}, "1.35.10"),  # the region's default, its newest patch by number
        ({"default": "1.37"}, "1.36.2"),  # a default that the operator doesn't support: the newest of both
        ({"default": "1.33"}, "1.36.2"),
        ({"kubernetes_version": "1.36"}, "1.36.2"),
        ({"kubernetes_version": "1.36.0"}, "1.36.0"),
        ({"operator": "1.29.1", "default": "1.36"}, "1.35.10"),
        ({"tier": "Premium", "operator": "1.29.1", "kubernetes_version": "1.33"}, "1.33.8"),
        ({"live": "1.34.6"}, "1.34.6"),  # unset: a live cluster keeps its version
        ({"live": "1.35", "live_patch": "1.35.9"}, "1.35"),  # as it was asked for
        ({"live": "1.35.9", "kubernetes_version": "1.35"}, "1.35.9"),  # a minor doesn't move a patch
        ({"live": "1.35.9", "kubernetes_version": "1.35.10"}, "1.35.10"),
        ({"live": "1.35.9", "kubernetes_version": "1.35.1"}, "1.35.9"),  # AKS patched it meanwhile
        ({"live": "1.34.6", "kubernetes_version": "1.35"}, "1.35.10"),
    ],
)
def test_version_chosen(case: dict[str, Any], version: str) -> None:
    chosen, verdict = choose(**case)
    assert chosen == version
    assert verdict == Findings()


@pytest.mark.parametrize(
    ("case", "texts"),
    [
        ({"kubernetes_version": "1.29"}, ["cluster.kubernetes_version: 1.29", "offers 1.34, 1.35, 1.36"]),
        ({"kubernetes_version": "1.36.1"}, ["cluster.kubernetes_version: 1.36.1", "1.36.0, 1.36.2"]),
        (
            {"kubernetes_version": "1.33", "operator": "1.29.1"},
            ["long-term support only", "tier is Standard", "1.34, 1.35, 1.36", "Premium"],
        ),
        ({"kubernetes_version": "1.37", "tier": "Premium"}, ["cluster.tier is Premium", "1.33, 1.34"]),
        ({"live": "1.35.9", "kubernetes_version": "1.34"}, ["runs 1.35.9", "can't go back"]),
        ({"live": "1.34.6", "kubernetes_version": "1.36"}, ["runs 1.34.6", "Give 1.35 first"]),
        (
            {"kubernetes_version": "1.37"},
            ["operator.version: CloudNativePG 1.30.0 supports", "1.34, 1.35, 1.36"],
        ),
        (
            {"live": "1.33.8"},
            [
                "operator.version: ",
                "version is 1.33.8",
                "a 1.29 or 1.28 release",
                "kubernetes_version to 1.34.",
            ],
        ),
        ({"live": "1.32.8"}, ["Set operator.version to a 1.28 release."]),  # two upgrades away
        (
            {"live": "1.36.0", "operator": "1.29.1"},
            ["Set operator.version to a 1.30 release."],  # never back
        ),
        (
            {"live": "1.36.2", "kubernetes_version": "1.37"},
            ["to a release that supports 1.37, or cluster.kubernetes_version to 1.36."],
        ),
    ],
)
def test_version_refused(case: dict[str, Any], texts: list[str]) -> None:
    _, verdict = choose(**case)
    assert len(verdict.problems) == 1
    for text in texts:
        assert text in verdict.problems[0]


def test_region_without_a_version_for_the_operator_is_refused_by_its_name() -> None:
    only_new = {"values": [row for row in listing()["values"] if row["version"] == "1.37"]}
    only_new["values"][0]["isPreview"] = None
    _, verdict = choose_version(EnvironmentSpec(), offered_versions(only_new))
    assert verdict.problems[0].startswith("operator.version: CloudNativePG 1.30.0 supports Kubernetes 1.34")
    assert "offers 1.37" in verdict.problems[0]


def test_operator_outside_the_table_is_a_warning_only() -> None:
    version, verdict = choose(operator="1.99.0", default="1.36")
    assert version == "1.36.2"
    assert verdict.problems == ()
    assert verdict.warnings[0].startswith("operator.version: 1.99.0")


def test_preview_version_is_never_chosen_unasked() -> None:
    assert choose(operator="1.99.0", default="1.37")[0] == "1.36.2"


def test_live_version_out_of_support_is_kept_with_a_warning() -> None:
    version, verdict = choose(live="1.33.8", operator="1.29.1")
    assert (version, verdict.problems) == ("1.33.8", ())
    assert "runs 1.33.8" in verdict.warnings[0]


def test_preview_version_is_taken_with_a_warning_when_asked_for() -> None:
    version, verdict = choose(kubernetes_version="1.37", operator="1.99.0")
    assert version == "1.37.0"
    assert any("preview" in text for text in verdict.warnings)


def test_version_that_aks_cannot_be_asked_about_is_one_the_operator_supports() -> None:
    assert unasked_version(EnvironmentSpec()) == "1.35"
    assert unasked_version(EnvironmentSpec.model_validate({"operator": release("1.99.0")})) == "1.35"
    assert (
        unasked_version(EnvironmentSpec.model_validate({"cluster": {"kubernetes_version": "1.36"}})) == "1.36"
    )


def test_the_default_operator_is_in_the_table() -> None:
    assert minor_of(EnvironmentSpec().operator.version) in OPERATOR_SUPPORTS


@pytest.mark.parametrize(
    ("today", "version", "fields"),
    [
        (date(2026, 8, 1), "1.35.4", []),
        (date(2026, 11, 24), "1.35.4", ["operator.version"]),
        (date(2027, 4, 1), "1.35.4", ["cluster.kubernetes_version", "operator.version"]),
        (date(2026, 8, 1), "1.99.0", []),
    ],
)
def test_ends_of_support_are_said_two_months_ahead(today: date, version: str, fields: list[str]) -> None:
    verdict = judge_ends(EnvironmentSpec(), version, today)
    assert verdict.problems == ()
    assert [text.split(":")[0] for text in verdict.warnings] == fields


def test_an_end_that_has_passed_is_said_in_the_past() -> None:
    verdict = judge_ends(EnvironmentSpec(), "1.33.1", date(2026, 9, 1))
    assert "support for Kubernetes 1.33.1 on AKS ended July 2026" in verdict.warnings[0]
