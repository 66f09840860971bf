//! Looking at values, so that a question can name them: "orders from *Lisbon*".
//!
//! **What is looked at.** Columns of text that the role may read, in tables, partitioned tables and materialized views.
//! Not: views (what they cost cannot be known), foreign tables and what has one among its parts (that is another
//! server), enums (their labels are in the catalog), numbers and booleans (they say nothing by themselves); and no
//! column that [`is_secret_name`] or [`are_secret_values`] takes for a secret or for an address of a person, by its name, its comment or
//! what its values look like. Of documents their outermost members, see [`documents`].
//!
//! **How much.** At most [`TABLES`] tables, those that others refer to first, and [`COLUMNS`] columns of each; at most
//! [`WHOLE_ROWS`] rows of a table. Where that is the whole table, a column's values are complete, and up to
//! [`WHOLE_VALUES`] of them are kept. Of a larger table the planner's most frequent values are taken, which costs nothing, and where it
//! has none, [`PART_ROWS`] rows from pages all over the table; of those up to [`PART_VALUES`] values are kept. A value longer
//! than [`LONGEST`] characters is prose and dropped. All values together have at most [`TOTAL_BYTES`].
//!
//! **How gently.** One statement at a time on one session, each in a read-only transaction; [`STATEMENT_LIMIT`] for each and
//! [`TIME_LIMIT`] for all; a lock is waited for a tenth of a second. What fails is left out.

mod documents;
pub(super) mod references;
mod statements;

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use plinth_queries::{RawRow, RunError};
use plinth_schema_introspect::{
    Relation, RelationKind, Samples, TypeClass, are_secret_values, is_secret_name,
};
use tokio::time::Instant;

use self::statements::{Extent, statement};
use super::assemble::Draft;
use super::fields::{Fields, Unreadable};
use super::statistics::Widths;
use super::{SETTINGS, list, names, queries};
use crate::{Query, ReadLimits, Session};

const TABLES: usize = 400;
/// Tables that are asked whether they hold anything, before [`TABLES`] of those that do are looked at.
const CANDIDATES: usize = 2_000;
const COLUMNS: usize = 24;
const WHOLE_ROWS: u32 = 50_000;
const PART_ROWS: u32 = 10_000;
const WHOLE_VALUES: usize = 1_000;
const PART_VALUES: usize = 100;
const LONGEST: usize = 60;
const TOTAL_BYTES: usize = 2 << 20;
const TIME_LIMIT: Duration = Duration::from_secs(2);
const STATEMENT_LIMIT: Duration = Duration::from_millis(400);

/// How many tables are asked for in one round trip.
const BATCH: usize = 8;

/// Columns whose values are wider than this on average, in bytes, hold prose.
const WIDEST: u32 = 100;

/// Above this share of different values in a large table, none of them says anything.
const TOO_VARIED: f32 = -0.5;

/// What is to be looked at in one table.
#[derive(Debug)]
struct Task {
    /// Where the relation stands in the catalog.
    at: usize,
    /// Positions of columns.
    columns: Vec<usize>,
    extent: Extent,
    /// Whether the columns hold documents. They are asked for by themselves: one that is no document for Postgres after all
    /// (`json` with `\u0000`) costs no texts.
    documents: bool,
}

/// Fills [`samples`](plinth_schema_introspect::Column::samples) of as many columns as the limits allow.
pub(super) async fn read(session: &mut Session, draft: &mut Draft, widths: &Widths) {
    let deadline = Instant::now() + TIME_LIMIT;
    let tasks = tasks(&draft.relations, widths);
    let Ok(mut tasks) = filled(session, draft, tasks, deadline).await else { return };
    let mut budget = Budget { bytes_left: TOTAL_BYTES };
    let Ok(frequent) = frequent_values(session, draft, &tasks, deadline).await else { return };
    for task in &mut tasks {
        task.columns.retain(|column| match frequent.get(&(task.at, *column)) {
            Some(values) => {
                let seen = Seen { values: values.clone(), all: false, documents: false };
                draft.relations[task.at].columns[*column].samples = budget.take(seen);
                false
            }
            None => true,
        });
    }
    tasks.retain(|it| !it.columns.is_empty());
    for batch in tasks.chunks(BATCH) {
        match look(session, draft, batch, deadline).await {
            Ok(seen) => budget.keep(draft, seen),
            // One of them was too slow, locked or broken: the others are asked for by themselves.
            Err(RunError::Database(_) | RunError::RowTooLarge { .. }) if batch.len() > 1 => {
                for task in batch {
                    match look(session, draft, std::slice::from_ref(task), deadline).await {
                        Ok(seen) => budget.keep(draft, seen),
                        Err(RunError::Database(_) | RunError::RowTooLarge { .. }) => {}
                        Err(_) => return,
                    }
                }
            }
            Err(RunError::Database(_) | RunError::RowTooLarge { .. }) => {}
            Err(_) => return,
        }
    }
}

