//! Texts that contain, begin or end with something, and columns that are empty.

use super::{Condition, Draft, Hand, Interpreter, Mode, resolve::Want};
use crate::{
    lexicon::LEXICON,
    link::Meaning,
    logical::{ColumnRef, Predicate},
};

impl Interpreter<'_> {
    /// `contains 'x'`, `starts with 'x'`, `is null`
    pub(super) fn read_pattern(
        &mut self,
        draft: &mut Draft,
        hand: &mut Hand,
        mode: &mut Mode,
        at: usize,
        end: usize,
    ) -> Option<usize> {
        let kinds: [(&[&str], &str); 3] = [
            (
                &[
                    "start with",
                    "starts with",
                    "starting with",
                    "started with",
                    "begin with",
                    "begins with",
                    "beginning with",
                    "starts in",
                    "start from",
                    "starts from",
                    "starting from",
                    "prefix",
                ],
                "start",
            ),
            (&["end with", "ends with", "ending with", "ending in", "ends in", "suffix"], "end"),
            (
                &[
                    "contain",
                    "contains",
                    "containing",
                    "contained",
                    "include",
                    "includes",
                    "including",
                    "like",
                    "substring",
                    "has the substring",
                    "have the substring",
                    "with the word",
                    "the word",
                    "the letter",
                    "the string",
                    "the phrase",
                    "mention",
                    "mentions",
                    "mentioning",
                    "the substring",
                    "the letters",
                    "has letter",
                    "have letter",
                    "has a letter",
                ],
                "in",
            ),
        ];
        if let Some(next) = self.read_within(draft, hand, mode, at, end) {
            return Some(next);
        }
        for (phrases, kind) in kinds {
            let Some(length) = self.one_of(at, phrases) else { continue };
            let mut next = at + length;
            while next < end
                && matches!(
                    self.word(next),
                    "the"
                        | "a"
                        | "an"
                        | "substring"
                        | "word"
                        | "words"
                        | "letter"
                        | "letters"
                        | "string"
                        | "phrase"
                        | "text"
                        | "character"
                        | "characters"
                        | "prefix"
                        | "in"
                        | "with"
                        | "keyword"
                )
            {
                next += 1;
            }
            // `contain 3 or more cities`, `include at least two`: how many
            let counts = self.number(next).is_some()
                && (self.word(next + 1) == "or"
                    && matches!(self.word(next + 2), "more" | "less" | "fewer")
                    || self.table_at(next + 1).is_some())
                || self.comparator(next).is_some();
            let quoted = self.items.get(next).is_some_and(|it| it.quoted);
            if kind == "in" && counts && !quoted {
                continue;
            }
            let item = self.items.get(next)?;
            let single =
                item.text.chars().count() == 1 && item.text.chars().all(char::is_alphanumeric);
            let texty = item.quoted
                || single
                || (item.capital && !self.is_name(next))
                || (item.is_word()
                    && !LEXICON.is_stop(&item.lower)
                    && LEXICON.degree(&item.lower).is_none()
                    && kind != "in")
                || matches!(item.meaning, Meaning::Value(_))
                || (matches!(item.meaning, Meaning::Number(..)) && kind != "in");
            if next >= end || !texty {
                return None;
            }
            let text = item.text.trim_matches('%').replace('%', "\\%").replace('_', "\\_");
            let pattern = |text: &str| match kind {
                "start" => format!("{text}%"),
                "end" => format!("%{text}"),
                _ => format!("%{text}%"),
            };
            let source = hand
                .column
                .or_else(|| {
                    (1..=6)
                        .filter(|back| at >= *back)
                        .map(|back| at - back)
                        .find(|&it| self.is_name(it))
                })
                .or_else(|| {
                    (self.word(next + 1) == "in")
                        .then(|| self.skip_determiners(next + 2))
                        .filter(|&it| self.is_name(it))
                });
            let mut column = source.and_then(|item| match self.table_at(item) {
                Some(table) => {
                    self.index.tables[table].display.first().map(|it| ColumnRef::new(table, *it))
                }
                None => self.resolve(draft, item, Want::Any),
            });
            // `contain 'x' in their name`
            let after = self.skip_determiners(if self.word(next + 1) == "in" {
                next + 2
            } else {
                next + 1
            });
            let mut stop = next + 1;
            if self.word(next + 1) == "in" && self.is_name(after) && self.table_at(after).is_none()
            {
                column = self.resolve(draft, after, Want::Any);
                stop = after + 1;
            }
            let column = column.or_else(|| {
                let root = draft.root?;
                self.index.tables[root].display.first().map(|it| ColumnRef::new(root, *it))
            })?;
            let column = self.written(column);
            if kind == "in"
                && !self.items[next].quoted
                && !single
                && !self.index.column(column).class.is_textual()
            {
                return None;
            }
            if let Some(item) = source {
                self.unask_pattern(draft, item, column, at);
            }
            let negated = std::mem::take(&mut hand.negated);
            let mut all = vec![Predicate::Like { column, pattern: pattern(&text), negated }];
            // `'a' or 'b'`
            while matches!(self.word(stop), "or" | "and")
                && self.items.get(stop + 1).is_some_and(|it| {
                    it.quoted || single && it.text.chars().count() == 1 && it.capital
                })
            {
                let or = self.word(stop) == "or";
                let more = self.items[stop + 1].text.trim_matches('%').to_owned();
                let like = Predicate::Like { column, pattern: pattern(&more), negated };
                if or {
                    all.push(like);
                } else {
                    draft.add(Condition::Row(like), false);
                }
                stop += 2;
            }
            let predicate = if all.len() == 1 { all.swap_remove(0) } else { Predicate::Or(all) };
            let or = std::mem::take(&mut hand.or);
            draft.add(Condition::Row(predicate), or);
            hand.column = None;
            *mode = Mode::Where;
            return Some(stop);
        }
        if matches!(
            self.word(at),
            "null" | "missing" | "empty" | "blank" | "unknown" | "known" | "unavailable"
        ) && let Some(item) = hand.column.or_else(|| {
            (1..=4)
                .filter(|back| at >= *back)
                .map(|back| at - back)
                .find(|&it| self.is_name(it) && self.table_at(it).is_none())
        }) {
            let column = self.resolve(draft, item, Want::Any)?;
            self.unask(draft, item, column);
            let negated = std::mem::take(&mut hand.negated) != (self.word(at) == "known");
            let or = std::mem::take(&mut hand.or);
            draft.add(Condition::Row(Predicate::Null { column, negated }), or);
            hand.column = None;
            *mode = Mode::Where;
            return Some(at + 1);
        }
        None
    }

    /// `'senior' in their titles`, `whose name has 'a' in it`
    fn read_within(
        &mut self,
        draft: &mut Draft,
        hand: &mut Hand,
        mode: &mut Mode,
        at: usize,
        end: usize,
    ) -> Option<usize> {
        if !self.items[at].quoted || self.word(at + 1) != "in" || at + 2 >= end {
            return None;
        }
        let own = matches!(self.word(at + 2), "their" | "its" | "his" | "her" | "the");
        let (item, next) = if self.word(at + 2) == "it" {
            let before = (1..=5)
                .filter(|back| at >= *back)
                .map(|back| at - back)
                .find(|&it| self.is_name(it) && self.table_at(it).is_none());
            (hand.column.or(before)?, at + 3)
        } else if own && self.is_name(at + 3) && self.table_at(at + 3).is_none() {
            (at + 3, at + 4)
        } else {
            return None;
        };
        let column = self.resolve(draft, item, Want::Any)?;
        if !self.index.column(column).class.is_textual() {
            return None;
        }
        self.unask_pattern(draft, item, column, at);
        let text = self.items[at].text.trim_matches('%').replace('%', "\\%").replace('_', "\\_");
        let negated = std::mem::take(&mut hand.negated);
        let like = Predicate::Like { column, pattern: format!("%{text}%"), negated };
        draft.add(Condition::Row(like), std::mem::take(&mut hand.or));
        hand.column = None;
        *mode = Mode::Where;
        Some(next)
    }

    /// Text to search, where rows are known by a key only: what somebody wrote there.
    fn written(&self, column: ColumnRef) -> ColumnRef {
        let info = self.index.column(column);
        if info.class.is_textual() || !info.is_id() {
            return column;
        }
        let columns = &self.index.tables[column.table].columns;
        let usual = [
            "comment",
            "body",
            "text",
            "content",
            "message",
            "description",
            "note",
            "title",
            "subject",
        ];
        usual
            .iter()
            .find_map(|word| {
                columns.iter().position(|it| it.class.is_textual() && it.has_word(word))
            })
            .map_or(column, |it| ColumnRef::new(column.table, it))
    }

    pub(super) fn unask_pattern(
        &mut self,
        draft: &mut Draft,
        item: usize,
        column: ColumnRef,
        at: usize,
    ) {
        // `names that contain x`: asked for and compared; `whose name contains x`: compared
        let relative = (item + 1..at).any(|it| matches!(self.word(it), "that" | "which" | "who"));
        let lead = item.checked_sub(1).map_or("", |it| self.word(it));
        if !relative
            && matches!(
                lead,
                "whose" | "with" | "the" | "has" | "have" | "a" | "where" | "their" | "and" | "in"
            )
            && draft.asked.len() > 1
        {
            draft.asked.retain(|it| *it != super::Asked::Column(column));
        }
    }
}
