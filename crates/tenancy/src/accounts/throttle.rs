use std::net::IpAddr;

use hmac::{Hmac, Mac as _};
use jiff::SignedDuration;
use sha2::Sha256;

use super::error::AccountError;
use super::ports::Refused;
use super::service::Accounts;
use crate::Email;

/// In which time failures are counted.
pub const WINDOW: SignedDuration = SignedDuration::from_mins(15);

/// How many wrong passwords an account takes in that time, whoever sends them.
const FAILURES_OF_ACCOUNT: i32 = 10;

/// How many come from one address: more, as a whole office may share it.
const FAILURES_OF_ADDRESS: i32 = 50;

/// How many letters for a new password an account is sent in that time.
const RESETS_OF_ACCOUNT: i32 = 3;

/// How many an address asks for.
const RESETS_OF_ADDRESS: i32 = 20;

/// Something whose attempts are counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// What it is, as a keyed hash: addresses of people who do not exist are not kept in clear.
    pub hash: [u8; 32],
    /// How many attempts it has.
    pub limit: i32,
}

/// What is tried.
#[derive(Clone, Copy, Debug)]
pub(super) enum Attempt {
    /// A password.
    SignIn,
    /// To get a letter for a new password.
    Reset,
}

impl Accounts {
    /// Who tries that: the account first, then the network address.
    pub(super) fn subjects(
        &self,
        attempt: Attempt,
        email: &Email,
        address: Option<IpAddr>,
    ) -> Vec<Subject> {
        let (name, of_account, of_address) = match attempt {
            Attempt::SignIn => ("sign-in", FAILURES_OF_ACCOUNT, FAILURES_OF_ADDRESS),
            Attempt::Reset => ("reset", RESETS_OF_ACCOUNT, RESETS_OF_ADDRESS),
        };
        let mut subjects = vec![Subject {
            hash: self.subject(&format!("{name} account {email}")),
            limit: of_account,
        }];
        if let Some(address) = address {
            let hash = self.subject(&format!("{name} address {}", network(address)));
            subjects.push(Subject { hash, limit: of_address });
        }
        subjects
    }

    fn subject(&self, text: &str) -> [u8; 32] {
        let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(self.parts.subjects.as_ref())
            .expect("HMAC takes keys of any length");
        mac.update(text.as_bytes());
        mac.finalize().into_bytes().into()
    }

    pub(super) fn throttled(&self, refused: Refused) -> AccountError {
        let wait = refused.until.duration_since(self.parts.clock.now()).as_secs();
        AccountError::Throttled(wait.max(0) + 1)
    }
}

/// The network that an address counts for: who has one IPv6 address has 2^64 of them.
fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(it) => it.to_string(),
        IpAddr::V6(it) => {
            let [a, b, c, d, ..] = it.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_counts_for_what_one_subscriber_has() {
        let of = |text: &str| network(text.parse().expect("an address"));
        assert_eq!(of("2001:db8:1:2:3::4"), of("2001:db8:1:2:ffff::1"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
