//! Conditions: comparisons, values, patterns, spans of time.

use plinth_schema_introspect::TypeClass;

use super::{Condition, Draft, GroupKey, Hand, Interpreter, Mode, Note, resolve::Want};
use crate::{
    lexicon::{Form, LEXICON},
    link::Meaning,
    logical::{Aggregate, ColumnRef, Comparison, Expr, Literal, LogicalQuery, Predicate},
    time::{Bound, Span},
};

/// A comparison word, as it was read.
pub(super) struct Comparator {
    pub(super) comparison: Comparison,
    pub(super) next: usize,
    /// The adjective, where it says what is compared (`older than`).
    pub(super) adjective: Option<String>,
}

/// What something is compared with.
enum Operand {
    Number(f64),
    Text(String),
    /// The single value of a nested query over the compared column.
    Aggregate(Aggregate, Option<usize>),
    /// Every value (or any one, if true) of the column that an item names.
    Every(bool, usize),
    /// Years.
    Year(i16),
}

impl Interpreter<'_> {
    /// `more than`, `at least`, `older than`, `>` …
    pub(super) fn comparator(&self, at: usize) -> Option<Comparator> {
        use Comparison::{AtLeast, AtMost, Equal, Greater, Less, NotEqual};
        let simple: [(&str, Comparison); 52] = [
            ("more than or equal to", AtLeast),
            ("greater than or equal to", AtLeast),
            ("less than or equal to", AtMost),
            ("higher than or equal to", AtLeast),
            ("lower than or equal to", AtMost),
            ("no less than", AtLeast),
            ("not less than", AtLeast),
            ("no fewer than", AtLeast),
            ("no more than", AtMost),
            ("not more than", AtMost),
            ("not greater than", AtMost),
            ("no greater than", AtMost),
            ("no higher than", AtMost),
            ("no lower than", AtLeast),
            ("more than", Greater),
            ("greater than", Greater),
            ("less than", Less),
            ("fewer than", Less),
            ("at least", AtLeast),
            ("at most", AtMost),
            ("at minimum", AtLeast),
            ("a minimum of", AtLeast),
            ("minimum of", AtLeast),
            ("a maximum of", AtMost),
            ("up to", AtMost),
            ("over", Greater),
            ("above", Greater),
            ("exceeding", Greater),
            ("exceeds", Greater),
            ("exceed", Greater),
            ("exceeded", Greater),
            ("in excess of", Greater),
            ("under", Less),
            ("below", Less),
            ("beneath", Less),
            ("equal to", Equal),
            ("equals to", Equal),
            ("equals", Equal),
            ("exactly", Equal),
            ("equal", Equal),
            ("not equal to", NotEqual),
            ("different from", NotEqual),
            ("other than", NotEqual),
            ("not equals to", NotEqual),
            ("higher than", Greater),
            ("lower than", Less),
            ("better than", Greater),
            ("worse than", Less),
            ("only", Equal),
            ("after", Greater),
            ("before", Less),
            ("since", AtLeast),
        ];
        let mut start = at;
        while matches!(self.word(start), "strictly" | "or" | "that") && start < at + 1 {
            start += 1;
        }
        if start == at
            && let Some((phrase, comparison)) = simple
                .iter()
                .filter(|it| self.says(at, it.0))
                .max_by_key(|it| it.0.split(' ').count())
        {
            let mut next = at + phrase.split(' ').count();
            if self.says(next, "or equal to") {
                next += 3;
                let comparison = if *comparison == Greater { AtLeast } else { AtMost };
                return Some(Comparator { comparison, next, adjective: None });
            }
            let adjective =
                matches!(*phrase, "higher than" | "lower than" | "after" | "before" | "since")
                    .then(|| {
                        match *phrase {
                            "higher than" => "high",
                            "lower than" => "low",
                            _ => "late",
                        }
                        .to_owned()
                    });
            return Some(Comparator { comparison: *comparison, next, adjective });
        }
        for (mark, second, comparison, length) in [
            ('>', Some('='), AtLeast, 2),
            ('<', Some('='), AtMost, 2),
            ('<', Some('>'), NotEqual, 2),
            ('!', Some('='), NotEqual, 2),
            ('>', None, Greater, 1),
            ('<', None, Less, 1),
            ('=', None, Equal, 1),
            ('≥', None, AtLeast, 1),
            ('≤', None, AtMost, 1),
        ] {
            if self.marked(at, mark)
                && second
                    .is_none_or(|it| self.items.get(at + 1).is_some_and(|item| item.is_mark(it)))
            {
                return Some(Comparator { comparison, next: at + length, adjective: None });
            }
        }
        // `older than`, `more expensive than`, `longer than or equal to`
        let (adjective, than) = match self.word(at) {
            "more" | "less" if LEXICON.degree(self.word(at + 1)).is_some() => (at + 1, at + 2),
            _ => (at, at + 1),
        };
        let degree = LEXICON.degree(self.word(adjective))?;
        let comparative = degree.form == Form::Comparative || than == at + 2;
        if comparative && self.word(than) == "than" {
            let up = degree.measures.first().is_some_and(|it| it.1) == (self.word(at) != "less");
            let mut next = than + 1;
            let mut comparison = if up { Greater } else { Less };
            if self.says(next, "or equal to") {
                next += 3;
                comparison = if up { AtLeast } else { AtMost };
            }
            return Some(Comparator {
                comparison,
                next,
                adjective: Some(self.word(adjective).to_owned()),
            });
        }
        None
    }

    pub(super) fn read_comparison(
        &mut self,
        draft: &mut Draft,
        hand: &mut Hand,
        mode: &mut Mode,
        at: usize,
        end: usize,
    ) -> Option<usize> {
        if let Some(next) = self.read_between(draft, hand, mode, at, end) {
            return Some(next);
        }
        if let Some(next) = self.read_plain_number(draft, hand, mode, at, end) {
            return Some(next);
        }
        let Comparator { mut comparison, next, adjective } = self.comparator(at)?;
        // `only`, `after`, `over` and the like are comparisons only where something comparable follows
        let (operand, mut next) = self.operand(draft, hand, next, end)?;
        if let Operand::Text(_) = operand
            && matches!(
                self.word(at),
                "only" | "over" | "under" | "above" | "below" | "after" | "before" | "since"
            )
        {
            return None;
        }
        if let Operand::Number(_) = operand {
            // `5 or more`
            if self.says(next, "or more")
                || self.says(next, "or above")
                || self.says(next, "or higher")
                || self.says(next, "or greater")
            {
                comparison = Comparison::AtLeast;
                next += 2;
            }
        }
        if hand.negated && !matches!(self.word(at), "no" | "not") {
            comparison = comparison.negated();
            hand.negated = false;
        }
        let next = self.compare(
            draft,
            hand,
            *mode,
            comparison,
            operand,
            adjective.as_deref(),
            at,
            next,
            end,
        )?;
        *mode = Mode::Where;
        Some(next)
    }

    /// What stands on the right of a comparison and where it ends.
    fn operand(
        &self,
        draft: &Draft,
        hand: &Hand,
        at: usize,
        end: usize,
    ) -> Option<(Operand, usize)> {
        let mut at = at;
        while at < end
            && (matches!(
                self.word(at),
                "the" | "a" | "an" | "that" | "of" | "any" | "all" | "those" | "in" | "year"
            ) || matches!(self.items[at].meaning, Meaning::Mark('$' | '#' | '€' | '£')))
            && !self.is_name(at)
        {
            at += 1;
        }
        if at >= end {
            return None;
        }
        if let Some(value) = self.number(at) {
            let mut value = value;
            let mut next = at + 1;
            while let Some(factor) = self.number(next).filter(|it| {
                [100.0, 1000.0, 1e6].contains(it)
                    && self.word(next).chars().all(char::is_alphabetic)
            }) {
                value *= factor;
                next += 1;
            }
            if self.items.get(next).is_some_and(|it| it.is_mark('%') || it.is_mark('$')) {
                next += 1;
            }
            return Some((Operand::Number(value), next));
        }
        if let Meaning::Time(Span::Year(year, _)) = self.items[at].meaning {
            return Some((Operand::Year(year), at + 1));
        }
        let function = match self.word(at) {
            "average" | "mean" | "avg" => Some(Aggregate::Avg),
            "maximum" | "max" | "highest" | "largest" | "biggest" | "greatest" => {
                Some(Aggregate::Max)
            }
            "minimum" | "min" | "lowest" | "smallest" => Some(Aggregate::Min),
            _ => None,
        };
        if let Some(function) = function {
            let mut next = at + 1;
            if matches!(self.word(next), "of" | "value" | "number") {
                next += 1;
            }
            next = self.skip_determiners(next);
            let column =
                (next < end && self.is_name(next) && self.table_at(next).is_none()).then_some(next);
            let next = column.map_or(next, |it| it + 1);
            return Some((Operand::Aggregate(function, column), next));
        }
        // `greater than the salary of all …`: every one of them
        if self.is_name(at)
            && self.table_at(at).is_none()
            && matches!(self.word(at + 1), "of" | "for" | "in")
            && (at + 1..end).any(|it| self.table_at(it).is_some() || self.is_value(it))
        {
            let any =
                matches!(self.word(at + 2), "any" | "some") || self.says(at + 2, "at least one");
            return Some((Operand::Every(any, at), at + 1));
        }
        // `higher average age than the overall average …`
        if self.is_name(at) && self.word(at).starts_with("average ") {
            return Some((Operand::Aggregate(Aggregate::Avg, Some(at)), at + 1));
        }
        let _ = (draft, hand);
        match &self.items[at].meaning {
            Meaning::Value(_) if self.items[at].quoted => {
                Some((Operand::Text(self.items[at].text.clone()), at + 1))
            }
            _ => None,
        }
    }

    /// `between 3 and 5`, `from 3 to 5`
    fn read_between(
        &mut self,
        draft: &mut Draft,
        hand: &mut Hand,
        mode: &mut Mode,
        at: usize,
        end: usize,
    ) -> Option<usize> {
        let joiner = match self.word(at) {
            "between" => &["and", "to"][..],
            "from" | "range" => &["to", "through"][..],
            _ => return None,
        };
        let skip = |mut at: usize| {
            while matches!(self.items.get(at).map(|it| &it.meaning), Some(Meaning::Mark('$' | '#')))
                || matches!(self.word(at), "the" | "years" | "year")
            {
                at += 1;
            }
            at
        };
        let value = |at: usize| -> Option<f64> {
            self.number(at).or(match self.items.get(at)?.meaning {
                Meaning::Time(Span::Year(year, _)) => Some(f64::from(year)),
                _ => None,
            })
        };
        let first = skip(at + 1);
        let low = value(first)?;
        let mut middle = first + 1;
        if self.items.get(middle).is_some_and(|it| it.is_mark('%') || it.is_mark('$')) {
            middle += 1;
        }
        let second = skip(middle + 1);
        // the second number and its "and" may have been read as a span of time: `and 2009`
        if !joiner.contains(&self.word(middle)) {
            return None;
        }
        let high = value(second)?;
        let mut next = second + 1;
        if next < end && self.marked(next, '%') {
            next += 1;
        }
        let column = self.compared_column(
            draft,
            hand,
            None,
            &mut next,
            end,
            low >= 1500.0 && high <= 2100.0,
        )?;
        let negated = std::mem::take(&mut hand.negated);
        let predicate = self.between(column, low, high);
        let predicate = if negated { Predicate::Not(Box::new(predicate)) } else { predicate };
        if let Some(function) = hand.column_aggregate.take() {
            let having = Predicate::Between(
                Expr::aggregate(function, Expr::Column(column)),
                Expr::Literal(Literal::Number(low)),
                Expr::Literal(Literal::Number(high)),
            );
            let of = self.subject(draft);
            draft.add(Condition::Group { of, having, joins: None }, hand.or);
        } else {
            draft.add(Condition::Row(predicate), hand.or);
        }
        hand.or = false;
        *mode = Mode::Where;
        hand.column = None;
        Some(next)
    }

    fn between(&self, column: ColumnRef, low: f64, high: f64) -> Predicate {
        let info = self.index.column(column);
        let left = if info.class.is_temporal() {
            Expr::Part("year", Box::new(Expr::Column(column)))
        } else {
            Expr::Column(column)
        };
        Predicate::Between(
            left,
            Expr::Literal(Literal::Number(low)),
            Expr::Literal(Literal::Number(high)),
        )
    }

    /// `age 30`, `rating is 5`, `id of 3`: a number after a column.
    fn read_plain_number(
        &mut self,
        draft: &mut Draft,
        hand: &mut Hand,
        mode: &mut Mode,
        at: usize,
        end: usize,
    ) -> Option<usize> {
        let value = self.number(at)?;
        // `5 or more courses`, `18 or older`
        let or_more = [
            ("or more", Comparison::AtLeast),
            ("or above", Comparison::AtLeast),
            ("or higher", Comparison::AtLeast),
            ("or older", Comparison::AtLeast),
            ("or greater", Comparison::AtLeast),
            ("or later", Comparison::AtLeast),
            ("or less", Comparison::AtMost),
            ("or fewer", Comparison::AtMost),
            ("or below", Comparison::AtMost),
            ("or lower", Comparison::AtMost),
            ("or younger", Comparison::AtMost),
            ("and above", Comparison::AtLeast),
        ]
        .into_iter()
        .find(|it| self.says(at + 1, it.0));
        if let Some((_, comparison)) = or_more {
            let aged = matches!(self.word(at + 2), "older" | "younger")
                || at > 0 && self.word(at - 1) == "aged";
            if aged {
                hand.column = None;
            }
            let next = self.compare(
                draft,
                hand,
                *mode,
                comparison,
                Operand::Number(value),
                aged.then_some("older"),
                at,
                at + 3,
                end,
            )?;
            *mode = Mode::Where;
            return Some(next);
        }
        // the values in text columns that look like this number
        if let Meaning::Number(_, links) = &self.items[at].meaning
            && !links.is_empty()
        {
            let ranked = self.rank_values(draft, links, at, hand.column);
            if let Some(&(number, score)) = ranked.first()
                && score > 1.1
            {
                let link = links[number].clone();
                return Some(self.equal(
                    draft,
                    hand,
                    mode,
                    ColumnRef::new(link.table, link.column),
                    &link.value,
                    at,
                ));
            }
        }
        // a number of things: `two courses`, `5 students`
        if *mode == Mode::Where
            && let Some(table) = self.table_at(at + 1)
            && (Some(table) != draft.root
                || matches!(self.subject_for(draft, table), GroupKey::Column(_)))
            && hand.column.is_none()
        {
            let mut next = at + 1;
            let _ = self.compared_count(draft, hand, &mut next, table);
            let of = self.subject_for(draft, table);
            let joins = (of.table() != table).then_some(table);
            draft.add(
                Condition::Group {
                    of,
                    having: Predicate::Compare(
                        Expr::count(),
                        Comparison::Equal,
                        Expr::Literal(Literal::Number(value)),
                    ),
                    joins,
                },
                hand.or,
            );
            hand.or = false;
            return Some(next);
        }
        if self.degree_at(at + 1) || matches!(self.word(at + 1), "most" | "least") {
            return None;
        }
        // `the three cities with …`
        let thing = if LEXICON.degree(self.word(at + 1)).is_some() { at + 2 } else { at + 1 };
        if *mode == Mode::Select
            && (self.table_at(thing).is_some() || self.is_name(thing) && hand.column.is_none())
            && value.fract() == 0.0
            && (1.0..=1000.0).contains(&value)
        {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
            let number = value as u64;
            hand.number = Some(number);
            return Some(at + 1);
        }
        // `had 7 bikes available`
        if *mode == Mode::Where
            && hand.column.is_none()
            && self.is_name(at + 1)
            && self.table_at(at + 1).is_none()
            && let Some(column) = self.resolve_quietly(draft, at + 1, Want::Number)
            && self.index.column(column).class.is_numeric()
            && !self.index.column(column).is_id()
        {
            let column = self.resolve(draft, at + 1, Want::Number)?;
            let negated = std::mem::take(&mut hand.negated);
            let comparison = if negated { Comparison::NotEqual } else { Comparison::Equal };
            draft.add(
                Condition::Row(Predicate::Compare(
                    Expr::Column(column),
                    comparison,
                    Expr::Literal(Literal::Number(value)),
                )),
                std::mem::take(&mut hand.or),
            );
            return Some(at + 2);
        }
        let links_up = |item: usize| {
            (item + 1..at).all(|it| {
                matches!(
                    self.word(it),
                    "is" | "are"
                        | "was"
                        | "were"
                        | "equal"
                        | "equals"
                        | "as"
                        | "being"
                        | "of"
                        | "either"
                        | "not"
                        | "exactly"
                        | "value"
                        | "to"
                        | "be"
                        | "number"
                        | "a"
                        | "than"
                        | "in"
                        | "has"
                        | "have"
                        | "had"
                        | ""
                ) || self.marked(it, '=')
                    || self.marked(it, ':')
                    || self.marked(it, '#')
            })
        };
        let near = hand.column.filter(|it| at - it <= 4).or_else(|| {
            (1..=3)
                .filter(|back| at >= *back)
                .map(|back| at - back)
                .find(|&it| self.is_name(it) && self.table_at(it).is_none())
        });
        let near = near.filter(|it| links_up(*it));
        let column = match near {
            Some(item) => {
                let column = self.resolve(draft, item, Want::Any)?;
                if let Some(function) = hand.column_aggregate.take() {
                    let of = self.subject(draft);
                    draft.add(
                        Condition::Group {
                            of,
                            having: Predicate::Compare(
                                Expr::aggregate(function, Expr::Column(column)),
                                Comparison::Equal,
                                Expr::Literal(Literal::Number(value)),
                            ),
                            joins: None,
                        },
                        hand.or,
                    );
                    hand.column = None;
                    return Some(at + 1);
                }
                self.unask(draft, item, column);
                column
            }
            // `the room 12`: the key of a table named just before
            None => {
                let table = (1..=2)
                    .filter(|back| at >= *back)
                    .find_map(|back| self.table_at(at - back))
                    .filter(|_| at > 0 && !matches!(self.word(at - 1), "the"));
                match table {
                    Some(table) => {
                        let key = *self.index.tables[table].primary.first()?;
                        ColumnRef::new(table, key)
                    }
                    None => {
                        // `people aged 30`, `3 years old`
                        let stem = match (self.word(at + 1), self.word(at + 2)) {
                            (_, "old") => "age",
                            _ if at > 1
                                && self.word(at - 1) == "either"
                                && self.word(at - 2) == "aged" =>
                            {
                                "age"
                            }
                            _ if at > 0
                                && matches!(
                                    self.word(at - 1),
                                    "aged" | "cost" | "costs" | "costing" | "weighing" | "weighs"
                                ) =>
                            {
                                LEXICON.implied(self.lemma(at - 1)).first().copied().unwrap_or(
                                    if self.word(at - 1) == "aged" { "age" } else { "cost" },
                                )
                            }
                            _ => return None,
                        };
                        let root = draft.root?;
                        self.column_with(root, &LEXICON.stem(stem), Want::Number)?
                    }
                }
            }
        };
        let negated = std::mem::take(&mut hand.negated) || at > 0 && self.word(at - 1) == "not";
        let info = self.index.column(column);
        let left = if info.class.is_temporal() {
            Expr::Part("year", Box::new(Expr::Column(column)))
        } else {
            Expr::Column(column)
        };
        let comparison = if negated { Comparison::NotEqual } else { Comparison::Equal };
        let mut all = vec![Predicate::Compare(
            left.clone(),
            comparison,
            Expr::Literal(Literal::Number(value)),
        )];
        // `3 or 5`, `1, 2 and 3`
        let mut next = at + 1;
        loop {
            let mut probe = next;
            while probe < end
                && (self.marked(probe, ',') || matches!(self.word(probe), "or" | "and"))
            {
                probe += 1;
            }
            if probe > next
                && let Some(more) = self.number(probe)
                && self.table_at(probe + 1).is_none()
            {
                all.push(Predicate::Compare(
                    left.clone(),
                    comparison,
                    Expr::Literal(Literal::Number(more)),
                ));
                next = probe + 1;
            } else {
                break;
            }
        }
        while matches!(self.word(next), "years" | "year" | "old" | "dollars" | "percent")
            || next < end && self.marked(next, '%')
        {
            next += 1;
        }
        let predicate = if all.len() == 1 {
            all.swap_remove(0)
        } else if negated {
            Predicate::And(all)
        } else {
            Predicate::Or(all)
        };
        draft.add(Condition::Row(predicate), hand.or);
        hand.or = false;
        hand.column = None;
        *mode = Mode::Where;
        Some(next)
    }

    fn degree_at(&self, at: usize) -> bool {
        LEXICON.degree(self.word(at)).is_some_and(|it| it.form != Form::Positive)
    }

    /// Takes back a column that was asked for before it turned out to belong to a condition.
    pub(super) fn unask(&self, draft: &mut Draft, item: usize, column: ColumnRef) {
        if !draft.asked_at.contains(&(item, column)) {
            return;
        }
        let lead = item.checked_sub(1).map_or("", |it| self.word(it));
        if draft.asked.len() > 1
            || matches!(
                lead,
                "with"
                    | "in"
                    | "for"
                    | "by"
                    | "of"
                    | "at"
                    | "on"
                    | "whose"
                    | "from"
                    | "to"
                    | "has"
                    | "have"
                    | "and"
            )
        {
            draft.asked.retain(|it| *it != super::Asked::Column(column));
        } else if draft.asked == [super::Asked::Column(column)] {
            draft.asked.clear();
        }
    }

    /// The column that a comparison is about: after the number, in hand, named by the adjective, or the plain one.
    fn compared_column(
        &mut self,
        draft: &mut Draft,
        hand: &mut Hand,
        adjective: Option<&str>,
        next: &mut usize,
        end: usize,
        years: bool,
    ) -> Option<ColumnRef> {
        // `more than 3 credits`
        let unit = self.word(*next);
        if hand.column.is_none()
            && *next < end
            && self.is_name(*next)
            && self.table_at(*next).is_none()
        {
            let item = *next;
            *next += 1;
            return self.resolve(draft, item, Want::Number);
        }
        if matches!(
            unit,
            "years"
                | "year"
                | "dollars"
                | "percent"
                | "miles"
                | "meters"
                | "feet"
                | "kg"
                | "km"
                | "points"
                | "minutes"
                | "hours"
                | "pounds"
                | "million"
                | "days"
                | "euros"
                | "usd"
                | "inches"
                | "degrees"
                | "square"
                | "cm"
                | "units"
                | "people"
        ) && !(self.is_name(*next) && hand.column.is_none())
        {
            *next += 1;
            if matches!(self.word(*next), "old" | "tall" | "long") {
                *next += 1;
            }
        }
        if matches!(self.word(*next - 1), "old")
            && let Some(root) = draft.root
            && let Some(column) = self.column_with(root, "age", Want::Number)
        {
            return Some(column);
        }
        if let Some(item) = hand.column.take() {
            let column = self.resolve(draft, item, if years { Want::Any } else { Want::Number })?;
            self.unask(draft, item, column);
            return Some(column);
        }
        let root = draft.root?;
        if let Some(adjective) = adjective {
            let degree = LEXICON.degree(adjective)?;
            // of what was named last, else of what the question is about
            let last = (0..*next).rev().find_map(|it| self.table_at(it)).filter(|it| *it != root);
            if let Some(last) = last
                && let Some(column) = degree.measures.iter().find_map(|it| {
                    self.column_with(last, &it.0, Want::Number).filter(|it| it.table == last)
                })
            {
                return Some(column);
            }
            for own in [true, false] {
                for (stem, _) in &degree.measures {
                    if let Some(column) = self
                        .column_with(root, stem, Want::Number)
                        .filter(|it| !own || it.table == root)
                    {
                        return Some(column);
                    }
                }
            }
        }
        if years {
            return self
                .moment_of(root, None)
                .or_else(|| self.column_with(root, "year", Want::Any))
                .filter(|it| {
                    self.index.column(*it).class.is_temporal()
                        || self.index.column(*it).class.is_numeric()
                });
        }
        None
    }

    /// Says how many rows of a table are compared; takes what names them.
    fn compared_count(
        &mut self,
        draft: &Draft,
        hand: &mut Hand,
        next: &mut usize,
        table: usize,
    ) -> bool {
        let _ = (draft, table);
        hand.counted = None;
        if self.table_at(*next).is_some() {
            self.mark_used(*next, *next + 1);
            *next += 1;
        }
        true
    }

    #[expect(clippy::too_many_arguments, reason = "a comparison has that many parts")]
    fn compare(
        &mut self,
        draft: &mut Draft,
        hand: &mut Hand,
        mode: Mode,
        comparison: Comparison,
        operand: Operand,
        adjective: Option<&str>,
        at: usize,
        next: usize,
        end: usize,
    ) -> Option<usize> {
        let mut next = next;
        let or = std::mem::take(&mut hand.or);
        // groups: `with more than 3 courses`, `whose number of courses is above 3`
        if let Operand::Number(value) = operand {
            let literal = Expr::Literal(Literal::Number(value));
            let counted = hand.counted.take().or_else(|| {
                let mut after = next;
                while matches!(
                    self.word(after),
                    "different"
                        | "distinct"
                        | "unique"
                        | "such"
                        | "corresponding"
                        | "associated"
                        | "related"
                        | "of"
                        | "the"
                        | "their"
                        | "other"
                ) && !self.is_name(after)
                {
                    after += 1;
                }
                let idle = hand.column.is_none_or(|item| {
                    self.resolve_quietly(draft, item, Want::Number)
                        .is_some_and(|it| !self.index.column(it).class.is_numeric())
                });
                self.table_at(after).filter(|_| idle).inspect(|_| {
                    next = after;
                    hand.column = None;
                })
            });
            if let Some(table) = counted {
                let after = next;
                if self.table_at(next) == Some(table) {
                    self.mark_used(next, next + 1);
                    next += 1;
                }
                let _ = after;
                // the thing itself is counted: `cities with more than 3 customers` where customers hold the city
                let of = self.subject_for(draft, table);
                let joins = (of.table() != table).then_some(table);
                // at least one: that there is any
                if comparison == Comparison::AtLeast
                    && let Operand::Number(value) = operand
                    && (value - 1.0).abs() < 1e-9
                    && !or
                {
                    draft.join(table);
                    return Some(next);
                }
                draft.add(
                    Condition::Group {
                        of,
                        having: Predicate::Compare(Expr::count(), comparison, literal),
                        joins,
                    },
                    or,
                );
                return Some(next);
            }
            if matches!(self.word(next), "times" | "time") && !self.is_name(next) {
                let of = self.subject(draft);
                draft.add(
                    Condition::Group {
                        of,
                        having: Predicate::Compare(Expr::count(), comparison, literal),
                        joins: None,
                    },
                    or,
                );
                return Some(next + 1);
            }
            // the column whose values are counted per row of the subject
            if (mode == Mode::Where || draft.asks_something())
                && let Some(function) = hand.column_aggregate
                && let Some(item) = hand.column
            {
                hand.column_aggregate = None;
                hand.column = None;
                {
                    let column = self.resolve(draft, item, Want::Number)?;
                    let of = self.subject(draft);
                    draft.add(
                        Condition::Group {
                            of,
                            having: Predicate::Compare(
                                Expr::aggregate(function, Expr::Column(column)),
                                comparison,
                                literal,
                            ),
                            joins: None,
                        },
                        or,
                    );
                    return Some(next);
                }
            }
            // a textual column after the number: its rows are counted
            if hand.column.is_none() && self.is_name(next) && adjective.is_none() {
                let column = self.resolve_quietly(draft, next, Want::Number)?;
                if !self.index.column(column).class.is_numeric()
                    || self.index.column(column).is_id()
                {
                    self.mark_used(next, next + 1);
                    let of = self.subject(draft);
                    let distinct = Expr::Aggregate {
                        function: Aggregate::Count,
                        distinct: true,
                        argument: Some(Box::new(Expr::Column(column))),
                        filter: None,
                    };
                    draft.add(
                        Condition::Group {
                            of,
                            having: Predicate::Compare(distinct, comparison, literal),
                            joins: None,
                        },
                        or,
                    );
                    return Some(next + 1);
                }
            }
        }
        let years = matches!(operand, Operand::Year(_));
        let own = match operand {
            Operand::Aggregate(_, Some(item)) | Operand::Every(_, item) => Some(item),
            _ => None,
        };
        let column = match (hand.column, own) {
            (None, Some(item)) => {
                let column = self.resolve(draft, item, Want::Number)?;
                Some(column)
            }
            _ => self.compared_column(draft, hand, adjective, &mut next, end, years),
        };
        let column = column.or_else(|| {
            // `under 20`: how old somebody is
            let Operand::Number(value) = operand else { return None };
            let root = draft.root?;
            (matches!(self.word(at), "under" | "over" | "above" | "below")
                && (1.0..120.0).contains(&value))
            .then(|| self.column_with(root, "age", Want::Number))
            .flatten()
        });
        let Some(column) = column else {
            // nothing says what is compared: the only number of the subject, if there is one
            let root = draft.root?;
            let numbers: Vec<usize> = self.index.tables[root]
                .columns
                .iter()
                .enumerate()
                .filter(|it| it.1.class.is_numeric() && !it.1.is_id())
                .map(|it| it.0)
                .collect();
            let [one] = numbers.as_slice() else {
                self.notes.push(Note::Doubt("a comparison without a subject"));
                return None;
            };
            self.notes.push(Note::Weak(0.5));
            let Operand::Number(value) = operand else { return None };
            let predicate = Predicate::Compare(
                Expr::Column(ColumnRef::new(root, *one)),
                comparison,
                Expr::Literal(Literal::Number(value)),
            );
            draft.add(Condition::Row(predicate), or);
            return Some(next);
        };
        // an adjective may compare the other way: who is older was born earlier
        let mut comparison = comparison;
        if let Some(adjective) = adjective
            && let Some(degree) = LEXICON.degree(adjective)
        {
            let info = self.index.column(column);
            let usual = degree.measures.first().is_some_and(|it| it.1);
            if let Some((_, up)) = degree.measures.iter().find(|it| info.has_word(&it.0))
                && *up != usual
            {
                comparison = match comparison {
                    Comparison::Greater => Comparison::Less,
                    Comparison::Less => Comparison::Greater,
                    Comparison::AtLeast => Comparison::AtMost,
                    Comparison::AtMost => Comparison::AtLeast,
                    other => other,
                };
            }
        }
        let info = self.index.column(column);
        let left = Expr::Column(column);
        let grouped = if matches!(operand, Operand::Aggregate(..) | Operand::Every(..)) {
            hand.column_aggregate.take()
        } else {
            None
        };
        let predicate = match operand {
            Operand::Number(value) if info.class.is_temporal() => Predicate::Compare(
                Expr::Part("year", Box::new(left)),
                comparison,
                Expr::Literal(Literal::Number(value)),
            ),
            Operand::Number(value) => {
                Predicate::Compare(left, comparison, Expr::Literal(Literal::Number(value)))
            }
            Operand::Year(year) => {
                let left = if info.class.is_temporal() {
                    Expr::Part("year", Box::new(left))
                } else {
                    left
                };
                Predicate::Compare(
                    left,
                    comparison,
                    Expr::Literal(Literal::Number(f64::from(year))),
                )
            }
            Operand::Text(text) => {
                Predicate::Compare(left, comparison, Expr::Literal(Literal::Text(text)))
            }
            Operand::Aggregate(..) | Operand::Every(..) => {
                let up = matches!(comparison, Comparison::Greater | Comparison::AtLeast);
                let function = match operand {
                    Operand::Aggregate(function, _) => function,
                    Operand::Every(any, _) if up != any => Aggregate::Max,
                    _ => Aggregate::Min,
                };
                let mut nested = LogicalQuery {
                    select: vec![Expr::aggregate(function, left.clone())],
                    root: Some(column.table),
                    ..LogicalQuery::default()
                };
                // `… of the biology department`: conditions of the nested query run to the end of the phrase
                if matches!(self.word(next), "of" | "in" | "for" | "from" | "among" | "by")
                    || self.says(next, "that")
                {
                    let until = self.clause_end(next, end);
                    let mut inner = Draft { root: Some(column.table), ..Draft::default() };
                    self.scan(&mut inner, next, until, Mode::Where);
                    self.mark_used(next, until);
                    for (condition, _) in inner.conditions {
                        if let Condition::Row(predicate) = condition {
                            nested.filter.push(predicate);
                        }
                    }
                    next = until;
                }
                Predicate::Compare(left, comparison, Expr::Scalar(Box::new(nested)))
            }
        };
        let _ = at;
        if let Some(function) = grouped
            && let Predicate::Compare(left, comparison, right) = predicate
        {
            let of = self.subject(draft);
            draft.add(
                Condition::Group {
                    of,
                    having: Predicate::Compare(Expr::aggregate(function, left), comparison, right),
                    joins: None,
                },
                or,
            );
            return Some(next);
        }
        draft.add(Condition::Row(predicate), or);
        Some(next)
    }

    /// Where the clause that begins there ends: at a conjunction that begins another one, or a mark.
    pub(super) fn clause_end(&self, from: usize, end: usize) -> usize {
        let mut at = from;
        while at < end {
            let word = self.word(at);
            if matches!(word, "and" | "but" | "or") && at > from {
                let next = self.word(at + 1);
                let verb = matches!(
                    next,
                    "have"
                        | "has"
                        | "had"
                        | "also"
                        | "whose"
                        | "who"
                        | "which"
                        | "that"
                        | "with"
                        | "are"
                        | "is"
                        | "do"
                        | "does"
                        | "did"
                        | "not"
                        | "were"
                        | "was"
                        | "order"
                        | "sort"
                        | "their"
                        | "the"
                        | "list"
                        | "show"
                        | "ordered"
                        | "sorted"
                        | "in"
                        | "live"
                        | "lives"
                );
                if verb || self.comparator(at + 1).is_some() || word == "but" {
                    return at;
                }
            }
            if self.marked(at, ',')
                && at > from
                && !matches!(
                    self.items.get(at + 1).map(|it| &it.meaning),
                    Some(Meaning::Value(_) | Meaning::Number(..))
                )
            {
                return at;
            }
            if at > from && self.starts_order(at) {
                return at;
            }
            at += 1;
        }
        end
    }

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
            if let Some(second) = ranked.get(1)
                && score - second.1 < 0.1
            {
                self.notes.push(Note::Close(at, score - second.1));
            }
            // a plural that only resembles a value, of nothing that was named
            if plain && links[number].score < 0.76 && score < 1.0 {
                return None;
            }
            if plain && score < 0.75 {
                self.notes.push(Note::Weak(score));
            }
            let link = &links[number];
            let column = ColumnRef::new(link.table, link.column);
            let value = link.value.clone();
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
    fn full_name(
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
    fn equal_list(
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
            let (mut says_or, mut says_and) = (false, false);
            while probe < end
                && (self.marked(probe, ',')
                    || matches!(
                        self.word(probe),
                        "or" | "and" | "either" | "in" | "the" | "not" | "from"
                    ))
            {
                says_or |= self.word(probe) == "or";
                says_and |= self.word(probe) == "and";
                probe += 1;
            }
            if probe == next || probe >= end {
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
            if probe + 1 < end && self.is_name(probe + 1) && says_and {
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
        } else if and && !or && draft.both && values.len() == 2 {
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
    fn take_back(&mut self, draft: &mut Draft, hand: &mut Hand, column: ColumnRef, at: usize) {
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

    fn equal(
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
        draft.add(Condition::Row(predicate), or);
        if draft.asks_something() {
            *mode = Mode::Where;
        }
        at + 1
    }

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
                ],
                "in",
            ),
        ];
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
            let item = self.items.get(next)?;
            let single =
                item.text.chars().count() == 1 && item.text.chars().all(char::is_alphanumeric);
            let texty = item.quoted
                || single
                || (item.capital && !self.is_name(next))
                || (item.is_word() && !LEXICON.is_stop(&item.lower) && kind != "in")
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
                && self.items.get(stop + 1).is_some_and(|it| it.quoted)
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

    fn unask_pattern(&mut self, draft: &mut Draft, item: usize, column: ColumnRef, at: usize) {
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

    /// `in April 2021` where year and month stand in columns of their own.
    fn read_split_month(
        &mut self,
        draft: &mut Draft,
        hand: &mut Hand,
        mode: &mut Mode,
        at: usize,
        root: usize,
        span: &Span,
    ) -> Option<usize> {
        let (year, month) = match span {
            Span::Range(
                Some(crate::logical::Moment::Day(from)),
                Some(crate::logical::Moment::Day(until)),
            ) if from.day() == 1
                && until.day() == 1
                && from.year() * 12 + i16::from(from.month()) + 1
                    == until.year() * 12 + i16::from(until.month()) =>
            {
                (Some(from.year()), from.month())
            }
            Span::Month(month) => (None, *month),
            _ => return None,
        };
        if self.moment_of(root, None).is_some() {
            return None;
        }
        let column = |word: &str| {
            self.index.tables[root]
                .columns
                .iter()
                .position(|it| it.has_word(word) && !it.is_id())
                .map(|it| ColumnRef::new(root, it))
        };
        let name = crate::time::month_name(month)?;
        let months = column("month")?;
        let info = self.index.column(months);
        let value = if info.class.is_numeric() {
            Expr::Literal(Literal::Number(f64::from(month)))
        } else {
            let stored = info.values.iter().find(|it| it.eq_ignore_ascii_case(name)).cloned();
            Expr::Literal(Literal::Text(stored.unwrap_or_else(|| name.to_owned())))
        };
        if let Some(year) = year {
            let years = column("year")?;
            draft.add(
                Condition::Row(Predicate::Compare(
                    Expr::Column(years),
                    Comparison::Equal,
                    Expr::Literal(Literal::Number(f64::from(year))),
                )),
                false,
            );
        }
        draft.add(
            Condition::Row(Predicate::Compare(Expr::Column(months), Comparison::Equal, value)),
            std::mem::take(&mut hand.or),
        );
        hand.column = None;
        if draft.asks_something() {
            *mode = Mode::Where;
        }
        Some(at + 1)
    }

    /// A span of time.
    pub(super) fn read_time(
        &mut self,
        draft: &mut Draft,
        hand: &mut Hand,
        mode: &mut Mode,
        at: usize,
        _end: usize,
    ) -> Option<usize> {
        let Meaning::Time(span) = self.items[at].meaning.clone() else { return None };
        let root = draft.root?;
        if let Some(next) = self.read_split_month(draft, hand, mode, at, root, &span) {
            return Some(next);
        }
        let in_hand = hand.column.or_else(|| {
            (1..=3)
                .filter(|back| at >= *back)
                .map(|back| at - back)
                .find(|&it| self.is_name(it) && self.table_at(it).is_none())
        });
        let mut column = None;
        if let Some(item) = in_hand
            && let Some(it) = self.resolve_quietly(draft, item, Want::Moment)
            && (self.index.column(it).class.is_temporal()
                || self.index.column(it).has_word("year")
                || matches!(span, Span::Year(..))
                    && self.index.column(it).class.is_numeric()
                    && !self.index.column(it).is_id()
                    && hand.column == Some(item))
        {
            column = Some(it);
            self.unask(draft, item, it);
        }
        let verb = (1..=4)
            .filter(|back| at >= *back)
            .map(|back| at - back)
            .find(|&it| self.wordy(it) && !LEXICON.is_stop(self.word(it)))
            .map(|it| LEXICON.stem(self.lemma(it)));
        if column.is_none()
            && let Span::Year(..) = span
        {
            // a column of years
            let year = |this: &Self| {
                let mut all: Vec<usize> = vec![root];
                all.extend(draft.joins.iter().copied());
                for (condition, _) in draft.conditions.iter().rev() {
                    if let Condition::Row(predicate) = condition {
                        predicate.columns(&mut |it| all.push(it.table));
                    }
                }
                all.dedup();
                all.into_iter().find_map(|table| {
                    this.index.tables[table]
                        .columns
                        .iter()
                        .position(|it| it.has_word("year") && !it.is_id())
                        .map(|column| ColumnRef::new(table, column))
                })
            };
            column = verb
                .as_deref()
                .and_then(|stem| self.column_with(root, stem, Want::Any))
                .filter(|it| {
                    self.index.column(*it).class.is_temporal()
                        || self.index.column(*it).class.is_numeric()
                })
                .or_else(|| year(self))
                .or_else(|| self.moment_of(root, verb.as_deref()))
                .or_else(|| self.column_with(root, "year", Want::Any));
        }
        let column = match column {
            Some(it) => it,
            None => {
                // the moment of what happened last in the sentence, else of what it is about
                let last = (0..at).rev().find_map(|it| self.table_at(it)).filter(|it| {
                    self.index.tables[*it].columns.iter().any(|it| it.class.is_temporal())
                });
                let table = last.unwrap_or(root);
                let it = self
                    .moment_of(table, verb.as_deref())
                    .or_else(|| self.moment_of(root, verb.as_deref()))?;
                let temporal = self.index.tables[it.table]
                    .columns
                    .iter()
                    .filter(|it| it.class.is_temporal())
                    .count();
                if temporal > 1 {
                    self.notes
                        .push(Note::Assumed(format!("time means {}", self.index.column(it).name)));
                }
                it
            }
        };
        let info = self.index.column(column);
        let temporal = info.class.is_temporal();
        let expr = Expr::Column(column);
        let predicate = match span {
            Span::Range(from, until) => {
                if !temporal {
                    return None;
                }
                Predicate::During { moment: expr, from, until }
            }
            Span::Month(month) => {
                if !temporal {
                    return None;
                }
                Predicate::Compare(
                    Expr::Part("month", Box::new(expr)),
                    Comparison::Equal,
                    Expr::Literal(Literal::Number(f64::from(month))),
                )
            }
            Span::Weekdays(days) => {
                let part = Expr::Part("isodow", Box::new(expr));
                let mut all: Vec<Predicate> = days
                    .into_iter()
                    .map(|it| {
                        Predicate::Compare(
                            part.clone(),
                            Comparison::Equal,
                            Expr::Literal(Literal::Number(f64::from(it))),
                        )
                    })
                    .collect();
                if all.len() == 1 { all.swap_remove(0) } else { Predicate::Or(all) }
            }
            Span::Year(year, bound) => {
                let left = if temporal { Expr::Part("year", Box::new(expr)) } else { expr };
                let comparison = match bound {
                    Bound::In => Comparison::Equal,
                    Bound::Before => Comparison::Less,
                    Bound::After => Comparison::Greater,
                    Bound::Since => Comparison::AtLeast,
                    Bound::Until => Comparison::AtMost,
                };
                Predicate::Compare(
                    left,
                    comparison,
                    Expr::Literal(Literal::Number(f64::from(year))),
                )
            }
        };
        let predicate = if std::mem::take(&mut hand.negated) {
            Predicate::Not(Box::new(predicate))
        } else {
            predicate
        };
        let or = std::mem::take(&mut hand.or);
        draft.add(Condition::Row(predicate), or);
        hand.column = None;
        if draft.asks_something() {
            *mode = Mode::Where;
        }
        Some(at + 1)
    }

    /// See [`Interpreter::subject`].
    pub(crate) fn subject_of(&self, draft: &Draft) -> GroupKey {
        self.subject(draft)
    }

    /// What the groups of a condition are: the rows of the table asked for, or the column asked for.
    pub(super) fn subject(&self, draft: &Draft) -> GroupKey {
        self.subject_for(draft, usize::MAX)
    }

    /// The same, where rows of `counted` are counted for each.
    pub(super) fn subject_for(&self, draft: &Draft, counted: usize) -> GroupKey {
        if let [one] = draft.groups.as_slice() {
            return one.clone();
        }
        let columns: Vec<ColumnRef> = draft
            .asked
            .iter()
            .filter_map(|it| match it {
                super::Asked::Column(it) => Some(*it),
                _ => None,
            })
            .collect();
        let root = draft.root.unwrap_or(0);
        // a column of the very table that is counted, or of one that nobody named: its values are the groups
        if let [one] = columns.as_slice() {
            let info = self.index.column(*one);
            let own = self.index.tables[one.table].display.contains(&one.column) || info.primary;
            if one.table == counted
                || (!own && self.weight[one.table] < 0.75)
                || (!own && counted == usize::MAX && Some(one.table) == draft.root)
            {
                return GroupKey::Column(*one);
            }
            if one.table != root && !own {
                return GroupKey::Column(*one);
            }
            return GroupKey::Rows(one.table);
        }
        if let Some(first) = columns.first() {
            return GroupKey::Rows(first.table);
        }
        for it in &draft.asked {
            if let super::Asked::Rows(table) = it {
                return GroupKey::Rows(*table);
            }
        }
        GroupKey::Rows(root)
    }
}
