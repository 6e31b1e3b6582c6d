"""Asks processes for their probes and metrics; takes their database away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import psycopg
from django.conf import settings
from django.db import connection
from prometheus_client.parser import text_string_to_metric_families

POD_HOST = "10.1.2.3:8000"
"""What the kubelet and Prometheus write into Host: the pod's address."""


class Probed:
    """A process that answers probes at ``url``."""

    def __init__(self, url: str) -> None:
        self._url = url

    def get(self, path: str, seconds: float = 20.0) -> httpx.Response:
        return httpx.get(self._url + path, headers={"Host": POD_HOST}, timeout=seconds)

    def reason(self, path: str) -> str:
        """Why the answer is no; empty when it is yes, or when nobody answers yet."""
        try:
            answer = self.get(path)
        except httpx.ConnectError:
            return ""
        return "" if answer.status_code == 200 else str(answer.json()["error"])

    def is_ready(self) -> bool:
        try:
            return self.get("/readyz").status_code == 200
        except httpx.ConnectError:
            return False

    def samples(self) -> dict[str, float]:
        """By name and labels' values, sorted by label: ``lap_fires_total started``."""
        answer = self.get("/metrics")
        assert answer.status_code == 200
        return {
            " ".join([sample.name, *sample.labels.values()]): sample.value
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
        }


@contextmanager
def database_away() -> Iterator[None]:
    """Nobody but this test has, or gets, a connection to its database."""
    connection.ensure_connection()
    name, ours = connection.settings_dict["NAME"], connection.connection.info.backend_pid
    with psycopg.connect(settings.DATABASE_URL, dbname="postgres", autocommit=True) as outside:
        outside.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        try:
            outside.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE datname = %s AND pid <> %s",
                [name, ours],
            )
            yield
        finally:
            outside.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')


@contextmanager
def migration_missing(app: str, name: str) -> Iterator[None]:
    """The database says that it does not have this migration."""
    with connection.cursor() as cursor:
        forget = "DELETE FROM django_migrations WHERE app = %s AND name = %s RETURNING applied"
        cursor.execute(forget, [app, name])
        [applied] = cursor.fetchone()
        try:
            yield
        finally:
            remember = "INSERT INTO django_migrations (app, name, applied) VALUES (%s, %s, %s)"
            cursor.execute(remember, [app, name, applied])
