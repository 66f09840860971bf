//! What kind of follow-up some words are, by their form alone.

mod points;
mod whole;

use super::shift::Step;
use crate::{
    logical::{Aggregate, TimeUnit},
    time,
    token::{Token, TokenKind},
};

/// What a follow-up asks for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Intent {
    /// How the last answer came to be.
    Why,
    /// The answer before the last one.
    Back,
    /// Parts of the whole instead of numbers.
    Percentage,
    /// Another order; these tokens say by what.
    Sort(std::ops::Range<usize>, Option<bool>),
    /// The same order from the other end, or a direction of it.
    Direct(Option<bool>),
    /// The first or last so many.
    Top(u64, bool),
    /// No limit.
    All,
    /// One row for each of what these tokens say.
    By { what: std::ops::Range<usize>, instead: bool, also: bool },
    /// How many.
    Count,
    /// The rows themselves.
    Rows,
    /// These tokens name something more to show.
    Show(std::ops::Range<usize>),
    /// Another way to sum up.
    Measure(Aggregate),
    /// Without these conditions; nothing named: without all.
    Unfilter(Unfilter),
    /// Not what these tokens say.
    Without(std::ops::Range<usize>),
    /// Something about these tokens.
    About(std::ops::Range<usize>),
    /// The time before, or after.
    Shift(Step),
    /// Those of which these tokens hold; how many they are.
    Among { what: std::ops::Range<usize>, count: bool },
    /// Another way to sum up what each of these tokens is worth.
    MeasureOf(Aggregate, std::ops::Range<usize>),
    /// Which part the last answer is of what these tokens say.
    PartOf(std::ops::Range<usize>),
    /// Those whose superiors the last answer found.
    Beneath,
    /// Who did the one thing that was spoken of.
    Actor,
    /// In which way what this verb says was done with it.
    Manner(std::ops::Range<usize>),
}

/// Which conditions go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfilter {
    /// Those that say when.
    Time,
    /// All.
    All,
}

/// A follow-up by its form: what it asks for, and how surely it is one.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Phrase {
    pub(super) intent: Intent,
    /// It cannot be a question of its own.
    pub(super) surely: bool,
}

/// Words before a follow-up that say nothing by themselves.
const OPENERS: [&str; 20] = [
    "ok", "okay", "so", "then", "please", "great", "thanks", "well", "hm", "hmm", "can", "could",
    "you", "would", "lets", "let's", "let", "us", "me", "alright",
];

/// Words that show, in front of what a follow-up says.
const SHOWING: [&str; 6] = ["show", "give", "display", "make", "list", "do"];

/// Words that mean the last answer.
const THEM: [&str; 14] = [
    "it", "them", "that", "this", "those", "these", "they", "results", "result", "rows", "list",
    "answer", "the", "me",
];

/// What that follow-up is by its form; `None` if it has none of a follow-up.
pub(super) fn read(tokens: &[Token]) -> Option<Phrase> {
    let mut end = tokens.len();
    let mut only = false;
    while end > 0 {
        let last = &tokens[end - 1];
        match last.lower.as_str() {
            // `in Berlin only`
            "only" if end > 1 => only = true,
            "please" | "pls" | "now" if end > 1 => {}
            _ if matches!(last.kind, TokenKind::Mark('?' | '.' | '!' | ',')) => {}
            _ => break,
        }
        end -= 1;
    }
    let mut reader = Reader { tokens, at: 0, end, only };
    reader.read()
}

struct Reader<'a> {
    tokens: &'a [Token],
    at: usize,
    end: usize,
    /// An "only" stood at the end.
    only: bool,
}

