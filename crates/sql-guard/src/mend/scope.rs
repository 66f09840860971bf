//! Finds what each column of a statement is, as the server would, and puts what it is now in its place: in the tree, and at
//! the same place of the text.
//!
//! The statement was good over the older catalog, so that whatever name it uses means one thing there. What cannot be
//! followed all the same blocks the fix; it is never guessed.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde_json::{Map, Value, json};

use super::figure::{inner, name_of, text};
use super::names::{ColumnAt, Names, RelationAt, TableFate};
use super::text::{Edit, Words, spelled};
use super::{Action, ResultColumn, Step, type_name};

mod capture;

/// The lowest oid that a type of the database's own has.
const FIRST_USER_OID: u32 = 16_384;

/// A column of something in FROM, or of a query's result.
#[derive(Clone, Debug)]
pub(super) struct Column {
    /// `None` where it is not known.
    name: Option<String>,
    /// The column of a relation that it is, under that relation's own name for it.
    of: Option<ColumnAt>,
    type_oid: Option<u32>,
}

/// Something in FROM.
struct Source {
    /// By which columns refer to it.
    name: String,
    /// The schema that may stand before it.
    schema: Option<String>,
    columns: Vec<Column>,
    /// Whether it may have more columns than are known.
    open: bool,
    /// Whether the relation is called otherwise now, so that its schema does not go before a column any more.
    renamed: bool,
}

/// The FROM of one SELECT.
#[derive(Default)]
struct Level {
    sources: Vec<Source>,
    /// Columns that USING makes one of two.
    merged: HashSet<String>,
}

/// What a name was found to be.
enum Found {
    Column {
        level: usize,
        source: usize,
        column: Column,
    },
    /// A column of something whose columns are not known, or no column at all.
    Unknown,
    /// Several, of which one has changed.
    Unclear,
}

pub(super) struct Resolver<'a> {
    names: &'a Names<'a>,
    words: &'a Words,
    pub(super) edits: Vec<Edit>,
    pub(super) steps: BTreeSet<Step>,
    pub(super) concerned: BTreeSet<usize>,
    /// Why there is no fix.
    pub(super) blocked: Option<String>,
    levels: Vec<Level>,
    ctes: Vec<HashMap<String, (Vec<Column>, bool)>>,
    types: HashMap<String, Option<Value>>,
}

impl<'a> Resolver<'a> {
    pub(super) fn new(names: &'a Names<'a>, words: &'a Words) -> Self {
        Self {
            names,
            words,
            edits: Vec::new(),
            steps: BTreeSet::new(),
            concerned: BTreeSet::new(),
            blocked: None,
            levels: Vec::new(),
            ctes: Vec::new(),
            types: HashMap::new(),
        }
    }

    /// Goes through a whole statement; says what its result's columns were.
    pub(super) fn statement(&mut self, tree: &mut Value) -> Vec<ResultColumn> {
        let Some(select) = tree.get_mut("SelectStmt") else { return Vec::new() };
        let columns = self.select(select, true);
        let shown = |it: Column| ResultColumn { name: it.name, type_oid: it.type_oid };
        columns.into_iter().map(shown).collect()
    }

    fn block(&mut self, why: impl Into<String>) {
        self.blocked.get_or_insert_with(|| why.into());
    }

    /// The changes that the statement meets go by their numbers.
    fn meet(&mut self, change: usize) {
        self.concerned.insert(change);
    }

    fn did(&mut self, change: usize, action: Action) {
        self.steps.insert(Step { change, action });
    }

    fn edit(&mut self, range: Option<std::ops::Range<usize>>, text: String) {
        match range {
            Some(range) => self.edits.push(Edit { range, text }),
            None => self.block("a name in the statement cannot be found again in its text"),
        }
    }

    fn select(&mut self, select: &mut Value, outermost: bool) -> Vec<Column> {
        let with = self.with_clause(select);
        let columns = if select["larg"].is_object() {
            let columns = self.select(&mut select["larg"], false);
            self.select(&mut select["rarg"], false);
            // What orders a set operation are its result's columns, and those keep their names.
            for part in ["limit_offset", "limit_count"] {
                self.expression(&mut select[part]);
            }
            columns
        } else {
            self.levels.push(Level::default());
            let columns = self.arm(select, outermost);
            self.levels.pop();
            columns
        };
        if with {
            self.ctes.pop();
        }
        columns
    }

