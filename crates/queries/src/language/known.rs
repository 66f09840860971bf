//! Of which entries somebody may know whom policies bind.

use std::collections::{HashMap, HashSet};

use plinth_connections::TableName;
use plinth_sql_guard::{Guard, Restriction, Rule};

use super::trying::statements;
use super::{Entry, EntryBody};

/// The masked columns of each table, in lower case.
pub(crate) type Masked = HashMap<TableName, Vec<String>>;

/// What those restrictions mask.
pub(crate) fn masked(restrictions: &[Restriction]) -> Masked {
    let mut all = Masked::new();
    for it in restrictions {
        let columns = it.masks.keys().map(|it| it.to_lowercase());
        all.entry(it.relation.clone()).or_default().extend(columns);
    }
    all
}

/// Whether an entry speaks of nothing that is closed to callers or masked for them: what somebody wrote about a value may
/// tell the value. Rows that are hidden stay hidden when a statement is run, and are no reason.
pub(crate) fn known_of(entry: &Entry, guard: &Guard, masked: &Masked) -> bool {
    if masked.is_empty() {
        return true;
    }
    let own = match &entry.body {
        EntryBody::Term { table, .. } | EntryBody::Metric { table, .. } => {
            let Some((schema, name)) = table.split_once('.') else { return false };
            let table = TableName { schema: schema.to_owned(), name: name.to_owned() };
            if guard.why_closed(&table).is_some() {
                return false;
            }
            Some(table)
        }
        EntryBody::Example { .. } => None,
    };
    if let EntryBody::Term { column: Some(column), .. } = &entry.body {
        let of_own = own.as_ref().and_then(|it| masked.get(it));
        if of_own.is_some_and(|it| it.contains(&column.to_lowercase())) {
            return false;
        }
    }
    statements(entry).iter().all(|sql| match guard.check(sql) {
        Ok(approved) => {
            let columns = approved.restricted.iter().filter_map(|it| masked.get(it)).flatten();
            let mut columns = columns.peekable();
            columns.peek().is_none() || {
                let words = words(sql);
                columns.all(|it| !words.contains(it.as_str()))
            }
        }
        // What does not fit the schema any more is told as such; what is refused for a policy is not told.
        Err(refused) => {
            refused.rule != Rule::PolicyClosed && {
                let words = words(sql);
                masked.values().flatten().all(|it| !words.contains(it.as_str()))
            }
        }
    })
}

/// The words of a text, in lower case; a name in quotes stands there as the words that it is made of, and as a whole.
fn words(text: &str) -> HashSet<String> {
    let lower = text.to_lowercase();
    let is_part = |it: char| it.is_alphanumeric() || matches!(it, '_' | '$');
    let plain = lower.split(|it| !is_part(it)).filter(|it| !it.is_empty()).map(str::to_owned);
    let quoted = lower.split('"').map(str::to_owned);
    plain.chain(quoted).collect()
}
