//! Orders: "sorted by", "in alphabetical order".

use super::{
    Asked, Draft, Hand, Interpreter, Mode,
    draft::{OrderBy, Ordering},
    resolve::Want,
};
use crate::{
    lexicon::LEXICON,
    logical::{Aggregate, Expr},
};

const STARTS: [&str; 44] = [
    "ascending by",
    "descending by",
    "by ascending order",
    "by descending order",
    "by alphabetical order",
    "in ascending",
    "in descending",
    "by the ascending order",
    "by the descending order",
    "in decreasing",
    "ordered by",
    "order by",
    "sorted by",
    "sort by",
    "ordered in",
    "sorted in",
    "order them by",
    "sort them by",
    "ordering by",
    "sorting by",
    "ranked by",
    "arranged by",
    "order the results by",
    "sort the results by",
    "sort results by",
    "order results by",
    "listed in",
    "in ascending order",
    "in descending order",
    "in increasing order",
    "in decreasing order",
    "in alphabetical order",
    "in the alphabetical order",
    "in the order of",
    "in order of",
    "in lexicographical order",
    "in reverse alphabetical order",
    "in ascending alphabetical order",
    "in descending alphabetical order",
    "in chronological order",
    "ordered from",
    "sorted from",
    "alphabetically",
    "in the descending order",
];