    /// Whether there is one; its names are in scope then.
    fn with_clause(&mut self, select: &mut Value) -> bool {
        let Some(clause) = select.get_mut("with_clause").filter(|it| it.is_object()) else {
            return false;
        };
        let recursive = clause["recursive"] == true;
        self.ctes.push(HashMap::new());
        for node in clause["ctes"].as_array_mut().into_iter().flatten() {
            let Some(cte) = node.pointer_mut("/node/CommonTableExpr") else { continue };
            let name = string(&cte["ctename"]);
            if recursive {
                self.name_cte(name.clone(), Vec::new(), true);
            }
            let names = texts(&cte["aliascolnames"]);
            let extended = cte["search_clause"].is_object() || cte["cycle_clause"].is_object();
            let Some(query) = cte.pointer_mut("/ctequery/node/SelectStmt") else { continue };
            // A query in WITH does not see what stands in FROM.
            let levels = std::mem::take(&mut self.levels);
            let columns = self.select(query, false);
            self.levels = levels;
            let columns = self.renamed_by(columns, &names);
            self.name_cte(name, columns, extended);
        }
        true
    }

    fn name_cte(&mut self, name: String, columns: Vec<Column>, open: bool) {
        if let Some(scope) = self.ctes.last_mut() {
            scope.insert(name, (columns, open));
        }
    }

    /// Columns under the names that an alias gives them.
    fn renamed_by(&mut self, columns: Vec<Column>, names: &[String]) -> Vec<Column> {
        if names.is_empty() {
            return columns;
        }
        let lost = |it: &Column| {
            let fate = it.of.and_then(|it| self.names.column(it));
            fate.is_some_and(|it| it.gone.is_some())
        };
        if columns.iter().any(lost) {
            self.block("columns get other names by their places, and one of them is gone");
        }
        let mut columns = columns;
        for (at, name) in names.iter().enumerate() {
            let named = Column { name: Some(name.clone()), of: None, type_oid: None };
            match columns.get_mut(at) {
                Some(it) => *it = Column { type_oid: it.type_oid, ..named },
                None => columns.push(named),
            }
        }
        columns
    }

    /// One SELECT or VALUES.
    fn arm(&mut self, select: &mut Value, outermost: bool) -> Vec<Column> {
        for item in list(&mut select["from_clause"]) {
            self.read_from_item(item);
        }
        let values = select["values_lists"].as_array().map_or(0, Vec::len);
        if values > 0 {
            let width = select.pointer("/values_lists/0/node/List/items");
            let width = width.and_then(Value::as_array).map_or(0, Vec::len);
            self.expression(&mut select["values_lists"]);
            let named = |at| Column { name: Some(format!("column{at}")), of: None, type_oid: None };
            return (1..=width).map(named).collect();
        }
        let ordinals =
            has_ordinals(&select["sort_clause"]) || has_ordinals(&select["group_clause"]);
        let distinct = select["distinct_clause"].as_array().is_some_and(|it| !it.is_empty());
        let may_lose = outermost && !ordinals && !distinct;
        let (columns, lost) = self.targets(&mut select["target_list"], may_lose);
        let named: HashSet<String> = columns.iter().filter_map(|it| it.name.clone()).collect();
        self.expression(&mut select["where_clause"]);
        self.expression(&mut select["having_clause"]);
        self.expression(&mut select["window_clause"]);
        self.expression(&mut select["limit_offset"]);
        self.expression(&mut select["limit_count"]);
        for item in list(&mut select["group_clause"]) {
            self.grouped(item, &named);
        }
        for item in list(&mut select["sort_clause"]) {
            if let Some(by) = item.pointer_mut("/node/SortBy/node") {
                self.ordered(by, &named, &lost);
            }
        }
        for item in list(&mut select["distinct_clause"]) {
            self.ordered(item, &named, &lost);
        }
        columns
    }

