//! Measures how much of what answers a question stands in the schema that a language model gets to read.
//!
//! `recall CATALOGS QUESTIONS [--share PERCENT] [--columns N] [--together N] [--misses FILE]`: `CATALOGS/<db>.json` are
//! serialized catalogs, questions are JSON lines with `db`, `question` and `gold_sql`. N databases at a time are laid into
//! one schema, each as a Postgres schema of its own (all of them if N is left out), and of its columns at most that share,
//! and at most that many, are cut out for each question.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io::Write as _;
use std::time::Instant;

use plinth_connections::AllowedTables;
use plinth_nl2sql::{Engine, SchemaIndex};
use plinth_schema_introspect::Catalog;
use plinth_sql_guard::Guard;

/// A column that a gold statement reads: one of several, where it does not say of which table.
type Needed = BTreeSet<(String, String)>;

struct Question {
    id: String,
    db: String,
    text: String,
    tables: BTreeSet<String>,
    columns: Vec<Needed>,
}

#[derive(Default)]
struct Sums {
    questions: usize,
    whole_tables: usize,
    whole: usize,
    tables: usize,
    tables_found: usize,
    columns: usize,
    columns_found: usize,
    cut_tables: usize,
    cut_columns: usize,
    all_tables: usize,
    all_columns: usize,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, questions, options @ ..] = arguments.as_slice() else {
        return Err("usage: recall CATALOGS QUESTIONS [--share PERCENT] [--columns N] [--together N] [--misses FILE]".into());
    };
    let option = |name: &str| {
        let at = options.iter().position(|it| it == name)?;
        options.get(at + 1).map(String::as_str)
    };
    let number = |name: &str| option(name).map(str::parse::<usize>).transpose();
    let share = number("--share")?.unwrap_or(20);
    let most = number("--columns")?.unwrap_or(usize::MAX);
    let mut misses = option("--misses").map(fs::File::create).transpose()?;

    let mut catalogs: BTreeMap<String, Catalog> = BTreeMap::new();
    let mut asked: Vec<Question> = Vec::new();
    let (mut unjudged, mut without) = (0, 0);
    for line in fs::read_to_string(questions)?.lines() {
        let record: serde_json::Value = serde_json::from_str(line)?;
        let text = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
        let db = text("db");
        let gold = match &record["gold_sql"] {
            serde_json::Value::Array(all) => all.first().and_then(|it| it.as_str()),
            it => it.as_str(),
        };
        let Some(gold) = gold.filter(|it| !it.is_empty()) else {
            without += 1;
            continue;
        };
        if !catalogs.contains_key(&db) {
            let Ok(catalog) = fs::read_to_string(format!("{folder}/{db}.json")) else {
                without += 1;
                continue;
            };
            catalogs.insert(db.clone(), serde_json::from_str(&catalog)?);
        }
        let Some((tables, columns)) = needed(&catalogs[&db], gold) else {
            unjudged += 1;
            continue;
        };
        asked.push(Question { id: text("id"), db, text: text("question"), tables, columns });
    }

    let together = number("--together")?.unwrap_or(catalogs.len()).max(1);
    let names: Vec<&String> = catalogs.keys().collect();
    let engine = Engine::new();
    let (mut sums, mut times) = (Sums::default(), Vec::new());
    for group in names.chunks(together) {
        let merged = merge(group.iter().map(|it| (it.as_str(), &catalogs[*it])));
        let index = SchemaIndex::build(&merged, &AllowedTables::All);
        let total: usize = merged.relations.iter().map(|it| it.columns.len()).sum();
        let budget = (total * share / 100).min(most).max(1);
        for it in asked.iter().filter(|it| group.contains(&&it.db)) {
            let started = Instant::now();
            let cut = engine.relevant_schema(&it.text, &index, budget);
            times.push(started.elapsed().as_secs_f64() * 1000.0);
            let found: HashMap<&str, BTreeSet<&str>> = cut
                .iter()
                .filter(|table| table.schema == it.db)
                .map(|table| {
                    let columns = table.columns.iter().map(|it| it.name.as_str()).collect();
                    (table.name.as_str(), columns)
                })
                .collect();
            let has = |it: &Needed| {
                it.iter().any(|(table, column)| {
                    found.get(table.as_str()).is_some_and(|all| all.contains(column.as_str()))
                })
            };
            let lost_tables: Vec<_> =
                it.tables.iter().filter(|it| !found.contains_key(it.as_str())).collect();
            let lost: Vec<_> = it.columns.iter().filter(|it| !has(it)).collect();
            sums.questions += 1;
            sums.whole_tables += usize::from(lost_tables.is_empty());
            sums.whole += usize::from(lost_tables.is_empty() && lost.is_empty());
            sums.tables += it.tables.len();
            sums.tables_found += it.tables.len() - lost_tables.len();
            sums.columns += it.columns.len();
            sums.columns_found += it.columns.len() - lost.len();
            sums.cut_tables += cut.len();
            sums.cut_columns += cut.iter().map(|it| it.columns.len()).sum::<usize>();
            sums.all_tables += merged.relations.len();
            sums.all_columns += total;
            if let Some(file) =
                misses.as_mut().filter(|_| !(lost_tables.is_empty() && lost.is_empty()))
            {
                writeln!(file, "{} {}: {} | {lost_tables:?} {lost:?}", it.id, it.db, it.text)?;
            }
        }
    }
    report(&sums, &mut times, unjudged, without)?;
    Ok(())
}

