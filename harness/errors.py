"""Failures that a caller sees as an HTTP status."""

from __future__ import annotations


class HttpError(Exception):
    """Answered as ``{"error": message}`` with this status."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers or {}


def bad_request(message: str) -> HttpError:
    """400, with the sentence that says what is wrong."""
    return HttpError(400, message)


def not_found() -> HttpError:
    """404 as the protocol spells it: callers read it as a dead session."""
    return HttpError(404, "not found")


class ClientGoneError(Exception):
    """The caller closed its connection; there is nobody to answer."""
