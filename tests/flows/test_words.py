"""What has to be typed is judged first: a wrong word ends the run before Azure is asked, and wakes nobody."""

from itertools import product
from typing import Any

import pytest
from prefect.client.schemas.objects import State, StateType
from prefect.events.schemas.automations import EventTrigger

from aks_postgres.deploy.automations import automations
from aks_postgres.flows.rebuild import rebuild
from aks_postgres.flows.tear_down import tear_down
from aks_postgres.spec.confirmation import word_problems
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import Names
from azure_sandbox.client import SandboxProcess

KEY = "cnpg-canadacentral"
SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"
WRONG = ["", "CNPG-canadacentral"]
CASES: list[tuple[Any, dict[str, Any]]] = [
    *((tear_down, {"confirm": wrong}) for wrong in WRONG),
    *((tear_down, {"confirm": KEY, "discard_data": wrong}) for wrong in WRONG),
    *((tear_down, {"confirm": KEY, "delete_backups": wrong}) for wrong in ["", KEY]),
    *((rebuild, {"confirm": wrong}) for wrong in WRONG),
    *((rebuild, {"confirm": KEY, "discard_data": wrong}) for wrong in WRONG),
    *((rebuild, {"confirm": wrong, "approval": True, "strategy": "replace"}) for wrong in WRONG[:1]),
]


@pytest.mark.usefixtures("prefect_api")
@pytest.mark.parametrize(("flow", "words"), CASES)
async def test_a_wrong_word_ends_the_run_with_azure_not_asked(
    azure: SandboxProcess, spec: EnvironmentSpec, flow: Any, words: dict[str, Any]
) -> None:
    since = len(azure.ledger())
    state: State[Any] = await flow(spec, **words, return_state=True)
    assert (state.type, state.name) == (StateType.CANCELLED, "NotConfirmed")
    name = next(name for name in ("delete_backups", "discard_data", "confirm") if name in words)
    assert f"- {name}: {words[name]!r} was given" in str(state.message)
    assert "nothing was deleted or written" in str(state.message)
    assert azure.ledger()[since:] == []


def test_no_automation_acts_on_the_state_of_a_run_with_a_wrong_word() -> None:
    for one in automations(None, 45):
        trigger = one.trigger
        assert isinstance(trigger, EventTrigger)
        if trigger.posture == "Reactive":
            types = trigger.match.root.get("prefect.state-type") if trigger.match else None
            assert "CANCELLED" not in (types or [])
            assert types or not any(event.startswith("prefect.flow-run") for event in trigger.expect)


@pytest.mark.parametrize("backups", ["own_group", "in_environment_group"])
def test_the_right_words_of_any_generation_pass(backups: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_SUBSCRIPTION_ID", raising=False)
    made = {"storage": {"backups": backups}, "subscription_id": SUBSCRIPTION}
    spec = EnvironmentSpec.model_validate(made)
    for generation in (1, 2, 17):
        account = Names.of(spec, SUBSCRIPTION, generation).storage_account
        assert word_problems(spec, KEY, account, KEY) == []
        (problem,) = word_problems(spec, KEY, account + "x", KEY)
        assert problem.startswith("delete_backups: ")
    # Without a subscription the account's name isn't known yet; Azure's part of the check is still to come.
    assert (
        word_problems(EnvironmentSpec.model_validate(made | {"subscription_id": None}), KEY, "x", KEY) == []
    )


@pytest.mark.parametrize(("confirm", "backups", "data"), list(product([KEY, "x"], [None, "x"], [None, "x"])))
def test_every_wrong_word_is_told_at_once(confirm: str, backups: str | None, data: str | None) -> None:
    spec = EnvironmentSpec(subscription_id=SUBSCRIPTION)
    given = {"confirm": confirm, "delete_backups": backups, "discard_data": data}
    found = [problem.partition(":")[0] for problem in word_problems(spec, confirm, backups, data)]
    assert found == [name for name, word in given.items() if word == "x"]
