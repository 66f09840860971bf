//! Questions about the schema that need more than its names: what something means, how things are connected.

use crate::{
    index::{ColumnInfo, SchemaIndex},
    join,
    language::Place,
    link::{Item, Meaning, NameLink},
    logical::LogicalQuery,
    meta::{MetaAnswer, examples},
};

/// How many columns of one name are told of at most.
const TOLD: usize = 6;

/// How many values of a column are told at most.
const VALUES: usize = 12;

/// What something means, if that is asked.
pub(crate) fn meaning(index: &SchemaIndex, text: &str, items: &[Item]) -> Option<MetaAnswer> {
    let asks = (text.starts_with("what does ") || text.starts_with("what do "))
        && (text.ends_with(" mean") || text.ends_with(" stand for"))
        || text.starts_with("what is meant by ")
        || text.starts_with("what is the meaning of ")
        || text.starts_with("whats the meaning of ")
        || text.starts_with("define ")
        || text.starts_with("explain the column ")
        || text.starts_with("explain the table ");
    if !asks {
        return None;
    }
    let named = |it: &Item| -> Vec<NameLink> {
        match &it.meaning {
            Meaning::Name(links) => links.clone(),
            _ => it.names.clone(),
        }
    };
    let links = items.iter().map(named).find(|it| it.first().is_some_and(|it| it.score >= 0.8))?;
    let best = links[0].score;
    let mut told = Vec::new();
    let mut tables = Vec::new();
    for link in links.iter().filter(|it| it.score > best - 0.05).take(TOLD) {
        let table = &index.tables[link.table];
        let full = format!("{}.{}", table.schema, table.name);
        told.push(match link.column {
            Some(column) => described(index, link.table, column, &table.columns[column]),
            None => {
                let columns = table.columns.iter().filter(|it| it.defined.is_none()).count();
                match table.comment.as_deref().filter(|it| !it.trim().is_empty()) {
                    Some(comment) => {
                        format!(
                            "{} is a table of {columns} columns: {}.",
                            table.name,
                            ended(comment)
                        )
                    }
                    None => format!(
                        "{} is a table of {columns} columns; nobody has described it.",
                        table.name
                    ),
                }
            }
        });
        if !tables.contains(&full) {
            tables.push(full);
        }
    }
    told.dedup();
    let about: Vec<usize> = links.iter().take(1).map(|it| it.table).collect();
    Some(MetaAnswer { answer: told.join(" "), tables, examples: examples(index, &about) })
}

fn described(index: &SchemaIndex, table: usize, column: usize, it: &ColumnInfo) -> String {
    let of = &index.tables[table].name;
    if it.defined.is_some() {
        let spoken = index.spoken.iter().find(|it| {
            matches!(it.place, Place::Defined { table: a, column: b, .. } if (a, b) == (table, column))
        });
        let kind = spoken.map_or("word", |it| it.kind);
        return format!("{} is a {kind} of this organization's own, over {of}.", it.name);
    }
    let mut text = format!("{of}.{} is a column of type {}", it.name, it.type_name);
    match it.comment.as_deref().filter(|it| !it.trim().is_empty()) {
        Some(comment) => text.push_str(&format!(": {}.", ended(comment))),
        None => text.push_str("; nobody has described it."),
    }
    if it.complete && (1..=VALUES).contains(&it.values.len()) {
        text.push_str(&format!(" Its values are {}.", it.values.join(", ")));
    }
    text
}

fn ended(text: &str) -> &str {
    text.trim().trim_end_matches('.')
}

/// How two tables are connected, if that is asked.
pub(crate) fn connection(index: &SchemaIndex, text: &str, items: &[Item]) -> Option<MetaAnswer> {
    let asks = (text.starts_with("how are ")
        || text.starts_with("how is ")
        || text.starts_with("how do ")
        || text.starts_with("how does ")
        || text.starts_with("what connects ")
        || text.starts_with("what links "))
        && ["connect", "relate", "link", "join", "belong", "tied", "associated"]
            .iter()
            .any(|it| text.contains(it));
    if !asks {
        return None;
    }
    let mut tables: Vec<usize> = Vec::new();
    for item in items {
        if let Meaning::Name(links) = &item.meaning
            && let Some(link) = links.iter().find(|it| it.column.is_none() && it.score > 0.7)
            && !tables.contains(&link.table)
        {
            tables.push(link.table);
        }
    }
    let [a, b] = tables.as_slice() else { return None };
    let query = LogicalQuery { root: Some(*a), also: vec![*b], ..LogicalQuery::default() };
    let name = |at: usize| index.tables[at].name.as_str();
    let full = |at: usize| format!("{}.{}", index.tables[at].schema, index.tables[at].name);
    let Some(plan) = join::plan(index, &query) else {
        return Some(MetaAnswer {
            answer: format!("Nothing connects {} and {}.", name(*a), name(*b)),
            tables: vec![full(*a), full(*b)],
            examples: examples(index, &tables),
        });
    };
    let steps: Vec<String> = plan
        .tables
        .iter()
        .filter_map(|it| {
            let (to, pairs) = it.to.as_ref()?;
            let other = plan.tables[*to].table;
            let (there, here) = (pairs[0].0, pairs[0].1);
            let edge =
                index.edges_of[it.table].iter().map(|at| &index.edges[*at]).find(|edge| {
                    let (own, next, theirs) = edge.seen_from(it.table);
                    next == other && own.first() == Some(&here) && theirs.first() == Some(&there)
                })?;
            let column = |table: usize, column: usize| {
                format!("{}.{}", name(table), index.tables[table].columns[column].name)
            };
            let guessed = if edge.declared { "" } else { " (guessed by name)" };
            let (from, to) =
                (column(edge.from, edge.from_columns[0]), column(edge.to, edge.to_columns[0]));
            Some(format!("{from} refers to {to}{guessed}"))
        })
        .collect();
    Some(MetaAnswer {
        answer: format!(
            "{} and {} are connected{}: {}.",
            name(*a),
            name(*b),
            if steps.len() > 1 { format!(" in {} steps", steps.len()) } else { String::new() },
            steps.join("; ")
        ),
        tables: plan.tables.iter().map(|it| full(it.table)).collect(),
        examples: examples(index, &tables),
    })
}

/// Whether a question asks how old what is known of the schema is.
pub fn asks_for_freshness(question: &str) -> bool {
    let words: Vec<String> = crate::token::tokenize(question)
        .into_iter()
        .filter(|it| !matches!(it.kind, crate::token::TokenKind::Mark(_)))
        .map(|it| it.lower)
        .collect();
    let text = words.join(" ");
    let about = ["the schema", "your schema", "this schema", "the schema information"];
    about.iter().any(|it| text.contains(it))
        && (text.starts_with("how fresh")
            || text.starts_with("how old")
            || text.starts_with("how up to date")
            || text.starts_with("how current")
            || text.starts_with("how recent")
            || text.starts_with("is the schema up to date")
            || text.starts_with("is your schema up to date")
            || text.starts_with("when was")
                && ["read", "refreshed", "updated", "loaded"].iter().any(|it| text.contains(it)))
}
