"""The SandboxClaim controller: a member of the pool for a claim, or a sandbox of its own."""

from __future__ import annotations

from datetime import UTC, datetime

from tests.kubernetes.standin import blueprints, conditions, pools
from tests.kubernetes.standin.api import Api
from tests.kubernetes.standin.controller import SYSTEM
from tests.kubernetes.standin.resources import CLAIMS, POOLS, SANDBOXES, TEMPLATES, Key
from tests.kubernetes.standin.statuses import ApiError, Object
from tests.kubernetes.standin.store import Change, owners_of
from tests.kubernetes.standin.work import WorkQueue, is_over

FIRST_SEEN = f"{SYSTEM}controller-first-observed-at"
FIRST_READY = f"{SYSTEM}claim-first-ready-at"
SANDBOX_NAME = f"{SYSTEM}sandbox-name"
ALLOWED_DOMAIN = "sandbox.users.io"
ADOPTION_SECONDS = 0.01


class Refused(Exception):
    """The claim gets no sandbox; the reason is the condition's."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class ClaimController:
    """Looks again when a claim or the sandbox it owns changes."""

    def __init__(self, api: Api) -> None:
        self.queue = WorkQueue(self._reconcile)
        self.queue.delay_seconds = ADOPTION_SECONDS
        self._api = api
        self._store = api.store
        self._store.listeners.append(self._notice)

    def _notice(self, change: Change) -> None:
        if change.resource is CLAIMS and change.after:
            self.queue.add(change.key)
        if change.resource is SANDBOXES:
            for owner in owners_of(change.after or change.before):
                if owner["kind"] == CLAIMS.kind:
                    self.queue.add(CLAIMS.key(change.key.namespace, owner["name"]))

    def _reconcile(self, key: Key) -> None:
        claim = self._store.at(key)
        if not claim or "deletionTimestamp" in claim["metadata"]:
            return
        lifecycle = claim["spec"].get("lifecycle", {})
        if is_over(lifecycle.get("shutdownTime")):
            self._expire(claim, lifecycle["shutdownPolicy"])
            return
        if lifecycle.get("shutdownTime"):
            self.queue.add_at(key, lifecycle["shutdownTime"])
        claim = self._annotated(claim, FIRST_SEEN, _now())
        self._serve(claim)

    def _serve(self, claim: Object) -> None:
        try:
            sandbox = self._sandbox(claim)
        except Refused as refusal:
            self._refuse(claim, refusal.reason, str(refusal))
            return
        except ApiError as error:
            self._refuse(claim, "ReconcilerError", f"Error seen: {error}")
            raise
        if sandbox is None:
            self._refuse(claim, "SandboxMissing", "Sandbox does not exist")
            return
        claim = self._annotated(claim, SANDBOX_NAME, sandbox["metadata"]["name"])
        self._show(claim, sandbox)

    def _sandbox(self, claim: Object) -> Object | None:
        """Its sandbox, got now if need be; None when the one it had is gone."""
        namespace = claim["metadata"]["namespace"]
        name = claim["metadata"]["annotations"].get(SANDBOX_NAME)
        if name:
            return self._store.find(SANDBOXES, namespace, name)
        _check_labels(claim)
        pool, template = self._pool_and_template(claim)
        if claim["spec"].get("env"):
            _check_env(template)
        elif found := pools.members(self._api, pool):
            member = found[0]
            after = blueprints.adopted(member, claim, template)
            return self._store.update(SANDBOXES, member, after)
        return self._api.create(SANDBOXES, namespace, blueprints.for_claim(claim, template))

    def _pool_and_template(self, claim: Object) -> tuple[Object, Object]:
        namespace = claim["metadata"]["namespace"]
        name = claim["spec"]["warmPoolRef"]["name"]
        pool = self._store.find(POOLS, namespace, name)
        if not pool:
            raise Refused("WarmPoolNotFound", f'SandboxWarmPool "{name}" not found')
        name = pool["spec"]["sandboxTemplateRef"]["name"]
        template = self._store.find(TEMPLATES, namespace, name)
        if not template:
            raise Refused("TemplateNotFound", f'SandboxTemplate "{name}" not found')
        return pool, template

    def _show(self, claim: Object, sandbox: Object) -> None:
        shown = [conditions.find(sandbox, kind) for kind in ("Ready", "Finished")]
        own: Object = {"name": sandbox["metadata"]["name"]}
        if ips := sandbox.get("status", {}).get("podIPs"):
            own["podIPs"] = ips
        found = [condition for condition in shown if condition]
        if not found:
            told = ("Ready", "False", "SandboxNotReady", "Sandbox is not ready")
            found = conditions.updated(claim, [told], set())
        claim = self._api.set_status(CLAIMS, claim, {"conditions": found, "sandbox": own})
        if conditions.is_true(claim, "Ready"):
            self._annotated(claim, FIRST_READY, _now())

    def _refuse(self, claim: Object, reason: str, message: str) -> None:
        told = conditions.updated(claim, [("Ready", "False", reason, message)], {"Finished"})
        self._api.set_status(CLAIMS, claim, {"conditions": told, "sandbox": {}})

    def _expire(self, claim: Object, policy: str) -> None:
        namespace, name = claim["metadata"]["namespace"], claim["metadata"]["name"]
        if policy != "Retain":
            self._api.delete(CLAIMS, namespace, name, {})
            return
        for key in self._store.owned_by(claim["metadata"]["uid"]):
            self._api.delete(SANDBOXES, key.namespace, key.name, {})
        self._refuse(claim, "ClaimExpired", "Claim expired. Sandbox cleanup initiated.")

    def _annotated(self, claim: Object, name: str, value: str) -> Object:
        """With that annotation, which stays as it was first written."""
        annotations = {name: value, **claim["metadata"].get("annotations", {})}
        return self._api.set_metadata(CLAIMS, claim, annotations=annotations)


def _check_labels(claim: Object) -> None:
    for label in claim["spec"].get("additionalPodMetadata", {}).get("labels", {}):
        domain = label.rpartition("/")[0]
        if domain != ALLOWED_DOMAIN and not domain.endswith(f".{ALLOWED_DOMAIN}"):
            told = f'failed to validate label "{label}": label domain "{domain}" is not allowed'
            raise Refused("InvalidMetadata", f"invalid metadata: {told}")


def _check_env(template: Object) -> None:
    if template["spec"]["envVarsInjectionPolicy"] == "Disallowed":
        told = "environment variable injection is not allowed by the template policy"
        raise Refused(
            "EnvVarsInjectionRejected", f"environment variable injection rejected: {told}"
        )


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")
