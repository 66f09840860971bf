use pg_query::NodeEnum;
use pg_query::protobuf::{
    CommonTableExpr, GroupingSet, GroupingSetKind, Node, SelectStmt, WindowDef, WithClause,
};

use super::{Columns, Cte, Walker};
use crate::rejection::{Rejection, Rule};

/// The most columns a result can have (Postgres's `MaxTupleAttributeNumber`).
const MAX_COLUMNS: usize = 1664;

/// The most combinations of grouping columns. Each is planned on its own, and planning does not look at the time
/// limit: `CUBE` of twelve columns has 4,096.
const MAX_GROUPING_SETS: usize = 512;

impl<'a> Walker<'a> {
    pub(super) fn select(&mut self, select: &'a SelectStmt) -> Result<(), Rejection> {
        if select.into_clause.is_some() {
            return Err(Rejection::new(
                Rule::SelectInto,
                "SELECT … INTO makes a table; remove the INTO clause",
            ));
        }
        if !select.locking_clause.is_empty() {
            return Err(Rejection::new(
                Rule::RowLock,
                "FOR UPDATE, FOR SHARE and the like lock rows; remove the locking clause",
            ));
        }
        let columns = select
            .target_list
            .len()
            .max(select.values_lists.iter().map(|it| list(it).len()).max().unwrap_or_default());
        if columns > MAX_COLUMNS {
            let message =
                format!("the result would have {columns} columns; {MAX_COLUMNS} is the most");
            return Err(Rejection::new(Rule::TooComplex, message));
        }
        if let Some(with) = &select.with_clause {
            self.ctes.push(Vec::with_capacity(with.ctes.len()));
            self.with(with)?;
        }
        self.levels.push(Vec::new());
        match (&select.larg, &select.rarg) {
            (None, None) => {}
            (left, right) => {
                for arm in [left, right].into_iter().flatten() {
                    self.select(arm)?;
                }
            }
        }
        for item in &select.from_clause {
            self.source_item(item)?;
        }
        self.expressions(&select.distinct_clause)?;
        self.expressions(&select.target_list)?;
        self.optional(select.where_clause.as_deref())?;
        if select.group_distinct {
            self.since(140_000, "GROUP BY DISTINCT", -1)?;
        }
        self.grouping(&select.group_clause)?;
        self.optional(select.having_clause.as_deref())?;
        self.expressions(&select.window_clause)?;
        self.expressions(&select.values_lists)?;
        self.expressions(&select.sort_clause)?;
        self.optional(select.limit_offset.as_deref())?;
        self.optional(select.limit_count.as_deref())?;
        self.levels.pop();
        if select.with_clause.is_some() {
            self.ctes.pop();
        }
        Ok(())
    }

    /// A query within parentheses, of FROM or of an expression.
    pub(super) fn subquery(&mut self, node: Option<&'a Node>) -> Result<(), Rejection> {
        match node.and_then(|it| it.node.as_ref()) {
            Some(NodeEnum::SelectStmt(select)) => self.select(select),
            _ => {
                Err(Rejection::new(Rule::NotASelect, "only a SELECT may stand inside a statement"))
            }
        }
    }

    /// In `WITH RECURSIVE` every name is known in every body; without it, a body knows the names before its own only, and
    /// by its own name reads the real table.
    pub(super) fn with(&mut self, with: &'a WithClause) -> Result<(), Rejection> {
        let mut bodies = Vec::with_capacity(with.ctes.len());
        for node in &with.ctes {
            let Some(NodeEnum::CommonTableExpr(cte)) = &node.node else {
                return Err(Rejection::new(
                    Rule::UnsupportedSyntax,
                    "this WITH clause is not supported",
                ));
            };
            let query = cte.ctequery.as_ref().and_then(|it| it.node.as_ref());
            let Some(NodeEnum::SelectStmt(select)) = query else {
                return Err(self.refuse(
                    Rule::DataModifyingCte,
                    format!("`{}` in WITH changes data; only SELECT may stand there", cte.ctename),
                    cte.location,
                ));
            };
            let columns =
                if cte.aliascolnames.is_empty() { Columns::Select(select) } else { Columns::Row };
            bodies.push((
                Cte { name: cte.ctename.as_str(), columns },
                cte.as_ref(),
                select.as_ref(),
            ));
        }
        if with.recursive {
            for (name, ..) in &bodies {
                self.declare(*name);
            }
        }
        for (name, cte, select) in bodies {
            self.note_names(&cte.aliascolnames);
            self.select(select)?;
            self.cte_clauses(cte)?;
            if !with.recursive {
                self.declare(name);
            }
        }
        Ok(())
    }

    fn declare(&mut self, cte: Cte<'a>) {
        if let Some(scope) = self.ctes.last_mut() {
            scope.push(cte);
        }
    }

    fn cte_clauses(&mut self, cte: &'a CommonTableExpr) -> Result<(), Rejection> {
        if let Some(search) = &cte.search_clause {
            self.since(140_000, "SEARCH", search.location)?;
            self.names.insert(&search.search_seq_column);
        }
        if let Some(cycle) = &cte.cycle_clause {
            self.since(140_000, "CYCLE", cycle.location)?;
            self.names.insert(&cycle.cycle_mark_column);
            self.names.insert(&cycle.cycle_path_column);
            // The mark is compared by the operator of its type.
            self.operator_named("=", cycle.location)?;
            self.optional(cycle.cycle_mark_value.as_deref())?;
            self.optional(cycle.cycle_mark_default.as_deref())?;
        }
        Ok(())
    }

    fn grouping(&mut self, items: &'a [Node]) -> Result<(), Rejection> {
        let mut sets = 1_usize;
        for item in items {
            if let Some(NodeEnum::GroupingSet(set)) = &item.node {
                sets = sets.saturating_mul(count_sets(set));
            }
            if sets > MAX_GROUPING_SETS {
                let message = format!(
                    "the grouping makes more than {MAX_GROUPING_SETS} combinations; group by fewer columns, or name \
                     the GROUPING SETS that are needed"
                );
                return Err(Rejection::new(Rule::TooComplex, message));
            }
        }
        self.expressions(items)
    }

    pub(super) fn window(&mut self, window: &'a WindowDef) -> Result<(), Rejection> {
        self.expressions(&window.partition_clause)?;
        self.expressions(&window.order_clause)?;
        self.optional(window.start_offset.as_deref())?;
        self.optional(window.end_offset.as_deref())
    }
}

fn count_sets(set: &GroupingSet) -> usize {
    let items = set.content.len();
    match set.kind() {
        GroupingSetKind::GroupingSetRollup => items + 1,
        GroupingSetKind::GroupingSetCube => {
            u32::try_from(items).ok().and_then(|it| 1_usize.checked_shl(it)).unwrap_or(usize::MAX)
        }
        GroupingSetKind::GroupingSetSets => set
            .content
            .iter()
            .map(|it| match &it.node {
                Some(NodeEnum::GroupingSet(inner)) => count_sets(inner),
                _ => 1,
            })
            .fold(0, usize::saturating_add),
        GroupingSetKind::GroupingSetEmpty
        | GroupingSetKind::GroupingSetSimple
        | GroupingSetKind::Undefined => 1,
    }
}

pub(super) fn list(node: &Node) -> &[Node] {
    match &node.node {
        Some(NodeEnum::List(list)) => &list.items,
        _ => std::slice::from_ref(node),
    }
}
