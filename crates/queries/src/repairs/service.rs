use std::sync::Arc;

use plinth_core::{
    AdminAll, Cursor, DashboardsWrite, Limit, Page, Permit, Principal, QueriesRead, QueriesWrite,
    StoreError, UserId,
};
use plinth_tenancy::AuditEntry;
use serde_json::json;

use super::{
    ModeOf, OwnMode, Proposal, Repair, RepairError, RepairFilter, RepairId, RepairMode,
    RepairState, RepairStore,
};
use crate::saved::Changing;
use crate::{Members, Queries, QueryId, SaveChange, VersionRepair};

/// The most repairs that are told of at once beside widgets: a dashboard has no more.
const MOST_MARKS: usize = 100;

/// What [`Repairs`] is put together from.
pub struct RepairParts {
    /// The queries.
    pub queries: Queries,
    /// Where repairs are kept.
    pub store: Arc<dyn RepairStore>,
    /// As whom proposals are tried.
    pub members: Arc<dyn Members>,
}

/// Finds queries that broke, and mends them.
#[derive(Clone)]
pub struct Repairs {
    pub(super) queries: Queries,
    pub(super) store: Arc<dyn RepairStore>,
    pub(super) members: Arc<dyn Members>,
}

impl Repairs {
    /// Puts the service together.
    pub fn new(parts: RepairParts) -> Self {
        let RepairParts { queries, store, members } = parts;
        Self { queries, store, members }
    }

