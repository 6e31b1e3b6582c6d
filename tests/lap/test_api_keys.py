"""Who gets in with which key, and what a key leaves behind."""

from __future__ import annotations

import re
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings
from rest_framework_api_key.crypto import Sha512ApiKeyHasher

from agents.models import Agent, ScheduleChange
from lap.access.models import GENERATOR, ApiKey
from lap.core.api.authentication import Scope
from lap.core.clock import DatabaseClock
from sessions.models import Session
from tests.api import AGENTS, NOBODY, SESSIONS, Api
from tests.conftest import MakeAgent

LIST = "/admin/access/apikey/"
ADD = f"{LIST}add/"
KEY = re.compile(r"[A-Za-z0-9]{8}\.[A-Za-z0-9]{32}")
ONLY_READS = "this key may only read; use one with the scope write"


def issue(scope: str = "write", name: str = "ci", **columns: Any) -> str:
    """A new key; ``columns`` are written past all validation, in the database's words."""
    row = ApiKey(name=name, scope=scope, created_by="test")
    key = row.issue()
    if columns:
        ApiKey.objects.filter(pk=row.pk).update(**columns)
    return key


def status(key: str, method: str = "GET", path: str = AGENTS, body: Any = None) -> int:
    return Api.anonymous()(method, path, body, Authorization=f"Bearer {key}").status


def row(name: str = "ci") -> ApiKey:
    return ApiKey.objects.get(name=name)


# Who gets in


REVOKED: dict[str, Any] = {"revoked_at": DatabaseClock()}
EXPIRES_NOW: dict[str, Any] = {"expires_at": DatabaseClock()}
EXPIRED: dict[str, Any] = {"expires_at": DatabaseClock() - timedelta(days=1)}
EXPIRES_SOON: dict[str, Any] = {"expires_at": DatabaseClock() + timedelta(minutes=5)}


@pytest.mark.parametrize(
    ("method", "path", "read", "write"),
    [
        ("GET", AGENTS, 200, 200),
        ("HEAD", AGENTS, 200, 200),
        ("GET", f"{AGENTS}/{NOBODY}", 404, 404),
        ("POST", AGENTS, 403, 400),
        ("PATCH", f"{AGENTS}/{NOBODY}", 403, 404),
        ("DELETE", f"{AGENTS}/{NOBODY}", 403, 404),
        ("PUT", AGENTS, 403, 405),
        ("POST", f"{AGENTS}/{NOBODY}/session", 403, 404),
        ("POST", f"{SESSIONS}/{NOBODY}/stop", 403, 404),
        ("POST", "/cron/preview", 400, 400),
    ],
)
@pytest.mark.parametrize(
    ("columns", "is_good"),
    [
        ({}, True),
        (EXPIRES_SOON, True),
        (EXPIRES_NOW, False),
        (EXPIRED, False),
        (REVOKED, False),
        ({**EXPIRES_SOON, **REVOKED}, False),
    ],
    ids=["good", "expires soon", "expires now", "expired", "revoked", "revoked and unexpired"],
)
def test_the_state_and_the_scope_of_a_key_decide(
    db: None,
    columns: dict[str, Any],
    is_good: bool,
    method: str,
    path: str,
    read: int,
    write: int,
) -> None:
    reader, writer = issue("read", "reader", **columns), issue("write", "writer", **columns)
    assert status(reader, method, path, {}) == (read if is_good else 401)
    assert status(writer, method, path, {}) == (write if is_good else 401)


def test_a_reader_is_told_what_it_lacks(db: None, make_agent: MakeAgent) -> None:
    agent = make_agent(name="kept")
    answer = Api.anonymous().delete(f"{AGENTS}/{agent.id}", Authorization=f"Bearer {issue('read')}")
    assert (answer.status, answer.body) == (403, {"error": ONLY_READS})
    assert "WWW-Authenticate" not in answer.headers
    assert Agent.objects.alive().count() == 1


def test_a_reader_may_preview(db: None) -> None:
    asked = {"cron_schedule": "0 9 * * *", "cron_timezone": "UTC"}
    assert status(issue("read"), "POST", "/cron/preview", asked) == 200


