"""The rotation of encryption keys, and workers that have not heard of it."""

from __future__ import annotations

import io
import threading
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command
from django.db import connection, connections, transaction
from pytest_django import Settings

from agents.editing import edit_agent
from agents.models import Agent
from lap.core import rotation
from lap.core.secrets import Undecryptable
from sessions.models import Session
from tests.conftest import MakeAgent
from tests.processes import Workers, is_somebody_waiting, wait_for

OLD, NEW, LOST = (Fernet.generate_key().decode() for _ in range(3))
COLUMNS = ("env_vars", "attachments", "harness_token")
SECRETS = {
    "env_vars": {"TOKEN": "session"},
    "attachments": [{"name": "a.png", "base64": "eA=="}],
    "harness_token": "token",
}


@pytest.fixture(autouse=True)
def old_key(settings: Settings) -> None:
    settings.LAP_ENCRYPTION_KEYS = [OLD]


@pytest.fixture
def session(make_agent: MakeAgent) -> Session:
    return Session.objects.create(agent=make_agent(env_vars={"TOKEN": "agent"}), **SECRETS)


def run(*arguments: str) -> dict[str, str]:
    """What the command says, by column."""
    output = io.StringIO()
    call_command("reencrypt_secrets", *arguments, stdout=output)
    return dict(line.split(": ", 1) for line in output.getvalue().splitlines())


def counts(reencrypted: int, current: int, undecryptable: int = 0) -> str:
    return (
        f"{reencrypted} re-encrypted, {current} already under the first key,"
        f" {undecryptable} undecryptable"
    )


def stored() -> list[tuple[Any, ...]]:
    """Every column of every row, as the database holds it."""
    with connection.cursor() as cursor:
        rows: list[tuple[Any, ...]] = []
        for table in ("agents_agent", "agent_sessions_session"):
            cursor.execute(f"SELECT '{table}', * FROM {table} ORDER BY id")
            rows += cursor.fetchall()
    return rows


def test_everything_is_readable_without_the_old_key(settings: Settings, session: Session) -> None:
    settings.LAP_ENCRYPTION_KEYS = [NEW, OLD]
    assert run() == {
        "agents.Agent.env_vars": counts(1, 0),
        "agent_sessions.Session.env_vars": counts(1, 0),
        "agent_sessions.Session.attachments": counts(1, 0),
        "agent_sessions.Session.harness_token": counts(1, 0),
    }
    settings.LAP_ENCRYPTION_KEYS = [NEW]
    found = Session.objects.get()
    assert {name: getattr(found, name) for name in COLUMNS} == SECRETS
    assert Agent.objects.get().env_vars == {"TOKEN": "agent"}


def test_nothing_else_is_written(settings: Settings, session: Session) -> None:
    before = stored()
    settings.LAP_ENCRYPTION_KEYS = [NEW, OLD]
    run()
    after = stored()
    changed = [
        sum(old != new for old, new in zip(was, is_, strict=True))
        for was, is_ in zip(before, after, strict=True)
    ]
    assert changed == [1, 3]


def test_a_second_run_finds_nothing_to_do(settings: Settings, session: Session) -> None:
    settings.LAP_ENCRYPTION_KEYS = [NEW, OLD]
    run()
    before = stored()
    assert set(run().values()) == {counts(0, 1)}
    assert stored() == before


@pytest.mark.parametrize(
    ("batch", "batch_bytes"), [(1, 1), (2, 1), (3, 10**9), (4, 10**9), (100, 250), (100, 10**9)]
)
def test_batches_of_any_size_reach_every_row(
    settings: Settings,
    make_agent: MakeAgent,
    monkeypatch: pytest.MonkeyPatch,
    batch: int,
    batch_bytes: int,
) -> None:
    monkeypatch.setattr(rotation, "BATCH_BYTES", batch_bytes)
    for _ in range(4):
        make_agent(env_vars={"A": "x" * 100})
    settings.LAP_ENCRYPTION_KEYS = [NEW, OLD]
    for _ in range(3):
        make_agent()
    assert run("--batch", str(batch))["agents.Agent.env_vars"] == counts(4, 3)


def test_deleted_agents_and_empty_columns(settings: Settings, make_agent: MakeAgent) -> None:
    agent = make_agent()
    Agent.objects.update(deleted_at="2026-03-01T00:00Z")
    Session.objects.create(agent=agent)
    settings.LAP_ENCRYPTION_KEYS = [NEW, OLD]
    said = run()
    assert said.pop("agents.Agent.env_vars") == counts(1, 0)
    assert set(said.values()) == {counts(0, 0)}


