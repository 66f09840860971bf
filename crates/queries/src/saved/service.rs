use plinth_connections::ConnectionId;
use plinth_core::{Permit, Principal, QueriesWrite, UserId};
use plinth_tenancy::AuditEntry;
use serde_json::json;

use super::{
    Definition, MAX_AGE_SECONDS, MAX_SQL_BYTES, NewSaved, Parameter, ParameterKind, SaveChange,
    Template, Version, VersionRepair, Visibility, parameter,
};
use crate::service::{CALLER, TRIES, filter};
use crate::{
    CallerLimits, Notes, Queries, QueryError, QueryId, QueryOutcome, QueryRecord, RunError,
};

/// A change of a saved query, and where it comes from.
pub(crate) struct Changing {
    pub(crate) change: SaveChange,
    /// The version that it is again.
    pub(crate) restored_from: Option<u32>,
    /// The repair that it is.
    pub(crate) repair: Option<VersionRepair>,
    /// Whose words its version has, if not those of whoever changes it.
    pub(crate) made_by: Option<UserId>,
}

impl Changing {
    fn by_hand(change: SaveChange) -> Self {
        Self { change, restored_from: None, repair: None, made_by: None }
    }
}

impl Queries {
    /// Saves a query of the history, or changes as what it is saved. A change of the statement or its parameters makes a new
    /// version, after guard and planner have seen it.
    ///
    /// `expected` are the revisions that the caller may have read; `None` for any.
    ///
    /// # Errors
    ///
    /// [`QueryError::NotFound`] as for [`Queries::get`]; [`QueryError::Input`] if no statement came of it;
    /// [`QueryError::Field`] for what breaks a rule; [`QueryError::NotOwner`] for what only its owner may change;
    /// [`QueryError::Changed`] if it is not at an expected revision; else as for [`Queries::ask`] of a statement.
    pub async fn save(
        &self,
        permit: &Permit<QueriesWrite>,
        id: QueryId,
        change: SaveChange,
        expected: Option<&[i64]>,
    ) -> Result<QueryRecord, QueryError> {
        self.change(permit.principal(), id, Changing::by_hand(change), expected).await
    }

    /// Makes an earlier version the newest again.
    ///
    /// # Errors
    ///
    /// As for [`Queries::save`]; [`QueryError::NoVersion`] if there is no such version.
    pub async fn restore(
        &self,
        permit: &Permit<QueriesWrite>,
        id: QueryId,
        number: u32,
        expected: Option<&[i64]>,
    ) -> Result<QueryRecord, QueryError> {
        self.history.flush().await?;
        let (org, caller) = (permit.org(), permit.principal());
        let found = self.history.store().find(org, id, filter(caller)).await?;
        found.ok_or(QueryError::NotFound(id))?;
        let version = self.saved.version(org, id, number).await?;
        let version = version.ok_or(QueryError::NoVersion { query: id, number })?;
        let change = SaveChange {
            sql: Some(version.sql),
            parameters: Some(version.parameters),
            ..SaveChange::default()
        };
        let changing = Changing { restored_from: Some(number), ..Changing::by_hand(change) };
        self.change(caller, id, changing, expected).await
    }

    /// Changes a saved query in somebody's name. That they may is the caller's to have checked.
    pub(crate) async fn change(
        &self,
        caller: &Principal,
        id: QueryId,
        changing: Changing,
        expected: Option<&[i64]>,
    ) -> Result<QueryRecord, QueryError> {
        self.history.flush().await?;
        let (org, change) = (caller.org, &changing.change);
        let (mut checked, mut tables) = (None, Vec::new());
        for _ in 0..TRIES {
            let before = self.history.store().find(org, id, filter(caller)).await?;
            let before = before.ok_or(QueryError::NotFound(id))?;
            if !before.saved && change.saved == Some(true) {
                let mut shown = before.clone();
                self.keep_discretion(caller, &mut shown).await?;
                if shown.sql.is_none() && before.sql.is_some() {
                    return Err(QueryError::Input(
                        "somebody else asked this, and what it was made into is not shown to whom policies bind; \
                         ask it yourself and save that",
                    ));
                }
            }
            let revision = before.definition.revision;
            let repaired = changing.repair.as_ref();
            if expected.is_some_and(|it| !it.contains(&revision))
                || repaired.is_some_and(|it| it.of != before.definition.version)
            {
                return Err(QueryError::Changed(id));
            }
            let (mut record, version) = self.changed(caller, before, &changing)?;
            // What somebody wrote is tried; what ran already has been.
            let wrote = change.sql.is_some() || change.parameters.is_some();
            if let Some(version) = version.as_ref().filter(|_| wrote) {
                let tried = match checked.take() {
                    Some(it) if it == (version.sql.clone(), version.parameters.clone()) => it,
                    _ => {
                        tables = self.check_saved(caller, &record, &version.parameters).await?;
                        (version.sql.clone(), version.parameters.clone())
                    }
                };
                checked = Some(tried);
                record.notes =
                    Notes { engine: CALLER.to_owned(), tables: tables.clone(), ..Notes::default() };
            }
            let now = self.clock.now();
            let told = if repaired.is_some_and(|it| it.by_itself) {
                AuditEntry::of_plinth(org, now, "system", "query.saved")
            } else {
                AuditEntry::of(caller, now, "query.saved")
            };
            let told = told.on("query", id).with(json!({
                "saved": record.saved,
                "name": record.name,
                "tags": record.tags,
                "visibility": record.definition.visibility.as_str(),
                "version": record.definition.version,
                "sql": version.as_ref().map(|it| it.sql.as_str()),
                "restored_from": changing.restored_from,
                "repair": repaired.map(|it| it.repair),
            }));
            if self.saved.update_saved(&record, revision, version.as_ref(), &told).await? {
                self.keep_discretion(caller, &mut record).await?;
                return Ok(record);
            }
        }
        Err(QueryError::Changed(id))
    }

