//! What words may name: tables and columns whose names hold every word of content.

use super::{Hits, NameLink, word::is_thing};
use crate::{
    index::{Hit, KIND, MAX_WORDS, Name, Remark, SchemaIndex},
    interpret::EARNED,
    lexicon::{Form, LEXICON},
    token::{Token, TokenKind},
    work,
};

/// How many tokens behind its own [`names`] looks at.
pub(super) const BEHIND: usize = 3;

/// What these tokens may name, best first: every token that carries content must be a word of the name. Nothing else of the
/// question may decide than these tokens and [`BEHIND`] of them, as what they may name is kept.
pub(super) fn names(
    index: &SchemaIndex,
    tokens: &[Token],
    hits: &Hits,
    first: usize,
    end: usize,
) -> Vec<NameLink> {
    let part = &tokens[first..end];
    let function = |it: &Token| {
        it.kind == TokenKind::Word && LEXICON.is_stop(&it.lower)
            || it.kind == TokenKind::Mark('\'')
            || it.kind == TokenKind::Mark('-')
    };
    let outer = |it: &Token| !matches!(it.kind, TokenKind::Word | TokenKind::Number(_));
    if outer(&part[0]) || outer(&part[part.len() - 1]) {
        return Vec::new();
    }
    // `signed up in May`: what the small word makes of the verb, and no column of when somebody signed in
    let particle = |at: usize| {
        tokens
            .get(at)
            .map(|it| it.lower.as_str())
            .filter(|it| matches!(*it, "in" | "up" | "out" | "off"))
    };
    let parted = (part.len() == 1 && matches!(part[0].stem.as_str(), "sign" | "log" | "check"))
        .then(|| particle(end))
        .flatten();
    // `sent off`, `called off`: no part of `percent_off`
    let verb = |it: &Token| it.lower != it.lemma && !it.lower.ends_with('s');
    if part.len() == 1
        && matches!(part[0].lower.as_str(), "off" | "out" | "up")
        && first.checked_sub(1).is_some_and(|it| verb(&tokens[it]))
    {
        return Vec::new();
    }
    // `sales made last week`: done, not of a make
    if part.len() == 1 && part[0].lower == "made" {
        return Vec::new();
    }
    if part.len() > 1
        && (matches!(part[0].kind, TokenKind::Number(_))
            && !hits[first].iter().any(|it| it.score >= 1.0))
    {
        return Vec::new();
    }
    // `longer than 3000` compares
    if part.len() == 1
        && LEXICON.degree(&part[0].lower).is_some_and(|it| it.form == Form::Comparative)
        && tokens.get(end).is_some_and(|it| it.lower == "than")
    {
        return Vec::new();
    }
    // `products cost more than …`: a verb ends no name
    if part.len() > 1
        && matches!(part[part.len() - 1].lower.as_str(), "cost" | "costs")
        && tokens.get(end).is_some_and(|it| {
            matches!(
                it.lower.as_str(),
                "more"
                    | "less"
                    | "over"
                    | "under"
                    | "above"
                    | "below"
                    | "between"
                    | "exactly"
                    | "at"
            )
        })
    {
        return Vec::new();
    }
    // `institutions founded after 1880`: things and what happened to them
    if let [thing, verb] = part
        && verb.lower.ends_with("ed")
        && thing.lower != thing.lemma
        && tokens.get(end).is_some_and(|it| {
            matches!(
                it.lower.as_str(),
                "after" | "before" | "in" | "since" | "between" | "during" | "by" | "on"
            )
        })
        && hits[first].iter().any(|hit| {
            let it = index.vocabulary.name(hit.name);
            hit.score >= 0.9 && it.len() == 1 && it.column().is_none()
        })
    {
        return Vec::new();
    }
    // a span neither begins nor ends with a function word, unless a name does
    let content: Vec<usize> = (first..end).filter(|&it| !function(&tokens[it])).collect();
    if content.is_empty() {
        // a column called `from`: only as it stands, and not a word of every question
        return Vec::new();
    }
    if part.iter().any(|it| {
        matches!(it.kind, TokenKind::Mark(mark) if mark != '\'' && mark != '-')
            || it.kind == TokenKind::Quoted
    }) {
        return Vec::new();
    }
    let vocabulary = &index.vocabulary;
    let mut fitting: Vec<Fitting> = Vec::new();
    let mut keep = |name: &Name, score: f64| {
        let other = parted.is_some_and(|it| {
            !vocabulary.words(name).iter().any(|word| vocabulary.text(word.lemma) == it)
        });
        // what fits less is none, whatever else is found
        if score > LEAST - 1e-6 && !other {
            let with_table = name.with_table;
            fitting.push(Fitting { table: name.table(), column: name.column(), score, with_table });
        }
    };
    let lead = content[0];
    if first == lead && content[content.len() - 1] == end - 1 {
        let spoken = Words::new(tokens, hits, &content, first, end);
        // the fewest names of any word are looked at: all words must be theirs
        let rarest = content.iter().min_by_key(|it| hits[**it].len()).copied().unwrap_or(lead);
        work::note(hits[rarest].len());
        for of_name in hits[rarest].by_name() {
            let name = vocabulary.name(of_name[0].name);
            let own = (rarest, of_name);
            if let Some(score) = match_name(index, of_name[0].name, name, &spoken, own) {
                keep(name, score);
            }
        }
        // written as one word: `fastest lap` and `fastestlap`
        if part.len() <= 4 {
            let worded = || {
                part.iter().filter(|it| matches!(it.kind, TokenKind::Word | TokenKind::Number(_)))
            };
            let joined: String = worded().map(|it| it.lower.as_str()).collect();
            for form in [
                LEXICON.lemma(&joined),
                worded().map(|it| it.lemma.as_str()).collect::<String>(),
                joined,
            ] {
                for name in vocabulary.written_as(&form) {
                    let name = vocabulary.name(name);
                    keep(name, 0.98 * name.quality);
                }
            }
        }
        // phrases of several words that stand for others: `last name` and `surname`
        let stems: Vec<&str> = content.iter().map(|it| tokens[*it].stem.as_str()).collect();
        for phrase in LEXICON.phrases(&stems.join(" ")) {
            let ids: Option<Vec<_>> = phrase.iter().map(|it| vocabulary.id(it)).collect();
            // a stem that stands in no name leaves nothing that has them all
            let (Some(head), Some(ids)) = (phrase.first(), ids) else { continue };
            work::note(vocabulary.holding(head).len());
            for (name, _) in vocabulary.holding(head) {
                let name = vocabulary.name(*name);
                let words = vocabulary.words(name);
                let total: f64 =
                    words.iter().filter(|it| ids.contains(&it.stem)).map(|it| it.weight).sum();
                let covered = ids.iter().all(|id| words.iter().any(|it| it.stem == *id));
                if covered && total > 0.4 {
                    keep(name, 0.95 * total * name.quality);
                }
            }
        }
    }
    let mut found = best_of_each(fitting);
    // what nothing is called like, but descriptions speak of
    if found.iter().all(|it| it.score < LEAST)
        && let [token] = part
        && is_thing(token)
    {
        for &Remark { table, column } in index.remarks.get(&token.stem).into_iter().flatten() {
            found.retain(|it| (it.table, it.column) != (table, column));
            found.push(Fitting { table, column, score: REMARK, with_table: false });
        }
    }
    // `train stations` are stations, not the rows that connect trains and stations
    for it in found.iter_mut().filter(|it| it.column.is_none()) {
        let info = &index.tables[it.table];
        // `located in Rome` names no table of locations
        if part.len() == 1 && part[0].lower == "located" {
            it.score = 0.0;
        }
        if info.bridge && info.words.len() > 1 && content.len() > 1 {
            let head = &info.words[info.words.len() - 1..];
            let partner = index.edges_of[it.table]
                .iter()
                .any(|edge| index.tables[index.edges[*edge].seen_from(it.table).1].words == head);
            if partner {
                it.score *= 0.5;
            }
        }
    }
    // words that count and calculate are names only where they are the whole of one
    let calculates = end == first + 1
        && matches!(
            tokens[first].lemma.as_str(),
            "number"
                | "count"
                | "total"
                | "average"
                | "sum"
                | "most"
                | "least"
                | "maximum"
                | "minimum"
                | "mean"
                | "max"
                | "min"
                | "first"
                | "last"
                | "top"
                | "above"
                | "below"
                | "over"
                | "under"
                | "month"
                | "year"
                | "week"
                | "day"
                | "quarter"
                | "hour"
        );
    // `the tallest building` is no `years as tallest`
    let superlative = end == first + 1
        && LEXICON.degree(&tokens[first].lower).is_some_and(|it| it.form == Form::Superlative);
    let least = if calculates || superlative { 0.9 } else { LEAST };
    // but `each day of the week` is a column of days, where there is one
    let step = crate::time::unit(&tokens[first].lower).is_some()
        && matches!(tokens.get(end + 1).map(|it| it.lower.as_str()), Some("the" | "each"))
        && matches!(
            tokens.get(end + 2).map(|it| it.lower.as_str()),
            Some("week" | "month" | "year")
        );
    if calculates && !step && tokens.get(end).is_some_and(|it| it.lower == "of") {
        return Vec::new();
    }
    let mut links: Vec<NameLink> = found
        .into_iter()
        .filter(|it| it.score >= least)
        .map(|Fitting { table, column, score, with_table }| NameLink {
            table,
            column,
            score,
            with_table,
        })
        .collect();
    // what was earned is a number, no part of the name of a `sales_channel`
    if end == first + 1 && EARNED.contains(&tokens[first].lower.as_str()) {
        links.retain(|it| {
            let number = |column: usize| index.tables[it.table].columns[column].class.is_numeric();
            it.score >= WHOLE || it.column.is_some_and(number)
        });
    }
    let place = |it: &NameLink| (it.column.is_some(), it.table, it.column);
    let better =
        |a: &NameLink, b: &NameLink| b.score.total_cmp(&a.score).then(place(a).cmp(&place(b)));
    if links.len() > MOST {
        links.select_nth_unstable_by(MOST, better);
        links.truncate(MOST);
    }
    links.sort_unstable_by(better);
    links
}

