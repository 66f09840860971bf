use async_trait::async_trait;
use plinth_core::{Permit, Principal, QueriesRead, QueriesWrite, Scope, ScopeSet};
use plinth_queries::{CallerLimits, JsonRows, Queries, QueryError, QueryId, SaveChange, type_name};

use crate::DashboardError;
use crate::ports::{Described, ResultColumn, WidgetResult, WidgetRun, WidgetRunner};

/// [`WidgetRunner`] over [`Queries`]: the same way to a customer's database as everybody's.
#[derive(Clone)]
pub struct SavedQueries {
    queries: Queries,
}

impl SavedQueries {
    /// Asks by that service.
    pub fn new(queries: Queries) -> Self {
        Self { queries }
    }
}

#[async_trait]
impl WidgetRunner for SavedQueries {
    async fn describe(
        &self,
        caller: &Principal,
        query: QueryId,
    ) -> Result<Described, DashboardError> {
        let permit = Permit::<QueriesRead>::check(caller)?;
        let record = self.queries.get(&permit, query).await?;
        if record.sql.is_none() {
            let rule = "this question never became SQL; there is nothing to show";
            return Err(QueryError::Input(rule).into());
        }
        Ok(Described { is_saved: record.saved, parameters: Vec::new() })
    }

    async fn save(&self, caller: &Principal, query: QueryId) -> Result<(), DashboardError> {
        let permit = Permit::<QueriesWrite>::check(caller)?;
        let change = SaveChange { saved: Some(true), ..SaveChange::default() };
        self.queries.save(&permit, query, change).await?;
        Ok(())
    }

    async fn run(&self, caller: &Principal, run: WidgetRun) -> Result<WidgetResult, QueryError> {
        // That somebody may look at dashboards covers what stands on them, and nothing else.
        let scopes: ScopeSet = caller.scopes.iter().chain([Scope::QueriesRead]).collect();
        let saved_queries_only =
            caller.saved_queries_only || Permit::<QueriesRead>::check(caller).is_err();
        let looking = Principal { scopes, saved_queries_only, ..caller.clone() };
        let Ok(permit) = Permit::<QueriesRead>::check(&looking) else {
            return Err(QueryError::SavedOnly);
        };
        let limits =
            CallerLimits { row_limit: Some(run.row_limit), byte_limit: None, timeout_ms: None };
        let mut running = self.queries.run_again(&permit, run.query, limits).await?;
        let types = running.types().clone();
        let column = |it: &plinth_queries::ResultColumn| ResultColumn {
            name: it.name.clone(),
            type_name: type_name(it.type_oid, it.type_modifier, &types).into_owned(),
        };
        let columns = running.columns().iter().map(column).collect();
        let mut json = JsonRows::new(running.columns(), &types);
        let mut rows = Vec::new();
        loop {
            let more = running.next().await?;
            if more.is_empty() {
                break;
            }
            rows.extend(more.iter().map(|it| json.values(it)));
        }
        let summary = running.summary();
        Ok(WidgetResult {
            columns,
            rows,
            is_cut_off: summary.is_some_and(|it| it.cut_off.is_some()),
            restricted: running.notes().restricted.clone(),
            run: running.id(),
            cached_at: None,
            execution_time_ms: summary.map_or(0.0, |it| it.execution_time_ms),
        })
    }
}