    /// An entry after a change, and its new version if that makes one.
    fn changed(
        &self,
        caller: &Principal,
        mut record: QueryRecord,
        changing: &Changing,
    ) -> Result<(QueryRecord, Option<Version>), QueryError> {
        let SaveChange {
            saved,
            name,
            description,
            tags,
            visibility,
            sql,
            parameters,
            max_age_seconds,
        } = &changing.change;
        if record.sql.is_none() && *saved == Some(true) {
            return Err(QueryError::Input(
                "this question never became SQL; there is nothing to save",
            ));
        }
        record.saved = saved.unwrap_or(record.saved);
        record.name = name.clone().unwrap_or(record.name);
        record.description = description.clone().unwrap_or(record.description);
        record.tags = tags.clone().unwrap_or(record.tags);
        let definition = &mut record.definition;
        if let Some(visibility) = visibility
            && *visibility != definition.visibility
        {
            // Nobody takes from others what all have, nor what somebody asked.
            if definition.owner.unwrap_or(record.user) != caller.user {
                return Err(QueryError::NotOwner(record.id));
            }
            definition.visibility = *visibility;
        }
        definition.max_age_seconds = max_age_seconds.unwrap_or(definition.max_age_seconds);
        check_max_age(definition.max_age_seconds)?;
        if record.saved {
            definition.owner.get_or_insert(caller.user);
        }
        definition.revision += 1;
        definition.updated_at = Some(self.clock.now());

        let rewritten = sql.as_ref().is_some_and(|it| Some(it) != record.sql.as_ref());
        let redeclared = parameters.as_ref().is_some_and(|it| *it != definition.parameters);
        if (sql.is_some() || parameters.is_some()) && !record.saved {
            return Err(QueryError::Field {
                field: if sql.is_some() { "sql" } else { "parameters" }.to_owned(),
                rule: "only a saved query can be changed; save it first".to_owned(),
            });
        }
        if !(rewritten || redeclared || record.saved && definition.version == 0) {
            return Ok((record, None));
        }
        if rewritten {
            if caller.saved_queries_only {
                return Err(QueryError::SavedOnly);
            }
            record.sql.clone_from(sql);
            // The words that it came from do not say any more what it does.
            if changing.repair.is_none() {
                record.question = None;
            }
        }
        if let Some(parameters) = parameters {
            definition.parameters.clone_from(parameters);
        }
        definition.version += 1;
        let version = Version {
            query: record.id,
            number: definition.version,
            sql: record.sql.clone().unwrap_or_default(),
            parameters: definition.parameters.clone(),
            restored_from: changing.restored_from,
            repair: changing.repair.clone(),
            made_by: changing.made_by.unwrap_or(caller.user),
            made_at: self.clock.now(),
        };
        check_statement(&version.sql, &version.parameters)?;
        Ok((record, Some(version)))
    }