    /// Repairs of queries that the caller sees, newest first; in these states, or in all where none is given.
    ///
    /// # Errors
    ///
    /// Only when our own storage fails.
    pub async fn list(
        &self,
        permit: &Permit<QueriesRead>,
        states: Vec<RepairState>,
        query: Option<QueryId>,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Page<Repair>, RepairError> {
        let queries = query.map(|it| vec![it]);
        let filter = RepairFilter { states, queries, ..seen_by(permit.principal()) };
        let mut items = self.store.list(permit.org(), &filter, after, limit).await?;
        self.keep_discretion(permit.principal(), &mut items).await?;
        let place = |it: &Repair| Cursor { created_at: it.created_at, id: it.id.as_uuid() };
        Ok(Page::cut(items, limit, place))
    }

    /// One of them.
    ///
    /// # Errors
    ///
    /// [`RepairError::NotFound`], also where the caller does not see the query.
    pub async fn get(
        &self,
        permit: &Permit<QueriesRead>,
        id: RepairId,
    ) -> Result<Repair, RepairError> {
        self.find(permit.principal(), id).await
    }

    async fn find(&self, caller: &Principal, id: RepairId) -> Result<Repair, RepairError> {
        let filter = RepairFilter { id: Some(id), ..seen_by(caller) };
        let mut found = self.store.list(caller.org, &filter, None, Limit::ONE).await?;
        self.keep_discretion(caller, &mut found).await?;
        found.into_iter().next().ok_or(RepairError::NotFound(id))
    }

    /// The open repairs of these queries, of those that the caller sees.
    ///
    /// # Errors
    ///
    /// Only when our own storage fails.
    pub async fn open_of(
        &self,
        caller: &Principal,
        queries: &[QueryId],
    ) -> Result<Vec<Repair>, StoreError> {
        if queries.is_empty() {
            return Ok(Vec::new());
        }
        let queries = queries.iter().copied().take(MOST_MARKS).collect();
        let filter = RepairFilter {
            states: vec![RepairState::Open],
            queries: Some(queries),
            ..seen_by(caller)
        };
        let limit = Limit::new(100).unwrap_or_default();
        let mut found = self.store.list(caller.org, &filter, None, limit).await?;
        self.keep_discretion(caller, &mut found).await?;
        Ok(found)
    }

    /// What came of a trial tells of rows that policies may hide from whoever reads of it.
    async fn keep_discretion(
        &self,
        caller: &Principal,
        found: &mut [Repair],
    ) -> Result<(), StoreError> {
        for it in found {
            let Some(proposal) = &mut it.proposal else { continue };
            if !self.queries.policies().binds(caller, it.connection).await? {
                continue;
            }
            let tried = &mut proposal.dry_run;
            (tried.rows, tried.duration_ms) = (0, 0.0);
            if tried.error.is_some() {
                tried.error = Some("it did not run".to_owned());
            }
        }
        Ok(())
    }

    /// Makes the proposal a version of its query.
    ///
    /// # Errors
    ///
    /// - [`RepairError::NotFound`].
    /// - [`RepairError::Conflict`] if there is nothing that could be applied: no proposal, one that did not run, a repair that is
    ///   settled, a query that somebody changed.
    /// - [`RepairError::Query`] as for saving it by hand.
    pub async fn apply(
        &self,
        permit: &Permit<QueriesWrite>,
        id: RepairId,
    ) -> Result<Repair, RepairError> {
        let caller = permit.principal();
        let repair = self.find(caller, id).await?;
        if !repair.state.is_unsettled() {
            return Err(settled(&repair));
        }
        let Some(proposal) = &repair.proposal else {
            let why = repair.no_proposal.clone();
            let why = why.unwrap_or_else(|| "nothing is proposed for this query".to_owned());
            return Err(RepairError::Conflict { reason: "no_proposal", why });
        };
        if !proposal.dry_run.succeeded {
            let why = "what is proposed did not run when it was tried; change the query by hand";
            return Err(RepairError::Conflict { reason: "dry_run_failed", why: why.to_owned() });
        }
        self.put(caller, None, &repair, proposal).await?;
        self.find(caller, id).await
    }

    /// Writes the version; `made_by` says whose words they go on being where nobody applies it.
    pub(super) async fn put(
        &self,
        caller: &Principal,
        made_by: Option<UserId>,
        repair: &Repair,
        proposal: &Proposal,
    ) -> Result<(), RepairError> {
        let changing = Changing {
            change: SaveChange { sql: Some(proposal.sql.clone()), ..SaveChange::default() },
            restored_from: None,
            repair: Some(VersionRepair {
                repair: repair.id,
                of: repair.version,
                is_certain: proposal.is_safe(),
                by_itself: made_by.is_some(),
                reason: reason(repair),
            }),
            made_by,
        };
        let changed = self.queries.change(caller, repair.query, changing, None).await;
        match changed {
            Ok(_) => Ok(()),
            Err(crate::QueryError::Changed(_)) => {
                let why = "the query has changed since this was proposed; it is tried again when the schema changes";
                Err(RepairError::Conflict { reason: "query_changed", why: why.to_owned() })
            }
            Err(err) => Err(err.into()),
        }
    }

    /// Lets a query be as it is: it is marked no more until it meets other changes.
    ///
    /// # Errors
    ///
    /// [`RepairError::NotFound`]; [`RepairError::Conflict`] if it is settled.
    pub async fn dismiss(
        &self,
        permit: &Permit<QueriesWrite>,
        id: RepairId,
    ) -> Result<Repair, RepairError> {
        let (caller, now) = (permit.principal(), self.queries.clock.now());
        let repair = self.find(caller, id).await?;
        if repair.state == RepairState::Dismissed {
            return Ok(repair);
        }
        let entry = AuditEntry::of(caller, now, "query.repair_dismissed")
            .on("query", repair.query)
            .with(json!({ "repair": id }));
        let dismissed = self.store.dismiss(caller.org, id, caller.user, now, &entry).await?;
        dismissed.ok_or_else(|| settled(&repair))
    }

    /// Every mode that was set, of what the caller sees.
    ///
    /// # Errors
    ///
    /// Only when our own storage fails.
    pub async fn modes(&self, permit: &Permit<QueriesRead>) -> Result<Vec<OwnMode>, RepairError> {
        Ok(self.store.modes(permit.org(), permit.user()).await?)
    }

    /// Sets what is done for queries that break, or takes that away.
    ///
    /// # Errors
    ///
    /// [`RepairError::NoSubject`]; [`RepairError::Permit`]: the organization's takes an admin, a dashboard's the right to change
    /// dashboards.
    pub async fn set_mode(
        &self,
        permit: &Permit<QueriesWrite>,
        of: ModeOf,
        mode: Option<RepairMode>,
    ) -> Result<(), RepairError> {
        let caller = permit.principal();
        match of {
            ModeOf::Organization => Permit::<AdminAll>::check(caller).map(drop)?,
            ModeOf::Dashboard(_) => Permit::<DashboardsWrite>::check(caller).map(drop)?,
            ModeOf::Query(_) => {}
        }
        let entry = AuditEntry::of(caller, self.queries.clock.now(), "query.repair_mode_set");
        let entry = match of {
            ModeOf::Organization => entry.on("organization", caller.org),
            ModeOf::Query(id) => entry.on("query", id),
            ModeOf::Dashboard(id) => entry.on("dashboard", id),
        };
        let entry = entry.with(json!({ "mode": mode.map(RepairMode::as_str) }));
        let set = self.store.set_mode(caller.org, caller.user, of, mode, &entry).await?;
        if set { Ok(()) } else { Err(RepairError::NoSubject) }
    }
}

fn seen_by(caller: &Principal) -> RepairFilter {
    RepairFilter {
        viewer: caller.user,
        test_only: caller.test_only,
        states: Vec::new(),
        queries: None,
        id: None,
    }
}

fn settled(repair: &Repair) -> RepairError {
    let why = format!("this repair is {} already", repair.state.as_str());
    RepairError::Conflict { reason: "settled", why }
}

/// Why a version is there, for people.
fn reason(repair: &Repair) -> String {
    let what = |it: &super::MetChange| {
        let table = it.table.as_deref().filter(|_| it.object == "column");
        let table = table.map(|it| format!(" of {it}")).unwrap_or_default();
        let to = it.before.as_ref().zip(it.after.as_ref());
        let to = to.map(|(was, is)| format!(" ({was} → {is})")).unwrap_or_default();
        format!("{} `{}`{table} {}{to}", it.object.replace('_', " "), it.name, it.kind)
    };
    let some: Vec<_> = repair.changes.iter().take(5).map(what).collect();
    let more = repair.changes.len().saturating_sub(5);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    format!("The schema changed: {}{more}", some.join("; "))
}
