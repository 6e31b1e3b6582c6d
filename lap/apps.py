from django.apps import AppConfig


class LapConfig(AppConfig):
    """The project itself, as an app: its commands and checks."""

    name = "lap"

    def ready(self) -> None:
        from lap import checks  # noqa: F401  (registers them)
