"""How often a key, or an address without one, may ask."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, connections
from django.db.models import F
from django.test import Client
from pytest_django import DjangoAssertNumQueries, Settings
from rest_framework.exceptions import Throttled

from lap.access.models import ApiKey, RateUse
from lap.access.rates import Rate, take
from lap.access.throttling import answer_error, network_of
from lap.core.api.authentication import Scope
from lap.core.clock import DatabaseClock
from lap.core.secrets import hash_token
from sessions.models import Session
from tests.api import AGENTS, NOBODY, SESSIONS, Answer, Api
from tests.conftest import MakeAgent

SLOW = Rate(per_minute=1, burst=3)
"""A minute for each request: nothing comes free while a test runs."""
AHEAD = DatabaseClock() + timedelta(seconds=90)


def passed(key: str, rate: Rate, times: int) -> int:
    return sum(take(key, rate) is None for _ in range(times))


def move(key: str, seconds: float) -> None:
    """Let time go by for one caller."""
    past = timedelta(seconds=seconds)
    RateUse.objects.filter(key=key).update(allowed_at=F("allowed_at") - past)


# The rate


@pytest.mark.parametrize("burst", [1, 2, 20])
def test_a_burst_passes_and_not_one_more(db: None, burst: int) -> None:
    assert passed("a", Rate(1, burst), burst + 5) == burst


@pytest.mark.parametrize(
    ("seconds", "more"), [(0, 0), (50, 0), (60, 1), (110, 1), (120, 2), (180, 3), (9999, 3)]
)
def test_time_gives_back_what_the_rate_allows(db: None, seconds: float, more: int) -> None:
    assert passed("a", SLOW, 3) == 3
    move("a", seconds)
    assert passed("a", SLOW, 5) == more


def test_callers_do_not_share(db: None) -> None:
    assert passed("a", SLOW, 5) == 3
    assert passed("b", SLOW, 5) == 3


def test_the_wait_is_told_and_does_not_grow_by_asking(db: None) -> None:
    passed("a", SLOW, 3)
    waits = [take("a", SLOW) for _ in range(10)]
    assert all(wait is not None and 55 < wait <= 60 for wait in waits)
    move("a", 59)
    again = take("a", SLOW)
    assert again is None or again <= 1


def test_after_the_wait_it_passes(db: None) -> None:
    passed("a", SLOW, 3)
    wait = take("a", SLOW)
    assert wait is not None
    move("a", wait)
    assert take("a", SLOW) is None


@pytest.mark.django_db(transaction=True)
def test_many_connections_at_once_get_one_burst() -> None:
    rate, ready, let_through = Rate(per_minute=1, burst=20), threading.Barrier(8), []

    def ask() -> None:
        try:
            ready.wait(timeout=30)
            let_through.append(passed("a", rate, 10))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert len(let_through) == 8
    assert sum(let_through) == 20


def test_rows_of_the_past_go_when_somebody_new_comes(db: None) -> None:
    now = DatabaseClock()
    ages = {f"old {n}": 11 for n in range(150)} | {"recent": 5, "ahead": -60}
    rows = [RateUse(key=key, allowed_at=now - timedelta(seconds=age)) for key, age in ages.items()]
    RateUse.objects.bulk_create(rows)
    assert take("recent", SLOW) is None
    assert RateUse.objects.count() == 152
    take("new", SLOW)
    assert RateUse.objects.count() == 53
    take("newer", SLOW)
    assert set(RateUse.objects.values_list("key", flat=True)) == {"recent", "ahead", "new", "newer"}


def test_it_is_one_statement_while_it_passes(
    db: None, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(3):
        with django_assert_num_queries(1):
            assert take("a", SLOW) is None


def test_no_request_waits_for_a_disk(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT relpersistence FROM pg_class WHERE relname = 'access_rateuse'")
        assert cursor.fetchone() == ("u",)


# Keys


def issue(name: str) -> str:
    return ApiKey(name=name, scope=Scope.WRITE, created_by="test").issue()


def get(key: str, path: str = AGENTS, **environment: Any) -> Answer:
    """One request of ``key`` from the address REMOTE_ADDR."""
    headers = {"Authorization": f"Bearer {key}"}
    response = Client().get(f"/api/v1{path}", headers=headers, **environment)
    return Answer(response.status_code, response.json(), response.headers)


def use_up(key: str) -> None:
    RateUse.objects.update_or_create(key=key, defaults={"allowed_at": AHEAD})


def assert_refused(answer: Answer) -> None:
    """The wait is what ``use_up`` wrote, less the time that a burst spans."""
    seconds = int(answer.headers["Retry-After"])
    assert answer.status == 429
    assert answer.body == {"error": f"too many requests; try again in {seconds} s"}
    assert 20 < seconds <= 90


@pytest.mark.parametrize(("per_minute", "burst"), [(6000, 600), (10, 1), (1, 1)])
def test_a_key_makes_a_tenth_of_its_rate_at_once(
    db: None, settings: Settings, per_minute: int, burst: int
) -> None:
    settings.LAP_API_RATE_PER_MINUTE = per_minute
    key = issue("ci")
    interval = timedelta(minutes=1) / per_minute
    last = DatabaseClock() + interval * (burst - 1)
    RateUse.objects.create(key="key ci", allowed_at=last)
    assert get(key).status == 200
    RateUse.objects.update(allowed_at=last + timedelta(seconds=50))
    assert 49 <= int(get(key).headers["Retry-After"]) <= 50


def test_a_key_over_its_rate_hinders_no_other(db: None) -> None:
    one, other = issue("one"), issue("other")
    use_up("key one")
    assert_refused(get(one))
    assert [get(other).status, Api().get(AGENTS).status] == [200, 200]
    use_up("master key")
    assert_refused(Api().get(AGENTS))
    assert get(other).status == 200


def test_a_refused_request_does_nothing(db: None) -> None:
    use_up("master key")
    assert_refused(Api().post(AGENTS, {"model": "none"}))
    RateUse.objects.all().delete()
    assert Api().get(AGENTS).body["total"] == 0


@pytest.mark.parametrize(
    ("wait", "told"), [(None, 1), (0, 1), (0.01, 1), (1, 1), (1.01, 2), (59.5, 60)]
)
def test_the_wait_is_told_in_whole_seconds(wait: float | None, told: int) -> None:
    answer = answer_error(Throttled(wait), {})
    assert answer.headers["Retry-After"] == str(told)
    assert answer.data == {"error": f"too many requests; try again in {told} s"}


def test_zero_is_no_limit(
    db: None, settings: Settings, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    settings.LAP_API_RATE_PER_MINUTE = settings.LAP_API_FAILURES_PER_MINUTE = 0
    use_up("master key")
    use_up("address 127.0.0.1")
    assert Api().get(AGENTS).status == 200
    with django_assert_num_queries(0):
        assert Api.anonymous().get(AGENTS).status == 401


def test_a_key_that_is_turned_away_is_counted_all_the_same(db: None) -> None:
    reader = ApiKey(name="reader", scope=Scope.READ, created_by="test").issue()
    headers = {"Authorization": f"Bearer {reader}"}
    assert Api.anonymous().post(AGENTS, {"model": "none"}, **headers).status == 403
    assert RateUse.objects.get().key == "key reader"
    use_up("key reader")
    assert_refused(Api.anonymous().post(AGENTS, {"model": "none"}, **headers))


def test_a_sandbox_is_counted_too(make_agent: MakeAgent) -> None:
    session = Session.objects.create(agent=make_agent(), callback_token_hash=hash_token("token"))
    path, headers = f"{SESSIONS}/{session.id}/phase", {"Authorization": "Bearer token"}
    assert Api.anonymous().post(path, {"phase": "cloning_repo"}, **headers).status == 200
    use_up(f"sandbox of session {session.id}")
    assert_refused(Api.anonymous().post(path, {"phase": "installing_deps"}, **headers))
    session.refresh_from_db()
    assert session.phase == "cloning_repo"


# Addresses


@pytest.mark.parametrize("header", [None, "Bearer wrong", "Basic x", "Bearer abcdefgh." + "x" * 32])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
def test_an_address_that_fails_too_often_has_to_wait(
    db: None, settings: Settings, header: str | None, method: str
) -> None:
    settings.LAP_API_FAILURES_PER_MINUTE = 1
    headers: dict[str, Any] = {} if header is None else {"Authorization": header}
    first = Api.anonymous()(method, f"{AGENTS}/{NOBODY}", **headers)
    second = Api.anonymous()(method, f"{AGENTS}/{NOBODY}", **headers)
    assert (first.status, first.body) == (401, {"error": "unauthorized"})
    assert second.status == 429
    assert 55 < int(second.headers["Retry-After"]) <= 60
    assert "WWW-Authenticate" not in second.headers


def test_a_minutes_worth_may_fail_at_once(db: None, settings: Settings) -> None:
    settings.LAP_API_FAILURES_PER_MINUTE = 3
    use_up("address 127.0.0.1")
    move("address 127.0.0.1", 90 - 39)
    assert get("wrong").status == 401
    assert get("wrong").status == 429


def test_a_right_key_from_such_an_address_still_works(db: None) -> None:
    key = issue("ci")
    use_up("address 127.0.0.1")
    use_up("address 192.0.2.1")
    assert_refused(get("wrong", REMOTE_ADDR="192.0.2.1"))
    assert get(key, REMOTE_ADDR="192.0.2.1").status == 200
    assert Api().get(AGENTS).status == 200
    assert get("wrong", REMOTE_ADDR="192.0.2.2").status == 401


def test_a_right_key_does_not_count_against_its_address(db: None) -> None:
    assert Api().get(AGENTS).status == 200
    assert not RateUse.objects.filter(key__startswith="address").exists()


@pytest.mark.parametrize("address", ["", "unix:", "not an address", "1.2.3.4:80", "x" * 5000])
def test_callers_without_an_address_count_together(db: None, address: str) -> None:
    assert get("wrong", REMOTE_ADDR=address).status == 401
    assert RateUse.objects.get().key == "address unknown"


@pytest.mark.parametrize(
    ("address", "counted_as"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("", "unknown"),
    ],
)
def test_what_counts_as_one_address(address: str, counted_as: str) -> None:
    assert network_of(address) == counted_as