def test_the_master_key_writes(db: None) -> None:
    assert Api().post(AGENTS, {"model": "none"}).body["created_by"] == "master key"


@pytest.mark.parametrize(
    "header",
    [
        "Bearer {prefix}.{wrong}", "Bearer {prefix}.", "Bearer {prefix}", "Bearer .{secret}",
        "Bearer {secret}", "Bearer {key}x", "Bearer x{key}", "Bearer {key} {key}", "Bearer {key}.",
        "Bearer {lower}", "Api-Key {key}", "Basic {key}", "{key}", "Token {key}", "Bearer é.ü",
        "Bearer {prefix}.\x00{secret}", "Bearer {prefix}.éééééééééééééééééééééééééééééééé",
        "Bearer {hash}", "Bearer " + "x" * 60_000, "Bearer " + "{key}" * 1000, "Bearer " * 1000,
        "Bearer \u00a0{key}", "x" * 60_000,
    ],
    ids=lambda header: header[:40],
)  # fmt: skip
def test_what_is_not_quite_the_key_is_refused(db: None, header: str) -> None:
    key = issue()
    prefix, secret = key.split(".")
    sent = header.format(
        key=key, prefix=prefix, secret=secret, wrong="x" * 32, lower=key.swapcase(),
        hash=row().hashed_key,
    )  # fmt: skip
    answer = Api.anonymous().get(AGENTS, Authorization=sent)
    assert (answer.status, answer.body) == (401, {"error": "unauthorized"})
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert status(key) == 200


def test_the_secret_of_another_key_is_refused(db: None) -> None:
    one, other = issue(name="one"), issue(name="other")
    assert status(f"{one.split('.')[0]}.{other.split('.')[1]}") == 401


def test_named_keys_work_while_no_master_key_is_configured(db: None, settings: Settings) -> None:
    settings.LAP_MASTER_KEY = ""
    assert status(issue()) == 200
    assert status("") == 401


def test_revoking_counts_from_the_next_request(db: None) -> None:
    key, other = issue(), issue(name="other")
    assert status(key) == 200
    assert ApiKey.objects.filter(name="ci").revoke() == 1
    assert [status(key), status(other)] == [401, 200]
    revoked_at = row().revoked_at
    assert ApiKey.objects.filter(name="ci").revoke() == 0
    assert row().revoked_at == revoked_at


# What is kept


def test_only_a_hash_is_kept(db: None) -> None:
    key = issue()
    secret = key.split(".")[1]
    assert KEY.fullmatch(key)
    stored = ApiKey.objects.filter(name="ci").values().get()
    assert secret not in str(stored)
    assert secret not in repr(row()) + str(vars(row()))
    assert stored["hashed_key"] == Sha512ApiKeyHasher().encode(key, "")
    assert isinstance(GENERATOR.preferred_hasher, Sha512ApiKeyHasher)


def test_its_work_is_recorded_under_its_name(db: None) -> None:
    caller = Api.anonymous()
    headers = {"Authorization": f"Bearer {issue(name='nightly deploy')}"}
    agent = caller.post(AGENTS, {"model": "none", "cron_schedule": "0 9 * * *"}, **headers)
    assert agent.body["created_by"] == "key nightly deploy"
    session = caller.post(f"{AGENTS}/{agent.body['id']}/session", **headers)
    assert Session.objects.get(id=session.body["id"]).created_by == "key nightly deploy"
    assert ScheduleChange.objects.get().actor == "key nightly deploy"


def test_the_longest_name_fits_where_authors_are_kept(db: None) -> None:
    key, limit = issue(name="x" * 100), Agent._meta.get_field("created_by").max_length
    assert limit is not None
    assert len(ApiKey.objects.get().caller().name) <= limit
    assert status(key, "POST", AGENTS, {"model": "none"}) == 200


