//! Reads tokens as queries: the likeliest one, and others that come close.

use std::collections::BTreeSet;

use crate::{
    assemble::assemble,
    confidence::{self, CONFIDENCE_THRESHOLD},
    correct,
    doubt::{
        acts, by_kin, content, doubtful, echoed, echoes, is_verb, lost, predicts, relates, taken,
    },
    engine::Reading,
    explain, hierarchy,
    index::{SchemaIndex, formulas},
    interpret::{Interpreter, Note, Rival},
    join, language,
    lexicon::LEXICON,
    link::{self, Item, Meaning},
    logical::LogicalQuery,
    lookup, mirror, misfit, phrase, render, shape, sound, time,
    token::{self, Token},
    work,
};

/// The most that a reading is worth which leaves a word of weight unexplained: enough for a question back.
const UNSURE: f64 = 0.9 * CONFIDENCE_THRESHOLD;

/// What each verb costs that is left unexplained.
const UNSAID: f64 = 0.15;

/// The same where several tables are joined.
const RELATING: f64 = 0.05;

/// Whether a question is read so surely that it is answered.
pub(crate) fn is_answerable(index: &SchemaIndex, question: &str) -> bool {
    index.answerable.knows(question, || is_read_surely(index, question))
}

fn is_read_surely(index: &SchemaIndex, question: &str) -> bool {
    let mut tokens = token::tokenize(question);
    correct::correct(index, &mut tokens);
    phrase::plain(&mut tokens);
    // what is proposed names no day
    let read = likeliest(index, &tokens, jiff::civil::Date::MIN);
    read.is_some_and(|it| it.confidence >= CONFIDENCE_THRESHOLD)
}

/// The better one of the readings over tables alone and over tables and views. Tables come first: a view wins only where
/// they leave the question unanswered, and where it answers alone.
pub(crate) fn likeliest(
    index: &SchemaIndex,
    tokens: &[Token],
    today: jiff::civil::Date,
) -> Option<Reading> {
    let read_over = |index: &SchemaIndex| shaped(index, tokens, today);
    let Some(base) = &index.base else { return read_over(index) };
    let plain = read_over(base);
    if plain.as_ref().is_some_and(|it| it.confidence >= CONFIDENCE_THRESHOLD) {
        return plain;
    }
    let viewed = plainly(index, tokens, today).filter(|it| {
        let mut alone = true;
        it.query.each(&mut |part| alone &= part.instances().len() <= 1);
        alone && it.confidence >= CONFIDENCE_THRESHOLD
    });
    viewed.or(plain)
}

/// The reading as a shape around a plainer question, where the question has one and that is sure; else as it stands.
fn shaped(index: &SchemaIndex, tokens: &[Token], today: jiff::civil::Date) -> Option<Reading> {
    let plain = |tokens: &[Token], wrap: Option<Wrap<'_>>| {
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

/// What makes the query of a shape of the query of the plainer question inside it.
type Wrap<'a> = &'a dyn Fn(LogicalQuery) -> Option<LogicalQuery>;

/// How many other meanings of words are tried for each way to read a question.
const TRIED: usize = 6;

/// How much likeliness another reading may lack.
const NEAR: f64 = 0.6;

/// Other readings of a question than `best` that come close to it, the likeliest first, none twice: with another meaning of
/// one of its words, as the plain question it looks like, over views.
pub(crate) fn others(
    index: &SchemaIndex,
    tokens: &[Token],
    today: jiff::civil::Date,
    best: &Reading,
) -> Vec<Reading> {
    let mut found: Vec<Reading> = Vec::new();
    let mut try_all = |index: &SchemaIndex, tokens: &[Token], wrap: Option<Wrap<'_>>| {
        let times = time::find(tokens, today);
        let items = link::link(index, tokens, &times);
        let Some((plain, rivals)) = read_as(index, &items, tokens, wrap, None) else { return };
        found.push(plain);
        for rival in rivals.into_iter().take(TRIED).take_while(|_| work::has_room()) {
            found.extend(read_as(index, &items, tokens, wrap, Some(rival)).map(|it| it.0));
        }
    };
    for index in std::iter::once(index).chain(index.base.as_deref()) {
        if !work::has_room() {
            break;
        }
        try_all(index, tokens, None);
        let sure = |tokens: &[Token]| {
            plainly(index, tokens, today)
                .filter(|it| it.confidence >= CONFIDENCE_THRESHOLD)
                .map(|it| it.query)
        };
        for shape in shape::find(index, tokens, today) {
            if !work::has_room() {
                break;
            }
            let wrap = |query: LogicalQuery| (shape.wrap)(query, &sure);
            try_all(index, &shape.tokens, Some(&wrap));
        }
    }
    found.retain(|it| {
        it.confidence >= confidence::HOPELESS.max(NEAR * best.confidence) && it.sql != best.sql
    });
    // none is likelier than the one that was chosen over it
    found.iter_mut().for_each(|it| it.confidence = it.confidence.min(best.confidence));
    found.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
    let mut seen: BTreeSet<String> = BTreeSet::new();
    found.retain(|it| seen.insert(it.sql.clone()));
    found
}

