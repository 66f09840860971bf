use std::collections::HashMap;
use std::sync::{Arc, Mutex, RwLock};
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
    keys: Result<Arc<[PublicKey]>, KeySetError>,
    fetched_at: Timestamp,
    tried_at: Timestamp,
    fresh_until: Timestamp,
}

/// Providers' keys, asked for seldom.
#[derive(Clone)]
pub(super) struct KeySets {
    source: Arc<dyn KeySetSource>,
    known: Arc<RwLock<HashMap<String, KnownSet>>>,
    /// Held while a set is fetched: many tokens at once ask once. One for each set, so that a provider that hangs holds up
    /// nobody else's callers.
    fetching: Arc<Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>>,
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
            return known.keys;
        }
        let turn = self.turn(url);
        let _one_at_a_time = turn.lock().await;
        let known = self.lookup(url);
        if let Some(known) = known.as_ref().filter(|it| it.is_enough(key_id, now)) {
            return known.keys.clone();
        }
        self.fetch(url, known, now).await
    }

    /// The same, asked for now, for somebody who has just typed the URL.
    pub(super) async fn read_now(
        &self,
        url: &str,
        now: Timestamp,
    ) -> Result<Arc<[PublicKey]>, KeySetError> {
        let turn = self.turn(url);
        let _one_at_a_time = turn.lock().await;
        self.fetch(url, None, now).await
    }

    async fn fetch(
        &self,
        url: &str,
        known: Option<KnownSet>,
        now: Timestamp,
    ) -> Result<Arc<[PublicKey]>, KeySetError> {
        let set = match (self.source.fetch(url).await, known) {
            (Ok(document), _) => {
                let fresh = document.fresh_for.unwrap_or(FRESH).min(FRESH_AT_MOST);
                let fresh = SignedDuration::try_from(fresh).unwrap_or(NOT_SOONER).max(NOT_SOONER);
                KnownSet {
                    keys: Ok(read_set(&document.json).into()),
                    fetched_at: now,
                    tried_at: now,
                    fresh_until: now + fresh,
                }
            }
            (Err(err), Some(old))
                if old.keys.is_ok() && now.duration_since(old.fetched_at) < STALE_AT_MOST =>
            {
                tracing::warn!(url, error = %err, "an identity provider's keys could not be read again");
                KnownSet { tried_at: now, ..old }
            }
            // Remembered too: who sends tokens must not make us ask again and again.
            (Err(err), _) => KnownSet {
                keys: Err(err),
                fetched_at: now,
                tried_at: now,
                fresh_until: now + NOT_SOONER,
            },
        };
        let keys = set.keys.clone();
        let mut all = self.known.write().expect("not poisoned");
        if all.len() >= REMEMBERED {
            all.retain(|_, it| it.fresh_until > now);
        }
        all.insert(url.to_owned(), set);
        keys
    }

    fn turn(&self, url: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut fetching = self.fetching.lock().expect("not poisoned");
        // Those that nobody holds any more.
        if fetching.len() >= REMEMBERED {
            fetching.retain(|_, it| Arc::strong_count(it) > 1);
        }
        fetching.entry(url.to_owned()).or_default().clone()
    }

    fn lookup(&self, url: &str) -> Option<KnownSet> {
        self.known.read().expect("not poisoned").get(url).cloned()
    }
}

impl KnownSet {
    fn is_enough(&self, key_id: Option<&str>, now: Timestamp) -> bool {
        let has_it = self.keys.as_ref().is_ok_and(|keys| {
            key_id.is_none_or(|id| keys.iter().any(|it| it.id.as_deref() == Some(id)))
        });
        let was_just_tried = now.duration_since(self.tried_at) < NOT_SOONER;
        was_just_tried || (has_it && now < self.fresh_until)
    }
}
