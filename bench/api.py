"""How fast the HTTP API answers when there is much: 100,000 agents beside 1,000.

    python -m bench.api [--agents 100000] [--sessions 1000000] [--requests 300] [--json]

See bench/side_by_side.py. The agents list counts its ``total`` and a search looks at every match,
so these may grow; nothing else should.
"""

import random
from collections.abc import Mapping

import httpx

from bench.side_by_side import AGENTS, Ask, Platform, command

SESSIONS = "/api/v1/managed_agents/sessions"
SMALL = (1000, 1000)
LARGE = (100_000, 1_000_000)


def patch_schedule(at: Platform) -> httpx.Response:
    schedule = f"{random.randrange(60)} {random.randrange(24)} * * 1-5"
    return at.client.patch(f"{AGENTS}/{at.agent()}", json={"cron_schedule": schedule})


def search(at: Platform) -> httpx.Response:
    return at.client.get(f"{AGENTS}?search=digest {random.randrange(10, 100)}")


def deep_page(at: Platform) -> httpx.Response:
    return at.client.get(f"{SESSIONS}?before={random.choice(at.cursors)}")


REQUESTS: Mapping[str, Ask] = {
    "agents list (holds total)": lambda at: at.client.get(AGENTS),
    "agents list, by name": lambda at: at.client.get(f"{AGENTS}?sort=name&order=asc"),
    "agents list, search": search,
    "agent get": lambda at: at.client.get(f"{AGENTS}/{at.agent()}"),
    "agent PATCH of schedule": patch_schedule,
    "session create": lambda at: at.client.post(
        f"{AGENTS}/{at.agent()}/session", json={"title": "bench"}
    ),
    "session get": lambda at: at.client.get(f"{SESSIONS}/{at.session()}"),
    "sessions, first page": lambda at: at.client.get(SESSIONS),
    "sessions, deep page": deep_page,
    "sessions of one agent": lambda at: at.client.get(f"{SESSIONS}?agent_id={at.busiest}"),
    "ledger, first page": lambda at: at.client.get(f"{AGENTS}/{at.busiest}/cron/fires"),
    "admin/stats (counts all)": lambda at: at.client.get("/api/v1/admin/stats"),
}


if __name__ == "__main__":
    command(__doc__ or "", REQUESTS, SMALL, LARGE, requests=300)
