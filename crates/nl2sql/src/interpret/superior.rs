//! Whom or what each row is under, by a table's reference to itself: `… and who their manager is`, `with the one above it`;
//! and people by where they belong: `everyone in Engineering`.

use super::{Asked, Condition, Draft, GroupKey, Hand, Interpreter, Mode};
use crate::{
    index::Edge,
    lexicon::LEXICON,
    link::{Meaning, ValueLink},
    logical::{ColumnRef, Expr, Literal, Predicate},
    token::normalized,
};

impl Interpreter<'_> {
    /// The reference of a table to itself.
    fn upwards(&self, table: usize) -> Option<&Edge> {
        self.index.edges_of[table]
            .iter()
            .map(|it| &self.index.edges[*it])
            .find(|it| it.from == it.to && it.from_columns.len() == 1)
    }

    /// The column of a table that refers to the row above.
    pub(super) fn superior_of(&self, table: usize) -> Option<ColumnRef> {
        self.upwards(table).map(|it| ColumnRef::new(table, it.from_columns[0]))
    }

    /// Whether a word is one for the row that a reference of a table to itself leads to.
    pub(super) fn calls_superior(&self, superior: ColumnRef, word: &str) -> bool {
        let stem = LEXICON.stem(&LEXICON.lemma(word));
        let info = self.index.column(superior);
        let own = |it: &str| info.words.iter().any(|word| LEXICON.stem(word) == it);
        own(&stem) || LEXICON.synonyms(&stem).iter().any(|it| own(it))
    }

    /// `managers with at least 8 people reporting to them`: those to whom so many rows of the table refer.
    pub(super) fn read_heads(
        &mut self,
        draft: &mut Draft,
        hand: &mut Hand,
        mode: &mut Mode,
        at: usize,
        end: usize,
    ) -> Option<usize> {
        if *mode != Mode::Select || draft.asks_something() || !self.items[at].lower.ends_with('s') {
            return None;
        }
        let root = draft.root?;
        let edge = self.upwards(root)?;
        let superior = ColumnRef::new(root, edge.from_columns[0]);
        if !self.calls_superior(superior, self.word(at)) {
            return None;
        }
        let mut next = at + 1;
        while matches!(
            self.word(next),
            "with" | "who" | "that" | "have" | "has" | "lead" | "manage"
        ) {
            next += 1;
        }
        let comparator = self.comparator(next).filter(|_| next > at + 1)?;
        let value = self.number(comparator.next)?;
        let mut until = comparator.next + 1;
        let thing = self.table_at(until) == Some(root)
            || matches!(self.word(until), "people" | "persons" | "reports" | "direct" | "others");
        if !thing {
            return None;
        }
        while until < end
            && (self.table_at(until) == Some(root)
                || matches!(
                    self.word(until),
                    "people"
                        | "persons"
                        | "direct"
                        | "reports"
                        | "others"
                        | "reporting"
                        | "report"
                        | "to"
                        | "under"
                        | "below"
                        | "beneath"
                        | "working"
                        | "them"
                        | "him"
                        | "her"
                        | "who"
                        | "that"
                ))
        {
            until += 1;
        }
        let having = Predicate::Compare(
            Expr::count(),
            comparator.comparison,
            Expr::Literal(Literal::Number(value)),
        );
        let of = GroupKey::Parent(root);
        draft.groups.push(of.clone());
        draft.ask(Asked::Count { table: Some(root), column: None, distinct: false });
        draft.add(Condition::Group { of, having, joins: None }, false);
        self.spent.extend(at..until);
        self.weight[root] = self.weight[root].max(0.9);
        hand.column = None;
        hand.count = false;
        Some(until)
    }

    /// `and who their manager is`, `together with the one above it`: beside each row the one that it refers to.
    pub(super) fn read_superior(
        &mut self,
        draft: &mut Draft,
        hand: &mut Hand,
        _mode: &mut Mode,
        at: usize,
        end: usize,
    ) -> Option<usize> {
        let mut next = match self.word(at) {
            "and" | "with" | "plus" | "including" => at + 1,
            "together" | "along" if self.word(at + 1) == "with" => at + 2,
            _ => return None,
        };
        let root = draft.root?;
        let edge = self.upwards(root)?;
        let superior = ColumnRef::new(root, edge.from_columns[0]);
        let rows_asked = draft.asked.iter().all(|it| {
            matches!(it, Asked::Rows(table) if *table == root)
                || matches!(it, Asked::Column(it) if it.table == root)
        });
        if !rows_asked || hand.count || draft.limit.is_some() {
            return None;
        }
        let led = next;
        while next < end
            && matches!(
                self.word(next),
                "who" | "the" | "their" | "its" | "his" | "her" | "name" | "names" | "of" | "each"
            )
        {
            next += 1;
        }
        if next == led || next >= end {
            return None;
        }
        let called = |word: &str| self.calls_superior(superior, word);
        let above = self.word(next) == "one" && self.word(next + 1) == "above";
        if above {
            next += 2;
        } else if !self.word(next).contains(' ') && called(self.word(next)) {
            next += 1;
        } else {
            return None;
        }
        while next < end && matches!(self.word(next), "is" | "are" | "it" | "them" | "name") {
            next += 1;
        }
        if next < end && self.is_name(next) {
            return None;
        }
        if draft.asked.is_empty() {
            draft.ask(Asked::Rows(root));
        }
        for column in self.index.tables[root].display.clone() {
            draft.ask(Asked::Column(ColumnRef { table: root, column, role: 1 }));
        }
        draft.outer = true;
        self.spent.extend(at..next);
        hand.column = None;
        Some(next)
    }

    /// The table of people who did what a verb says to rows of a table, by the name of the reference to them or by what is
    /// written about it: `approved_by`, `Employee who approved it`.
    pub(super) fn who_did(&self, table: usize, verb: usize) -> Option<usize> {
        let token = &self.tokens[self.items[verb].first];
        if token.lower == token.lemma && !token.lower.ends_with("ed")
            || LEXICON.is_stop(&token.lower)
        {
            return None;
        }
        let mut all = self.index.edges_of[table]
            .iter()
            .map(|it| &self.index.edges[*it])
            .filter(|it| it.from == table && self.index.tables[it.to].display.len() == 2)
            .filter(|it| {
                it.from_columns.iter().any(|at| {
                    let info = &self.index.tables[table].columns[*at];
                    let comment = normalized(info.comment.as_deref().unwrap_or_default());
                    info.words.iter().any(|it| *it == token.lower || *it == token.lemma)
                        || comment.split(' ').any(|it| it == token.lower)
                })
            });
        let first = all.next()?;
        all.next().is_none().then_some(first.to)
    }

    /// The people who belong to what a value names, where a question begins with them and names no table: `everyone in
    /// Engineering`.
    pub(super) fn people_of(&self, from: usize, until: usize) -> Option<usize> {
        if !matches!(
            self.word(from),
            "who" | "everyone" | "everybody" | "anyone" | "people" | "all" | "those"
        ) {
            return None;
        }
        let people = |table: usize| self.index.tables[table].display.len() == 2;
        let of = |links: &[ValueLink]| {
            let place = links.first()?.table;
            let mut all = (0..self.index.tables.len()).filter(|it| {
                people(*it)
                    && self.index.distance(*it, place) == Some(1)
                    && self.single(*it, place)
                    && !people(place)
            });
            let first = all.next()?;
            all.next().is_none().then_some(first)
        };
        (from + 1..until).find_map(|at| match &self.items[at].meaning {
            Meaning::Value(links) if !links.is_empty() => of(links),
            _ => None,
        })
    }
}