/// The most meanings of the same words that are kept.
const MOST: usize = 40;

/// How well words fit one way to say a table or a column.
#[derive(Clone, Copy)]
struct Fitting {
    table: usize,
    column: Option<usize>,
    score: f64,
    with_table: bool,
}

/// Of several ways to say the same the best one; of equally good ones one without the table's own words.
fn best_of_each(mut fitting: Vec<Fitting>) -> Vec<Fitting> {
    // sorting keeps the order of what is said of one thing
    fitting.sort_by_key(|it| (it.table, it.column));
    fitting.dedup_by(|next, best| {
        let same = (next.table, next.column) == (best.table, best.column);
        let better = next.score > best.score + 1e-9;
        if same && (better || next.score > best.score - 1e-9 && !next.with_table) {
            *best = *next;
        }
        same
    });
    fitting
}

/// Names of a lower quality were made of what somebody wrote about a thing.
const SAID: f64 = 0.86;

/// Another word for the whole of a name fits so well.
const WHOLE: f64 = 0.6;

/// Names that fit less are none.
const LEAST: f64 = 0.3;

/// How surely a word means what descriptions call so.
const REMARK: f64 = 0.64;

/// The tokens that may be a name, and what of them does not depend on which one.
struct Words<'a> {
    tokens: &'a [Token],
    hits: &'a Hits,
    /// Those that carry content.
    content: &'a [usize],
    /// The others.
    inner: Vec<usize>,
    /// Whether it is a single word that says little.
    light: bool,
    /// For those of content, whether they calculate.
    calculate: Vec<bool>,
    /// Whether something else stands among them than what belongs there.
    gap: bool,
    /// Whether that separates them.
    apart: bool,
    /// `number of …`
    counts: bool,
}

