use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use plinth_core::{Permit, Principal, QueriesRead};
use serde_json::{Map, Value};

use super::{MAX_AGE_SECONDS, Parameter, RunOf, Template, Version, Visibility, parameter};
use crate::discretion;
use crate::policies::Narrowing;
use crate::service::{Noted, filter};
use crate::{
    CallerLimits, CutOff, JsonRows, Notes, Queries, QueryError, QueryId, QueryRecord, Running,
    StatementRun, Told, type_name,
};

/// How a query of the history is run again.
#[derive(Clone, Debug, Default)]
pub struct RunAgain {
    /// Values of its parameters by name.
    pub parameters: Map<String, Value>,
    /// How old an answer may be, in seconds; 0 runs it now, for whoever asks next too; `None` leaves it to the query.
    pub max_age_seconds: Option<u32>,
    /// How far it may go.
    pub limits: CallerLimits,
    /// The version that whoever it runs as stands for; see [`SavedRun::version`]. `None` runs the newest.
    pub version: Option<u32>,
    /// Whom to tell of the statement before it runs; `None` for nobody.
    pub told: Option<Told>,
}

/// A run of a saved query whose whole result is wanted at once, for what shows it.
#[derive(Clone, Debug)]
pub struct SavedRun {
    /// Which query.
    pub query: QueryId,
    /// Values of its parameters by name; what is left out has its default.
    pub parameters: Map<String, Value>,
    /// How old an answer may be, in seconds; 0 runs it now, for whoever asks next too; `None` leaves it to the query.
    pub max_age_seconds: Option<u32>,
    /// How far it may go; `row_limit` is how many rows are given out. Without a `byte_limit` it is as much as an answer has that
    /// is kept.
    pub limits: CallerLimits,
    /// The version that whoever it runs as stands for: a newer one runs only if they wrote it, or somebody who sees
    /// everything that the connection allows. `None` runs the newest.
    pub version: Option<u32>,
    /// Who looks at what comes of it, if that is somebody else; what they are told of a failure does not quote what is hidden
    /// from them.
    pub shown_to: Option<Principal>,
    /// What a link that carries attributes lets through of it; `None` where nobody looks through one.
    pub narrowing: Option<Arc<Narrowing>>,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct SavedResult {
    /// The saved query.
    pub query: QueryId,
    /// Which version of it ran; 0 if nobody saved it.
    pub version: u32,
    /// The newest.
    pub newest: u32,
    /// The run's entry in the history.
    pub run: QueryId,
    /// The statement that ran, with numbered parameters.
    pub sql: String,
    /// The columns.
    pub columns: Vec<SavedColumn>,
    /// The rows, each with a value for each column. Numbers that a double cannot hold exactly are strings.
    pub rows: Vec<Vec<Value>>,
    /// What the rows take as the database sent them, in bytes.
    pub size_bytes: u64,
    /// Which limit cut the rows off; `None` if these are all.
    pub cut_off: Option<CutOff>,
    /// The tables of which policies hid something from the caller.
    pub restricted: Vec<String>,
    /// When the answer was made, if it was made before; `None` if it was run now.
    pub cached_at: Option<Timestamp>,
    /// From sending the statement to its last row, in milliseconds.
    pub execution_time_ms: f64,
}

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedColumn {
    /// As the statement named it; not always unique.
    pub name: String,
    /// Its type as Postgres prints it, like `numeric(12,2)`.
    pub type_name: String,
}

impl Queries {
    /// Runs the statement of an entry again, over the same connection, with a fresh entry of its own. A saved query runs in
    /// its newest version; a run of one is run again as it was, with the same values where none are given.
    ///
    /// # Errors
    ///
    /// [`QueryError::NotFound`] as for [`Queries::show`]; [`QueryError::Input`] if no statement came of it;
    /// [`QueryError::Field`] for values that do not fit its parameters; else as for [`Queries::ask`].
    pub async fn run_again(
        &self,
        permit: &Permit<QueriesRead>,
        id: QueryId,
        run: RunAgain,
    ) -> Result<Running, QueryError> {
        let caller = permit.principal();
        self.history.flush().await?;
        let record = self.seen(caller, id).await?;
        let (mut before, _) = self.as_stood_for(caller, record, run.version).await?;
        self.keep_discretion(caller, &mut before).await?;
        before.notes.shown_to = None;
        self.run_record(caller, before, run, None).await
    }

