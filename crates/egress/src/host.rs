use std::net::{IpAddr, Ipv6Addr};

use url::Host;

/// The longest name that DNS carries, in bytes.
const LONGEST: usize = 253;

/// A host as whoever dials would read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// An address, in whatever spelling it came: nobody need be asked.
    Address(IpAddr),
    /// A name in ASCII and lower case.
    Name(String),
}

/// Reads a host as it was typed or stands in a URL; `None` if it is neither a name nor an address.
///
/// Numbers are read as the URL standard and `inet_aton` do (`127.1`, `0x7f000001`, `0177.0.0.1`, `2130706433`), and
/// names as browsers do (IDNA, which also turns full-width digits and dots into plain ones). So the one reading that
/// is judged is the one that is dialled. What looks like a number and is none (`1.2.3.4.5`, `256.1`) is refused: some
/// system would wrap it around. A zone (`fe80::1%eth0`) names a link of this machine, which is nobody's business.
pub(crate) fn read(text: &str) -> Option<Place> {
    let bare = text.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    if bare.is_some() || text.contains(':') {
        let address: Ipv6Addr = bare.unwrap_or(text).parse().ok()?;
        return Some(Place::Address(IpAddr::from(address).to_canonical()));
    }
    // The URL standard would decode it first: `%31` is a 1.
    if text.contains('%') {
        return None;
    }
    match Host::parse(text).ok()? {
        Host::Ipv4(it) => Some(Place::Address(it.into())),
        Host::Ipv6(it) => Some(Place::Address(IpAddr::from(it).to_canonical())),
        Host::Domain(name) => is_name(&name).then_some(Place::Name(name)),
    }
}

/// Whether DNS could carry it: labels of 1 to 63 letters, digits, hyphens and underscores, perhaps with a dot behind
/// them.
fn is_name(text: &str) -> bool {
    let name = text.strip_suffix('.').unwrap_or(text);
    let good = |it: u8| it.is_ascii_alphanumeric() || b"-_".contains(&it);
    name.len() <= LONGEST
        && name.split('.').all(|it| matches!(it.len(), 1..=63) && it.bytes().all(good))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_an_address_in_every_spelling() {
        for (text, expected) in [
            ("127.0.0.1", "127.0.0.1"),
            ("127.1", "127.0.0.1"),
            ("127.0.1", "127.0.0.1"),
            ("2130706433", "127.0.0.1"),
            ("0x7f000001", "127.0.0.1"),
            ("0X7F.1", "127.0.0.1"),
            ("0177.0.0.1", "127.0.0.1"),
            ("00000177.0x0.0.01", "127.0.0.1"),
            ("017700000001", "127.0.0.1"),
            ("127.0.0.1.", "127.0.0.1"),
            ("0", "0.0.0.0"),
            ("１２７.０.０.１", "127.0.0.1"),
            ("127。0。0。1", "127.0.0.1"),
            ("①②⑦.⓪.⓪.①", "127.0.0.1"),
            ("0ｘ7f.1", "127.0.0.1"),
            ("１６９．２５４．１６９．２５４", "169.254.169.254"),
            ("::1", "::1"),
            ("[::1]", "::1"),
            ("0:0:0:0:0:0:0:1", "::1"),
            ("::ffff:127.0.0.1", "127.0.0.1"),
            ("[::ffff:7f00:1]", "127.0.0.1"),
            ("::FFFF:127.0.0.1", "127.0.0.1"),
        ] {
            let expected = Place::Address(expected.parse().expect("an address"));
            assert_eq!(read(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn names_come_out_in_ascii_and_lower_case() {
        for (text, expected) in [
            ("db.example.com", "db.example.com"),
            ("DB.Example.COM.", "db.example.com."),
            ("my_db", "my_db"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("ｌｏｃａｌｈｏｓｔ", "localhost"),
            ("local\u{ad}host", "localhost"),
            ("db-1", "db-1"),
            ("127.0.0.1.nip.io", "127.0.0.1.nip.io"),
        ] {
            assert_eq!(read(text), Some(Place::Name(expected.to_owned())), "{text}");
        }
    }

    #[test]
    fn what_is_neither_is_refused() {
        let long = format!("{}.example", "a".repeat(64));
        for text in [
            "",
            " ",
            ".",
            "..",
            "a..b",
            "1.2.3.4.5",
            "256.256.256.256",
            "4294967296",
            "127.0.0.08",
            "0x",
            "a.0x",
            "127.0.0.1 ",
            " 127.0.0.1",
            "127.0.0.1\n",
            "127.0.0.1\0",
            "+127.1",
            "%31%32%37.1",
            "fe80::1%eth0",
            "[fe80::1%25eth0]",
            "::1%lo",
            "[127.0.0.1]",
            "[::1",
            "::1]",
            "[[::1]]",
            "1::2::3",
            "host:80",
            "127.0.0.1:80",
            "user@host",
            "host/path",
            "host\\path",
            "host?q",
            "host#f",
            "a,b",
            "/var/run",
            "db\u{0}.example",
            "a\tb",
            "<x>",
            "xn--a",
            &long,
        ] {
            // `0x` is a zero to browsers; whoever else reads it reads an error. Either way it is not public.
            match read(text) {
                None => {}
                Some(Place::Address(it)) => assert!(it.is_unspecified(), "{text}: {it}"),
                Some(it) => panic!("{text}: {it:?}"),
            }
        }
    }
}
