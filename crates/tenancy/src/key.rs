use std::fmt;

use jiff::Timestamp;
use plinth_core::{Classify, ErrorKind, KeyId, OrgId, Scope, ScopeSet, UserId};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// Which connections a key reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// Every connection of the organization.
    Live,
    /// Only connections that are marked as test.
    Test,
}

impl KeyKind {
    fn prefix(self) -> &'static str {
        match self {
            Self::Live => "plinth_live_",
            Self::Test => "plinth_test_",
        }
    }
}

/// How much of its maker's rights a key carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyScope {
    /// Queries and dashboards, reading only.
    Read,
    /// All that its maker may.
    Full,
    /// These scopes.
    Listed(ScopeSet),
}

impl KeyScope {
    /// As a set; a key never outranks its maker, so this is intersected with the maker's at every use.
    pub fn scopes(&self) -> ScopeSet {
        match self {
            Self::Read => ScopeSet::from_iter([Scope::QueriesRead, Scope::DashboardsRead]),
            Self::Full => ScopeSet::all(),
            Self::Listed(scopes) => *scopes,
        }
    }

    /// What a key for one project may: nothing but that project is behind these scopes then.
    pub fn of_project() -> Self {
        Self::Listed(ScopeSet::from_iter([Scope::ProjectsRead, Scope::ProjectsWrite]))
    }

    /// The names that stand in requests and rows: `read`, `full`, or scopes.
    pub fn names(&self) -> Vec<String> {
        match self {
            Self::Read => vec!["read".to_owned()],
            Self::Full => vec!["full".to_owned()],
            Self::Listed(scopes) => scopes.iter().map(|it| it.to_string()).collect(),
        }
    }

    /// Reads [`KeyScope::names`] back.
    ///
    /// # Errors
    ///
    /// [`InvalidKey::Scope`] for an unknown name, an empty list, or `read` or `full` beside other names.
    pub fn parse(names: &[String]) -> Result<Self, InvalidKey> {
        match names.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["read"] => Ok(Self::Read),
            ["full"] => Ok(Self::Full),
            [] => Err(InvalidKey::Scope),
            listed => listed
                .iter()
                .map(|it| it.parse())
                .collect::<Result<ScopeSet, _>>()
                .map(Self::Listed)
                .map_err(|_| InvalidKey::Scope),
        }
    }
}

/// What somebody asks for when making a key.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// What it is for: 1 to 100 characters.
    pub name: String,
    /// See [`KeyKind`].
    pub kind: KeyKind,
    /// See [`KeyScope`].
    pub scope: KeyScope,
    /// From when it no longer works; `None` for never.
    pub expires_at: Option<Timestamp>,
    /// See [`ApiKey::limits`].
    pub limits: KeyLimits,
    /// See [`ApiKey::project`]; the scope is [`KeyScope::of_project`] then.
    pub project: Option<String>,
}

/// Limits of one key below those of its organization; `None` for no further limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyLimits {
    /// Requests a minute; at least 1.
    pub per_minute: Option<u32>,
    /// Requests a day; at least 1.
    pub per_day: Option<u32>,
}

impl KeyLimits {
    /// Checks the numbers.
    ///
    /// # Errors
    ///
    /// [`InvalidKey::PerMinute`] and [`InvalidKey::PerDay`] for numbers outside 1 to 2,000,000,000.
    pub fn check(&self) -> Result<(), InvalidKey> {
        let fits = |it: Option<u32>| it.is_none_or(|it| (1..=2_000_000_000).contains(&it));
        if !fits(self.per_minute) {
            return Err(InvalidKey::PerMinute);
        }
        if !fits(self.per_day) {
            return Err(InvalidKey::PerDay);
        }
        Ok(())
    }
}

/// What is to be changed of a key; `None` leaves a thing as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyChange {
    /// See [`NewKey::name`].
    pub name: Option<String>,
    /// See [`KeyLimits::per_minute`]; `Some(None)` takes the limit away.
    pub per_minute: Option<Option<u32>>,
    /// See [`KeyLimits::per_day`]; `Some(None)` takes the limit away.
    pub per_day: Option<Option<u32>>,
}