/// Which columns to look at, of the most telling tables first.
fn tasks(relations: &[Relation], widths: &Widths) -> Vec<Task> {
    let mut referred: HashMap<u32, usize> = HashMap::new();
    let mut remote: HashSet<u32> = HashSet::new();
    for relation in relations {
        for key in &relation.foreign_keys {
            *referred.entry(key.target).or_default() += 1;
        }
        if relation.kind == RelationKind::ForeignTable {
            remote.extend(relation.partition_of);
        }
    }
    // A partitioned table whose partition is a partitioned table with a remote part has a remote part.
    for _ in 0..16 {
        let above =
            relations.iter().filter(|it| remote.contains(&it.oid)).filter_map(|it| it.partition_of);
        let above: Vec<u32> = above.filter(|it| !remote.contains(it)).collect();
        if above.is_empty() {
            break;
        }
        remote.extend(above);
    }

    let mut tasks: Vec<Task> = relations
        .iter()
        .enumerate()
        .filter(|(_, it)| {
            let kind = match it.kind {
                RelationKind::Table | RelationKind::MaterializedView => true,
                RelationKind::PartitionedTable => !remote.contains(&it.oid),
                RelationKind::View | RelationKind::ForeignTable => false,
            };
            // The parent speaks for its partitions.
            kind && it.partition_of.is_none()
        })
        .flat_map(|(at, relation)| {
            let estimate = relation.estimated_rows;
            let extent = match estimate {
                Some(rows) if rows > f64::from(WHOLE_ROWS) => Extent::Part { estimated_rows: rows },
                _ => Extent::Whole,
            };
            [false, true].into_iter().filter_map(move |documents| {
                let candidate = |(column, it): (usize, &plinth_schema_introspect::Column)| {
                    let (class, widest) = if documents {
                        (TypeClass::Json, documents::WIDEST)
                    } else {
                        (TypeClass::Text, WIDEST)
                    };
                    let prose = widths.get(&(at, column)).is_some_and(|it| *it > widest);
                    // Documents differ, their members do not.
                    let varied = !documents
                        && extent != Extent::Whole
                        && it.distinct.is_some_and(|it| it < TOO_VARIED);
                    let telling = it.class == class && it.readable && !prose && !varied;
                    (telling && !is_secret_name(&it.name, it.comment.as_deref())).then_some(column)
                };
                let columns: Vec<_> = relation
                    .columns
                    .iter()
                    .enumerate()
                    .filter_map(candidate)
                    .take(COLUMNS)
                    .collect();
                (!columns.is_empty()).then_some(Task { at, columns, extent, documents })
            })
        })
        .collect();
    tasks.sort_by_cached_key(|it| {
        let relation = &relations[it.at];
        (
            is_counted_empty(relation),
            it.documents,
            Reverse(referred.get(&relation.oid).copied().unwrap_or(0)),
            it.at,
        )
    });
    tasks.truncate(CANDIDATES);
    tasks
}

/// Whether the planner counted its rows and found none.
fn is_counted_empty(it: &Relation) -> bool {
    it.estimated_rows == Some(0.0)
}

/// Those of the tables that hold anything, as many as are looked at: a schema of thousands of empty tables is common,
/// and asking each of them for its values would take longer than reading the whole catalog.
async fn filled(
    session: &mut Session,
    draft: &Draft,
    mut tasks: Vec<Task>,
    deadline: Instant,
) -> Result<Vec<Task>, RunError> {
    let relations = &draft.relations;
    // A partitioned table has no pages of its own.
    let has_pages = |it: &Task| relations[it.at].kind != RelationKind::PartitionedTable;
    if let Some(filled) = draft.has_pages {
        tasks.retain(|it| !has_pages(it) || filled);
        return Ok(tasks);
    }
    let oids = |counted_empty: bool| {
        let of_tables = tasks.iter().filter(|it| has_pages(it)).map(|it| &relations[it.at]);
        list(of_tables.filter(|it| is_counted_empty(it) == counted_empty).map(|it| it.oid))
    };
    let (others, counted_empty) = (oids(false), oids(true));
    let parameters = [Some(others.as_str()), Some(counted_empty.as_str())];
    let asked = [SETTINGS, Query { sql: queries::FILLED, parameters: &parameters }];
    let answers = session.query_all(&asked, &limits(deadline)?).await?;
    let mut filled = HashSet::new();
    for row in answers.into_iter().nth(1).unwrap_or_default() {
        if let Ok(oid) = Fields::of(&row).number::<u32>() {
            filled.insert(oid);
        }
    }
    tasks.retain(|it| !has_pages(it) || filled.contains(&relations[it.at].oid));
    tasks.truncate(TABLES);
    Ok(tasks)
}