    /// ORDER BY and DISTINCT ON: a name alone is a column of the result before it is one of what is read.
    fn ordered(&mut self, node: &mut Value, named: &HashSet<String>, lost: &HashSet<String>) {
        match bare_name(node) {
            Some(name) if lost.contains(&name) => {
                self.block(format!("the result is ordered by `{name}`, which is gone"));
            }
            Some(name) if named.contains(&name) => {}
            was => {
                self.expression(node);
                let now = bare_name(node).filter(|it| was.as_ref() != Some(it));
                if let Some(now) = now.filter(|it| named.contains(it)) {
                    self.block(format!(
                        "`{now}` would mean another column of the result where it stands"
                    ));
                }
            }
        }
    }

    /// GROUP BY: the other way round.
    fn grouped(&mut self, node: &mut Value, named: &HashSet<String>) {
        let here = self.levels.len().saturating_sub(1);
        match bare_name(node) {
            Some(name) if named.contains(&name) => {
                let found = self.find(std::slice::from_ref(&name));
                if matches!(found, Found::Column { level, .. } if level == here) {
                    self.expression(node);
                } else if self.comes_to(&name, here) {
                    self.block(format!("it groups by `{name}`, which would mean another column"));
                }
            }
            _ => self.expression(node),
        }
    }

    /// The select list; says what columns it gives, under the names that they had, and which of them are lost.
    fn targets(&mut self, targets: &mut Value, may_lose: bool) -> (Vec<Column>, HashSet<String>) {
        let (mut columns, mut lost, mut kept) = (Vec::new(), HashSet::new(), Vec::new());
        let all = std::mem::take(list(targets));
        let many = all.len();
        let mut places: Vec<(i64, bool)> = Vec::new();
        for mut node in all {
            let location = node.pointer("/node/ResTarget/location").and_then(Value::as_i64);
            let Some(target) = node.pointer_mut("/node/ResTarget") else {
                kept.push(node);
                continue;
            };
            let location = location.unwrap_or(-1);
            if let Some(expanded) = self.star(&mut target["val"]) {
                columns.extend(expanded);
                places.push((location, true));
                kept.push(node);
                continue;
            }
            let given = string(&target["name"]);
            let name = if given.is_empty() { name_of(&target["val"]) } else { Some(given.clone()) };
            if may_lose
                && many > 1
                && let Some(change) = self.lost_column(&target["val"])
            {
                self.meet(change);
                self.did(change, Action::LeftOut { column: name.clone().unwrap_or_default() });
                lost.extend(name);
                places.push((location, false));
                continue;
            }
            let type_oid = self.type_of(&target["val"]);
            self.expression(&mut target["val"]);
            // What reads the result goes by the name that it had.
            if given.is_empty()
                && let Some(name) = &name
                && name_of(&target["val"]).as_ref() != Some(name)
            {
                target["name"] = name.as_str().into();
                let end = self.words.end_of_target(location);
                self.edit(end.map(|end| end..end), format!(" AS {}", spelled(name)));
            }
            columns.push(Column { name, of: None, type_oid });
            places.push((location, true));
            kept.push(node);
        }
        if kept.is_empty() {
            self.block("nothing is left of what the statement selects");
        }
        self.cut(&places);
        *targets = Value::Array(kept);
        (columns, lost)
    }

    /// Takes items out of the text of a select list: each begins where it says.
    fn cut(&mut self, places: &[(i64, bool)]) {
        let mut follows_one = false;
        for (at, (location, stays)) in places.iter().enumerate() {
            if *stays {
                follows_one = true;
                continue;
            }
            let end = |it: i64| self.words.end_of_target(it);
            let range = if follows_one {
                // From the end of the one before, so that the comma goes too.
                let previous = places[..at].last().map(|it| it.0);
                previous.and_then(end).zip(end(*location)).map(|(from, to)| from..to)
            } else {
                let next = places.get(at + 1).map(|it| it.0);
                let place = |it: i64| self.words.part(it, 0).map(|it| it.start);
                place(*location).zip(next.and_then(place)).map(|(from, to)| from..to)
            };
            self.edit(range, String::new());
        }
    }

