use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A range of addresses, like `10.0.0.0/8` or `::1/128`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    base: IpAddr,
    prefix: u8,
}

impl Network {
    /// Every IPv4 loopback address.
    pub const LOOPBACK_V4: Self = Self { base: IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), prefix: 8 };
    /// The IPv6 loopback address.
    pub const LOOPBACK_V6: Self = Self { base: IpAddr::V6(Ipv6Addr::LOCALHOST), prefix: 128 };

    /// How many leading bits all its addresses share; the more, the narrower it is.
    pub(crate) fn prefix(self) -> u8 {
        self.prefix
    }

    /// Whether it is that one address and no other.
    pub(crate) fn is_just(self, address: IpAddr) -> bool {
        let widest = if self.base.is_ipv4() { 32 } else { 128 };
        self.prefix == widest && self.contains(address)
    }

    /// Whether the address is in the range. An IPv4 address in its IPv6 dress counts as what it is.
    pub fn contains(self, address: IpAddr) -> bool {
        match (self.base, address.to_canonical()) {
            (IpAddr::V4(base), IpAddr::V4(it)) => same_prefix(
                u128::from(base.to_bits()) << 96,
                u128::from(it.to_bits()) << 96,
                self.prefix,
            ),
            (IpAddr::V6(base), IpAddr::V6(it)) => {
                same_prefix(base.to_bits(), it.to_bits(), self.prefix)
            }
            _ => false,
        }
    }
}

fn same_prefix(a: u128, b: u128, prefix: u8) -> bool {
    (a ^ b).checked_shr(128 - u32::from(prefix)).unwrap_or(0) == 0
}

/// A text that is not a range of addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a network like `10.0.0.0/8` or an address like `192.168.1.5`")]
pub struct InvalidNetwork(String);

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidNetwork(text.to_owned());
        let (base, prefix) = match text.split_once('/') {
            Some((base, prefix)) => (base, Some(prefix.parse::<u8>().map_err(|_| invalid())?)),
            None => (text, None),
        };
        let base: IpAddr = base.parse().map_err(|_| invalid())?;
        let widest = if base.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.unwrap_or(widest);
        if prefix > widest { Err(invalid()) } else { Ok(Self { base, prefix }) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_address_is_in_its_own_network_and_in_the_widest(bits: u32, prefix in 0u8..=32) {
            let (here, far) = (Ipv4Addr::from_bits(bits), Ipv4Addr::from_bits(!bits));
            let around: Network = format!("{here}/{prefix}").parse().unwrap();
            let alone: Network = here.to_string().parse().unwrap();
            prop_assert!(around.contains(here.into()));
            prop_assert!(!alone.contains(far.into()));
        }
    }

    #[test]
    fn an_ipv4_address_in_ipv6_dress_is_still_itself() {
        let ten: Network = "10.0.0.0/8".parse().expect("valid");
        assert!(ten.contains("::ffff:10.1.2.3".parse().expect("valid")));
        assert!(!ten.contains("::ffff:11.1.2.3".parse().expect("valid")));
    }
}