    /// Runs a saved query in somebody's name and gathers its rows: for widgets, choices, alerts. Whether the person may do
    /// *that* is the calling service's to check; what they see of the query and of the database is held to here.
    ///
    /// # Errors
    ///
    /// As for [`Queries::run_again`].
    pub async fn run_saved(
        &self,
        caller: &Principal,
        run: SavedRun,
    ) -> Result<SavedResult, QueryError> {
        let SavedRun { query, parameters, max_age_seconds, limits, version, shown_to, narrowing } =
            run;
        let (mut record, newest) = self.stood_for(caller, query, version).await?;
        record.notes.shown_to = shown_to.as_ref().map(|it| it.user);
        let connection = record.connection;
        // What many look at is never too large to be kept: else each of them would have it run.
        let rows = limits.row_limit.unwrap_or(self.settings.default_rows);
        let most = self.kept.bytes_of(rows).min(self.settings.max_bytes);
        let byte_limit = limits.byte_limit.or(Some(most));
        let limits = CallerLimits { byte_limit, ..limits };
        let again = RunAgain { parameters, max_age_seconds, limits, version: None, told: None };
        let version = record.definition.version;
        let run = self.gather(caller, record, again, (version, newest), narrowing).await;
        match (run, shown_to) {
            (Err(QueryError::Run { sql, source }), Some(person))
                if self.policies().binds(&person, connection).await? =>
            {
                Err(QueryError::Run { sql, source: discretion::told(source) })
            }
            (run, _) => run,
        }
    }

    /// A saved query in the version that runs as somebody who stands for that one, and the newest's number.
    async fn stood_for(
        &self,
        caller: &Principal,
        query: QueryId,
        version: Option<u32>,
    ) -> Result<(QueryRecord, u32), QueryError> {
        self.history.flush().await?;
        let found = self.history.store().find(caller.org, query, filter(caller)).await?;
        let record = found.ok_or(QueryError::NotFound(query))?;
        self.as_stood_for(caller, record, version).await
    }

    /// The same for one that was found.
    async fn as_stood_for(
        &self,
        caller: &Principal,
        mut record: QueryRecord,
        version: Option<u32>,
    ) -> Result<(QueryRecord, u32), QueryError> {
        let newest = record.definition.version;
        if let Some(kept) = self.earlier(caller, &record, version).await? {
            record.sql = Some(kept.sql);
            record.definition.parameters = kept.parameters;
            record.definition.version = kept.number;
        }
        Ok((record, newest))
    }

    /// The version of a saved query that runs in the place of the newest as somebody who stands for that one; `None` where the
    /// newest does.
    async fn earlier(
        &self,
        caller: &Principal,
        record: &QueryRecord,
        version: Option<u32>,
    ) -> Result<Option<Version>, QueryError> {
        let (query, newest) = (record.id, record.definition.version);
        let Some(number) = version.filter(|it| *it < newest) else { return Ok(None) };
        if self.stands_for_newest(caller, record, number).await? {
            return Ok(None);
        }
        let kept = self.saved.version(caller.org, query, number).await?;
        kept.map(Some).ok_or(QueryError::NoVersion { query, number })
    }

    /// With what a saved query is run as somebody who stands for that version of it.
    ///
    /// # Errors
    ///
    /// [`QueryError::NoVersion`] if there is no such version.
    pub async fn parameters_of(
        &self,
        caller: &Principal,
        record: &QueryRecord,
        version: Option<u32>,
    ) -> Result<Vec<Parameter>, QueryError> {
        let earlier = self.earlier(caller, record, version).await?;
        Ok(earlier.map_or_else(|| record.definition.parameters.clone(), |it| it.parameters))
    }

