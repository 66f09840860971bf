use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use plinth_core::{AdminAll, Cursor, Limit, OrgId, Page, Permit, Principal, StoreError, UserId};
use serde_json::Value;

use super::{AuditEntry, AuditOutcome, ChainedEntry, Link, TrailKey};
use crate::TenancyError;

/// Which entries a reader wants; every condition that is there has to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Whose acts.
    pub user: Option<UserId>,
    /// Which act, or all whose name begins with it if it ends in `.`: `connection.` means all of connections.
    pub action: Option<String>,
    /// To what kind of thing.
    pub target_kind: Option<String>,
    /// To which thing.
    pub target_id: Option<String>,
    /// By which request.
    pub request_id: Option<String>,
    /// How it ended.
    pub outcome: Option<AuditOutcome>,
    /// From then on.
    pub from: Option<Timestamp>,
    /// Until before then.
    pub until: Option<Timestamp>,
}

/// A stretch of a trail, for verifying.
#[derive(Clone, Debug, Default)]
pub struct TrailPart {
    /// The entries in their order.
    pub entries: Vec<ChainedEntry>,
    /// The link that is stored as the last, with its signature; `None` if the trail has none.
    pub head: Option<(Link, Vec<u8>)>,
}

/// Where the trail is read. It is written by the stores whose changes it tells of, in the changes' transactions.
#[async_trait]
pub trait AuditStore: Send + Sync + 'static {
    /// Adds an entry that tells of no change: of what was refused.
    async fn append(&self, entry: &AuditEntry) -> Result<(), StoreError>;

    /// Entries of the organization, newest first; one more than `limit` if there are more.
    async fn list(
        &self,
        org: OrgId,
        filter: &AuditFilter,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Vec<ChainedEntry>, StoreError>;

    /// At most `limit` entries in their order from after `number`, and the head as of the same moment.
    async fn part(&self, org: OrgId, number: i64, limit: usize) -> Result<TrailPart, StoreError>;

    /// Every organization there is, for an operator's check of all.
    async fn organizations(&self) -> Result<Vec<OrgId>, StoreError>;
}

/// Reads and verifies the trail.
#[derive(Clone)]
pub struct AuditTrail {
    store: Arc<dyn AuditStore>,
    key: TrailKey,
}

/// A trail that is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// How many entries it has.
    pub entries: i64,
    /// Where it ends. Whoever wrote this down elsewhere can tell later that the trail was not set back to an older state.
    pub head: Link,
}

/// What is wrong with a trail.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// An entry is missing where the next has a later number.
    #[error("entry {0} is missing")]
    Missing(i64),
    /// An entry is not what was written: it, or the one before, was changed, or the chain was hashed again.
    #[error("entry {0} is not what was written")]
    Changed(i64),
    /// The stored end is not signed by this installation's key.
    #[error("the end of the trail is not signed by this installation")]
    Unsigned,
    /// There are entries but no signed end, or the other way round.
    #[error("the trail's signed end says {said} entries, and there are {there}")]
    Cut {
        /// How many the signed end tells of.
        said: i64,
        /// How many there are.
        there: i64,
    },
    /// The trail no longer holds the entry that was written down elsewhere.
    #[error("entry {0} is not the one that was written down")]
    SetBack(i64),
}

/// How many entries are read at a time.
const STRETCH: usize = 1000;

impl AuditTrail {
    /// Puts the service together.
    pub fn new(store: Arc<dyn AuditStore>, key: TrailKey) -> Self {
        Self { store, key }
    }

    /// Notes that a caller tried what would have given more than they may give. Changes leave their own entries; what is
    /// refused changes nothing, so somebody else has to tell of it.
    ///
    /// # Errors
    ///
    /// Only when storage fails.
    pub async fn note_escalation(
        &self,
        caller: &Principal,
        now: Timestamp,
        details: Value,
    ) -> Result<(), StoreError> {
        let entry = AuditEntry::of(caller, now, "role.escalation")
            .with(details)
            .ended(AuditOutcome::Denied);
        // The request may be sent again: nothing of it was done.
        self.store.append(&AuditEntry { idempotency: None, ..entry }).await
    }

    /// Entries of the organization, newest first.
    ///
    /// # Errors
    ///
    /// Only when storage fails.
    pub async fn list(
        &self,
        permit: &Permit<AdminAll>,
        filter: &AuditFilter,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Page<ChainedEntry>, TenancyError> {
        let items = self.store.list(permit.org(), filter, after, limit).await?;
        let place =
            |it: &ChainedEntry| Cursor { created_at: it.entry.at, id: it.entry.id.as_uuid() };
        Ok(Page::cut(items, limit, place))
    }

    /// Verifies the caller's own organization's trail.
    ///
    /// # Errors
    ///
    /// Only when storage fails; what is wrong with the trail is in the answer.
    pub async fn verify_own(
        &self,
        permit: &Permit<AdminAll>,
    ) -> Result<Result<Verified, Broken>, TenancyError> {
        self.verify(permit.org(), None).await
    }

    /// Reads an organization's whole trail and checks every link. With `anchor`, a link that was written down elsewhere,
    /// it also says whether the trail still holds that.
    ///
    /// # Errors
    ///
    /// Only when storage fails; what is wrong with the trail is in the answer.
    pub async fn verify(
        &self,
        org: OrgId,
        anchor: Option<Link>,
    ) -> Result<Result<Verified, Broken>, TenancyError> {
        let mut last = Link::default();
        let mut is_anchored = anchor.is_none_or(|it| it.number == 0);
        loop {
            let part = self.store.part(org, last.number, STRETCH).await?;
            for it in &part.entries {
                if it.number != last.number + 1 {
                    return Ok(Err(Broken::Missing(last.number + 1)));
                }
                let link = self.key.link(&last, &it.entry, &it.details_text);
                if link.hash != it.hash {
                    return Ok(Err(Broken::Changed(it.number)));
                }
                if let Some(anchor) = anchor.filter(|anchor| anchor.number == it.number) {
                    if anchor.hash != link.hash {
                        return Ok(Err(Broken::SetBack(it.number)));
                    }
                    is_anchored = true;
                }
                last = link;
            }
            if part.entries.len() == STRETCH {
                continue;
            }
            return Ok(match part.head {
                None if last.number == 0 => Ok(Verified { entries: 0, head: last }),
                None => Err(Broken::Cut { said: 0, there: last.number }),
                Some((head, signature)) if !self.key.is_signed(org, &head, &signature) => {
                    Err(Broken::Unsigned)
                }
                Some((head, _)) if head.number != last.number => {
                    Err(Broken::Cut { said: head.number, there: last.number })
                }
                Some((head, _)) if head.hash != last.hash => Err(Broken::Changed(last.number)),
                Some(_) if !is_anchored => Err(Broken::SetBack(anchor.map_or(0, |it| it.number))),
                Some(_) => Ok(Verified { entries: last.number, head: last }),
            });
        }
    }

    /// Verifies every organization's trail.
    ///
    /// # Errors
    ///
    /// Only when storage fails.
    pub async fn verify_all(&self) -> Result<Vec<(OrgId, Result<Verified, Broken>)>, TenancyError> {
        let mut all = Vec::new();
        for org in self.store.organizations().await? {
            all.push((org, self.verify(org, None).await?));
        }
        Ok(all)
    }
}