/// The planner's most frequent values of columns of large tables.
async fn frequent_values(
    session: &mut Session,
    draft: &Draft,
    tasks: &[Task],
    deadline: Instant,
) -> Result<HashMap<(usize, usize), Vec<String>>, RunError> {
    let relations = &draft.relations;
    let columns: BTreeSet<(usize, usize)> = tasks
        .iter()
        .filter(|it| it.extent != Extent::Whole && !it.documents)
        .flat_map(|it| it.columns.iter().map(|column| (it.at, *column)))
        .filter(|(at, column)| relations[*at].columns[*column].distinct.is_some())
        .collect();
    if columns.is_empty() {
        return Ok(HashMap::new());
    }
    let schemas = names(columns.iter().map(|it| relations[it.0].schema.as_str()));
    let tables = names(columns.iter().map(|it| relations[it.0].name.as_str()));
    let fields = names(columns.iter().map(|it| relations[it.0].columns[it.1].name.as_str()));
    let most = PART_VALUES.to_string();
    let parameters = [&schemas, &tables, &fields, &most].map(|it| Some(it.as_str()));
    let asked = [SETTINGS, Query { sql: queries::FREQUENT_VALUES, parameters: &parameters }];
    let rows = match session.query_all(&asked, &limits(deadline)?).await {
        Ok(answers) => answers.into_iter().nth(1).unwrap_or_default(),
        // Statistics of a type that has no text, or a view of another making: values can still be read from the tables.
        Err(RunError::Database(_)) => return Ok(HashMap::new()),
        Err(error) => return Err(error),
    };
    let wanted = columns;
    let mut values: HashMap<(usize, usize), Vec<String>> = HashMap::new();
    for row in &rows {
        let mut fields = Fields::of(row);
        let mut read = || {
            let place = draft.place(&fields.text()?, &fields.text()?, &fields.text()?);
            // Other columns can have the name of one that was asked for.
            if let Some(place) = place.filter(|it| wanted.contains(it)) {
                values.entry(place).or_default().push(fields.owned()?);
            }
            Ok::<_, Unreadable>(())
        };
        // A value that cannot be read is one that is not there.
        let _ = read();
    }
    Ok(values)
}

/// What is left of the time, as limits of the next round trip.
fn limits(deadline: Instant) -> Result<ReadLimits, RunError> {
    let time = deadline.saturating_duration_since(Instant::now());
    if time < Duration::from_millis(20) {
        return Err(RunError::TimedOut(TIME_LIMIT));
    }
    Ok(ReadLimits { time, row_bytes: 64 << 10, total_bytes: 16 << 20 })
}

/// Values that were seen in a column, the most frequent first.
#[derive(Debug)]
struct Seen {
    values: Vec<String>,
    /// Whether there are no others.
    all: bool,
    /// Whether each is a document of one member.
    documents: bool,
}

/// Asks for the values of some tables in one round trip.
async fn look(
    session: &mut Session,
    draft: &Draft,
    tasks: &[Task],
    deadline: Instant,
) -> Result<Vec<((usize, usize), Seen)>, RunError> {
    let limits = limits(deadline)?;
    let time_ms = STATEMENT_LIMIT.min(limits.time).as_millis().to_string();
    let settings = [Some("100"), Some(time_ms.as_str())];
    let statements: Vec<String> =
        tasks.iter().map(|it| statement(&draft.relations[it.at], &it.columns, it.extent)).collect();
    let mut asked = vec![Query { sql: queries::SETTINGS, parameters: &settings }];
    asked.extend(statements.iter().map(|sql| Query { sql, parameters: &[] }));
    let answers = session.query_all(&asked, &limits).await?;
    let mut seen = Vec::new();
    for (task, rows) in tasks.iter().zip(answers.iter().skip(1)) {
        let columns = read_values(task, rows).unwrap_or_default();
        seen.extend(columns.into_iter().map(|(column, values)| ((task.at, column), values)));
    }
    Ok(seen)
}

