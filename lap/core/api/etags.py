"""Entity tags of rows that count their edits."""

from rest_framework.request import Request

from lap.core.errors import StaleVersion


def etag(version: int) -> str:
    """The tag of one version."""
    return f'"{version}"'


def has_condition(request: Request) -> bool:
    """Whether the caller names the versions it is ready to change."""
    return "If-Match" in request.headers


def require_match(request: Request, version: int) -> None:
    """Raises StaleVersion when ``If-Match`` names other versions than the current one.

    A weak tag counts too: proxies that compress weaken the tags that pass through them.
    """
    tags = [tag.strip().removeprefix("W/") for tag in request.headers["If-Match"].split(",")]
    if "*" not in tags and etag(version) not in tags:
        raise StaleVersion(version)
