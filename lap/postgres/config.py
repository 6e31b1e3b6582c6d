"""PostgreSQL's settings."""

from collections.abc import Mapping
from pathlib import Path

from lap.postgres import address

DEFAULTS = {
    "max_connections": "200",
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "jit": "off",
    "log_checkpoints": "off",
    "password_encryption": "scram-sha-256",
}


def arguments(data_dir: Path, cluster: Path, settings: Mapping[str, str]) -> list[str]:
    """Return the postmaster's arguments. Where it listens is not open to change."""
    fixed = {
        "listen_addresses": "",
        "unix_socket_directories": str(address.socket_dir(data_dir)),
        "unix_socket_permissions": "0700",
        "port": str(address.PORT),
        "cluster_name": address.name(data_dir),
    }
    options = {**DEFAULTS, **settings, **fixed}
    return ["-D", str(cluster), *(f"--{key}={value}" for key, value in options.items())]
