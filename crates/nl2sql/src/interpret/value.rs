//! Values: equal to one, to one of several, to a name kept in two columns.

use plinth_schema_introspect::TypeClass;

use super::{Condition, Draft, GroupKey, Hand, Interpreter, Mode, Note, resolve::Want};
use crate::{
    lexicon::LEXICON,
    link::Meaning,
    logical::{ColumnRef, Comparison, Expr, Literal, Predicate},
};

impl Interpreter<'_> {
    /// A value: equal to it.
    pub(super) fn read_value(
        &mut self,
        draft: &mut Draft,
        hand: &mut Hand,
        mode: &mut Mode,
        at: usize,
        end: usize,
    ) -> Option<usize> {
        let Meaning::Value(links) = &self.items[at].meaning else { return None };
        if *mode == Mode::Select {
            // `the number of males and females`
            let next = (at + 1..(at + 5).min(end))
                .find_map(|it| self.table_at(it).map(|table| (it, table)));
            match next {
                Some((item, table))
                    if hand.count
                        && hand.aggregates.is_empty()
                        && (at + 1..item).all(|it| {
                            self.is_value(it) || matches!(self.word(it), "and" | "or")
                        }) =>
                {
                    hand.count = false;
                    if draft.root.is_none() || !draft.asks_something() {
                        draft.root = Some(table);
                    }
                    draft.ask(super::Asked::Count {
                        table: Some(table),
                        column: None,
                        distinct: false,
                    });
                }
                Some(_) => {}
                None => self.count_now(draft, hand),
            }
        }
        // a common noun that also is a value, right where a column is expected, is that column
        let plain = !self.items[at].quoted && !self.items[at].capital;
        let links = links.clone();
        let ranked = self.rank_values(draft, &links, at, hand.column);
        if let Some(&(number, score)) = ranked.first() {
            if let Some(&(second, lower)) = ranked.get(1) {
                let best = &links[number];
                let gap = score - self.told(at, ColumnRef::new(best.table, best.column)) - lower;
                if gap < 0.1 {
                    self.close(at, gap);
                }
                let other = &links[second];
                self.rival(at, ColumnRef::new(other.table, other.column), score - lower);
            }
            // a plural that only resembles a value, of nothing that was named
            if plain && links[number].score < 0.76 && score < 1.0 {
                return None;
            }
            if plain && score < 0.75 {
                self.notes.push(Note::Weak(score));
            }
            let link = &links[number];
            let column = self.nearer(draft, ColumnRef::new(link.table, link.column));
            let value = link.value.clone();
            // `each team lead`: of the people who are called so one by one
            if at > 0
                && matches!(self.word(at - 1), "each" | "every" | "per")
                && self.index.tables[column.table].display.len() == 2
                && !self.index.tables[column.table].display.contains(&column.column)
                && self.table_at(at + 1).is_none()
                && !self.is_name(at + 1)
            {
                let of = GroupKey::Rows(column.table);
                if !draft.groups.contains(&of) {
                    draft.groups.push(of);
                }
                // what each counted row belongs to is no guess
                let counted = draft.root.filter(|it| self.single(*it, column.table));
                if draft.counts() {
                    self.measured = self.measured.or(counted);
                }
            }
            return Some(self.equal_list(draft, hand, mode, column, &value, at, end));
        }
        if let Some(next) = self.full_name(draft, hand, mode, at) {
            return Some(next);
        }
        // seen nowhere: the column in hand, the one just before or after, else what rows are known by
        let item = hand.column.or_else(|| {
            (1..=3).filter(|back| at >= *back).map(|back| at - back).find(|&it| self.is_name(it))
        });
        let text = self.items[at].text.clone();
        let mut column = None;
        if let Some(item) = item {
            column = match self.table_at(item) {
                Some(table) => {
                    self.index.tables[table].display.first().map(|it| ColumnRef::new(table, *it))
                }
                None => self.resolve(draft, item, Want::Any),
            };
        }
        if column.is_none() && self.is_name(at + 1) {
            column = match self.table_at(at + 1) {
                Some(table) => {
                    self.index.tables[table].display.first().map(|it| ColumnRef::new(table, *it))
                }
                None => self.resolve(draft, at + 1, Want::Any),
            };
        }
        let column = column.or_else(|| {
            let root = draft.root?;
            self.index.tables[root].display.first().map(|it| ColumnRef::new(root, *it))
        })?;
        self.notes.push(Note::Unseen(at));
        Some(self.equal_list(draft, hand, mode, column, &text, at, end))
    }

    /// A name in capitals that stands in no sample, right behind what it is a name of.
    pub(super) fn read_unseen(
        &mut self,
        draft: &mut Draft,
        hand: &mut Hand,
        mode: &mut Mode,
        at: usize,
        end: usize,
    ) -> Option<usize> {
        let proper = |this: &Self, at: usize| {
            at < end
                && this.wordy(at)
                && this.items[at].capital
                && !LEXICON.is_stop(this.word(at))
                && !this.items[at].text.chars().all(|it| it == 'I')
        };
        if !proper(self, at) || at == 0 {
            return None;
        }
        let called = matches!(self.word(at - 1), "named" | "called");
        let item = (1..=2)
            .filter(|back| at >= *back)
            .map(|back| at - back)
            .find(|&it| self.is_name(it) && self.table_at(it).is_none())
            .filter(|&it| {
                (it + 1..at).all(|it| {
                    matches!(self.word(it), "is" | "of" | "named" | "called" | "as" | "was")
                })
            });
        let column = match item {
            Some(item) => {
                let column = self.resolve_quietly(draft, item, Want::Any)?;
                if !self.index.column(column).class.is_textual() {
                    return None;
                }
                self.unask(draft, item, column);
                column
            }
            None if called => {
                let table = (0..at).rev().find_map(|it| self.table_at(it)).or(draft.root)?;
                ColumnRef::new(table, *self.index.tables[table].display.first()?)
            }
            None => return None,
        };
        let mut next = at + 1;
        while proper(self, next) {
            next += 1;
        }
        let text: Vec<&str> = self.items[at..next].iter().map(|it| it.text.as_str()).collect();
        let negated = std::mem::take(&mut hand.negated);
        let predicate = self.equality(column, &text.join(" "), negated);
        draft.add(Condition::Row(predicate), std::mem::take(&mut hand.or));
        self.notes.push(Note::Unseen(at));
        hand.column = None;
        if draft.asks_something() {
            *mode = Mode::Where;
        }
        Some(next)
    }

    /// A quoted name of which a table keeps the words in two columns.
    pub(super) fn full_name(
        &mut self,
        draft: &mut Draft,
        hand: &mut Hand,
        mode: &mut Mode,
        at: usize,
    ) -> Option<usize> {
        let text = self.items[at].text.clone();
        let (first, last) = text.trim().rsplit_once(' ')?;
        let mut best: Option<(f64, usize, String, String)> = None;
        for (number, table) in self.index.tables.iter().enumerate() {
            let [one, two] = table.display.as_slice() else { continue };
            let find = |column: usize, word: &str| {
                table.columns[column]
                    .values
                    .iter()
                    .find(|it| it.eq_ignore_ascii_case(word.trim()))
                    .cloned()
            };
            let Some((first, last)) = find(*one, first).zip(find(*two, last)) else { continue };
            let score = self.weight[number]
                - draft
                    .root
                    .and_then(|it| self.index.distance(it, number))
                    .map_or(1.0, |it| if it == 0 { 0.0 } else { 0.2 });
            if best.as_ref().is_none_or(|it| score > it.0) {
                best = Some((score, number, first, last));
            }
        }
        let (_, table, first, last) = best?;
        let display = self.index.tables[table].display.clone();
        let or = std::mem::take(&mut hand.or);
        let all = vec![
            self.equality(ColumnRef::new(table, display[0]), &first, false),
            self.equality(ColumnRef::new(table, display[1]), &last, false),
        ];
        if or || std::mem::take(&mut hand.negated) {
            draft.add(Condition::Row(Predicate::And(all)), or);
        } else {
            for it in all {
                draft.add(Condition::Row(it), false);
            }
        }
        hand.column = None;
        if draft.asks_something() {
            *mode = Mode::Where;
        }
        Some(at + 1)
    }

    /// `A`, `A or B`, `A, B and C` of one column.
    pub(super) fn equal_list(
        &mut self,
        draft: &mut Draft,
        hand: &mut Hand,
        mode: &mut Mode,
        column: ColumnRef,
        value: &str,
        at: usize,
        end: usize,
    ) -> usize {
        let mut next = at + 1;
        let mut values = vec![value.to_owned()];
        let mut or = false;
        let mut and = false;
        loop {
            let mut probe = next;
            let (mut says_or, mut says_and, mut listed) = (false, false, false);
            while probe < end
                && (self.marked(probe, ',')
                    || matches!(
                        self.word(probe),
                        "or" | "and" | "either" | "in" | "the" | "not" | "from"
                    ))
            {
                listed |= self.marked(probe, ',');
                says_or |= self.word(probe) == "or";
                says_and |= self.word(probe) == "and";
                probe += 1;
            }
            // `french in mountain view` lists nothing
            if probe == next || probe >= end || !(says_or || says_and || listed) {
                break;
            }
            let Meaning::Value(links) = &self.items[probe].meaning else { break };
            let same =
                links.iter().find(|it| it.table == column.table && it.column == column.column);
            let text = match same {
                Some(it) => it.value.clone(),
                None if self.items[probe].quoted && links.is_empty() => {
                    self.items[probe].text.clone()
                }
                None => break,
            };
            if probe + 1 < end
                && self.is_name(probe + 1)
                && self.table_at(probe + 1).is_none()
                && says_and
            {
                break;
            }
            or |= says_or;
            and |= says_and;
            values.push(text);
            next = probe + 1;
        }
        self.mark_used(at, next);
        if values.len() == 1 {
            self.equal(draft, hand, mode, column, value, at);
            return next;
        }
        let negated = std::mem::take(&mut hand.negated);
        let one = |text: &String| self.equality(column, text, negated);
        let all: Vec<Predicate> = values.iter().map(one).collect();
        self.take_back(draft, hand, column, at);
        if negated {
            for it in all {
                draft.add(Condition::Row(it), false);
            }
        } else if and
            && !or
            && !draft.both
            && (draft.aggregates() || hand.count || !hand.aggregates.is_empty())
            && (at < 2 || !matches!(self.word(at - 1), "from" | "in" | "between"))
        {
            // `the average age of male and female students`: one number for each
            let info = self.index.column(column);
            if !(info.complete && info.values.len() == values.len()) {
                draft.add(Condition::Row(Predicate::Or(all)), hand.or);
            }
            draft.groups.push(GroupKey::Column(column));
        } else if and
            && !or
            && values.len() == 2
            && (draft.both
                || draft.asks_something()
                    && draft
                        .root
                        .is_some_and(|it| it != column.table && !self.single(it, column.table)))
        {
            for it in all {
                draft.add(Condition::Row(it), false);
            }
        } else {
            draft.add(Condition::Row(Predicate::Or(all)), hand.or);
        }
        hand.or = false;
        if draft.asks_something() {
            *mode = Mode::Where;
        }
        next
    }

    /// A column that was asked for although it only said where the value belongs.
    pub(super) fn take_back(
        &mut self,
        draft: &mut Draft,
        hand: &mut Hand,
        column: ColumnRef,
        at: usize,
    ) {
        let item = hand.column.take().or_else(|| {
            (1..=2).filter(|back| at >= *back).map(|back| at - back).find(|&it| self.is_name(it))
        });
        let Some(item) = item else { return };
        if self.table_at(item).is_some() {
            return;
        }
        let between: Vec<&str> = (item + 1..at).map(|it| self.word(it)).collect();
        let names_it = self
            .links(item)
            .iter()
            .any(|it| it.table == column.table && it.column == Some(column.column));
        if names_it && !between.iter().any(|it| matches!(*it, "of" | "for" | "in" | "from")) {
            self.unask(draft, item, column);
            self.mark_used(item, item + 1);
        }
    }

    /// `orders paid by card`: what was done by that means, rather than a state of something else of that name.
    fn done_by(&self, draft: &mut Draft, means: ColumnRef, at: usize) {
        if at < 2 || !matches!(self.word(at - 1), "by" | "with" | "via" | "through" | "using") {
            return;
        }
        let item = &self.items[at - 2];
        let verb = &self.tokens[item.end - 1];
        if !matches!(item.meaning, Meaning::Value(_)) {
            return;
        }
        let state = draft.conditions.iter().position(|(it, _)| {
            matches!(it, Condition::Row(Predicate::Compare(Expr::Column(own), Comparison::Equal, Expr::Literal(Literal::Text(value))))
                if own.table != means.table && value.eq_ignore_ascii_case(&item.lower))
        });
        let moment = self.index.tables[means.table].columns.iter().position(|it| {
            it.class.is_temporal()
                && it.nullable
                && it.words.iter().any(|own| *own == verb.lower || LEXICON.stem(own) == verb.stem)
        });
        // or of which the description says so
        let moment = moment.or_else(|| {
            let told = self.moment_called(means.table, verb)?;
            self.index.column(told).nullable.then_some(told.column)
        });
        if let (Some(state), Some(moment)) = (state, moment) {
            draft.conditions.remove(state);
            let column = ColumnRef::new(means.table, moment);
            draft.add(Condition::Row(Predicate::Null { column, negated: true }), false);
        }
    }

    pub(super) fn equality(&self, column: ColumnRef, value: &str, negated: bool) -> Predicate {
        let comparison = if negated { Comparison::NotEqual } else { Comparison::Equal };
        let info = self.index.column(column);
        if info.class == TypeClass::Boolean {
            let yes = matches!(value.to_lowercase().as_str(), "yes" | "true" | "t" | "y" | "1");
            return Predicate::Compare(
                Expr::Column(column),
                comparison,
                Expr::Literal(Literal::Boolean(yes)),
            );
        }
        Predicate::Compare(
            Expr::Column(column),
            comparison,
            Expr::Literal(Literal::Text(value.to_owned())),
        )
    }

    pub(super) fn equal(
        &mut self,
        draft: &mut Draft,
        hand: &mut Hand,
        mode: &mut Mode,
        column: ColumnRef,
        value: &str,
        at: usize,
    ) -> usize {
        let negated = std::mem::take(&mut hand.negated);
        self.take_back(draft, hand, column, at);
        let predicate = self.equality(column, value, negated);
        let or = std::mem::take(&mut hand.or);
        self.done_by(draft, column, at);
        draft.add(Condition::Row(predicate), or);
        if draft.asks_something() {
            *mode = Mode::Where;
        }
        at + 1
    }
}