impl Reader<'_> {
    fn word(&self, at: usize) -> &str {
        if at >= self.end {
            return "";
        }
        match self.tokens[at].kind {
            TokenKind::Quoted => "\"",
            _ => &self.tokens[at].lower,
        }
    }

    fn rest(&self) -> String {
        (self.at..self.end).map(|at| self.word(at)).collect::<Vec<_>>().join(" ")
    }

    fn skip(&mut self, words: &[&str]) -> bool {
        let from = self.at;
        while self.at < self.end
            && (words.contains(&self.word(self.at)) || self.word(self.at) == ",")
        {
            self.at += 1;
        }
        self.at > from
    }

    fn read(&mut self) -> Option<Phrase> {
        self.skip(&OPENERS);
        let mut joined = self.only;
        let mut also = false;
        let mut only = self.only;
        loop {
            match self.word(self.at) {
                "and" | "or" | "but" | "now" => joined = true,
                "also" | "plus" | "additionally" => {
                    joined = true;
                    also = true;
                }
                "just" | "only" => {
                    joined = true;
                    only = true;
                }
                "same" if matches!(self.word(self.at + 1), "for" | "but" | "in") => {
                    joined = true;
                    self.at += 1;
                }
                _ => break,
            }
            self.at += 1;
            self.skip(&OPENERS);
        }
        if self.at >= self.end {
            return None;
        }
        let surely = |intent| Some(Phrase { intent, surely: true });
        if let Some(intent) = self.whole() {
            return surely(intent);
        }
        let shown = SHOWING.contains(&self.word(self.at));
        let before = self.at;
        if shown {
            self.at += 1;
            self.skip(&["me", "us", "it", "them", "that", "those", "these"]);
            // `show as a percentage`, `make it the top 5`
            if let Some(intent) = self.whole() {
                return surely(intent);
            }
            match self.word(self.at) {
                "only" | "just" => {
                    only = true;
                    joined = true;
                    self.at += 1;
                }
                "also" => {
                    self.at += 1;
                    return surely(Intent::Show(self.at..self.end));
                }
                _ => self.at = before,
            }
        }
        if also && !matches!(self.word(self.at), "by" | "per" | "for" | "group" | "in") {
            if matches!(self.word(self.at), "show" | "include" | "add" | "with" | "list" | "give") {
                self.at += 1;
            }
            self.skip(&["me", "us"]);
            return surely(Intent::Show(self.at..self.end));
        }
        if let Some(intent) = self.shift().or_else(|| self.among()).or_else(|| self.points()) {
            return surely(intent);
        }
        if let Some(intent) = self.sort().or_else(|| self.grouping(also || joined && !only)) {
            return surely(intent);
        }
        match (self.word(self.at), self.word(self.at + 1)) {
            ("what" | "how", "about") => {
                self.at += 2;
                let intent = self.whole().or_else(|| self.shift()).or_else(|| self.grouping(false));
                if let Some(intent) = intent {
                    return surely(intent);
                }
                return surely(Intent::About(self.at..self.end));
            }
            ("with" | "include" | "including" | "add", "their" | "its" | "his" | "her") => {
                return surely(Intent::Show(self.at + 1..self.end));
            }
            ("add" | "include", _) => return surely(Intent::Show(self.at + 1..self.end)),
            ("without" | "excluding" | "except" | "exclude" | "not" | "minus", _) => {
                self.at += 1;
                if matches!(self.word(self.at), "for" | "the") && self.at + 1 < self.end {
                    self.at += 1;
                }
                return surely(Intent::Without(self.at..self.end));
            }
            _ => {}
        }
        let last = self.word(self.end - 1);
        let pointing = matches!(last, "ones" | "one" | "instead")
            || self.word(self.at) == "those" && self.at + 1 < self.end
            || self.word(self.at) == "of" && THEM.contains(&self.word(self.at + 1));
        let intent = Intent::About(self.at..self.end);
        Some(Phrase { intent, surely: joined || pointing })
    }

    /// What is said by the whole of the words that are left.
    fn whole(&self) -> Option<Intent> {
        let text = self.rest();
        let text = text.strip_prefix("it ").unwrap_or(&text);
        whole::said(text).or_else(|| self.top())
    }

    /// `top 5`, `the first 10 of them`, `limit it to 3`.
    fn top(&self) -> Option<Intent> {
        let mut at = self.at;
        while matches!(self.word(at), "the" | "only" | "just" | "limit" | "to" | "it" | "them") {
            at += 1;
        }
        let (named, last) = match self.word(at) {
            "top" | "first" | "best" | "highest" | "largest" | "biggest" => (true, false),
            "bottom" | "last" | "worst" | "lowest" | "smallest" => (true, true),
            _ => (at > self.at && self.word(self.at) == "limit", false),
        };
        let at = if named && self.word(self.at) != "limit" { at + 1 } else { at };
        if !named || at >= self.end {
            return None;
        }
        let TokenKind::Number(count) = self.tokens[at].kind else { return None };
        let tail: Vec<&str> = (at + 1..self.end).map(|at| self.word(at)).collect();
        let pointing = tail.iter().all(|it| {
            matches!(
                *it,
                "of" | "them"
                    | "those"
                    | "these"
                    | "only"
                    | "ones"
                    | "rows"
                    | "instead"
                    | "results"
            )
        });
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
        let whole = (pointing && count.fract() == 0.0 && (1.0..1e6).contains(&count))
            .then_some(count as u64)?;
        Some(Intent::Top(whole, last))
    }

    fn sort(&self) -> Option<Intent> {
        let mut at = self.at;
        if !matches!(
            self.word(at),
            "sort" | "order" | "rank" | "sorted" | "ordered" | "ranked" | "sorting" | "resort"
        ) {
            return None;
        }
        at += 1;
        while THEM.contains(&self.word(at)) {
            at += 1;
        }
        if self.word(at) != "by" {
            return None;
        }
        at += 1;
        let mut end = self.end;
        let mut descending = None;
        for (words, is) in [
            (&["descending"][..], true),
            (&["desc"], true),
            (&["highest", "first"], true),
            (&["largest", "first"], true),
            (&["biggest", "first"], true),
            (&["greatest", "first"], true),
            (&["best", "first"], true),
            (&["most", "first"], true),
            (&["latest", "first"], true),
            (&["from", "high", "to", "low"], true),
            (&["newest", "first"], true),
            (&["in", "descending", "order"], true),
            (&["ascending"], false),
            (&["asc"], false),
            (&["lowest", "first"], false),
            (&["smallest", "first"], false),
            (&["cheapest", "first"], false),
            (&["earliest", "first"], false),
            (&["from", "low", "to", "high"], false),
            (&["oldest", "first"], false),
            (&["in", "ascending", "order"], false),
        ] {
            if end > at + words.len()
                && words.iter().enumerate().all(|(n, it)| self.word(end - words.len() + n) == *it)
            {
                end -= words.len();
                descending = Some(is);
                break;
            }
        }
        while end > at && matches!(self.word(end - 1), "instead" | "," | "please") {
            end -= 1;
        }
        (at < end).then_some(Intent::Sort(at..end, descending))
    }

    /// `the month before`, `a year earlier`, `the same time last year`.
    fn shift(&self) -> Option<Intent> {
        let mut at = self.at;
        while matches!(self.word(at), "in" | "for" | "during") {
            at += 1;
        }
        let mut words: Vec<&str> = (at..self.end).map(|at| self.word(at)).collect();
        while matches!(words.last(), Some(&("that" | "this" | "it" | "instead"))) {
            words.pop();
        }
        let period = |it: &str| time::unit(it).filter(|_| !it.ends_with('s'));
        let season = |it: &str| {
            matches!(
                it,
                "summer"
                    | "winter"
                    | "spring"
                    | "autumn"
                    | "fall"
                    | "season"
                    | "christmas"
                    | "easter"
            )
        };
        let one = |unit, steps| Some(Intent::Shift(Step { unit, steps }));
        match words.as_slice() {
            ["before"] | ["the", "time" | "period" | "one", "before" | "prior"]
                if words.len() < self.end =>
            {
                one(None, -1)
            }
            ["the", "previous" | "prior" | "preceding", "period"] => one(None, -1),
            ["the", "next" | "following", "period"] => one(None, 1),
            ["the" | "a" | "one", unit, "before" | "earlier" | "prior"] if season(unit) => {
                one(Some(TimeUnit::Year), -1)
            }
            ["the" | "a" | "one", unit, "after" | "later"] if season(unit) => {
                one(Some(TimeUnit::Year), 1)
            }
            ["the" | "a" | "one", unit, "before" | "earlier" | "prior"] => {
                one(Some(period(unit)?), -1)
            }
            ["the" | "a" | "one", unit, "after" | "later"] => one(Some(period(unit)?), 1),
            ["the", "previous" | "preceding" | "prior", unit] => one(Some(period(unit)?), -1),
            ["the", "following", unit] => one(Some(period(unit)?), 1),
            [
                "the" | "that",
                "same",
                "time" | "period" | "span" | "month" | "week" | "quarter" | "days",
                ..,
                "last" | "previous",
                "year",
            ]
            | [
                "the" | "that",
                "same",
                "time" | "period" | "span" | "month" | "week" | "quarter" | "days",
                ..,
                "year",
                "before" | "earlier" | "ago",
            ] => one(Some(TimeUnit::Year), -1),
            _ => None,
        }
    }

    /// `how many of them are preferred`, `which of those have more than 3`.
    fn among(&self) -> Option<Intent> {
        let mut at = self.at;
        let count = match (self.word(at), self.word(at + 1)) {
            ("how", "many") => {
                at += 2;
                true
            }
            ("which" | "who" | "what", _) => {
                at += 1;
                false
            }
            _ => return None,
        };
        let pointing = self.word(at) == "of"
            && matches!(self.word(at + 1), "them" | "those" | "these" | "the")
            || matches!(self.word(at), "ones" | "those" | "these");
        let verb = |at: usize| {
            matches!(
                self.word(at),
                "are"
                    | "is"
                    | "were"
                    | "was"
                    | "have"
                    | "has"
                    | "had"
                    | "do"
                    | "did"
                    | "can"
                    | "got"
                    | "still"
                    | "get"
                    | "come"
                    | "came"
                    | "live"
            )
        };
        if pointing {
            at += if self.word(at) == "of" { 2 } else { 1 };
            // `of these countries`
            if !verb(at) && verb(at + 1) {
                at += 1;
            }
            if self.word(at).is_empty() {
                return None;
            }
        } else if !(count && verb(at) && self.word(at + 1) != "there") {
            return None;
        }
        if matches!(self.word(at), "are" | "is" | "were" | "was" | "do" | "did") {
            at += 1;
        }
        (at < self.end).then_some(Intent::Among { what: at..self.end, count })
    }

    /// `by country instead`, `per month`, `for each channel`, `break it down by status`.
    fn grouping(&self, also: bool) -> Option<Intent> {
        let mut at = self.at;
        let mut instead = false;
        if self.word(at) == "instead" {
            instead = true;
            at += 1;
        }
        if matches!(
            self.word(at),
            "group" | "break" | "split" | "grouped" | "broken" | "divide" | "divided" | "breakdown"
        ) {
            at += 1;
            while THEM.contains(&self.word(at)) || matches!(self.word(at), "down" | "up") {
                at += 1;
            }
            if !matches!(self.word(at), "by" | "per" | "for") {
                return None;
            }
        }
        match (self.word(at), self.word(at + 1)) {
            ("by" | "per", _) => at += 1,
            ("for", "each" | "every") => at += 2,
            // `month by month`
            (unit, "by") if time::unit(unit).is_some() && self.word(at + 2) == unit => {
                let what = at..at + 1;
                return (at + 3 == self.end).then_some(Intent::By { what, instead, also });
            }
            ("hourly" | "daily" | "weekly" | "monthly" | "quarterly" | "yearly", _) => {}
            _ => return None,
        }
        if matches!(self.word(at), "each" | "every" | "the") {
            at += 1;
        }
        let mut end = self.end;
        while end > at && matches!(self.word(end - 1), "instead" | "please" | "too") {
            instead |= self.word(end - 1) == "instead";
            end -= 1;
        }
        (at < end).then_some(Intent::By { what: at..end, instead, also })
    }
}

#[cfg(test)]
mod tests;
