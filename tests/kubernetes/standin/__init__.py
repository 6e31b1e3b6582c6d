"""A stand-in for a Kubernetes API server with the agent-sandbox controller and one node."""

from tests.kubernetes.standin.cluster import StandIn

__all__ = ["StandIn"]
