//! The engine: one question, one outcome.

use std::collections::BTreeSet;

use crate::{
    assemble::assemble,
    confidence::{self, CONFIDENCE_THRESHOLD},
    correct, explain,
    index::SchemaIndex,
    interpret::{Interpreter, Note},
    join, language,
    lexicon::LEXICON,
    link::{self, Item, Meaning},
    logical::{Aggregate, Comparison, Expr, LogicalQuery, Predicate},
    meta::{self, MetaAnswer},
    mirror, phrase, render, shape, time,
    token::{self, Token},
};

/// The most that a reading is worth which leaves a word of weight unexplained: enough for a question back.
const UNSURE: f64 = 0.9 * CONFIDENCE_THRESHOLD;

/// What each verb costs that is left unexplained.
const UNSAID: f64 = 0.15;

/// What the engine must know beside the question and the schema.
#[derive(Clone, Debug)]
pub struct AskContext {
    /// The moment of asking, in the organization's time zone.
    pub now: jiff::Zoned,
}

/// Answers questions over schemas. Holds nothing of any schema, so one serves all.
#[derive(Debug, Default)]
pub struct Engine {
    _private: (),
}

/// What became of a question.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It was understood.
    Answered(Reading),
    /// It has several readings that are nearly equally likely, or one that is not sure enough.
    NeedsClarification(Clarification),
    /// It cannot be answered over this schema, as far as the engine can see.
    NotAnswerable(NotUnderstood),
    /// It speaks of what is there, but not for the caller: these are the caller's own words for it.
    NotPermitted(Vec<String>),
    /// It was about the schema itself.
    Meta(MetaAnswer),
}

/// A question as it was understood.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// One SELECT.
    pub sql: String,
    /// What it does, in plain words.
    pub explanation: String,
    /// The tables it reads, as `schema.table`, sorted.
    pub tables: Vec<String>,
    /// What was taken for granted, one sentence each.
    pub assumptions: Vec<String>,
    /// How likely it is right, from 0 to 1.
    pub confidence: f64,
    /// The query behind the SQL.
    pub query: LogicalQuery,
    /// Words of the question that had no part in it.
    pub ignored: Vec<String>,
    /// What the confidence was computed from, in the order of [`SIGNALS`](crate::SIGNALS).
    pub signals: Vec<f64>,
}

/// One way to understand a question.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// A few words to choose by.
    pub label: String,
    /// What it does, in plain words.
    pub explanation: String,
    /// One SELECT.
    pub sql: String,
    /// How likely it is what was meant, from 0 to 1.
    pub confidence: f64,
}

/// A question back.
#[derive(Clone, Debug, PartialEq)]
pub struct Clarification {
    /// What is asked back.
    pub question: String,
    /// At most three ways to understand the question, the likeliest first.
    pub options: Vec<Choice>,
    /// Words that were not understood.
    pub words: Vec<String>,
    /// At most three questions that can be answered over this schema.
    pub rephrasings: Vec<String>,
}

/// A question that was not understood.
#[derive(Clone, Debug, PartialEq)]
pub struct NotUnderstood {
    /// Words that were not understood.
    pub words: Vec<String>,
    /// At most three questions that can be answered over this schema.
    pub rephrasings: Vec<String>,
    /// What to tell the person.
    pub message: String,
}

/// A table that may matter to a question.
#[derive(Clone, Debug, PartialEq)]
pub struct RelevantTable {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// How strongly the question speaks of it, from 0 to 1.
    pub score: f64,
    /// Its columns, those that matter first.
    pub columns: Vec<RelevantColumn>,
}

/// A column that may matter to a question.
#[derive(Clone, Debug, PartialEq)]
pub struct RelevantColumn {
    /// Its name.
    pub name: String,
    /// How strongly the question speaks of it, from 0 to 1.
    pub score: f64,
    /// Values of it that the question names.
    pub values: Vec<String>,
}

impl Engine {
    /// An engine. The lexicons are parsed once for the whole process.
    pub fn new() -> Self {
        let _ = &*LEXICON;
        Self::default()
    }

