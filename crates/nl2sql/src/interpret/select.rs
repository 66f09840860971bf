//! What is asked for: columns, rows, counts, aggregates, shares.

use super::{Asked, Condition, Draft, Hand, Interpreter, Mode, resolve::Want};
use crate::{
    lexicon::LEXICON,
    logical::{Aggregate, ColumnRef, Expr, Predicate},
};

impl Interpreter<'_> {
    /// Words that ask: "how many", "average", "percentage of", "all information".
    pub(super) fn read_asking(
        &mut self,
        draft: &mut Draft,
        hand: &mut Hand,
        mode: &mut Mode,
        at: usize,
        end: usize,
    ) -> Option<usize> {
        let _ = end;
        if let Some(next) = self.read_earnings(draft, hand, *mode, at) {
            return Some(next);
        }
        if self.items[at].quoted || self.is_value(at) {
            return None;
        }
        if self.is_name(at)
            && !matches!(
                self.word(at),
                "total" | "average" | "number" | "count" | "maximum" | "minimum" | "sum" | "mean"
            )
        {
            return None;
        }
        if self.says(at, "numbers of") && at > 0 && self.is_name(at - 1) {
            return None;
        }
        // `the phone number of …`: a text that is called so, not how many
        if matches!(self.word(at), "number" | "numbers")
            && at > 0
            && self.is_name(at - 1)
            && self.table_at(at - 1).is_none()
            && self.items[at - 1].end == self.items[at].first
            && self
                .resolve_quietly(draft, at - 1, Want::Any)
                .is_some_and(|it| self.index.column(it).class.is_textual())
        {
            return Some(at + 1);
        }
        // `the number and average age of …`
        if matches!(self.word(at), "number" | "count")
            && *mode == Mode::Select
            && self.word(at + 1) == "and"
            && matches!(
                self.word(self.skip_determiners(at + 2)),
                "average" | "total" | "maximum" | "minimum" | "mean" | "highest" | "lowest"
            )
            && let Some(root) = draft.root
        {
            draft.ask(Asked::Count { table: Some(root), column: None, distinct: false });
            return Some(at + 1);
        }
        if let Some(next) = self.read_inhabitants(draft, mode, at, end) {
            return Some(next);
        }
        if let Some(length) = self.one_of(
            at,
            &[
                "how many",
                "number of",
                "count of",
                "count the number of",
                "count the total number of",
                "total number of",
                "the number of",
                "total count of",
                "how many different",
                "numbers of",
                "how much",
                "amount of",
                "quantity of",
            ],
        ) {
            // `amount of` and `how much` ask for a column before they count
            if matches!(self.word(at), "amount" | "quantity")
                && !hand.count
                && self.table_at(self.skip_determiners(at + length)).is_none()
            {
                return None;
            }
            if self.says(at, "how much") {
                return self.how_much(draft, at);
            }
            hand.count = true;
            if *mode == Mode::Where
                && at > 0
                && (matches!(self.word(at - 1), "and") || self.marked(at - 1, ','))
                && self.says(at, "how many")
            {
                *mode = Mode::Select;
            }
            if self.word(at + length - 1) == "different" {
                hand.distinct = true;
            }
            return Some(at + length);
        }
        if self.word(at) == "count" && !self.is_name(at) && *mode == Mode::Select {
            // `supplier count per country`
            if at > 0
                && self.table_at(at - 1).is_some()
                && let Some(Asked::Rows(table)) = draft.asked.last().cloned()
            {
                draft.asked.pop();
                draft.ask(Asked::Count { table: Some(table), column: None, distinct: false });
                return Some(at + 1);
            }
            hand.count = true;
            return Some(at + 1);
        }
        if let Some(length) = self.one_of(
            at,
            &[
                "how old",
                "how long",
                "how tall",
                "how high",
                "how big",
                "how large",
                "how heavy",
                "how fast",
                "how expensive",
            ],
        ) {
            let root = draft.root?;
            let word = self.word(at + 1);
            for name in LEXICON.implied(word) {
                if let Some(column) = self.column_with(root, &LEXICON.stem(name), Want::Any) {
                    draft.ask(Asked::Column(column));
                    return Some(at + length);
                }
            }
            return None;
        }
        if matches!(self.word(at), "total" | "average" | "all")
            && at > 0
            && matches!(self.word(at - 1), "in" | "on")
        {
            if self.word(at) == "average" {
                for it in draft.asked.iter_mut().rev() {
                    match it {
                        Asked::Aggregate(function, _) => {
                            *function = Aggregate::Avg;
                            break;
                        }
                        Asked::Column(column) if self.index.column(*column).class.is_numeric() => {
                            *it = Asked::Aggregate(Aggregate::Avg, Expr::Column(*column));
                            break;
                        }
                        _ => {}
                    }
                }
            }
            return Some(at + 1);
        }
        let function = match self.word(at) {
            "average" | "mean" | "avg" | "averaged" => Some(Aggregate::Avg),
            "total" | "sum" | "combined" | "overall" | "summed" => Some(Aggregate::Sum),
            "maximum" | "max" | "maximal" => Some(Aggregate::Max),
            "median" => Some(Aggregate::Median),
            "minimum" | "min" | "minimal" => Some(Aggregate::Min),
            "highest" | "largest" | "biggest" | "greatest" | "longest" | "latest" | "most"
            | "oldest" | "tallest"
                if *mode == Mode::Select =>
            {
                Some(Aggregate::Max)
            }
            "lowest" | "smallest" | "shortest" | "earliest" | "youngest"
                if *mode == Mode::Select =>
            {
                Some(Aggregate::Min)
            }
            _ => None,
        };
        if let Some(function) = function {
            // `… in Rome and their average ratings`: more to show
            if *mode == Mode::Where
                && at > 1
                && matches!(self.word(at - 1), "their" | "its")
                && matches!(self.word(at - 2), "and" | "with")
                && matches!(function, Aggregate::Avg | Aggregate::Sum)
            {
                *mode = Mode::Select;
            }
            hand.aggregates.push(function);
            let mut next = at + 1;
            if matches!(self.word(next), "of" | "value" | "values" | "amount")
                && !self.is_name(next)
            {
                next += 1;
            }
            return Some(next);
        }
        if let Some(length) = self.one_of(
            at,
            &[
                "percentage of",
                "percent of",
                "what percent",
                "what percentage",
                "share of",
                "proportion of",
                "fraction of",
                "what percentage of",
                "what percent of",
                "what share of",
                "what fraction of",
                "what proportion of",
            ],
        ) {
            draft.percentage = Some(draft.conditions.len());
            return Some(at + length);
        }
        if let Some(length) = self.one_of(
            at,
            &[
                "all information",
                "all the information",
                "all info",
                "all details",
                "all the details",
                "full details",
                "complete information",
                "every detail",
                "everything",
                "all data",
                "all columns",
                "all the data",
                "all available information",
                "all attributes",
                "all fields",
                "full information",
                "the information of",
                "information about",
                "information of",
                "the information about",
                "information on",
                "details of",
                "the details of",
                "the details about",
                "details about",
                "the details for",
                "details for",
                "the information for",
                "information for",
                "all the details about",
                "the full details",
                "what information do you have on",
                "what information do you have about",
                "what information is there on",
            ],
        ) {
            // `the committee information of …`: of that column
            if at > 0
                && self.is_name(at - 1)
                && self.table_at(at - 1).is_none()
                && self.word(at) == "information"
                && *mode == Mode::Select
            {
                return Some(at + 1);
            }
            if *mode == Mode::Select {
                let next = at + length;
                let table =
                    (next..(next + 5).min(end)).find_map(|it| self.table_at(it)).or(draft.root)?;
                // a column of details
                let details = self.index.tables[table]
                    .columns
                    .iter()
                    .position(|it| it.words.last().is_some_and(|it| it == "detail"));
                if let Some(column) = details
                    && self.says(next - 2, "details of")
                        | self.says(next - 2, "details about")
                        | self.says(next - 2, "all details")
                {
                    draft.ask(Asked::Column(ColumnRef::new(table, column)));
                    return Some(next);
                }
                draft.ask(Asked::Everything(table));
                return Some(next);
            }
            return None;
        }
        None
    }

    /// A table or a column.
    pub(super) fn read_name(
        &mut self,
        draft: &mut Draft,
        hand: &mut Hand,
        mode: &mut Mode,
        at: usize,
        end: usize,
    ) -> Option<usize> {
        if let Some(next) = self.read_kept_for(draft, hand, at) {
            return Some(next);
        }
        if !self.is_name(at) {
            // words that turn to conditions once something was asked for
            return self.read_verb(draft, hand, mode, at);
        }
        if let Some(table) = self.table_at(at) {
            self.read_table(draft, hand, *mode, at, table);
            return Some(at + 1);
        }
        // a measure in the hand that names no column but an adjective: left alone
        let want = if hand.aggregates.contains(&Aggregate::Sum) {
            Want::Amount
        } else if hand.aggregates.iter().any(|it| matches!(it, Aggregate::Avg | Aggregate::Median))
        {
            Want::Number
        } else {
            Want::Any
        };
        // `tickets with the name of the customer`: whom each belongs to
        if *mode == Mode::Where
            && matches!(self.lemma(at), "name" | "names")
            && at > 1
            && matches!(self.word(at - 1), "the" | "full")
            && self.word(at + 1) == "of"
            && draft.asked.iter().all(|it| matches!(it, Asked::Rows(_)))
            && let Some(root) = draft.root
        {
            let item = self.skip_determiners(at + 2);
            if let Some(table) =
                self.table_at(item).filter(|it| *it != root && self.single(root, *it))
            {
                draft.ask(Asked::Rows(table));
                self.mark_used(at, item + 1);
                self.spent.push(at);
                hand.column = None;
                return Some(item + 1);
            }
        }
        // `the 10 most recent orders with the customer name`: the same in two words
        if *mode == Mode::Where
            && self.lemma(at) == "name"
            && at > 2
            && self.word(at - 2) == "the"
            && self.word(at - 3) == "with"
            && let Some(table) = self.table_at(at - 1)
            && !self.plural(at - 1)
            && draft.asked.iter().all(|it| matches!(it, Asked::Rows(_)))
            && draft.root.is_some_and(|it| it != table && self.single(it, table))
            && (at + 1 == end || !self.is_value(at + 1) && !self.wordy(at + 1))
        {
            draft.ask(Asked::Rows(table));
            self.spent.push(at);
            hand.column = None;
            return Some(at + 1);
        }
        // `how many orders used a discount code`: those that have one
        if *mode == Mode::Select
            && draft.counts()
            && at > 1
            && matches!(self.word(at - 1), "a" | "an" | "any")
            && matches!(self.word(at - 2), "used" | "use" | "uses" | "gave" | "left" | "entered")
            && let Some(column) = self.resolve_quietly(draft, at, Want::Any)
            && Some(column.table) == draft.root
            && self.index.column(column).nullable
            && !self.is_value(at + 1)
        {
            let known = Predicate::Null { column, negated: true };
            draft.add(Condition::Row(known), std::mem::take(&mut hand.or));
            *mode = Mode::Where;
            return Some(at + 1);
        }
        if *mode == Mode::Where {
            // the previous column found nothing to be compared with
            if let Some(before) = hand.column.take() {
                self.idle_column(draft, before, at);
            }
            if hand.count {
                // `whose number of floors is above 3`
                let column = self.resolve_quietly(draft, at, Want::Any)?;
                let info = self.index.column(column);
                if !info.class.is_numeric() || info.is_id() {
                    hand.counted = Some(column.table);
                    hand.count = false;
                    self.mark_used(at, at + 1);
                    return Some(at + 1);
                }
                hand.count = false;
            }
            hand.column_aggregate = hand.aggregates.pop();
            hand.aggregates.clear();
            hand.column = Some(at);
            if self.flag_at(draft, hand, at) {
                return Some(at + 1);
            }
            return Some(at + 1);
        }
        // "name" of a table that keeps it in two columns
        if let Some(columns) = self.whole_name(draft, at)
            && hand.aggregates.is_empty()
            && !hand.count
        {
            for column in columns {
                draft.ask(Asked::Column(column));
            }
            draft.distinct |= std::mem::take(&mut hand.distinct);
            return Some(at + 1);
        }
        // `names of the states` where states are a column
        if self.lemma(at) == "name"
            && self.items[at].end == self.items[at].first + 1
            && self.word(at + 1) == "of"
        {
            let mut next = at + 2;
            while matches!(
                self.word(next),
                "the" | "all" | "different" | "distinct" | "any" | "each" | "unique"
            ) && !self.is_name(next)
            {
                next += 1;
            }
            if next < end
                && self.is_name(next)
                && self.table_at(next).is_none()
                && let Some(it) = self.resolve_quietly(draft, next, Want::Any)
                && self.index.column(it).class.is_textual()
                && self.ranking(draft, next, Want::Any).first().is_some_and(|it| it.2 > 0.8)
            {
                hand.forced = true;
                return Some(at + 1);
            }
        }
        if let Some(column) = self.resolve_quietly(draft, at, Want::Any)
            && self.is_flag(column)
            && (self.table_at(at + 1).is_some()
                || hand.count
                || hand.negated
                || draft.asks_something()
                    && at > 0
                    && matches!(self.word(at - 1), "are" | "is" | "were" | "was"))
        {
            let negated = std::mem::take(&mut hand.negated);
            let told = self.flag(column, !negated);
            draft.add(told, std::mem::take(&mut hand.or));
            return Some(at + 1);
        }
        // a verb that only resembles a column (`readers borrowed …`) says which rows, not what is asked for
        let token = &self.tokens[self.items[at].first];
        let verb = self.items[at].end == self.items[at].first + 1
            && (token.lower.ends_with("ed")
                || token.lower != token.lemma && !token.lower.ends_with('s'));
        if verb
            && !draft.asked.is_empty()
            && hand.aggregates.is_empty()
            && !hand.count
            && !(at > 0
                && (self.marked(at - 1, ',')
                    || matches!(self.word(at - 1), "and" | "the" | "their")))
            && self.ranking(draft, at, want).first().is_some_and(|it| it.2 < 0.95)
        {
            let column = self.resolve_quietly(draft, at, want)?;
            if Some(column.table) != draft.root {
                draft.join(column.table);
            }
            hand.column = Some(at);
            return Some(at + 1);
        }
        // `population density`: the density, though a population is kept as well
        if self.is_name(at + 1)
            && self.table_at(at + 1).is_none()
            && at + 1 < end
            && self.items[at].end == self.items[at + 1].first
            && self.plain_number(draft, at)
            && self.plain_number(draft, at + 1)
            && !self.plural(at)
        {
            self.spent.push(at);
            return Some(at + 1);
        }
        let column = self.resolve(draft, at, want)?;
        // `the year of the school`: the school is not asked for
        if !std::mem::take(&mut hand.forced)
            && hand.aggregates.is_empty()
            && !hand.count
            && !hand.distinct
            && draft.asked.iter().any(|it| matches!(it, Asked::Column(_) | Asked::Aggregate(..)))
            && self.index.column(column).class.is_textual()
        {
            let mut before = at;
            while before > 0 && matches!(self.word(before - 1), "the" | "all" | "a" | "any") {
                before -= 1;
            }
            if before > 0 && matches!(self.word(before - 1), "of" | "for" | "among" | "across") {
                if Some(column.table) != draft.root {
                    draft.join(column.table);
                }
                hand.column = Some(at);
                return Some(at + 1);
            }
        }
        if hand.count && !hand.aggregates.is_empty() && self.index.column(column).class.is_numeric()
        {
            hand.count = false;
        }
        // `business customers`: a word near a column that is filled for some of them only
        if self.table_at(at + 1) == Some(column.table)
            && hand.aggregates.is_empty()
            && self.index.column(column).nullable
            && self.index.column(column).class.is_textual()
            && self.ranking(draft, at, want).first().is_some_and(|it| it.0 == column && it.2 < 0.9)
        {
            draft.add(
                Condition::Row(Predicate::Null { column, negated: true }),
                std::mem::take(&mut hand.or),
            );
            return Some(at + 1);
        }
        if std::mem::take(&mut hand.count) {
            let info = self.index.column(column);
            let table = column.table;
            if self.index.tables[table].display.contains(&column.column)
                && !hand.distinct
                && self.lemma(at) != "name"
                && info.words.len() > 1
            {
                draft.ask(Asked::Count { table: Some(table), column: None, distinct: false });
            } else if info.class.is_numeric() && !info.is_id() && !hand.distinct {
                // `how many points`: the number stands there; without a single row in view it is the sum
                let total = at > 2 && self.word(at - 1) == "of" && self.word(at - 3) == "total"
                    || (at + 1..end).any(|it| self.says(it, "in total"));
                let single =
                    !total && ((at + 1..end).any(|it| self.is_value(it)) || draft.asks_something());
                if single {
                    draft.ask(Asked::Column(column));
                } else {
                    draft.ask(Asked::Aggregate(Aggregate::Sum, Expr::Column(column)));
                }
            } else if info.primary && self.index.tables[table].primary.len() == 1
                || info.class.is_temporal()
                    && (self.items[at].lower.ends_with("ed")
                        || self.items[at].lower.contains(" signed"))
            {
                // a key counts its rows, and so does what happened to them (`customers signed up`)
                draft.ask(Asked::Count { table: Some(table), column: None, distinct: false });
            } else {
                draft.ask(Asked::Count {
                    table: Some(table),
                    column: Some(column),
                    distinct: true,
                });
            }
            hand.distinct = false;
            hand.column = Some(at);
            return Some(at + 1);
        }
        if hand.aggregates.is_empty()
            && !hand.last_aggregates.is_empty()
            && !hand.determined
            && at > 0
            && self.word(at - 1) == "and"
            && self.index.column(column).class.is_numeric()
        {
            hand.aggregates = hand.last_aggregates.clone();
        }
        // `how many card types`: one thing in two words
        if hand.aggregates.is_empty()
            && at > 0
            && let Some(Asked::Count { table: Some(counted), column: None, .. }) =
                draft.asked.last()
            && *counted == column.table
            && self.table_at(at - 1) == Some(*counted)
            && self.items[at - 1].end == self.items[at].first
            && self.index.column(column).class.is_textual()
        {
            draft.asked.pop();
            draft.ask(Asked::Count {
                table: Some(column.table),
                column: Some(column),
                distinct: true,
            });
            hand.column = Some(at);
            return Some(at + 1);
        }
        if hand.aggregates.is_empty() {
            // `which game type has …`: the type alone
            if at > 0
                && draft.asked.last() == Some(&Asked::Rows(column.table))
                && self.table_at(at - 1) == Some(column.table)
                && self.items[at - 1].end == self.items[at].first
                && !self.plural(at - 1)
            {
                draft.asked.pop();
            }
            draft.ask(Asked::Column(column));
            draft.asked_at.push((at, column));
            draft.distinct |= std::mem::take(&mut hand.distinct);
            hand.last_aggregates.clear();
        } else {
            for function in std::mem::take(&mut hand.aggregates) {
                draft.ask(Asked::Aggregate(function, Expr::Column(column)));
                if !hand.last_aggregates.contains(&function) {
                    hand.last_aggregates = vec![function];
                }
            }
        }
        hand.column = Some(at);
        Some(at + 1)
    }
}