impl<'a> Words<'a> {
    fn new(
        tokens: &'a [Token],
        hits: &'a Hits,
        content: &'a [usize],
        first: usize,
        end: usize,
    ) -> Self {
        let inner: Vec<usize> = (first..end).filter(|it| !content.contains(it)).collect();
        let gap = !inner.is_empty()
            && !tokens[first..end].iter().any(|it| it.is_mark('\'') || it.is_mark('-'));
        // only "of" may stand inside a name; anything else separates two
        let may_stand = |at: &usize| {
            matches!(
                tokens[*at].lower.as_str(),
                "of" | "'s"
                    | "-"
                    | "the"
                    | "in"
                    | "per"
                    | "and"
                    | "to"
                    | "for"
                    | "or"
                    | "by"
                    | "at"
                    | "is"
            )
        };
        let calculates = |at: &usize| {
            matches!(
                tokens[*at].lemma.as_str(),
                "total"
                    | "average"
                    | "sum"
                    | "maximum"
                    | "minimum"
                    | "max"
                    | "min"
                    | "mean"
                    | "number"
                    | "count"
            )
        };
        Self {
            light: matches!(content, [one] if LEXICON.is_light(&tokens[*one].lower)),
            calculate: content.iter().map(calculates).collect(),
            apart: gap && !inner.iter().all(may_stand),
            counts: tokens[first].lemma == "number"
                && end > first + 1
                && tokens[first + 1].lower == "of",
            tokens,
            hits,
            content,
            inner,
            gap,
        }
    }
}

