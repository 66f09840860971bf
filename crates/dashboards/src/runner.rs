use std::collections::BTreeSet;

use async_trait::async_trait;
use plinth_core::{Permit, Principal, QueriesRead, QueriesWrite, StoreError};
use plinth_queries::policies::Narrowing;
use plinth_queries::repairs::{Repair, Repairs};
use plinth_queries::{CallerLimits, Queries, QueryError, QueryId, SaveChange, SavedRun};

use crate::DashboardError;
use crate::ports::{Described, ResultColumn, WidgetResult, WidgetRun, WidgetRunner};

/// [`WidgetRunner`] over [`Queries`]: the same way to a customer's database as everybody's.
#[derive(Clone)]
pub struct SavedQueries {
    queries: Queries,
    repairs: Repairs,
}

impl SavedQueries {
    /// Asks by that service, and says what of it is broken by the other.
    pub fn new(queries: Queries, repairs: Repairs) -> Self {
        Self { queries, repairs }
    }
}

#[async_trait]
impl WidgetRunner for SavedQueries {
    async fn describe(
        &self,
        caller: &Principal,
        (query, version): (QueryId, Option<u32>),
    ) -> Result<Described, DashboardError> {
        let permit = Permit::<QueriesRead>::check(caller)?;
        let record = self.queries.get(&permit, query).await?;
        if record.sql.is_none() {
            let rule = "this question has no SQL that you could run; there is nothing to show";
            return Err(QueryError::Input(rule).into());
        }
        let parameters = self.queries.parameters_of(caller, &record, version).await?;
        Ok(Described { is_saved: record.saved, version: record.definition.version, parameters })
    }

    async fn save(&self, caller: &Principal, query: QueryId) -> Result<(), DashboardError> {
        let permit = Permit::<QueriesWrite>::check(caller)?;
        let change = SaveChange { saved: Some(true), ..SaveChange::default() };
        self.queries.save(&permit, query, change, None).await?;
        Ok(())
    }

    async fn run(&self, caller: &Principal, run: WidgetRun) -> Result<WidgetResult, QueryError> {
        let limits = CallerLimits { row_limit: Some(run.row_limit), ..CallerLimits::default() };
        let run = SavedRun {
            query: run.query,
            parameters: run.parameters,
            max_age_seconds: run.max_age_seconds,
            limits,
            version: run.version,
            shown_to: run.shown_to,
            narrowing: run.narrowing,
        };
        let found = self.queries.run_saved(caller, run).await?;
        let columns = found
            .columns
            .into_iter()
            .map(|it| ResultColumn { name: it.name, type_name: it.type_name })
            .collect();
        Ok(WidgetResult {
            columns,
            rows: found.rows,
            size_bytes: found.size_bytes,
            is_cut_off: found.cut_off.is_some(),
            restricted: found.restricted,
            run: found.run,
            versions: (found.version, found.newest),
            cached_at: found.cached_at,
            execution_time_ms: found.execution_time_ms,
        })
    }

    async fn version_for(
        &self,
        caller: &Principal,
        (query, version): (QueryId, u32),
    ) -> Result<u32, QueryError> {
        self.queries.version_for(caller, query, version).await
    }

    async fn reached_by(
        &self,
        caller: &Principal,
        (query, version): (QueryId, u32),
        by: &Narrowing,
    ) -> Result<BTreeSet<String>, QueryError> {
        self.queries.reached_by(caller, query, Some(version), by).await
    }

    async fn repairs(
        &self,
        caller: &Principal,
        queries: &[QueryId],
    ) -> Result<Vec<Repair>, StoreError> {
        self.repairs.open_of(caller, queries).await
    }
}
