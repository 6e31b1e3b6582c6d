from django.apps import AppConfig


class AccessConfig(AppConfig):
    """Who may call the API, and how often."""

    name = "lap.access"
    verbose_name = "API access"
