//! Passwords: which ones may be chosen, and how they are kept.

use std::fmt;
use std::sync::Arc;

use argon2::password_hash::phc;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Semaphore;
use unicode_normalization::UnicodeNormalization as _;

use crate::Email;

/// The fewest characters of a password.
const SHORTEST_CHARS: usize = 8;

/// The most bytes of one, so that nobody keeps us busy with a long text.
const LONGEST_BYTES: usize = 1024;

/// The fewest different characters: `aaaaaaaa` is long enough and no password.
const FEWEST_DISTINCT: usize = 4;

/// Argon2id's memory, passes and lanes: the first configuration of OWASP's Password Storage Cheat Sheet, which needs a
/// tenth of a second at most. RFC 9106 (section 4) recommends 64 MiB where memory is scarce; a server that shares two
/// cores and a small machine with Postgres has less to spare for strangers who only try to sign in.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// What people choose first, in lower case. A list of a thousand would refuse little more: guesses are throttled.
const COMMON: [&str; 48] = [
    "password",
    "password1",
    "password12",
    "password123",
    "password1234",
    "passw0rd",
    "p@ssw0rd",
    "p@ssword",
    "12345678",
    "123456789",
    "1234567890",
    "12345678910",
    "87654321",
    "987654321",
    "0987654321",
    "11223344",
    "12341234",
    "123123123",
    "1q2w3e4r",
    "1q2w3e4r5t",
    "1qaz2wsx",
    "qwertyui",
    "qwertyuiop",
    "qwerty123",
    "qwerty12",
    "qwertz123",
    "asdfghjk",
    "asdfghjkl",
    "zxcvbnm1",
    "abcdefgh",
    "abcd1234",
    "abc12345",
    "iloveyou",
    "iloveyou1",
    "sunshine",
    "princess",
    "football",
    "baseball",
    "superman",
    "trustno1",
    "whatever",
    "welcome1",
    "letmein1",
    "changeme",
    "changeme1",
    "administrator",
    "admin123",
    "postgres",
];

/// A password as it was typed. Never printed, and forgotten with the value.
#[derive(Clone, Debug)]
pub struct Password(SecretString);

impl Password {
    /// Takes a password that somebody chooses. It is kept in Unicode's composed form (NFC), so that it is the same from
    /// every keyboard.
    ///
    /// # Errors
    ///
    /// [`InvalidPassword`], which says what it lacks.
    pub fn choose(typed: &SecretString, email: &Email) -> Result<Self, InvalidPassword> {
        let password = Self::typed(typed).ok_or(InvalidPassword::TooLong)?;
        let text = password.0.expose_secret();
        if text.chars().count() < SHORTEST_CHARS {
            return Err(InvalidPassword::TooShort);
        }
        let lower = text.to_lowercase();
        let mut distinct: Vec<char> = lower.chars().collect();
        distinct.sort_unstable();
        distinct.dedup();
        let name = email.as_str().split('@').next().unwrap_or_default();
        let is_address = lower == email.as_str() || lower == name;
        if distinct.len() < FEWEST_DISTINCT || is_address || COMMON.contains(&lower.as_str()) {
            return Err(InvalidPassword::Common);
        }
        Ok(password)
    }

    /// Takes a password that somebody signs in with; `None` if it is longer than any can be.
    pub fn typed(typed: &SecretString) -> Option<Self> {
        let text = typed.expose_secret();
        if text.len() > LONGEST_BYTES {
            return None;
        }
        let composed: String = text.nfc().collect();
        (composed.len() <= LONGEST_BYTES).then(|| Self(composed.into()))
    }

    fn bytes(&self) -> &[u8] {
        self.0.expose_secret().as_bytes()
    }
}

/// What is wrong with a password that somebody chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPassword {
    /// Fewer than 8 characters.
    #[error("must have at least 8 characters")]
    TooShort,
    /// More than 1,024 bytes.
    #[error("must have at most 1,024 bytes")]
    TooLong,
    /// Among the first that anybody would try.
    #[error("is among the first that anybody would try; choose another")]
    Common,
}

