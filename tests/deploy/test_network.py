"""Who reaches whom, by the policies of an overlay."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network

import pytest

from tests.deploy.policies import Peer, may_enter, may_leave
from tests.deploy.rendering import OVERLAYS, RENDERED, Object, of_kind

SANDBOX = Peer("lap-sandboxes", {"lap.internal/install": "lap"}, "10.1.2.3")
OTHER_SANDBOX = Peer("lap-sandboxes", {"lap.internal/install": "lap"}, "10.1.2.4")
WEB = Peer("lap", {"app.kubernetes.io/name": "lap", "app.kubernetes.io/component": "web"})
WORKER = Peer("lap", {"app.kubernetes.io/name": "lap", "app.kubernetes.io/component": "worker"})
POSTGRES = Peer("lap", {"app.kubernetes.io/name": "lap-postgres"})
DNS = Peer("kube-system", {"k8s-app": "kube-dns"})
GATEWAY = Peer("litellm", {"app.kubernetes.io/name": "litellm"})
STRANGER = Peer("default", {"app.kubernetes.io/component": "worker"})


@pytest.fixture(params=OVERLAYS)
def policies(request: pytest.FixtureRequest) -> list[Object]:
    return of_kind(request.param, "NetworkPolicy")


@pytest.mark.parametrize(
    ("address", "port"),
    [
        pytest.param("169.254.169.254", 80, id="metadata service"),
        pytest.param("fd00:ec2::254", 80, id="metadata service by IPv6"),
        pytest.param("64:ff9b::a9fe:a9fe", 80, id="metadata service by NAT64"),
        pytest.param("10.96.0.1", 443, id="API server"),
        pytest.param("172.20.0.1", 443, id="API server elsewhere"),
        pytest.param("192.168.1.10", 10250, id="kubelet"),
        pytest.param("100.64.3.2", 5432, id="database of a provider"),
        pytest.param("127.0.0.1", 22, id="loopback"),
    ],
)
def test_a_sandbox_reaches_nothing_inside(policies: list[Object], address: str, port: int) -> None:
    assert not may_leave(policies, SANDBOX, Peer(address=address), port)


@pytest.mark.parametrize(
    ("target", "port"),
    [(OTHER_SANDBOX, 4096), (WORKER, 9464), (POSTGRES, 5432), (WEB, 22), (GATEWAY, 4000)],
)
def test_a_sandbox_reaches_no_pod(policies: list[Object], target: Peer, port: int) -> None:
    assert not may_leave(policies, SANDBOX, target, port)


@pytest.mark.parametrize(
    ("target", "port"),
    [
        (Peer(address="1.1.1.1"), 443),
        (Peer(address="2606:4700::1111"), 443),
        (DNS, 53),
        (WEB, 8000),
    ],
)
def test_a_sandbox_reaches_what_it_needs(policies: list[Object], target: Peer, port: int) -> None:
    assert may_leave(policies, SANDBOX, target, port)


@pytest.mark.parametrize("port", [4096, 8080])
def test_only_web_and_workers_reach_a_sandbox(policies: list[Object], port: int) -> None:
    for source in (WEB, WORKER):
        assert may_enter(policies, source, SANDBOX, port)
    for source in (OTHER_SANDBOX, POSTGRES, STRANGER, Peer(address="1.1.1.1")):
        assert not may_enter(policies, source, SANDBOX, port)


def test_pods_of_lap_are_reached_on_their_ports_only(policies: list[Object]) -> None:
    assert may_enter(policies, STRANGER, WEB, 8000)
    assert not may_enter(policies, STRANGER, WEB, 9464)
    assert may_enter(policies, STRANGER, WORKER, 9464)
    assert not may_enter(policies, STRANGER, WORKER, 8000)


@pytest.mark.parametrize("folder", RENDERED)
def test_the_api_server_takes_every_block_of_addresses(folder: str) -> None:
    for policy in of_kind(folder, "NetworkPolicy"):
        for rule in policy["spec"].get("egress", ()):
            for block in [peer["ipBlock"] for peer in rule["to"] if "ipBlock" in peer]:
                assert refused(block) == []


def test_holes_outside_of_their_block_are_refused() -> None:
    """Among them IPv4 in IPv6's clothes: Go takes it for IPv4, and so for no part of ``::/0``."""
    holes = ["::ffff:0:0/96", "10.0.0.0/8", "::/0", "fc00::/7"]
    assert refused({"cidr": "::/0", "except": holes}) == holes[:3]


def test_only_lap_reaches_the_demo_database() -> None:
    policies = of_kind("demo-database", "NetworkPolicy")
    assert may_enter(policies, WEB, POSTGRES, 5432)
    assert not may_enter(policies, STRANGER, POSTGRES, 5432)
    assert not may_enter(policies, SANDBOX, POSTGRES, 5432)


def test_the_model_gateway_is_opened_on_request() -> None:
    policies = of_kind("overlays/small", "NetworkPolicy")
    opened = policies + of_kind("components/model-gateway", "NetworkPolicy")
    assert may_leave(opened, SANDBOX, GATEWAY, 4000)
    assert not may_leave(opened, SANDBOX, GATEWAY, 22)


def refused(block: Object) -> list[str]:
    """The holes that the API server does not find within their block."""
    outer = ip_network(block["cidr"])
    return [hole for hole in block.get("except", ()) if not is_within(ip_network(hole), outer)]


def is_within(hole: IPv4Network | IPv6Network, outer: IPv4Network | IPv6Network) -> bool:
    if isinstance(hole, IPv6Network) and isinstance(outer, IPv6Network):
        is_mapped = hole.network_address.ipv4_mapped is not None
        return not is_mapped and hole != outer and hole.subnet_of(outer)
    if isinstance(hole, IPv4Network) and isinstance(outer, IPv4Network):
        return hole != outer and hole.subnet_of(outer)
    return False