    /// The change that took away the column that this is and nothing else.
    fn lost_column(&self, node: &Value) -> Option<usize> {
        let ("ColumnRef", column) = inner(node)? else { return None };
        match self.find(&texts(&column["fields"])) {
            Found::Column { column, .. } => self.names.column(column.of?)?.gone,
            Found::Unknown | Found::Unclear => None,
        }
    }

    fn type_of(&self, node: &Value) -> Option<u32> {
        let ("ColumnRef", column) = inner(node)? else { return None };
        match self.find(&texts(&column["fields"])) {
            Found::Column { column, .. } => column.type_oid,
            Found::Unknown | Found::Unclear => None,
        }
    }

    /// The columns for which `*` or `source.*` stands in a select list; `None` if it is neither.
    fn star(&mut self, node: &mut Value) -> Option<Vec<Column>> {
        let ("ColumnRef", column) = inner(node)? else { return None };
        let last = column["fields"].as_array()?.last()?;
        inner(last).filter(|it| it.0 == "AStar")?;
        let qualifier = texts(&column["fields"]);
        let level = self.levels.len().checked_sub(1)?;
        let chosen: Vec<(usize, usize)> = if qualifier.is_empty() {
            (0..self.levels[level].sources.len()).map(|it| (level, it)).collect()
        } else {
            self.source(&qualifier).into_iter().collect()
        };
        let mut columns = Vec::new();
        for (level, source) in chosen {
            let source = &self.levels[level].sources[source];
            columns.extend(source.columns.iter().cloned());
            if source.open {
                columns.push(Column { name: None, of: None, type_oid: None });
            }
        }
        for at in columns.iter().filter_map(|it| it.of).collect::<Vec<_>>() {
            let fate = self.names.column(at);
            let met: Vec<usize> = fate
                .map(|it| {
                    [
                        it.gone,
                        it.renamed.as_ref().map(|it| it.0),
                        it.retyped.as_ref().map(|it| it.0),
                    ]
                })
                .into_iter()
                .flatten()
                .flatten()
                .collect();
            self.concerned.extend(met);
        }
        self.column(node);
        Some(columns)
    }

    fn read_from_item(&mut self, node: &mut Value) {
        let Some((kind, item)) = inner_mut(node) else { return };
        match kind.as_str() {
            "RangeVar" => self.range_var(item),
            "JoinExpr" => self.join(item),
            "RangeSubselect" => {
                let lateral = item["lateral"] == true;
                let Some(query) = item.pointer_mut("/subquery/node/SelectStmt") else { return };
                let hidden = if lateral { None } else { self.levels.pop() };
                let columns = self.select(query, false);
                self.levels.extend(hidden);
                let columns = self.renamed_by(columns, &texts(&item["alias"]["colnames"]));
                self.push(string(&item["alias"]["aliasname"]), columns, false);
            }
            "RangeTableSample" => {
                self.read_from_item(&mut item["relation"]);
                self.expression(&mut item["args"]);
                self.expression(&mut item["repeatable"]);
            }
            _ => {
                self.expression(item);
                let alias = string(&item["alias"]["aliasname"]);
                let called = item.pointer("/functions/0/node/List/items/0/node/FuncCall/funcname");
                let called = called.map(texts).and_then(|mut it| it.pop());
                let name = if alias.is_empty() { called.unwrap_or_default() } else { alias };
                let names = texts(&item["alias"]["colnames"]);
                let columns = self.renamed_by(Vec::new(), &names);
                self.push(name, columns, true);
            }
        }
    }

    fn push(&mut self, name: String, columns: Vec<Column>, open: bool) {
        let source = Source { name, schema: None, columns, open, renamed: false };
        if let Some(level) = self.levels.last_mut() {
            level.sources.push(source);
        }
    }

