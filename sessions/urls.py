"""The addresses of the sessions' pages."""

from django.urls import path

from sessions.pages import NewSession, SessionList
from sessions.session_actions import AbortTurn, RestartSession, SendMessage, StopSession
from sessions.session_pages import SessionPage, SessionState, SessionThread, ThreadFile

SESSION = "sessions/<uuid:session_id>"

urlpatterns = [
    path("sessions/", SessionList.as_view(), name="sessions"),
    path(f"{SESSION}/", SessionPage.as_view(), name="session"),
    path(f"{SESSION}/state/", SessionState.as_view(), name="session-state"),
    path(f"{SESSION}/thread/", SessionThread.as_view(), name="session-thread"),
    path(f"{SESSION}/thread.json", ThreadFile.as_view(), name="thread-file"),
    path(f"{SESSION}/message/", SendMessage.as_view(), name="send-message"),
    path(f"{SESSION}/abort/", AbortTurn.as_view(), name="abort-turn"),
    path(f"{SESSION}/stop/", StopSession.as_view(), name="stop-session"),
    path(f"{SESSION}/restart/", RestartSession.as_view(), name="restart-session"),
    path("agents/<uuid:agent_id>/sessions/new/", NewSession.as_view(), name="new-session"),
]
