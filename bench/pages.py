"""How fast the pages and their fragments answer: 10,000 agents beside 100.

    python -m bench.pages [--agents 10000] [--sessions 100000] [--requests 100] [--json]

See bench/side_by_side.py. A fragment is what htmx asks for while somebody looks or types; the goal
is a median below 50 ms with 10,000 agents. Lists have 25 agents or 50 sessions a page.
"""

import random
from collections.abc import Mapping
from urllib.parse import urlencode

import httpx

from bench.side_by_side import Ask, Platform, command

SMALL = (100, 1000)
LARGE = (10_000, 100_000)
FRAGMENT = {"HX-Request": "true"}
ZONES = ("UTC", "America/Los_Angeles", "Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe")


def page(path: str) -> Ask:
    return lambda at: at.client.get(filled(at, path))


def fragment(path: str) -> Ask:
    return lambda at: at.client.get(filled(at, path), headers=FRAGMENT)


def filled(at: Platform, path: str) -> str:
    return path.format(agent=at.agent(), session=at.session(), busiest=at.busiest)


def preview(at: Platform, **more: str) -> httpx.Response:
    """Of a schedule that nobody typed before."""
    minute, hour, last_day = random.randrange(60), random.randrange(24), random.randint(2, 6)
    typed = {
        "cron_schedule": f"{minute} {hour} * * 1-{last_day}",
        "cron_timezone": random.choice(ZONES),
        "cron_enabled": "on",
        **more,
    }
    return at.client.get(f"/schedules/preview/?{urlencode(typed)}", headers=FRAGMENT)


def toggle(at: Platform) -> httpx.Response:
    enabled = {"enabled": "on"} if random.random() < 0.5 else {}
    path = f"/agents/{at.agent()}/enabled/"
    return at.client.post(path, data={"from": "list", **enabled}, headers=FRAGMENT)


REQUESTS: Mapping[str, Ask] = {
    "agents": page("/agents/"),
    "agents, rows": fragment("/agents/"),
    "agents, search (fragment)": lambda at: at.client.get(
        f"/agents/?search=digest {random.randrange(10, 100)}", headers=FRAGMENT
    ),
    "agents, page 100": page("/agents/?page=100"),
    "switch in the list": toggle,
    "agent": page("/agents/{agent}/"),
    "schedule row": lambda at: at.client.get(
        f"/agents/{at.agent()}/", headers=FRAGMENT | {"HX-Target": "schedule"}
    ),
    "schedule editor": fragment("/agents/{agent}/schedule/"),
    "preview under typing": preview,
    "preview with the difference": lambda at: preview(at, agent=at.agent()),
    "zones, by alias": fragment("/schedules/zones/?q=calcutta"),
    "runs of an agent": fragment("/agents/{busiest}/runs/"),
    "sessions": page("/sessions/"),
    "sessions, rows": fragment("/sessions/"),
    "sessions of an agent, failed": page("/sessions/?agent={busiest}&status=failed"),
    "session": page("/sessions/{session}/"),
    "fleet": page("/fleet/"),
    "fleet, day ahead": fragment("/fleet/?part=day"),
    "fleet, coming up": fragment("/fleet/?part=coming"),
    "fleet, problems": fragment("/fleet/?part=problems"),
    "fleet, workers": fragment("/fleet/?part=workers"),
    "admin, agents": page("/admin/agents/agent/"),
    "admin, sessions": page("/admin/agent_sessions/session/"),
    "admin, ledger": page("/admin/scheduler/cronfire/"),
}


if __name__ == "__main__":
    command(__doc__ or "", REQUESTS, SMALL, LARGE, requests=100)
