"""One table of every route and case; who may call; and that no route is missing in it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.urls import URLPattern, resolve

from lap import urls
from sessions.models import Session, Worker
from tests.api import SESSIONS, Answer, Api
from tests.contract import client
from tests.contract.table import CALLING_CASES, CASES, JSON, PREVIEW, Case, session
from tests.contract.world import TOKEN, build_world, new_key

PHASE = session("creating", "phase")
GOOD_PHASE = {"phase": "cloning_repo", "detail": "x" * 500}
MESSAGE = ("POST", session("ready", "message"))
"""Succeeds only with a live sandbox: see test_round."""


def named(method: str, path: str) -> tuple[str, str]:
    """The operation with its route's name in place of its path."""
    found = resolve(f"/api/v1{path.partition('?')[0]}")
    return method, found.url_name or path


_SUCCEEDING = [case.operation for case in CASES if case.status < 300]
OPERATIONS = sorted({named(*found): found for found in [*_SUCCEEDING[::-1], MESSAGE]}.values())
WRITES = [op for op in OPERATIONS if op[0] != "GET" and op[1] != PREVIEW]
READS = [op for op in OPERATIONS if op not in WRITES]


@pytest.fixture
def api(db: None) -> Api:
    return Api()


@pytest.fixture
def world(db: None) -> dict[str, str]:
    return build_world()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_table(api: Api, world: dict[str, str], case: Case) -> None:
    check(api, world, case)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("case", CALLING_CASES, ids=str)
def test_the_table_where_a_harness_is_called(api: Api, world: dict[str, str], case: Case) -> None:
    check(api, world, case)


def check(api: Api, world: dict[str, str], case: Case) -> None:
    answer = ask(api, case, world)
    assert answer.status == case.status, answer.body
    if case.status >= 400:
        check_error(answer, filled(case.error, world))
    elif case.answer is not None:
        assert answer.body == filled(case.answer, world)


def ask(caller: Api, case: Case, world: dict[str, str]) -> Answer:
    headers: dict[str, Any] = {"content_type": case.content_type}
    if case.if_match:
        headers["If_Match"] = case.if_match
    path = case.path.format(**world).replace(" ", "%20")
    if isinstance(case.body, bytes):
        return caller(case.method, path, raw=case.body, **headers)
    return caller(case.method, path, filled(case.body, world), **headers)


def filled(value: Any, world: dict[str, str]) -> Any:
    """The value with the world's ids in place of their names."""
    text = json.dumps(value)
    for name, found in world.items():
        text = text.replace(f"{{{name}}}", found)
    return json.loads(text)


def check_error(answer: Answer, error: Any) -> None:
    """``{"error": sentence or [{path, message}]}``, and the one that the contract fixes."""
    assert answer.headers["Content-Type"] == JSON
    assert list(answer.body) == ["error"]
    if isinstance(answer.error, str):
        assert answer.error.strip()
        assert error in (None, answer.error)
    else:
        assert all(found.keys() == {"path", "message"} for found in answer.error)
        assert error is None or [found["path"] for found in answer.error] == error


# Who may call


@pytest.mark.parametrize("key", ["", "Bearer", "Bearer wrong", "Basic {key}", "Bearer {key}x"])
@pytest.mark.parametrize("operation", [*OPERATIONS, ("POST", PHASE)], ids=" ".join)
def test_without_a_key_nobody_gets_in(
    api: Api, world: dict[str, str], operation: tuple[str, str], key: str
) -> None:
    method, path = operation
    sent: dict[str, Any] = {"Authorization": key.format(key=api.key)} if key else {}
    answer = Api.anonymous()(method, path.format(**world), {}, **sent)
    assert (answer.status, answer.body) == (401, {"error": "unauthorized"})