    /// What that question means over that schema. Takes a few milliseconds, never blocks, never fails.
    pub fn ask(&self, question: &str, index: &SchemaIndex, context: &AskContext) -> Outcome {
        let mut tokens = token::tokenize(&index.spoken(question));
        correct::correct(index, &mut tokens);
        phrase::plain(&mut tokens);
        if let Some(answer) = meta::answer(index, &tokens) {
            return Outcome::Meta(answer);
        }
        let today = context.now.date();
        let times = time::find(&tokens, today);
        let Some(read) = likeliest(index, &tokens, today) else {
            let concealed = index.concealed_in(&tokens);
            if !concealed.is_empty() {
                return Outcome::NotPermitted(concealed);
            }
            let items = link::link(index, &tokens, &times);
            return Outcome::NotAnswerable(NotUnderstood {
                words: content(&items, &vec![false; items.len()]),
                rephrasings: meta::examples(index, &[]),
                message:
                    "Nothing in the question names a table, a column or a value of this database."
                        .to_owned(),
            });
        };
        let words = read.ignored.clone();
        if read.confidence >= CONFIDENCE_THRESHOLD {
            return Outcome::Answered(read);
        }
        let concealed = index.concealed_in(&tokens);
        if !concealed.is_empty() {
            return Outcome::NotPermitted(concealed);
        }
        let tables: Vec<usize> = read.query.root.into_iter().collect();
        let rephrasings = meta::examples(index, &tables);
        if read.confidence < confidence::HOPELESS {
            return Outcome::NotAnswerable(NotUnderstood {
                message: if words.is_empty() {
                    "The question could not be read with enough certainty.".to_owned()
                } else {
                    format!("These words were not understood: {}.", words.join(", "))
                },
                words,
                rephrasings,
            });
        }
        Outcome::NeedsClarification(Clarification {
            question: if words.is_empty() {
                "Is this what you mean?".to_owned()
            } else {
                format!("I did not understand {}. Is this what you mean?", words.join(", "))
            },
            options: vec![Choice {
                label: explain::label(index, &read.query),
                explanation: read.explanation.clone(),
                sql: read.sql.clone(),
                confidence: read.confidence,
            }],
            words,
            rephrasings,
        })
    }

    /// The likeliest reading, however unsure: for measuring, and for a language model that wants a second opinion.
    pub fn best_reading(
        &self,
        question: &str,
        index: &SchemaIndex,
        context: &AskContext,
    ) -> Option<Reading> {
        let mut tokens = token::tokenize(&index.spoken(question));
        correct::correct(index, &mut tokens);
        phrase::plain(&mut tokens);
        likeliest(index, &tokens, context.now.date())
    }

    /// The tables and columns that may matter to a question, most relevant first, at most `budget` columns in all.
    ///
    /// Tables that connect relevant ones are among them. A schema that fits the budget is returned whole.
    pub fn relevant_schema(
        &self,
        question: &str,
        index: &SchemaIndex,
        budget: usize,
    ) -> Vec<RelevantTable> {
        let mut tokens = token::tokenize(question);
        correct::correct(index, &mut tokens);
        let read = read(index, &link::link(index, &tokens, &[]), &tokens, None);
        crate::cut::cut(question, index, budget, read.as_ref().map(|it| &it.query))
    }
}

/// Whether a question is read so surely that it is answered.
pub(crate) fn is_answerable(index: &SchemaIndex, question: &str) -> bool {
    let mut tokens = token::tokenize(question);
    correct::correct(index, &mut tokens);
    phrase::plain(&mut tokens);
    // what is proposed names no day
    let read = likeliest(index, &tokens, jiff::civil::Date::MIN);
    read.is_some_and(|it| it.confidence >= CONFIDENCE_THRESHOLD)
}

/// The better one of the readings over tables alone and over tables and views. Tables come first: a view wins only where
/// they leave the question unanswered, and where it answers alone.
fn likeliest(index: &SchemaIndex, tokens: &[Token], today: jiff::civil::Date) -> Option<Reading> {
    let read_over = |index: &SchemaIndex| shaped(index, tokens, today);
    let as_it_stands = |index: &SchemaIndex| {
        let times = time::find(tokens, today);
        read(index, &link::link(index, tokens, &times), tokens, None)
    };
    let Some(base) = &index.base else { return read_over(index) };
    let plain = read_over(base);
    if plain.as_ref().is_some_and(|it| it.confidence >= CONFIDENCE_THRESHOLD) {
        return plain;
    }
    let viewed = as_it_stands(index).filter(|it| {
        let mut alone = true;
        it.query.each(&mut |part| alone &= part.instances().len() <= 1);
        alone && it.confidence >= CONFIDENCE_THRESHOLD
    });
    viewed.or(plain)
}

