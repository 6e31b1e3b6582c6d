"""Faults of the stand-in: what a client sees, and whether its request was carried out."""

from __future__ import annotations

import time
from collections import Counter

import httpx
import pytest

from tests.kubernetes.standin import StandIn
from tests.kubernetes.standin.faults import Kind
from tests.kubernetes.wire import CORE

SECRETS = f"{CORE}/secrets"
BODY = {"metadata": {"name": "a"}}

SEEN: list[tuple[Kind, int, str]] = [
    ("error", 500, "InternalError"),
    ("throttle", 429, "TooManyRequests"),
    ("unavailable", 503, "ServiceUnavailable"),
]


@pytest.mark.parametrize(("kind", "code", "reason"), SEEN)
def test_an_error_in_place_of_the_answer(
    standin: StandIn, http: httpx.Client, kind: Kind, code: int, reason: str
) -> None:
    standin.faults.once(kind, verb="create", resource="secrets")
    assert http.get(SECRETS).status_code == 200
    answer = http.post(SECRETS, json=BODY)
    assert (answer.status_code, answer.json()["reason"]) == (code, reason)
    assert answer.headers.get("Retry-After") == ("1" if kind == "throttle" else None)
    assert standin.objects("secrets") == []
    assert http.post(SECRETS, json=BODY).status_code == 201
    assert [call.injected for call in standin.calls] == ["", kind, ""]


@pytest.mark.parametrize(("kind", "carried_out"), [("cut", 0), ("cut-after", 1)])
def test_a_connection_cut_before_or_after(
    standin: StandIn, http: httpx.Client, kind: Kind, carried_out: int
) -> None:
    standin.faults.once(kind)
    with pytest.raises(httpx.RemoteProtocolError):
        http.post(SECRETS, json=BODY)
    assert len(standin.objects("secrets")) == carried_out


def test_shares_of_all_calls(standin: StandIn, http: httpx.Client) -> None:
    standin.faults.error_share = 0.3
    standin.faults.throttle_share = 0.2
    standin.faults.applies = lambda call: call.verb == "list"
    found = Counter(http.get(SECRETS).status_code for _ in range(200))
    assert found.keys() == {200, 429, 500}
    assert 40 < found[500] < 80
    assert 20 < found[429] < 60
    standin.faults.clear()
    assert {http.get(SECRETS).status_code for _ in range(20)} == {200}


def test_latency_and_a_server_that_is_not_there(standin: StandIn, http: httpx.Client) -> None:
    standin.faults.latency_seconds = 0.2
    started = time.monotonic()
    assert http.get(SECRETS).status_code == 200
    assert time.monotonic() - started >= 0.2
    standin.faults.clear()
    standin.faults.is_unavailable = True
    assert http.get(SECRETS).status_code == 503
