//! The ranges that are not somebody's public host, from the registries.

use std::net::IpAddr;
use std::sync::LazyLock;

use crate::{Network, Reach};

use Reach::{LinkLocal, Loopback, Metadata, Private, Unroutable};

/// One row: the range, what stands behind it, and where that is written.
type Row = (&'static str, Reach, &'static str);

/// IANA's IPv4 Special-Purpose Address Registry (<https://www.iana.org/assignments/iana-ipv4-special-registry>), and
/// the multicast range, which has a registry of its own. Rows that the registry calls globally reachable are in it too:
/// what answers there are relays and sinks, nobody's database or web server.
pub(crate) const V4: &[Row] = &[
    (
        "0.0.0.0/8",
        Unroutable,
        "this network; 0.0.0.0 means this host to most systems: RFC 791, RFC 1122",
    ),
    ("10.0.0.0/8", Private, "private use: RFC 1918"),
    ("100.64.0.0/10", Private, "shared address space of carrier-grade NAT: RFC 6598"),
    ("127.0.0.0/8", Loopback, "loopback: RFC 1122"),
    ("169.254.0.0/16", LinkLocal, "link local: RFC 3927"),
    ("172.16.0.0/12", Private, "private use: RFC 1918"),
    (
        "192.0.0.0/24",
        Unroutable,
        "IETF protocol assignments, all that is in it: RFC 6890, 7335, 7600, 7723, 8155, 8880",
    ),
    ("192.0.2.0/24", Unroutable, "documentation (TEST-NET-1): RFC 5737"),
    ("192.31.196.0/24", Unroutable, "AS112-v4, a sink for look-ups: RFC 7535"),
    ("192.52.193.0/24", Unroutable, "multicast relays (AMT): RFC 7450"),
    ("192.88.99.0/24", Unroutable, "6to4 relays, deprecated: RFC 7526; 6a44: RFC 6751"),
    ("192.168.0.0/16", Private, "private use: RFC 1918"),
    ("192.175.48.0/24", Unroutable, "direct delegation of AS112: RFC 7534"),
    ("198.18.0.0/15", Unroutable, "benchmarking: RFC 2544"),
    ("198.51.100.0/24", Unroutable, "documentation (TEST-NET-2): RFC 5737"),
    ("203.0.113.0/24", Unroutable, "documentation (TEST-NET-3): RFC 5737"),
    ("224.0.0.0/4", Unroutable, "multicast: RFC 5771"),
    (
        "240.0.0.0/4",
        Unroutable,
        "reserved: RFC 1112; 255.255.255.255 is limited broadcast: RFC 919",
    ),
];

/// IANA's IPv6 Special-Purpose Address Registry (<https://www.iana.org/assignments/iana-ipv6-special-registry>), and
/// what the address architecture sets apart. Addresses with an IPv4 address in them are taken apart before they come
/// here. What is neither here nor in `2000::/3` is not given out at all.
pub(crate) const V6: &[Row] = &[
    ("::/128", Unroutable, "unspecified: RFC 4291"),
    ("::1/128", Loopback, "loopback: RFC 4291"),
    ("::/96", Unroutable, "IPv4-compatible, deprecated: RFC 4291"),
    ("::ffff:0:0:0/96", Unroutable, "IPv4-translated: RFC 7915"),
    ("64:ff9b:1::/48", Private, "local translation to IPv4: RFC 8215"),
    ("100::/64", Unroutable, "discard only: RFC 6666"),
    ("100:0:0:1::/64", Unroutable, "dummy prefix: RFC 9780"),
    (
        "2001::/23",
        Unroutable,
        "IETF protocol assignments, all that is in it: RFC 2928; Teredo: RFC 4380, benchmarking: RFC 5180, AMT: RFC 7450, AS112: RFC 7535, ORCHID: RFC 4843, 7343, DET: RFC 9374",
    ),
    ("2001:db8::/32", Unroutable, "documentation: RFC 3849"),
    ("2002::/16", Unroutable, "6to4, deprecated: RFC 3056, RFC 7526"),
    ("2620:4f:8000::/48", Unroutable, "direct delegation of AS112: RFC 7534"),
    ("3fff::/20", Unroutable, "documentation: RFC 9637"),
    ("5f00::/16", Unroutable, "segment routing: RFC 9602"),
    ("fc00::/7", Private, "unique local: RFC 4193"),
    ("fe80::/10", LinkLocal, "link local: RFC 4291"),
    ("fec0::/10", Private, "site local, deprecated and still in use: RFC 3879"),
    ("ff00::/8", Unroutable, "multicast: RFC 4291"),
];

/// Where clouds answer anybody on the machine with its credentials. Each vendor's own documentation names them; some
/// are in ranges that an operator may well allow, and Azure's is a public address.
pub(crate) const METADATA: &[Row] = &[
    (
        "169.254.169.254/32",
        Metadata,
        "AWS, Azure, Google Cloud, Oracle, OpenStack, DigitalOcean, Hetzner and others",
    ),
    ("169.254.170.2/32", Metadata, "AWS: credentials of ECS tasks"),
    ("169.254.170.23/32", Metadata, "AWS: credentials of EKS pods"),
    ("169.254.0.23/32", Metadata, "Tencent Cloud"),
    ("169.254.42.42/32", Metadata, "Scaleway"),
    ("168.63.129.16/32", Metadata, "Azure: the host's own services"),
    ("100.100.100.200/32", Metadata, "Alibaba Cloud"),
    ("192.0.0.192/32", Metadata, "Oracle Cloud, classic"),
    ("fd00:ec2::254/128", Metadata, "AWS"),
    ("fd00:ec2::23/128", Metadata, "AWS: credentials of EKS pods"),
    ("fd20:ce::254/128", Metadata, "Google Cloud"),
    ("fd00:c1::a9fe:a9fe/128", Metadata, "Oracle Cloud"),
    ("fd00:42::42/128", Metadata, "Scaleway"),
    ("fe80::a9fe:a9fe/128", Metadata, "OpenStack"),
];

/// Names of those services. Judged by name as well: in another network they may lead anywhere.
pub(crate) const METADATA_NAMES: &[&str] = &[
    "instance-data",
    "instance-data.ec2.internal",
    "metadata.google.internal",
    "metadata.goog",
    "metadata.azure.internal",
    "metadata.tencentyun.com",
    "metadata.platformequinix.com",
    "metadata.packet.net",
];

static SPECIAL: LazyLock<Vec<(Network, Reach)>> = LazyLock::new(|| {
    [METADATA, V4, V6]
        .into_iter()
        .flatten()
        .map(|(range, reach, _)| (range.parse().expect("a range of the table"), *reach))
        .collect()
});

/// What the narrowest range around the address says; `None` if no range is.
pub(crate) fn look_up(address: IpAddr) -> Option<Reach> {
    let around = SPECIAL.iter().filter(|(range, _)| range.contains(address));
    around.max_by_key(|(range, _)| range.prefix()).map(|(_, reach)| *reach)
}
