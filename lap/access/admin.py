"""API keys in Django's admin: made once, shown once, then only looked at and revoked."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.widgets import AdminSplitDateTime
from django.db.models import QuerySet
from django.http import HttpRequest

from lap.access.models import ApiKey, ApiKeyQuerySet
from lap.core.admin import LapAdmin, badge, time_column

_SHOWN: list[Any] = [
    "name", "prefix", "scope", "shown_state", "created", "created_by", "last_used", "expires",
]  # fmt: skip
_BADGES = {"active": "good", "expired": "warn", "revoked": "bad"}


class ExpiryInput(AdminSplitDateTime):
    """Date and time, each with a label of its own: the one beside them names only the first."""

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        super().__init__(attrs)
        for part, label in zip(self.widgets, ("Expiry date", "Expiry time"), strict=True):
            part.attrs["aria-label"] = label


class NewKeyForm(forms.ModelForm[ApiKey]):
    """What is chosen when a key is made."""

    class Meta:
        model = ApiKey
        fields = ["name", "scope", "expires_at"]
        widgets = {"expires_at": ExpiryInput}
        help_texts = {
            "name": "Who it is for. What it does is recorded as “key …” with this name.",
            "expires_at": "In UTC. Empty: good until it is revoked.",
        }


class RevokeForm(forms.ModelForm[ApiKey]):
    """All that can be done to a key."""

    revoke = forms.BooleanField(
        required=False, help_text="The key is refused from now on. This cannot be undone."
    )

    class Meta:
        model = ApiKey
        fields: list[str] = []


class ApiKeyAdmin(LapAdmin[ApiKey]):
    """Named keys. Rows stay, so that the names in histories can be looked up."""

    list_display = _SHOWN
    list_filter = ["scope"]
    search_fields = ["name", "prefix"]
    actions = ["revoke"]

    created = time_column("created_at")
    expires = time_column("expires_at")
    last_used = time_column("last_used_at", "last used")
    revoked = time_column("revoked_at")

    def get_queryset(self, request: HttpRequest) -> ApiKeyQuerySet:
        return ApiKey.objects.with_state().defer("hashed_key")

    def get_form(
        self, request: HttpRequest, obj: ApiKey | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        form = RevokeForm if change else NewKeyForm
        return super().get_form(request, obj, change, form=form, **kwargs)

    def get_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> list[Any]:
        if obj is None:
            return ["name", "scope", "expires_at"]
        shown = self.get_readonly_fields(request, obj)
        return [*shown, "revoke"] if self.has_change_permission(request, obj) else shown

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> list[Any]:
        return [*_SHOWN, "revoked"] if obj else []

    def has_change_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        is_revoked = obj is not None and obj.revoked_at is not None
        return not is_revoked and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        if not change:
            obj.created_by = request.user.get_username()
            sentence = f"The key is {obj.issue()} — keep it now: it is not shown again."
            self.message_user(request, sentence, messages.WARNING)
        elif form.cleaned_data["revoke"]:
            ApiKey.objects.filter(pk=obj.pk).revoke()

    @admin.action(description="Revoke selected API keys", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        for key in queryset:
            if ApiKey.objects.filter(pk=key.pk).revoke():
                self.log_change(request, key, "Revoked.")
                self.message_user(request, f"Revoked “{key}”.", messages.SUCCESS)

    @admin.display(description="state")
    def shown_state(self, key: ApiKey) -> str:
        state = getattr(key, "state", "active")
        return badge(state, _BADGES[state])


admin.site.register(ApiKey, ApiKeyAdmin)
