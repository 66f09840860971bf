//! Sign-ins: what keeps a person signed in after the short life of a token.

use std::fmt;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use jiff::{SignedDuration, Timestamp};
use plinth_core::{AppId, OrgId, ScopeSet, SessionId, UserId};
use secrecy::SecretString;
use sha2::Sha256;
use uuid::Uuid;
use zeroize::Zeroizing;

/// A session that is not used for so long has ended.
pub(crate) const IDLE: SignedDuration = SignedDuration::from_hours(30 * 24);

/// A session ends then, however much it is used.
pub(crate) const LONGEST: SignedDuration = SignedDuration::from_hours(90 * 24);

/// How long the refresh token before the newest is still answered, with the newest again: an answer may have been lost
/// on its way, and two windows of a browser may ask at once. Only as long as nobody has used the newest: from then on it
/// is known to have arrived, and whoever sends the older one has no business with it.
const GRACE: SignedDuration = SignedDuration::from_secs(10);

/// How many characters of a client's description of itself are kept.
const DEVICE_CHARS: usize = 200;

/// A person's sign-in, or what they granted to an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Whose it is.
    pub user: UserId,
    /// The person's epoch when it was made; it has ended when theirs is another.
    pub epoch: i32,
    /// The app that may act for the person; `None` for the person themselves.
    pub app: Option<AppId>,
    /// What the app may do; `None` for all that the person may.
    pub scopes: Option<ScopeSet>,
    /// The organization that its tokens are for. An app has no other; a person picks others by header.
    pub org: Option<OrgId>,
    /// How often its refresh token was exchanged.
    pub generation: i32,
    /// When that was last.
    pub refreshed_at: Timestamp,
    /// What the client says it is, cut to a sane length.
    pub device: String,
    /// From where it was last used, as far as known.
    pub address: Option<IpAddr>,
    /// When the person signed in.
    pub created_at: Timestamp,
    /// When it was last used, to the minute.
    pub last_used_at: Timestamp,
    /// When it was ended; `None` if it was not.
    pub ended_at: Option<Timestamp>,
}

/// What a refresh token that was sent means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presented {
    /// It is the newest: it is exchanged.
    Newest,
    /// It is the one before, sent again in time: the newest is given again.
    Again,
    /// It was exchanged before. One of those who have it stole it, so the session ends.
    Reused,
    /// The session has ended.
    Ended,
}

impl Session {
    /// Whether it is good for a person of that epoch.
    pub fn is_good(&self, epoch: i32, now: Timestamp) -> bool {
        self.epoch == epoch && self.ended_at.is_none() && self.expires_at() > now
    }

    /// When it ends by itself if nobody uses it.
    pub fn expires_at(&self) -> Timestamp {
        let used = self.last_used_at.max(self.refreshed_at);
        (used + IDLE).min(self.created_at + LONGEST)
    }

    /// Judges a refresh token of this session by its generation.
    pub fn present(&self, generation: i32, epoch: i32, now: Timestamp) -> Presented {
        if !self.is_good(epoch, now) || generation > self.generation {
            return Presented::Ended;
        }
        let in_time = now.duration_since(self.refreshed_at) <= GRACE;
        match self.generation - generation {
            0 => Presented::Newest,
            1 if in_time => Presented::Again,
            _ => Presented::Reused,
        }
    }

    /// What a client says it is, as it is kept: one line, and not too long.
    pub fn device(agent: &str) -> String {
        let plain = agent.chars().map(|it| if it.is_control() { ' ' } else { it });
        plain.take(DEVICE_CHARS).collect()
    }
}

/// Makes and checks refresh tokens. One is made from its session, the number of the exchange and a key, so that it is
/// kept nowhere: a dump of the database holds none. It says whose it is, so that a forged one costs no query.
#[derive(Clone)]
pub struct RefreshKey {
    key: Zeroizing<[u8; 32]>,
}

impl fmt::Debug for RefreshKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefreshKey")
    }
}

/// What a refresh token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefreshClaim {
    /// Whose it is.
    pub user: UserId,
    /// Of which session.
    pub session: SessionId,
    /// After how many exchanges.
    pub generation: i32,
}

const PREFIX: &str = "plinth_refresh_";
/// Two ids and a number; the MAC follows.
const ABOUT_BYTES: usize = 16 + 16 + 4;

impl RefreshKey {
    /// Takes a key that serves no other purpose.
    pub fn new(key: [u8; 32]) -> Self {
        Self { key: Zeroizing::new(key) }
    }

