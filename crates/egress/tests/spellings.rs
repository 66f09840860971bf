//! Whoever reads a text as a private address (the standard library, the URL standard, the system's `inet_aton`), the
//! gate refuses it: from the text alone, whatever a name server would say.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs as _};
use std::sync::Arc;

use async_trait::async_trait;
use plinth_egress::{Gate, Reach, Refusal, Resolver, Scheme, WebAddress, reach};
use proptest::prelude::*;
use proptest::sample::select;

/// A name server that calls everything public: so it is the text that was judged.
struct AllIsPublic;

#[async_trait]
impl Resolver for AllIsPublic {
    async fn resolve(&self, _: &str) -> std::io::Result<Vec<IpAddr>> {
        Ok(vec![[8, 8, 8, 8].into()])
    }
}

/// The machine's own way to read a host, as whoever dials a name would.
struct System;

#[async_trait]
impl Resolver for System {
    async fn resolve(&self, host: &str) -> std::io::Result<Vec<IpAddr>> {
        Ok((host, 0).to_socket_addrs()?.map(|it| it.ip()).collect())
    }
}

fn admit(resolver: impl Resolver, host: &str) -> Result<Vec<IpAddr>, Refusal> {
    let gate = Gate::new(Arc::new(resolver), [], []);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let admitted = runtime.block_on(gate.admit(host, 443))?;
    Ok(admitted.into_iter().map(|it| it.ip()).collect())
}

/// One number in one of the ways that `inet_aton` reads.
fn number(value: u32) -> impl Strategy<Value = String> {
    (0..3, 0..4_usize, any::<bool>()).prop_map(move |(radix, zeros, upper)| {
        let zeros = "0".repeat(zeros);
        match (radix, upper) {
            (0, _) => value.to_string(),
            (1, _) => format!("0{zeros}{value:o}"),
            (_, false) => format!("0x{zeros}{value:x}"),
            (_, true) => format!("0X{zeros}{value:X}"),
        }
    })
}

/// The address as one to four numbers.
fn numbers(address: Ipv4Addr) -> impl Strategy<Value = String> {
    let [a, b, c, d] = address.octets().map(u32::from);
    (1..=4_usize).prop_flat_map(move |parts| {
        let parts = match parts {
            1 => vec![a << 24 | b << 16 | c << 8 | d],
            2 => vec![a, b << 16 | c << 8 | d],
            3 => vec![a, b, c << 8 | d],
            _ => vec![a, b, c, d],
        };
        parts.into_iter().map(number).collect::<Vec<_>>().prop_map(|it| it.join("."))
    })
}

/// The same text with some of its characters in another dress that IDNA takes off.
fn dressed(text: String) -> impl Strategy<Value = String> {
    proptest::collection::vec(any::<u8>(), text.len()).prop_map(move |dice| {
        text.chars()
            .zip(dice)
            .map(|(it, die)| match it {
                '.' if die % 4 == 0 => ['。', '．', '｡'][usize::from(die) % 3],
                '0'..='9' if die % 4 == 1 => {
                    char::from_u32(0xff10 + u32::from(it) - 48).expect("full width")
                }
                '0'..='9' if die % 4 == 2 => {
                    char::from_u32(0x1d7ce + u32::from(it) - 48).expect("bold")
                }
                'a'..='z' if die % 4 == 1 => {
                    char::from_u32(0xff41 + u32::from(it) - 97).expect("full width")
                }
                it => it,
            })
            .collect()
    })
}

/// Addresses that nobody but the operator may reach.
fn inner() -> impl Strategy<Value = Ipv4Addr> {
    let bases: Vec<([u8; 4], u32)> = vec![
        ([127, 0, 0, 0], 8),
        ([10, 0, 0, 0], 8),
        ([172, 16, 0, 0], 12),
        ([192, 168, 0, 0], 16),
        ([169, 254, 0, 0], 16),
        ([169, 254, 169, 254], 32),
        ([100, 64, 0, 0], 10),
        ([0, 0, 0, 0], 8),
        ([198, 18, 0, 0], 15),
        ([224, 0, 0, 0], 4),
        ([255, 255, 255, 255], 32),
    ];
    (select(bases), any::<u32>()).prop_map(|((base, prefix), bits)| {
        let host = u32::MAX.checked_shr(prefix).unwrap_or(0);
        Ipv4Addr::from_bits(u32::from_be_bytes(base) | bits & host)
    })
}

