use hmac::{Hmac, KeyInit as _, Mac as _};
use plinth_connections::ConnectionId;
use plinth_core::OrgId;
use sha2::Sha256;

/// From what the keys of hashed columns derive; each connection has one of its own.
#[derive(Clone)]
pub struct MaskKey([u8; 32]);

/// The block of SHA-256, in bytes.
const BLOCK: usize = 64;

impl MaskKey {
    /// Takes 32 secret bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The connection's key under HMAC's two paddings (RFC 2104), inner and outer, as Postgres reads a `bytea`: with them the
    /// database computes HMAC by `sha256` alone.
    pub(super) fn paddings(&self, org: OrgId, connection: ConnectionId) -> [String; 2] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("any length is a key");
        mac.update(org.as_uuid().as_bytes());
        mac.update(connection.as_uuid().as_bytes());
        let key = mac.finalize().into_bytes();
        [0x36, 0x5c].map(|padding| {
            let mut text = String::with_capacity(2 + 2 * BLOCK);
            text.push_str("\\x");
            for at in 0..BLOCK {
                let byte = key.get(at).copied().unwrap_or_default() ^ padding;
                text.push_str(&format!("{byte:02x}"));
            }
            text
        })
    }
}

impl std::fmt::Debug for MaskKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MaskKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use sha2::Digest as _;

    use super::*;

    fn bytes(text: &str) -> Vec<u8> {
        let hex = text.strip_prefix("\\x").unwrap();
        (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect()
    }

    #[test]
    fn two_hashes_make_the_hmac_and_each_connection_has_its_own() {
        let at = Timestamp::UNIX_EPOCH;
        let (key, org) = (MaskKey::new([7; 32]), OrgId::new(at));
        let (one, two) = (ConnectionId::new(at), ConnectionId::new(at));
        let [inner, outer] = key.paddings(org, one);
        assert_ne!(inner, key.paddings(org, two)[0]);
        let mut first = bytes(&inner);
        first.extend(b"ann@example.com");
        let mut second = bytes(&outer);
        second.extend(Sha256::digest(&first));
        let by_hand = Sha256::digest(&second);
        let secret: Vec<u8> = bytes(&inner).iter().take(32).map(|it| it ^ 0x36).collect();
        let mut mac = Hmac::<Sha256>::new_from_slice(&secret).unwrap();
        mac.update(b"ann@example.com");
        assert_eq!(by_hand.as_slice(), mac.finalize().into_bytes().as_slice());
    }
}
