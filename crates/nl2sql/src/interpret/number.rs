//! Numbers beside what they are compared with: ranges, counts, plain equality.

use super::{
    Condition, Draft, GroupKey, Hand, Interpreter, Mode, comparator::Operand, resolve::Want,
};
use crate::{
    lexicon::{Form, LEXICON},
    link::Meaning,
    logical::{ColumnRef, Comparison, Expr, Literal, Predicate},
    time::Span,
};

impl Interpreter<'_> {
    /// `between 3 and 5`, `from 3 to 5`
    pub(super) fn read_between(
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

    /// Where a table, or one whose rows are spoken of, keeps how many stars there are.
    fn stars(&self, draft: &Draft, root: usize) -> Option<ColumnRef> {
        let groups = draft.conditions.iter().filter_map(|it| match &it.0 {
            Condition::Group { joins, .. } => *joins,
            Condition::Row(_) => None,
        });
        std::iter::once(root).chain(groups).chain(draft.joins.iter().copied()).find_map(|table| {
            ["star", "rating", "score"].iter().find_map(|it| {
                self.column_with(table, it, Want::Number).filter(|it| it.table == table)
            })
        })
    }

    pub(super) fn between(&self, column: ColumnRef, low: f64, high: f64) -> Predicate {
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
    pub(super) fn read_plain_number(
        &mut self,
        draft: &mut Draft,
        hand: &mut Hand,
        mode: &mut Mode,
        at: usize,
        end: usize,
    ) -> Option<usize> {
        let value = self.number(at)?;
        // `one or two stars`
        let either = matches!(self.word(at + 1), "or" | "and")
            && self.number(at + 2).is_some()
            && matches!(self.word(at + 3), "star" | "stars");
        if either
            && let Some(other) = self.number(at + 2)
            && let Some(column) = draft.root.and_then(|it| self.stars(draft, it))
        {
            let one = |value: f64| {
                let literal = Expr::Literal(Literal::Number(value));
                Predicate::Compare(Expr::Column(column), Comparison::Equal, literal)
            };
            let any = Predicate::Or(vec![one(value), one(other)]);
            draft.add(Condition::Row(any), std::mem::take(&mut hand.or));
            self.skip.extend(at + 1..at + 4);
            self.mark_used(at, at + 4);
            hand.column = None;
            return Some(at + 4);
        }
        // `5 star reviews`
        let star = if self.marked(at + 1, '-') { at + 2 } else { at + 1 };
        if matches!(self.word(star), "star" | "stars")
            && let Some(root) = draft.root
            && let Some(column) = ["star", "rating", "score"].iter().find_map(|it| {
                self.column_with(root, it, Want::Number).filter(|it| it.table == root)
            })
        {
            let literal = Expr::Literal(Literal::Number(value));
            draft.add(
                Condition::Row(Predicate::Compare(
                    Expr::Column(column),
                    Comparison::Equal,
                    literal,
                )),
                std::mem::take(&mut hand.or),
            );
            self.skip.push(star);
            return Some(star + 1);
        }
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
        // `less than 3 or higher than 5` is another comparison
        .find(|it| {
            self.says(at + 1, it.0) && self.word(at + 3) != "than" && self.number(at + 3).is_none()
        });
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
        // `customer 10`: which one it is, whatever text is called so
        if at > 0
            && hand.column.is_none()
            && value.fract() == 0.0
            && !self.plural(at - 1)
            && let Some(table) = self.table_at(at - 1)
            && let [key] = self.index.tables[table].primary.as_slice()
            && self.index.tables[table].columns[*key].class
                == plinth_schema_introspect::TypeClass::Integer
            && !self.says(at + 1, "years old")
            && self.table_at(at + 1).is_none()
            // `department 70 or 90` is read as a list
            && self.number(at + 2).is_none()
            && !(1500.0..=2199.0).contains(&value)
        {
            let key = Expr::Column(ColumnRef::new(table, *key));
            let literal = Expr::Literal(Literal::Number(value));
            let negated = std::mem::take(&mut hand.negated);
            let comparison = if negated { Comparison::NotEqual } else { Comparison::Equal };
            draft.add(
                Condition::Row(Predicate::Compare(key, comparison, literal)),
                std::mem::take(&mut hand.or),
            );
            if Some(table) != draft.root {
                draft.join(table);
            }
            *mode = Mode::Where;
            return Some(at + 1);
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
        let which = at > 0 && self.table_at(at - 1).is_some() && !self.plural(at - 1);
        if !which && (self.degree_at(at + 1) || matches!(self.word(at + 1), "most" | "least")) {
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
            && self.word(at + 2) != "old"
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
                    .filter(|_| at > 0 && !matches!(self.word(at - 1), "the"))
                    .filter(|_| !self.says(at + 1, "years old") && !self.says(at + 1, "year old"));
                match table {
                    Some(table) => {
                        let key = *self.index.tables[table].primary.first()?;
                        ColumnRef::new(table, key)
                    }
                    None => {
                        // `people aged 30`, `3 years old`
                        let stem = match (self.word(at + 1), self.word(at + 2)) {
                            (_, "old") => {
                                self.mark_used(at + 1, at + 2);
                                self.spent.push(at + 1);
                                "age"
                            }
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

    /// `lower than 600 or higher than 900`: what was compared just before, where a comparison names nothing of its own.
    fn compared_again(
        &self,
        draft: &Draft,
        hand: &Hand,
        adjective: Option<&str>,
        next: usize,
    ) -> Option<ColumnRef> {
        let bare = hand.column.is_none()
            && hand.aggregates.is_empty()
            && adjective.is_none_or(|it| {
                matches!(it, "high" | "low" | "late" | "bigger" | "smaller" | "larger" | "greater")
            })
            && !self.is_name(next);
        let joined = (2..=5).any(|back| {
            next > back
                && matches!(self.word(next - back), "or" | "and" | "but")
                && (next - back + 1..next).all(|it| !self.is_name(it))
                && self.used[next - back - 1]
        });
        if !bare || !joined {
            return None;
        }
        match &draft.conditions.last()?.0 {
            Condition::Row(Predicate::Compare(
                Expr::Column(column),
                Comparison::Less | Comparison::AtMost | Comparison::Greater | Comparison::AtLeast,
                Expr::Literal(Literal::Number(_)),
            )) => Some(*column),
            _ => None,
        }
    }

    pub(super) fn degree_at(&self, at: usize) -> bool {
        LEXICON.degree(self.word(at)).is_some_and(|it| it.form != Form::Positive)
    }

    /// The column that a comparison is about: after the number, in hand, named by the adjective, or the plain one.
    pub(super) fn compared_column(
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
        if let Some(again) = self.compared_again(draft, hand, adjective, *next) {
            return Some(again);
        }
        let paid = |word: &str| {
            matches!(
                word,
                "dollars"
                    | "euros"
                    | "usd"
                    | "bucks"
                    | "dollar"
                    | "euro"
                    | "eur"
                    | "pounds"
                    | "gbp"
            )
        };
        if hand.column.is_none()
            && (paid(unit)
                || adjective.is_none_or(|it| it == "expensive")
                    && (1..=3).any(|back| {
                        next.checked_sub(back).is_some_and(|it| {
                            self.marked(it, '$') || self.marked(it, '€') || self.marked(it, '£')
                        })
                    }))
            && let Some(column) = draft.root.and_then(|it| self.price_of(it))
        {
            if paid(unit) {
                self.spent.push(*next);
                *next += 1;
            }
            return Some(column);
        }
        // `more than 10 percent off`
        if hand.column.is_none()
            && (matches!(unit, "percent") || self.marked(*next, '%'))
            && let Some(root) = draft.root
            && let Some(at) = self.index.tables[root].columns.iter().position(|it| {
                it.class.is_numeric()
                    && it
                        .words
                        .iter()
                        .any(|it| it == "percent" || it == "percentage" || it == "pct")
            })
        {
            *next += 1;
            if self.word(*next) == "off" {
                *next += 1;
            }
            return Some(ColumnRef::new(root, at));
        }
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
                | "kilos"
                | "kilo"
                | "kilograms"
                | "grams"
                | "km"
                | "points"
                | "minutes"
                | "hours"
                | "pounds"
                | "million"
                | "days"
                | "euros"
                | "bucks"
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
    pub(super) fn compared_count(
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
}
