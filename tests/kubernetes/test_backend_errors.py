"""Every answer that refuses has a sentence, a word and a permanence of its own."""

from __future__ import annotations

import json
import ssl
from typing import Any

import aiohttp
import pytest

from sessions.sandboxes.kubernetes.errors import (
    AlreadyExists,
    ApiDown,
    Conflict,
    NotFound,
    refusal,
    unreached,
)


def status(message: str, reason: str = "", details: Any = None) -> bytes:
    return json.dumps(
        {"kind": "Status", "message": message, "reason": reason, "details": details}
    ).encode()


NAMESPACE = {"kind": "namespaces", "name": "nons"}
REFUSALS = [
    (401, status("Unauthorized"), "unauthorized", True, "credentials"),
    (403, status('sandboxes "x" is forbidden: User "w" cannot list'), "forbidden", True, "Role"),
    (403, status("is forbidden: exceeded quota: q, requested: pods=1"), "quota", True, "exceeded"),
    (403, status("is forbidden: status unknown for quota: q"), "quota", False, "unknown"),
    (400, status("bad"), "invalid_spec", True, "bad"),
    (422, status('Sandbox "x" is invalid: spec.operatingMode'), "invalid_spec", True, "operating"),
    (404, b"404 page not found\n", "crds_missing", True, "agent-sandbox controller"),
    (
        404,
        status('"nons" not found', details=NAMESPACE),
        "namespace_missing",
        True,
        "nons",
    ),
    (429, status("too many requests"), "api_down", False, "too many"),
    (500, b"oops", "api_down", False, "status 500"),
    (503, status("etcd is gone"), "api_down", False, "etcd"),
    (504, status("Timeout"), "api_down", False, "Timeout"),
]


@pytest.mark.parametrize(("code", "content", "kind", "permanent", "words"), REFUSALS)
def test_refusals_are_told_apart(
    code: int, content: bytes, kind: str, permanent: bool, words: str
) -> None:
    error = refusal(code, content)
    assert (error.kind, error.permanent, error.status) == (kind, permanent, code)
    assert words in str(error)


def test_what_callers_handle_has_a_type_of_its_own() -> None:
    assert type(refusal(409, status("taken", "AlreadyExists"))) is AlreadyExists
    assert type(refusal(409, status("the UID in the precondition", "Conflict"))) is Conflict
    assert type(refusal(404, status('sandboxes "g" not found', "NotFound"))) is NotFound


def test_the_server_says_when_to_come_again() -> None:
    error = refusal(429, status("slow down"), retry_after="7")
    assert isinstance(error, ApiDown)
    assert error.retry_after == 7


def test_a_wrong_certificate_is_never_tried_again() -> None:
    error = unreached(ssl.SSLCertVerificationError("self-signed certificate"))
    assert (error.kind, error.permanent) == ("tls", True)
    assert "K8S_CA_FILE" in str(error)


SILENCES = [
    aiohttp.ServerDisconnectedError(),
    TimeoutError(),
    OSError("x"),
    ssl.SSLError("tlsv1 alert internal error"),
]


@pytest.mark.parametrize("cause", SILENCES)
def test_silence_is_worth_another_try(cause: Exception) -> None:
    error = unreached(cause)
    assert (error.kind, error.permanent) == ("api_down", False)
    assert str(error).rstrip(": ") != "the API server cannot be reached"
