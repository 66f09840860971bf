//! Teaches an index the organization's language.

use plinth_schema_introspect::TypeClass;
use plinth_sql_guard::{Expression, Guard, Piece};

use super::{Defined, DefinedPiece, Metric, MetricColumn, Place, Spoken, Term, TermMeaning, said};
use crate::{
    index::{ColumnInfo, SchemaIndex, stems},
    logical::Aggregate,
    render::identifier,
    token::normalized,
};

/// Whoever defines a word means it.
const DEFINED: f64 = 1.0;

/// A definition that cannot be used over a schema as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable {
    /// Whose.
    pub id: String,
    /// What is wrong with it, in words.
    pub why: String,
}

impl SchemaIndex {
    /// Teaches the index these terms and metrics; gives those that do not fit the schema.
    pub fn speak(&mut self, terms: &[Term], metrics: &[Metric], guard: &Guard) -> Vec<Unusable> {
        let mut unusable = Vec::new();
        let terms_called =
            terms.iter().flat_map(|it| std::iter::once(&it.name).chain(&it.synonyms));
        let metrics_called =
            metrics.iter().flat_map(|it| std::iter::once(&it.name).chain(&it.synonyms));
        let called: Vec<Vec<String>> =
            terms_called.chain(metrics_called).map(|it| said(it)).collect();
        self.overrule(&called);
        if let Some(base) = &mut self.base {
            // What only fits where there are views is told below.
            base.speak(terms, metrics, guard);
        }
        for it in terms {
            if let Err(why) = self.speak_term(it, guard) {
                unusable.push(Unusable { id: it.id.clone(), why });
            }
        }
        for it in metrics {
            if let Err(why) = self.speak_metric(it, guard) {
                unusable.push(Unusable { id: it.id.clone(), why });
            }
        }
        unusable
    }

    fn speak_term(&mut self, term: &Term, guard: &Guard) -> Result<(), String> {
        let table = self.table_called(&term.table)?;
        let ways: Vec<Vec<String>> =
            std::iter::once(&term.name).chain(&term.synonyms).map(|it| said(it)).collect();
        let place = match &term.meaning {
            TermMeaning::Table => {
                ways.iter().for_each(|it| self.add_name(table, None, it, DEFINED, false));
                Place::Name { table, column: None }
            }
            TermMeaning::Column(column) => {
                let column = self.column_called(table, column)?;
                self.name_place(table, column, &ways);
                Place::Name { table, column: Some(column) }
            }
            TermMeaning::Value { column, value } => {
                let column = self.column_called(table, column)?;
                let values = &mut self.tables[table].columns[column].values;
                let at = values.iter().position(|it| it == value).unwrap_or_else(|| {
                    values.push(value.clone());
                    values.len() - 1
                });
                for way in std::iter::once(&term.name).chain(&term.synonyms) {
                    self.values.add(&normalized(way), table, column, at);
                }
                Place::Value { table, column, value: value.clone() }
            }
            TermMeaning::Predicate(sql) | TermMeaning::Expression(sql) => {
                let is_flag = matches!(term.meaning, TermMeaning::Predicate(_));
                let expression = self.expression(table, sql, guard)?;
                if expression.aggregate {
                    return Err("it sums up rows: make it a metric".to_owned());
                }
                let class = if is_flag { TypeClass::Boolean } else { TypeClass::Decimal };
                let pieces = self.bound(table, &expression)?;
                let defined = Defined { pieces, metric: None, inner: expression.inner };
                let column = self.define(table, &term.name, class, defined);
                self.name_place(table, column, &ways);
                let own = &self.tables[table].words;
                let named = ways.iter().any(|it| it.iter().any(|word| own.contains(word)));
                Place::Defined { table, column, noun: is_flag && !named }
            }
        };
        let (id, name) = (term.id.clone(), term.name.clone());
        self.spoken.push(Spoken { kind: "term", id, name, ways, place });
        Ok(())
    }

