use std::net::IpAddr;

use hmac::{Hmac, Mac as _};
use jiff::SignedDuration;
use sha2::Sha256;

use super::error::AccountError;
use super::ports::Refused;
use super::service::Accounts;
use crate::Email;
use crate::limits::network;

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
