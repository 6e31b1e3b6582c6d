"""What the contract shows of a session."""

WIRE = {
    "id", "agent_id", "sandbox_url", "tty_url", "tty_token", "status", "task_arn", "response",
    "created_at", "last_seen_at", "idle_timeout_ms", "failure_reason", "phase", "phase_detail",
    "trigger", "title", "scheduled_for", "started_at", "stopped_at", "failure_kind", "created_by",
}  # fmt: skip