    fn speak_metric(&mut self, metric: &Metric, guard: &Guard) -> Result<(), String> {
        let table = self.table_called(&metric.table)?;
        let whole = self.expression(table, &metric.expression, guard)?;
        if !whole.aggregate {
            return Err("it does not sum up rows: write an aggregate, like sum(amount)".to_owned());
        }
        let (function, expression) = match &whole.taken_of {
            Some((name, inner)) => {
                let function = match name.as_str() {
                    "sum" => Aggregate::Sum,
                    "avg" => Aggregate::Avg,
                    "min" => Aggregate::Min,
                    "max" => Aggregate::Max,
                    _ => Aggregate::Count,
                };
                (Some(function), self.expression(table, inner, guard)?)
            }
            None => (None, whole),
        };
        // Each is judged before anything of it is kept.
        let row = |text: &Option<String>, what: &str| match text {
            None => Ok(None),
            Some(text) => {
                let it =
                    self.expression(table, text, guard).map_err(|it| format!("{what}: {it}"))?;
                if it.aggregate {
                    return Err(format!("{what} sums up rows, but has to hold of each"));
                }
                Ok(Some((self.bound(table, &it)?, it.inner)))
            }
        };
        let (filter, time) = (row(&metric.filter, "the filter")?, row(&metric.time, "the time")?);
        let pieces = self.bound(table, &expression)?;
        let define = |index: &mut Self, (pieces, inner), what: &str, class| {
            let name = format!("{} {what}", metric.name);
            index.define(table, &name, class, Defined { pieces, metric: None, inner })
        };
        let filter = filter.map(|it| define(self, it, "counts", TypeClass::Boolean));
        let time = time.map(|it| define(self, it, "time", TypeClass::Timestamp));
        let metric_column = MetricColumn { function, filter, time };
        let defined = Defined { pieces, metric: Some(metric_column), inner: expression.inner };
        let column = self.define(table, &metric.name, TypeClass::Decimal, defined);
        let ways: Vec<Vec<String>> =
            std::iter::once(&metric.name).chain(&metric.synonyms).map(|it| said(it)).collect();
        for way in &ways {
            self.add_name(table, Some(column), way, DEFINED, false);
        }
        let place = Place::Defined { table, column, noun: false };
        let (id, name) = (metric.id.clone(), metric.name.clone());
        self.spoken.push(Spoken { kind: "metric", id, name, ways, place });
        Ok(())
    }

    /// The position of a table, by `schema.table`.
    fn table_called(&self, name: &str) -> Result<usize, String> {
        let found = self.tables.iter().position(|it| format!("{}.{}", it.schema, it.name) == name);
        found.ok_or_else(|| format!("the table {name} is not there, or not for this connection"))
    }

    fn column_called(&self, table: usize, name: &str) -> Result<usize, String> {
        let it = &self.tables[table];
        let found = it.columns.iter().position(|it| it.name == name && it.defined.is_none());
        found.ok_or_else(|| format!("{}.{} has no column {name}", it.schema, it.name))
    }

    fn expression(&self, table: usize, sql: &str, guard: &Guard) -> Result<Expression, String> {
        let it = &self.tables[table];
        let name = format!("{}.{}", identifier(&it.schema), identifier(&it.name));
        guard.expression(sql, &name).map_err(|it| it.to_string())
    }

    fn bound(&self, table: usize, it: &Expression) -> Result<Vec<DefinedPiece>, String> {
        let bound = it.pieces.iter().map(|it| match it {
            Piece::Text(text) => Ok(DefinedPiece::Text(text.clone())),
            Piece::Column { name, nested } => {
                let at = self.column_called(table, name)?;
                Ok(DefinedPiece::Column { at, nested: *nested })
            }
        });
        bound.collect()
    }

    /// Adds a column that the database does not have; nothing names it yet.
    fn define(&mut self, table: usize, name: &str, class: TypeClass, defined: Defined) -> usize {
        let type_name = match class {
            TypeClass::Boolean => "boolean",
            TypeClass::Timestamp => "timestamp with time zone",
            _ => "numeric",
        };
        let words = said(name);
        self.forget();
        let columns = &mut self.tables[table].columns;
        columns.push(ColumnInfo {
            name: name.to_lowercase(),
            class,
            type_name: type_name.to_owned(),
            stems: stems(&words),
            words,
            nullable: true,
            primary: false,
            foreign: false,
            unique: false,
            values: Vec::new(),
            complete: false,
            defined: Some(Box::new(defined)),
            comment: None,
            key: None,
        });
        columns.len() - 1
    }

    /// Ways to say a column: with and without the words of its table.
    fn name_place(&mut self, table: usize, column: usize, ways: &[Vec<String>]) {
        let own = self.tables[table].words.clone();
        for way in ways {
            let short: Vec<String> = way.iter().filter(|it| !own.contains(it)).cloned().collect();
            if short.is_empty() || short == *way {
                self.add_name(table, Some(column), way, DEFINED, false);
                let with: Vec<String> = own.iter().chain(way).cloned().collect();
                self.add_name(table, Some(column), &with, DEFINED, true);
            } else {
                self.add_name(table, Some(column), &short, DEFINED, false);
                let with: Vec<String> = own.iter().chain(&short).cloned().collect();
                self.add_name(table, Some(column), &with, DEFINED, true);
            }
        }
    }
}
