use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What stands behind an address, as far as its number tells (IANA's special-purpose registries for IPv4 and IPv6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Globally routed.
    Public,
    /// This machine.
    Loopback,
    /// Somebody's own network: RFC 1918, RFC 4193, carrier-grade NAT.
    Private,
    /// The local segment, where clouds also keep their metadata services.
    LinkLocal,
    /// No single host, or not routed at all: multicast, broadcast, unspecified, reserved, documentation.
    Unroutable,
}

/// Says what stands behind an address. IPv4 addresses that travel inside IPv6 ones (mapped, NAT64, 6to4, Teredo) are
/// judged by the IPv4 address that a packet would end at.
pub fn reach(address: IpAddr) -> Reach {
    match address.to_canonical() {
        IpAddr::V4(it) => reach_v4(it),
        IpAddr::V6(it) => reach_v6(it),
    }
}

fn reach_v4(it: Ipv4Addr) -> Reach {
    let [a, b, c, _] = it.octets();
    match (a, b, c) {
        (127, ..) => Reach::Loopback,
        (10, ..) | (172, 16..=31, _) | (192, 168, _) | (100, 64..=127, _) => Reach::Private,
        (169, 254, _) => Reach::LinkLocal,
        (0 | 224..=255, ..) // this network, multicast, reserved, broadcast
        | (192, 0, 0 | 2) | (192, 88, 99) // IETF protocols, documentation, 6to4 relays
        | (198, 18 | 19, _) // benchmarking
        | (198, 51, 100) | (203, 0, 113) => Reach::Unroutable,
        _ => Reach::Public,
    }
}

#[expect(clippy::match_same_arms, reason = "one line for each registry entry reads better")]
fn reach_v6(it: Ipv6Addr) -> Reach {
    let s = it.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match s {
        [0, 0, 0, 0, 0, 0, 0, 1] => Reach::Loopback,
        // NAT64 (RFC 6052) and its local form (RFC 8215): the last four bytes.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => reach_v4(v4(high, low)),
        [0x64, 0xff9b, 1, ..] => Reach::Private,
        // 6to4 (RFC 3056) and Teredo (RFC 4380, inverted bits).
        [0x2002, high, low, ..] => reach_v4(v4(high, low)),
        [0x2001, 0, _, _, _, _, high, low] => reach_v4(v4(!high, !low)),
        // IPv4-compatible, long gone but still parsed; `::` is among them.
        [0, 0, 0, 0, 0, 0, ..] => Reach::Unroutable,
        [0xfc00..=0xfdff, ..] => Reach::Private,
        [0xfe80..=0xfebf, ..] => Reach::LinkLocal,
        [0xfec0..=0xfeff, ..] => Reach::Private, // site-local, deprecated but still in use
        [0xff00..=0xffff, ..] => Reach::Unroutable, // multicast
        [0x2001, 0xdb8, ..] | [0x3fff, ..] => Reach::Unroutable, // documentation
        [0x100, 0, 0, 0, ..] | [0x5f00, ..] => Reach::Unroutable, // discard-only, segment routing
        [0x2000..=0x3fff, ..] => Reach::Public,
        _ => Reach::Unroutable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_special_range_is_seen_through_its_dress() {
        let cases = [
            ("127.8.9.1", Reach::Loopback),
            ("::1", Reach::Loopback),
            ("::ffff:127.0.0.1", Reach::Loopback),
            ("64:ff9b::7f00:1", Reach::Loopback),
            ("2002:7f00:1::", Reach::Loopback),
            ("2001:0:1::80ff:fffe", Reach::Loopback),
            ("10.255.0.1", Reach::Private),
            ("172.31.255.255", Reach::Private),
            ("172.32.0.0", Reach::Public),
            ("192.168.1.1", Reach::Private),
            ("100.64.0.1", Reach::Private),
            ("fd12::1", Reach::Private),
            ("::ffff:192.168.0.1", Reach::Private),
            ("169.254.169.254", Reach::LinkLocal),
            ("::ffff:169.254.169.254", Reach::LinkLocal),
            ("fe80::1", Reach::LinkLocal),
            ("0.0.0.0", Reach::Unroutable),
            ("::", Reach::Unroutable),
            ("::127.0.0.1", Reach::Unroutable),
            ("224.0.0.1", Reach::Unroutable),
            ("255.255.255.255", Reach::Unroutable),
            ("198.18.0.1", Reach::Unroutable),
            ("203.0.113.9", Reach::Unroutable),
            ("2001:db8::1", Reach::Unroutable),
            ("ff02::1", Reach::Unroutable),
            ("8.8.8.8", Reach::Public),
            ("2606:4700::1111", Reach::Public),
        ];
        for (text, expected) in cases {
            assert_eq!(reach(text.parse().expect("an address")), expected, "{text}");
        }
    }
}