@pytest.mark.parametrize(
    ("ago", "is_written"),
    [(None, True), (timedelta(seconds=50), False), (timedelta(seconds=61), True)],
)
def test_its_use_is_written_once_a_minute(
    db: None,
    django_assert_num_queries: DjangoAssertNumQueries,
    ago: timedelta | None,
    is_written: bool,
) -> None:
    key = issue(last_used_at=DatabaseClock() - ago if ago else None)
    before = row().last_used_at
    with django_assert_num_queries(5 if is_written else 4) as queries:  # key, rate, 2 for the list
        assert status(key) == 200
    updates = [query for query in queries if query["sql"].startswith("UPDATE")]
    assert len(updates) == is_written
    assert (row().last_used_at != before) == is_written


def test_a_wrong_secret_is_no_use(db: None) -> None:
    key = issue()
    assert status(key[:-1] + ("a" if key[-1] != "a" else "b")) == 401
    assert row().last_used_at is None


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"name": ""}, "cannot be blank"),
        ({"name": "two  blanks"}, "one space"),
        ({"name": " ci"}, "one space"),
        ({"name": "ci\n"}, "one space"),
        ({"name": "ci\0"}, "one space"),
        ({"name": "<b>"}, "one space"),
        ({"name": "x" * 101}, "at most 100"),
        ({"name": "taken"}, "this name is taken"),
        ({"scope": "admin"}, "not a valid choice"),
        ({"expires_at": timezone.now() - timedelta(seconds=1)}, "this time has passed"),
    ],
)
def test_bad_keys_are_not_issued(db: None, columns: dict[str, Any], says: str) -> None:
    issue(name="taken", revoked_at=DatabaseClock())
    with pytest.raises(ValidationError, match=says):
        ApiKey(**{"name": "ci", "scope": Scope.READ, "created_by": "test", **columns}).issue()
    assert ApiKey.objects.count() == 1


def test_no_key_is_written_to_a_log(
    db: None, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("DEBUG")
    good, revoked = issue(name="good"), issue(name="gone", revoked_at=DatabaseClock())
    master, wrong = Api().key, "abcdefgh." + "Z" * 32
    for key in (good, revoked, master, wrong, master + "x", good + "x"):
        status(key)
        status(key, "POST", AGENTS, {"model": 5})
        status(key, "POST", f"{AGENTS}/{NOBODY}/session")
    written = (
        caplog.text + str([vars(record) for record in caplog.records]) + capfd.readouterr().err
    )
    assert "Unauthorized" in written
    for key in (good, revoked, master, wrong):
        assert key.split(".")[-1] not in written


# The command


def create(*arguments: str) -> tuple[str, str]:
    """What `manage.py create_api_key` prints: the key, and what it says about it."""
    out, err = StringIO(), StringIO()
    call_command("create_api_key", *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


@pytest.mark.parametrize(
    ("expiry", "days"),
    [
        ([], None),
        (["--expires-days", "30"], 30),
        (["--expires", "2199-12-31T23:59:00+01:00"], None),
    ],
)
def test_the_command_prints_the_key_alone(db: None, expiry: list[str], days: int | None) -> None:
    out, err = create("ci", "--scope", "read", *expiry)
    key = out.removesuffix("\n")
    assert KEY.fullmatch(key)
    assert key not in err
    assert "not shown again" in err
    assert status(key) == 200
    assert (row().scope, row().created_by) == ("read", "create_api_key")
    expires_at = row().expires_at
    assert (expires_at is None) == (not expiry)
    if days and expires_at:
        assert abs(expires_at - timezone.now() - timedelta(days=days)) < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["taken", "--scope", "read"], "name: this name is taken, maybe by a revoked key"),
        (["", "--scope", "read"], "name: This field cannot be blank"),
        (["ci"], "--scope"),
        (["ci", "--scope", "admin"], "choose from"),
        (["ci", "--scope", "read", "--expires-days", "0"], "between 1 and 3650, not 0"),
        (["ci", "--scope", "read", "--expires-days", "9999999"], "between 1 and 3650"),
        (["ci", "--scope", "read", "--expires-days", "x"], "invalid int value"),
        (["ci", "--scope", "read", "--expires", "soon"], "--expires 'soon': must be an ISO 8601"),
        (["ci", "--scope", "read", "--expires", "2199-01-01"], "with an offset"),
        (["ci", "--scope", "read", "--expires", "2020-01-01T00:00Z"], "expires_at: this time has"),
        (["ci", "--scope", "read", "--expires-days", "1", "--expires", "x"], "not allowed with"),
    ],
)
def test_the_command_refuses_with_a_reason(db: None, arguments: list[str], says: str) -> None:
    issue(name="taken")
    with pytest.raises(CommandError, match=re.escape(says)):
        create(*arguments)
    assert ApiKey.objects.count() == 1


