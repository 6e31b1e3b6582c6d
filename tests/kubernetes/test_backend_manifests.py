"""The objects that the backend writes hold names, and never values that are secret."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from sessions.sandboxes.base import Configuration, SandboxSpec
from sessions.sandboxes.kubernetes import manifests
from sessions.sandboxes.kubernetes.options import Options
from sessions.sandboxes.kubernetes.resources import SANDBOXES, Object, name_of

ID = UUID("11111111-2222-3333-4444-555555555555")
END = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
OPTIONS = Options(namespace="lap", harness_image="example/harness:1", hash_key="k1")
CONFIGURATION = Configuration(ID, "shell", env={"API_KEY": "hunter2", "PORT": "9"})
SPEC = SandboxSpec(
    name=f"s-{ID}-12",
    session_id=ID,
    attempt=12,
    configuration=CONFIGURATION,
    harness_token="token-of-mine",
    env={"API_KEY": "hunter2", "SESSION_ID": str(ID)},
)
OWNER = {"metadata": {"name": SPEC.name, "uid": "u-1", "labels": {"a": "b"}}}


def everything(options: Options = OPTIONS) -> list[Object]:
    return [
        manifests.sandbox(SPEC, options, END),
        manifests.claim(SPEC, options, END),
        manifests.template(CONFIGURATION, options),
        manifests.pool(CONFIGURATION, options, OWNER),
    ]


def pod_of(made: Object) -> Any:
    return made["spec"]["podTemplate"]["spec"]


def test_no_object_but_the_secret_holds_a_value() -> None:
    told = json.dumps(everything())
    assert "hunter2" not in told
    assert "token-of-mine" not in told
    secret = manifests.secret(OWNER, SANDBOXES, SPEC.env, SPEC.harness_token)
    assert secret["stringData"] == {**SPEC.env, "HARNESS_AUTH_TOKEN": "token-of-mine"}


def test_variables_come_from_the_secret_of_the_same_name() -> None:
    made = manifests.sandbox(SPEC, OPTIONS, END)
    env = pod_of(made)["containers"][0]["env"]
    references = [entry["valueFrom"]["secretKeyRef"] for entry in env if "valueFrom" in entry]
    assert {one["key"] for one in references} == {*SPEC.env, "HARNESS_AUTH_TOKEN"}
    assert {one["name"] for one in references} == {name_of(made)}
    assert [entry for entry in env if "value" in entry] == [{"name": "PORT", "value": "4096"}]


def test_names_fit() -> None:
    assert all(len(name_of(made)) <= 50 for made in everything())


def test_a_sandbox_ends_by_itself_when_nobody_renews_it() -> None:
    spec = manifests.sandbox(SPEC, OPTIONS, END)["spec"]
    assert (spec["shutdownTime"], spec["shutdownPolicy"]) == ("2026-11-23T09:30:00Z", "Delete")
    assert spec["service"] is True
    lifecycle = manifests.claim(SPEC, OPTIONS, END)["spec"]["lifecycle"]
    assert lifecycle == {"shutdownTime": "2026-11-23T09:30:00Z", "shutdownPolicy": "Delete"}


def test_a_claim_brings_no_variables() -> None:
    assert "env" not in manifests.claim(SPEC, OPTIONS, END)["spec"]


def test_pods_get_no_account_and_no_privileges() -> None:
    for made in (manifests.sandbox(SPEC, OPTIONS, END), manifests.template(CONFIGURATION, OPTIONS)):
        pod = pod_of(made)
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["containers"][0]["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        }


def test_settings_reach_the_pod() -> None:
    options = replace(
        OPTIONS, runtime_class="gvisor", image_pull_secrets=("regcred",), memory_limit="1Gi"
    )
    pod = pod_of(manifests.sandbox(SPEC, options, END))
    assert pod["runtimeClassName"] == "gvisor"
    assert pod["imagePullSecrets"] == [{"name": "regcred"}]
    assert pod["containers"][0]["resources"]["limits"] == {"cpu": "2", "memory": "1Gi"}


def test_an_agents_image_and_port_come_before_the_settings() -> None:
    configuration = replace(CONFIGURATION, harness_image="example/own:2", container_port=8080)
    pod = pod_of(manifests.template(configuration, OPTIONS))
    assert pod["containers"][0]["image"] == "example/own:2"
    assert pod["containers"][0]["ports"][0]["containerPort"] == 8080


OTHERS = [
    (replace(CONFIGURATION, env={"API_KEY": "hunter3"}), OPTIONS),
    (replace(CONFIGURATION, harness_image="example/own:2"), OPTIONS),
    (CONFIGURATION, replace(OPTIONS, memory_limit="8Gi")),
    (CONFIGURATION, replace(OPTIONS, hash_key="k2")),
    (CONFIGURATION, replace(OPTIONS, warm_pool_size=3)),
]


@pytest.mark.parametrize(("configuration", "options"), OTHERS)
def test_another_configuration_has_another_pool(
    configuration: Configuration, options: Options
) -> None:
    name = manifests.pool_name(CONFIGURATION, OPTIONS)
    assert manifests.pool_name(configuration, options) != name
    assert manifests.pool_name(replace(CONFIGURATION), replace(OPTIONS)) == name


def test_pools_have_tokens_of_their_own() -> None:
    tokens = {manifests.pool_token(name, OPTIONS) for name in ("w-1", "w-2")}
    assert len(tokens) == 2
    assert manifests.pool_token("w-1", replace(OPTIONS, hash_key="k2")) not in tokens
