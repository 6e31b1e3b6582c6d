"""Bad configuration, found by ``manage.py check --deploy`` instead of at first use."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register

from lap import env

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
