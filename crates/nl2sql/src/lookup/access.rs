//! Which columns of a database can be searched for a word cheaply, and the statement that does.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use plinth_schema_introspect::{
    Catalog, Column, Index, Relation, RelationKind, TypeClass, is_secret_name, is_secret_value,
};

use super::{Found, TextColumn, Wanted, WantedWord, found::is_whole};
use crate::lexicon::LEXICON;

/// A table of at most so many rows, by the planner's estimate, may be read from its beginning to its end.
const SMALL_ROWS: f64 = 50_000.0;

/// The same where its values are held against patterns, which takes longer.
const SMALL_FOR_PATTERNS: f64 = 10_000.0;

/// How many rows one lookup reads at most in all; one that is held against patterns counts threefold.
const MOST_ROWS: f64 = 120_000.0;

/// The most columns that one lookup searches.
const MOST_COLUMNS: usize = 24;

/// The longest value that is taken for one that people name.
const LONGEST_VALUE: usize = 80;

/// How many values of one column are given at most.
const MOST_VALUES: usize = 24;

/// How values of a database can be searched: made once for a snapshot of its catalog.
#[derive(Clone, Debug, Default)]
pub struct Access {
    columns: HashMap<TextColumn, Ways>,
}

/// What serves a search of one column.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Ways {
    /// An index over its values.
    equality: bool,
    /// An index over its values in lower case.
    lowered: bool,
    /// An index that finds beginnings.
    prefix: bool,
    /// How many rows its table has, if that is known.
    rows: Option<f64>,
}

impl Ways {
    fn is_small(&self) -> bool {
        self.rows.is_some_and(|it| it <= SMALL_ROWS)
    }

    fn is_cheap(&self) -> bool {
        self.equality || self.lowered || self.prefix || self.is_small()
    }
}

impl Access {
    /// How values of that database can be searched. Left out are views and what is on other servers, columns that hold no plain
    /// text, and those that speak of secrets.
    pub fn of(catalog: &Catalog) -> Self {
        let remote = remote(catalog);
        let mut columns = HashMap::new();
        for relation in catalog.relations.iter().map(AsRef::as_ref) {
            let kind = match relation.kind {
                RelationKind::Table | RelationKind::MaterializedView => true,
                RelationKind::PartitionedTable => !remote.contains(&relation.oid),
                RelationKind::View | RelationKind::ForeignTable => false,
            };
            if !kind || relation.partition_of.is_some() {
                continue;
            }
            for (at, it) in relation.columns.iter().enumerate() {
                let ways = ways(relation, at, it);
                if is_searched(it) && ways.is_cheap() {
                    columns.insert(named(relation, it), ways);
                }
            }
        }
        Self { columns }
    }

    /// Takes a column out.
    pub fn close_column(&mut self, schema: &str, table: &str, column: &str) {
        self.columns
            .retain(|it, _| !(it.schema == schema && it.table == table && it.column == column));
    }

    /// Some rows of that table are hidden, so that it is read through a fence that no index passes.
    pub fn fence(&mut self, schema: &str, table: &str) {
        for (it, ways) in &mut self.columns {
            if it.schema == schema && it.table == table {
                *ways = Ways { rows: ways.rows, ..Ways::default() };
            }
        }
        self.columns.retain(|_, ways| ways.is_cheap());
    }

    /// One statement that looks for those words in as many of those columns as is cheap; `None` if there is none.
    pub fn lookup(&self, wanted: &Wanted) -> Option<Lookup> {
        let words: Vec<WantedWord> =
            wanted.words.iter().filter(|it| !is_secret_value(&it.text)).cloned().collect();
        if words.is_empty() {
            return None;
        }
        let mut statement = Statement::new(&words);
        let mut columns: Vec<TextColumn> = Vec::new();
        let mut rows_left = MOST_ROWS;
        for it in &wanted.columns {
            let Some(ways) = self.columns.get(it) else { continue };
            if columns.len() >= MOST_COLUMNS {
                break;
            }
            if ways.equality || ways.lowered || ways.prefix {
                statement.by_index(columns.len(), it, *ways);
            } else {
                let rows = ways.rows.unwrap_or(SMALL_ROWS);
                let patterns = statement.has_names() && rows <= SMALL_FOR_PATTERNS;
                let cost = if patterns { 3.0 * rows } else { rows };
                if cost > rows_left {
                    continue;
                }
                rows_left -= cost;
                statement.by_reading(columns.len(), it, patterns);
            }
            columns.push(it.clone());
        }
        (!columns.is_empty()).then(|| Lookup {
            sql: statement.parts.join(" UNION ALL "),
            parameters: statement.parameters.iter().map(|it| array(it)).collect(),
            columns,
            words,
        })
    }
}

/// A statement that looks for words: it gives rows of a number and a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// One SELECT.
    pub sql: String,
    /// Its parameters: arrays of text, as Postgres reads them.
    pub parameters: Vec<String>,
    columns: Vec<TextColumn>,
    words: Vec<WantedWord>,
}

