//! Questions about the schema itself, and questions that can be answered over it.

use plinth_schema_introspect::TypeClass;

use crate::{
    about,
    index::SchemaIndex,
    link::{self, Meaning},
    read::is_answerable,
    token::Token,
};

/// The answer to a question about the schema.
#[derive(Clone, Debug, PartialEq)]
pub struct MetaAnswer {
    /// The answer, in words.
    pub answer: String,
    /// The tables it speaks of, as `schema.table`.
    pub tables: Vec<String>,
    /// Questions that can be asked.
    pub examples: Vec<String>,
}

/// The answer, if that is a question about the schema.
pub(crate) fn answer(index: &SchemaIndex, tokens: &[Token]) -> Option<MetaAnswer> {
    let words: Vec<&str> = tokens.iter().map(|it| it.lower.as_str()).collect();
    let text = words.join(" ");
    let text = text.trim_end_matches([' ', '?', '.', '!']);
    let full = |at: usize| format!("{}.{}", index.tables[at].schema, index.tables[at].name);
    if matches!(
        text,
        "what can i ask"
            | "what can you do"
            | "what can you answer"
            | "help"
            | "what data is there"
            | "what data do you have"
            | "what is in this database"
            | "what can i ask about"
            | "what questions can i ask"
            | "what do you know"
            | "what can i ask you"
            | "what is this database about"
    ) {
        let mut by_rows: Vec<usize> = (0..index.tables.len()).collect();
        by_rows
            .sort_by(|a, b| index.tables[*b].rows.total_cmp(&index.tables[*a].rows).then(a.cmp(b)));
        let names: Vec<String> =
            by_rows.iter().take(12).map(|it| index.tables[*it].name.clone()).collect();
        return Some(MetaAnswer {
            answer: format!(
                "You can ask about {} tables{}: {}.",
                index.tables.len(),
                if index.tables.len() > 12 { ", among them" } else { "" },
                names.join(", ")
            ),
            tables: by_rows.iter().take(12).map(|it| full(*it)).collect(),
            examples: examples(index, &[]),
        });
    }
    let about_tables = [
        "tables are there",
        "list tables",
        "list the tables",
        "list all tables",
        "show tables",
        "show all tables",
        "show me the tables",
        "what tables do you have",
        "which tables do you have",
        "what are the tables",
        "which tables exist",
        "what tables exist",
        "what tables are there",
        "which tables are there",
        "show me all tables",
    ];
    if about_tables.iter().any(|it| text == *it || text.ends_with("tables are there"))
        && !index.vocabulary.holds("tabl")
    {
        return Some(all_tables(index));
    }
    let items = link::link(index, tokens, &[]);
    // `which tables have emails?`
    let begins = |it: &str| text.starts_with(it);
    if (begins("which tables")
        || begins("what tables")
        || begins("in which table")
        || begins("which table"))
        && !index.vocabulary.holds("tabl")
    {
        let mut found = Vec::new();
        for item in &items {
            if let Meaning::Name(links) = &item.meaning {
                for link in links.iter().filter(|it| it.score >= 0.5) {
                    let name = match link.column {
                        Some(column) => format!(
                            "{}.{}",
                            index.tables[link.table].name,
                            index.tables[link.table].columns[column].name
                        ),
                        None => index.tables[link.table].name.clone(),
                    };
                    if !found.iter().any(|it: &(usize, String)| it.1 == name) {
                        found.push((link.table, name));
                    }
                }
            }
        }
        // no more than "which tables are in this database?"
        let whole = ["database", "schema", "db", "there", "exist"];
        if found.is_empty() && words.iter().any(|it| whole.contains(it)) {
            return Some(all_tables(index));
        }
        found.truncate(12);
        let mut tables: Vec<usize> = found.iter().map(|it| it.0).collect();
        tables.sort_unstable();
        tables.dedup();
        return Some(MetaAnswer {
            answer: if found.is_empty() {
                "No table or column has such a name.".to_owned()
            } else {
                format!(
                    "These come nearest: {}.",
                    found.iter().map(|it| it.1.as_str()).collect::<Vec<_>>().join(", ")
                )
            },
            tables: tables.iter().map(|it| full(*it)).collect(),
            examples: examples(index, &tables),
        });
    }
    // `what columns does orders have?`
    if (words.iter().any(|it| matches!(*it, "columns" | "fields" | "attributes"))
        && (begins("what") || begins("which") || begins("list") || begins("show"))
        || begins("describe"))
        && !index.vocabulary.holds("column")
    {
        let table = items.iter().find_map(|item| match &item.meaning {
            Meaning::Name(links) => {
                links.iter().find(|it| it.column.is_none() && it.score > 0.7).map(|it| it.table)
            }
            _ => None,
        })?;
        let asked = items
            .iter()
            .filter(|it| {
                matches!(it.meaning, Meaning::Name(_) | Meaning::Value(_) | Meaning::Number(..))
            })
            .count();
        if asked > 1 {
            return None;
        }
        let info = &index.tables[table];
        let real = info.columns.iter().filter(|it| it.defined.is_none());
        let columns: Vec<String> =
            real.map(|it| format!("{} ({})", it.name, it.type_name)).collect();
        return Some(MetaAnswer {
            answer: format!("{} has {} columns: {}.", info.name, columns.len(), columns.join(", ")),
            tables: vec![full(table)],
            examples: examples(index, &[table]),
        });
    }
    about::connection(index, text, &items).or_else(|| about::meaning(index, text, &items))
}

