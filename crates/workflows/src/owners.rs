use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use plinth_core::{OrgId, Principal, StoreError, UserId};
use tokio::time::Instant;

use crate::ports::Members;

/// How many people are remembered.
const REMEMBERED: usize = 1_000;

type Asked = Arc<tokio::sync::Mutex<Option<(Instant, Option<Principal>)>>>;

/// Who owners are now. Runs that were taken together ask once: what counts for each is what was true after it was taken.
pub(crate) struct Owners {
    members: Arc<dyn Members>,
    asked: Mutex<HashMap<(OrgId, UserId), Asked>>,
}

impl Owners {
    pub(crate) fn new(members: Arc<dyn Members>) -> Self {
        Self { members, asked: Mutex::default() }
    }

    /// The member with the rights of their role, as they were at `taken` or later.
    pub(crate) async fn acting(
        &self,
        org: OrgId,
        user: UserId,
        taken: Instant,
    ) -> Result<Option<Principal>, StoreError> {
        let asked = {
            let mut all = self.asked.lock().expect("not poisoned");
            if all.len() >= REMEMBERED && !all.contains_key(&(org, user)) {
                all.clear();
            }
            all.entry((org, user)).or_default().clone()
        };
        // One asks, the others wait for it.
        let mut asked = asked.lock().await;
        if let Some((_, found)) = asked.as_ref().filter(|it| it.0 >= taken) {
            return Ok(found.clone());
        }
        let now = Instant::now();
        let found = self.members.acting(org, user).await?;
        *asked = Some((now, found.clone()));
        Ok(found)
    }
}
