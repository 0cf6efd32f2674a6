"""Addresses of ours in every notation, as somebody would write them who wants to get past the guard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

#: what the resolver of these tests says; a name that is not here is not found
NAMES: Mapping[str, Sequence[str]] = {
    "localhost": ["127.0.0.1"],
    "good.example": ["127.0.0.1"],
    "loopback.example": ["127.0.0.1"],
    "loopback6.example": ["::1"],
    "127.0.0.1.rebind.example": ["127.0.0.1"],
    "private.example": ["10.0.0.5"],
    "metadata.example": ["169.254.169.254"],
    "unspecified.example": ["0.0.0.0"],  # noqa: S104 - dialled, not bound
    "unspecified6.example": ["::"],
    "mapped.example": ["::ffff:127.0.0.1"],
    "nat64.example": ["64:ff9b::7f00:1"],
    "zone.example": ["fe80::1%lo"],
    "alias.example": ["localhost"],
    "public-first.example": ["8.8.8.8", "127.0.0.1"],
    "public-last.example": ["127.0.0.1", "8.8.8.8"],
    "one-of-many.example": ["8.8.8.8", "1.1.1.1", "9.9.9.9", "127.0.0.1", "8.8.4.4"],
    "both-families.example": ["2606:4700::1111", "8.8.8.8", "::1"],
    "service.example": ["127.0.0.1"],
}

LITERALS = [
    *("127.0.0.1", "127.0.0.2", "127.255.255.254", "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255"),  # noqa: S104
    *("172.16.0.1", "172.31.255.255", "192.168.0.1", "192.168.255.255", "169.254.169.254", "169.254.170.2"),
    *("100.64.0.1", "100.100.100.200", "192.0.0.192", "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.19.255.255"),
    *("198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "168.63.129.16"),
]

#: what the resolver of C takes for an address of this machine
UNDERSTOOD = [
    *("2130706433", "0x7f000001", "0X7F000001", "017700000001", "127.1", "127.0.1", "0177.0.0.1", "0x7f.1"),
    *("0x7f.0x0.0x0.0x1", "127.0x0.0.1", "127.0.0.01", "0", "0x0", "00"),
]

#: read as an address by it, or by some other reader of URLs
NOTATIONS = [
    *UNDERSTOOD,
    *("00127.0.0.1", "2852039166", "0xa9fea9fe", "169.254.43518", "4294967295", "127.0.0.1.", "127.0.0.1.."),
    *("127%2e0%2e0%2e1", "%31%32%37.0.0.1", "127.0.0.1%00"),
]

LITERALS6 = [
    *("::1", "::", "0:0:0:0:0:0:0:1", "0000:0000:0000:0000:0000:0000:0000:0001", "::0001", "::127.0.0.1"),
    *("::ffff:127.0.0.1", "::ffff:7f00:1", "::FFFF:127.0.0.1", "0:0:0:0:0:ffff:a9fe:a9fe", "::ffff:0:127.0.0.1"),
    *("64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::7f00:1", "2002:7f00:1::", "2002:a9fe:a9fe::1"),
    *("2001:0:7f00:1::", "2001:0:4136:e378:8000:63bf:80ff:fffe", "2606:4700::5efe:7f00:1", "2606:4700::200:5efe:a00:1"),
    *("fe80::1", "fe80::1%25lo", "fe80::1%lo", "::1%25lo", "::1%1", "fc00::1", "fd00:ec2::254", "fd20:ce::254"),
    *("fec0::1", "ff02::1", "2001:db8::1", "3fff::1", "100::1", "5f00::1", "2001:2::1", "4000::1"),
]

LOCAL_NAMES = [
    *("localhost", "LOCALHOST", "localhost.", "a.localhost", "ip6-localhost", "localhost.localdomain"),
    *("metadata", "metadata.google.internal", "METADATA.Google.Internal.", "metadata.goog", "instance-data"),
    *("instance-data.ec2.internal", "kubernetes.default", "kubernetes.default.svc", "api.ns.svc.cluster.local"),
    *("redis", "rabbitmq", "printer.local", "router.lan", "nas.home.arpa", "vault.service.consul", "db.corp"),
    "host.docker.internal",
]

RESOLVED = [name for name in NAMES if name not in {"localhost", "good.example", "service.example"}]

#: whole URLs of which some readers see another host than others, or a scheme of their own
TRICKS = [
    "http://good.example@127.0.0.1:{port}/",
    "http://good.example:80@127.0.0.1:{port}/",
    "http://good.example%40127.0.0.1:{port}/",
    "http://127.0.0.1:{port}\\@good.example/",
    "http://good.example\\@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}#@good.example/",
    "http://127.0.0.1:{port}?@good.example/",
    "http://127.0.0.1:{port};@good.example/",
    "http:\\\\127.0.0.1:{port}/",
    "http:///127.0.0.1:{port}/",
    "http:127.0.0.1:{port}/",
    "//127.0.0.1:{port}/",
    "127.0.0.1:{port}",
    " http://127.0.0.1:{port}/",
    "http://127.0.0.1\t:{port}/",
    "http://127.0.\n0.1:{port}/",
    "http://127.0.0.1 :{port}/",
    "http://127.0.0.1:{port}:80/",
    "http://[127.0.0.1]:{port}/",
    "http://[::1:{port}/",
    "http://::1:{port}/",
    "http://[v1.7f000001]:{port}/",
    "http://127\N{IDEOGRAPHIC FULL STOP}0.0.1:{port}/",
    "http://\N{FULLWIDTH DIGIT ONE}27.0.0.1:{port}/",
    "http://\N{CIRCLED DIGIT ONE}27.0.0.1:{port}/",
    "http://\N{FULLWIDTH LATIN SMALL LETTER L}ocalhost:{port}/",
    "http://loc\N{SOFT HYPHEN}alhost:{port}/",
    "HTTP://127.0.0.1:{port}/",
    "https://127.0.0.1:{port}/",
    "ftp://127.0.0.1:{port}/",
    "gopher://127.0.0.1:{port}/_PING",
    "file:///etc/hostname",
    "http://good.example:{port}\r\nHost: localhost/",
]

#: what listens behind the names of a network, and must not be spoken to in HTTP
SERVICE_PORTS = [
    *(1, 22, 23, 25, 53, 110, 111, 139, 389, 445, 2049, 2375, 2376, 2379, 2380, 3306, 5432, 5671, 5672, 6379, 6443),
    *(8080, 8081, 8500, 9090, 9200, 9300, 10250, 11211, 15672, 25672, 26379, 27017, 65535),
]

VECTORS = [
    *(f"http://{host}:{{port}}/" for host in (*LITERALS, *NOTATIONS, *LOCAL_NAMES, *RESOLVED)),
    *(f"http://[{host}]:{{port}}/" for host in LITERALS6),
    *(f"http://service.example:{port}/" for port in SERVICE_PORTS),
    *TRICKS,
]

#: vectors that do reach this machine where nobody judges them: the resolver of C understands them
REACHING = [
    *(f"http://{host}:{{port}}/" for host in ("127.0.0.1", "127.0.0.2", "0.0.0.0", *UNDERSTOOD)),  # noqa: S104
    *(f"http://[{host}]:{{port}}/" for host in ("::1", "::", "::ffff:127.0.0.1", "::FFFF:127.0.0.1")),
    *("http://loopback.example:{port}/", "http://mapped.example:{port}/", "http://127.0.0.1:{port}#@good.example/"),
]