impl Lookup {
    /// What a row of the answer says; nothing if it says nothing that may be told.
    pub fn read(&self, number: &str, value: &str) -> Vec<Found> {
        let column = number.parse().ok().and_then(|it: usize| self.columns.get(it));
        let Some(column) = column.filter(|_| !is_secret_value(value)) else { return Vec::new() };
        let lower = value.to_lowercase();
        let meant = |it: &&WantedWord| {
            let word = it.text.to_lowercase();
            is_whole(&it.text, value)
                || it.in_part
                    && (lower.strip_prefix(&word).is_some_and(|rest| rest.starts_with(' '))
                        || lower.strip_suffix(&word).is_some_and(|rest| rest.ends_with(' ')))
        };
        let found = |it: &WantedWord| Found {
            column: column.clone(),
            word: it.text.clone(),
            value: value.to_owned(),
        };
        self.words.iter().filter(meant).map(found).collect()
    }
}

/// The statement in the making.
struct Statement {
    parts: Vec<String>,
    parameters: Vec<Vec<String>>,
    spellings: Vec<String>,
    lowered: Vec<String>,
    beginnings: Vec<String>,
    patterns: Vec<String>,
}

impl Statement {
    fn new(words: &[WantedWord]) -> Self {
        let mut it = Self {
            parts: Vec::new(),
            parameters: Vec::new(),
            spellings: Vec::new(),
            lowered: Vec::new(),
            beginnings: Vec::new(),
            patterns: Vec::new(),
        };
        for word in words {
            let lower = word.text.to_lowercase();
            let base = base(&lower);
            for form in [Some(word.text.clone()), Some(lower.clone()), base].into_iter().flatten() {
                push(&mut it.lowered, form.to_lowercase());
                push(&mut it.spellings, titled(&form));
                push(&mut it.spellings, form.to_uppercase());
                push(&mut it.spellings, capitalized(&form));
                push(&mut it.spellings, form);
            }
            if word.in_part {
                push(&mut it.beginnings, word.text.clone());
                push(&mut it.beginnings, titled(&lower));
                let plain: String = lower
                    .chars()
                    .flat_map(|it| {
                        let special = matches!(it, '%' | '_' | '\\');
                        special.then_some('\\').into_iter().chain([it])
                    })
                    .collect();
                push(&mut it.patterns, format!("{plain} %"));
                push(&mut it.patterns, format!("% {plain}"));
            }
        }
        it
    }

    /// Whether some of the words may be parts of values.
    fn has_names(&self) -> bool {
        !self.patterns.is_empty()
    }

    /// The number of the parameter that holds those texts.
    fn parameter(&mut self, texts: &[String]) -> usize {
        let known = self.parameters.iter().position(|it| it == texts);
        1 + known.unwrap_or_else(|| {
            self.parameters.push(texts.to_vec());
            self.parameters.len() - 1
        })
    }

    /// One search of an index for each spelling, which ends with the first row.
    fn by_index(&mut self, number: usize, it: &TextColumn, ways: Ways) {
        let (table, column) = (table(it), quoted(&it.column));
        if ways.equality || ways.lowered {
            let (texts, compared) = if ways.lowered {
                (self.lowered.clone(), format!("lower(t.{column})"))
            } else {
                (self.spellings.clone(), format!("t.{column}"))
            };
            let at = self.parameter(&texts);
            self.parts.push(if ways.lowered {
                format!(
                    "(SELECT {number} AS place, f.v AS value FROM unnest(${at}::text[]) AS w(v) CROSS JOIN LATERAL \
                     (SELECT DISTINCT p.v FROM (SELECT t.{column}::text AS v FROM {table} AS t WHERE {compared} = w.v LIMIT 64) \
                     AS p LIMIT 4) AS f LIMIT {MOST_VALUES})"
                )
            } else {
                format!(
                    "(SELECT {number} AS place, w.v AS value FROM unnest(${at}::text[]) AS w(v) \
                     WHERE EXISTS (SELECT 1 FROM {table} AS t WHERE {compared} = w.v) LIMIT {MOST_VALUES})"
                )
            });
        }
        if ways.prefix && self.has_names() {
            let beginnings = self.beginnings.clone();
            let at = self.parameter(&beginnings);
            // Byte by byte, `!` is what follows a blank.
            self.parts.push(format!(
                "(SELECT {number} AS place, f.v AS value FROM unnest(${at}::text[]) AS w(v) CROSS JOIN LATERAL \
                 (SELECT DISTINCT p.v FROM (SELECT t.{column}::text AS v FROM {table} AS t \
                 WHERE t.{column} ~>=~ (w.v || ' ') AND t.{column} ~<~ (w.v || '!') LIMIT 64) AS p LIMIT 4) AS f \
                 LIMIT {MOST_VALUES})"
            ));
        }
    }

