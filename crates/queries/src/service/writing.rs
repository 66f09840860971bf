//! The judge of what workflows ask and write. It is no way to a database: what is written is sent over a write connection, with
//! that one's role, and by nothing that reads.

use plinth_connections::ConnectionId;
use plinth_connections::writes::OpenedWrite;
use plinth_core::{Principal, StoreError};
use plinth_sql_guard::{ApprovedWrite, Rejection, Rule, WriteGuard};

use super::Queries;
use super::knowing::is_older;
use crate::QueryError;
use crate::policies::restrictions;

/// A statement that may be run over a write connection, with what holds around it.
#[derive(Clone, Debug)]
pub struct JudgedWrite {
    /// What the guard said.
    pub approved: ApprovedWrite,
    /// The schemas in which it found unqualified names, which have to be those of the session.
    pub search_path: Vec<String>,
    /// The organization's zone.
    pub time_zone: String,
}

impl Queries {
    /// Judges a statement that a member's workflow would ask, under the policies that bind the member. Nothing is dialled but,
    /// where the schema is not known yet or has changed, by who reads it.
    ///
    /// # Errors
    ///
    /// [`QueryError::Rejected`] with the guard's reason, and as for opening the connection and reading its schema.
    pub async fn judge_read(
        &self,
        caller: &Principal,
        connection: ConnectionId,
        sql: &str,
        parameters: usize,
    ) -> Result<(), QueryError> {
        let opened = self.connections.open(caller, connection).await?;
        let knowledge = self.knowledge(&opened, caller.user).await?;
        match knowledge.judge_with(sql, parameters) {
            Err(it) if it.rule == Rule::UnknownTable && self.is_stale(&knowledge) => {
                let knowledge = self.renew(&opened, caller.user).await?;
                knowledge.judge_with(sql, parameters)?;
            }
            judged => drop(judged?),
        }
        Ok(())
    }

    /// Judges a statement that a member's workflow would write, by the write connection's lists and under the policies that
    /// bind the member. Nothing is dialled but, where the schema is not known yet or has changed, by who reads it.
    ///
    /// # Errors
    ///
    /// [`QueryError::Rejected`] with the guard's reason, and as for reading a schema.
    pub async fn judge_write(
        &self,
        caller: &Principal,
        to: &OpenedWrite,
        sql: &str,
        parameters: usize,
    ) -> Result<JudgedWrite, QueryError> {
        let mut snapshot = self.schemas.current(&to.beside).await?;
        let connection = to.beside.connection.id;
        let limits = self.policies.limits(caller.org, connection, caller.user).await?;
        let mut renewed = false;
        loop {
            let (record, policies) = (to.record.clone(), limits.policies.clone());
            let (known, text) = (snapshot.clone(), sql.to_owned());
            // A guard goes through the whole catalog: not on a thread that others' requests wait for.
            let judge = move || -> Result<ApprovedWrite, Rejection> {
                let restrictions = restrictions(&known.catalog, &policies);
                let catalog = &known.catalog;
                WriteGuard::new(catalog, &record.tables, &record.procedures, &restrictions)
                    .check(&text, parameters)
            };
            let judged = tokio::task::spawn_blocking(judge)
                .await
                .map_err(|err| QueryError::Store(StoreError::Internal(err.into())))?;
            match judged {
                Ok(approved) => {
                    return Ok(JudgedWrite {
                        approved,
                        search_path: snapshot.catalog.search_path.clone(),
                        time_zone: self.tenancy.time_zone(caller.org).await?.to_string(),
                    });
                }
                // What is not found may be new: a table, or a procedure that was made after its name was listed.
                Err(it)
                    if !renewed
                        && matches!(it.rule, Rule::UnknownTable | Rule::ProcedureNotAllowed)
                        && is_older(self.clock.now(), snapshot.taken_at) =>
                {
                    self.schemas.renew(&to.beside).await?;
                    snapshot = self.schemas.current(&to.beside).await?;
                    renewed = true;
                }
                Err(it) => return Err(it.into()),
            }
        }
    }
}
