"""Decides by the rules of NetworkPolicy whether one pod may speak to another or to an address."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.deploy.rendering import Object


@dataclass(frozen=True)
class Peer:
    """A pod, or (without a namespace) an address outside the cluster's pods."""

    namespace: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    address: str = "10.0.0.1"


def may_leave(policies: Iterable[Object], source: Peer, target: Peer, port: int) -> bool:
    """Whether the policies of the source's namespace let it out to the target."""
    return _allows(policies, "Egress", "to", source, target, port)


def may_enter(policies: Iterable[Object], source: Peer, target: Peer, port: int) -> bool:
    """Whether the policies of the target's namespace let the source in."""
    return _allows(policies, "Ingress", "from", target, source, port)


def _allows(
    policies: Iterable[Object], way: str, side: str, guarded: Peer, other: Peer, port: int
) -> bool:
    concerned = [
        policy["spec"]
        for policy in policies
        if policy["metadata"]["namespace"] == guarded.namespace
        and way in policy["spec"]["policyTypes"]
        and _selects(policy["spec"]["podSelector"], guarded.labels)
    ]
    rules = [rule for spec in concerned for rule in spec.get(way.lower(), ())]
    return not concerned or any(_matches(rule, side, other, port) for rule in rules)


def _matches(rule: Object, side: str, other: Peer, port: int) -> bool:
    ports = rule.get("ports")
    peers = rule.get(side)
    return (not ports or port in [entry["port"] for entry in ports]) and (
        not peers or any(_is(peer, other) for peer in peers)
    )


def _is(peer: Object, other: Peer) -> bool:
    if "ipBlock" in peer:
        address, block = ipaddress.ip_address(other.address), peer["ipBlock"]
        return _within(address, block["cidr"]) and not any(
            _within(address, hole) for hole in block.get("except", ())
        )
    names = {"kubernetes.io/metadata.name": other.namespace}
    return bool(other.namespace) and (
        _selects(peer.get("namespaceSelector", {}), names)
        and _selects(peer.get("podSelector", {}), other.labels)
    )


def _within(address: ipaddress.IPv4Address | ipaddress.IPv6Address, block: str) -> bool:
    network = ipaddress.ip_network(block)
    return address.version == network.version and address in network


def _selects(selector: Object, labels: dict[str, str]) -> bool:
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        labels.get(expression["key"]) in expression["values"]
        for expression in selector.get("matchExpressions", ())
    )
