"""What the automations say of themselves; tests/deploy/test_server.py lets a server carry them out."""

import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from prefect.events.actions import DoNothing, SendNotification

from aks_postgres.deploy.automations import apply_automations, automations


def test_each_has_a_name_a_sentence_and_an_action_and_says_where_nobody_is_told() -> None:
    silent, telling = list(automations(None, 45)), list(automations(uuid4(), 45))
    assert [one.name for one in silent] == [one.name for one in telling]
    assert len({one.name for one in silent}) == len(silent)
    for without, named in zip(silent, telling, strict=True):
        assert without.name.startswith("aks-postgres: ")
        assert without.description[0].isupper() or without.description.startswith("plan ")
        assert named.description.endswith(".")
        assert [action for action in named.actions if isinstance(action, DoNothing)] == []
        tells = isinstance(without.actions[0], DoNothing)
        assert ("Nobody is told: name a notification block" in without.description) is tells
        assert "Nobody is told" not in named.description


@pytest.mark.thorough
def test_another_process_makes_the_same_of_them() -> None:
    """A set's order is another one there, and `apply` would report an update each time."""
    program = (
        "from aks_postgres.deploy.automations import automations\n"
        "print([one.model_dump_json(include={'trigger': {'match', 'match_related'}}) for one in automations(None, 45)])"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(seen) == 1


@pytest.mark.parametrize("loses_events", [True, False])
async def test_a_server_that_loses_events_ends_no_run_by_itself(loses_events: bool) -> None:
    made: list[Any] = []

    async def none(_: str) -> list[Any]:
        return []

    async def create(automation: Any) -> None:
        made.append(automation)

    client: Any = SimpleNamespace(read_automations_by_name=none, create_automation=create)
    await apply_automations(client, None, 45, loses_events=loses_events)
    off = [one.name for one in made if not one.enabled]
    assert off == (["aks-postgres: a run died"] if loses_events else [])


# What pings or links in Slack, Teams, Discord or mail.
MARKUP = (
    "<!channel>",
    "<https://x.example|Sign in>",
    "[Sign in](https://x.example)",
    "<at>all</at>",
    "@everyone",
    '<a href="https://x.example">Sign in</a>',
    "```",
)


@pytest.mark.parametrize("markup", MARKUP)
async def test_what_others_wrote_pings_and_links_nobody_in_a_notification(markup: str) -> None:
    """Rendered by Prefect's own templates; the address of the run is left out, which only a server makes."""
    from prefect.server.utilities.user_templates import render_user_template

    state = SimpleNamespace(name=markup, message=f"VM {markup} said")
    resource = SimpleNamespace(name=markup)
    event = SimpleNamespace(resource=resource, payload={"summary": markup})
    context = {"flow_run": SimpleNamespace(name=markup, state=state), "event": event}
    sent = []
    for one in automations(uuid4(), 45):
        for action in one.actions:
            if isinstance(action, SendNotification):
                for template in (action.subject, action.body):
                    text = template.replace("{{ (flow_run|ui_url) or flow_run.id }}", "")
                    sent.append(await render_user_template(text, context))
    assert any("VM " in text and " said" in text for text in sent)
    assert not [text for text in sent if any(sign in text for sign in "<>[]@`") or "Failed to render" in text]
