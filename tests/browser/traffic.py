"""What a page costs on the wire."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from playwright.sync_api import Page


class Traffic:
    """Bytes received by a page from now on, headers included, by address."""

    def __init__(self, page: Page) -> None:
        self.received: dict[str, int] = defaultdict(int)
        self._addresses: dict[str, str] = {}
        network = page.context.new_cdp_session(page)
        network.on("Network.requestWillBeSent", self._on_request)
        network.on("Network.loadingFinished", self._on_finish)
        network.send("Network.enable")

    def total(self) -> int:
        return sum(self.received.values())

    def _on_request(self, event: dict[str, Any]) -> None:
        self._addresses[event["requestId"]] = event["request"]["url"]

    def _on_finish(self, event: dict[str, Any]) -> None:
        self.received[self._addresses[event["requestId"]]] += int(event["encodedDataLength"])