    /// Which version of a saved query runs as somebody who stands for that one.
    ///
    /// # Errors
    ///
    /// [`QueryError::NotFound`] as for [`Queries::get`]; [`QueryError::NoVersion`] if there is no such version.
    pub async fn version_for(
        &self,
        caller: &Principal,
        query: QueryId,
        version: u32,
    ) -> Result<u32, QueryError> {
        let (record, _) = self.stood_for(caller, query, Some(version)).await?;
        Ok(record.definition.version)
    }

    /// Which attributes of a link reach a saved query, in the version that runs as that person: those that its statement is asked
    /// with. Nothing is run.
    ///
    /// # Errors
    ///
    /// As for [`Queries::run_saved`].
    pub async fn reached_by(
        &self,
        caller: &Principal,
        query: QueryId,
        version: Option<u32>,
        by: &Narrowing,
    ) -> Result<BTreeSet<String>, QueryError> {
        let (record, _) = self.stood_for(caller, query, version).await?;
        let given = Map::new();
        let Meant { record, of, sql, declared, .. } = self.meant(caller, record, given).await?;
        let template = of.map(|_| Template::parse(&sql, &declared)).transpose()?;
        let (sql, parameters) = template.map_or((sql, 0), |it| (it.sql, it.places.len()));
        let opened = self.connections.open(caller, record.connection).await?;
        let knowledge = self.knowledge_through(&opened, caller.user, Some(by)).await?;
        let judged = knowledge.judge_with(&sql, parameters)?;
        Ok(knowledge.reached(by, &judged.approved))
    }

    /// Whether the newest version of a query may run as somebody who stands for an earlier one: they wrote it, or it was written
    /// by somebody from whom nothing is hidden, who gains nothing by what others may see. What only gives the same things the
    /// names that they have now says what the version before said.
    async fn stands_for_newest(
        &self,
        caller: &Principal,
        record: &QueryRecord,
        earlier: u32,
    ) -> Result<bool, QueryError> {
        let newest = self.saved.version(caller.org, record.id, record.definition.version).await?;
        let Some(mut said) = newest else { return Ok(false) };
        while let Some(repair) = said.repair.as_ref().filter(|it| it.is_certain) {
            if repair.of == earlier {
                return Ok(true);
            }
            let mended = self.saved.version(caller.org, record.id, repair.of).await?;
            // Numbers only grow.
            let Some(mended) = mended.filter(|it| it.number < said.number) else { break };
            said = mended;
        }
        let author = said.made_by;
        if author == caller.user {
            return Ok(true);
        }
        Ok(self.policies().sees_all(caller.org, record.connection, author).await?)
    }

    /// Runs it, and gathers its rows.
    async fn gather(
        &self,
        caller: &Principal,
        record: QueryRecord,
        again: RunAgain,
        (version, newest): (u32, u32),
        narrowing: Option<Arc<Narrowing>>,
    ) -> Result<SavedResult, QueryError> {
        let query = record.id;
        let mut running = self.run_record(caller, record, again, narrowing).await?;
        let types = running.types().clone();
        let columns = running.columns().iter().map(|it| SavedColumn {
            name: it.name.clone(),
            type_name: type_name(it.type_oid, it.type_modifier, &types).into_owned(),
        });
        let columns = columns.collect();
        let mut json = JsonRows::new(running.columns(), &types);
        let (mut rows, mut size_bytes) = (Vec::new(), 0);
        loop {
            let some = running.next().await?;
            if some.is_empty() {
                break;
            }
            size_bytes += some.iter().map(|it| it.size_bytes() as u64).sum::<u64>();
            rows.extend(some.iter().map(|it| json.values(it)));
        }
        let summary = running.summary();
        Ok(SavedResult {
            query,
            version,
            newest,
            run: running.id(),
            sql: running.sql().to_owned(),
            columns,
            rows,
            size_bytes,
            cut_off: summary.and_then(|it| it.cut_off),
            restricted: running.notes().restricted.clone(),
            cached_at: running.notes().cached_at,
            execution_time_ms: summary.map_or(0.0, |it| it.execution_time_ms),
        })
    }

