"""Rows and people for the tests of the sessions' pages."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Permission, User
from django.http import HttpResponse
from django.test import Client

from agents.models import Agent
from lap.core import clock
from sessions.models import Session

HTMX = {"HX-Request": "true"}


def person(*permissions: str) -> User:
    """Somebody who may do these things, and nothing else."""
    user = User.objects.create(username="ada")
    user.user_permissions.add(*Permission.objects.filter(codename__in=permissions))
    return user


def session_of(agent: Agent, **columns: Any) -> Session:
    """A session; a final one has ended now."""
    is_final = columns.get("status") in ("completed", "failed", "dead")
    ended = {"stopped_at": clock.now()} if is_final else {}
    return Session.objects.create(agent=agent, **{**ended, **columns})


def text_of(response: Any) -> str:
    """The body of a page or a fragment that was shown."""
    assert isinstance(response, HttpResponse)
    assert response.status_code == 200, response.status_code
    return response.content.decode()


def fragment(client: Client, url: str) -> Any:
    """What htmx gets."""
    return client.get(url, headers=HTMX)
