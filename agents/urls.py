"""The addresses of the agents' pages."""

from django.urls import path

from agents.pages import AgentList, DeleteAgent, EditAgent, NewAgent, VariableRow
from agents.schedule_pages import AgentPage, EditSchedule, SchedulePreview, ToggleSchedule, ZoneList

urlpatterns = [
    path("agents/", AgentList.as_view(), name="agents"),
    path("agents/new/", NewAgent.as_view(), name="new-agent"),
    path("agents/new/variable/", VariableRow.as_view(), name="variable-row"),
    path("agents/<uuid:agent_id>/", AgentPage.as_view(), name="agent"),
    path("agents/<uuid:agent_id>/edit/", EditAgent.as_view(), name="edit-agent"),
    path("agents/<uuid:agent_id>/delete/", DeleteAgent.as_view(), name="delete-agent"),
    path("agents/<uuid:agent_id>/schedule/", EditSchedule.as_view(), name="edit-schedule"),
    path("agents/<uuid:agent_id>/enabled/", ToggleSchedule.as_view(), name="toggle-schedule"),
    path("schedules/preview/", SchedulePreview.as_view(), name="schedule-preview"),
    path("schedules/zones/", ZoneList.as_view(), name="zones"),
]
