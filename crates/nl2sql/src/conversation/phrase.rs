//! What kind of follow-up some words are, by their form alone.

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
        if let Some(intent) = self.shift().or_else(|| self.among()) {
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
        Some(match text {
            "why"
            | "why is that"
            | "why that"
            | "why so"
            | "how come"
            | "explain"
            | "explain that"
            | "explain this"
            | "explain it"
            | "explain the answer"
            | "explain your answer"
            | "explain the result"
            | "how did you get that"
            | "how did you get this"
            | "how did you get it"
            | "how did you calculate that"
            | "how did you compute that"
            | "how was that calculated"
            | "how was this calculated"
            | "how was it calculated"
            | "how is that calculated"
            | "where does that come from"
            | "are you sure"
            | "how do you know"
            | "what did you do" => Intent::Why,
            "undo" | "undo that" | "go back" | "back" | "take that back" => Intent::Back,
            "as a percentage"
            | "as percentages"
            | "as percentage"
            | "as percent"
            | "as a percent"
            | "in percent"
            | "in percentages"
            | "as a share"
            | "as shares"
            | "percentage"
            | "percentages"
            | "in percentage"
            | "as a percentage of the total"
            | "as % "
            | "as a share of the total"
            | "what percentage is that"
            | "what share is that"
            | "what percent is that"
            | "as a proportion"
            | "as %"
            | "in %"
            | "%"
            | "what is that as a percentage"
            | "what is that in percent" => Intent::Percentage,
            "reverse"
            | "reversed"
            | "reverse the order"
            | "reverse it"
            | "reverse order"
            | "in reverse"
            | "in reverse order"
            | "the other way around"
            | "the other way round"
            | "other way around"
            | "flip it" => Intent::Direct(None),
            "descending"
            | "highest first"
            | "largest first"
            | "biggest first"
            | "newest first"
            | "latest first"
            | "most recent first"
            | "most first"
            | "greatest first"
            | "best first"
            | "most expensive first"
            | "from high to low"
            | "from highest to lowest"
            | "in descending order"
            | "from the highest" => Intent::Direct(Some(true)),
            "ascending"
            | "lowest first"
            | "smallest first"
            | "oldest first"
            | "earliest first"
            | "cheapest first"
            | "from low to high"
            | "from lowest to highest"
            | "least first"
            | "in ascending order"
            | "from the lowest" => Intent::Direct(Some(false)),
            "all" | "all of them" | "everything" | "no limit" | "without a limit"
            | "without limit" | "without the limit" | "the whole list" | "the rest too" => {
                Intent::All
            }
            "how many"
            | "how many are there"
            | "how many is that"
            | "how many are they"
            | "how many are those"
            | "how many of them"
            | "how many of them are there"
            | "count"
            | "count them"
            | "count those"
            | "how many were there" => Intent::Count,
            "which ones"
            | "which"
            | "who"
            | "who are they"
            | "who are those"
            | "which ones are they"
            | "which are they"
            | "which are those"
            | "what are they"
            | "list them"
            | "show them"
            | "list those"
            | "show me them"
            | "show me those"
            | "which ones are those"
            | "list them all"
            | "who were they" => Intent::Rows,
            "the average"
            | "average"
            | "on average"
            | "the mean"
            | "average instead"
            | "the average instead" => Intent::Measure(Aggregate::Avg),
            "the total" | "total" | "in total" | "the sum" | "sum" | "total instead"
            | "the total instead" | "the sum instead" => Intent::Measure(Aggregate::Sum),
            "the maximum" | "maximum" | "the highest" | "the largest" | "max" => {
                Intent::Measure(Aggregate::Max)
            }
            "the minimum" | "minimum" | "the lowest" | "the smallest" | "min" => {
                Intent::Measure(Aggregate::Min)
            }
            "ever"
            | "for all time"
            | "of all time"
            | "all time"
            | "at any time"
            | "in all years"
            | "for all years"
            | "regardless of date"
            | "regardless of the date"
            | "regardless of time"
            | "without the date"
            | "for any date"
            | "over all time" => Intent::Unfilter(Unfilter::Time),
            "without the filter"
            | "without the filters"
            | "without filters"
            | "overall"
            | "without any filter"
            | "without conditions"
            | "unfiltered"
            | "remove the filter"
            | "remove the filters"
            | "remove all filters"
            | "clear the filters" => Intent::Unfilter(Unfilter::All),
            _ => return self.top(),
        })
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
mod tests {
    use super::*;
    use crate::token::tokenize;

    fn intent(text: &str) -> Intent {
        read(&tokenize(text)).expect("a follow-up").intent
    }

    #[test]
    fn forms_of_follow_ups_are_known() {
        assert_eq!(intent("Why?"), Intent::Why);
        assert_eq!(intent("how did you get that?"), Intent::Why);
        assert_eq!(intent("as a percentage"), Intent::Percentage);
        assert_eq!(intent("ok, show it as percentages"), Intent::Percentage);
        assert_eq!(intent("top 5"), Intent::Top(5, false));
        assert_eq!(intent("only the first three of them"), Intent::Top(3, false));
        assert_eq!(intent("the bottom 10"), Intent::Top(10, true));
        assert_eq!(intent("limit it to 20"), Intent::Top(20, false));
        assert_eq!(intent("sort by revenue"), Intent::Sort(2..3, None));
        assert_eq!(intent("sort them by name descending"), Intent::Sort(3..4, Some(true)));
        assert_eq!(intent("newest first"), Intent::Direct(Some(true)));
        assert_eq!(
            intent("by country instead"),
            Intent::By { what: 1..2, instead: true, also: false }
        );
        assert_eq!(intent("and by month"), Intent::By { what: 2..3, instead: false, also: true });
        assert_eq!(
            intent("break it down by channel"),
            Intent::By { what: 4..5, instead: false, also: false }
        );
        assert_eq!(intent("what about refunds?"), Intent::About(2..3));
        assert_eq!(intent("and last month?"), Intent::About(1..3));
        assert_eq!(intent("only the German ones"), Intent::About(1..4));
        assert_eq!(intent("not the cancelled ones"), Intent::Without(2..4));
        assert_eq!(intent("also show their email"), Intent::Show(2..4));
        assert_eq!(intent("how many are there?"), Intent::Count);
        assert_eq!(intent("which ones?"), Intent::Rows);
        assert_eq!(intent("go back"), Intent::Back);
        let step = |unit, steps| Intent::Shift(Step { unit, steps });
        assert_eq!(intent("and the month before?"), step(Some(TimeUnit::Month), -1));
        assert_eq!(intent("and the summer before that"), step(Some(TimeUnit::Year), -1));
        assert_eq!(intent("what about the year after?"), step(Some(TimeUnit::Year), 1));
        assert_eq!(
            intent("and how many of them are preferred?"),
            Intent::Among { what: 6..7, count: true }
        );
        assert_eq!(
            intent("which of these countries have more than 3?"),
            Intent::Among { what: 4..8, count: false }
        );
        assert_eq!(intent("in Berlin only"), Intent::About(0..2));
    }

    #[test]
    fn questions_that_stand_alone_are_not_surely_follow_ups() {
        for question in [
            "How many orders were placed last month?",
            "top 5 products by price",
            "customers in Germany",
            "show me the orders of last week",
            "which customers have no orders?",
        ] {
            let phrase = read(&tokenize(question));
            assert!(phrase.as_ref().is_none_or(|it| !it.surely), "{question}: {phrase:?}");
        }
    }
}