impl KeyChange {
    /// Changes the key.
    ///
    /// # Errors
    ///
    /// [`InvalidKey`] as for [`NewKey::check`]; the key is as it was.
    pub fn apply(&self, key: &mut ApiKey) -> Result<(), InvalidKey> {
        let name = self.name.as_deref().map_or(key.name.as_str(), str::trim);
        check_name(name)?;
        let limits = KeyLimits {
            per_minute: self.per_minute.unwrap_or(key.limits.per_minute),
            per_day: self.per_day.unwrap_or(key.limits.per_day),
        };
        limits.check()?;
        key.name = name.to_owned();
        key.limits = limits;
        Ok(())
    }
}

fn check_name(name: &str) -> Result<(), InvalidKey> {
    let length = name.trim().chars().count();
    if length == 0 || length > 100 || name.chars().any(char::is_control) {
        return Err(InvalidKey::Name);
    }
    Ok(())
}

impl NewKey {
    /// Checks what cannot be said in types.
    ///
    /// # Errors
    ///
    /// [`InvalidKey`] for a bad name or an expiry that is not in the future.
    pub fn check(&self, now: Timestamp) -> Result<(), InvalidKey> {
        check_name(&self.name)?;
        self.limits.check()?;
        if self.expires_at.is_some_and(|it| it <= now) {
            return Err(InvalidKey::Expiry);
        }
        Ok(())
    }
}

/// What is wrong with a key that somebody wants made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// See [`NewKey::name`].
    #[error("a key's name has 1 to 100 characters and no control characters")]
    Name,
    /// See [`KeyScope::parse`].
    #[error("scopes are `read`, `full`, or a list of scopes like `queries:read`")]
    Scope,
    /// See [`NewKey::expires_at`].
    #[error("a key expires in the future or never")]
    Expiry,
    /// See [`KeyLimits::per_minute`].
    #[error("a key's limit a minute is at least 1")]
    PerMinute,
    /// See [`KeyLimits::per_day`].
    #[error("a key's limit a day is at least 1")]
    PerDay,
}

impl Classify for InvalidKey {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }

    fn details(&self) -> Option<Value> {
        let field = match self {
            Self::Name => "name",
            Self::Scope => "scopes",
            Self::Expiry => "expires_at",
            Self::PerMinute => "rate_limit_per_minute",
            Self::PerDay => "rate_limit_per_day",
        };
        Some(json!({ field: self.to_string() }))
    }
}

/// A key as it is kept: everything but the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Its id.
    pub id: KeyId,
    /// To which organization it belongs.
    pub org: OrgId,
    /// Who made it: it carries at most their rights, and dies with their membership.
    pub user: UserId,
    /// What it is for.
    pub name: String,
    /// See [`KeyKind`].
    pub kind: KeyKind,
    /// See [`KeyScope`].
    pub scope: KeyScope,
    /// The last four characters, so that people can tell keys apart.
    pub hint: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when it no longer works.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// When it was last used, at most a minute behind.
    pub last_used_at: Option<Timestamp>,
    /// What it may call less than its organization.
    pub limits: KeyLimits,
    /// The only project that it reaches, by its id; `None` for whatever its scope allows.
    pub project: Option<String>,
}

impl ApiKey {
    /// Whether it works at that moment.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|it| now < it)
    }
}

/// What a key is found by: the SHA-256 of its text. No salt and no slow hash are needed, since the text holds 178
/// random bits: there is nothing to guess.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// That of a text that a caller sent; `None` if it cannot be a key of ours.
    pub fn of_sent(text: &str) -> Option<Self> {
        is_key(text).then(|| Self(Sha256::digest(text.as_bytes()).into()))
    }

    /// The bytes, for the adapter that stores them.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash")
    }
}