# The admin pages


@pytest.fixture
def ada(db: None, client: Client) -> Client:
    client.force_login(User.objects.create(username="ada", is_staff=True, is_superuser=True))
    return client


def add(client: Client, **typed: str) -> Any:
    sent = {"name": "ci", "scope": "read", "expires_at_0": "", "expires_at_1": "", **typed}
    return client.post(ADD, sent, follow=True)


def test_a_new_key_is_shown_once(ada: Client) -> None:
    shown = KEY.findall(add(ada, expires_at_0="2199-01-01", expires_at_1="00:00").content.decode())
    assert len(shown) == 1
    assert (row().scope, row().created_by) == ("read", "ada")
    assert status(shown[0]) == 200
    change = f"{LIST}{row().pk}/change/"
    pages = [ada.get(LIST), ada.get(change), ada.get(f"{LIST}{row().pk}/history/")]
    written = "".join(page.content.decode() for page in pages) + str(LogEntry.objects.values())
    assert shown[0].split(".")[1] not in written
    assert row().hashed_key not in written


@pytest.mark.parametrize(
    ("typed", "field"),
    [
        ({"name": "taken"}, "name"),
        ({"name": "a  b"}, "name"),
        ({"scope": "admin"}, "scope"),
        ({"expires_at_0": "2020-01-01", "expires_at_1": "00:00"}, "expires_at"),
    ],
)
def test_a_bad_key_is_not_made(ada: Client, typed: dict[str, str], field: str) -> None:
    issue(name="taken")
    response = add(ada, **typed)
    assert list(response.context["adminform"].form.errors) == [field]
    assert ApiKey.objects.count() == 1


def test_the_list_shows_states(ada: Client) -> None:
    issue(name="good", last_used_at=DatabaseClock())
    issue(name="old", **EXPIRED)
    issue(name="gone", **EXPIRED, **REVOKED)
    page = ada.get(LIST).content.decode()
    for state in ('good">active', 'warn">expired', 'bad">revoked'):
        assert page.count(f"lap-badge lap-{state}<") == 1


def test_a_key_can_be_revoked_in_its_form_and_nothing_else(ada: Client) -> None:
    key = issue("read")
    change = f"{LIST}{row().pk}/change/"
    before = ApiKey.objects.values().get()
    typed = {"name": "x", "scope": "write", "hashed_key": "x", "prefix": "x", "expires_at_0": "x"}
    assert 'name="revoke"' in ada.get(change).content.decode()
    assert ada.post(change, typed).status_code == 302
    assert ApiKey.objects.values().get() == before
    assert ada.post(change, {"revoke": "on"}).status_code == 302
    assert status(key) == 401
    assert ApiKey.objects.values().get() == {**before, "revoked_at": row().revoked_at}


def test_the_action_revokes_the_selected(ada: Client) -> None:
    keys = {name: issue(name=name) for name in ("one", "two", "other")}
    ids = [str(row(name).pk) for name in ("one", "two")]
    ada.post(LIST, {"action": "revoke", "_selected_action": ids})
    assert {name: status(key) for name, key in keys.items()} == {
        "one": 401, "two": 401, "other": 200,
    }  # fmt: skip
    assert set(LogEntry.objects.values_list("object_id", "change_message")) == {
        (pk, "Revoked.") for pk in ids
    }


def test_a_revoked_key_cannot_come_back_or_be_deleted(ada: Client) -> None:
    key = issue(**REVOKED)
    change = f"{LIST}{row().pk}/change/"
    assert 'name="revoke"' not in ada.get(change).content.decode()
    assert ada.post(change, {"revoked_at": "", "revoke": ""}).status_code == 403
    assert ada.post(f"{LIST}{row().pk}/delete/", {"post": "yes"}).status_code == 403
    assert status(key) == 401
