"""The timeline of a run: which steps its length is made of, and what each waited for."""

import xml.etree.ElementTree as ET

import pytest

from aks_postgres.reports.journal import Event, Journal, Operation
from aks_postgres.reports.step_titles import title_of_step
from aks_postgres.runs.timeline import Bar, bars, timeline_svg, timeline_table

EDGES = {
    "preflight cnpg": (),
    "ensure_storage_account hacnpg": ("preflight cnpg",),
    "ensure_grafana grafana-cnpg": ("preflight cnpg",),
    "ensure_cluster aks-cnpg": ("preflight cnpg", "ensure_storage_account hacnpg"),
    "verify_environment aks-cnpg": ("ensure_cluster aks-cnpg",),
}


def told() -> Journal:
    """A run of ten seconds in which Grafana is beside the critical path."""
    journal = Journal()
    steps = {
        "preflight cnpg": (0.0, 1.0),
        "ensure_storage_account hacnpg": (1.0, 3.0),
        "ensure_grafana grafana-cnpg": (1.0, 5.0),
        "ensure_cluster aks-cnpg": (3.5, 9.0),
        "verify_environment aks-cnpg": (9.0, 10.0),
    }
    for step, (began_s, ended_s) in steps.items():
        journal.events += [Event(began_s, step, "started", ""), Event(ended_s, step, "created", "")]
    busy = "AKS cluster aks-cnpg: AKS is busy with another operation (409 OperationNotAllowed); again in 10 s"
    journal.events += [Event(4.0, "ensure_cluster aks-cnpg", "conflict", busy)] * 2
    journal.operations += [
        Operation("ensure_cluster aks-cnpg", "AKS cluster", 4.0, 8.0),
        Operation("ensure_grafana grafana-cnpg", "Grafana", 1.5, None),
    ]
    return journal


@pytest.fixture
def found() -> dict[str, Bar]:
    return {bar.name: bar for bar in bars(told(), EDGES)}


def test_the_critical_path_is_the_chain_of_steps_that_ended_last(found: dict[str, Bar]) -> None:
    critical = [name for name, bar in found.items() if bar.is_critical]
    assert critical == ["preflight", "ensure_storage_account", "ensure_cluster", "verify_environment"]


def test_a_step_knows_what_it_came_after_and_what_azure_did_for_it(found: dict[str, Bar]) -> None:
    cluster = found["ensure_cluster"]
    assert (cluster.after, cluster.took_s, cluster.azure_s) == ("ensure_storage_account", 5.5, 4.0)
    assert cluster.waits == ("AKS is busy with another operation (2 times)",)
    assert found["ensure_grafana"].azure_s == 3.5, (
        "an operation nobody saw the end of lasts as long as its step"
    )


def test_an_operation_belongs_to_the_step_that_began_it_and_to_the_one_that_saw_its_end() -> None:
    journal = told()
    journal.operations[0] = Operation(
        "ensure_storage_account hacnpg", "AKS cluster", 2.0, 8.0, ended_in="ensure_cluster aks-cnpg"
    )
    by_name = {bar.name: bar for bar in bars(journal, EDGES)}
    assert (by_name["ensure_storage_account"].azure_s, by_name["ensure_cluster"].azure_s) == (1.0, 4.5)


def test_the_same_step_of_two_generations_has_two_bars() -> None:
    journal = Journal()
    for generation, began_s in (("1", 0.0), ("2", 5.0)):
        step = f"delete_cluster aks-{generation}"
        journal.events += [Event(began_s, step, "started", ""), Event(began_s + 2, step, "done", "")]
        journal.operations.append(Operation(step, "AKS cluster", began_s, began_s + 1))
    first, second = bars(journal, {"delete_cluster aks-2": ("delete_cluster aks-1",)})
    assert (first.name, second.name) == ("delete_cluster aks-1", "delete_cluster aks-2")
    assert (second.began_s, second.azure_s, second.after) == (5.0, 1.0, "delete_cluster aks-1")


def test_a_step_that_was_planned_before_the_approval_begins_when_it_is_done() -> None:
    journal = Journal()
    for at_s, is_planned in ((0.0, True), (50.0, False)):
        for step in ("preflight cnpg", "ensure_cluster aks-cnpg"):
            journal.events += [Event(at_s, step, "started", ""), Event(at_s, step, "waiting", "for Azure")]
        journal.events.append(Event(at_s + 1, "preflight cnpg", "done", "", is_planned=is_planned))
        journal.events.append(
            Event(at_s + 2, "ensure_cluster aks-cnpg", "created", "", is_planned=is_planned)
        )
    preflight, cluster = bars(journal, {"ensure_cluster aks-cnpg": ("preflight cnpg",)})
    assert (preflight.began_s, preflight.took_s, cluster.began_s, cluster.took_s) == (50.0, 1.0, 50.0, 2.0)
    # A plan alone has only that.
    journal.events = journal.events[: len(journal.events) // 2]
    assert [bar.began_s for bar in bars(journal, {})] == [0.0, 0.0]


def test_operations_that_overlap_count_once() -> None:
    bar = Bar("ensure_rule_groups", 0, 10, "created", ((1, 4), (2, 5), (7, 8)))
    assert bar.azure_s == 5


def test_the_table_explains_every_gap(found: dict[str, Bar]) -> None:
    table = timeline_table([*found.values()])
    assert "4 of 5 steps, 10.0 s; for 4.0 s of that Azure was at work" in table
    row = next(line for line in table.splitlines() if "ensure_cluster" in line and "AKS is busy" in line)
    assert "| AKS cluster `ensure_cluster` |" in row
    assert "after Backups: storage account, +0.5 s" in row
    assert "ensure_grafana" not in table
    assert "ensure_grafana" in timeline_table([*found.values()], every_step=True)


def test_the_picture_has_a_row_a_step_and_marks_the_critical_path(found: dict[str, Bar]) -> None:
    picture = ET.fromstring(timeline_svg([*found.values()], "cnpg in <westus3> & more"))
    texts = {text.text: text for text in picture.iter("{http://www.w3.org/2000/svg}text")}
    titles = {title_of_step(name): bar for name, bar in found.items()}
    assert set(titles) < set(texts)
    assert {title for title in titles if texts[title].get("font-weight") == "bold"} == {
        title for title, bar in titles.items() if bar.is_critical
    }
    assert "cnpg in <westus3> & more" in texts


def test_a_run_without_steps_has_a_timeline_all_the_same() -> None:
    assert timeline_table([]) == "No step ended."
    assert ET.fromstring(timeline_svg([], "nothing")) is not None