/// The text of a key: a prefix that leak scanners can know, 30 random letters and digits, and six that check them, so
/// that a mistyped or invented key is refused without asking the database.
#[derive(Clone, Debug)]
pub struct KeySecret(SecretString);

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const RANDOM_CHARS: usize = 30;
const CHECK_CHARS: usize = 6;

impl KeySecret {
    /// Makes a new one.
    ///
    /// # Errors
    ///
    /// [`getrandom::Error`] if the system has no randomness.
    pub fn generate(kind: KeyKind) -> Result<Self, getrandom::Error> {
        let mut text = kind.prefix().to_owned();
        let mut bytes = [0; 64];
        let mut taken = 0;
        while taken < RANDOM_CHARS {
            getrandom::fill(&mut bytes)?;
            // 248 is the largest multiple of 62 in a byte: beyond it some characters would come more often.
            for byte in bytes.iter().filter(|it| **it < 248).take(RANDOM_CHARS - taken) {
                text.push(char::from(ALPHABET[usize::from(byte % 62)]));
                taken += 1;
            }
        }
        let check = checksum(&text);
        text.extend(check.map(char::from));
        Ok(Self(text.into()))
    }

    /// Reads what a caller sent; `None` if it cannot be a key of ours.
    pub fn parse(text: &str) -> Option<Self> {
        is_key(text).then(|| Self(text.to_owned().into()))
    }

    /// What the store finds it by.
    pub fn hash(&self) -> KeyHash {
        KeyHash(Sha256::digest(self.0.expose_secret().as_bytes()).into())
    }

    /// Its last four characters.
    pub fn hint(&self) -> String {
        let text = self.0.expose_secret();
        text[text.len() - 4..].to_owned()
    }

    /// The text itself, to be shown once.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

/// Whether a text has the form of a key, with the characters that check it.
fn is_key(text: &str) -> bool {
    let body = [KeyKind::Live, KeyKind::Test].iter().find_map(|it| text.strip_prefix(it.prefix()));
    let has_form = body.is_some_and(|it| {
        it.len() == RANDOM_CHARS + CHECK_CHARS && it.bytes().all(|it| it.is_ascii_alphanumeric())
    });
    has_form && {
        let (head, check) = text.split_at(text.len() - CHECK_CHARS);
        checksum(head) == check.as_bytes()
    }
}

/// CRC-32 in six characters of base 62.
fn checksum(text: &str) -> [u8; CHECK_CHARS] {
    let mut left = crc32fast::hash(text.as_bytes());
    let mut chars = [b'0'; CHECK_CHARS];
    for at in chars.iter_mut().rev() {
        *at = ALPHABET[(left % 62) as usize];
        left /= 62;
    }
    chars
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_generated_key_parses_and_a_bent_one_does_not() {
        for kind in [KeyKind::Live, KeyKind::Test] {
            let key = KeySecret::generate(kind).expect("randomness");
            let text = key.expose().to_owned();
            assert!(text.starts_with(kind.prefix()) && text.len() == 48);
            assert_eq!(KeySecret::parse(&text).expect("ours").hash(), key.hash());
            for at in kind.prefix().len()..text.len() {
                let mut bent = text.clone().into_bytes();
                bent[at] = if bent[at] == b'a' { b'b' } else { b'a' };
                assert!(
                    KeySecret::parse(std::str::from_utf8(&bent).expect("ascii")).is_none(),
                    "at {at}"
                );
            }
            assert!(!format!("{key:?}").contains(&text[12..]));
        }
    }

    proptest! {
        #[test]
        fn strangers_texts_are_not_keys(text in "(plinth_(live|test)_)?\\PC{0,48}") {
            prop_assert!(KeySecret::parse(&text).is_none());
        }

        #[test]
        fn a_scope_reads_back_from_its_names(bits in 1u32..(1 << 13)) {
            let scopes = Scope::ALL.into_iter().filter(|it| bits & (1 << *it as u8) != 0).collect();
            let scope = KeyScope::Listed(scopes);
            prop_assert_eq!(KeyScope::parse(&scope.names()), Ok(scope));
        }
    }
}
