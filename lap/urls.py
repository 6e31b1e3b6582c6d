"""Every address of the web process."""

from django.contrib import admin
from django.contrib.auth.views import LogoutView
from django.urls import URLPattern, URLResolver, include, path, re_path
from django.views.generic import RedirectView

from agents.api import AgentDetail, AgentList
from lap.api_docs import ApiPage, ApiSchema
from lap.core.api.views import unknown_route
from lap.web.login import Login, admin_login
from scheduler.api import CronPreview, FireList, RunNow
from sessions.api import SessionDetail, SessionList, SessionOpening, SessionStop
from sessions.conversations_api import (
    SessionAbort,
    SessionMessage,
    SessionMessages,
    SessionPhase,
    SessionRestart,
)
from sessions.platform_api import BackendHealth, PlatformStats

AGENTS = "managed_agents/agents"
AGENT = f"{AGENTS}/<str:agent_id>"
SESSIONS = "managed_agents/sessions"
SESSION = f"{SESSIONS}/<str:session_id>"

api = [
    path(AGENTS, AgentList.as_view(), name="agents"),
    path(AGENT, AgentDetail.as_view(), name="agent"),
    path(f"{AGENT}/session", SessionOpening.as_view(), name="open-session"),
    path(f"{AGENT}/cron/fires", FireList.as_view(), name="fires"),
    path(f"{AGENT}/cron/run", RunNow.as_view(), name="run-now"),
    path(SESSIONS, SessionList.as_view(), name="sessions"),
    path(SESSION, SessionDetail.as_view(), name="session"),
    path(f"{SESSION}/stop", SessionStop.as_view(), name="stop-session"),
    path(f"{SESSION}/message", SessionMessage.as_view(), name="message"),
    path(f"{SESSION}/messages", SessionMessages.as_view(), name="messages"),
    path(f"{SESSION}/abort", SessionAbort.as_view(), name="abort"),
    path(f"{SESSION}/restart", SessionRestart.as_view(), name="restart-session"),
    path(f"{SESSION}/phase", SessionPhase.as_view(), name="phase"),
    path("cron/preview", CronPreview.as_view(), name="cron-preview"),
    path("health/k8s", BackendHealth.as_view(), name="backend-health"),
    path("admin/stats", PlatformStats.as_view(), name="platform-stats"),
    path("schema", ApiSchema.as_view(), name="schema"),
    path("docs", ApiPage.as_view(), name="docs"),
]

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/v1/", include((api, "api"))),
    re_path(r"^api(?:/|$)", unknown_route),
    path("admin/login/", admin_login),
    path("admin/", admin.site.urls),
    path("login/", Login.as_view(), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("", RedirectView.as_view(pattern_name="agents"), name="home"),
    path("", include("agents.urls")),
    path("", include("sessions.urls")),
    path("", include("scheduler.urls")),
]

handler400 = "lap.error_pages.bad_request"
handler500 = "lap.error_pages.server_error"