fn all_tables(index: &SchemaIndex) -> MetaAnswer {
    let names: Vec<&str> = index.tables.iter().map(|it| it.name.as_str()).collect();
    MetaAnswer {
        answer: format!("There are {} tables: {}.", names.len(), names.join(", ")),
        tables: index.tables.iter().map(|it| format!("{}.{}", it.schema, it.name)).collect(),
        examples: examples(index, &[]),
    }
}

/// How many questions are tried before three are proposed, at most.
const TRIED: usize = 12;

/// Up to three questions that can be answered over this schema, about these tables if there are any.
pub(crate) fn examples(index: &SchemaIndex, about: &[usize]) -> Vec<String> {
    let mut tables: Vec<usize> = if about.is_empty() {
        let mut all: Vec<usize> =
            (0..index.tables.len()).filter(|it| !index.tables[*it].bridge).collect();
        all.sort_by(|a, b| index.edges_of[*b].len().cmp(&index.edges_of[*a].len()).then(a.cmp(b)));
        all
    } else {
        about.to_vec()
    };
    tables.truncate(3);
    // what one table has no answers for, another has
    if about.len() < 3 {
        let others = (0..index.tables.len()).filter(|it| !index.tables[*it].bridge);
        let others: Vec<usize> = others.filter(|it| !tables.contains(it)).take(3).collect();
        tables.extend(others);
    }
    let mut all: Vec<String> = Vec::new();
    let many = |at: usize| plural(&index.tables[at].words.join(" "));
    for &table in &tables {
        let info = &index.tables[table];
        let category = info.columns.iter().find(|it| {
            it.class.is_textual()
                && it.complete
                && !it.is_id()
                && (2..=30).contains(&it.values.len())
        });
        let measure = info.columns.iter().find(|it| it.class.is_numeric() && !it.is_id());
        if let Some(it) = category {
            all.push(format!(
                "How many {} are there for each {}?",
                many(table),
                it.words.join(" ")
            ));
        }
        if let Some(it) = measure {
            all.push(format!("What is the average {} of the {}?", it.words.join(" "), many(table)));
        }
        all.push(format!("How many {} are there?", many(table)));
        if let Some(it) = info.columns.iter().find(|it| it.class == TypeClass::Text && !it.is_id())
        {
            all.push(format!("List the {} of all {}", it.words.join(" "), many(table)));
        }
    }
    // what is proposed can be answered: each is read as it would be
    all.dedup();
    all.into_iter().take(TRIED).filter(|it| is_answerable(index, it)).take(3).collect()
}

pub(crate) fn plural(words: &str) -> String {
    if words.ends_with('s') || words.ends_with("staff") || words.ends_with("data") {
        words.to_owned()
    } else if words.ends_with('y')
        && !words.ends_with("ey")
        && !words.ends_with("ay")
        && !words.ends_with("oy")
    {
        format!("{}ies", &words[..words.len() - 1])
    } else if words.ends_with("ch") || words.ends_with("sh") || words.ends_with('x') {
        format!("{words}es")
    } else if let Some(head) = words.strip_suffix("person") {
        format!("{head}people")
    } else {
        format!("{words}s")
    }
}
