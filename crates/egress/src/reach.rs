use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::registry;

/// What stands behind an address, as far as its number tells (IANA's special-purpose registries for IPv4 and IPv6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Globally routed.
    Public,
    /// This machine.
    Loopback,
    /// Somebody's own network: RFC 1918, RFC 4193, carrier-grade NAT.
    Private,
    /// The local segment.
    LinkLocal,
    /// A cloud's service that gives a machine its credentials.
    Metadata,
    /// No single host, or not routed at all: multicast, broadcast, unspecified, reserved, documentation, benchmarking,
    /// tunnels that nobody should use any more.
    Unroutable,
}

/// Says what stands behind an address. IPv4 addresses that travel inside IPv6 ones are judged by the IPv4 address that
/// a packet would end at. Through a tunnel that is out of use (6to4, Teredo, IPv4-compatible) no address is public.
pub fn reach(address: IpAddr) -> Reach {
    match address.to_canonical() {
        IpAddr::V4(it) => registry::look_up(it.into()).unwrap_or(Reach::Public),
        IpAddr::V6(it) => {
            let inner = embedded(it).map_or(Reach::Public, |it| reach(it.into()));
            match registry::look_up(it.into()) {
                // The cloud's service and loopback are said as such, whatever they travel in.
                Some(outer) if inner == Reach::Public => outer,
                Some(_) => inner,
                None if is_translated(it) || it.segments()[0] & 0xe000 == 0x2000 => inner,
                None => Reach::Unroutable,
            }
        }
    }
}

/// NAT64 with the well-known prefix (RFC 6052), by which hosts without IPv4 reach all that is public in it.
fn is_translated(it: Ipv6Addr) -> bool {
    matches!(it.segments(), [0x64, 0xff9b, 0, 0, 0, 0, ..])
}

