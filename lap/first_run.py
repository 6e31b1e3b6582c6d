"""What a fresh installation is given: somebody who may log in, and agents to watch."""

from __future__ import annotations

import secrets

from django.conf import settings
from django.contrib.auth import get_user_model

from agents.editing import create_agent
from agents.models import Agent

ADMIN = "admin"
DEMO_AGENTS = (
    {
        "name": "heartbeat",
        "cron_schedule": "* * * * *",
        "cron_prompt": 'echo "alive at $(date -u +%H:%M:%S) UTC, up $(cut -d. -f1 /proc/uptime) s"',
    },
    {
        "name": "disk report",
        "cron_schedule": "*/5 * * * *",
        "cron_prompt": 'df -h / | awk \'NR == 2 { print $5 " of " $2 " used, " $4 " free" }\'',
    },
    {
        "name": "weekday report",
        "cron_schedule": "0 9 * * 1-5",
        "cron_timezone": "America/Los_Angeles",
        "cron_prompt": 'echo "Good morning, it is $(TZ=America/Los_Angeles date)"',
    },
)


def ensure_admin() -> str | None:
    """Create the first admin; the password to show once, if it was not given."""
    users = get_user_model()._default_manager
    if users.filter(is_superuser=True).exists():
        return None
    password = settings.LAP_ADMIN_PASSWORD or secrets.token_urlsafe(12)
    users.create_superuser(ADMIN, password=password)
    return None if settings.LAP_ADMIN_PASSWORD else password


def ensure_demo_agents() -> None:
    """Create the demo agents where there never was an agent."""
    if Agent.objects.exists():
        return
    for fields in DEMO_AGENTS:
        create_agent({"model": "none", "harness_id": "shell", **fields}, actor="demo")
