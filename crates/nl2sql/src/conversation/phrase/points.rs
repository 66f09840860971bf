//! Follow-ups that point at what the last answer found: `who placed it`, `what percent of all members is that`.

use std::ops::Range;

use super::{Intent, Reader};
use crate::logical::Aggregate;

impl Reader<'_> {
    /// See the module.
    pub(super) fn points(&self) -> Option<Intent> {
        self.beneath()
            .or_else(|| self.actor())
            .or_else(|| self.manner())
            .or_else(|| self.part_of())
            .or_else(|| self.measure())
    }

    fn is_one_thing(word: &str) -> bool {
        matches!(word, "it" | "that" | "this")
    }

    /// `who reports to those`, `their direct reports`
    fn beneath(&self) -> Option<Intent> {
        let words: Vec<&str> = (self.at..self.end).map(|at| self.word(at)).collect();
        let them = |it: &str| matches!(it, "them" | "those" | "these" | "him" | "her");
        match words.as_slice() {
            ["who", "reports" | "report" | "works" | "work", "to" | "under" | "for", it]
            | ["who", "reports" | "report", "directly", "to", it]
                if them(it) =>
            {
                Some(Intent::Beneath)
            }
            ["their" | "his" | "her", "reports"]
            | ["their" | "his" | "her", "direct", "reports"]
            | [
                "who",
                "do" | "does" | "did",
                "they" | "he" | "she",
                "manage" | "lead" | "supervise",
            ] => Some(Intent::Beneath),
            _ => None,
        }
    }

    /// `who placed it`
    fn actor(&self) -> Option<Intent> {
        let whom = matches!(self.word(self.at), "who" | "whom");
        let short = (3..=4).contains(&(self.end - self.at));
        (whom && short && Self::is_one_thing(self.word(self.end - 1))).then_some(Intent::Actor)
    }

    /// `how did they pay`, `how was it paid`
    fn manner(&self) -> Option<Intent> {
        let asks = self.word(self.at) == "how"
            && matches!(self.word(self.at + 1), "did" | "do" | "does" | "was" | "were" | "is")
            && matches!(self.word(self.at + 2), "they" | "he" | "she" | "it" | "this" | "that");
        let mut end = self.end;
        // `for it`
        if end > self.at + 4 && Self::is_one_thing(self.word(end - 1)) {
            end -= 1;
            if self.word(end - 1) == "for" {
                end -= 1;
            }
        }
        (asks && end == self.at + 4).then_some(Intent::Manner(self.at + 3..end))
    }

    /// `what percent of all members is that`, `as a share of all orders`
    fn part_of(&self) -> Option<Intent> {
        let mut at = self.at;
        let asks = match (self.word(at), self.word(at + 1)) {
            ("what" | "which", _) => {
                at += 1;
                true
            }
            ("how", "many") => {
                at += 2;
                true
            }
            ("as", _) => {
                at += 1;
                false
            }
            _ => return None,
        };
        if matches!(self.word(at), "a" | "the") {
            at += 1;
        }
        let part = matches!(
            self.word(at),
            "percent" | "percentage" | "share" | "portion" | "proportion" | "fraction" | "part"
        ) || self.tokens.get(at).is_some_and(|it| it.is_mark('%'));
        if !part || self.word(at + 1) != "of" {
            return None;
        }
        at += 2;
        let mut end = self.end;
        let points = end > at + 1
            && matches!(self.word(end - 1), "that" | "this" | "it" | "those" | "these" | "they")
            && matches!(self.word(end - 2), "is" | "are" | "was" | "were");
        if points {
            end -= 2;
        }
        while matches!(self.word(at), "all" | "our" | "the" | "total") {
            at += 1;
        }
        (asks == points && at < end && end - at <= 4).then_some(Intent::PartOf(at..end))
    }

    /// `average per order instead of the total`
    fn measure(&self) -> Option<Intent> {
        let mut at = self.at;
        while matches!(self.word(at), "the" | "an" | "a" | "their") {
            at += 1;
        }
        let function = match self.word(at) {
            "average" | "mean" => Aggregate::Avg,
            "total" | "sum" => Aggregate::Sum,
            "median" => Aggregate::Median,
            "highest" | "maximum" | "largest" => Aggregate::Max,
            "lowest" | "minimum" | "smallest" => Aggregate::Min,
            _ => return None,
        };
        at += 1;
        let mut of: Range<usize> = at..at;
        match (self.word(at), self.word(at + 1)) {
            ("per", _) => of = at + 1..at + 2,
            ("of" | "for" | "by", "each" | "every") => of = at + 2..at + 3,
            _ => {}
        }
        at = of.end.max(at);
        if at > self.end {
            return None;
        }
        let rest: Vec<&str> = (at..self.end).map(|at| self.word(at)).collect();
        let instead = match rest.as_slice() {
            ["instead"] | ["instead", "of", _] | ["instead", "of", "the" | "a", _] => true,
            [] => false,
            _ => return None,
        };
        (instead || !of.is_empty()).then_some(Intent::MeasureOf(function, of))
    }
}