impl Interpreter<'_> {
    pub(super) fn starts_order(&self, at: usize) -> bool {
        self.one_of(at, &STARTS).is_some()
            || self.word(at) == "by"
                && at > 1
                && matches!(self.word(0), "order" | "sort" | "rank")
                && self.number(at + 1).is_none()
            || self.word(at) == "in"
                && (1..=4).any(|it| self.word(at + it) == "order")
                && (1..=3).any(|it| direction(self.word(at + it)).is_some())
            || (matches!(self.word(at), "ordered" | "sorted" | "sort")
                && (1..=4).any(|it| matches!(self.word(at + it), "by" | "order")))
            || (self.word(at) == "order"
                && (1..=4).any(|it| self.word(at + it) == "by")
                && at > 0
                && !matches!(self.word(at - 1), "the" | "each" | "of" | "an" | "in"))
    }

    /// "Ordered by …" and its relatives, to the end of the keys.
    pub(super) fn read_order(
        &mut self,
        draft: &mut Draft,
        hand: &mut Hand,
        mode: &mut Mode,
        at: usize,
        end: usize,
    ) -> Option<usize> {
        if !self.starts_order(at) {
            return None;
        }
        let mut next = at;
        let mut descending: Option<bool> = None;
        // `by price decreasing and name ascending`: up to which key which direction was said
        let mut told: Vec<(usize, bool)> = Vec::new();
        let mut keys: Vec<OrderBy> = Vec::new();
        let mut aggregate: Option<Aggregate> = None;
        let mut count = false;
        while next < end {
            let word = self.word(next);
            if let Some(down) = direction(word) {
                // `most` and `least` inside "from the most to the least"
                descending = Some(descending.unwrap_or(down));
                // `from most to least sales`: how many there are
                count |=
                    matches!(word, "most" | "least") && self.word(next.wrapping_sub(1)) == "from";
                if self.word(next + 1) != "to" && self.word(next.wrapping_sub(1)) != "from" {
                    told.push((keys.len(), down));
                }
                next += 1;
                // the rest of "from … to …"
                if self.word(next) == "to" {
                    next += 1;
                    if self.word(next) == "the" {
                        next += 1;
                    }
                    next += 1;
                }
                continue;
            }
            if let Some(degree) = LEXICON.degree(word)
                && (self.word(next.wrapping_sub(1)) == "from"
                    || self.word(next.wrapping_sub(1)) == "the"
                        && self.word(next.wrapping_sub(2)) == "from")
            {
                // "from the oldest to the youngest": by age
                if let Some(root) = draft.root
                    && keys.is_empty()
                {
                    for (stem, up) in degree.measures.clone() {
                        if let Some(column) = self.column_with(root, &stem, Want::Number) {
                            keys.push(OrderBy::Expr(Expr::Column(column)));
                            descending = Some(up);
                            break;
                        }
                    }
                }
                next += 1;
                while matches!(self.word(next), "to" | "the")
                    || LEXICON.degree(self.word(next)).is_some()
                {
                    next += 1;
                }
                continue;
            }
            match word {
                "number" | "count" | "frequency" | "occurrence" | "occurrences"
                    if !self.is_name(next) =>
                {
                    count = true;
                    self.mark_used(next, next + 1);
                    next += 1;
                    continue;
                }
                "average" | "mean" | "avg" => aggregate = Some(Aggregate::Avg),
                "total" | "sum" => aggregate = Some(Aggregate::Sum),
                "maximum" | "max" => aggregate = Some(Aggregate::Max),
                "minimum" | "min" => aggregate = Some(Aggregate::Min),
                "first" if next > at + 1 && self.word(next - 1) != "the" => {}
                _ => {}
            }
            if matches!(word, "order" | "ordered" | "alphabetical" | "ordering") && next < at + 4 {
                next += 1;
                continue;
            }
            // `by train time`: the time of a train
            if let Some(table) = self.table_at(next)
                && !count
                && !self.plural(next)
                && self.is_name(next + 1)
                && self.table_at(next + 1).is_none()
                && self.items[next].end == self.items[next + 1].first
                && self
                    .resolve_quietly(draft, next + 1, Want::Any)
                    .is_some_and(|it| it.table == table)
            {
                self.mark_used(next, next + 1);
                next += 1;
                continue;
            }
            if let Some(table) = self.table_at(next)
                && (count || aggregate.is_none())
            {
                if count {
                    keys.push(OrderBy::Count(Some(table)));
                    count = false;
                } else if keys.is_empty() && !self.word(next.wrapping_sub(1)).eq("of") {
                    for &column in &self.index.tables[table].display.clone() {
                        keys.push(OrderBy::Expr(Expr::Column(crate::logical::ColumnRef::new(
                            table, column,
                        ))));
                    }
                }
                self.mark_used(next, next + 1);
                next += 1;
                continue;
            }
            if self.is_name(next) {
                // a bare column after "and" that begins another request does not belong to the order
                let Some(column) = self.resolve(draft, next, Want::Any) else {
                    next += 1;
                    continue;
                };
                let mut expr = Expr::Column(column);
                if let Some(function) = aggregate.take() {
                    expr = Expr::aggregate(function, expr);
                } else if count {
                    let info = self.index.column(column);
                    if !info.class.is_numeric() || info.is_id() {
                        expr = Expr::count();
                    }
                    count = false;
                }
                keys.push(OrderBy::Expr(expr));
                next += 1;
                continue;
            }
            let filler = matches!(
                word,
                "ordered"
                    | "order"
                    | "sorted"
                    | "sort"
                    | "by"
                    | "in"
                    | "the"
                    | "of"
                    | "their"
                    | "its"
                    | "from"
                    | "to"
                    | "a"
                    | "z"
                    | "them"
                    | "results"
                    | "result"
                    | "and"
                    | "then"
                    | "lexicographical"
                    | "lexicographic"
                    | "alphabetical"
                    | "alphabetically"
                    | "reverse"
                    | "reversed"
                    | "chronological"
                    | "an"
                    | "total"
                    | "sum"
                    | "average"
                    | "mean"
                    | "avg"
                    | "maximum"
                    | "minimum"
                    | "max"
                    | "min"
                    | "list"
                    | "listed"
                    | "arranged"
                    | "ranked"
                    | "ordering"
                    | "sorting"
                    | "value"
                    | "all"
                    | "is"
                    | "are"
                    | "each"
                    | "his"
                    | "her"
                    | "these"
                    | "first"
                    | "with"
                    | "being"
                    | "for"
            ) || self.marked(next, ',')
                || self.marked(next, '\'');
            if !filler || (word == "first" && self.is_value(next + 1)) {
                break;
            }
            // `, and list …` goes back to asking
            if word == "and"
                && matches!(
                    self.word(next + 1),
                    "show" | "give" | "return" | "find" | "what" | "only" | "limit"
                )
            {
                break;
            }
            if word == "with"
                && direction(self.word(next + 1)).is_none()
                && self.word(next + 1) != "the"
            {
                break;
            }
            if word == "for" {
                break;
            }
            next += 1;
        }
        if (at..next).any(|it| matches!(self.word(it), "reverse" | "reversed")) {
            descending = Some(true);
        }
        if count && keys.is_empty() {
            keys.push(OrderBy::Count(None));
        }
        if keys.is_empty() {
            keys.push(OrderBy::First);
        }
        let down = descending.unwrap_or(false);
        // `which lakes have the largest areas, ordered from largest to smallest`: all of them, in that order
        if draft.limit == Some(1)
            && !draft.order.is_empty()
            && keys == [OrderBy::First]
            && draft.ranked.is_none()
        {
            draft.limit = None;
            if let Some(down) = descending {
                for it in &mut draft.order {
                    it.descending = down;
                }
            }
            show_measure(draft);
            return Some(next.max(at + 1));
        }
        // `the longest rivers, ordered from longest to shortest`: the same once more
        if let ([key], [ordered], Some(1), None) =
            (keys.as_slice(), draft.order.as_mut_slice(), draft.limit, &draft.ranked)
            && ordered.by == *key
        {
            ordered.descending = down;
            draft.limit = None;
            show_measure(draft);
            return Some(next.max(at + 1));
        }
        let apart = told.len() > 1
            && told.windows(2).all(|it| it[0].0 < it[1].0)
            && told[0].0 > 0
            && told[told.len() - 1].0 == keys.len();
        for (at, by) in keys.into_iter().enumerate() {
            // `the 3 highest rates, ordered by rate`
            if let Some(known) = draft.order.iter_mut().find(|it| it.by == by) {
                known.descending = if descending.is_some() { down } else { known.descending };
                continue;
            }
            let own = told.iter().find(|it| apart && at < it.0).map_or(down, |it| it.1);
            draft.order.push(Ordering { by, descending: own });
        }
        hand.column = None;
        let _ = mode;
        Some(next.max(at + 1))
    }
}

/// A list of all rows from the largest to the smallest shows by what.
fn show_measure(draft: &mut Draft) {
    if let [Ordering { by: OrderBy::Expr(Expr::Column(column)), .. }] = draft.order.as_slice() {
        let asked = Asked::Column(*column);
        draft.ask(asked);
    }
}

fn direction(word: &str) -> Option<bool> {
    match word {
        "descending" | "decreasing" | "desc" | "highest" | "most" | "largest" | "high"
        | "large" | "big" | "z" | "descendingly" | "descend" | "greatest" | "biggest" => Some(true),
        "ascending" | "increasing" | "asc" | "lowest" | "least" | "smallest" | "low" | "small"
        | "ascendingly" | "ascend" => Some(false),
        _ => None,
    }
}