/// How well these words fit that name; `own` are the hits of one of them there.
fn match_name(
    index: &SchemaIndex,
    id: u32,
    it: &Name,
    spoken: &Words<'_>,
    own: (usize, &[Hit]),
) -> Option<f64> {
    // in a description `placed` and `came` name nothing
    if spoken.apart || spoken.light && it.quality < SAID {
        return None;
    }
    let of = |at: usize| if at == own.0 { own.1 } else { spoken.hits[at].of(id) };
    let mut matched = [0.0_f64; MAX_WORDS];
    let matched = &mut matched[..it.len()];
    // `fastest lap speed` names that column better than `speed of the fastest lap`
    let (mut inverted, mut last) = (false, 0);
    for (&at, calculates) in spoken.content.iter().zip(&spoken.calculate) {
        let best = of(at)
            .iter()
            .filter(|it| matched[usize::from(it.at)] == 0.0)
            .max_by(|a, b| a.score.total_cmp(&b.score))?;
        // words that calculate are part of a name only as they stand there
        if *calculates && best.score < 0.9 {
            return None;
        }
        matched[usize::from(best.at)] = best.score;
        inverted |= last > best.at;
        last = best.at;
    }
    // function words inside that the name has too
    for &at in &spoken.inner {
        let same = |it: &&Hit| it.score >= 1.0 && matched[usize::from(it.at)] == 0.0;
        if let Some(best) = of(at).iter().find(same) {
            matched[usize::from(best.at)] = 1.0;
        }
    }
    let words = index.vocabulary.words(it);
    let coverage: f64 = matched.iter().zip(words).map(|(a, b)| a * b.weight).sum();
    // `number of professors` counts them, even where a key is called `professor_number`
    if spoken.counts
        && let Some(column) = it.column()
    {
        let info = &index.tables[it.table()].columns[column];
        let is_number = |at: usize| index.vocabulary.text(words[at].lemma) == "number";
        if info.foreign
            || info.primary
            || info.class.is_textual()
            || words.len() > 1 && is_number(words.len() - 1) && !is_number(0)
        {
            return None;
        }
    }
    // its last word says what a table holds: `buildings` are apartment buildings
    let head = it.column().is_none()
        && words.len() > 1
        && matched.last().is_some_and(|it| *it > 0.85)
        && coverage > 0.3;
    let coverage = if head { 0.5 + 0.5 * coverage } else { coverage };
    // `categories` are product classes
    let last = matched.last().copied().unwrap_or(0.0);
    let alike = it.column().is_none()
        && words.len() > 1
        && spoken.content.len() == 1
        && (0.7..=0.85).contains(&last)
        && coverage > 0.3;
    let coverage = if alike { coverage.max(0.75 * last) } else { coverage };
    let mut score = coverage * it.quality;
    // `launch date` is a date called `launch`, `date of launch` may be any
    if (it.quality - KIND).abs() < 1e-9 && (inverted || spoken.gap || coverage < 0.99) {
        return None;
    }
    if inverted {
        score *= 0.93;
    }
    if spoken.gap {
        score *= 0.95;
        if inverted && it.with_table {
            return None;
        }
        let joiner = spoken.inner.iter().any(|&at| {
            let word = spoken.tokens[at].lower.as_str();
            matches!(word, "and" | "or" | "to" | "for" | "by" | "in" | "at" | "per" | "is")
                && !words.iter().any(|it| index.vocabulary.text(it.lemma) == word)
        });
        if joiner || (coverage < 0.9) {
            return None;
        }
    }
    Some(score)
}