/// What is kept of a password: Argon2id's PHC string. Worth guessing at for whoever has it, so it is not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// Restores one that an adapter read back.
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The text to be stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it was made with the parameters of today; another one is made anew at the next sign-in.
    pub fn is_current(&self) -> bool {
        let Ok(hash) = phc::PasswordHash::new(&self.0) else { return false };
        Params::try_from(&hash)
            .is_ok_and(|it| (it.m_cost(), it.t_cost(), it.p_cost()) == (MEMORY_KIB, PASSES, LANES))
    }

    fn of(password: &Password) -> Result<Self, HashError> {
        let hash: phc::PasswordHash =
            argon2().hash_password(password.bytes()).map_err(|_| HashError::NoRandomness)?;
        Ok(Self(hash.to_string()))
    }

    fn fits(&self, password: &Password) -> bool {
        phc::PasswordHash::new(&self.0)
            .is_ok_and(|it| argon2().verify_password(password.bytes(), &it).is_ok())
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash")
    }
}

fn argon2() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).expect("within Argon2's limits");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// How many passwords are hashed at once: each takes a core and 19 MiB.
const AT_ONCE: usize = 2;

/// How many more may wait. At a twentieth of a second each, the last waits for less than a second.
const WAITING: usize = 30;

/// Hashes passwords, a bounded number at once and on threads of their own: who floods the sign-in slows the sign-in, and
/// nothing else.
#[derive(Clone)]
pub struct PasswordHashing {
    running: Arc<Semaphore>,
    admitted: Arc<Semaphore>,
    /// Compared with where there is nobody to compare with, so that it takes as long.
    dummy: PasswordHash,
}

impl PasswordHashing {
    /// # Errors
    ///
    /// [`HashError::NoRandomness`] if the system has none.
    pub fn new() -> Result<Self, HashError> {
        Self::with_limits(AT_ONCE, WAITING)
    }

    fn with_limits(at_once: usize, waiting: usize) -> Result<Self, HashError> {
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(|_| HashError::NoRandomness)?;
        let nobodys = URL_SAFE_NO_PAD.encode(random);
        Ok(Self {
            running: Arc::new(Semaphore::new(at_once)),
            admitted: Arc::new(Semaphore::new(at_once + waiting)),
            dummy: PasswordHash::of(&Password(nobodys.into()))?,
        })
    }

    /// What to keep of a password.
    ///
    /// # Errors
    ///
    /// [`HashError`].
    pub async fn hash(&self, password: &Password) -> Result<PasswordHash, HashError> {
        let password = password.clone();
        self.run(move || PasswordHash::of(&password)).await?
    }

    /// Whether the password is the one that `kept` was made of; without one it is not, which takes as long to say.
    ///
    /// # Errors
    ///
    /// [`HashError::Busy`].
    pub async fn verify(
        &self,
        password: &Password,
        kept: Option<&PasswordHash>,
    ) -> Result<bool, HashError> {
        let (password, is_known) = (password.clone(), kept.is_some());
        let kept = kept.unwrap_or(&self.dummy).clone();
        let fits = self.run(move || kept.fits(&password)).await?;
        Ok(fits && is_known)
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, HashError> {
        let admitted = self.admitted.clone().try_acquire_owned().map_err(|_| HashError::Busy)?;
        let running = self.running.clone().acquire_owned().await.map_err(|_| HashError::Busy)?;
        // The permits go with the work: it cannot be stopped when the caller hangs up.
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop((running, admitted));
            done
        });
        done.await.map_err(|_| HashError::Busy)
    }
}