/// Reads what [`statement`] answered.
fn read_values(task: &Task, rows: &[RawRow]) -> Result<Vec<(usize, Seen)>, Unreadable> {
    let mut rows_read: u64 = 0;
    let mut values: Vec<Vec<(String, u64)>> = vec![Vec::new(); task.columns.len()];
    let mut unread = vec![0; task.columns.len()];
    for row in rows {
        let mut fields = Fields::of(row);
        let place: i32 = fields.number()?;
        let value = fields.optional_text()?;
        let count: u64 = fields.number()?;
        match (usize::try_from(place), value) {
            (Ok(place), Some(value)) => {
                values.get_mut(place).ok_or(Unreadable)?.push((value.into_owned(), count));
            }
            (Ok(place), None) => *unread.get_mut(place).ok_or(Unreadable)? = count,
            (Err(_), _) => rows_read = count,
        }
    }
    let whole = task.extent == Extent::Whole && rows_read <= u64::from(WHOLE_ROWS);
    let seen = values.into_iter().zip(unread).map(|(values, unread)| Seen {
        documents: task.documents,
        ..judge(values, whole && unread == 0)
    });
    Ok(task.columns.iter().copied().zip(seen).collect())
}

/// What is kept of a column's values, which come with how often they were seen.
fn judge(mut values: Vec<(String, u64)>, whole: bool) -> Seen {
    let all = whole && values.len() <= WHOLE_VALUES;
    if !all {
        // Of very many different values those say something that come again.
        values.truncate(PART_VALUES);
        if values.len() == PART_VALUES {
            values.retain(|it| it.1 > 1);
        }
    }
    Seen { values: values.into_iter().map(|it| it.0).collect(), all, documents: false }
}

/// How much may still be kept.
struct Budget {
    bytes_left: usize,
}

impl Budget {
    fn keep(&mut self, draft: &mut Draft, seen: Vec<((usize, usize), Seen)>) {
        for ((at, column), seen) in seen {
            draft.relations[at].columns[column].samples = self.take(seen);
        }
    }

    /// Values as they are kept; `None` if none are.
    fn take(&mut self, seen: Seen) -> Option<Samples> {
        let Seen { mut values, all: mut complete, documents } = seen;
        if documents {
            let kept = documents::kept(&Samples { values, complete })?;
            return self.paid(kept);
        }
        let count = values.len();
        values.retain(|it| !it.trim().is_empty() && it.chars().count() <= LONGEST);
        let long = count - values.len();
        // Mostly prose: the short ones among it are no categories.
        if values.is_empty() || long > values.len() || are_secret_values(&values) {
            return None;
        }
        complete &= long == 0;
        self.paid(Samples { values, complete })
    }

    /// Those values, if there is room for them.
    fn paid(&mut self, samples: Samples) -> Option<Samples> {
        let bytes: usize = samples.values.iter().map(|it| it.len() + size_of::<String>()).sum();
        // The last quarter is for columns with few values, which say the most for their size.
        let reserved = if samples.values.len() > PART_VALUES { TOTAL_BYTES / 4 } else { 0 };
        self.bytes_left = self.bytes_left.checked_sub(bytes).filter(|it| *it >= reserved)?;
        Some(samples)
    }
}

#[cfg(test)]
mod tests {
    use plinth_schema_introspect::{Column, ForeignKey};

    use super::*;

    fn counted(values: &[(&str, u64)]) -> Vec<(String, u64)> {
        values.iter().map(|it| (it.0.to_owned(), it.1)).collect()
    }

    fn many(count: usize, times: u64) -> Vec<(String, u64)> {
        (0..count).map(|it| (format!("v{it}"), times)).collect()
    }

    #[test]
    fn values_are_complete_only_if_the_whole_table_was_read() {
        let seen = judge(counted(&[("b", 2), ("a", 1)]), true);
        assert_eq!((seen.values, seen.all), (vec!["b".to_owned(), "a".to_owned()], true));
        assert!(!judge(counted(&[("b", 2)]), false).all);
        assert!(judge(many(WHOLE_VALUES, 1), true).all);
    }

    #[test]
    fn of_very_many_values_only_those_that_come_again_are_kept() {
        let seen = judge(many(WHOLE_VALUES + 1, 1), true);
        assert!(seen.values.is_empty() && !seen.all);
        let seen = judge(many(WHOLE_VALUES + 1, 2), true);
        assert_eq!((seen.values.len(), seen.all), (PART_VALUES, false));
    }

    fn take(values: Vec<String>, bytes_left: usize) -> Option<Samples> {
        Budget { bytes_left }.take(Seen { values, all: true, documents: false })
    }