/// The reading as a shape around a plainer question, where the question has one and that is sure; else as it stands.
fn shaped(index: &SchemaIndex, tokens: &[Token], today: jiff::civil::Date) -> Option<Reading> {
    let plain = |tokens: &[Token], wrap: Option<&dyn Fn(LogicalQuery) -> Option<LogicalQuery>>| {
        let times = time::find(tokens, today);
        read(index, &link::link(index, tokens, &times), tokens, wrap)
    };
    let sure = |tokens: &[Token]| {
        plain(tokens, None).filter(|it| it.confidence >= CONFIDENCE_THRESHOLD).map(|it| it.query)
    };
    let mut unsure: Option<Reading> = None;
    for shape in shape::find(index, tokens, today) {
        let wrap = |query: LogicalQuery| (shape.wrap)(query, &sure);
        let Some(reading) = plain(&shape.tokens, Some(&wrap)) else { continue };
        if reading.confidence >= CONFIDENCE_THRESHOLD {
            return Some(reading);
        }
        if unsure.as_ref().is_none_or(|it| reading.confidence > it.confidence) {
            unsure = Some(reading);
        }
    }
    let plain = plain(tokens, None);
    match (plain, unsure) {
        (Some(plain), Some(unsure)) if unsure.confidence > plain.confidence => Some(unsure),
        (None, unsure) => unsure,
        (plain, _) => plain,
    }
}

fn read(
    index: &SchemaIndex,
    items: &[Item],
    tokens: &[Token],
    wrap: Option<&dyn Fn(LogicalQuery) -> Option<LogicalQuery>>,
) -> Option<Reading> {
    let mut reader = Interpreter::new(index, items, tokens);
    let draft = reader.read();
    let mut query = assemble(index, &mut reader, draft)?;
    mirror::other_side(index, &mut query);
    if let Some(wrap) = wrap {
        query = wrap(query)?;
    }
    let query = language::settle(index, query)?;
    let sql = render::render(index, &query)?;
    let mut tables: BTreeSet<String> = BTreeSet::new();
    query.each(&mut |part| {
        if let Some(plan) = join::plan(index, part) {
            for it in plan.tables {
                let table = &index.tables[it.table];
                tables.insert(format!("{}.{}", table.schema, table.name));
            }
        }
    });
    let ignored = content(items, &reader.used);
    let mut signals = confidence::signals(index, items, &reader, &query, &ignored);
    if wrap.is_some()
        && let Some(at) = confidence::SIGNALS.iter().position(|it| *it == "per_group")
    {
        // the weight was fitted where nothing but a ranking in a plain question asked for it
        signals[at] = 0.0;
    }
    let mut ignored = ignored;
    for note in &reader.notes {
        if let Note::Idle(at) = note
            && let Some(item) = items.get(*at)
            && !ignored.contains(&item.text)
        {
            ignored.push(item.text.clone());
        }
    }
    // `support ticket`: of that table it is said anyway
    ignored.retain(|word| {
        !items.windows(2).any(|it| {
            it[0].text == *word
                && it[0].is_word()
                && matches!(&it[1].meaning, Meaning::Name(links) if links.first().is_some_and(|it| {
                    let comment = index.tables[it.table].comment.as_deref().unwrap_or_default();
                    it.column.is_none()
                        && token::normalized(comment).split(' ').any(|it| it == word.to_lowercase())
                }))
        })
    });
    ignored.extend(lost(items, &reader, &query, &ignored));
    // what is not understood may change the answer, however good the rest looks
    let echoes = echoes(index, items, &query, &ignored);
    let unexplained: Vec<String> = ignored
        .iter()
        .filter(|it| !echoes.contains(it))
        .map(|it| it.to_lowercase())
        .filter(|it| !LEXICON.is_light(it))
        .collect();
    let mut confidence = confidence::judge(&signals);
    // what is done is mostly said by the tables that stand beside it; things and their kinds are not
    let done = unexplained.iter().filter(|it| is_verb(it)).count();
    for _ in 0..done {
        confidence -= UNSAID;
    }
    let left: Vec<&str> = ignored
        .iter()
        .map(String::as_str)
        .filter(|it| !LEXICON.is_light(&it.to_lowercase()))
        .filter(|it| !echoes.iter().any(|echo| echo == it))
        .collect();
    if unexplained.len() > done
        || predicts(items)
        || doubtful(index, items, &query, &signals, &left)
    {
        confidence = confidence.min(UNSURE);
    }
    let confidence = confidence.max(0.0);
    let assumptions = reader
        .notes
        .iter()
        .filter_map(|it| match it {
            Note::Assumed(text) => Some(text.clone()),
            _ => None,
        })
        .collect();
    Some(Reading {
        explanation: explain::explain(index, &query),
        sql,
        tables: tables.into_iter().collect(),
        assumptions,
        confidence,
        query,
        ignored,
        signals,
    })
}

