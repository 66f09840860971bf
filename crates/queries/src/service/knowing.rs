//! What callers may know of a database, and when it has to be learned anew.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use plinth_connections::Opened;
use plinth_core::{StoreError, UserId};
use plinth_sql_guard::Rule;

use super::Queries;
use crate::knowledge::{Knowledge, Known};
use crate::policies::{Limits, Narrowing};
use crate::{QueryError, RunError, RunLimits};

/// A schema that is older than this is read anew when a name is not found in it: the table may be new.
const STALE: SignedDuration = SignedDuration::from_secs(10);

impl Queries {
    /// What that person may know of the database.
    pub(crate) async fn knowledge(
        &self,
        opened: &Opened,
        user: UserId,
    ) -> Result<Arc<Knowledge>, QueryError> {
        let connection = &opened.connection;
        let limits = self.policies.limits(connection.org, connection.id, user).await?;
        self.knowledge_within(opened, limits).await
    }

    /// The same for who looks through a link that carries attributes.
    pub(crate) async fn knowledge_through(
        &self,
        opened: &Opened,
        user: UserId,
        by: Option<&Narrowing>,
    ) -> Result<Arc<Knowledge>, QueryError> {
        let Some(by) = by else { return self.knowledge(opened, user).await };
        let connection = &opened.connection;
        let limits = self.policies.narrowed(connection.org, connection.id, user, by).await?;
        self.knowledge_within(opened, limits).await
    }

    /// Whether a statement may run through a link: by itself as whoever it runs as, so that what the link adds opens nothing to
    /// whom it is closed; and with each attribute that has to reach it.
    pub(super) async fn hold_to_link(
        &self,
        opened: &Opened,
        user: UserId,
        (sql, parameters): (&str, usize),
        by: &Narrowing,
        narrowed: &Knowledge,
    ) -> Result<(), QueryError> {
        self.knowledge(opened, user).await?.judge_with(sql, parameters)?;
        let judged = narrowed.judge_with(sql, parameters)?;
        if by.must.is_subset(&narrowed.reached(by, &judged.approved)) {
            return Ok(());
        }
        Err(QueryError::Unreached)
    }

    /// Everything that the connection allows, whoever asks: only for what is told to nobody but as whether it fits the schema.
    pub(crate) async fn knowledge_of_all(
        &self,
        opened: &Opened,
    ) -> Result<Arc<Knowledge>, QueryError> {
        self.knowledge_within(opened, Limits::none()).await
    }

    async fn knowledge_within(
        &self,
        opened: &Opened,
        limits: Limits,
    ) -> Result<Arc<Knowledge>, QueryError> {
        let snapshot = self.schemas.current(opened).await?;
        let written = self.annotations.current(opened).await?;
        let language = self.language(opened).await?;
        let (id, version) = (opened.connection.id, opened.target.version);
        let held = self.knowledge.get(id, snapshot.id, version, &written, &language, &limits);
        if let Some(known) = held {
            return Ok(Arc::new(Knowledge::new(known, limits)));
        }
        self.catch_up_beside(opened, snapshot.id, &language);
        let allowed = opened.connection.allowed_tables.clone();
        let of = limits.clone();
        let make = move || Arc::new(Known::new(snapshot, allowed, written, language, &of));
        let made = tokio::task::spawn_blocking(make)
            .await
            .map_err(|err| QueryError::Store(StoreError::Internal(err.into())))?;
        self.knowledge.put(id, version, &limits, &made);
        Ok(Arc::new(Knowledge::new(made, limits)))
    }

    /// How far trying an entry may go.
    pub(crate) async fn trial_limits(&self, opened: &Opened) -> Result<RunLimits, QueryError> {
        Ok(RunLimits {
            rows: 1,
            bytes: 1 << 20,
            row_bytes: 1 << 20,
            time: self.settings.default_time.min(Duration::from_secs(10)),
            reader_time: Duration::ZERO,
            time_zone: self.tenancy.time_zone(opened.connection.org).await?.to_string(),
            in_background: false,
        })
    }

    /// Says why guard or planner do not let a statement through over the schema as it is; `None` if they do. Nothing is run.
    ///
    /// # Errors
    ///
    /// Only when it could not be found out: the database is away, say.
    pub(crate) async fn fits(
        &self,
        opened: &Opened,
        knowledge: &Arc<Knowledge>,
        limits: &RunLimits,
        sql: &str,
        values: &[Option<String>],
    ) -> Result<Option<String>, QueryError> {
        let judged = match knowledge.judge_with(sql, values.len()) {
            Ok(judged) => judged,
            Err(refused) if refused.rule == Rule::Unavailable => return Err(refused.into()),
            Err(refused) => return Ok(Some(refused.to_string())),
        };
        let statement = knowledge.statement_with(&judged, values.to_vec())?;
        let planned =
            self.hold_against_plan(opened, knowledge, &judged, &statement, limits, sql).await;
        match planned {
            Ok(_) => Ok(None),
            // What the statement is to blame for, and not the server's state.
            Err(QueryError::Run { source: RunError::Database(said), .. })
                if ["42", "22", "0A", "3F"].iter().any(|it| said.sqlstate.starts_with(it)) =>
            {
                Ok(Some(said.message))
            }
            Err(err @ QueryError::TableNotAllowed { .. }) => Ok(Some(err.to_string())),
            Err(err) => Err(err),
        }
    }

    pub(super) fn is_stale(&self, knowledge: &Knowledge) -> bool {
        is_older(self.clock.now(), knowledge.snapshot().taken_at)
    }

    pub(super) async fn renew(
        &self,
        opened: &Opened,
        user: UserId,
    ) -> Result<Arc<Knowledge>, QueryError> {
        self.renew_through(opened, user, None).await
    }

    pub(super) async fn renew_through(
        &self,
        opened: &Opened,
        user: UserId,
        by: Option<&Narrowing>,
    ) -> Result<Arc<Knowledge>, QueryError> {
        self.schemas.renew(opened).await?;
        self.knowledge_through(opened, user, by).await
    }
}

/// Whether a schema that was read at that time may have changed since.
pub(super) fn is_older(now: jiff::Timestamp, taken_at: jiff::Timestamp) -> bool {
    now.duration_since(taken_at) > STALE
}

/// Whether a statement that somebody checked does not fit the schema any more.
pub(super) fn is_outdated(err: &QueryError) -> bool {
    names_what_is_gone(err)
        || matches!(err, QueryError::Rejected(_) | QueryError::TableNotAllowed { .. })
}

/// Whether an error may come from a snapshot that is older than the schema: a name that is not there, by the guard's
/// word or by the server's (`undefined_table`, `undefined_column`, `undefined_function`, `undefined_object`,
/// `invalid_schema_name`).
pub(super) fn names_what_is_gone(err: &QueryError) -> bool {
    match err {
        QueryError::Rejected(rejection) => rejection.rule == Rule::UnknownTable,
        QueryError::Run { source: RunError::Database(message), .. } => {
            matches!(message.sqlstate.as_str(), "42P01" | "42703" | "42883" | "42704" | "3F000")
        }
        _ => false,
    }
}