    fn range_var(&mut self, item: &mut Value) {
        let (schema, name) = (string(&item["schemaname"]), string(&item["relname"]));
        let alias = string(&item["alias"]["aliasname"]);
        let given = texts(&item["alias"]["colnames"]);
        let called = if alias.is_empty() { name.clone() } else { alias.clone() };
        if schema.is_empty()
            && let Some((columns, open)) = self.ctes.iter().rev().find_map(|it| it.get(&name))
        {
            let (columns, open) = (columns.clone(), *open);
            let columns = self.renamed_by(columns, &given);
            self.push(called, columns, open);
            return;
        }
        let Some(at) = self.names.relation(&schema, &name) else {
            self.block(format!("`{name}` was no table that this connection knew"));
            self.push(called, Vec::new(), true);
            return;
        };
        let renamed = self.table(at, item, (&schema, &name), alias.is_empty());
        let relation = &self.names.before.relations[at];
        let columns = relation.columns.iter().enumerate().map(|(place, it)| Column {
            name: Some(it.name.clone()),
            of: Some((at, place)),
            // Of a domain the server tells the type under it.
            type_oid: Some(it.type_oid).filter(|it| (1..FIRST_USER_OID).contains(it)),
        });
        let columns = columns.collect();
        let columns = self.renamed_by(columns, &given);
        let source = Source {
            name: called,
            schema: alias.is_empty().then(|| relation.schema.clone()),
            columns,
            open: false,
            renamed,
        };
        if let Some(level) = self.levels.last_mut() {
            level.sources.push(source);
        }
    }

    /// Puts a relation's new name in the place of its old one; says whether it has one.
    fn table(
        &mut self,
        at: RelationAt,
        item: &mut Value,
        (schema, name): (&str, &str),
        unaliased: bool,
    ) -> bool {
        let names = self.names;
        for change in names.whole(at) {
            self.meet(*change);
        }
        match names.table(at) {
            None => false,
            Some(TableFate::Gone { change }) => {
                self.meet(*change);
                self.block(format!("`{name}` is gone, and nothing took its place for certain"));
                false
            }
            Some(TableFate::Renamed { change, schema: new_schema, name: new_name }) => {
                self.meet(*change);
                self.did(*change, Action::Renamed);
                let named_with = self.ctes.iter().any(|it| it.contains_key(new_name));
                let alone =
                    schema.is_empty() && !named_with && names.is_found(new_schema, new_name);
                let location = item["location"].as_i64().unwrap_or(-1);
                let parts = [&item["catalogname"], &item["schemaname"]];
                let parts = parts.into_iter().filter(|it| !string(it).is_empty()).count();
                let place = self.words.part(location, 0).zip(self.words.part(location, parts));
                let mut written = spelled(new_name);
                if !alone {
                    written = format!("{}.{written}", spelled(new_schema));
                }
                // Columns go on referring to it by the name that it had.
                if unaliased {
                    written = format!("{written} AS {}", spelled(name));
                    item["alias"] = json!({ "aliasname": name, "colnames": [] });
                }
                item["catalogname"] = "".into();
                item["schemaname"] = if alone { "" } else { new_schema.as_str() }.into();
                item["relname"] = new_name.as_str().into();
                self.edit(place.map(|(first, last)| first.start..last.end), written);
                true
            }
        }
    }

    fn join(&mut self, item: &mut Value) {
        let begins = self.levels.last().map_or(0, |it| it.sources.len());
        self.read_from_item(&mut item["larg"]);
        self.read_from_item(&mut item["rarg"]);
        let using = texts(&item["using_clause"]);
        let natural = item["is_natural"] == true;
        let sources = self.levels.last().map_or(&[][..], |it| &it.sources[begins..]);
        let columns = sources.iter().flat_map(|it| &it.columns);
        let met: Vec<(String, usize)> = columns
            .filter(|it| natural || it.name.as_ref().is_some_and(|it| using.contains(it)))
            .filter_map(|it| {
                let fate = self.names.column(it.of?)?;
                let (renamed, retyped) = (fate.renamed.as_ref(), fate.retyped.as_ref());
                let change = fate.gone.or(renamed.map(|it| it.0)).or(retyped.map(|it| it.0))?;
                Some((it.name.clone()?, change))
            })
            .collect();
        for (name, change) in met {
            self.meet(change);
            self.block(format!("a join goes by the name `{name}`, which has changed on one side"));
        }
        self.expression(&mut item["quals"]);
        if let Some(level) = self.levels.last_mut() {
            level.merged.extend(using);
        }
        let alias = string(&item["alias"]["aliasname"]);
        if alias.is_empty() {
            return;
        }
        let Some(level) = self.levels.last_mut() else { return };
        let inside = level.sources.split_off(begins);
        let open = inside.iter().any(|it| it.open);
        let columns = inside.into_iter().flat_map(|it| it.columns).collect();
        let columns = self.renamed_by(columns, &texts(&item["alias"]["colnames"]));
        self.push(alias, columns, open);
    }