/// Tokens as a question that has no shape around it.
pub(crate) fn plainly(
    index: &SchemaIndex,
    tokens: &[Token],
    today: jiff::civil::Date,
) -> Option<Reading> {
    let times = time::find(tokens, today);
    read(index, &link::link(index, tokens, &times), tokens, None)
}

/// The reading of items, and of a shape around them.
pub(crate) fn read(
    index: &SchemaIndex,
    items: &[Item],
    tokens: &[Token],
    wrap: Option<Wrap<'_>>,
) -> Option<Reading> {
    read_as(index, items, tokens, wrap, None).map(|it| it.0)
}

/// The same where one item is told what it means, and what other items could mean nearly as well.
fn read_as(
    index: &SchemaIndex,
    items: &[Item],
    tokens: &[Token],
    wrap: Option<Wrap<'_>>,
    told: Option<Rival>,
) -> Option<(Reading, Vec<Rival>)> {
    let mut reader = Interpreter::new(index, items, tokens);
    reader.told = told;
    let draft = reader.read();
    let mut query = assemble(index, &mut reader, draft)?;
    mirror::other_side(index, &mut query);
    hierarchy::include_below(index, &mut query);
    let plain = wrap.map(|_| query.clone());
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
    // what only says once more what stands in the query, or nothing, is no trouble
    let counted: Vec<String> = {
        let said = echoes(index, items, &query, &ignored);
        let silent = |it: &&String| !said.contains(it) && !LEXICON.is_light(&it.to_lowercase());
        ignored.iter().filter(silent).cloned().collect()
    };
    let mut signals = confidence::signals(index, items, &reader, &query, &counted);
    if wrap.is_some()
        && let Some(at) = confidence::SIGNALS.iter().position(|it| *it == "per_group")
    {
        // the weight was fitted where nothing but a ranking in a plain question asked for it
        signals[at] = 0.0;
    }
    // what the shape itself reads beside the plain question is no guess
    if let Some(plain) = plain
        && let Some(at) = confidence::SIGNALS.iter().position(|it| *it == "unnamed_tables")
    {
        let before = confidence::signals(index, items, &reader, &plain, &counted);
        signals[at] = signals[at].min(before[at]);
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
    let echoed = echoed(index, items, &query, &ignored);
    let echoes: Vec<&String> = echoed.iter().map(|it| &it.0).collect();
    let unexplained: Vec<String> = ignored
        .iter()
        .filter(|it| !echoes.contains(it))
        .map(|it| it.to_lowercase())
        .filter(|it| !LEXICON.is_light(it))
        .collect();
    let mut confidence = confidence::judge(&signals);
    // what is done is mostly said by the tables that stand beside it; things and their kinds are not
    let acting = acts(items);
    let related = tables.len() > 1;
    let done = unexplained
        .iter()
        .filter(|it| is_verb(it) || related && acting.contains(&it.as_str()))
        .count();
    // between things that belong together it says how they do
    let each = if tables.len() > 1 { RELATING } else { UNSAID };
    // `publications presented in each conference`: what stands between two things says how they belong together
    let between = unexplained.iter().filter(|it| relates(items, it)).count().min(done);
    for _ in 0..done - between {
        confidence -= each;
    }
    let left: Vec<&str> = ignored
        .iter()
        .map(String::as_str)
        .filter(|it| !LEXICON.is_light(&it.to_lowercase()))
        .filter(|it| !echoes.iter().any(|echo| echo.as_str() == *it))
        .collect();
    if unexplained.len() > done
        || predicts(items)
        || doubtful(index, items, &query, &signals, &left, &reader.used)
        || misfit::misses(index, items, &query)
    {
        confidence = confidence.min(UNSURE);
    }
    let (by_kin, far) = by_kin(index, items, &query);
    let by_shape = reader.by_shape(&query);
    if far || by_shape.as_ref().is_some_and(|it| !it.named) {
        confidence = confidence.min(UNSURE);
    }
    let runs = sound::is_sound(index, &query);
    let confidence = if runs { confidence.max(0.0) } else { 0.0 };
    let assumptions = reader
        .notes
        .iter()
        .filter_map(|it| match it {
            Note::Assumed(text) => Some(text.clone()),
            _ => None,
        })
        .chain(by_kin)
        .chain(echoed.iter().filter_map(|(said, read)| Some(taken(said, read.as_ref()?))))
        .chain(by_shape.map(|it| it.told))
        .chain(lookup::told(index, &query))
        .chain(formulas::told(index, &query))
        .collect();
    let reading = Reading {
        explanation: explain::explain(index, &query),
        sql,
        tables: tables.into_iter().collect(),
        assumptions,
        confidence,
        query,
        ignored,
        signals,
    };
    Some((reading, reader.rivals))
}