@pytest.mark.parametrize("operation", WRITES, ids=" ".join)
def test_a_read_key_writes_nothing(world: dict[str, str], operation: tuple[str, str]) -> None:
    before = everything()
    answer = with_key(new_key("read"), operation, world)
    assert answer.status == 403
    check_error(answer, None)
    assert everything() == before


@pytest.mark.parametrize("operation", READS, ids=" ".join)
def test_a_read_key_reads(world: dict[str, str], operation: tuple[str, str]) -> None:
    assert with_key(new_key("read"), operation, world).status == 200


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("operation", OPERATIONS, ids=" ".join)
def test_a_write_key_does_everything(world: dict[str, str], operation: tuple[str, str]) -> None:
    assert with_key(new_key("write"), operation, world).status in {200, 204, 502}


def with_key(key: str, operation: tuple[str, str], world: dict[str, str]) -> Answer:
    """Call with a body that is right for the route."""
    found = (case for case in CASES if case.operation == operation and case.status in {200, 204})
    case = next(found, Case(*operation, 502, {"text": "hi"}))
    body = filled(case.body, world)
    bearer = f"Bearer {key}"
    path = case.path.format(**world)
    return Api.anonymous()(case.method, path, body, Authorization=bearer)


def everything() -> list[tuple[Any, ...]]:
    return list(Session.objects.order_by("id").values_list("id", "status", "attempt"))


@pytest.mark.parametrize("name", ["ready", "completed", "agent", "nobody"])
def test_a_callback_token_opens_only_its_own_session(world: dict[str, str], name: str) -> None:
    answer = callback("POST", session(name, "phase").format(**world))
    assert (answer.status, answer.body) == (401, {"error": "unauthorized"})


@pytest.mark.parametrize("operation", OPERATIONS, ids=" ".join)
def test_a_callback_token_opens_no_other_route(
    world: dict[str, str], operation: tuple[str, str]
) -> None:
    answer = callback(operation[0], operation[1].replace("{ready}", "{creating}").format(**world))
    assert (answer.status, answer.body) == (401, {"error": "unauthorized"})


@pytest.mark.parametrize("key", ["master", "read", "write"])
def test_no_other_key_reports_phases(api: Api, world: dict[str, str], key: str) -> None:
    found = api.key if key == "master" else new_key(key)
    answer = callback("POST", PHASE.format(**world), token=found)
    assert (answer.status, answer.body) == (401, {"error": "unauthorized"})


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (GOOD_PHASE, 200),
        ({"phase": "installing_deps"}, 200),
        ({"phase": "harness_listening", "detail": None}, 200),
        (None, 400),
        ({"phase": "ready"}, 400),
        ({"phase": ["cloning_repo"]}, 400),
        ({"phase": "cloning_repo", "detail": 5}, 400),
        ({"phase": "cloning_repo", "detail": "x" * 501}, 400),
    ],
    ids=lambda value: str(value)[:60],
)
def test_phases(api: Api, world: dict[str, str], body: Any, status: int) -> None:
    answer = callback("POST", PHASE.format(**world), body)
    assert answer.status == status
    shown = api.get(session("creating").format(**world)).body
    if status == 200:
        assert answer.body == {"ok": True}
        assert shown["phase"] == body["phase"]
        assert shown["phase_detail"] == body.get("detail")
    else:
        check_error(answer, None)
        assert shown["phase"] is None


def test_the_wrong_method_of_phase(world: dict[str, str]) -> None:
    assert callback("GET", PHASE.format(**world)).status == 405


def callback(method: str, path: str, body: Any = GOOD_PHASE, token: str = TOKEN) -> Answer:
    return Api.anonymous()(method, path, body, Authorization=f"Bearer {token}")


# What succeeds


@pytest.mark.django_db(transaction=True)
def test_a_refused_connection_ends_the_session(api: Api, world: dict[str, str]) -> None:
    path = session("ready").format(**world)
    assert api.post(f"{path}/message", {"text": "hi"}).status == 502
    stored = Session.objects.get(id=world["ready"])
    assert stored.failure_reason == "sandbox unreachable"
    assert stored.status == "dead" or (stored.status, stored.stop_as) == ("stopping", "dead")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", ["ready", "completed", "dead"])