def test_what_no_key_opens_is_named_and_left_alone(
    settings: Settings, make_agent: MakeAgent, session: Session
) -> None:
    settings.LAP_ENCRYPTION_KEYS = [LOST]
    lost = make_agent(env_vars={"A": "lost"})
    settings.LAP_ENCRYPTION_KEYS = [OLD]
    broken = make_agent()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE agents_agent SET env_vars = 'gàrbage' WHERE id = %s", [broken.id])
    before = [row for row in stored() if lost.id in row or broken.id in row]
    settings.LAP_ENCRYPTION_KEYS = [NEW, OLD]
    output = io.StringIO()
    with pytest.raises(CommandError, match="2 could not be decrypted") as caught:
        call_command("reencrypt_secrets", stdout=output)
    assert caught.value.returncode == 1
    lines = output.getvalue().splitlines()
    assert lines[0] == f"agents.Agent.env_vars: {counts(1, 0, 2)}"
    assert set(lines[1:3]) == {f"  undecryptable: {agent.id}" for agent in (lost, broken)}
    assert [row for row in stored() if lost.id in row or broken.id in row] == before
    assert "harness_token: 1 re-encrypted" in output.getvalue()


@pytest.mark.parametrize("batch", ["0", "-1"])
def test_a_batch_has_rows(db: None, batch: str) -> None:
    with pytest.raises(CommandError, match="at least 1"):
        run("--batch", batch)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("key", [NEW, OLD])
def test_an_edit_during_the_run_is_not_lost(
    settings: Settings, make_agent: MakeAgent, key: str
) -> None:
    """The run has read the row, and waits for the edit's lock when it writes.

    A process that still writes with the old key is caught too: the row is looked at again.
    """
    agent, other = make_agent(env_vars={"A": "old"}), make_agent(env_vars={"A": "other"})
    settings.LAP_ENCRYPTION_KEYS = [NEW, OLD]
    rotating = threading.Thread(target=_run_and_close)
    with transaction.atomic():
        settings.LAP_ENCRYPTION_KEYS = [key, *({NEW, OLD} - {key})]
        edit_agent(agent.id, {"env_vars": {"A": "edited"}}, "test")
        settings.LAP_ENCRYPTION_KEYS = [NEW, OLD]
        rotating.start()
        wait_for(is_somebody_waiting)
    rotating.join(timeout=30)
    settings.LAP_ENCRYPTION_KEYS = [NEW]
    assert Agent.objects.get(id=agent.id).env_vars == {"A": "edited"}
    assert Agent.objects.get(id=other.id).env_vars == {"A": "other"}


@pytest.mark.django_db(transaction=True)
def test_a_deadlock_is_only_a_delay(settings: Settings, make_agent: MakeAgent) -> None:
    """Somebody locks the last row, then the first; the run locks them the other way round.

    The run, which waits first, is the one that PostgreSQL ends.
    """
    agents = sorted((make_agent(env_vars={"A": str(n)}) for n in range(2)), key=lambda a: a.id)
    settings.LAP_ENCRYPTION_KEYS = [NEW, OLD]
    rotating = threading.Thread(target=_run_and_close)
    with transaction.atomic():
        Agent.objects.lock(agents[1].id)
        rotating.start()
        wait_for(is_somebody_waiting)
        Agent.objects.lock(agents[0].id)
    rotating.join(timeout=30)
    settings.LAP_ENCRYPTION_KEYS = [NEW]
    assert [Agent.objects.get(id=agent.id).env_vars for agent in agents] == [
        agent.env_vars for agent in agents
    ]


def _run_and_close() -> None:
    run()
    connections.close_all()


@pytest.mark.django_db(transaction=True)
def test_a_worker_without_the_key_refuses_to_start(
    settings: Settings, make_agent: MakeAgent
) -> None:
    make_agent(env_vars={"A": "old"})
    settings.LAP_ENCRYPTION_KEYS = [NEW]
    with pytest.raises(CommandError, match="LAP_ENCRYPTION_KEYS"):
        call_command("run_cron_worker", "--once")
    assert isinstance(Agent.objects.get().env_vars, Undecryptable)


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("keys", [[OLD], [NEW, OLD], None])
def test_a_worker_with_the_key_starts(
    settings: Settings, make_agent: MakeAgent, workers: Workers, keys: list[str] | None
) -> None:
    if keys:
        make_agent(env_vars={"A": "old"})
    settings.LAP_ENCRYPTION_KEYS = keys or [NEW]
    process = workers.start("--once")
    assert process.wait(timeout=60) == 0, workers.logs()