    async fn run_record(
        &self,
        caller: &Principal,
        record: QueryRecord,
        run: RunAgain,
        narrowing: Option<Arc<Narrowing>>,
    ) -> Result<Running, QueryError> {
        let RunAgain { parameters: given, max_age_seconds, limits, version: _, told } = run;
        if max_age_seconds.is_some_and(|it| it > MAX_AGE_SECONDS) {
            return Err(QueryError::Field {
                field: "max_age".to_owned(),
                rule: format!("at most {MAX_AGE_SECONDS}, which is a day"),
            });
        }
        let Meant { record, of, sql, declared, given } = self.meant(caller, record, given).await?;
        let bound = parameter::bind(&declared, &given)?;
        // What nobody saved has no names in it; its text is run as it is.
        let (sql, places) = if of.is_some() {
            let template = Template::parse(&sql, &declared)?;
            (template.sql, template.places)
        } else {
            (sql, Vec::new())
        };
        let values = places.iter().map(|at| bound.texts[*at].clone()).collect();
        let usual = record.definition.max_age_seconds.filter(|_| record.saved);
        let seconds = max_age_seconds.or(usual).filter(|_| of.is_some());
        let statement = StatementRun {
            connection: record.connection,
            sql,
            parameters: values,
            question: record.question,
            notes: Notes {
                conversation: None,
                cached_at: None,
                parameters: bound.said,
                ..record.notes
            },
            limits,
        };
        let noted = Noted {
            of,
            is_private: record.definition.visibility == Visibility::Private,
            max_age: seconds.map(|it| Duration::from_secs(u64::from(it))),
            narrowing,
        };
        let run = self.run_noted(caller, statement, noted, told).await;
        run.map_err(|err| named(err, &places, &declared))
    }

    /// What is run where somebody says that an entry is to be run.
    async fn meant(
        &self,
        caller: &Principal,
        record: QueryRecord,
        given: Map<String, Value>,
    ) -> Result<Meant, QueryError> {
        if let Some(of) = record.run_of.filter(|_| !record.saved) {
            let saved = self.history.store().find(caller.org, of.query, filter(caller)).await?;
            let version = self.saved.version(caller.org, of.query, of.version).await?;
            let (Some(mut saved), Some(version)) = (saved, version) else {
                return Err(QueryError::Input(
                    "the saved query that this is a run of is gone; nothing says what its parameters are",
                ));
            };
            let mut values = record.notes.parameters;
            values.extend(given);
            saved.notes = Notes { parameters: Map::new(), ..record.notes };
            saved.question = record.question;
            return Ok(Meant {
                record: saved,
                of: Some(of),
                sql: version.sql,
                declared: version.parameters,
                given: values,
            });
        }
        let Some(sql) = record.sql.clone() else {
            return Err(QueryError::Input(
                "this question has no SQL that you could run; ask it again instead",
            ));
        };
        let version = record.definition.version;
        let is_saved = record.saved && version > 0;
        let of = is_saved.then_some(RunOf { query: record.id, version });
        let declared = if is_saved { record.definition.parameters.clone() } else { Vec::new() };
        Ok(Meant { record, of, sql, declared, given })
    }
}

/// The same, with the name of the parameter whose value the database does not take.
pub(super) fn named(err: QueryError, places: &[usize], declared: &[Parameter]) -> QueryError {
    let QueryError::Value { place, rule } = err else { return err };
    match places.get(place).and_then(|at| declared.get(*at)) {
        Some(it) => QueryError::Field { field: format!("parameters.{}", it.name), rule },
        None => QueryError::Value { place, rule },
    }
}

struct Meant {
    /// The entry: its connection, its settings, what was said of it.
    record: QueryRecord,
    of: Option<RunOf>,
    sql: String,
    declared: Vec<Parameter>,
    given: Map<String, Value>,
}
