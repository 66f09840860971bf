//! Where a value belongs that stands in several columns.

use super::{Condition, Draft, Interpreter};
use crate::{
    lexicon::LEXICON,
    link::{Meaning, ValueLink},
    logical::{ColumnRef, Comparison, Expr, Predicate},
};

impl Interpreter<'_> {
    /// Where a value belongs, best first.
    pub(crate) fn rank_values(
        &self,
        draft: &Draft,
        links: &[ValueLink],
        at: usize,
        column: Option<usize>,
    ) -> Vec<(usize, f64)> {
        let hints: Vec<(usize, f64)> = {
            let mut hints = Vec::new();
            if let Some(it) = column {
                hints.push((it, 0.7));
            }
            for back in 1..=3 {
                if at >= back && self.is_name(at - back) {
                    hints.push((at - back, if back == 1 { 0.45 } else { 0.3 }));
                    break;
                }
            }
            if self.is_name(at + 1) {
                hints.push((at + 1, 0.5));
            }
            hints
        };
        let mut ranked: Vec<(usize, f64)> = links
            .iter()
            .enumerate()
            .map(|(number, link)| {
                let mut score = link.score;
                let mut bonus: f64 = 0.0;
                for (hint, worth) in &hints {
                    for name in self.links(*hint) {
                        if name.column == Some(link.column) && name.table == link.table {
                            bonus = bonus.max(worth * name.score);
                        } else if name.column.is_none() && name.table == link.table {
                            bonus = bonus.max(worth * 0.6 * name.score);
                        }
                    }
                }
                score += bonus;
                score += 0.3 * self.weight[link.table].min(1.0);
                if let Some(root) = draft.root {
                    if root == link.table {
                        score += 0.1;
                    }
                    #[expect(clippy::cast_precision_loss, reason = "a few steps")]
                    match self.index.distance(root, link.table) {
                        Some(steps) => score -= 0.08 * steps as f64,
                        None => score -= 0.6,
                    }
                }
                if (0..at).rev().find_map(|it| self.table_at(it)) == Some(link.table) {
                    score += 0.12;
                }
                let info = &self.index.tables[link.table].columns[link.column];
                let lead = at.checked_sub(1).map_or("", |it| self.word(it));
                let within =
                    matches!(lead, "in" | "from" | "at" | "within" | "through" | "near" | "inside");
                if self.index.tables[link.table].display.contains(&link.column) {
                    // what lies in a place is not that place, nor is what it has: `how many rivers does Utah have`
                    let has = matches!(lead, "does" | "do" | "did")
                        && matches!(self.word(at + 1), "have" | "contain" | "has")
                        && draft.counts();
                    if (within || has) && draft.root == Some(link.table) && elsewhere(links, link) {
                        score -= 0.4;
                    } else {
                        score += 0.06;
                    }
                }
                // first and last name stand in one row
                for beside in [at.wrapping_sub(1), at + 1] {
                    if let Some(Meaning::Value(others)) =
                        self.items.get(beside).map(|it| &it.meaning)
                        && others
                            .iter()
                            .any(|it| it.table == link.table && it.column != link.column)
                    {
                        score += 0.25;
                        break;
                    }
                }
                // a row has one value of a column: `good arabic restaurants in mountain view` speaks of two columns
                if self.taken_before(draft, ColumnRef::new(link.table, link.column), at)
                    && elsewhere(links, link)
                {
                    score -= 0.4;
                }
                if within && self.is_place(link) && elsewhere(links, link) {
                    score += 0.15;
                }
                if self.receives(link, at) && elsewhere(links, link) {
                    score += 0.4;
                }
                if info.foreign {
                    score -= 0.02;
                }
                if info
                    .words
                    .iter()
                    .any(|it| matches!(it.as_str(), "description" | "comment" | "detail" | "text"))
                {
                    score -= 0.05;
                }
                (number, score + self.told(at, ColumnRef::new(link.table, link.column)))
            })
            .collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        ranked
    }

    /// Whether a condition holds that column at a value named just before, with nothing between that gives an alternative.
    fn taken_before(&self, draft: &Draft, column: ColumnRef, at: usize) -> bool {
        let is = |it: usize| matches!(self.items[it].meaning, Meaning::Value(_));
        let Some(last) = (0..at).rev().find(|it| is(*it)) else { return false };
        let apart = (last + 1..at).any(|it| {
            matches!(self.word(it), "and" | "or" | "but" | "not" | "than" | "both" | "while")
                || self.items[it].is_mark(',')
        });
        !apart
            && draft.conditions.iter().any(|it| {
                matches!(&it.0, Condition::Row(Predicate::Compare(Expr::Column(own), Comparison::Equal, Expr::Literal(_)))
                    if *own == column)
            })
    }

    /// Whether a value says where something is.
    fn is_place(&self, link: &ValueLink) -> bool {
        let words = &self.index.tables[link.table].columns[link.column].words;
        LEXICON.implied("where").iter().chain(&["county", "state"]).any(|it| {
            // `nation` as `country`
            let stem = LEXICON.stem(it);
            words.iter().any(|word| word == it || LEXICON.is_same(&LEXICON.stem(word), &stem))
        })
    }

    /// `went to Japan`, `shipped to Peru`: a place to which things are sent, by the name of the reference to it
    /// (`shipping_address_id`) or by its own (`ship_country`).
    fn receives(&self, link: &ValueLink, at: usize) -> bool {
        let receiving = |table: usize, column: usize| {
            self.index.tables[table].columns[column].words.iter().any(|it| {
                matches!(
                    it.as_str(),
                    "ship" | "shipping" | "shipped" | "delivery" | "destination" | "recipient"
                )
            })
        };
        let sent = at > 1
            && self.word(at - 1) == "to"
            && (2..=4).any(|back| {
                at >= back
                    && matches!(
                        self.word(at - back),
                        "ship"
                            | "ships"
                            | "shipped"
                            | "sent"
                            | "send"
                            | "deliver"
                            | "delivered"
                            | "went"
                            | "go"
                            | "goes"
                            | "dispatched"
                            | "exported"
                    )
            });
        sent && self.is_place(link)
            && (receiving(link.table, link.column)
                || self.index.edges.iter().any(|it| {
                    it.to == link.table && it.from_columns.iter().any(|at| receiving(it.from, *at))
                }))
    }

    /// Where the value was seen far away only, and what the question is about has a column called just so: that one.
    pub(super) fn nearer(&self, draft: &Draft, column: ColumnRef) -> ColumnRef {
        let Some(root) = draft.root.filter(|it| *it != column.table) else { return column };
        if self.weight[column.table] > 0.5
            || draft.joins.contains(&column.table)
            || self.index.distance(root, column.table) == Some(1)
        {
            return column;
        }
        let info = self.index.column(column);
        self.index.tables[root]
            .columns
            .iter()
            .position(|it| it.words == info.words && it.class == info.class && !it.is_id())
            .map_or(column, |it| ColumnRef::new(root, it))
    }
}

/// Whether the value was also seen in another column.
fn elsewhere(links: &[ValueLink], own: &ValueLink) -> bool {
    links.iter().any(|it| (it.table, it.column) != (own.table, own.column))
}
