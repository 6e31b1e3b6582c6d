"""Watches of the stand-in, and what befalls them."""

from __future__ import annotations

import json

import httpx
import pytest

from tests.harness.server import wait_until
from tests.kubernetes.standin import StandIn
from tests.kubernetes.standin.statuses import Object
from tests.kubernetes.wire import CORE, client, watching

SECRETS = f"{CORE}/secrets"


def secret(name: str, **labels: str) -> Object:
    return {"metadata": {"name": name, "labels": labels}}


def read(http: httpx.Client, **query: object) -> list[Object]:
    """A watch's events until its time is over."""
    params = {"watch": "true", "timeoutSeconds": "1", **{n: str(v) for n, v in query.items()}}
    text = http.get(SECRETS, params=params).text
    return [json.loads(line) for line in text.splitlines()]


def test_a_watch_without_a_version_begins_with_what_is_there(standin: StandIn) -> None:
    standin.create("secrets", secret("a"))
    with watching(standin, f"{SECRETS}?watch=true") as watch:
        standin.create("secrets", secret("b"))
        standin.delete("secrets", "a")
        expected = [("ADDED", "a"), ("ADDED", "b"), ("DELETED", "a")]
        wait_until(lambda: watch.seen() == expected)


@pytest.mark.slow
def test_a_watch_from_a_version_tells_what_was_missed_and_ends_in_time(
    standin: StandIn, http: httpx.Client
) -> None:
    standin.create("secrets", secret("a"))
    version = http.get(SECRETS).json()["metadata"]["resourceVersion"]
    standin.patch("secrets", "a", {"metadata": {"labels": {"x": "y"}}})
    standin.delete("secrets", "a")
    events = read(http, resourceVersion=version)
    assert [event["type"] for event in events] == ["MODIFIED", "DELETED"]
    versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in events]
    assert versions == sorted(versions)
    assert versions[0] > int(version)


def test_what_leaves_the_selector_is_deleted_for_the_watcher(standin: StandIn) -> None:
    standin.create("secrets", secret("a", app="x"))
    standin.create("secrets", secret("other", app="y"))
    with watching(standin, f"{SECRETS}?watch=true&labelSelector=app%3Dx") as watch:
        standin.patch("secrets", "a", {"metadata": {"labels": {"app": "y"}}})
        standin.patch("secrets", "other", {"metadata": {"labels": {"app": "x"}}})
        standin.patch("secrets", "other", {"metadata": {"labels": {"more": "z"}}})
        expected = [("ADDED", "a"), ("DELETED", "a"), ("ADDED", "other"), ("MODIFIED", "other")]
        wait_until(lambda: watch.seen() == expected)


@pytest.mark.slow
def test_bookmarks_come_to_those_who_want_them(standin: StandIn, http: httpx.Client) -> None:
    standin.server.bookmark_seconds = 0.2
    assert read(http) == []
    standin.create("sandboxes", _sandbox())
    events = read(http, allowWatchBookmarks="true")
    assert len(events) > 2
    assert {event["type"] for event in events} == {"BOOKMARK"}
    newest = http.get(SECRETS).json()["metadata"]["resourceVersion"]
    assert events[-1]["object"] == {
        "kind": "Secret",
        "apiVersion": "v1",
        "metadata": {"resourceVersion": newest},
    }


def _sandbox() -> Object:
    """It moves the version on without being a secret."""
    spec = {"podTemplate": {"spec": {"containers": [{"name": "c", "image": "i"}]}}}
    return {"metadata": {"name": "s"}, "spec": spec}


def test_an_old_version_has_expired(standin: StandIn, http: httpx.Client) -> None:
    version = standin.create("secrets", secret("a"))["metadata"]["resourceVersion"]
    standin.create("secrets", secret("b"))
    standin.forget_history()
    (event,) = read(http, resourceVersion=version)
    assert (event["type"], event["object"]["code"]) == ("ERROR", 410)
    assert event["object"]["reason"] == "Expired"


def test_a_version_of_the_future_is_refused(http: httpx.Client) -> None:
    answer = http.get(SECRETS, params={"watch": "true", "resourceVersion": "999999"})
    assert (answer.status_code, answer.headers["Retry-After"]) == (504, "1")


def test_a_watch_that_is_cut_breaks_off(standin: StandIn) -> None:
    with watching(standin, f"{SECRETS}?watch=true") as watch:
        standin.create("secrets", secret("a"))
        wait_until(lambda: watch.seen())
        assert standin.cut_watches() == 1
        wait_until(lambda: watch.error)
    assert isinstance(watch.error, httpx.RemoteProtocolError)


def test_an_outage_ends_watches_and_refuses_connections(standin: StandIn) -> None:
    with watching(standin, f"{SECRETS}?watch=true") as watch, client(standin) as http:
        with standin.outage():
            wait_until(lambda: watch.error)
            with pytest.raises(httpx.ConnectError):
                http.get(SECRETS)
        assert http.get(SECRETS).status_code == 200