    /// Whatever stands in an expression, a list of expressions, or nothing.
    fn expression(&mut self, value: &mut Value) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(|it| self.expression(it)),
            Value::Object(fields) => {
                let kind = fields.get("node").and_then(Value::as_object);
                let kind = kind.and_then(|it| it.keys().next()).map(String::as_str);
                match kind {
                    Some("ColumnRef") => self.column(value),
                    Some("SelectStmt") => {
                        self.select(&mut value["node"]["SelectStmt"], false);
                    }
                    _ => fields.values_mut().for_each(|it| self.expression(it)),
                }
            }
            _ => {}
        }
    }

    /// The source that a qualifier means.
    fn source(&self, qualifier: &[String]) -> Option<(usize, usize)> {
        let name = qualifier.last()?;
        let schema = qualifier.len().checked_sub(2).map(|at| &qualifier[at]);
        let fits = |it: &Source| {
            it.name == *name && schema.is_none_or(|schema| it.schema.as_ref() == Some(schema))
        };
        let mut levels = self.levels.iter().enumerate().rev();
        levels.find_map(|(at, level)| Some((at, level.sources.iter().position(&fits)?)))
    }

    fn find(&self, fields: &[String]) -> Found {
        let Some((name, qualifier)) = fields.split_last() else { return Found::Unknown };
        let has = |it: &&Column| it.name.as_ref() == Some(name);
        if !qualifier.is_empty() {
            let Some((level, source)) = self.source(qualifier) else { return Found::Unknown };
            let columns = &self.levels[level].sources[source].columns;
            return match columns.iter().find(has) {
                Some(column) => Found::Column { level, source, column: column.clone() },
                None => Found::Unknown,
            };
        }
        let mut hidden = false;
        for (at, level) in self.levels.iter().enumerate().rev() {
            let hits: Vec<(usize, &Column)> = level
                .sources
                .iter()
                .enumerate()
                .filter_map(|(at, it)| Some((at, it.columns.iter().find(has)?)))
                .collect();
            let changed = |it: &Column| it.of.is_some_and(|it| self.names.column(it).is_some());
            match hits.as_slice() {
                [] => hidden |= level.sources.iter().any(|it| it.open),
                [(_, column)] if hidden && changed(column) => return Found::Unclear,
                [(source, column), rest @ ..] => {
                    if !rest.is_empty()
                        && !level.merged.contains(name)
                        && hits.iter().any(|it| changed(it.1))
                    {
                        return Found::Unclear;
                    }
                    return Found::Column { level: at, source: *source, column: (*column).clone() };
                }
            }
        }
        Found::Unknown
    }

    /// A column wherever it stands.
    fn column(&mut self, node: &mut Value) {
        let names = self.names;
        let Some(column) = node.pointer("/node/ColumnRef") else { return };
        let location = column["location"].as_i64().unwrap_or(-1);
        let fields = texts(&column["fields"]);
        let is_star = column["fields"].as_array().is_some_and(|it| it.len() > fields.len());
        let qualifier =
            if is_star { &fields[..] } else { &fields[..fields.len().saturating_sub(1)] };
        // A schema before the table's name, which the alias that it has now does not have.
        let renamed = |at: (usize, usize)| self.levels[at.0].sources[at.1].renamed;
        if qualifier.len() > 1 && self.source(qualifier).is_some_and(renamed) {
            let cut = qualifier.len() - 1;
            let range = self.words.prefix(location, cut);
            self.edit(range, String::new());
            if let Some(fields) = node.pointer_mut("/node/ColumnRef/fields") {
                list(fields).drain(..cut);
            }
        }
        if is_star {
            return;
        }
        let (level, source, found) = match self.find(&fields) {
            Found::Column { level, source, column } => (level, source, column),
            Found::Unknown => {
                if let Some((level, source)) = self.source(&fields) {
                    let columns = &self.levels[level].sources[source].columns;
                    let changed = |it: &Column| it.of.is_some_and(|it| names.column(it).is_some());
                    if columns.iter().any(changed) {
                        let rows = fields.join(".");
                        self.block(format!("whole rows of `{rows}` have other columns now"));
                    }
                }
                return;
            }
            Found::Unclear => {
                let name = fields.join(".");
                self.block(format!("whose column `{name}` is cannot be told"));
                return;
            }
        };
        let nearer = level + 1..self.levels.len();
        if let [name] = fields.as_slice()
            && nearer.clone().any(|it| self.comes_to(name, it))
        {
            self.block(format!("`{name}` would mean another column where it stands"));
        }
        let Some(at) = found.of else { return };
        let of_type = names.before.relations[at.0].columns[at.1].type_name.as_str();
        self.concerned.extend(names.of_type(of_type));
        let Some(fate) = names.column(at) else { return };
        if let Some(change) = fate.gone {
            self.meet(change);
            let name = fields.join(".");
            self.block(format!("`{name}` is gone, and more than the result's columns need it"));
            return;
        }
        if let Some((change, new)) = &fate.renamed {
            self.meet(*change);
            self.did(*change, Action::Renamed);
            let mut written = spelled(new);
            let mut last = vec![string_node(new)];
            let is_taken = self.is_taken(new, (level, source))
                || nearer.clone().any(|it| self.comes_to(new, it));
            if fields.len() == 1 && is_taken {
                let source = self.levels[level].sources[source].name.clone();
                let shadowed =
                    self.source(std::slice::from_ref(&source)).map(|it| it.0) != Some(level);
                if source.is_empty() || shadowed {
                    self.block(format!("`{new}` would mean another column where it stands"));
                }
                written = format!("{}.{written}", spelled(&source));
                last.insert(0, string_node(&source));
            }
            let place = self.words.part(location, fields.len() - 1);
            self.edit(place, written);
            if let Some(fields) = node.pointer_mut("/node/ColumnRef/fields") {
                let fields = list(fields);
                fields.pop();
                fields.extend(last);
            }
        }
        if let Some((change, was)) = &fate.retyped {
            self.meet(*change);
            self.did(*change, Action::Cast { to: was.clone() });
            let end = self.words.part(location, fields.len() - 1).map(|it| it.end);
            self.edit(end.map(|it| it..it), format!("::{was}"));
            let known = self.types.entry(was.clone()).or_insert_with(|| type_name(was));
            match known.clone() {
                Some(type_name) => {
                    let inner = node.take();
                    *node = json!({ "node": { "TypeCast":
                        { "arg": inner, "type_name": type_name, "location": -1 } } });
                }
                None => self.block(format!("`{was}` cannot be written as a type")),
            }
        }
    }
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn string_node(text: &str) -> Value {
    json!({ "node": { "String": { "sval": text } } })
}

