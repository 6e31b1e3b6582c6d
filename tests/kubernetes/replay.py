"""Replays the recorded exchanges on a stand-in and tells where its answers differ.

Compared is what a client can see and use. Uids, generated names, hashes of generated names,
times and absolute versions belong to one run: they are mapped, or left out.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.kubernetes.standin import StandIn
from tests.kubernetes.standin.names import name_hash
from tests.kubernetes.standin.statuses import Object

FILE = Path(__file__).with_name("exchanges.json")
POOL_MEMBER = "w-cv4vr"
FIRST_LIST = "221"
ONE_RUN_ONLY = {
    "creationTimestamp",
    "lastTransitionTime",
    "lastProbeTime",
    "managedFields",
    "resourceVersion",
    "continue",
    "remainingItemCount",
    "agents.x-k8s.io/claim-first-ready-at",
    "agents.x-k8s.io/controller-first-observed-at",
    "agents.x-k8s.io/sandbox-template-hash",
    "agents.x-k8s.io/sandbox-pod-template-hash",
}
MOMENTARY = {"claim-ready": {"observedGeneration"}}
"""Recorded between two steps of the controller: a moment later it was another."""

NUMBERS_IN_WORDS = ("too old resource version", "Too large resource version")
PATIENCE_SECONDS = 5.0


def load() -> list[Object]:
    exchanges: list[Object] = json.loads(FILE.read_text(encoding="utf-8"))["exchanges"]
    return exchanges


@dataclass
class Replay:
    """One pass over the exchanges, in order."""

    cluster: StandIn
    http: httpx.Client
    differences: list[str] = field(default_factory=list)
    compared: int = 0
    _replaced: dict[str, str] = field(default_factory=dict)
    _version: int = 0
    _first_list: int = 0

    def run(self, exchange: Object) -> None:
        """Ask, and ask again while the controller has not come that far."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            found = self._stream(exchange) if "stream" in exchange else self._answer(exchange)
            may_retry = exchange["method"] in ("GET", "PATCH")
            if not (found and may_retry and time.monotonic() < deadline):
                break
            time.sleep(0.01)
        self.compared += 1
        self.differences += [f"{exchange['name']}: {difference}" for difference in found]

    def _answer(self, exchange: Object) -> list[str]:
        headers = self._headers(exchange)
        content = json.dumps(self._ours(exchange["request"])) if exchange["request"] else None
        method, path = exchange["method"], self._path(exchange)
        answer = self.http.request(method, path, content=content, headers=headers)
        found = differences(exchange["status"], answer.status_code, "status")
        for name, value in exchange["headers"].items():
            kind = answer.headers.get(name, "").partition(";")[0]
            found += differences(value.partition(";")[0], kind, name)
        if isinstance(exchange["response"], str):
            return found + differences(exchange["response"], answer.text, "body")
        self._learn(exchange["response"], answer.json())
        ignored = ONE_RUN_ONLY | MOMENTARY.get(exchange["name"], set())
        expected = cleaned(self._ours(exchange["response"]), ignored)
        ours = cleaned(answer.json(), ignored)
        return found + differences(expected, ours, "") + self._check_version(answer.json())

    def _stream(self, exchange: Object) -> list[str]:
        path = self._path(exchange)
        with self.http.stream("GET", path, timeout=30) as answer:
            found = differences(exchange["status"], answer.status_code, "status")
            events = [json.loads(line) for line in answer.iter_lines()]
        expected = without_repeated_bookmarks(self._ours(exchange["stream"]))
        ours = without_repeated_bookmarks(events)
        return found + differences(cleaned(expected, ONE_RUN_ONLY), cleaned(ours, ONE_RUN_ONLY), "")

    def _headers(self, exchange: Object) -> dict[str, str]:
        headers = {"Content-Type": exchange.get("content_type") or "application/json"}
        if exchange["name"] == "rbac-forbidden":
            headers["Authorization"] = f"Bearer {self.cluster.token('limited')}"
        if exchange["name"] == "unauthorized":
            headers["Authorization"] = "Bearer wrong"
        return headers

    def _path(self, exchange: Object) -> str:
        """The version of the first list stands for ours of that moment."""
        path: str = self._ours(exchange["path"])
        return path.replace(f"resourceVersion={FIRST_LIST}", f"resourceVersion={self._first_list}")

    def _learn(self, recorded: Any, ours: Any) -> None:
        """Which of our uids and generated names stand for which recorded ones."""
        for theirs, own in zip(objects_in(recorded), objects_in(ours), strict=False):
            for name in ("uid", "name"):
                if own.get(name) and theirs.get(name):
                    self._replaced[theirs[name]] = own[name]
            if theirs.get("name") == POOL_MEMBER:
                self._replaced[name_hash(POOL_MEMBER)] = name_hash(own["name"])

    def _ours(self, value: Any) -> Any:
        """The same with our uids and names; plain names map to themselves."""
        text = json.dumps(value)
        for theirs, own in self._replaced.items():
            if theirs != own:
                text = text.replace(theirs, own)
        return json.loads(text)

    def _check_version(self, answer: Object) -> list[str]:
        """Versions only ever rise."""
        version = int(answer.get("metadata", {}).get("resourceVersion") or 0)
        self._first_list = self._first_list or version
        before, self._version = self._version, max(self._version, version)
        is_list = answer.get("kind", "").endswith("List")
        return (
            [f"a list at version {version} after {before}"] if is_list and version < before else []
        )


def objects_in(answer: Any) -> list[Object]:
    """The metadata of an answer and of the items in it."""
    if not isinstance(answer, dict) or answer.get("kind") == "Status":
        return []
    found = [answer.get("metadata") or {}]
    return found + [item["metadata"] for item in answer.get("items", [])]


def without_repeated_bookmarks(events: list[Object]) -> list[Object]:
    """How many come depends on how long one looks."""
    return [
        event
        for number, event in enumerate(events)
        if event["type"] != "BOOKMARK" or events[number - 1]["type"] != "BOOKMARK"
    ]


def cleaned(value: Any, ignored: set[str]) -> Any:
    """Without the ignored fields, and without the versions that messages mention."""
    if isinstance(value, list):
        return [cleaned(item, ignored) for item in value]
    if isinstance(value, dict):
        return {n: cleaned(v, ignored) for n, v in value.items() if n not in ignored}
    if isinstance(value, str) and any(words in value for words in NUMBERS_IN_WORDS):
        return re.sub(r"\d+", "0", value)
    return value


def differences(expected: Any, found: Any, where: str) -> list[str]:
    """Every place where the two differ."""
    if isinstance(expected, dict) and isinstance(found, dict):
        names = sorted(expected.keys() | found.keys())
        pairs = [(f"{where}.{n}", expected.get(n), found.get(n)) for n in names]
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        pairs = [
            (f"{where}[{n}]", *pair) for n, pair in enumerate(zip(expected, found, strict=True))
        ]
    else:
        return [] if expected == found else [f"{where}: {expected!r} became {found!r}"]
    return [text for place, *pair in pairs for text in differences(pair[0], pair[1], place)]
