"""Chooses the sandbox backend that the settings name."""

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from sessions.sandboxes.base import SandboxBackend
from sessions.sandboxes.local import LocalBackend


def backend_from_settings() -> SandboxBackend:
    """The backend of ``LAP_SANDBOX_BACKEND``. Raises ImproperlyConfigured for an unknown one."""
    if settings.LAP_SANDBOX_BACKEND == "local":
        return LocalBackend(settings.LAP_SANDBOX_DIR)
    raise ImproperlyConfigured(
        f"LAP_SANDBOX_BACKEND is {settings.LAP_SANDBOX_BACKEND!r}; the backends are: local"
    )
