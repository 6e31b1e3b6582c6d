"""The fleet page: what is coming, what went wrong, who carries it."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils.safestring import SafeString
from pytest_django import DjangoAssertNumQueries

from agents.editing import delete_agent, disable_invalid, edit_agent
from agents.models import Agent
from lap.core import clock
from scheduler import fleet_state
from scheduler.fleet import Shared
from scheduler.fleet_pages import PARTS
from scheduler.live import LivePart
from scheduler.models import CronFire
from sessions.failures import AS_ASKED
from sessions.models import Session, Worker
from tests.conftest import MakeAgent, SetClock
from tests.scheduler.focus import assert_focusable_have_ids

EIGHT = datetime(2026, 3, 2, 8, 20, tzinfo=UTC)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
HTMX = {"HX-Request": "true"}
URL = "/fleet/"


@pytest.fixture
def now(set_clock: SetClock) -> datetime:
    """What the clock shows: a Monday morning."""
    set_clock(EIGHT)
    return EIGHT


@pytest.fixture
def ada(db: None, client: Client) -> Client:
    """A browser in which a superuser is logged in."""
    client.force_login(User.objects.create_superuser("ada", password=None))
    return client


MakeScheduled = Callable[..., Agent]


@pytest.fixture
def scheduled(now: datetime, make_agent: MakeAgent) -> MakeScheduled:
    """Creates an agent with a schedule, at nine where none is given."""

    def make(schedule: str = "0 9 * * *", **fields: Any) -> Agent:
        return make_agent(cron_schedule=schedule, **fields)

    return make


def fire(agent: Agent, at: datetime, outcome: str = "missed", reason: str = "") -> CronFire:
    return CronFire.objects.create(
        agent=agent, scheduled_for=at, outcome=outcome, reason=reason, decided_at=at
    )


def ended(agent: Agent, at: datetime, status: str = "failed", **columns: Any) -> Session:
    is_cron = columns.setdefault("trigger", "cron") == "cron"
    return Session.objects.create(
        agent=agent, status=status, scheduled_for=at if is_cron else None, stopped_at=at,
        **{"created_at": at, **columns},
    )  # fmt: skip


def worker(now: datetime, expires: timedelta, **columns: Any) -> Worker:
    beat = columns.pop("beat", now)
    return Worker.objects.create(
        host="pod", pid=1, version="1", heartbeat_at=beat, expires_at=now + expires, **columns
    )


def part(client: Client, name: str) -> str:
    """The text of one part as htmx gets it."""
    response = client.get(URL, {"part": name}, headers=HTMX)
    assert response.status_code == 200
    return " ".join(re.sub(r"<[^>]*>", " ", unescape(response.content.decode())).split())


# The next 24 hours


def test_who_is_counted(scheduled: MakeScheduled, make_agent: MakeAgent, now: datetime) -> None:
    """Not who is paused, invalid, blocked, deleted or without a schedule, nor who runs later."""
    for _ in range(3):
        scheduled()
    scheduled("0 9 * * *", cron_timezone="Asia/Tokyo")
    scheduled("0 9 1 * *")
    make_agent()
    edit_agent(scheduled().id, {"cron_enabled": False}, "ada")
    disable_invalid(scheduled().id, "it does not parse", now)
    delete_agent(scheduled().id, "ada")
    blocked, free_again = scheduled(), scheduled()
    block(blocked, now + HOUR)
    block(free_again, now - HOUR)
    assert fleet_state.shared_schedules(now) == (
        [Shared("0 9 * * *", "UTC", 4), Shared("0 9 * * *", "Asia/Tokyo", 1)], 0
    )  # fmt: skip


def block(agent: Agent, until: datetime) -> None:
    Agent.objects.filter(id=agent.id).update(
        cron_blocked_until=until, cron_blocked_reason="DataError: too <long>"
    )


def test_more_schedules_than_are_looked_at(
    scheduled: MakeScheduled, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet_state, "SCHEDULES_LIMIT", 1)
    scheduled("0 10 * * *"), scheduled(), scheduled()
    assert fleet_state.shared_schedules(now) == ([Shared("0 9 * * *", "UTC", 2)], 1)


def test_the_day_is_drawn_on_the_viewers_clock(ada: Client, scheduled: MakeScheduled) -> None:
    scheduled("30 9 * * *")
    scheduled("30 9 * * *")
    ada.cookies["lap_zone"] = "Asia/Kolkata"
    text = part(ada, "day")
    assert "2 runs of 2 agents." in text
    assert "The most, 2, begin from 15:00 on." in text
    assert "on the clocks of Asia/Kolkata" in text
    assert "15:00 to 15:59: 2 runs; the most at :00, 2" in text


def test_agents_that_do_not_run_within_the_day_are_not_counted(
    ada: Client, scheduled: MakeScheduled
) -> None:
    """Such as one whose overdue instant no worker has looked at."""
    scheduled()
    stored_next(scheduled("0 9 1 * *"), EIGHT - DAY)
    assert "1 run of 1 agent." in part(ada, "day")


def stored_next(agent: Agent, at: datetime) -> None:
    Agent.objects.filter(id=agent.id).update(cron_next_fire_at=at)


def test_herds_are_pointed_out(ada: Client, scheduled: MakeScheduled) -> None:
    for _ in range(12):
        scheduled()
    scheduled("7 9 * * *")
    ada.cookies["lap_zone"] = "Europe/Berlin"
    text = part(ada, "day")
    assert "12 agents at Mon 2 Mar 10:00 : 0 9 * * * (UTC) could be 8 9 * * *" in text


def test_without_any_schedule(ada: Client, make_agent: MakeAgent) -> None:
    make_agent()
    assert "No agent has a schedule yet." in part(ada, "day")
    assert "Nothing is scheduled." in part(ada, "coming")


def test_nothing_within_a_day(ada: Client, scheduled: MakeScheduled) -> None:
    scheduled("0 9 1 * *")
    assert "Nothing runs in the next 24 hours." in part(ada, "day")


# Coming up


def test_the_next_runs_come_first(ada: Client, scheduled: MakeScheduled) -> None:
    for minute in range(12):
        scheduled(f"{40 - minute} 8 * * *", name=f"at {40 - minute}")
    edit_agent(scheduled("21 8 * * *", name="paused").id, {"cron_enabled": False}, "ada")
    block(scheduled("22 8 * * *", name="blocked"), EIGHT + HOUR)
    found = re.findall(r"at \d+ Mon 2 Mar 08:\d+", part(ada, "coming"))
    assert found == [f"at {minute} Mon 2 Mar 08:{minute}" for minute in range(29, 39)]


@pytest.mark.parametrize(
    ("late", "words"),
    [
        (timedelta(0), "late Mon 2 Mar 08:20 due now"),
        (timedelta(seconds=59), "late Mon 2 Mar 08:19 due now"),
        (timedelta(minutes=1), "late Mon 2 Mar 08:19 overdue since Mon 2 Mar 08:19"),
        (3 * HOUR, "late Mon 2 Mar 05:20 overdue since Mon 2 Mar 05:20"),
    ],
)
def test_what_has_come_is_due(
    ada: Client, scheduled: MakeScheduled, late: timedelta, words: str
) -> None:
    stored_next(scheduled("20 * * * *", name="late"), EIGHT - late)
    assert words in part(ada, "coming")


def test_what_lay_in_a_pause_is_not_due(
    ada: Client, scheduled: MakeScheduled, set_clock: SetClock
) -> None:
    """The tick will settle it as paused; what follows the pause is next."""
    paused, hourly = scheduled("30 8 * * *", name="daily"), scheduled("35 * * * *", name="hourly")
    scheduled("0 10 * * *", name="other")
    for agent in (paused, hourly):
        edit_agent(agent.id, {"cron_enabled": False}, "ada")
    set_clock(EIGHT + HOUR)
    for agent in (paused, hourly):
        edit_agent(agent.id, {"cron_enabled": True}, "ada")
    found = re.findall(
        r"\w+ Mon 2 Mar \d+:35|\w+ \w+ 2 Mar 10:00|\w+ Tue \S+ Mar 08:30", part(ada, "coming")
    )
    assert found == ["hourly Mon 2 Mar 09:35", "other Mon 2 Mar 10:00", "daily Tue 3 Mar 08:30"]
    set_clock(EIGHT + timedelta(hours=1, minutes=20))
    assert "hourly Mon 2 Mar 09:35 overdue since Mon 2 Mar 09:35" in part(ada, "coming")


# Latest problems


def test_problems_of_all_kinds_newest_first(scheduled: MakeScheduled, now: datetime) -> None:
    agent = scheduled(name="Nightly")
    for hours, outcome in enumerate(("missed", "skipped_overlap", "invalid_schedule", "paused")):
        fire(agent, now - hours * HOUR, outcome)
    run = ended(agent, now - 4 * HOUR, failure_reason="exit status 3")
    ended(agent, now - 5 * HOUR, status="dead", trigger="manual")
    ended(agent, now - 6 * HOUR, trigger="api")
    ended(agent, now - 7 * HOUR, status="completed")
    problems = fleet_state.latest_problems(now)
    assert [problem.kind for problem in problems] == [
        "missed", "skipped_overlap", "invalid_schedule", "failed", "dead"
    ]  # fmt: skip
    assert {(problem.agent_id, problem.agent_name) for problem in problems} == {
        (agent.id, "Nightly")
    }
    assert (problems[3].session_id, problems[3].reason) == (run.id, "Exit status 3.")


def test_only_the_newest_problems_of_a_week(scheduled: MakeScheduled, now: datetime) -> None:
    agent = scheduled()
    fire(agent, now - 8 * DAY)
    ended(agent, now - 8 * DAY)
    assert fleet_state.latest_problems(now) == []
    for n in range(15):
        fire(agent, now - n * HOUR)
        ended(agent, now - (n + 0.5) * HOUR)
    problems = fleet_state.latest_problems(now)
    assert len(problems) == fleet_state.PROBLEMS_LIMIT
    assert [problem.at for problem in problems] == [now - n * HOUR / 2 for n in range(20)]


def test_problems_lead_to_where_they_are_explained(ada: Client, scheduled: MakeScheduled) -> None:
    agent = scheduled(name="")
    fire(agent, EIGHT - HOUR, reason="no worker ran within the catch-up window of 3600 s")
    run = ended(agent, EIGHT - 2 * HOUR, failure_reason="exit <3>")
    html = ada.get(URL, {"part": "problems"}, headers=HTMX).content.decode()
    assert re.search(rf'href="{reverse("runs", args=[agent.id])}"[^>]*>{agent.id}</a>', html)
    assert f'href="{reverse("session", args=[run.id])}"' in html
    assert "No worker ran within the catch-up window of 1 h." in html
    assert "Exit &lt;3&gt;." in html


@pytest.mark.parametrize("status", ["failed", "dead"])
@pytest.mark.parametrize("kind", sorted(AS_ASKED))
def test_what_somebody_asked_for_is_no_problem(
    scheduled: MakeScheduled, now: datetime, status: str, kind: str
) -> None:
    ended(scheduled(), now, status=status, failure_kind=kind, failure_reason="Stopped by bob.")
    assert fleet_state.latest_problems(now) == []


def test_problems_of_deleted_agents_have_no_history_to_lead_to(
    ada: Client, scheduled: MakeScheduled
) -> None:
    agent = scheduled(name="Nightly")
    fire(agent, EIGHT - HOUR)
    run = ended(agent, EIGHT - 2 * HOUR)
    delete_agent(agent.id, "ada")
    html = ada.get(URL, {"part": "problems"}, headers=HTMX).content.decode()
    assert part(ada, "problems").count("Nightly (deleted)") == 2
    assert reverse("runs", args=[agent.id]) not in html
    assert f'href="{reverse("session", args=[run.id])}"' in html


def test_agents_that_stand_still(ada: Client, scheduled: MakeScheduled, now: datetime) -> None:
    disable_invalid(scheduled(name="broken").id, "six fields", now)
    block(scheduled(name="poisoned"), now + HOUR)
    block(scheduled(name="healed"), now - HOUR)
    text = part(ada, "problems")
    assert "broken is switched off, because its schedule is invalid: six fields" in text
    assert "poisoned stands aside until Mon 2 Mar 09:20 after an error: DataError: too" in text
    assert "healed" not in text
    assert "Nothing went wrong" not in text


def test_when_all_is_well(ada: Client, scheduled: MakeScheduled) -> None:
    scheduled()
    assert "Nothing went wrong in the last 7 days." in part(ada, "problems")


# Workers


def test_states_of_workers(db: None) -> None:
    now = clock.now()
    gone = now - 2 * HOUR
    live = worker(now, HOUR)
    silent = worker(now, -HOUR)
    rescued = worker(now, -HOUR, ended_at=now, beat=gone)
    left = worker(now, -HOUR, ended_at=gone, beat=gone - HOUR)
    worker(now, -2 * DAY)
    found = [(row.worker.pk, row.state) for row in fleet_state.workers()]
    assert found == [
        (live.pk, "live"), (silent.pk, "expired"), (rescued.pk, "expired"), (left.pk, "ended")
    ]  # fmt: skip


def test_what_a_worker_does(ada: Client, make_agent: MakeAgent) -> None:
    now = clock.now()
    checked = {"backend": "local", "backend_checked_at": now, "backend_elapsed_ms": 3}
    counters = {"cron_considered": 2000, "cron_fired": 1204, "cron_missed": 0, "cron_errors": 2}
    live = worker(now, HOUR, counters=counters, **checked)
    for _ in range(2):
        Session.objects.create(agent=make_agent(), worker=live)
    assert re.search(
        r"pod pid 1, 1 live .* 2 local healthy 1,204 started, 2 errors", part(ada, "workers")
    )
    Worker.objects.update(backend_error="no answer within 5 s")
    assert "local failing no answer within 5 s" in part(ada, "workers")
    Worker.objects.update(backend_checked_at=None)
    assert "local, not checked yet" in part(ada, "workers")


def test_without_a_worker_it_says_how_to_start_one(ada: Client) -> None:
    text = part(ada, "workers")
    assert "No worker has run in the last day." in text
    assert "manage.py run_cron_worker" in text


# Lateness


def test_lateness_is_of_scheduled_runs_of_a_day(make_agent: MakeAgent) -> None:
    agent, now = make_agent(), clock.now()
    assert fleet_state.lateness(now) is None
    for n in range(1, 101):
        at = now - n * timedelta(minutes=1)
        ended(agent, at, created_at=at + timedelta(milliseconds=n))
    ended(agent, now - 2 * DAY, created_at=now - DAY - HOUR)
    late = fleet_state.lateness(now)
    assert late is not None
    milliseconds = [
        value / timedelta(milliseconds=1) for value in (late.half, late.most, late.worst)
    ]
    assert (late.count, milliseconds) == (100, [50, 99, 100])


def test_lateness_of_one_run(ada: Client, make_agent: MakeAgent) -> None:
    at = clock.now() - HOUR
    ended(make_agent(), at, created_at=at + timedelta(milliseconds=420))
    assert "0.42 s Median" in reordered(part(ada, "workers"))


def reordered(text: str) -> str:
    """Figures as they are seen: the value above its name."""
    return re.sub(r"(Median) (\S+ s)", r"\2 \1", text)


# The page


def test_it_shows_every_part(ada: Client, scheduled: MakeScheduled) -> None:
    scheduled()
    html = ada.get(URL).content.decode()
    for name, what in PARTS.items():
        assert f'id="fleet-{name}" aria-label="{what.label}"' in html
        assert f"look from:body throttle:{what.seconds}s" in html


@pytest.mark.parametrize("name", PARTS)
def test_a_part_that_is_asked_again_answers_only_with_news(
    ada: Client, scheduled: MakeScheduled, name: str
) -> None:
    agent = scheduled()
    again = asks(ada.get(URL).content.decode(), name)
    assert f"part={name}" in again
    assert ada.get(again, headers=HTMX).status_code == 204
    scheduled("0 10 * * *")
    fire(agent, EIGHT)
    worker(clock.now(), timedelta(days=365 * 10))
    news = ada.get(again, headers=HTMX)
    assert (news.status_code, news["HX-Reswap"]) == (200, "outerHTML")
    assert ada.get(asks(news.content.decode(), name), headers=HTMX).status_code == 204


@pytest.mark.parametrize("name", ["coming", "problems", "workers"])
def test_what_has_the_focus_is_found_again(
    ada: Client, scheduled: MakeScheduled, name: str
) -> None:
    """By its id, in the news of a live part."""
    agent = scheduled()
    for hours in range(2):
        fire(agent, EIGHT - hours * HOUR)
        ended(agent, EIGHT - hours * HOUR)
    disable_invalid(scheduled().id, "six fields", EIGHT)
    worker(clock.now(), timedelta(days=365))
    assert_focusable_have_ids(ada.get(URL, {"part": name}, headers=HTMX).content.decode())


def test_what_has_the_focus_is_found_again_on_an_empty_page(ada: Client) -> None:
    assert_focusable_have_ids(ada.get(URL, {"part": "day"}, headers=HTMX).content.decode())


def test_that_time_passes_is_no_news() -> None:
    """The browser keeps distances current by itself; another instant is news."""
    shown = '<td><time class="from-now" datetime="{}">{}</time></td>'
    nine, later, ten = (
        LivePart("a", "A", SafeString(shown.format(*values)), "/", 15)
        for values in (("09:00", "in 5 s"), ("09:00", "now"), ("10:00", "now"))
    )
    assert nine.token == later.token
    assert nine.token != ten.token


def asks(html: str, name: str) -> str:
    """The address that a part asks for again."""
    found = re.search(rf'id="fleet-{name}"[^>]*hx-get="([^"]*)"', html)
    assert found
    return unescape(found[1])


def test_without_htmx_and_for_unknown_parts_it_is_the_whole_page(ada: Client) -> None:
    assert "<html" in ada.get(URL, {"part": "workers"}).content.decode()
    assert "<html" in ada.get(URL, {"part": "nonsense"}, headers=HTMX).content.decode()


def test_it_is_for_those_who_may_see_the_ledger(client: Client, db: None) -> None:
    assert client.get(URL)["Location"].startswith("/login/")
    client.force_login(User.objects.create_user("bob"))
    assert client.get(URL).status_code == 403


@pytest.mark.parametrize("agents", [1, 40])
def test_many_agents_cost_the_queries_of_one(
    ada: Client,
    scheduled: MakeScheduled,
    agents: int,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    for n in range(agents):
        agent = scheduled(f"{n} 9 * * *")
        fire(agent, EIGHT)
        ended(agent, EIGHT)
        block(scheduled(), EIGHT + HOUR)
        worker(clock.now(), HOUR)
    # cookie, user, clock; schedules, coming; ledger, failed, dead, blocked, invalid; workers,
    # lateness, whether a worker is live
    with django_assert_num_queries(13):
        assert ada.get(URL).status_code == 200
