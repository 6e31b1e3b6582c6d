"""What no page may do: complain, break its own policy, reach another host, fail to load."""

from __future__ import annotations

from playwright.sync_api import BrowserContext, ConsoleMessage, Request, Response, WebError

COMPLAINTS = ("error", "warning")
LOCAL_SCHEMES = ("data:", "blob:")
ABORTED = "net::ERR_ABORTED"
"""What a request ends with that was under way when its page was left."""


class Guard:
    """Watches every page of a context; ``problems`` is empty when all is well.

    What violates the Content-Security-Policy is an error on the console.
    """

    def __init__(self, origin: str) -> None:
        self.problems: list[str] = []
        self._origin = origin
        self._expected: set[int] = set()

    def expect(self, status: int) -> None:
        """Answers with this status are what the test is about."""
        self._expected.add(status)

    def watch(self, context: BrowserContext) -> None:
        context.on("console", self._on_console)
        context.on("weberror", self._on_error)
        context.on("request", self._on_request)
        context.on("requestfailed", self._on_failure)
        context.on("response", self._on_response)

    def _on_console(self, message: ConsoleMessage) -> None:
        print(f"console {message.type}: {message.text}")  # noqa: T201 - pytest shows it on failure
        told = any(f"status of {status} " in message.text for status in self._expected)
        if message.type in COMPLAINTS and not told:
            where = message.location.get("url", "")
            self.problems.append(f"console {message.type}: {message.text} ({where})")

    def _on_error(self, error: WebError) -> None:
        self.problems.append(f"uncaught: {error.error}")

    def _on_request(self, request: Request) -> None:
        is_local = request.url.startswith((f"{self._origin}/", *LOCAL_SCHEMES))
        if not is_local:
            self.problems.append(f"left the host: {request.url}")

    def _on_failure(self, request: Request) -> None:
        if request.failure != ABORTED:
            self.problems.append(f"failed: {request.method} {request.url} {request.failure}")

    def _on_response(self, response: Response) -> None:
        if response.status >= 400 and response.status not in self._expected:
            request = response.request
            self.problems.append(f"{response.status}: {request.method} {response.url}")