    #[test]
    fn prose_is_dropped_and_short_values_beside_it_are_incomplete() {
        let long = "x".repeat(LONGEST + 1);
        let some = take(vec!["a".into(), "b".into(), long.clone()], TOTAL_BYTES).unwrap();
        assert_eq!((some.values.len(), some.complete), (2, false));
        assert_eq!(take(vec!["a".into(), long.clone(), long], TOTAL_BYTES), None);
        assert_eq!(take(vec![], TOTAL_BYTES), None);
        assert_eq!(take(vec![String::new()], TOTAL_BYTES), None);
    }

    #[test]
    fn the_last_of_the_budget_is_for_columns_with_few_values() {
        let many: Vec<_> = many(PART_VALUES + 1, 1).into_iter().map(|it| it.0).collect();
        assert!(take(many.clone(), TOTAL_BYTES).is_some());
        assert_eq!(take(many, TOTAL_BYTES / 4), None);
        assert!(take(vec!["a".into()], TOTAL_BYTES / 4).is_some());
        assert_eq!(take(vec!["a".into()], 8), None);
    }

    fn table(oid: u32, name: &str, estimated_rows: Option<f64>) -> Relation {
        let column = Column {
            name: "kind".into(),
            type_name: "text".into(),
            type_oid: 25,
            class: TypeClass::Text,
            nullable: true,
            readable: true,
            ..Column::default()
        };
        Relation {
            oid,
            schema: "public".into(),
            name: name.into(),
            kind: RelationKind::Table,
            readable: true,
            columns: vec![column],
            estimated_rows,
            ..Relation::default()
        }
    }

    fn order(relations: &[Relation]) -> Vec<&str> {
        tasks(relations, &Widths::default())
            .iter()
            .map(|it| relations[it.at].name.as_str())
            .collect()
    }

    #[test]
    fn tables_that_others_refer_to_come_first_and_empty_ones_last() {
        let mut referring = table(1, "a", Some(5.0));
        let key = |target| ForeignKey {
            name: "k".into(),
            columns: vec![0],
            target,
            target_columns: vec![0],
            ..ForeignKey::default()
        };
        referring.foreign_keys = vec![key(3), key(4)];
        let relations =
            [referring, table(2, "b", None), table(3, "c", Some(1e6)), table(4, "d", Some(0.0))];
        assert_eq!(order(&relations), ["c", "a", "b", "d"]);
    }

    #[test]
    fn what_is_on_another_server_is_not_read() {
        let mut relations =
            [table(1, "a", None), table(2, "b", None), table(3, "c", None), table(4, "d", None)];
        relations[0].kind = RelationKind::PartitionedTable;
        relations[1].kind = RelationKind::PartitionedTable;
        relations[1].partition_of = Some(1);
        relations[2].kind = RelationKind::ForeignTable;
        relations[2].partition_of = Some(2);
        assert_eq!(order(&relations), ["d"]);
    }

    #[test]
    fn columns_without_repetition_in_large_tables_are_not_looked_at() {
        let mut relations =
            [table(1, "a", Some(1e6)), table(2, "b", Some(100.0)), table(3, "c", None)];
        for relation in &mut relations {
            relation.columns[0].distinct = Some(-1.0);
        }
        relations[2].columns[0].readable = false;
        assert_eq!(order(&relations), ["b"]);
    }

    #[test]
    fn documents_are_asked_for_by_themselves_and_after_the_texts() {
        let mut both = table(1, "a", Some(1e6));
        both.columns.push(Column { class: TypeClass::Json, ..both.columns[0].clone() });
        both.columns[1].distinct = Some(-1.0);
        let relations = [both, table(2, "b", None)];
        let all = tasks(&relations, &Widths::default());
        let told: Vec<_> = all.iter().map(|it| (it.at, it.documents)).collect();
        assert_eq!(told, [(0, false), (1, false), (0, true)]);
        let wide = Widths::from_iter([((0, 1), documents::WIDEST + 1)]);
        assert_eq!(tasks(&relations, &wide).len(), 2);
    }

    #[test]
    fn names_of_any_kind_can_be_in_the_statement() {
        let mut odd = table(1, "a\"b; DROP", Some(1e6));
        odd.columns[0].name = "c\"d".into();
        let sql = statement(&odd, &[0], Extent::Part { estimated_rows: 1e6 });
        assert!(
            sql.contains(r#"ONLY "public"."a""b; DROP" TABLESAMPLE SYSTEM (1.000000)"#),
            "{sql}"
        );
        assert!(sql.contains(r#"left("c""d"::text, 61)"#), "{sql}");
    }
}
