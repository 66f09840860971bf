//! "Without any", "never", "do not", "except": what must not be.

use super::{Condition, Draft, Hand, Interpreter, Mode, resolve::Want};
use crate::{
    lexicon::LEXICON,
    link::Meaning,
    logical::{ColumnRef, Expr, LogicalQuery, Predicate},
};

impl Interpreter<'_> {
    /// A word that denies: either the next condition is turned around, or rows are asked for that have no partner.
    pub(super) fn read_negation(
        &mut self,
        draft: &mut Draft,
        hand: &mut Hand,
        mode: &mut Mode,
        at: usize,
        end: usize,
    ) -> Option<usize> {
        let length = self.one_of(
            at,
            &[
                "not",
                "nobody",
                "no one",
                "never",
                "without",
                "no",
                "except",
                "non",
                "excluding",
                "besides",
                "nor",
                "neither",
                "cannot",
                "none",
                "lack",
                "lacks",
                "other than",
                "but not",
                "except for",
                "not any",
                "apart from",
                "outside",
                "aside from",
                "rather than",
                "instead of",
                "leaving out",
                "not counting",
                "ignoring",
                "without any",
                "don't",
                "doesn't",
                "didn't",
                "isn't",
                "aren't",
                "wasn't",
                "weren't",
                "haven't",
                "hasn't",
                "hadn't",
                "can't",
            ],
        )?;
        let word = self.word(at);
        let next = at + length;
        // "no" as an answer or a short form of number is a value or a name
        if self.items[at].quoted {
            return None;
        }
        if draft.root.is_none() || (!draft.asks_something() && !draft.counts() && !hand.count) {
            hand.negated = true;
            return Some(next);
        }
        let until = self.negated_end(next, end);
        let root = self.subject_table(draft);
        // `not shipped yet`: the moment when that happened is empty
        let mut verb = next;
        while matches!(self.word(verb), "been" | "yet" | "be" | "ever" | "have" | "has" | "already")
        {
            verb += 1;
        }
        if word != "no"
            && verb < until
            && self.items[verb].end == self.items[verb].first + 1
            && self.word(verb).ends_with("ed")
        {
            let token = &self.tokens[self.items[verb].first];
            // `logged in` is in `login`, `responded` in `response`
            let particle = self.word(verb + 1);
            let joined = format!("{}{particle}", token.lemma);
            let alike = |own: &str| {
                own == joined
                    || particle.len() > 1
                        && own.len() > particle.len() + 2
                        && own.strip_suffix(particle).is_some_and(|it| token.lower.starts_with(it))
                    || own == token.stem
                    || LEXICON.stem(own) == token.stem
                    || token.lemma.len() > 5
                        && own.len() > 5
                        && token.lemma.as_bytes()[..5] == own.as_bytes()[..5]
            };
            let column = self.index.tables[root].columns.iter().position(|it| {
                it.class.is_temporal() && it.nullable && it.words.iter().any(|own| alike(own))
            });
            // or the one of which the description says so
            let column = column.or_else(|| {
                let told = self.moment_called(root, token)?;
                self.index.column(told).nullable.then_some(told.column)
            });
            if let Some(column) = column {
                draft.add(
                    Condition::Row(Predicate::Null {
                        column: ColumnRef::new(root, column),
                        negated: false,
                    }),
                    std::mem::take(&mut hand.or),
                );
                *mode = Mode::Where;
                let mut next = verb + 1;
                while next < until
                    && matches!(
                        self.word(next),
                        "yet" | "in" | "to" | "on" | "so" | "far" | "out" | "back"
                    )
                {
                    next += 1;
                }
                return Some(next);
            }
        }
        // `employees who do not manage anyone`: to whom no other row of the table refers
        if word != "no"
            && verb < until
            && matches!(self.lemma(verb), "manage" | "supervise" | "lead" | "managing")
            && let Some(edge) = self.index.edges_of[root]
                .iter()
                .map(|it| &self.index.edges[*it])
                .find(|it| it.from == it.to && it.from_columns.len() == 1)
            && self.index.tables[root].columns[edge.from_columns[0]].words.iter().any(|it| {
                matches!(it.as_str(), "manager" | "supervisor" | "boss" | "lead" | "leader")
            })
        {
            let superior = ColumnRef::new(root, edge.from_columns[0]);
            let query = LogicalQuery {
                select: vec![Expr::Column(superior)],
                root: Some(root),
                filter: vec![Predicate::Null { column: superior, negated: true }],
                ..LogicalQuery::default()
            };
            let columns = vec![ColumnRef::new(root, edge.to_columns[0])];
            self.count_now(draft, hand);
            draft.add(
                Condition::Row(Predicate::InQuery {
                    columns,
                    query: Box::new(query),
                    negated: true,
                }),
                std::mem::take(&mut hand.or),
            );
            *mode = Mode::Where;
            self.spent.extend(next..until);
            let mut next = verb + 1;
            while matches!(
                self.word(next),
                "anyone"
                    | "anybody"
                    | "someone"
                    | "somebody"
                    | "others"
                    | "people"
                    | "any"
                    | "other"
                    | "employees"
                    | "staff"
            ) && next < until
            {
                next += 1;
            }
            return Some(next);
        }
        // does the denied part speak of other rows?
        let mut other: Option<usize> = None;
        let mut inner_items = Vec::new();
        for it in next..until {
            if let Some(table) = self.table_at(it) {
                if table != root && other.is_none() {
                    other = Some(table);
                }
                inner_items.push(it);
            }
        }
        let mut sub = Draft { root: Some(other.unwrap_or(root)), ..Draft::default() };
        let notes = self.notes.len();
        let used = self.used.clone();
        self.scan(&mut sub, next, until, Mode::Where);
        let mut tables: Vec<usize> = sub.joins.clone();
        let mut groups = false;
        for (condition, _) in &sub.conditions {
            match condition {
                Condition::Row(predicate) => {
                    predicate.columns(&mut |it: ColumnRef| tables.push(it.table));
                }
                Condition::Group { .. } => groups = true,
            }
        }
        let apart = other.or_else(|| tables.iter().copied().find(|it| *it != root));
        if groups {
            self.notes.truncate(notes);
            self.used = used;
            hand.negated = true;
            return Some(next);
        }
        let Some(apart) = apart else {
            // only the row itself is spoken of
            if sub.conditions.is_empty() {
                // `without a phone number`: a column that may be empty
                let column =
                    (next..until).find(|&it| self.is_name(it) && self.table_at(it).is_none());
                if let Some(item) = column
                    && matches!(
                        word,
                        "without"
                            | "no"
                            | "lack"
                            | "lacks"
                            | "not"
                            | "don't"
                            | "doesn't"
                            | "haven't"
                            | "hasn't"
                    )
                    && let Some(column) = self.resolve(draft, item, Want::Any)
                    && column.table == root
                    && let info = self.index.column(column)
                    && info.complete
                    && info.values.len() <= 3
                    && let Some(denied) = info
                        .values
                        .iter()
                        .find(|it| matches!(it.to_lowercase().as_str(), "no" | "n" | "false" | "f"))
                        .cloned()
                {
                    let predicate = self.equality(column, &denied, false);
                    draft.add(Condition::Row(predicate), std::mem::take(&mut hand.or));
                    return Some(until);
                }
                if let Some(item) = column
                    && matches!(
                        word,
                        "without"
                            | "no"
                            | "lack"
                            | "lacks"
                            | "not"
                            | "don't"
                            | "doesn't"
                            | "haven't"
                            | "hasn't"
                    )
                    && let Some(column) = self.resolve(draft, item, Want::Any)
                    && column.table == root
                    && self.index.column(column).nullable
                {
                    draft.add(
                        Condition::Row(Predicate::Null { column, negated: false }),
                        std::mem::take(&mut hand.or),
                    );
                    return Some(until);
                }
                self.notes.truncate(notes);
                self.used = used;
                hand.negated = true;
                *mode = if matches!(word, "no") { *mode } else { Mode::Where };
                return Some(next);
            }
            self.notes.truncate(notes);
            self.used = used;
            hand.negated = true;
            *mode = Mode::Where;
            return Some(next);
        };
        // one partner at most: the condition itself is turned around
        if self.single(root, apart) && !sub.conditions.is_empty() && sub.joins.is_empty() {
            self.notes.truncate(notes);
            self.used = used;
            hand.negated = true;
            *mode = Mode::Where;
            return Some(next);
        }
        let predicate = self.membership(root, apart, &sub, true)?;
        // `of those who ordered … have never used a coupon`: that they did the one does not follow from what they did not
        let known: Vec<usize> = draft
            .joins
            .iter()
            .copied()
            .filter(|it| {
                word == "never" && *it != apart && self.single(*it, apart) && self.single(*it, root)
            })
            .collect();
        for it in known {
            let rows = Draft { root: Some(it), ..Draft::default() };
            if let Some(has) = self.membership(root, it, &rows, false) {
                draft.joins.retain(|other| *other != it);
                draft.add(Condition::Row(has), false);
            }
        }
        self.mark_used(next, until);
        draft.add(Condition::Row(predicate), std::mem::take(&mut hand.or));
        *mode = Mode::Where;
        Some(until)
    }

    /// The only table whose rows refer to those of a table.
    pub(super) fn referring(&self, table: usize) -> Option<usize> {
        let mut from = self.index.edges_of[table]
            .iter()
            .map(|it| &self.index.edges[*it])
            .filter(|it| it.to == table && it.from != table)
            .map(|it| it.from);
        let first = from.next()?;
        from.all(|it| it == first).then_some(first)
    }

    fn subject_table(&self, draft: &Draft) -> usize {
        for it in &draft.asked {
            match it {
                super::Asked::Column(it)
                    if self.index.tables[it.table].display.contains(&it.column)
                        || self.index.column(*it).primary =>
                {
                    return it.table;
                }
                super::Asked::Rows(table) => return *table,
                _ => {}
            }
        }
        draft.root.unwrap_or(0)
    }

    /// Whether a row of `from` has at most one partner in `to`.
    pub(crate) fn single(&self, from: usize, to: usize) -> bool {
        self.index.is_single(from, to)
    }

    fn negated_end(&self, from: usize, end: usize) -> usize {
        self.clause_end(from, end)
    }

    /// Rows of `root` that are (not) among those which the nested query finds.
    pub(super) fn membership(
        &self,
        root: usize,
        apart: usize,
        sub: &Draft,
        negated: bool,
    ) -> Option<Predicate> {
        // the first step of the way from the root decides by which columns
        let mut probe =
            LogicalQuery { root: Some(root), also: vec![apart], ..LogicalQuery::default() };
        for (condition, _) in &sub.conditions {
            if let Condition::Row(predicate) = condition {
                predicate.columns(&mut |it: ColumnRef| {
                    if it.table != root && !probe.also.contains(&it.table) {
                        probe.also.push(it.table);
                    }
                });
            }
        }
        let plan = crate::join::plan(self.index, &probe)?;
        let first = plan.tables.iter().find(|it| it.to.as_ref().is_some_and(|(to, _)| *to == 0))?;
        let (_, pairs) = first.to.as_ref()?;
        let mut filter = Vec::new();
        for (condition, or) in sub.conditions.clone() {
            if let Condition::Row(predicate) = condition {
                if or && let Some(last) = filter.pop() {
                    filter.push(Predicate::Or(vec![last, predicate]));
                } else {
                    filter.push(predicate);
                }
            }
        }
        // a reference that may be empty: nothing is referred to
        if negated
            && sub.conditions.is_empty()
            && let [(own, _)] = pairs.as_slice()
            && self.index.tables[root].columns[*own].foreign
            && self.single(root, apart)
            && self.index.tables[root].primary != [*own]
        {
            return Some(Predicate::Null { column: ColumnRef::new(root, *own), negated: false });
        }
        let inner: Vec<ColumnRef> =
            pairs.iter().map(|it| ColumnRef::new(first.table, it.1)).collect();
        for column in &inner {
            if self.index.column(*column).nullable && negated {
                filter.push(Predicate::Null { column: *column, negated: true });
            }
        }
        let mut also = sub.joins.clone();
        also.retain(|it| *it != root && *it != first.table);
        if apart != first.table && !also.contains(&apart) {
            also.push(apart);
        }
        let order = sub
            .order
            .iter()
            .filter_map(|it| match &it.by {
                super::OrderBy::Expr(expr) => {
                    Some(crate::logical::OrderKey { by: expr.clone(), descending: it.descending })
                }
                _ => None,
            })
            .collect();
        let query = LogicalQuery {
            select: inner.iter().map(|it| Expr::Column(*it)).collect(),
            root: Some(first.table),
            also,
            filter,
            order,
            limit: sub.limit,
            ..LogicalQuery::default()
        };
        Some(Predicate::InQuery {
            columns: pairs.iter().map(|it| ColumnRef::new(root, it.0)).collect(),
            query: Box::new(query),
            negated,
        })
    }

    /// Whether an item is a value.
    pub(crate) fn is_value(&self, at: usize) -> bool {
        matches!(self.items.get(at).map(|it| &it.meaning), Some(Meaning::Value(_)))
    }
}