    /// One reading of the whole table.
    fn by_reading(&mut self, number: usize, it: &TextColumn, patterns: bool) {
        let (table, column) = (table(it), quoted(&it.column));
        let lowered = self.lowered.clone();
        let at = self.parameter(&lowered);
        let value = format!("t.{column}::text");
        let mut condition = format!("lower({value}) = ANY (${at}::text[])");
        if patterns {
            let texts = self.patterns.clone();
            let at = self.parameter(&texts);
            let _ = write!(
                condition,
                " OR length({value}) <= {LONGEST_VALUE} AND lower({value}) LIKE ANY (${at}::text[])"
            );
        }
        self.parts.push(format!(
            "(SELECT DISTINCT {number} AS place, {value} AS value FROM {table} AS t WHERE {condition} LIMIT {MOST_VALUES})"
        ));
    }
}

/// The base form of a single word in lower case, where it is another.
pub(super) fn base(word: &str) -> Option<String> {
    let base = LEXICON.lemma(word);
    (!word.contains(' ') && base != word).then_some(base)
}

fn push(texts: &mut Vec<String>, text: String) {
    if !texts.contains(&text) {
        texts.push(text);
    }
}

fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |it| it.to_uppercase().chain(chars).collect())
}

fn titled(text: &str) -> String {
    text.split(' ').map(capitalized).collect::<Vec<_>>().join(" ")
}

/// Whether a column holds texts that a question could name.
fn is_searched(it: &Column) -> bool {
    let plain = it.type_name == "text" || it.type_name.starts_with("character");
    it.readable
        && it.class == TypeClass::Text
        && plain
        && it.enum_values.is_empty()
        && !is_secret_name(&it.name, it.comment.as_deref())
}

/// What serves a search of that column.
fn ways(relation: &Relation, at: usize, column: &Column) -> Ways {
    // A text of fixed length is compared by other rules than those that an index over it follows.
    let indexable = !column.type_name.starts_with("character(");
    let key = relation.keys.iter().any(|it| it.columns.first() == Some(&at));
    let mut ways = Ways { equality: key && indexable, rows: rows(relation), ..Ways::default() };
    for it in relation.indexes.iter().filter(|it| !it.invalid && it.method == "btree") {
        match &it.definition {
            None => ways.equality |= indexable && it.columns.first() == Some(&at),
            Some(text) if text.contains(" WHERE ") => {}
            Some(text) => {
                let name = &column.name;
                let leads = |it: &Index| {
                    let printed = [format!("({name} "), format!("(\"{name}\" ")];
                    it.columns.first() == Some(&at) && printed.iter().any(|own| text.contains(own))
                };
                if text.contains("_pattern_ops") && leads(it) {
                    ways.equality |= indexable;
                    ways.prefix |= indexable;
                }
                let lowered = [
                    format!("(lower({name}))"),
                    format!("(lower(({name})::text))"),
                    format!("(lower(\"{name}\"))"),
                    format!("(lower((\"{name}\")::text))"),
                ];
                ways.lowered |= indexable && lowered.iter().any(|own| text.contains(own));
            }
        }
    }
    ways
}

/// How many rows a table has: what the planner estimates, or as many as its file could hold; `None` if neither is known.
fn rows(relation: &Relation) -> Option<f64> {
    /// Bytes of a row with its header, where it holds little.
    const ROW_BYTES: f64 = 40.0;
    /// A table of which nobody counted the rows, and which is no larger than that, is small whatever they are.
    const UNCOUNTED: u64 = 1 << 20;
    let bytes = relation.measures.map(|it| it.table_bytes);
    match (relation.estimated_rows, bytes) {
        // Counted while it was empty, and filled since.
        (Some(rows), Some(bytes)) if rows < 1.0 && bytes > UNCOUNTED => None,
        (Some(rows), _) => Some(rows),
        (None, Some(bytes)) if bytes <= UNCOUNTED && relation.kind == RelationKind::Table =>
        {
            #[expect(clippy::cast_precision_loss, reason = "at most a mebibyte")]
            Some(bytes as f64 / ROW_BYTES)
        }
        (None, _) => None,
    }
}

/// Partitioned tables of which a part is on another server.
fn remote(catalog: &Catalog) -> HashSet<u32> {
    let foreign = catalog.relations.iter().filter(|it| it.kind == RelationKind::ForeignTable);
    let mut remote: HashSet<u32> = foreign.filter_map(|it| it.partition_of).collect();
    loop {
        let above = catalog.relations.iter().filter(|it| remote.contains(&it.oid));
        let above: Vec<u32> =
            above.filter_map(|it| it.partition_of).filter(|it| !remote.contains(it)).collect();
        if above.is_empty() {
            return remote;
        }
        remote.extend(above);
    }
}

fn named(relation: &Relation, column: &Column) -> TextColumn {
    TextColumn {
        schema: relation.schema.clone(),
        table: relation.name.clone(),
        column: column.name.clone(),
    }
}

fn table(it: &TextColumn) -> String {
    format!("{}.{}", quoted(&it.schema), quoted(&it.table))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// An array of texts, as Postgres reads it.
fn array(texts: &[String]) -> String {
    let quoted = |it: &String| format!("\"{}\"", it.replace('\\', "\\\\").replace('"', "\\\""));
    format!("{{{}}}", texts.iter().map(quoted).collect::<Vec<_>>().join(","))
}
