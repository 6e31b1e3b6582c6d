"""The addresses of the ledger's and the fleet's pages."""

from django.urls import path

from scheduler.fleet_pages import FleetPage
from scheduler.pages import RunAgent, RunList

urlpatterns = [
    path("agents/<uuid:agent_id>/runs/", RunList.as_view(), name="runs"),
    path("agents/<uuid:agent_id>/run/", RunAgent.as_view(), name="run-agent"),
    path("fleet/", FleetPage.as_view(), name="fleet"),
]