/// The texts among the nodes of a list.
fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(text).map(str::to_owned).collect()
}

/// The items of a list; an empty one takes the place of what is none.
fn list(value: &mut Value) -> &mut Vec<Value> {
    if !value.is_array() {
        *value = Value::Array(Vec::new());
    }
    match value {
        Value::Array(items) => items,
        _ => unreachable!("made above"),
    }
}

fn inner_mut(node: &mut Value) -> Option<(String, &mut Value)> {
    let fields: &mut Map<String, Value> = node.get_mut("node")?.as_object_mut()?;
    fields.iter_mut().next().map(|(kind, it)| (kind.clone(), it))
}

/// The name that a node is and nothing else.
fn bare_name(node: &Value) -> Option<String> {
    let ("ColumnRef", column) = inner(node)? else { return None };
    let fields = column["fields"].as_array()?;
    let [only] = fields.as_slice() else { return None };
    text(only).map(str::to_owned)
}

/// Whether items say by numbers which column they mean.
fn has_ordinals(items: &Value) -> bool {
    let is_number = |it: &Value| {
        let it = it.pointer("/node/SortBy/node").unwrap_or(it);
        it.pointer("/node/AConst/val/Ival").is_some()
    };
    items.as_array().is_some_and(|it| it.iter().any(is_number))
}
