//! Links that show a dashboard to whoever has them. A link's token is made from ids and a key, and kept nowhere.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::{SignedDuration, Timestamp};
use plinth_core::{OrgId, UserId};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::Sha256;
use uuid::Uuid;

use crate::{DashboardId, ShareId};

/// For whom a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ShareKind {
    /// For people who open it.
    Link,
    /// For a page that shows it to its own people, each with values of their own that they cannot change.
    Embed,
}

impl ShareKind {
    /// Its name in rows and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Link => "link",
            Self::Embed => "embed",
        }
    }
}

/// A link to a dashboard.
#[derive(Clone, Debug, PartialEq)]
pub struct Share {
    /// Its id.
    pub id: ShareId,
    /// Whose.
    pub org: OrgId,
    /// Which dashboard it shows.
    pub dashboard: DashboardId,
    /// For whom it is.
    pub kind: ShareKind,
    /// Up to 200 characters.
    pub name: String,
    /// Who made it: as whom its widgets run.
    pub by: UserId,
    /// Values of the dashboard's filters that nobody changes.
    pub locked: Map<String, Value>,
    /// Filters that whoever looks may choose; all others stay at their defaults.
    pub open: Vec<String>,
    /// When it stops working.
    pub expires_at: Timestamp,
    /// Since when it does not work any more.
    pub revoked_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Share {
    /// Whether it works at that moment, as far as it is its own to say.
    pub fn works_at(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && now < self.expires_at
    }
}

/// What is needed to make a link.
#[derive(Clone, Debug)]
pub struct NewShare {
    /// See [`Share::kind`].
    pub kind: ShareKind,
    /// See [`Share::name`].
    pub name: String,
    /// For how long it works; `None` for thirty days.
    pub expires_in: Option<SignedDuration>,
    /// See [`Share::locked`].
    pub locked: Map<String, Value>,
    /// See [`Share::open`].
    pub open: Vec<String>,
}

const TAG: usize = 16;
const SIGNED: usize = 16 + 16 + 8;

/// Makes and reads the tokens of links.
#[derive(Clone)]
pub struct ShareKey(Hmac<Sha256>);

impl std::fmt::Debug for ShareKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ShareKey")
    }
}

impl ShareKey {
    /// A key made from secret bytes; every server of one installation uses the same.
    pub fn new(secret: [u8; 32]) -> Self {
        Self(Hmac::new_from_slice(&secret).expect("HMAC takes keys of any length"))
    }

    fn mac(&self, signed: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        mac.update(b"link to a dashboard\0");
        mac.update(signed);
        mac
    }

    /// The token of a link: whose it is, which, until when; and that it was made here.
    pub fn token(&self, share: &Share) -> SecretString {
        let mut bytes = share.org.as_uuid().as_bytes().to_vec();
        bytes.extend(share.id.as_uuid().as_bytes());
        bytes.extend(share.expires_at.as_second().to_be_bytes());
        let tag: [u8; 32] = self.mac(&bytes).finalize().into_bytes().into();
        bytes.extend(&tag[..TAG]);
        URL_SAFE_NO_PAD.encode(bytes).into()
    }

    /// Which link a token is of; `None` for one that this key did not make, or whose time is over.
    pub fn read(&self, token: &str, now: Timestamp) -> Option<(OrgId, ShareId)> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok().filter(|it| it.len() == SIGNED + TAG)?;
        let (signed, tag) = bytes.split_at(SIGNED);
        self.mac(signed).verify_truncated_left(tag).ok()?;
        let org = OrgId::from_uuid(Uuid::from_slice(&signed[..16]).ok()?);
        let id = ShareId::from_uuid(Uuid::from_slice(&signed[16..32]).ok()?);
        let until = i64::from_be_bytes(signed[32..].try_into().ok()?);
        (now.as_second() < until).then_some((org, id))
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn share(at: Timestamp) -> Share {
        Share {
            id: ShareId::new(at),
            org: OrgId::new(at),
            dashboard: DashboardId::new(at),
            kind: ShareKind::Link,
            name: String::new(),
            by: UserId::new(at),
            locked: Map::new(),
            open: Vec::new(),
            expires_at: at + SignedDuration::from_hours(1),
            revoked_at: None,
            created_at: at,
        }
    }

    #[test]
    fn a_token_reads_back_until_its_time_is_over() {
        let at: Timestamp = "2026-03-04T05:06:07Z".parse().unwrap();
        let key = ShareKey::new([7; 32]);
        let share = share(at);
        let token = key.token(&share).expose_secret().to_owned();
        assert_eq!(key.read(&token, at), Some((share.org, share.id)));
        assert_eq!(key.read(&token, share.expires_at), None);
        assert_eq!(ShareKey::new([8; 32]).read(&token, at), None, "another installation");
    }

    #[test]
    fn a_token_that_is_changed_anywhere_is_none() {
        let at: Timestamp = "2026-03-04T05:06:07Z".parse().unwrap();
        let key = ShareKey::new([7; 32]);
        let token = key.token(&share(at)).expose_secret().to_owned();
        for place in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            // The last letter of a token holds bits that mean nothing; a strict decoder refuses those that differ.
            assert_eq!(key.read(&changed, at), None, "{place}");
        }
        for other in ["", "AAAA", &token[1..], &format!("{token}A")] {
            assert_eq!(key.read(other, at), None);
        }
    }
}
