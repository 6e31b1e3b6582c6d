"""A browser in Django's admin: opens an agent's form, types into it, saves."""

from __future__ import annotations

from typing import Any

from django import forms
from django.test import Client
from django.urls import reverse

from agents.editing import disable_invalid
from agents.forms import AgentForm
from agents.models import Agent
from lap.core import clock

LIST = "/admin/agents/agent/"
ADD = "/admin/agents/agent/add/"


def change_url(agent: Agent) -> str:
    return reverse("admin:agents_agent_change", args=[agent.pk])


def sent_by_browser(form: forms.BaseForm) -> dict[str, str]:
    """What a browser sends of a form that nobody touched: lines end in CRLF there."""
    sent: dict[str, str] = {}
    for field in form:
        value = field.value()
        if isinstance(field.field.widget, forms.CheckboxInput):
            sent |= {field.html_name: "on"} if value else {}
        else:
            sent[field.html_name] = "" if value is None else str(value).replace("\n", "\r\n")
    return sent


def page_form(response: Any) -> forms.BaseForm:
    form: forms.BaseForm = response.context["adminform"].form
    return form


def opened(client: Client, url: str) -> dict[str, str]:
    """Open a form's page and return what it would send."""
    return sent_by_browser(page_form(client.get(url)))


def save(client: Client, agent: Agent, **typed: str) -> Any:
    """Type into the agent's form and press Save; spares the time to render the page first."""
    untouched = sent_by_browser(AgentForm(instance=Agent.objects.get(pk=agent.pk)))
    return client.post(change_url(agent), {**untouched, **typed})


def row(agent: Agent) -> dict[str, Any]:
    return {**Agent.objects.filter(pk=agent.pk).values().get()}


def messages_of(response: Any) -> list[str]:
    return [str(message) for message in response.context["messages"]]


def spoil(agent: Agent) -> None:
    """Give the agent a schedule that no longer parses, as the worker finds it."""
    Agent.objects.filter(pk=agent.pk).update(cron_schedule="@daily")
    agent.refresh_from_db()
    disable_invalid(agent.id, "it does not parse", clock.now())
