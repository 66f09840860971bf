use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::Sha256;
use uuid::Uuid;

use crate::{Classify, ErrorKind};

/// One page of a list, newest first.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// At most [`Limit`] items.
    pub items: Vec<T>,
    /// Where the next page begins; `None` on the last one.
    pub next: Option<Cursor>,
}

impl<T> Page<T> {
    /// Makes a page of what a store gave: up to one item more than `limit`, which shows that there is a next page.
    /// `place` says where an item stands.
    pub fn cut(mut items: Vec<T>, limit: Limit, place: impl Fn(&T) -> Cursor) -> Self {
        let limit = limit.get() as usize;
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(place);
        Self { items, next }
    }
}

/// How many items a page may hold: 1 to 100, 20 unless told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit(u32);

impl Limit {
    /// One item, for who looks for the next.
    pub const ONE: Self = Self(1);

    /// Checks a number that a caller sent.
    ///
    /// # Errors
    ///
    /// [`InvalidLimit`] outside 1 to 100.
    pub fn new(limit: u32) -> Result<Self, InvalidLimit> {
        if (1..=100).contains(&limit) { Ok(Self(limit)) } else { Err(InvalidLimit) }
    }

    /// The number of items.
    pub fn get(self) -> u32 {
        self.0
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(20)
    }
}

/// A limit outside 1 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("limit must be from 1 to 100")]
pub struct InvalidLimit;

impl Classify for InvalidLimit {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }

    fn details(&self) -> Option<Value> {
        Some(json!({ "limit": self.to_string() }))
    }
}

/// A place in a list that is sorted by creation time and id: the last item of the page before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// When that item was made; microseconds, as Postgres keeps them.
    pub created_at: Timestamp,
    /// That item's id.
    pub id: Uuid,
}

/// Signs cursors, so that they stay opaque: a caller can only send back what we gave.
#[derive(Clone)]
pub struct CursorKey(Hmac<Sha256>);

impl std::fmt::Debug for CursorKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CursorKey")
    }
}

/// Half of a SHA-256 is plenty for a value that protects no secret.
const TAG: usize = 16;

impl CursorKey {
    /// A key made from secret bytes; every server of one installation uses the same.
    pub fn new(secret: &[u8]) -> Self {
        Self(Hmac::new_from_slice(secret).expect("HMAC takes keys of any length"))
    }

    /// The text for callers. `list` names the list, so that a cursor of one is not taken for another's.
    pub fn seal(&self, list: &str, cursor: Cursor) -> String {
        let mut bytes = Vec::with_capacity(8 + 16 + TAG);
        bytes.extend_from_slice(&cursor.created_at.as_microsecond().to_be_bytes());
        bytes.extend_from_slice(cursor.id.as_bytes());
        let tag = self.tag(list, &bytes);
        bytes.extend_from_slice(&tag);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads what a caller sent back.
    ///
    /// # Errors
    ///
    /// [`InvalidCursor`] if it is not one that this key sealed for this list.
    pub fn open(&self, list: &str, text: &str) -> Result<Cursor, InvalidCursor> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidCursor)?;
        if bytes.len() != 8 + 16 + TAG {
            return Err(InvalidCursor);
        }
        let (body, tag) = bytes.split_at(24);
        if self.tag(list, body) != tag {
            return Err(InvalidCursor);
        }
        let micros = i64::from_be_bytes(body[..8].try_into().expect("eight bytes"));
        let created_at = Timestamp::from_microsecond(micros).map_err(|_| InvalidCursor)?;
        Ok(Cursor { created_at, id: Uuid::from_slice(&body[8..]).map_err(|_| InvalidCursor)? })
    }

    /// The text for a place in a list that is sorted otherwise than by creation time: whatever bytes name it.
    pub fn seal_bytes(&self, list: &str, place: &[u8]) -> String {
        let mut bytes = place.to_vec();
        let tag = self.tag(&format!("{list} by place"), place);
        bytes.extend_from_slice(&tag);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads what [`CursorKey::seal_bytes`] wrote.
    ///
    /// # Errors
    ///
    /// [`InvalidCursor`] if it is not one that this key sealed for this list.
    pub fn open_bytes(&self, list: &str, text: &str) -> Result<Vec<u8>, InvalidCursor> {
        let mut bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidCursor)?;
        let length = bytes.len().checked_sub(TAG).ok_or(InvalidCursor)?;
        let tag = bytes.split_off(length);
        if self.tag(&format!("{list} by place"), &bytes) != tag[..] {
            return Err(InvalidCursor);
        }
        Ok(bytes)
    }

    fn tag(&self, list: &str, body: &[u8]) -> [u8; TAG] {
        let mut mac = self.0.clone();
        mac.update(list.as_bytes());
        mac.update(&[0]);
        mac.update(body);
        mac.finalize().into_bytes()[..TAG].try_into().expect("SHA-256 is longer")
    }
}

/// A cursor that we did not make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this cursor is not one that this list gave; start again without it")]
pub struct InvalidCursor;

impl Classify for InvalidCursor {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }

    fn details(&self) -> Option<Value> {
        Some(json!({ "cursor": "not a cursor of this list" }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_comes_back_unchanged_and_only_to_its_own_list(micros in 0i64..4_000_000_000_000_000, id: u128) {
            let key = CursorKey::new(b"secret");
            let cursor = Cursor {
                created_at: Timestamp::from_microsecond(micros).unwrap(),
                id: Uuid::from_u128(id),
            };
            let text = key.seal("queries", cursor);
            prop_assert_eq!(key.open("queries", &text), Ok(cursor));
            prop_assert_eq!(key.open("connections", &text), Err(InvalidCursor));
            prop_assert_eq!(CursorKey::new(b"other").open("queries", &text), Err(InvalidCursor));
        }

        #[test]
        fn a_place_comes_back_unchanged_and_only_to_its_own_list(place: Vec<u8>) {
            let key = CursorKey::new(b"secret");
            let text = key.seal_bytes("tables", &place);
            prop_assert_eq!(key.open_bytes("search", &text), Err(InvalidCursor));
            prop_assert_eq!(key.open("tables", &text), Err(InvalidCursor));
            prop_assert_eq!(key.open_bytes("tables", &text), Ok(place));
        }

        #[test]
        fn strangers_bytes_never_open(text in ".{0,80}") {
            prop_assert!(CursorKey::new(b"secret").open("queries", &text).is_err());
            prop_assert!(CursorKey::new(b"secret").open_bytes("queries", &text).is_err());
        }
    }
}