def test_a_restart_shows_the_same_session(api: Api, world: dict[str, str], name: str) -> None:
    restarted = api.post(session(name, "restart").format(**world)).body
    assert restarted.keys() >= client.SESSION
    assert (restarted["id"], restarted["status"]) == (world[name], "creating")
    assert (restarted["stopped_at"], restarted["failure_reason"]) == (None, None)
    assert api.get(f"{SESSIONS}/{world[name]}").body == restarted


def test_the_backend_as_workers_saw_it(api: Api, world: dict[str, str]) -> None:
    body = api.get("/health/k8s").body
    assert body.keys() >= {"ok", "elapsed_ms", "backend", "checked_at"}
    assert (body["ok"], body["backend"]) == (True, "local")
    client.check_timestamps(body)


@pytest.mark.parametrize("trouble", [{"backend_error": "no API server"}, {"ended": True}])
def test_a_backend_in_trouble(api: Api, world: dict[str, str], trouble: dict[str, Any]) -> None:
    if "ended" in trouble:
        Worker.objects.all().delete()
    else:
        Worker.objects.update(**trouble)
    answer = api.get("/health/k8s")
    assert answer.status == 503
    assert answer.body.keys() >= {"ok", "error", "elapsed_ms"}
    assert answer.body["ok"] is False
    assert answer.body["error"]


STATS: dict[str, set[str]] = {
    "warm_pool": {
        "configured_size", "max_provisioning", "ttl_minutes", "recent_agent_hours", "counts",
        "by_agent",
    },
    "sessions": {"counts", "by_agent"},
    "agents": {"total"},
    "runtime": {"namespace", "harness_image", "container_port", "reconcile_interval_seconds"},
}  # fmt: skip


def test_the_stats_have_the_contracts_shape(api: Api, world: dict[str, str]) -> None:
    body = api.get("/admin/stats").body
    assert body.keys() >= STATS.keys()
    for name, keys in STATS.items():
        assert body[name].keys() >= keys
    assert body["warm_pool"]["counts"].keys() >= {"provisioning", "warm", "claimed", "dead"}
    assert body["agents"]["total"] == 2
    counts = {"creating": 2, "ready": 2, "failed": 0, "dead": 1}
    assert counts.items() <= body["sessions"]["counts"].items()
    by_agent = {row["agent_id"]: row for row in body["sessions"]["by_agent"]}
    assert by_agent[world["agent"]].items() >= {
        "agent_name": "idle", "creating": 1, "ready": 1,
    }.items()  # fmt: skip


# The table itself


SERVES_BROWSERS = {"schema", "docs"}
"""Checked by the tests of the schema."""


def test_no_operation_is_missing_in_the_table() -> None:
    tabled = {named(method, path) for method, path in [*OPERATIONS, ("POST", PHASE)]}
    served = {op for route in urls.api for op in operations_of(route)}
    assert served == tabled


@pytest.mark.parametrize("status", [404, 405])
def test_every_route_has_such_a_row(status: int) -> None:
    """A route with an id in it has a row for unknown ids; phase answers them with 401."""
    having = {named("", case.path)[1] for case in CASES if case.status == status}
    wanted = {route.name for route in urls.api if status == 405 or "<" in str(route.pattern)}
    assert wanted - {"phase"} - SERVES_BROWSERS - having == set()


def operations_of(route: URLPattern) -> set[tuple[str, str]]:
    view = getattr(route.callback, "view_class", None)
    assert route.name
    if route.name in SERVES_BROWSERS:
        return set()
    methods = ("get", "post", "patch", "put", "delete")
    return {(method.upper(), route.name) for method in methods if hasattr(view, method)}