/// Unread words that say once more what stands in the query: `the banking industry`, where banking is a main industry.
fn echoes(
    index: &SchemaIndex,
    items: &[Item],
    query: &LogicalQuery,
    ignored: &[String],
) -> Vec<String> {
    let mut stems: BTreeSet<String> = BTreeSet::new();
    query.each(&mut |part| {
        for (table, _) in part.instances() {
            stems.extend(index.tables[table].words.iter().map(|it| LEXICON.stem(it)));
        }
        let mut note = |it: crate::logical::ColumnRef| {
            stems.extend(index.column(it).words.iter().map(|it| LEXICON.stem(it)));
        };
        for it in part.select.iter().chain(&part.group).chain(&part.per) {
            it.columns(&mut note);
        }
        part.order.iter().for_each(|it| it.by.columns(&mut note));
        part.filter.iter().chain(&part.having).for_each(|it| it.columns(&mut note));
    });
    ignored
        .iter()
        .filter(|word| {
            items.iter().any(|it| {
                it.text == **word
                    && it.end == it.first + 1
                    && matches!(it.meaning, Meaning::Word | Meaning::Name(_))
                    && stems.contains(&LEXICON.stem(&it.lemma))
            })
        })
        .cloned()
        .collect()
}

/// Names that were read, but of which nothing stands in the query.
fn lost(
    items: &[Item],
    reader: &Interpreter<'_>,
    query: &LogicalQuery,
    known: &[String],
) -> Vec<String> {
    let mut tables: BTreeSet<usize> = BTreeSet::new();
    let mut columns: BTreeSet<(usize, usize)> = BTreeSet::new();
    query.each(&mut |part| {
        tables.extend(part.instances().into_iter().map(|it| it.0));
        let mut note = |it: crate::logical::ColumnRef| {
            columns.insert((it.table, it.column));
        };
        for it in part.select.iter().chain(&part.group).chain(&part.per) {
            it.columns(&mut note);
        }
        part.order.iter().for_each(|it| it.by.columns(&mut note));
        part.filter.iter().chain(&part.having).for_each(|it| it.columns(&mut note));
    });
    let mut all = Vec::new();
    for (at, (item, used)) in items.iter().zip(&reader.used).enumerate() {
        let Meaning::Name(links) = &item.meaning else { continue };
        let idle = LEXICON.is_stop(&item.lower)
            || link::is_question_word(&item.lower)
            || LEXICON.degree(&item.lower).is_some()
            || LEXICON.is_light(&item.lower);
        let stands = links.iter().any(|it| match it.column {
            Some(column) => {
                columns.contains(&(it.table, column))
                    || (it.with_table || reader.index.tables[it.table].display.contains(&column))
                        && tables.contains(&it.table)
            }
            None => tables.contains(&it.table),
        });
        let spent = reader.spent.contains(&at);
        if *used && !spent && !idle && !stands && !known.contains(&item.text) {
            all.push(item.text.clone());
        }
    }
    all
}