/// Why no password was hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// Too many at once.
    #[error("too many people are signing in just now")]
    Busy,
    /// The system gave no random bytes.
    #[error("the system has no randomness")]
    NoRandomness,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn secret(text: &str) -> SecretString {
        text.to_owned().into()
    }

    fn ann() -> Email {
        Email::parse("annette@example.com").expect("good")
    }

    #[test]
    fn what_anybody_would_try_first_is_refused() {
        for bad in [
            "password",
            "PassWord",
            "12345678",
            "annette@example.com",
            "Annette@Example.com",
            "aaaaaaaaaaaa",
            "abababababab",
        ] {
            let refused = Password::choose(&secret(bad), &ann()).expect_err(bad);
            assert_eq!(refused, InvalidPassword::Common, "{bad}");
        }
        let name = Email::parse("longname@example.com").expect("good");
        assert!(Password::choose(&secret("LongName"), &name).is_err(), "the name in the address");
        assert!(COMMON.iter().all(|it| it.len() >= SHORTEST_CHARS && *it == it.to_lowercase()));
    }

    #[test]
    fn length_counts_characters_below_and_bytes_above() {
        let choose = |text: &str| Password::choose(&secret(text), &ann()).map(|_| ());
        assert_eq!(choose("tiny-1!"), Err(InvalidPassword::TooShort));
        assert_eq!(choose("grün-äöß"), Ok(()));
        assert_eq!(choose(&"xyz1".repeat(256)), Ok(()));
        assert_eq!(choose(&"xyz1".repeat(257)), Err(InvalidPassword::TooLong));
        // One character of three bytes that is nine when composed: composing cannot get around the limit.
        assert_eq!(choose(&"\u{fdfa}".repeat(400)), Err(InvalidPassword::TooLong));
    }

    proptest! {
        #[test]
        fn a_chosen_password_can_be_typed(text in any::<String>()) {
            if let Ok(chosen) = Password::choose(&secret(&text), &ann()) {
                let typed = Password::typed(&secret(&text)).expect("not too long");
                prop_assert_eq!(chosen.bytes(), typed.bytes());
            }
        }
    }

    #[tokio::test]
    async fn a_password_fits_its_own_hash_from_every_keyboard() {
        let hashing = PasswordHashing::new().expect("randomness");
        let composed = Password::choose(&secret("caf\u{e9} au lait"), &ann()).expect("good");
        let hash = hashing.hash(&composed).await.expect("hashed");
        assert!(hash.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(hash.is_current());
        let decomposed = Password::typed(&secret("cafe\u{301} au lait")).expect("short");
        assert_eq!(hashing.verify(&decomposed, Some(&hash)).await, Ok(true));
        let other = Password::typed(&secret("cafe au lait")).expect("short");
        assert_eq!(hashing.verify(&other, Some(&hash)).await, Ok(false));
        assert_eq!(hashing.verify(&composed, None).await, Ok(false), "nobody has no password");
        assert_ne!(hashing.hash(&composed).await.expect("hashed"), hash, "a salt of its own");
    }

    #[test]
    fn a_hash_of_other_parameters_is_made_anew() {
        let params = Params::new(8 * 1024, 1, 1, None).expect("good");
        let weaker = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let hash: phc::PasswordHash = weaker.hash_password(b"x").expect("hashed");
        assert!(!PasswordHash::from_stored(hash.to_string()).is_current());
        assert!(!PasswordHash::from_stored("nonsense".to_owned()).is_current());
    }

    #[tokio::test]
    async fn whoever_comes_when_the_queue_is_full_is_told_at_once() {
        let hashing = PasswordHashing::with_limits(1, 1).expect("randomness");
        let password = Password::typed(&secret("something")).expect("short");
        let tries = (0..5).map(|_| {
            let (hashing, password) = (hashing.clone(), password.clone());
            tokio::spawn(async move { hashing.verify(&password, None).await })
        });
        let tries: Vec<_> = tries.collect();
        let mut busy = 0;
        for one in tries {
            busy += usize::from(one.await.expect("ran") == Err(HashError::Busy));
        }
        assert_eq!(busy, 3, "one runs, one waits");
    }

    #[test]
    fn neither_a_password_nor_its_hash_is_printed() {
        let password = Password::typed(&secret("canary")).expect("short");
        assert!(!format!("{password:?}").contains("canary"));
        assert_eq!(format!("{:?}", PasswordHash::from_stored("canary".to_owned())), "PasswordHash");
    }
}
