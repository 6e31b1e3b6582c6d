"""Bad configuration, found by ``manage.py check --deploy`` instead of at first use."""

import re
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register

from lap import env

_HOST = re.compile(r"\*|\.?[a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\]", re.IGNORECASE)
_SECRETS = ("LAP_SECRET_KEY", "LAP_MASTER_KEY", "LAP_ENCRYPTION_KEYS")


@register(Tags.security, deploy=True)
def check_secrets(**kwargs: Any) -> list[CheckMessage]:
    """Generated secrets suit one machine: pods that generate their own do not understand each
    other, and a lost disk takes the encryption key with it."""
    return [
        Error(f"{name} is not set.", hint="Set it from your secret store.", id="lap.E001")
        for name in _SECRETS
        if not env.text(name)
    ]


@register(Tags.security, deploy=True)
def check_database(**kwargs: Any) -> list[CheckMessage]:
    if not settings.LAP_USES_EMBEDDED_POSTGRES:
        return []
    hint = "Set DATABASE_URL to a PostgreSQL server that is backed up."
    return [Error("The embedded PostgreSQL is for one machine.", hint=hint, id="lap.E002")]


@register(Tags.security)
def check_hosts(**kwargs: Any) -> list[CheckMessage]:
    """What Django compares with is the bare name: nothing else is ever like it."""
    hint = "Write bare names, separated by commas, e.g. LAP_ALLOWED_HOSTS=lap.example.com."
    return [
        Error(f"LAP_ALLOWED_HOSTS names {host!r}, which no host is.", hint=hint, id="lap.E003")
        for host in settings.ALLOWED_HOSTS
        if not _HOST.fullmatch(host)
    ]
