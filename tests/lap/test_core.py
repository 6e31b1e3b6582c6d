"""Settings, secrets, log lines and transactions."""

from __future__ import annotations

import logging
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper
from pytest_django import Settings

from agents.editing import edit_agent
from agents.models import Agent
from lap import env, keys
from lap.checks import check_hosts
from lap.core import secrets, transactions
from lap.core.errors import DATABASE_AWAY
from lap.core.logs import LineFormatter
from tests.conftest import MakeAgent


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("x", "LAP_X must be a number, not 'x'"),
        ("-1", "LAP_X must be at least 0, not -1"),
        ("nan", "LAP_X must be at least 0, not nan"),
        ("1.5", "LAP_X must be a whole number, not 1.5"),
    ],
)
def test_bad_numbers_name_their_variable(
    monkeypatch: pytest.MonkeyPatch, value: str, sentence: str
) -> None:
    monkeypatch.setenv("LAP_X", value)
    with pytest.raises(ImproperlyConfigured, match=f"^{sentence}$"):
        env.integer("LAP_X", 1)


@pytest.mark.parametrize(
    ("value", "expected"), [("", True), ("1", True), ("yes", True), ("0", False), ("false", False)]
)
def test_flags(monkeypatch: pytest.MonkeyPatch, value: str, expected: bool) -> None:
    monkeypatch.setenv("LAP_X", value)
    assert env.flag("LAP_X", default=True) is expected


def test_a_flag_that_is_neither_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAP_X", "maybe")
    with pytest.raises(ImproperlyConfigured, match="LAP_X must be 1 or 0"):
        env.flag("LAP_X")


def test_capitals_of_a_choice_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAP_X", "debug")
    assert env.choice("LAP_X", "INFO", "DEBUG") == "DEBUG"
    monkeypatch.setenv("LAP_X", "loud")
    with pytest.raises(ImproperlyConfigured, match="LAP_X must be one of INFO, DEBUG, not 'loud'"):
        env.choice("LAP_X", "INFO", "DEBUG")


def test_an_empty_variable_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAP_X", "")
    assert env.text("LAP_X", "default") == "default"
    assert env.database("LAP_X", "postgresql://host/name") == "postgresql://host/name"
    assert env.words("LAP_X", "a,b") == ["a", "b"]


def test_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAP_X", "https://lap.example.com//")
    assert env.url("LAP_X", "") == "https://lap.example.com"
    monkeypatch.setenv("LAP_X", "lap.example.com")
    with pytest.raises(ImproperlyConfigured, match=r"LAP_X must be like https://lap\."):
        env.url("LAP_X", "")


def test_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAP_X", " a, b ,,c")
    assert env.words("LAP_X") == ["a", "b", "c"]


