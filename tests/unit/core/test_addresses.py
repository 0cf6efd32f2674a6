"""No address that is not public gets past the tables, in whatever IPv6 address it hides, unless a list says so."""

from __future__ import annotations

import ipaddress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from taskqueue.core.addresses import (
    INTERNAL_SERVICES,
    AddressPolicy,
    name_verdict,
    parse_port_range,
    parse_rule,
    verdict,
)
from taskqueue.errors import InvalidValueError

PUBLIC_ONLY = AddressPolicy()

#: RFC 6890 and the registries that it began, and what clouds have beside them
BLOCKED_IPV4 = [
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24"),
    *("192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"),
    *("224.0.0.0/4", "240.0.0.0/4", "168.63.129.16/32"),
]
BLOCKED_IPV6 = [
    *("::/128", "::1/128", "::/96", "::ffff:0:0:0/96", "64:ff9b:1::/48", "100::/64", "100:0:0:1::/64", "2001::/23"),
    *("2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8"),
]
JUST_OUTSIDE = [
    *("1.0.0.0", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0"),
    *("168.63.129.15", "168.63.129.17", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0"),
    *("191.255.255.255", "192.0.1.0", "192.0.3.0", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0"),
    *("198.51.99.255", "198.51.101.0", "203.0.112.255", "203.0.114.0", "223.255.255.255", "8.8.8.8"),
    *("2001:200::", "2001:db7:ffff::1", "2001:db9::", "2003::", "2606:4700::1111", "3ffe:ffff::1", "3fff:1000::"),
]

#: global unicast, and the two forms in which public IPv4 hosts are called
MAY_BE_PUBLIC = [IPv6Network("2000::/3"), IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96")]


def blocked(address: str, policy: AddressPolicy = PUBLIC_ONLY, port: int = 443) -> bool:
    return verdict(ip_address(address), port, policy) is not None


def lists(*, allow: str = "", deny: str = "", strict: bool = True) -> AddressPolicy:
    return AddressPolicy(
        allow=tuple(map(parse_rule, allow.split())), deny=tuple(map(parse_rule, deny.split())), strict=strict
    )


@st.composite
def blocked_ipv4(draw: st.DrawFn) -> IPv4Address:
    network = IPv4Network(draw(st.sampled_from(BLOCKED_IPV4)))
    return network[draw(st.integers(0, network.num_addresses - 1))]


#: an IPv6 address with that IPv4 address in it, and the form's name
EMBEDDINGS = {
    "mapped": lambda bits: 0xFFFF << 32 | bits,
    "compatible": lambda bits: bits,
    "translated": lambda bits: 0xFFFF << 48 | bits,
    "nat64": lambda bits: 0x64_FF9B << 96 | bits,
    "local nat64": lambda bits: 0x64_FF9B_0001 << 80 | bits,
    "6to4": lambda bits: 0x2002 << 112 | bits << 80,
    "teredo server": lambda bits: 0x2001 << 112 | bits << 64,
    "teredo client": lambda bits: 0x2001 << 112 | bits ^ 0xFFFF_FFFF,
    "isatap": lambda bits: 0x2606_4700 << 96 | 0x5EFE << 32 | bits,
    "global isatap": lambda bits: 0x2606_4700 << 96 | 0x0200_5EFE << 32 | bits,
}


# --- the tables -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", [*BLOCKED_IPV4, *BLOCKED_IPV6])
def test_the_ends_of_every_special_network_are_blocked(network: str) -> None:
    whole = ip_network(network)

    assert blocked(str(whole[0]))
    assert blocked(str(whole[-1]))


@pytest.mark.parametrize("address", JUST_OUTSIDE)
def test_the_neighbours_of_special_networks_are_not_blocked(address: str) -> None:
    assert verdict(ip_address(address), 443, PUBLIC_ONLY) is None


@pytest.mark.parametrize(
    "network",
    [*ipaddress._IPv4Constants._private_networks, *ipaddress._IPv6Constants._private_networks],
    ids=str,
)
def test_what_this_python_calls_private_is_in_the_tables(network: IPv4Network | IPv6Network) -> None:
    assert blocked(str(network[0]))
    assert blocked(str(network[-1]))


@given(st.ip_addresses(v=4))
def test_what_python_does_not_call_global_is_blocked(address: IPv4Address) -> None:
    public = address.is_global and not address.is_multicast and not address.is_reserved

    assert public or verdict(address, 443, PUBLIC_ONLY) is not None


@given(st.ip_addresses(v=6))
def test_ipv6_beyond_global_unicast_is_blocked(address: IPv6Address) -> None:
    assert any(address in network for network in MAY_BE_PUBLIC) or verdict(address, 443, PUBLIC_ONLY) is not None


@pytest.mark.parametrize("form", EMBEDDINGS)
@given(address=blocked_ipv4())
def test_a_blocked_ipv4_address_is_blocked_in_every_ipv6_form(form: str, address: IPv4Address) -> None:
    assert verdict(IPv6Address(EMBEDDINGS[form](int(address))), 443, PUBLIC_ONLY) is not None


@pytest.mark.parametrize("form", EMBEDDINGS)
@given(address=blocked_ipv4())
def test_a_denied_ipv4_address_is_denied_in_every_ipv6_form(form: str, address: IPv4Address) -> None:
    policy = lists(allow="::/0 0.0.0.0/0", deny=str(address))
    assume(form != "compatible" or int(address) > 1)  # `::` and `::1` are addresses of their own

    assert verdict(IPv6Address(EMBEDDINGS[form](int(address))), 443, policy) is not None


@pytest.mark.parametrize("address", ["::ffff:8.8.8.8", "64:ff9b::8.8.8.8"])
def test_forms_in_which_public_ipv4_hosts_are_called_leave_it_to_the_ipv4_address(address: str) -> None:
    assert not blocked(address)


@pytest.mark.parametrize("address", ["2606:4700::1111%eth0", "8.8.8.8%1", "fe80::1%lo"])
def test_an_address_with_a_zone_is_blocked(address: str) -> None:
    assert name_verdict(address, 443, PUBLIC_ONLY) is not None


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        *(
            "localhost",
            "LocalHost.",
            "a.localhost",
            "metadata.google.internal",
            "Metadata.Google.Internal..",
            "db.corp",
        ),
        *(
            "instance-data",
            "instance-data.ec2.internal",
            "kubernetes.default",
            "kubernetes.default.svc",
            "printer.local",
        ),
        *("api.default.svc.cluster.local", "redis", "nas.home.arpa", "vault.service.consul", "metadata.goog"),
    ],
)
def test_names_of_the_own_network_are_refused_before_they_are_looked_up(host: str) -> None:
    assert "name of the own network" in str(name_verdict(host, 443, PUBLIC_ONLY))


@pytest.mark.parametrize(
    "host",
    [
        *("2130706433", "0x7f000001", "017700000001", "127.1", "127.0.1", "0177.0.0.1", "0x7f.1", "0X7F.0.0.0X1"),
        *("127.0.0.01", "8.8.2056", "0x", "a.0x7f", "1.2.3.4.5", "256.1.1.1", "127%2e0%2e0%2e1", "a\\b", "a b", "a..b"),
        *(
            "",
            ".",
            "-a.example",
            "a.example\x00",
            "\N{FULLWIDTH DIGIT ONE}27.0.0.1",
            "\N{FULLWIDTH LATIN SMALL LETTER L}ocalhost",
            "127\N{IDEOGRAPHIC FULL STOP}0.0.1",
            "a" * 64 + ".example",
        ),
    ],
)
def test_what_is_no_plain_name_or_address_is_refused(host: str) -> None:
    assert "in its usual form" in str(name_verdict(host, 443, PUBLIC_ONLY))


@pytest.mark.parametrize("host", ["api.example.com", "API.Example.com.", "x1.example", "my_api.example.com", "8.8.8.8"])
def test_a_public_name_is_left_to_its_addresses(host: str) -> None:
    assert name_verdict(host, 443, PUBLIC_ONLY) is None


def test_a_reason_never_holds_the_address() -> None:
    assert "10.1.2.3" not in str(verdict(ip_address("10.1.2.3"), 443, PUBLIC_ONLY, host="db.example.com"))


# --- ports ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("port", [22, 25, 81, 444, 6379, 8080, 65535])
def test_ports_beside_those_of_http_and_https_are_closed(port: int) -> None:
    assert f"port {port}" in str(name_verdict("api.example.com", port, PUBLIC_ONLY))
    assert f"port {port}" in str(verdict(ip_address("8.8.8.8"), port, PUBLIC_ONLY))


@pytest.mark.parametrize("port", sorted(INTERNAL_SERVICES))
def test_a_range_of_ports_leaves_out_those_of_internal_services(port: int) -> None:
    assert not parse_port_range("1024-65535").opens(port)
    assert parse_port_range(port).opens(port)


def test_a_range_of_ports_opens_the_others_from_its_first_to_its_last() -> None:
    ports = parse_port_range("8000-8090")

    assert [port for port in (7999, 8000, 8080, 8090, 8091) if ports.opens(port)] == [8000, 8080, 8090]


def test_an_allowed_network_opens_no_port_unless_it_names_it() -> None:
    assert blocked("10.1.2.3", lists(allow="10.0.0.0/8"), port=6379)
    assert not blocked("10.1.2.3", lists(allow="10.0.0.0/8:6379"), port=6379)
    assert blocked("10.1.2.3", lists(allow="10.0.0.0/8:6379"), port=443)


def test_a_port_that_an_allowed_network_opens_is_open_in_that_network_only() -> None:
    policy = lists(allow="10.0.0.0/8:8080")

    assert name_verdict("api.example.com", 8080, policy) is None
    assert blocked("8.8.8.8", policy, port=8080)


@pytest.mark.parametrize(
    "value", ["", "0", "65536", "-1", "80-", "-80", "443-80", "80-80", "http", "8 0", "\N{FULLWIDTH DIGIT ONE}", 0]
)
def test_what_is_no_port_is_refused(value: str | int) -> None:
    with pytest.raises(InvalidValueError, match="port"):
        parse_port_range(value)


# --- lists ------------------------------------------------------------------------------------------------------------


def test_deny_wins_over_allow_and_allow_over_the_tables() -> None:
    policy = lists(allow="10.0.0.0/8", deny="10.9.0.0/16")

    assert not blocked("10.1.0.1", policy)
    assert blocked("10.9.0.1", policy)
    assert blocked("192.168.0.1", policy)


def test_an_allowed_name_may_have_any_address_that_is_not_denied() -> None:
    policy = lists(allow="db.internal", deny="169.254.0.0/16")

    assert name_verdict("DB.Internal.", 443, policy) is None
    assert verdict(ip_address("10.0.0.1"), 443, policy, host="DB.Internal.") is None
    assert verdict(ip_address("169.254.169.254"), 443, policy, host="db.internal") is not None


def test_a_suffix_is_about_the_names_below_it_and_no_other() -> None:
    policy = lists(allow=".internal.example", deny=".bad.internal.example")

    def called(name: str) -> bool:
        return verdict(ip_address("10.0.0.1"), 443, policy, host=name) is None

    assert called("a.internal.example")
    assert called("a.b.internal.example")
    assert not called("internal.example")
    assert not called("ainternal.example")
    assert not called("x.bad.internal.example")


def test_a_denied_name_is_refused_before_it_is_looked_up_and_on_its_port_alone_where_it_has_one() -> None:
    policy = lists(deny="evil.example slow.example:443")

    assert name_verdict("EVIL.example.", 80, policy) == "is denied by guard.deny in worker.yaml"
    assert name_verdict("slow.example", 443, policy) is not None
    assert name_verdict("slow.example", 80, policy) is None


def test_an_allowed_tunnel_does_not_allow_the_private_address_behind_it() -> None:
    assert blocked("2002:a00:1::", lists(allow="2002::/16"))
    assert not blocked("2002:a00:1::", lists(allow="2002::/16 10.0.0.0/8"))
    assert not blocked("2002:808:808::", lists(allow="2002::/16"))


def test_the_unspecified_address_is_denied_with_loopback_which_it_leads_to() -> None:
    policy = lists(deny="127.0.0.0/8 ::1", strict=False)

    assert verdict(IPv4Address(0), 443, policy) is not None
    assert blocked("::", policy)


@pytest.mark.parametrize("address", ["::1", "127.0.0.1", "::ffff:127.0.0.1"])
def test_loopback_can_be_allowed(address: str) -> None:
    assert not blocked(address, lists(allow="::1 127.0.0.1"))


def test_a_policy_that_is_not_strict_blocks_what_is_denied_and_nothing_else() -> None:
    policy = lists(deny="169.254.0.0/16", strict=False)

    assert name_verdict("localhost", 6379, policy) is None
    assert name_verdict("127.1", 6379, policy) is None
    assert not blocked("127.0.0.1", policy, port=6379)
    assert blocked("::ffff:169.254.169.254", policy, port=80)


@pytest.mark.parametrize(
    ("text", "address", "port"),
    [
        ("10.0.0.0/8", "10.9.9.9", None),
        ("10.0.0.1", "10.0.0.1", None),
        ("10.0.0.0/8:8080", "10.9.9.9", 8080),
        ("fd00::/8", "fd12::1", None),
        ("[fd00::/8]:8080", "fd12::1", 8080),
        ("[::1]", "::1", None),
        ("::1", "::1", None),
    ],
)
def test_a_network_is_written_with_a_port_or_without(text: str, address: str, port: int | None) -> None:
    rule = parse_rule(text)

    assert rule.covers(ip_address(address))
    assert rule.port == port


@pytest.mark.parametrize(
    "text",
    [
        *("", ".", "*", "*.example.com", "http://a.example", "a.example/", "a b", "10.0.0.1/8", "10.0.0.0/33", "127.1"),
        *(
            "0x7f.1",
            "a.example:",
            "a.example:0",
            "a.example:65536",
            "a.example:http",
            "[a.example]:80",
            "[::1",
            "fd00::1/8",
        ),
        *("::ffff:10.0.0.0/104", "[::1]:", "..example.com", "ä.example"),
    ],
)
def test_what_is_no_rule_is_refused_with_a_remedy(text: str) -> None:
    with pytest.raises(InvalidValueError, match=r"use|write"):
        parse_rule(text)
