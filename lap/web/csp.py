"""The Content-Security-Policy: scripts by nonce on our pages, from this server elsewhere."""

from __future__ import annotations

from typing import Final

from csp.constants import SELF
from csp.middleware import CSPMiddleware, PolicyParts
from django.http import HttpRequest, HttpResponseBase

WITHOUT_NONCES: Final = ("/admin/", "/api/")
"""Pages of Django's admin and of Swagger UI: their templates give scripts no nonce."""


class PolicyMiddleware(CSPMiddleware):
    """Adds the policy of the settings to every answer."""

    def get_policy_parts(
        self, request: HttpRequest, response: HttpResponseBase, report_only: bool = False
    ) -> PolicyParts:
        parts = super().get_policy_parts(request, response, report_only)
        if request.path_info.startswith(WITHOUT_NONCES):
            parts.replace = {**(parts.replace or {}), "script-src": [SELF]}
        return parts
