use plinth_core::{Cursor, Limit, Page, Permit, QueriesRead};

use super::Version;
use crate::{HistoryFilter, Queries, QueryError, QueryId, QueryRecord};

impl Queries {
    /// The versions of a saved query, newest first: at most `limit` of those with a number below `before`, and whether there
    /// are more.
    ///
    /// # Errors
    ///
    /// [`QueryError::NotFound`] as for [`Queries::get`].
    pub async fn versions(
        &self,
        permit: &Permit<QueriesRead>,
        id: QueryId,
        before: Option<u32>,
        limit: Limit,
    ) -> Result<(Vec<Version>, bool), QueryError> {
        self.get(permit, id).await?;
        let before = before.unwrap_or(u32::MAX);
        let mut found = self.saved.versions(permit.org(), id, before, limit.get() + 1).await?;
        let more = found.len() > limit.get() as usize;
        found.truncate(limit.get() as usize);
        Ok((found, more))
    }

    /// One version of a saved query.
    ///
    /// # Errors
    ///
    /// [`QueryError::NotFound`] as for [`Queries::get`]; [`QueryError::NoVersion`] if there is no such version.
    pub async fn version(
        &self,
        permit: &Permit<QueriesRead>,
        id: QueryId,
        number: u32,
    ) -> Result<Version, QueryError> {
        self.get(permit, id).await?;
        let found = self.saved.version(permit.org(), id, number).await?;
        found.ok_or(QueryError::NoVersion { query: id, number })
    }

    /// The runs of a saved query, newest first. Whoever runs saved queries only sees their own.
    ///
    /// # Errors
    ///
    /// [`QueryError::NotFound`] as for [`Queries::get`].
    pub async fn runs(
        &self,
        permit: &Permit<QueriesRead>,
        id: QueryId,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Page<QueryRecord>, QueryError> {
        self.get(permit, id).await?;
        let caller = permit.principal();
        let wanted = HistoryFilter {
            run_of: Some(id),
            test_only: caller.test_only,
            viewer: Some(caller.user),
            user: caller.saved_queries_only.then_some(caller.user),
            ..HistoryFilter::default()
        };
        let mut items = self.history.store().list(permit.org(), wanted, after, limit).await?;
        for record in &mut items {
            self.keep_discretion(caller, record).await?;
        }
        let place = |it: &QueryRecord| Cursor { created_at: it.created_at, id: it.id.as_uuid() };
        Ok(Page::cut(items, limit, place))
    }
}
