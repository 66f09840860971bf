use std::collections::HashMap;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::jwk::{PublicKey, read_set};
use crate::{KeySetError, KeySetSource};

/// A set is not asked for again sooner, whatever strangers' tokens name: one request a minute for each provider.
const NOT_SOONER: SignedDuration = SignedDuration::from_mins(1);

/// A set is asked for again then, if the provider does not say otherwise.
const FRESH: Duration = Duration::from_hours(1);

/// No set is kept for longer without asking, whatever the provider says.
const FRESH_AT_MOST: Duration = Duration::from_hours(12);

/// While the provider cannot be reached its last set goes on counting for so long.
const STALE_AT_MOST: SignedDuration = SignedDuration::from_hours(24);

/// How many sets are remembered at most.
const REMEMBERED: usize = 1000;

#[derive(Clone)]
struct KnownSet {
    keys: Arc<[PublicKey]>,
    fetched_at: Timestamp,
    tried_at: Timestamp,
    fresh_until: Timestamp,
}

/// Providers' keys, asked for seldom.
#[derive(Clone)]
pub(super) struct KeySets {
    source: Arc<dyn KeySetSource>,
    known: Arc<RwLock<HashMap<String, KnownSet>>>,
    /// Held while a set is fetched: many tokens at once ask once.
    fetching: Arc<tokio::sync::Mutex<()>>,
}

impl KeySets {
    pub(super) fn new(source: Arc<dyn KeySetSource>) -> Self {
        Self { source, known: Arc::default(), fetching: Arc::default() }
    }

    /// The keys at `url`. With `key_id`, a key that is not among them makes the set be asked for again: providers rotate.
    pub(super) async fn get(
        &self,
        url: &str,
        key_id: Option<&str>,
        now: Timestamp,
    ) -> Result<Arc<[PublicKey]>, KeySetError> {
        let known = self.lookup(url);
        if let Some(known) = known.filter(|it| it.is_enough(key_id, now)) {
            return Ok(known.keys);
        }
        let _one_at_a_time = self.fetching.lock().await;
        let known = self.lookup(url);
        if let Some(known) = known.as_ref().filter(|it| it.is_enough(key_id, now)) {
            return Ok(known.keys.clone());
        }
        let fetched = self.source.fetch(url).await;
        let set = match (fetched, known) {
            (Ok(document), _) => {
                let fresh = document.fresh_for.unwrap_or(FRESH).min(FRESH_AT_MOST);
                let fresh = SignedDuration::try_from(fresh).unwrap_or(NOT_SOONER).max(NOT_SOONER);
                KnownSet {
                    keys: read_set(&document.json).into(),
                    fetched_at: now,
                    tried_at: now,
                    fresh_until: now + fresh,
                }
            }
            (Err(err), Some(old)) if now.duration_since(old.fetched_at) < STALE_AT_MOST => {
                tracing::warn!(url, error = %err, "an identity provider's keys could not be read again");
                KnownSet { tried_at: now, ..old }
            }
            (Err(err), _) => return Err(err),
        };
        let keys = set.keys.clone();
        let mut all = self.known.write().expect("not poisoned");
        if all.len() >= REMEMBERED {
            all.retain(|_, it| it.fresh_until > now);
        }
        all.insert(url.to_owned(), set);
        Ok(keys)
    }

    fn lookup(&self, url: &str) -> Option<KnownSet> {
        self.known.read().expect("not poisoned").get(url).cloned()
    }
}

impl KnownSet {
    fn is_enough(&self, key_id: Option<&str>, now: Timestamp) -> bool {
        let has_it =
            key_id.is_none_or(|id| self.keys.iter().any(|it| it.id.as_deref() == Some(id)));
        let was_just_tried = now.duration_since(self.tried_at) < NOT_SOONER;
        was_just_tried || (has_it && now < self.fresh_until)
    }
}
