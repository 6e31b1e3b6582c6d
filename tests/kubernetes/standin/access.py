"""Who calls, and what they may do."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from tests.kubernetes.standin import statuses
from tests.kubernetes.standin.resources import Resource, Target
from tests.kubernetes.standin.statuses import ApiError, Object

Rules = list[Object]


@dataclass(frozen=True)
class User:
    """``rules`` are those of a Role; without any (None) everything is allowed."""

    name: str
    token: str
    rules: Rules | None = None


class Access:
    """The users of one stand-in."""

    def __init__(self) -> None:
        self._users: dict[str, User] = {}

    def token(self, name: str, rules: Rules | None = None) -> str:
        """The user's token; a new user, or new rules, when there are any."""
        known = self._users.get(name)
        if known is None or rules is not None:
            token = known.token if known else secrets.token_urlsafe(24)
            self._users[name] = User(name, token, rules)
        return self._users[name].token

    def authenticate(self, header: str) -> User:
        scheme, _, token = header.partition(" ")
        for user in self._users.values():
            if scheme.lower() == "bearer" and secrets.compare_digest(user.token, token.strip()):
                return user
        raise statuses.unauthorized()


def authorize(user: User, verb: str, target: Target) -> None:
    """Raise the 403 that says what is missing."""
    if user.rules is None or any(_allows(rule, verb, target) for rule in user.rules):
        return
    raise _forbidden(user, verb, target)


def _allows(rule: Object, verb: str, target: Target) -> bool:
    names = rule.get("resourceNames")
    return (
        bool({verb, "*"} & set(rule["verbs"]))
        and bool({target.group, "*"} & set(rule["apiGroups"]))
        and bool({target.full_plural, "*"} & set(rule["resources"]))
        and (not names or target.name in names)
    )


def _forbidden(user: User, verb: str, target: Target) -> ApiError:
    where = f' in the namespace "{target.namespace}"' if target.namespace else ""
    why = (
        f'User "{user.name}" cannot {verb} resource "{target.full_plural}" '
        f'in API group "{target.group}"{where}'
    )
    unknown = Resource(target.group, target.version, target.plural, target.plural)
    return statuses.forbidden(target.resource or unknown, target.name, why)
