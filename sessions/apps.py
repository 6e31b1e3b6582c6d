from django.apps import AppConfig


class SessionsConfig(AppConfig):
    """Runs of agents. The label differs from the name because Django has a ``sessions`` app."""

    name = "sessions"
    label = "agent_sessions"
    verbose_name = "Sessions"

    def ready(self) -> None:
        from sessions import checks  # noqa: F401  (registers them)