fn is_inner(addresses: &[IpAddr]) -> bool {
    addresses.iter().any(|it| reach(*it) != Reach::Public)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn no_spelling_of_an_inner_ipv4_address_passes(
        (address, text) in inner().prop_flat_map(|it| (Just(it), numbers(it))),
        dot in any::<bool>(),
    ) {
        let text = if dot { format!("{text}.") } else { text };
        let refusal = admit(AllIsPublic, &text).expect_err("inner");
        prop_assert!(matches!(refusal, Refusal::Forbidden { .. }), "{} as {}: {:?}", address, text, refusal);
        let url = format!("https://{text}/x");
        if let Ok(url) = WebAddress::parse(&url, Scheme::Https) {
            prop_assert!(admit(AllIsPublic, url.host()).is_err(), "{} as {}", address, text);
        }
    }

    #[test]
    fn no_unicode_dress_of_an_inner_address_passes(
        text in inner().prop_flat_map(numbers).prop_map(|it| it.to_lowercase()).prop_flat_map(dressed),
    ) {
        prop_assert!(admit(AllIsPublic, &text).is_err(), "{}", text);
        if let Ok(url) = WebAddress::parse(&format!("https://{text}/"), Scheme::Https) {
            prop_assert!(admit(AllIsPublic, url.host()).is_err(), "{}", text);
        }
    }

    #[test]
    fn no_spelling_of_an_inner_address_in_ipv6_passes(address in inner(), form in 0..6, brackets: bool) {
        let [a, b, c, d] = address.octets();
        let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        let text = match form {
            0 => format!("::ffff:{address}"),
            1 => format!("0:0:0:0:0:FFFF:{high:04X}:{low:04X}"),
            2 => format!("64:ff9b::{address}"),
            3 => format!("2002:{high:x}:{low:x}::1"),
            4 => format!("2001:0:1:2:3:4:{:x}:{:x}", !high, !low),
            _ => format!("::{high:x}:{low:x}"),
        };
        let text = if brackets { format!("[{text}]") } else { text };
        prop_assert!(admit(AllIsPublic, &text).is_err(), "{}", text);
    }

    /// The other way round, for texts of any make: what one of the readers takes for an inner address is refused.
    #[test]
    fn what_any_reader_takes_for_an_inner_address_is_refused(text in "[0-9a-fA-FxX:.\\[\\]０-９。]{1,24}") {
        let mut readings = Vec::new();
        readings.extend(text.parse::<IpAddr>());
        readings.extend(text.parse::<Ipv6Addr>().map(IpAddr::from));
        match url::Host::parse(&text) {
            Ok(url::Host::Ipv4(it)) => readings.push(it.into()),
            Ok(url::Host::Ipv6(it)) => readings.push(it.into()),
            Ok(url::Host::Domain(_)) | Err(_) => {}
        }
        // Only what is digits and dots: names would be asked for in the network.
        if text.bytes().all(|it| it.is_ascii_hexdigit() || b"xX.".contains(&it))
            && text.split('.').all(|it| it.starts_with(|it: char| it.is_ascii_digit()))
        {
            readings.extend(libc_reading(&text));
        }
        if is_inner(&readings) {
            prop_assert!(admit(AllIsPublic, &text).is_err(), "{}: {:?}", text, readings);
        }
    }

    /// What the gate lets through is what the system would have dialled by that text.
    #[test]
    fn an_admitted_address_is_the_one_that_the_system_reads(
        text in any::<u32>().prop_flat_map(|it| numbers(Ipv4Addr::from_bits(it))),
    ) {
        if let Ok(admitted) = admit(System, &text) {
            prop_assert!(!is_inner(&admitted));
            prop_assert_eq!(libc_reading(&text), admitted, "{}", text);
        }
    }
}

/// `getaddrinfo`, which reads numbers by `inet_aton`.
fn libc_reading(text: &str) -> Vec<IpAddr> {
    (text, 0).to_socket_addrs().map(|all| all.map(|it| it.ip()).collect()).unwrap_or_default()
}
