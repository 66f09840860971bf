//! Conditions that compare: of rows, of groups, with nested queries.

use super::{
    Condition, Draft, GroupKey, Hand, Interpreter, Mode, Note,
    age::{mirrored, years_since},
    comparator::{Comparator, Operand},
    resolve::Want,
};
use crate::{
    lexicon::LEXICON,
    link::Meaning,
    logical::{Aggregate, ColumnRef, Comparison, Expr, Literal, LogicalQuery, Predicate},
};

impl Interpreter<'_> {
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
        // `clubs that have at least a member from …`: those that have any
        if (self.says(at, "at least a") || self.says(at, "at least an"))
            && self.table_at(at + 3).is_some()
        {
            self.count_now(draft, hand);
            *mode = Mode::Where;
            hand.column = None;
            return Some(at + 3);
        }
        let Comparator { mut comparison, next, adjective } = self.comparator(at)?;
        if at > 0 && self.word(at - 1) == "worth" {
            self.mark_used(at - 1, at);
        }
        let costs =
            at > 0 && hand.column.is_none() && matches!(self.word(at - 1), "cost" | "costs");
        let adjective = adjective.or_else(|| costs.then(|| "expensive".to_owned()));
        // `shipped after the required date`: one moment of a row and another
        if let Some(next) = self.compare_columns(draft, hand, mode, comparison, at, next, end) {
            return Some(next);
        }
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
            let again = self.word(next + 2) == "than" || self.number(next + 2).is_some();
            if !again
                && (self.says(next, "or more")
                    || self.says(next, "or above")
                    || self.says(next, "or higher")
                    || self.says(next, "or greater"))
            {
                comparison = Comparison::AtLeast;
                next += 2;
            }
        }
        if hand.negated && !matches!(self.word(at), "no" | "not") {
            comparison = comparison.negated();
            hand.negated = false;
        }
        // `months with revenue above 400,000`
        if let Operand::Number(value) = operand
            && at > 0
            && self.asks_for_earnings(at - 1)
            && let [group] = draft.groups.as_slice()
            && let Some(measure) = self.earnings(draft)
        {
            let of = group.clone();
            let sum = Expr::aggregate(Aggregate::Sum, measure.amount.clone());
            let literal = Expr::Literal(Literal::Number(value));
            let having = Predicate::Compare(sum, comparison, literal);
            let joins = (Some(measure.table) != draft.root).then_some(measure.table);
            self.count_only(draft, &measure);
            draft.add(Condition::Group { of, having, joins }, std::mem::take(&mut hand.or));
            self.mark_used(at - 1, at);
            hand.column = None;
            *mode = Mode::Where;
            return Some(next);
        }
        // `orders with a total of more than 500`: what one of them is worth
        if let Operand::Number(value) = operand
            && hand.column.is_none()
            && hand.counted.is_none()
            && hand.aggregates == [Aggregate::Sum]
            && !self.is_name(next)
            && let Some(column) = draft.root.and_then(|it| self.amount_of(it))
        {
            hand.aggregates.clear();
            let literal = Expr::Literal(Literal::Number(value));
            let predicate = Predicate::Compare(Expr::Column(column), comparison, literal);
            draft.add(Condition::Row(predicate), std::mem::take(&mut hand.or));
            *mode = Mode::Where;
            return Some(next);
        }
        // `with fewer than 100000 people`: how many live there
        if let Operand::Number(value) = operand
            && matches!(self.word(next), "people" | "inhabitants" | "residents" | "citizens")
            && self.table_at(next).is_none()
            && hand.column.is_none()
            && let Some(root) = draft.root
            && let Some(column) = self
                .column_with(root, &LEXICON.stem("population"), Want::Number)
                .filter(|it| it.table == root)
        {
            let literal = Expr::Literal(Literal::Number(value));
            let predicate = Predicate::Compare(Expr::Column(column), comparison, literal);
            draft.add(Condition::Row(predicate), std::mem::take(&mut hand.or));
            *mode = Mode::Where;
            return Some(next + 1);
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

    #[expect(clippy::too_many_arguments, reason = "a comparison has that many parts")]
    pub(super) fn compare(
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
                // `coupons used more than 5 times`: the rows that refer to each
                let joins = match &of {
                    GroupKey::Rows(table) if draft.joins.is_empty() => self.referring(*table),
                    _ => None,
                };
                draft.add(
                    Condition::Group {
                        of,
                        having: Predicate::Compare(Expr::count(), comparison, literal),
                        joins,
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
            Operand::Aggregate(_, Some(item))
            | Operand::Multiple(_, _, Some(item))
            | Operand::Every(_, item) => Some(item),
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
        // `more than twice the average order`: what one of them is worth
        let column = column.or_else(|| {
            let mean = matches!(
                operand,
                Operand::Aggregate(Aggregate::Avg, None)
                    | Operand::Multiple(_, Aggregate::Avg, None)
            );
            let root = draft.root.filter(|it| mean && self.table_at(next) == Some(*it))?;
            let worth = self.amount_of(root)?;
            next += 1;
            Some(worth)
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
            // money is compared with money
            if matches!(self.word(next.saturating_sub(1)), "dollars" | "bucks" | "euros" | "usd") {
                return None;
            }
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
        let grouped = if matches!(
            operand,
            Operand::Aggregate(..) | Operand::Multiple(..) | Operand::Every(..)
        ) {
            hand.column_aggregate.take()
        } else {
            None
        };
        let predicate = match operand {
            // `older than 30`: of whom only the day of birth is known
            Operand::Number(value) if self.counts_years(column, value) => Predicate::Compare(
                years_since(column),
                mirrored(comparison),
                Expr::Literal(Literal::Number(value)),
            ),
            Operand::Number(value) if info.class.is_temporal() => Predicate::Compare(
                Expr::Part("year", Box::new(left)),
                comparison,
                Expr::Literal(Literal::Number(value)),
            ),
            Operand::Number(value) => {
                // kilograms, where grams are kept
                let kilos = (1..=2).any(|back| {
                    next.checked_sub(back).is_some_and(|it| {
                        matches!(self.word(it), "kg" | "kilo" | "kilos" | "kilogram" | "kilograms")
                    })
                });
                let grams = info.words.iter().any(|it| it == "gram" || it == "g");
                let value = if kilos && grams {
                    self.spent.extend(at..next);
                    value * 1000.0
                } else {
                    value
                };
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
            Operand::Aggregate(..) | Operand::Multiple(..) | Operand::Every(..) => {
                let up = matches!(comparison, Comparison::Greater | Comparison::AtLeast);
                let function = match operand {
                    Operand::Aggregate(function, _) | Operand::Multiple(_, function, _) => function,
                    Operand::Every(any, _) if up != any => Aggregate::Max,
                    _ => Aggregate::Min,
                };
                let mut nested = LogicalQuery {
                    select: vec![Expr::aggregate(function, left.clone())],
                    root: Some(column.table),
                    ..LogicalQuery::default()
                };
                // `than the lowest earning employee with title X`
                let mut thing = next;
                while thing < end
                    && thing < next + 3
                    && (self.table_at(thing).is_some()
                        || self.word(thing).ends_with("ing")
                        || matches!(self.word(thing), "paid" | "priced"))
                {
                    thing += 1;
                }
                let described = thing > next
                    && matches!(self.word(thing), "with" | "whose" | "named" | "called" | "who");
                if described {
                    self.mark_used(next, thing);
                    next = thing;
                }
                // `… of that year`: of the time that was said already
                let again = ["of", "in", "for"].contains(&self.word(next))
                    && (self.word(next + 1) == "that" || self.says(next + 1, "the same"));
                let length = if self.word(next + 1) == "that" { 3 } else { 4 };
                if again && self.bucket(next + length - 1).is_some() {
                    let said = draft.conditions.iter().filter_map(|(it, _)| match it {
                        Condition::Row(
                            it @ (Predicate::During { .. }
                            | Predicate::Compare(Expr::Part(..), Comparison::Equal, _)),
                        ) => Some(it.clone()),
                        _ => None,
                    });
                    nested.filter.extend(said);
                    self.mark_used(next, next + length);
                    next += length;
                }
                // `… of the biology department`: conditions of the nested query run to the end of the phrase
                if described
                    || matches!(self.word(next), "of" | "in" | "for" | "from" | "among" | "by")
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
                let scalar = Expr::Scalar(Box::new(nested));
                let right = match operand {
                    Operand::Multiple(times, ..) => Expr::Arithmetic(
                        crate::logical::Arithmetic::Multiply,
                        Box::new(Expr::Literal(Literal::Number(times))),
                        Box::new(scalar),
                    ),
                    _ => scalar,
                };
                Predicate::Compare(left, comparison, right)
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
            let table = &self.index.tables[one.table];
            // a part of a key tells no rows apart
            let own =
                table.display.contains(&one.column) || info.primary && table.primary.len() < 2;
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