fn report(
    sums: &Sums,
    times: &mut [f64],
    unjudged: usize,
    without: usize,
) -> Result<(), std::io::Error> {
    #[expect(clippy::cast_precision_loss, reason = "percentages")]
    let percent = |part: usize, of: usize| part as f64 * 100.0 / of.max(1) as f64;
    let mut out = std::io::stdout();
    writeln!(
        out,
        "{} questions ({without} without gold, {unjudged} whose gold could not be read)",
        sums.questions
    )?;
    writeln!(
        out,
        "recall of gold tables {:.2} % of {}, of gold columns {:.2} % of {}",
        percent(sums.tables_found, sums.tables),
        sums.tables,
        percent(sums.columns_found, sums.columns),
        sums.columns
    )?;
    writeln!(
        out,
        "questions with all their tables {:.2} %, with all their tables and columns {:.2} %",
        percent(sums.whole_tables, sums.questions),
        percent(sums.whole, sums.questions)
    )?;
    writeln!(
        out,
        "cut: {:.1} % of the tables, {:.1} % of the columns",
        percent(sums.cut_tables, sums.all_tables),
        percent(sums.cut_columns, sums.all_columns)
    )?;
    times.sort_by(f64::total_cmp);
    if let Some(last) = times.len().checked_sub(1) {
        let at = |share: usize| times[last * share / 100];
        writeln!(out, "time: median {:.2} ms, p99 {:.2} ms", at(50), at(99))?;
    }
    Ok(())
}

/// What a statement reads, by its tables and by its words.
fn needed(catalog: &Catalog, sql: &str) -> Option<(BTreeSet<String>, Vec<Needed>)> {
    let approved = Guard::new(catalog, &AllowedTables::All).check(sql).ok()?;
    let tables: BTreeSet<String> = approved.relations.iter().map(|it| it.name.clone()).collect();
    let words = words(sql);
    let mut aliases: HashMap<&str, &str> = HashMap::new();
    for at in 0..words.len() {
        if let Some(table) = tables.get(&words[at]) {
            aliases.insert(table, table);
            let next = at + 1 + usize::from(words.get(at + 1).is_some_and(|it| it == "as"));
            if let Some(alias) = words.get(next)
                && alias.chars().all(|it| it.is_alphanumeric() || it == '_')
            {
                aliases.entry(alias).or_insert(table);
            }
        }
    }
    let mut columns: Vec<Needed> = Vec::new();
    for at in 0..words.len() {
        if words.get(at + 1).is_some_and(|it| it == "." || it == "(") {
            continue;
        }
        let owner = (at >= 2 && words[at - 1] == ".").then(|| aliases.get(words[at - 2].as_str()));
        let holders: Needed = catalog
            .relations
            .iter()
            .filter(|it| match owner {
                Some(Some(table)) => it.name == **table,
                _ => tables.contains(&it.name),
            })
            .filter(|it| it.columns.iter().any(|it| it.name == words[at]))
            .map(|it| (it.name.clone(), words[at].clone()))
            .collect();
        if !holders.is_empty() && !columns.contains(&holders) {
            columns.push(holders);
        }
    }
    Some((tables, columns))
}

/// Names as the server folds them, and single signs; texts are left out.
fn words(sql: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut rest = sql.chars().peekable();
    while let Some(it) = rest.next() {
        match it {
            '\'' => while rest.next().is_some_and(|it| it != '\'') {},
            '"' => all.push(rest.by_ref().take_while(|it| *it != '"').collect()),
            it if it.is_alphanumeric() || it == '_' => {
                let mut word = it.to_lowercase().to_string();
                while let Some(it) = rest.next_if(|it| it.is_alphanumeric() || *it == '_') {
                    word.extend(it.to_lowercase());
                }
                all.push(word);
            }
            it if it.is_whitespace() => {}
            it => all.push(it.to_string()),
        }
    }
    all
}

/// One catalog of several, each with a schema of its own.
fn merge<'a>(parts: impl Iterator<Item = (&'a str, &'a Catalog)>) -> Catalog {
    let mut whole: Option<Catalog> = None;
    let mut next = 1;
    for (name, part) in parts {
        let into = whole.get_or_insert_with(|| Catalog {
            relations: Vec::new(),
            schemas: Vec::new(),
            ..part.clone()
        });
        let ids: HashMap<u32, u32> =
            (next..).zip(&part.relations).map(|(id, it)| (it.oid, id)).collect();
        next += u32::try_from(part.relations.len()).unwrap_or(0);
        if let Some(schema) = part.schemas.first() {
            let mut schema = schema.clone();
            name.clone_into(&mut schema.name);
            into.schemas.push(schema);
        }
        into.search_path.push(name.to_owned());
        for it in &part.relations {
            let mut it = (**it).clone();
            it.oid = ids[&it.oid];
            name.clone_into(&mut it.schema);
            it.foreign_keys.retain_mut(|key| {
                let target = ids.get(&key.target).copied();
                key.target = target.unwrap_or(0);
                target.is_some()
            });
            into.relations.push(it.into());
        }
    }
    let mut whole = whole.unwrap_or_default();
    whole.relations.sort_by(|a, b| (&a.schema, &a.name).cmp(&(&b.schema, &b.name)));
    whole
}