/// The IPv4 address inside an IPv6 one, if it has a form that carries one.
pub(crate) fn embedded(it: Ipv6Addr) -> Option<Ipv4Addr> {
    let v4 =
        |high: u16, low: u16| Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match it.segments() {
        // `::` and `::1` are themselves.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        // IPv4-compatible and -mapped (RFC 4291), IPv4-translated (RFC 7915), NAT64 (RFC 6052): the last four bytes.
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        // NAT64 within a network (RFC 8215), with the usual length of its prefix.
        | [0x64, 0xff9b, 1, _, _, _, high, low]
        // 6to4 (RFC 3056): right behind the prefix.
        | [0x2002, high, low, ..]
        // ISATAP (RFC 5214): in the interface's part, behind 5efe.
        | [_, _, _, _, 0 | 0x200, 0x5efe, high, low] => v4(high, low),
        // Teredo (RFC 4380): the client's address, inverted.
        [0x2001, 0, _, _, _, _, high, low] => v4(!high, !low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Network;

    #[test]
    fn every_special_range_is_seen_through_its_dress() {
        let cases = [
            ("127.8.9.1", Reach::Loopback),
            ("::1", Reach::Loopback),
            ("::ffff:127.0.0.1", Reach::Loopback),
            ("64:ff9b::7f00:1", Reach::Loopback),
            ("64:ff9b:1::7f00:1", Reach::Loopback),
            ("2002:7f00:1::", Reach::Loopback),
            ("2001:0:1::80ff:fffe", Reach::Loopback),
            ("::127.0.0.1", Reach::Loopback),
            ("::ffff:0:127.0.0.1", Reach::Loopback),
            ("2a00:1450::5efe:7f00:1", Reach::Loopback),
            ("2a00:1450::200:5efe:a00:1", Reach::Private),
            ("fe80::5efe:7f00:1", Reach::Loopback),
            ("10.255.0.1", Reach::Private),
            ("172.15.255.255", Reach::Public),
            ("172.31.255.255", Reach::Private),
            ("172.32.0.0", Reach::Public),
            ("192.168.1.1", Reach::Private),
            ("100.64.0.1", Reach::Private),
            ("100.128.0.0", Reach::Public),
            ("fd12::1", Reach::Private),
            ("fec0::1", Reach::Private),
            ("64:ff9b:1::8.8.8.8", Reach::Private),
            ("::ffff:192.168.0.1", Reach::Private),
            ("169.254.1.1", Reach::LinkLocal),
            ("fe80::1", Reach::LinkLocal),
            ("169.254.169.254", Reach::Metadata),
            ("::ffff:169.254.169.254", Reach::Metadata),
            ("64:ff9b::a9fe:a9fe", Reach::Metadata),
            ("2002:a9fe:a9fe::1", Reach::Metadata),
            ("100.100.100.200", Reach::Metadata),
            ("168.63.129.16", Reach::Metadata),
            ("fd00:ec2::254", Reach::Metadata),
            ("0.0.0.0", Reach::Unroutable),
            ("0.1.2.3", Reach::Unroutable),
            ("::", Reach::Unroutable),
            ("::8.8.8.8", Reach::Unroutable),
            ("2002:808:808::1", Reach::Unroutable),
            ("2001:0:1::f7f7:f7f7", Reach::Unroutable),
            ("192.0.0.9", Reach::Unroutable),
            ("192.88.99.1", Reach::Unroutable),
            ("224.0.0.1", Reach::Unroutable),
            ("239.255.255.255", Reach::Unroutable),
            ("240.0.0.1", Reach::Unroutable),
            ("255.255.255.255", Reach::Unroutable),
            ("198.18.0.1", Reach::Unroutable),
            ("198.19.255.255", Reach::Unroutable),
            ("203.0.113.9", Reach::Unroutable),
            ("2001:2::1", Reach::Unroutable),
            ("2001:20::1", Reach::Unroutable),
            ("2001:db8::1", Reach::Unroutable),
            ("3fff:fff::1", Reach::Unroutable),
            ("100::1", Reach::Unroutable),
            ("5f00::1", Reach::Unroutable),
            ("4000::1", Reach::Unroutable),
            ("ff02::1", Reach::Unroutable),
            ("8.8.8.8", Reach::Public),
            ("64:ff9b::8.8.8.8", Reach::Public),
            ("2606:4700::1111", Reach::Public),
            ("2001:200::1", Reach::Public),
            ("3fff:1000::1", Reach::Public),
        ];
        for (text, expected) in cases {
            assert_eq!(reach(text.parse().expect("an address")), expected, "{text}");
        }
    }

    /// The first address of a range and the last one.
    fn ends(range: &str) -> [IpAddr; 2] {
        let (base, prefix) = range.split_once('/').expect("a range");
        let prefix: u32 = prefix.parse().expect("a length");
        let base: IpAddr = base.parse().expect("an address");
        let last = match base {
            IpAddr::V4(it) => {
                Ipv4Addr::from_bits(it.to_bits() | u32::MAX.checked_shr(prefix).unwrap_or(0)).into()
            }
            IpAddr::V6(it) => {
                Ipv6Addr::from_bits(it.to_bits() | u128::MAX.checked_shr(prefix).unwrap_or(0))
                    .into()
            }
        };
        [base, last]
    }

    #[test]
    fn no_row_of_the_registries_is_public_from_its_first_address_to_its_last() {
        for (range, expected, source) in [registry::V4, registry::V6, registry::METADATA].concat() {
            let network: Network = range.parse().expect(range);
            assert_eq!(network.to_string(), range, "{source}");
            for end in ends(range) {
                assert!(network.contains(end));
                assert_ne!(reach(end), Reach::Public, "{end} of {range}: {source}");
                if expected == Reach::Metadata {
                    assert_eq!(reach(end), Reach::Metadata, "{end}");
                }
            }
        }
    }

    proptest! {
        /// The standard library's own notion, as far as it is stable, is never laxer than ours.
        #[test]
        fn what_the_standard_library_calls_special_is_not_public(bits: u32, wide: u128) {
            for bits in [bits, bits & 0x00ff_ffff | 0x7f00_0000, bits >> 8 | 0x0a00_0000] {
                let it = Ipv4Addr::from_bits(bits);
                let special = it.is_private() || it.is_loopback() || it.is_link_local()
                    || it.is_broadcast() || it.is_documentation() || it.is_multicast()
                    || it.is_unspecified();
                prop_assert!(!special || reach(it.into()) != Reach::Public, "{}", it);
            }
            let it = Ipv6Addr::from_bits(wide);
            let special = it.is_loopback() || it.is_multicast() || it.is_unicast_link_local()
                || it.is_unique_local() || it.is_unspecified();
            prop_assert!(!special || reach(it.into()) != Reach::Public, "{}", it);
        }

        #[test]
        fn no_dress_makes_an_inner_address_public(bits: u32, rest: u16) {
            let v4 = Ipv4Addr::from_bits(bits);
            let [high, low] = [(bits >> 16) as u16, (bits & 0xffff) as u16];
            let dresses = [
                [0, 0, 0, 0, 0, 0, high, low],
                [0, 0, 0, 0, 0, 0xffff, high, low],
                [0, 0, 0, 0, 0xffff, 0, high, low],
                [0x64, 0xff9b, 0, 0, 0, 0, high, low],
                [0x64, 0xff9b, 1, rest, 0, rest, high, low],
                [0x2002, high, low, rest, 0, 0, 0, 1],
                [0x2001, 0, rest, rest, 0, rest, !high, !low],
                [0x2a00, rest, rest, rest, 0, 0x5efe, high, low],
                [0x2a00, rest, rest, rest, 0x200, 0x5efe, high, low],
            ];
            if reach(v4.into()) != Reach::Public {
                for segments in dresses {
                    let it = Ipv6Addr::from(segments);
                    prop_assert!(reach(it.into()) != Reach::Public, "{} in {}", v4, it);
                }
            }
        }
    }
}
