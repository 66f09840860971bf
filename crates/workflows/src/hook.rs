//! A webhook's URL and how calls to it, and calls of the workflow to others, are signed. URL and secrets are made from the
//! workflow's id and a key, and kept nowhere.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;
use uuid::Uuid;

use crate::{WorkflowError, WorkflowId};

/// How old a signed call may be, and for how long its id is remembered so that it is taken once.
pub const REPLAY_WINDOW: SignedDuration = SignedDuration::from_mins(5);

/// Makes the tokens and secrets of webhooks.
#[derive(Clone)]
pub struct HookKey(Hmac<Sha256>);

impl std::fmt::Debug for HookKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HookKey")
    }
}

const TAG: usize = 16;

impl HookKey {
    /// A key made from secret bytes; every server of one installation uses the same.
    pub fn new(secret: [u8; 32]) -> Self {
        Self(Hmac::new_from_slice(&secret).expect("HMAC takes keys of any length"))
    }

    fn tag(&self, purpose: &str, id: WorkflowId, number: i32) -> [u8; 32] {
        let mut mac = self.0.clone();
        mac.update(purpose.as_bytes());
        mac.update(&[0]);
        mac.update(id.as_uuid().as_bytes());
        mac.update(&number.to_be_bytes());
        mac.finalize().into_bytes().into()
    }

    /// The secret part of the workflow's URL; another number makes another.
    pub fn token(&self, id: WorkflowId, number: i32) -> SecretString {
        let mut bytes = id.as_uuid().as_bytes().to_vec();
        bytes.extend(number.to_be_bytes());
        bytes.extend(&self.tag("url of a webhook", id, number)[..TAG]);
        URL_SAFE_NO_PAD.encode(bytes).into()
    }

    /// Which workflow a token is for, and its number; `None` for one that this key did not make.
    pub fn read(&self, token: &str) -> Option<(WorkflowId, i32)> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok().filter(|it| it.len() == 20 + TAG)?;
        let id = WorkflowId::from_uuid(Uuid::from_slice(&bytes[..16]).ok()?);
        let number = i32::from_be_bytes(bytes[16..20].try_into().ok()?);
        let mut mac = self.0.clone();
        mac.update(b"url of a webhook\0");
        mac.update(&bytes[..20]);
        mac.verify_truncated_left(&bytes[20..]).ok()?;
        Some((id, number))
    }

    /// The secret that the workflow's callers sign with, as Standard Webhooks writes it.
    pub fn secret(&self, id: WorkflowId, number: i32) -> SecretString {
        format!("whsec_{}", STANDARD.encode(self.tag("secret of a webhook", id, number))).into()
    }

    /// The secret that calls of the workflow's actions are signed with: another one, so that who may call the workflow
    /// cannot speak in its name.
    pub fn calls_secret(&self, id: WorkflowId, number: i32) -> SecretString {
        format!("whsec_{}", STANDARD.encode(self.tag("secret of calls", id, number))).into()
    }

    /// Checks a call by Standard Webhooks.
    ///
    /// # Errors
    ///
    /// [`WorkflowError::Unsigned`], with what is wrong.
    pub fn check(
        &self,
        (workflow, number): (WorkflowId, i32),
        (id, timestamp, signatures): (&str, &str, &str),
        body: &[u8],
        now: Timestamp,
    ) -> Result<(), WorkflowError> {
        let at = timestamp.parse().ok().and_then(|it| Timestamp::from_second(it).ok());
        let at = at.ok_or(WorkflowError::Unsigned("`webhook-timestamp` is no time"))?;
        if now.duration_since(at).abs() > REPLAY_WINDOW {
            return Err(WorkflowError::Unsigned("`webhook-timestamp` is too old or in the future"));
        }
        let key = self.tag("secret of a webhook", workflow, number);
        let mac = signed(&key, id, timestamp, body);
        let good = signatures
            .split(' ')
            .filter_map(|it| it.strip_prefix("v1,"))
            .filter_map(|it| STANDARD.decode(it).ok())
            .any(|it| mac.clone().verify_slice(&it).is_ok());
        if good { Ok(()) } else { Err(WorkflowError::Unsigned("`webhook-signature` does not fit")) }
    }
}

fn signed(key: &[u8], id: &str, timestamp: &str, body: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    mac
}

/// A `webhook-signature` by Standard Webhooks; `None` if the secret is none.
pub fn sign(secret: &SecretString, id: &str, at: Timestamp, body: &[u8]) -> Option<String> {
    let key = STANDARD.decode(secret.expose_secret().strip_prefix("whsec_")?).ok()?;
    let mac = signed(&key, id, &at.as_second().to_string(), body);
    Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_key_made_names_a_workflow() {
        let (key, id) = (HookKey::new([7; 32]), WorkflowId::new(Timestamp::UNIX_EPOCH));
        let token = key.token(id, 3);
        assert_eq!(key.read(token.expose_secret()), Some((id, 3)));
        assert_eq!(HookKey::new([8; 32]).read(token.expose_secret()), None);
        assert_ne!(key.token(id, 4).expose_secret(), token.expose_secret());
        for at in 0..token.expose_secret().len() {
            let mut other = token.expose_secret().to_owned().into_bytes();
            other[at] = if other[at] == b'A' { b'B' } else { b'A' };
            let other = String::from_utf8(other).expect("ASCII");
            assert_eq!(key.read(&other), None);
        }
    }

    #[test]
    fn a_signed_call_is_good_for_its_body_and_time() {
        let (key, id) = (HookKey::new([7; 32]), WorkflowId::new(Timestamp::UNIX_EPOCH));
        let now: Timestamp = "2026-03-04T05:06:07Z".parse().expect("a time");
        let signature = sign(&key.secret(id, 1), "msg_1", now, b"{}").expect("signed");
        let (second, other) = (now.as_second().to_string(), format!("v1,xxx {signature}"));
        let check = |number, signature: &str, body: &[u8], now| {
            key.check((id, number), ("msg_1", &second, signature), body, now).is_ok()
        };
        assert!(check(1, &other, b"{}", now));
        assert!(!check(1, &signature, b"{ }", now));
        assert!(!check(2, &signature, b"{}", now));
        assert!(!check(1, &signature, b"{}", now + SignedDuration::from_mins(6)));
        assert!(!check(1, "", b"{}", now));
    }
}
