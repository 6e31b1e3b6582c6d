"""Logging in, for the pages and for Django's admin, as often as one may try."""

from __future__ import annotations

from math import ceil
from typing import Any, Final

from django.conf import settings
from django.contrib import admin
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView, redirect_to_login
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from lap.access.rates import Rate, give_back, take
from lap.access.throttling import network_of

NAME_FACTOR: Final = 10
"""How many times as often as one address all addresses together may fail with one name."""


class LoginForm(AuthenticationForm):
    """Name and password.

    Every attempt is charged before the password is looked at, so that many at once do not slip
    through; one that succeeds gets its charge back. One address alone cannot use up what a name
    has, and so lock its owner out.
    """

    def clean(self) -> dict[str, Any]:
        charges = self._charges() if settings.LAP_LOGINS_PER_MINUTE else {}
        for key, rate in charges.items():
            _charge(key, rate)
        cleaned: dict[str, Any] = super().clean()
        for key, rate in charges.items():
            give_back(key, rate)
        return cleaned

    def _charges(self) -> dict[str, Rate]:
        address = self.request.META.get("REMOTE_ADDR", "") if self.request else ""
        name = str(self.cleaned_data.get("username", ""))[:150].casefold()
        limit = settings.LAP_LOGINS_PER_MINUTE
        return {
            f"login from {network_of(address)}": Rate(limit, limit),
            f"login as {name}": Rate(limit * NAME_FACTOR, limit * NAME_FACTOR),
        }


class Login(LoginView):
    """The login page; who is logged in already goes on."""

    template_name = "login.html"
    authentication_form = LoginForm
    redirect_authenticated_user = True


def admin_login(request: HttpRequest) -> HttpResponse:
    """Django's admin sends everybody here who may not enter it."""
    wanted = request.GET.get("next") or reverse("admin:index")
    if not request.user.is_authenticated:
        return redirect_to_login(wanted)
    if admin.site.has_permission(request):
        return HttpResponseRedirect(reverse("admin:index"))
    raise PermissionDenied("The admin is for members of staff.")


def _charge(key: str, rate: Rate) -> None:
    wait = take(key, rate)
    if wait is not None:
        seconds = max(1, ceil(wait))
        raise ValidationError(
            f"Too many attempts to log in. Try again in {seconds} s.", code="throttled"
        )
