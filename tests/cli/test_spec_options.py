from pathlib import Path
from typing import Any

import pytest

from aks_postgres.cli.sandbox_client import RunningSandbox
from aks_postgres.cli.spec_options import spec_fields, wanted_spec
from aks_postgres.exit_codes import CommandFailed, ExitCode
from aks_postgres.spec.environment import EnvironmentSpec, OperatorSpec
from aks_postgres.spec.problems import SpecError


def wanted(spec_file: Path | None = None, *settings: str, **options: Any) -> EnvironmentSpec:
    given = {"name": None, "region": None, "subscription_id": None, "suffix": None, **options}
    return wanted_spec(spec_file, settings=settings, **given)


@pytest.fixture
def spec_file(tmp_path: Path) -> Path:
    return tmp_path / "spec.yaml"


def test_set_wins_over_options_and_options_over_the_file(spec_file: Path) -> None:
    spec_file.write_text("name: file\nregion: westus3\nsuffix: abcdefgh\n")
    spec = wanted(spec_file, "suffix=12345678", name="option", suffix="zzzzzzzz")
    assert (spec.name, spec.region, spec.suffix) == ("option", "westus3", "12345678")


def test_json_is_read_like_yaml(spec_file: Path) -> None:
    spec_file.write_text('{"name": "json", "postgres_pool": {"max_count": 9}}')
    spec = wanted(spec_file)
    assert (spec.name, spec.postgres_pool.max_count) == ("json", 9)


def test_an_empty_file_is_refused(spec_file: Path) -> None:
    spec_file.write_text("# nothing yet\n")
    with pytest.raises(CommandFailed, match="is empty"):
        wanted(spec_file)


@pytest.mark.parametrize("version", ["1.30", "1.35.2"])
def test_a_version_stays_text_in_a_file_and_on_the_command_line(spec_file: Path, version: str) -> None:
    spec_file.write_text(f"cluster:\n  kubernetes_version: {version}\n")
    assert wanted(spec_file).cluster.kubernetes_version == version
    assert wanted(None, f"cluster.kubernetes_version={version}").cluster.kubernetes_version == version


def test_every_kind_of_value_can_be_set() -> None:
    spec = wanted(
        None,
        "postgres_pool.max_count=9",
        "postgres_pool.zones=['1', '3']",
        "network.add_worker_address=false",
        "network.authorized_ip_ranges=[20.51.0.0/24]",
        "cluster.tier=Premium",
        "cluster.kubernetes_version=null",
        "storage.blob_owners=[{object_id: 03665733-c087-49f7-9e0d-5b7badfc8b38, type: Group}]",
    )
    assert spec.postgres_pool.max_count == 9
    assert spec.postgres_pool.zones == ["1", "3"]
    assert spec.network.add_worker_address is False
    assert spec.network.authorized_ip_ranges == ["20.51.0.0/24"]
    assert spec.cluster.tier == "Premium"
    assert spec.cluster.kubernetes_version is None
    assert spec.storage.blob_owners[0].type == "Group"


def test_one_tag_or_label_can_be_set_and_keeps_its_dots() -> None:
    spec = wanted(None, "tags.cost.center=0042", "postgres_pool.labels.example.com/disk=fast")
    assert spec.tags == {"cost.center": "0042"}
    assert spec.postgres_pool.labels == {"example.com/disk": "fast"}


def test_setting_one_field_keeps_the_file_s_other_fields(spec_file: Path) -> None:
    spec_file.write_text("postgres_pool: {min_count: 4}\n")
    spec = wanted(spec_file, "postgres_pool.max_count=9")
    assert (spec.postgres_pool.min_count, spec.postgres_pool.max_count) == (4, 9)


def test_all_problems_are_named_at_once_with_their_fields() -> None:
    with pytest.raises(SpecError) as refused:
        wanted(None, "postgres_pool.max_count=1", "postgres_pol.max_count=9", name="toolongname")
    assert {problem.field for problem in refused.value.problems} == {
        "name",
        "postgres_pool.max_count",
        "postgres_pol",
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: a\nname: b\n", "'name' is there twice"),
        ("name: [unclosed\n", "isn't valid YAML or JSON"),
        ("a: !!python/object/apply:os.getcwd []\n", "isn't valid YAML or JSON"),
    ],
)
def test_a_file_that_makes_no_sense_is_bad_input(spec_file: Path, text: str, words: str) -> None:
    spec_file.write_text(text)
    with pytest.raises(CommandFailed, match=words) as refused:
        wanted(spec_file)
    assert refused.value.code == ExitCode.BAD_INPUT


def test_a_file_that_is_a_list_is_refused_as_a_spec(spec_file: Path) -> None:
    spec_file.write_text("- name: a\n")
    with pytest.raises(SpecError, match="mapping"):
        wanted(spec_file)


def test_a_missing_file_is_bad_input(spec_file: Path) -> None:
    with pytest.raises(CommandFailed, match="No such file") as refused:
        wanted(spec_file)
    assert refused.value.code == ExitCode.BAD_INPUT


@pytest.mark.parametrize("setting", ["postgres_pool.max_count", "=9", "postgres_pool.zones=[1"])
def test_a_setting_that_makes_no_sense_is_bad_input(setting: str) -> None:
    with pytest.raises(CommandFailed, match="--set") as refused:
        wanted(None, setting)
    assert refused.value.code == ExitCode.BAD_INPUT


def stand_in() -> RunningSandbox:
    texts = dict.fromkeys(RunningSandbox.__dataclass_fields__, "")
    return RunningSandbox(
        **{
            **texts,
            "pid": 1,
            "speed": 60.0,
            "state": Path(),
            "operator_manifest_url": "https://localhost:1/m.yaml",
            "operator_manifest_sha256": "0" * 64,
        }  # type: ignore[arg-type]
    )


def test_the_sandbox_s_operator_is_used_unless_another_was_asked_for() -> None:
    assert wanted(None, sandbox=stand_in()).operator.manifest_sha256 == "0" * 64
    asked = wanted(None, f"operator.manifest_sha256={'1' * 64}", sandbox=stand_in()).operator
    assert (asked.manifest_sha256, asked.manifest_url) == ("1" * 64, OperatorSpec().manifest_url)


def test_a_chart_isnt_mixed_with_the_sandbox_s_manifest() -> None:
    operator = wanted(None, "operator.installer=helm", sandbox=stand_in()).operator
    assert (operator.installer, operator.manifest_url) == ("helm", OperatorSpec().manifest_url)


def test_values_of_a_chart_are_set_by_their_paths_and_keep_their_types() -> None:
    settings = ("replicaCount=2", "config.data.INHERITED_LABELS=team", "webhook={port: 9444}")
    spec = wanted(
        None, "operator.installer=helm", *(f"operator.chart_values.{setting}" for setting in settings)
    )
    assert spec.operator.chart_values == {
        "replicaCount": 2,
        "config": {"data": {"INHERITED_LABELS": "team"}},
        "webhook": {"port": 9444},
    }


def test_every_field_can_be_named_and_says_what_it_means() -> None:
    fields = list(spec_fields())
    assert {"name", "region", "postgres_pool.max_count", "operator.version"} <= {f.path for f in fields}
    assert [field.path for field in fields if not field.info.description] == []
