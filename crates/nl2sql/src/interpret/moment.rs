//! Spans of time as conditions.

use super::{Condition, Draft, Hand, Interpreter, Mode, Note, resolve::Want};
use crate::{
    index::ColumnInfo,
    lexicon::LEXICON,
    link::Meaning,
    logical::{ColumnRef, Comparison, Expr, Literal, Predicate},
    time::{Bound, Span},
    token::normalized,
};

impl Interpreter<'_> {
    /// `in April 2021` where year and month stand in columns of their own.
    pub(super) fn read_split_month(
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

    /// The moment of what a verb before an expression of time tells: `cancelled last week` is when that was done.
    fn told_by_verb(&self, draft: &Draft, root: usize, at: usize) -> Option<(ColumnRef, String)> {
        let mut tables = vec![root];
        tables.extend(draft.joins.iter().copied());
        for back in 1..=4.min(at) {
            let item = &self.items[at - back];
            if item.quoted || item.end != item.first + 1 {
                continue;
            }
            let token = &self.tokens[item.first];
            let side = tables.iter().find_map(|it| self.end_or_beginning(*it, token));
            if let Some(column) = side.filter(|it| {
                !self.index.tables[it.table]
                    .columns
                    .iter()
                    .any(|it| it.class.is_temporal() && it.has_word(&token.stem))
            }) {
                return Some((column, token.stem.clone()));
            }
            if !token.lower.ends_with("ed") && token.lower == token.lemma {
                continue;
            }
            // `signed up` is no `sign_in`
            let said = self.word(at - back + 1);
            let particle = |it: &str| matches!(it, "in" | "up" | "out" | "off" | "on");
            let other_particle = |it: &ColumnInfo| {
                back > 1
                    && particle(said)
                    && it.words.iter().any(|it| particle(it))
                    && !it.words.iter().any(|it| it == said)
                    && it
                        .words
                        .windows(2)
                        .any(|it| LEXICON.stem(&it[0]) == token.stem && particle(&it[1]))
            };
            // `When the member signed up`
            let phrase = format!(" {} {said} ", token.lower);
            let told = tables.iter().filter(|_| back > 1 && particle(said)).find_map(|table| {
                let columns = &self.index.tables[*table].columns;
                let at = columns.iter().position(|it| {
                    let comment = it.comment.as_deref().unwrap_or_default();
                    let first = comment.split(['.', ';', '(']).next().unwrap_or_default();
                    it.class.is_temporal()
                        && !it.words.iter().any(|it| particle(it))
                        && format!(" {} ", normalized(first)).contains(&phrase)
                })?;
                Some(ColumnRef::new(*table, at))
            });
            if let Some(column) = told {
                return Some((column, token.stem.clone()));
            }
            for &table in &tables {
                let column = self.index.tables[table].columns.iter().position(|it| {
                    it.class.is_temporal() && it.has_word(&token.stem) && !other_particle(it)
                });
                if let Some(column) = column {
                    return Some((ColumnRef::new(table, column), token.stem.clone()));
                }
            }
            if token.lower.ends_with("ed")
                && let Some(column) = tables.iter().find_map(|it| self.moment_called(*it, token))
            {
                return Some((column, token.stem.clone()));
            }
            // `customers who ordered in 2025`: when what the verb names happened
            if token.lower.ends_with("ed")
                && let Some(table) =
                    self.table_at(at - back).filter(|it| *it != root && tables.contains(it))
                && let Some(column) = self.moment_of(table, None).filter(|it| it.table == table)
            {
                return Some((column, token.stem.clone()));
            }
            // `logged in`: in `login`
            let particle = self.word(at - back + 1);
            let joined = format!("{}{particle}", token.stem);
            if matches!(particle, "in" | "up" | "out" | "off") {
                for &table in &tables {
                    let column = self.index.tables[table]
                        .columns
                        .iter()
                        .position(|it| it.class.is_temporal() && it.words.contains(&joined));
                    if let Some(column) = column {
                        return Some((ColumnRef::new(table, column), token.stem.clone()));
                    }
                }
            }
        }
        None
    }

    /// The moment of what belongs to what is asked about, where the time stands right behind it: `customers bought in 2025`,
    /// `placed an order in 2025`, `which coupon has the most orders in 2026`.
    fn told_by_partner(&self, draft: &Draft, root: usize, at: usize) -> Option<ColumnRef> {
        let before = at.checked_sub(1)?;
        let bought = matches!(
            self.word(before),
            "bought" | "buy" | "buys" | "purchased" | "purchase" | "purchases" | "shopped"
        );
        let table = if bought && self.table_at(before).is_none() {
            self.purchases().map(|it| it.0)?
        } else {
            self.table_at(before)?
        };
        let ranked = draft
            .order
            .iter()
            .any(|it| matches!(it.by, super::draft::OrderBy::Count(Some(of)) if of == table));
        let verb = before.checked_sub(2).is_some_and(|it| {
            matches!(self.word(before - 1), "a" | "an" | "any" | "one")
                && matches!(
                    self.word(it),
                    "placed" | "place" | "made" | "make" | "had" | "submitted"
                )
        });
        if table == root || !self.single(table, root) || !(bought || ranked || verb) {
            return None;
        }
        self.moment_of(table, None).filter(|it| it.table == table)
    }

    /// `valid today`: begun by then and not ended, where a table keeps both.
    fn in_force(&self, root: usize, at: usize, span: &Span) -> Option<Predicate> {
        use crate::logical::{Moment, TimeUnit};
        let today = matches!(span, Span::Range(Some(Moment::Start(TimeUnit::Day, 0)), _));
        let said = (1..=2.min(at)).any(|back| {
            matches!(self.word(at - back), "valid" | "active" | "running" | "effective" | "open")
        });
        if today && said { self.validity(root) } else { None }
    }

    /// That a row has begun to hold and has not ended, where a table keeps both.
    pub(super) fn validity(&self, root: usize) -> Option<Predicate> {
        use crate::logical::{Moment, TimeUnit};
        let find = |words: &[&str]| {
            self.index.tables[root].columns.iter().position(|it| {
                it.class.is_temporal() && it.words.iter().any(|word| words.contains(&word.as_str()))
            })
        };
        let from = ColumnRef::new(root, find(&["from", "start", "begin", "effective"])?);
        let until =
            ColumnRef::new(root, find(&["until", "to", "end", "expiry", "expiration", "expire"])?);
        if from == until {
            return None;
        }
        let day = || Moment::Start(TimeUnit::Day, 0);
        let begun = Predicate::During {
            moment: Expr::Column(from),
            from: None,
            until: Some(Moment::Start(TimeUnit::Day, 1)),
        };
        let mut going =
            Predicate::During { moment: Expr::Column(until), from: Some(day()), until: None };
        if self.index.column(until).nullable {
            going = Predicate::Or(vec![Predicate::Null { column: until, negated: false }, going]);
        }
        Some(Predicate::And(vec![begun, going]))
    }

    /// Says which months a season is taken for, where the question does not.
    fn assume_season(&mut self, at: usize) {
        let (item, tokens) = (&self.items[at], self.tokens);
        let words = || tokens[item.first..item.end].iter().map(|it| it.lower.as_str());
        let months = words().filter_map(crate::time::month).count();
        let Some((name, (first, last))) =
            words().find_map(|it| crate::time::season(it).map(|months| (it, months)))
        else {
            return;
        };
        if let (0, Some(first), Some(last)) =
            (months, crate::time::month_name(first), crate::time::month_name(last))
        {
            self.notes.push(Note::Assumed(format!("{name} means {first} to {last}")));
        }
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
        if let Span::Weekdays(days) = &span
            && let Some(condition) = self.on_days(draft, days)
        {
            self.count_now(draft, hand);
            draft.add(condition, std::mem::take(&mut hand.or));
            hand.column = None;
            if draft.asks_something() {
                *mode = Mode::Where;
            }
            return Some(at + 1);
        }
        let in_hand = hand.column.or_else(|| {
            (1..=3)
                .filter(|back| at >= *back)
                .map(|back| at - back)
                .find(|&it| self.is_name(it) && self.table_at(it).is_none())
        });
        let mut column = None;
        let in_force = self.in_force(root, at, &span);
        if let Some(item) = in_hand.filter(|_| in_force.is_none())
            && let Some(it) = self.resolve_quietly(draft, item, Want::Moment)
            && (self.index.column(it).class.is_temporal()
                || self.index.column(it).has_word("year")
                || matches!(span, Span::Year(..))
                    && self.index.column(it).class.is_numeric()
                    && !self.index.column(it).is_id()
                    && !draft.aggregates()
                    && hand.column == Some(item))
        {
            column = Some(it);
            self.unask(draft, item, it);
        }
        let verb = (1..=4)
            .filter(|back| at >= *back)
            .map(|back| at - back)
            .find(|&it| self.wordy(it) && !LEXICON.is_stop(self.word(it)))
            // `total shipping by channel in 2026`: no verb
            .filter(|&it| {
                !matches!(
                    self.word(it),
                    "total"
                        | "sum"
                        | "average"
                        | "mean"
                        | "median"
                        | "number"
                        | "amount"
                        | "count"
                        | "overall"
                        | "combined"
                        | "maximum"
                        | "minimum"
                )
            })
            .map(|it| LEXICON.stem(self.lemma(it)));
        if column.is_none()
            && let Some((told, stem)) = self.told_by_verb(draft, root, at)
        {
            // `shipped last week`: what was shipped then, wherever it stands now
            draft.conditions.retain(|(it, _)| !matches!(it, Condition::Row(Predicate::Compare(Expr::Column(own), Comparison::Equal, Expr::Literal(Literal::Text(value))))
                if own.table == told.table && LEXICON.stem(&LEXICON.lemma(&value.to_lowercase())) == stem));
            column = Some(told);
            for back in 1..=4.min(at) {
                if self.tokens[self.items[at - back].first].stem == stem {
                    self.mark_used(at - back, at);
                    break;
                }
            }
        }
        if column.is_none()
            && let Some(predicate) = in_force
        {
            if let Some(item) = hand.column.take() {
                self.mark_used(item, item + 1);
            }
            draft.add(Condition::Row(predicate), std::mem::take(&mut hand.or));
            self.mark_used(at.saturating_sub(1), at);
            self.notes.retain(|it| !matches!(it, Note::Idle(item) if *item + 1 == at));
            if draft.asks_something() {
                *mode = Mode::Where;
            }
            return Some(at + 1);
        }
        if column.is_none() {
            column = self.told_by_partner(draft, root, at);
        }
        // `2025 revenue from …`: when that was earned
        let event = draft.event.or_else(|| {
            let measure = self.asks_for_earnings(at + 1).then(|| self.earnings(draft)).flatten()?;
            self.whole_of(measure.table).or(Some(measure.table))
        });
        if column.is_none()
            && let Span::Year(..) = span
        {
            // a column of years
            let year = |this: &Self| {
                let mut all: Vec<usize> = vec![root];
                all.extend(draft.joins.iter().copied());
                // `the most publications in 2021`
                all.extend(draft.order.iter().filter_map(|it| match it.by {
                    super::OrderBy::Count(table) => table,
                    _ => None,
                }));
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
            let happened = event.and_then(|it| self.moment_of(it, None));
            column = happened
                .or_else(|| {
                    verb.as_deref().and_then(|stem| self.column_with(root, stem, Want::Any)).filter(
                        |it| {
                            self.index.column(*it).class.is_temporal()
                                || self.index.column(*it).class.is_numeric()
                        },
                    )
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
                // `orders from customers in Rome last week`: of what is counted, rather than of whom it belongs to
                let counted = draft.asked.iter().find_map(|it| match it {
                    super::Asked::Count { table: Some(table), column: None, .. } => Some(*table),
                    _ => None,
                });
                let counted = counted.filter(|it| {
                    last.is_some_and(|last| last != *it && self.single(*it, last))
                        && self.index.tables[*it].columns.iter().any(|it| it.class.is_temporal())
                });
                let table = event.or(counted).or(last).unwrap_or(root);
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
        self.assume_season(at);
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
}