@pytest.mark.parametrize("name", ["master.key", "secret.key", "encryption.key"])
def test_generated_secrets_are_private_and_stay(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "data"
    secret = keys.ensure(folder, name)
    assert len(secret) >= 32
    assert keys.ensure(folder, name) == secret
    assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [path.name for path in folder.iterdir()] == [name]


def test_secrets_do_not_show_themselves() -> None:
    hidden = secrets.SecretMap(TOKEN="the-secret")
    assert "the-secret" not in f"{hidden!r} {hidden}"
    assert hidden.masked() == {"TOKEN": "********"}


def test_values_are_encrypted_at_rest(make_agent: MakeAgent) -> None:
    agent = make_agent(env_vars={"TOKEN": "the-secret"})
    with connection.cursor() as cursor:
        cursor.execute("SELECT row_to_json(agents_agent)::text FROM agents_agent")
        assert "the-secret" not in cursor.fetchone()[0]
    assert Agent.objects.get(id=agent.id).env_vars == {"TOKEN": "the-secret"}


def test_keys_can_be_rotated(settings: Settings) -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    settings.LAP_ENCRYPTION_KEYS = [old]
    stored = secrets.encrypt({"a": "b"})
    settings.LAP_ENCRYPTION_KEYS = [new, old]
    assert secrets.decrypt(stored) == {"a": "b"}
    settings.LAP_ENCRYPTION_KEYS = [new]
    unread = secrets.decrypt(stored)
    with pytest.raises(ImproperlyConfigured, match="not in LAP_ENCRYPTION_KEYS"):
        unread["a"]


def test_a_row_whose_secret_cannot_be_read_can_still_be_edited(
    make_agent: MakeAgent, settings: Settings
) -> None:
    agent = make_agent(env_vars={"TOKEN": "the-secret"})
    old = settings.LAP_ENCRYPTION_KEYS
    settings.LAP_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    edited = edit_agent(agent.id, {"name": "renamed"}, "test")
    assert edited.env_vars.masked() == {}
    settings.LAP_ENCRYPTION_KEYS = old
    assert Agent.objects.get(id=agent.id).env_vars == {"TOKEN": "the-secret"}


@pytest.mark.parametrize("configured", [[], ["not a key"]])
def test_bad_encryption_keys_are_named(settings: Settings, configured: list[str]) -> None:
    settings.LAP_ENCRYPTION_KEYS = configured
    with pytest.raises(ImproperlyConfigured, match="LAP_ENCRYPTION_KEYS"):
        secrets.encrypt("x")


def test_a_log_line_tells_which_run_it_is_about() -> None:
    record = logging.LogRecord("sessions.bringup", logging.INFO, "", 0, "ready", None, None)
    record.agent, record.session = "nightly", "735b227c"
    record.scheduled_for = datetime(2026, 3, 2, 9, tzinfo=UTC)
    line = LineFormatter().format(record)
    assert line.endswith(
        "INFO    bringup    ready  [agent=nightly session=735b227c scheduled_for=2026-03-02T09:00Z]"
    )


def test_a_log_line_does_not_move_the_readers_cursor() -> None:
    text = "\x1b[2Jwiped\nforged line\x9b"
    record = logging.LogRecord("a.b", logging.INFO, "", 0, "reply: %s", (text,), None)
    assert LineFormatter().format(record).endswith(r"reply: \x1b[2Jwiped\nforged line\x9b")


@pytest.mark.django_db
def test_production_refuses_generated_secrets(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    for name in ("LAP_SECRET_KEY", "LAP_MASTER_KEY", "LAP_ENCRYPTION_KEYS"):
        monkeypatch.delenv(name, raising=False)
    settings.LAP_USES_EMBEDDED_POSTGRES = True
    with pytest.raises(SystemCheckError) as refused:
        call_command("check", deploy=True)
    assert str(refused.value).count("lap.E001") == 3
    assert "lap.E002" in str(refused.value)


@pytest.mark.parametrize(
    ("host", "is_wrong"),
    [
        ("lap.example.com", False), (".example.com", False), ("*", False), ("[::1]", False),
        ("lap-web.lap.svc", False), ("https://lap.example.com", True), ("lap.example.com/", True),
        ("lap.example.com:8000", True),
    ],
)  # fmt: skip
def test_hosts_are_bare_names(settings: Settings, host: str, is_wrong: bool) -> None:
    settings.ALLOWED_HOSTS = ["localhost", host]
    assert [found.msg for found in check_hosts()] == (
        [f"LAP_ALLOWED_HOSTS names {host!r}, which no host is."] if is_wrong else []
    )


@pytest.mark.django_db(transaction=True)
def test_a_stopped_process_does_not_hold_agents(
    make_agent: MakeAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It locks an agent and falls silent: PostgreSQL ends its transaction for it."""
    monkeypatch.setattr(transactions, "IDLE_TIMEOUT", "100ms")
    agent = make_agent()
    other = connection.copy()
    with pytest.raises(DATABASE_AWAY), transactions.claim_transaction():
        _lock_and_fall_silent(agent, other)
    connection.close()
    other.close()


def _lock_and_fall_silent(agent: Agent, other: BaseDatabaseWrapper) -> None:
    Agent.objects.lock(agent.id)
    with other.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM (SELECT 1 FROM agents_agent FOR UPDATE) AS waited")
        assert cursor.fetchone() == (1,)
    Agent.objects.count()
