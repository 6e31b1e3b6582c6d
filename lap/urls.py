"""Every address of the web process."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path, re_path
from django.views.generic import RedirectView

from agents.api import AgentDetail, AgentList
from lap.core.api.views import unknown_route
from scheduler.api import CronPreview, FireList
from sessions.api import SessionDetail, SessionList, SessionOpening, SessionStop

AGENTS = "managed_agents/agents"
AGENT = f"{AGENTS}/<str:agent_id>"
SESSIONS = "managed_agents/sessions"
SESSION = f"{SESSIONS}/<str:session_id>"

api = [
    path(AGENTS, AgentList.as_view(), name="agents"),
    path(AGENT, AgentDetail.as_view(), name="agent"),
    path(f"{AGENT}/session", SessionOpening.as_view(), name="open-session"),
    path(f"{AGENT}/cron/fires", FireList.as_view(), name="fires"),
    path(SESSIONS, SessionList.as_view(), name="sessions"),
    path(SESSION, SessionDetail.as_view(), name="session"),
    path(f"{SESSION}/stop", SessionStop.as_view(), name="stop-session"),
    path("cron/preview", CronPreview.as_view(), name="cron-preview"),
]

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/v1/", include((api, "api"))),
    re_path(r"^api(?:/|$)", unknown_route),
    path("admin/", admin.site.urls),
    path("", RedirectView.as_view(pattern_name="admin:index")),
]