    /// The token that says this.
    pub fn token(&self, claim: RefreshClaim) -> SecretString {
        let mut bytes = Vec::with_capacity(ABOUT_BYTES + 32);
        bytes.extend_from_slice(claim.user.as_uuid().as_bytes());
        bytes.extend_from_slice(claim.session.as_uuid().as_bytes());
        bytes.extend_from_slice(&claim.generation.to_be_bytes());
        bytes.extend_from_slice(&self.mac(&bytes).finalize().into_bytes());
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)).into()
    }

    /// What a token says; `None` if it is not one of ours.
    pub fn read(&self, token: &str) -> Option<RefreshClaim> {
        let encoded = token.strip_prefix(PREFIX)?;
        if encoded.len() > 2 * (ABOUT_BYTES + 32) {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(encoded).ok()?;
        let (about, mac) = bytes.split_at_checked(ABOUT_BYTES)?;
        self.mac(about).verify_slice(mac).ok()?;
        Some(RefreshClaim {
            user: UserId::from_uuid(Uuid::from_slice(&about[..16]).ok()?),
            session: SessionId::from_uuid(Uuid::from_slice(&about[16..32]).ok()?),
            generation: i32::from_be_bytes(about[32..].try_into().ok()?),
        })
    }

    fn mac(&self, about: &[u8]) -> Hmac<Sha256> {
        let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(self.key.as_ref())
            .expect("HMAC takes keys of any length");
        mac.update(about);
        mac
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use secrecy::ExposeSecret as _;

    use super::*;

    fn session(at: Timestamp) -> Session {
        Session {
            id: SessionId::new(at),
            user: UserId::new(at),
            epoch: 1,
            app: None,
            scopes: None,
            org: None,
            generation: 5,
            refreshed_at: at,
            device: String::new(),
            address: None,
            created_at: at,
            last_used_at: at,
            ended_at: None,
        }
    }

    fn start() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().expect("a time")
    }

    #[test]
    fn a_token_that_was_exchanged_is_answered_for_a_moment_and_then_ends_the_session() {
        let (session, at) = (session(start()), start());
        let soon = at + GRACE;
        let late = soon + SignedDuration::from_secs(1);
        assert_eq!(session.present(5, 1, late), Presented::Newest);
        assert_eq!(session.present(4, 1, soon), Presented::Again);
        assert_eq!(session.present(4, 1, late), Presented::Reused);
        assert_eq!(session.present(3, 1, soon), Presented::Reused, "the newer one did arrive");
        assert_eq!(session.present(6, 1, soon), Presented::Ended, "there is no such exchange");
        assert_eq!(session.present(5, 2, soon), Presented::Ended, "signed out everywhere");
        let ended = Session { ended_at: Some(at), ..session };
        assert_eq!(ended.present(5, 1, soon), Presented::Ended);
    }

    #[test]
    fn a_session_ends_when_it_is_not_used_and_at_last_in_any_case() {
        let mut session = session(start());
        let tick = SignedDuration::from_secs(1);
        assert!(session.is_good(1, start() + IDLE - tick));
        assert!(!session.is_good(1, start() + IDLE));
        for _ in 0..4 {
            session.last_used_at += SignedDuration::from_hours(25 * 24);
        }
        assert!(session.is_good(1, start() + LONGEST - tick));
        assert!(!session.is_good(1, start() + LONGEST));
    }

    proptest! {
        #[test]
        fn a_refresh_token_says_what_it_is_about_for_its_own_key_only(
            user: u128, id: u128, generation: i32, at in 0_usize..110, to in "[A-Za-z0-9_-]",
        ) {
            let claim = RefreshClaim {
                user: UserId::from_uuid(Uuid::from_u128(user)),
                session: SessionId::from_uuid(Uuid::from_u128(id)),
                generation,
            };
            let key = RefreshKey::new([3; 32]);
            let token = key.token(claim);
            let token = token.expose_secret();
            prop_assert_eq!(key.read(token), Some(claim));
            prop_assert_eq!(RefreshKey::new([4; 32]).read(token), None);
            let mut changed = token.to_owned();
            let at = at.min(token.len() - 1);
            changed.replace_range(at..=at, &to);
            prop_assert!(changed == token || key.read(&changed).is_none());
        }

        #[test]
        fn whatever_a_stranger_sends_as_refresh_token_is_read_without_harm(text in ".{0,120}") {
            let key = RefreshKey::new([3; 32]);
            prop_assert_eq!(key.read(&text), None);
            prop_assert_eq!(key.read(&format!("{PREFIX}{text}")), None);
        }
    }
}