    /// Saves a statement of the caller's own, after guard and planner have seen it. It is not run.
    ///
    /// # Errors
    ///
    /// As for [`Queries::save`].
    pub async fn save_new(
        &self,
        permit: &Permit<QueriesWrite>,
        new: NewSaved,
    ) -> Result<QueryRecord, QueryError> {
        let caller = permit.principal();
        if caller.saved_queries_only {
            return Err(QueryError::SavedOnly);
        }
        let NewSaved { connection, sql, parameters, name, description, tags, visibility, .. } = new;
        let now = self.clock.now();
        check_max_age(new.max_age_seconds)?;
        check_statement(&sql, &parameters)?;
        let mut record = QueryRecord {
            id: QueryId::new(now),
            org: caller.org,
            connection,
            user: caller.user,
            key: caller.key(),
            question: None,
            sql: Some(sql),
            outcome: QueryOutcome::Planned,
            notes: Notes::default(),
            error: None,
            row_count: None,
            truncated: false,
            execution_time_ms: None,
            saved: true,
            name: Some(name),
            description,
            tags,
            definition: Definition {
                owner: Some(caller.user),
                visibility,
                parameters,
                max_age_seconds: new.max_age_seconds,
                version: 1,
                revision: 1,
                updated_at: Some(now),
            },
            run_of: None,
            created_at: now,
        };
        let tables = self.check_saved(caller, &record, &record.definition.parameters).await?;
        record.notes = Notes { engine: CALLER.to_owned(), tables, ..Notes::default() };
        let version = Version {
            query: record.id,
            number: 1,
            sql: record.sql.clone().unwrap_or_default(),
            parameters: record.definition.parameters.clone(),
            restored_from: None,
            repair: None,
            made_by: caller.user,
            made_at: now,
        };
        let told = AuditEntry::of(caller, now, "query.saved").on("query", record.id).with(json!({
            "saved": true,
            "name": record.name,
            "tags": record.tags,
            "visibility": visibility.as_str(),
            "version": 1,
            "sql": record.sql,
            "connection": connection,
        }));
        self.saved.insert_saved(&record, &version, &told).await?;
        Ok(record)
    }

    /// Has guard and planner look at a statement that somebody wrote, and says what it reads.
    async fn check_saved(
        &self,
        caller: &Principal,
        record: &QueryRecord,
        parameters: &[Parameter],
    ) -> Result<Vec<String>, QueryError> {
        for parameter in parameters {
            if let ParameterKind::Query { query_id } = &parameter.kind {
                self.check_choices(caller, record, &parameter.name, *query_id).await?;
            }
        }
        let sql = record.sql.as_deref().unwrap_or_default();
        let template = Template::parse(sql, parameters)?;
        let texts = parameter::for_planning(parameters);
        let values: Vec<_> = template.places.iter().map(|at| texts[*at].clone()).collect();
        let planned = self.plan_only(caller, record.connection, &template.sql, &values).await;
        planned.map_err(|err| super::run::named(err, &template.places, parameters))
    }

    /// The tables that a statement reads, if guard and planner let it through.
    async fn plan_only(
        &self,
        caller: &Principal,
        connection: ConnectionId,
        sql: &str,
        values: &[Option<String>],
    ) -> Result<Vec<String>, QueryError> {
        let limits = self.limits(CallerLimits::default(), caller).await?;
        let opened = self.connections.open(caller, connection).await?;
        let planned = self.plan_judged(&opened, caller.user, sql, values, &limits).await;
        planned.map_err(|err| match err {
            // It is what somebody wrote that does not fit, not a run that failed.
            QueryError::Run { source: RunError::Database(said), .. } => {
                QueryError::Unusable { why: said.message }
            }
            err => err,
        })
    }

    /// Whether choices can come from there: a saved query of which the caller knows, that runs without being told anything.
    async fn check_choices(
        &self,
        caller: &Principal,
        record: &QueryRecord,
        name: &str,
        from: QueryId,
    ) -> Result<(), QueryError> {
        let wrong = |rule: &str| QueryError::Field {
            field: format!("parameters.{name}"),
            rule: rule.to_owned(),
        };
        let found = self.history.store().find(caller.org, from, filter(caller)).await?;
        let found = found.filter(|it| it.saved);
        let found = found.ok_or_else(|| wrong("query_id is no saved query"))?;
        let (ours, theirs) = (record.definition.visibility, found.definition.visibility);
        if ours == Visibility::Organization && theirs == Visibility::Private {
            return Err(wrong("its choices come from a private query, which others cannot run"));
        }
        if found.definition.parameters.iter().any(|it| it.required && it.default.is_none()) {
            return Err(wrong(
                "its choices come from a query that does not run without parameters",
            ));
        }
        Ok(())
    }
}

fn check_max_age(seconds: Option<u32>) -> Result<(), QueryError> {
    if seconds.is_some_and(|it| it > MAX_AGE_SECONDS) {
        return Err(QueryError::Field {
            field: "max_age_seconds".to_owned(),
            rule: format!("at most {MAX_AGE_SECONDS}, which is a day"),
        });
    }
    Ok(())
}

/// What can be said of a statement and its parameters without a database.
fn check_statement(sql: &str, parameters: &[Parameter]) -> Result<(), QueryError> {
    if sql.len() > MAX_SQL_BYTES || sql.contains('\0') {
        return Err(QueryError::Field {
            field: "sql".to_owned(),
            rule: format!("at most {MAX_SQL_BYTES} bytes, none of them zero"),
        });
    }
    parameter::check(parameters)?;
    Template::parse(sql, parameters).map(drop)
}