/// Whether a query says less than it seems to: counts what is always one, joins what nobody spoke of, loses its groups.
fn doubtful(
    index: &SchemaIndex,
    items: &[Item],
    query: &LogicalQuery,
    signals: &[f64],
    left: &[&str],
) -> bool {
    let signal = |name: &str| {
        confidence::SIGNALS.iter().position(|it| *it == name).map_or(0.0, |it| signals[it])
    };
    if signal("unnamed_tables") > 1.5 {
        return true;
    }
    let each = items
        .iter()
        .any(|it| it.is_word() && matches!(it.lower.as_str(), "each" | "per" | "every"));
    let mut grouped = false;
    // `the name and origin of each program` is a list
    let mut counted = query.limit.is_some();
    let mut empty = false;
    query.each(&mut |part| {
        let nested = !std::ptr::eq(part, query);
        grouped |= !part.group.is_empty() || !part.per.is_empty();
        counted |= part.select.iter().any(Expr::is_aggregate)
            || part.order.iter().any(|it| it.by.is_aggregate());
        // one row for each group by a key
        if let ([Expr::Column(key)], [_]) = (part.group.as_slice(), part.instances().as_slice()) {
            let counts = part.order.iter().any(|it| it.by.is_aggregate())
                || !part.having.is_empty()
                || part.select.iter().any(Expr::is_aggregate);
            empty |= counts && index.tables[key.table].primary == [key.column];
        }
        // no row is of one year and not of another: rows of several kinds were meant
        empty |= part.filter.iter().any(|it| {
            let Predicate::Not(denied) = it else { return false };
            let Predicate::Compare(a, Comparison::Equal, _) = denied.as_ref() else { return false };
            part.filter
                .iter()
                .any(|it| matches!(it, Predicate::Compare(b, Comparison::Equal, _) if a == b))
        });
        // what is shown is what was given: no answer
        empty |= !nested
            && !part.select.is_empty()
            && part.set.is_none()
            && part.select.iter().all(|shown| {
                matches!(shown, Expr::Column(_))
                    && part.filter.iter().any(|it| {
                        matches!(it, Predicate::Compare(left, Comparison::Equal, Expr::Literal(_)) if left == shown)
                    })
            });
        // moments have no sum and no mean
        empty |= part.select.iter().any(|it| {
            matches!(it, Expr::Aggregate { function: Aggregate::Sum | Aggregate::Avg, argument: Some(of), .. }
                if matches!(of.as_ref(), Expr::Column(it) if index.column(*it).class.is_temporal()))
        });
        // a number over rows has no order
        empty |= part.group.is_empty()
            && part.select.iter().any(Expr::is_aggregate)
            && part.order.iter().any(|it| !it.by.is_aggregate());
    });
    // a second request that nothing answers
    let who = items
        .windows(2)
        .any(|it| it[0].lower == "and" && matches!(it[1].lower.as_str(), "who" | "whom"));
    let mut shown: BTreeSet<usize> = BTreeSet::new();
    query.select.iter().for_each(|it| {
        it.columns(&mut |it| {
            shown.insert(it.table);
        });
    });
    // told apart by something that was not understood
    let apart = query.group.is_empty()
        && query.per.is_empty()
        && query.source.is_none()
        && query.select.iter().any(Expr::is_aggregate)
        && items.windows(2).any(|it| {
            it[0].lower == "by"
                && it[0].is_word()
                && matches!(it[1].lower.as_str(), "how" | "what" | "which" | "whether" | "where")
        });
    // one row of all is not one of each
    let one_of_all = each
        && query.limit.is_some()
        && query.per.is_empty()
        && !query.group.is_empty()
        && query.group.len() > 1;
    // `logged in during the last week`: what happened then is not known
    let untold = items.windows(3).any(|it| {
        matches!(it[2].meaning, Meaning::Time(_))
            && it[..2].iter().any(|it| it.is_word() && left.contains(&it.text.as_str()))
            || matches!(it[1].meaning, Meaning::Time(_))
                && it[0].is_word()
                && left.contains(&it[0].text.as_str())
    });
    empty || apart || untold || each && counted && !grouped || one_of_all || who && shown.len() < 2
}

/// Whether a word says what is done rather than what something is.
fn is_verb(word: &str) -> bool {
    !word.contains(' ')
        && (word.len() > 4 && (word.ends_with("ed") || word.ends_with("ing"))
            || matches!(
                word,
                "taught"
                    | "built"
                    | "run"
                    | "runs"
                    | "play"
                    | "plays"
                    | "flow"
                    | "flows"
                    | "born"
                    | "won"
                    | "led"
                    | "sold"
                    | "bought"
                    | "stay"
                    | "stays"
                    | "eat"
                    | "eats"
                    | "spent"
                    | "left"
            ))
}

/// Whether a question asks what is not known yet.
fn predicts(items: &[Item]) -> bool {
    let says =
        |words: &[&str]| items.iter().any(|it| it.is_word() && words.contains(&it.lower.as_str()));
    let ahead = items.iter().any(|it| match &it.meaning {
        Meaning::Time(time::Span::Range(Some(from), _)) => {
            matches!(from, crate::logical::Moment::Start(_, steps) if *steps > 0)
                || matches!(from, crate::logical::Moment::Now(_, 0))
        }
        _ => false,
    });
    says(&["forecast", "predict", "prediction", "projected", "expect"]) || ahead && says(&["will"])
}

/// The content words that were not used.
fn content(items: &[Item], used: &[bool]) -> Vec<String> {
    items
        .iter()
        .zip(used)
        .filter(|(item, used)| {
            !**used
                && !matches!(item.meaning, Meaning::Mark(_))
                && !LEXICON.is_stop(&item.lower)
                && !link::is_question_word(&item.lower)
                && LEXICON.degree(&item.lower).is_none()
        })
        .map(|(item, _)| item.text.clone())
        .collect()
}
