"""Deleting an agent: the page says what goes with it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from agents.editing import delete_agent
from agents.models import Agent
from agents.pages import COUNTED
from lap.core import clock
from scheduler.models import CronFire
from sessions.models import Session
from tests.agents.browser import messages_of
from tests.agents.html import find, parsed, text
from tests.api import NOBODY
from tests.conftest import MakeAgent


def url_of(agent: Agent) -> str:
    return reverse("delete-agent", args=[agent.id])


def consequences(response: Any) -> dict[str, str]:
    texts = [text(one) for one in find(parsed(response), "dl.consequences > *")]
    return dict(zip(texts[::2], texts[1::2], strict=True))


def test_it_names_what_goes_with_the_agent(ada: Client, nightly: Agent) -> None:
    now = clock.now()
    for status in ("creating", "ready"):
        Session.objects.create(agent=nightly, status=status)
    Session.objects.create(agent=nightly, status="dead", stopped_at=now)
    CronFire.objects.create(agent=nightly, scheduled_for=now, outcome="missed", decided_at=now)
    assert consequences(ada.get(url_of(nightly))) == {
        "Schedule": "Daily at 09:00 (America/New_York) is cleared: no further run starts.",
        "Active sessions": "2 are asked to stop.",
        "Past sessions": "1 stays readable.",
        "Ledger": "1 row stays, readable in the admin only.",
    }
    nightly.refresh_from_db()
    assert nightly.deleted_at is None


def test_an_agent_that_has_nothing(ada: Client, make_agent: MakeAgent) -> None:
    assert set(consequences(ada.get(url_of(make_agent()))).values()) == {"None.", "No row."}


def test_a_long_history_is_not_counted_to_its_end(ada: Client, nightly: Agent) -> None:
    now = clock.now()
    CronFire.objects.bulk_create(
        CronFire(
            agent=nightly, scheduled_for=now - timedelta(minutes=n), outcome="paused",
            decided_at=now,
        )
        for n in range(COUNTED + 1)
    )  # fmt: skip
    shown = consequences(ada.get(url_of(nightly)))
    assert shown["Ledger"] == f"more than {COUNTED} rows stay, readable in the admin only."


def test_confirmed_it_deletes(ada: Client, nightly: Agent) -> None:
    response = ada.post(url_of(nightly), follow=True)
    assert response.redirect_chain == [(reverse("agents"), 302)]
    assert messages_of(response) == ["Deleted “Nightly report”."]
    nightly.refresh_from_db()
    assert nightly.deleted_at is not None
    assert nightly.cron_schedule is None
    assert nightly.schedule_changes.latest("id").actor == "ada"


@pytest.mark.parametrize(
    "stored",
    [{"harness_id": "gone"}, {"model": ""}, {"tools": {}}, {"cron_timezone": "Mars/Base"}],
)
def test_a_row_that_later_rules_refuse_is_deleted(
    ada: Client, nightly: Agent, stored: dict[str, Any]
) -> None:
    Agent.objects.update(**stored)
    assert ada.post(url_of(nightly)).status_code == 302
    assert not Agent.objects.alive().exists()


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("page", ["delete-agent", "edit-agent"])
def test_an_agent_that_is_gone_has_no_pages(
    ada: Client, nightly: Agent, page: str, method: str
) -> None:
    delete_agent(nightly.id, "bob")
    for agent_id in (nightly.id, NOBODY):
        answer = getattr(ada, method)(reverse(page, args=[agent_id]))
        assert answer.status_code == 404
        assert "It may have been deleted" in answer.content.decode()


@pytest.mark.parametrize("method", ["get", "post"])
def test_it_needs_the_permission(client: Client, nightly: Agent, method: str) -> None:
    bob = User.objects.create(username="bob")
    bob.user_permissions.set(Permission.objects.filter(codename__in=["view_agent", "change_agent"]))
    client.force_login(bob)
    assert getattr(client, method)(url_of(nightly)).status_code == 403
    assert Agent.objects.alive().exists()
