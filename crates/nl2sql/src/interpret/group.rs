//! Groups: "for each", "per month", "by channel", "top-level"; and what is counted of them.

use super::{Asked, Draft, GroupKey, Hand, Interpreter, Mode, draft::OrderBy, resolve::Want};

impl Interpreter<'_> {
    /// "For each …", "per …", "by …": what the answer has a row for.
    pub(super) fn read_group(
        &mut self,
        draft: &mut Draft,
        hand: &mut Hand,
        mode: &mut Mode,
        at: usize,
        end: usize,
    ) -> Option<usize> {
        let aggregating = draft.aggregates() || hand.count || !hand.aggregates.is_empty();
        let length = self
            .one_of(
                at,
                &[
                    "for each",
                    "for every",
                    "in each",
                    "of each",
                    "by each",
                    "from each",
                    "at each",
                    "on each",
                    "within each",
                    "per",
                    "each",
                    "every",
                    "grouped by",
                    "group by",
                    "for each of the",
                    "with each",
                    "to each",
                    "per each",
                    "for each different",
                    "for different",
                    "for the different",
                    "across the different",
                    "of the different",
                    "in the different",
                    "for all different",
                    "broken down by",
                    "across different",
                    "in every",
                    "of every",
                    "each of the",
                    "for each distinct",
                    "under each",
                    "by different",
                    "of different",
                    "in different",
                    "split by",
                    "grouped by each",
                    "from different",
                    "for various",
                    "corresponding to each",
                    "belonging to each",
                    "associated with each",
                ],
            )
            .or_else(|| {
                let heads = self.headline(draft)
                    || aggregating
                        && (*mode == Mode::Select
                            || self.marked(at.wrapping_sub(1), ',')
                            || at > 0
                                && matches!(
                                    self.items[at - 1].meaning,
                                    crate::link::Meaning::Time(_)
                                ));
                (self.word(at) == "by" && heads && at > 0 && !participle(self.word(at - 1)))
                    .then_some(1)
            })
            .or_else(|| {
                let word = self.word(at);
                (matches!(
                    word,
                    "daily" | "weekly" | "monthly" | "quarterly" | "yearly" | "annually"
                ) && !self.links(at).iter().any(|it| it.score > 0.9))
                .then_some(0)
            })?;
        let different = self.word(at + length - usize::from(length > 0)) == "different"
            || self.word(at + length.saturating_sub(1)) == "various";
        if different && !aggregating {
            return None;
        }
        let mut next = at + length;
        while matches!(
            self.word(next),
            "the"
                | "of"
                | "a"
                | "different"
                | "distinct"
                | "single"
                | "type"
                | "individual"
                | "and"
                | "unique"
        ) && !self.is_name(next)
            && next < end
        {
            next += 1;
        }
        // `calls by radio that …`: one of the labels of what is asked for
        if self.word(at) == "by"
            && length == 1
            && matches!(self.word(next + 1), "that" | "which" | "who" | "worth")
            && let Some(root) = draft.root
            && let Some(link) = crate::values::exact_values(self.index, self.word(next))
                .into_iter()
                .find(|it| it.table == root && self.index.tables[root].columns[it.column].complete)
        {
            let column = crate::logical::ColumnRef::new(root, link.column);
            let label = self.equality(column, &link.value, std::mem::take(&mut hand.negated));
            draft.add(super::Condition::Row(label), std::mem::take(&mut hand.or));
            *mode = Mode::Where;
            hand.column = None;
            self.spent.push(next);
            return Some(next + 1);
        }
        let mut found = false;
        loop {
            // `per top-level category`
            if let Some((table, until)) = self.upper(next).filter(|it| it.1 <= end) {
                self.mark_used(next, until);
                self.spent.extend(next..until);
                draft.groups.push(GroupKey::Parent(table));
                next = until;
                found = true;
            } else if let Some(column) = self.named_step(draft, next) {
                draft.groups.push(GroupKey::Column(column));
                next += 1;
                found = true;
            } else
            // steps of time
            if let Some(unit) = self.bucket(next)
                && !(self.is_name(next)
                    && self.table_at(next).is_none()
                    && self.exact_plain(next, draft))
                && let Some(root) = draft.root
                && let Some(column) = self.moment_of(root, None)
            {
                let key = if self.says(next + 1, "of the week") || self.word(next) == "weekday" {
                    next += 3;
                    GroupKey::Part("isodow", column)
                } else {
                    GroupKey::Time(unit, column)
                };
                draft.groups.push(key);
                next += 1;
                found = true;
            } else if self.word(next) == "weekday"
                && let Some(root) = draft.root
                && let Some(column) = self.moment_of(root, None)
            {
                draft.groups.push(GroupKey::Part("isodow", column));
                next += 1;
                found = true;
            } else if let Some(table) = self.table_at(next) {
                self.mark_used(next, next + 1);
                // `by product category`: the last noun says what is told apart
                if next + 1 < end && self.table_at(next + 1).is_some() {
                    next += 1;
                    continue;
                }
                // `by` before a table may only name who did it: `by the artist`, `by artists that …`
                if self.word(at) == "by"
                    && length == 1
                    && (next == at + 2 && self.word(at + 1) == "the"
                        || self.plural(next)
                            && matches!(self.word(next + 1), "that" | "who" | "whose" | "which"))
                {
                    return None;
                }
                draft.groups.push(GroupKey::Rows(table));
                next += 1;
                found = true;
            } else if next < end && self.is_name(next) {
                let Some(column) = self.resolve(draft, next, Want::Any) else { break };
                draft.groups.push(GroupKey::Column(column));
                next += 1;
                found = true;
            } else {
                break;
            }
            if self.one_of(next, &["of the week", "of the year", "of the month"]).is_some()
                && matches!(draft.groups.last(), Some(GroupKey::Column(_)))
                && self.number(next + 3).is_none()
            {
                next += 3;
            }
            // further keys: `per city and status`
            let mut probe = next;
            if self.word(probe) == "and" || self.items.get(probe).is_some_and(|it| it.is_mark(','))
            {
                probe += 1;
                if self.word(probe) == "and" {
                    probe += 1;
                }
                let each = matches!(self.word(probe), "each" | "per" | "every");
                if each {
                    probe += 1;
                }
                let key = probe < end && self.is_name(probe) && self.table_at(probe).is_none()
                    || probe + 1 == end && self.bucket(probe).is_some() && !self.is_name(probe);
                let comma = self.items.get(next).is_some_and(|it| it.is_mark(','));
                let timed = probe + 1 == end && self.bucket(probe).is_some() && !comma;
                if timed {
                    next = probe;
                    continue;
                }
                // after the first phrase of a sentence the request itself follows
                if key && (each || (!comma && at > 2)) {
                    next = probe;
                    continue;
                }
            }
            break;
        }
        if !found {
            return None;
        }
        hand.column = None;
        Some(next)
    }

    /// `top-level category`: the rows of a table that others of it belong to, and where that ends.
    pub(super) fn upper(&self, at: usize) -> Option<(usize, usize)> {
        let mut next = at;
        while matches!(self.word(next), "the" | "our" | "each") {
            next += 1;
        }
        if !matches!(self.word(next), "top" | "upper" | "root" | "highest") {
            return None;
        }
        next += 1;
        if self.marked(next, '-') {
            next += 1;
        }
        if self.word(next).starts_with("level") || self.word(next) == "root" {
            next += 1;
        } else {
            return None;
        }
        let table = self.table_at(next).or_else(|| {
            // `level category` may have been read as one name
            self.links(next).iter().find(|it| it.column.is_none()).map(|it| it.table)
        })?;
        let own = self.index.edges_of[table]
            .iter()
            .any(|it| self.index.edges[*it].from == self.index.edges[*it].to);
        own.then_some((table, next + 1))
    }

    /// `list the top-level categories`: those that belong to no other.
    pub(super) fn read_upper(
        &mut self,
        draft: &mut Draft,
        hand: &mut Hand,
        mode: &mut Mode,
        at: usize,
        end: usize,
    ) -> Option<usize> {
        // `subcategories`: those that belong to another
        let lower = self.items[at].end == self.items[at].first + 1
            && self.items[at].text.to_lowercase().starts_with("sub")
            && !self.word(at).starts_with("sub");
        let (table, next) = if lower {
            (self.table_at(at)?, at + 1)
        } else {
            self.upper(at).filter(|it| it.1 <= end)?
        };
        let edge = self.index.edges_of[table]
            .iter()
            .map(|it| &self.index.edges[*it])
            .find(|it| it.from == it.to)?;
        let column = crate::logical::ColumnRef::new(table, *edge.from_columns.first()?);
        self.spent.extend(at..next);
        let null = crate::logical::Predicate::Null { column, negated: lower };
        draft.add(super::Condition::Row(null), std::mem::take(&mut hand.or));
        if draft.root.is_none() {
            draft.root = Some(table);
        }
        if std::mem::take(&mut hand.count) {
            draft.ask(Asked::Count { table: Some(table), column: None, distinct: false });
        } else if !draft.asks_something() {
            draft.ask(Asked::Rows(table));
        } else if Some(table) != draft.root {
            draft.join(table);
        }
        let _ = mode;
        Some(next)
    }

    /// Whether nothing but the rows of a table was named so far, without a word that asks: `orders last week by status`.
    fn headline(&self, draft: &Draft) -> bool {
        let bare = draft.asked.is_empty() && draft.root.is_some()
            || matches!(draft.asked.as_slice(), [Asked::Rows(table)] if Some(*table) == draft.root);
        let asks = matches!(
            self.word(0),
            "list"
                | "find"
                | "which"
                | "what"
                | "who"
                | "whose"
                | "get"
                | "name"
                | "select"
                | "return"
                | "sort"
                | "order"
                | "rank"
                | "are"
                | "is"
        );
        bare && !asks && draft.order.is_empty() && draft.limit.is_none()
    }

    /// Rows of a table for each of something, and nothing else asked for: how many of them.
    pub(crate) fn count_groups(&self, draft: &mut Draft) {
        // `refunds by reason: how many and how much`: the rows themselves are not asked for
        if !draft.groups.is_empty() && draft.counts() && draft.asked.len() > 1 {
            let root = draft.root;
            draft.asked.retain(|it| !matches!(it, Asked::Rows(table) if Some(*table) == root));
        }
        if draft.groups.is_empty()
            || !self.headline(draft)
            || draft.groups.iter().any(|it| *it == GroupKey::Rows(draft.root.unwrap_or(usize::MAX)))
        {
            return;
        }
        // `the students in each class` may be meant one by one, `students per class` are counted
        let counted =
            draft.groups.iter().any(|it| matches!(it, GroupKey::Time(..) | GroupKey::Part(..)))
                || (0..self.items.len()).any(|it| matches!(self.word(it), "per" | "by"));
        if counted {
            draft.asked = vec![Asked::Count { table: draft.root, column: None, distinct: false }];
        }
    }

    /// Whether a word like "year" is a column of the table in question as it stands.
    fn exact_plain(&self, at: usize, draft: &Draft) -> bool {
        self.ranking(draft, at, Want::Any)
            .first()
            .is_some_and(|it| it.2 > 0.9 && !self.index.column(it.0).class.is_temporal())
    }

    /// Turns group keys without any aggregate back into plain columns.
    pub(crate) fn relax_groups(draft: &mut Draft) {
        if draft.asked.iter().any(|it| matches!(it, Asked::Everything(_))) && !draft.aggregates() {
            draft.groups.clear();
        }
        let ranked = draft.order.iter().any(|it| {
            matches!(&it.by, OrderBy::Count(_))
                || matches!(&it.by, OrderBy::Expr(expr) if expr.is_aggregate())
        });
        let having =
            draft.conditions.iter().any(|it| matches!(it.0, super::Condition::Group { .. }));
        // `orders per month`: how many
        let timed =
            draft.groups.iter().any(|it| matches!(it, GroupKey::Time(..) | GroupKey::Part(..)));
        if timed && draft.asked.iter().all(|it| matches!(it, Asked::Rows(_))) {
            let table = draft.asked.iter().find_map(|it| match it {
                Asked::Rows(table) => Some(*table),
                _ => None,
            });
            draft.asked =
                vec![Asked::Count { table: table.or(draft.root), column: None, distinct: false }];
            return;
        }
        let first = draft.limit.is_some()
            && draft.order.iter().any(|it| matches!(&it.by, OrderBy::Expr(_)));
        draft.per_group =
            !draft.groups.is_empty() && first && !draft.aggregates() && !ranked && !having;
        if draft.groups.is_empty() || draft.aggregates() || ranked || having || draft.per_group {
            return;
        }
        for group in std::mem::take(&mut draft.groups) {
            match group {
                GroupKey::Column(column) => {
                    let asked = Asked::Column(column);
                    if !draft.asked.contains(&asked) {
                        draft.asked.insert(0, asked);
                    }
                }
                GroupKey::Rows(table) => {
                    let shown = draft
                        .asked
                        .iter()
                        .any(|it| matches!(it, Asked::Column(it) if it.table == table));
                    if !shown {
                        draft.asked.insert(0, Asked::Rows(table));
                    }
                }
                GroupKey::Parent(_) | GroupKey::Time(..) | GroupKey::Part(..) => {}
            }
        }
    }
}

/// Whether a word says what was done, so that "by" behind it names who did it.
fn participle(word: &str) -> bool {
    word.ends_with("ed")
        || word.ends_with("en")
        || matches!(
            word,
            "made"
                | "held"
                | "won"
                | "led"
                | "run"
                | "sold"
                | "bought"
                | "taught"
                | "paid"
                | "built"
                | "sent"
                | "done"
                | "spent"
                | "shown"
                | "driven"
                | "flown"
                | "sung"
                | "drawn"
                | "known"
        )
}
