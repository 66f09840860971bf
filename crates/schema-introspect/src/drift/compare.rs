use std::collections::HashMap;

use super::pairs::{self, Kinship};
use super::texts::{
    action_name, deferral, describe, generation, key_text, kind_name, summary, type_text,
};
use super::{Aspect, Change, ChangeKind, ObjectKind};
use crate::visible::{Visible, readable_columns, readable_names, readable_text};
use crate::{Column, ReferenceAction, Relation, RelationKind, UserType, UserTypeKind};

/// What somebody sees who may see `before` and `after`: every difference, tables in order of their names.
pub fn changes_between(before: &Visible<'_>, after: &Visible<'_>) -> Vec<Change> {
    let mut drift = Drift { before, after, renamed: HashMap::new(), changes: Vec::new() };
    drift.types();
    drift.tables();
    let mut changes = drift.changes;
    changes.sort_by(|a, b| place(a).cmp(&place(b)));
    changes
}

/// Types last; of each table its own changes first.
fn place(of: &Change) -> (bool, &str, ObjectKind, &str, ChangeKind, Option<Aspect>) {
    let table = of.table.as_deref().unwrap_or(&of.name);
    (of.table.is_none(), table, of.object, &of.name, of.kind, of.aspect)
}

struct Drift<'v, 'a> {
    before: &'v Visible<'a>,
    after: &'v Visible<'a>,
    /// From a table's former full name to its new one.
    renamed: HashMap<String, String>,
    changes: Vec<Change>,
}

/// Two tables that are taken for one.
struct Same<'a> {
    old: &'a Relation,
    new: &'a Relation,
    /// From a column's former name to its new one.
    columns: HashMap<&'a str, &'a str>,
}

impl<'a> Drift<'_, 'a> {
    /// Whether both catalogs are of one database, so that an oid means the same in both: of a copy that was restored
    /// elsewhere hardly any table has its old number.
    fn same_database(&self) -> bool {
        let old = self.before.relations();
        let both = old.filter_map(|it| Some((it.oid, self.after.find(&it.schema, &it.name)?.oid)));
        let (same, other): (Vec<_>, Vec<_>) = both.partition(|it| it.0 == it.1);
        same.len() > other.len()
    }

    fn tables(&mut self) {
        let (before, after) = (self.before, self.after);
        let same_database = self.same_database();
        let gone: Vec<&'a Relation> =
            before.relations().filter(|it| after.find(&it.schema, &it.name).is_none()).collect();
        let come: Vec<&'a Relation> =
            after.relations().filter(|it| before.find(&it.schema, &it.name).is_none()).collect();
        let pairs = pairs::tables(&gone, &come, same_database);
        let mut both: Vec<(&'a Relation, &'a Relation)> = before
            .relations()
            .filter_map(|it| Some((it, after.find(&it.schema, &it.name)?)))
            .collect();
        for pair in &pairs {
            let (old, new) = (gone[pair.before], come[pair.after]);
            both.push((old, new));
            self.renamed.insert(old.full_name(), new.full_name());
            self.changes.push(Change {
                kind: ChangeKind::Renamed,
                before: Some(old.full_name()),
                after: Some(new.full_name()),
                confidence: Some(rounded(pair.confidence)),
                breaking: true,
                ..table_change(new)
            });
        }
        for (at, old) in gone.iter().enumerate() {
            if !pairs.iter().any(|it| it.before == at) {
                let before = Some(summary(old));
                let breaking = true;
                let kind = ChangeKind::Removed;
                self.changes.push(Change { kind, before, breaking, ..table_change(old) });
            }
        }
        for (at, new) in come.iter().enumerate() {
            if !pairs.iter().any(|it| it.after == at) {
                let after = Some(summary(new));
                self.changes.push(Change { kind: ChangeKind::Added, after, ..table_change(new) });
            }
        }
        for (old, new) in both {
            self.table(old, new, same_database);
        }
    }

    fn table(&mut self, old: &'a Relation, new: &'a Relation, same_database: bool) {
        let table = table_change(new);
        let kind_of = |it: &Relation| Some(kind_name(it.kind).to_owned());
        self.aspect(&table, Aspect::Kind, kind_of(old), kind_of(new), false);
        self.aspect(&table, Aspect::Comment, old.comment.clone(), new.comment.clone(), false);
        let security = |it: &Relation| it.row_security.then(|| "restricted".to_owned());
        self.aspect(&table, Aspect::RowSecurity, security(old), security(new), true);
        let (was, is) = (partitioning(self.before, old), partitioning(self.after, new));
        let was = was.map(|it| self.renamed.get(&it).cloned().unwrap_or(it));
        self.aspect(&table, Aspect::Partitioning, was, is, false);
        if old.definition.is_some() && new.definition.is_some() && old.definition != new.definition
        {
            let text = |it: Option<&str>| it.map(str::to_owned);
            self.changes.push(Change {
                aspect: Some(Aspect::Definition),
                before: text(self.before.definition(old)),
                after: text(self.after.definition(new)),
                breaking: true,
                ..table
            });
        }
        let numbered = |it: &Visible<'_>| it.catalog().revision >= 1;
        let kinship = match same_database && old.oid == new.oid {
            true if numbered(self.before) && numbered(self.after) => Kinship::Numbered,
            true => Kinship::Same,
            false => Kinship::Alike,
        };
        let pairs = pairs::columns(old, new, kinship);
        let mut same = Same { old, new, columns: HashMap::new() };
        for pair in pairs {
            let (was, is) = (&old.columns[pair.before], &new.columns[pair.after]);
            same.columns.insert(&was.name, &is.name);
            self.changes.push(Change {
                kind: ChangeKind::Renamed,
                before: Some(was.name.clone()),
                after: Some(is.name.clone()),
                confidence: Some(rounded(pair.confidence)),
                breaking: true,
                ..column_change(new, is)
            });
        }
        self.columns(&same, same_database);
        self.parts(&same);
    }

    fn columns(&mut self, same: &Same<'a>, same_database: bool) {
        let Same { old, new, columns } = same;
        for was in readable_columns(old) {
            let now = columns.get(was.name.as_str()).copied().unwrap_or(&was.name);
            let is = readable_columns(new).find(|it| it.name == now);
            match is {
                Some(is) => self.column(same, was, is, same_database),
                None => self.changes.push(Change {
                    kind: ChangeKind::Removed,
                    before: Some(describe(old, was)),
                    breaking: true,
                    ..column_change(new, was)
                }),
            }
        }
        for is in readable_columns(new) {
            let known = readable_columns(old).any(|it| it.name == is.name)
                || columns.values().any(|it| *it == is.name);
            if !known {
                self.changes.push(Change {
                    kind: ChangeKind::Added,
                    after: Some(describe(new, is)),
                    ..column_change(new, is)
                });
            }
        }
    }

    fn column(&mut self, same: &Same<'a>, was: &Column, is: &Column, same_database: bool) {
        let column = column_change(same.new, is);
        // A type that was renamed, or is found along another search path now, is still the same type.
        let modifier = |it: &Column| it.type_name.split_once('(').map(|it| it.1.to_owned());
        let same_type = same_database
            && was.type_oid == is.type_oid
            && was.type_oid != 0
            && modifier(was) == modifier(is);
        let collation = |it: &Column| {
            let collation = it.collation.as_ref().map(|it| format!(" COLLATE {it}"));
            collation.unwrap_or_default()
        };
        if !same_type || collation(was) != collation(is) {
            let text = |it: &Column| Some(format!("{}{}", it.type_name, collation(it)));
            self.aspect(&column, Aspect::Type, text(was), text(is), true);
        }
        let nullable = |it: &Column| Some(if it.nullable { "null" } else { "not null" }.to_owned());
        self.aspect(&column, Aspect::Nullable, nullable(was), nullable(is), false);
        let default = |it: &Column| it.default.clone().filter(|_| !it.generated);
        self.aspect(&column, Aspect::Default, default(was), default(is), false);
        let generated = |table: &Relation, it: &Column| generation(table, it);
        self.aspect(
            &column,
            Aspect::Generated,
            generated(same.old, was).map(|it| rewritten(&it, &same.columns)),
            generated(same.new, is),
            false,
        );
        self.aspect(&column, Aspect::Comment, was.comment.clone(), is.comment.clone(), false);
    }

    /// Keys, references, constraints and indexes.
    fn parts(&mut self, same: &Same<'a>) {
        let Same { old, new, columns } = same;
        let keys = |of: &'a Relation, primary: bool| -> Vec<Part> {
            let all = of.keys.iter().filter(|it| it.primary == primary);
            all.filter_map(|it| Some((it.name.clone(), key_text(of, it)?))).collect()
        };
        for (object, primary) in [(ObjectKind::PrimaryKey, true), (ObjectKind::UniqueKey, false)] {
            let was = with_new_names(keys(old, primary), columns);
            self.named(new, object, was, keys(new, primary));
        }
        let references = |visible: &Visible<'a>, of: &'a Relation, renamed: bool| -> Vec<Part> {
            let all = of.foreign_keys.iter().filter_map(|key| {
                let it = visible.reference(of, key)?;
                let target = it.target.full_name();
                let target = self.renamed.get(&target).filter(|_| renamed).unwrap_or(&target);
                let mut text = format!(
                    "({}) → {target} ({})",
                    it.columns.join(", "),
                    it.target_columns.join(", ")
                );
                for (when, action) in [("delete", key.on_delete), ("update", key.on_update)] {
                    if action != ReferenceAction::NoAction {
                        text = format!("{text} on {when} {}", action_name(action));
                    }
                }
                text += deferral(key.deferral);
                Some((key.name.clone(), text))
            });
            all.collect()
        };
        let was = with_new_names(references(self.before, old, true), columns);
        let is = references(self.after, new, false);
        self.named(new, ObjectKind::ForeignKey, was, is);

        let constraints = |of: &'a Relation| -> Vec<Part> {
            let checks = of.checks.iter().map(|it| (&it.name, &it.definition));
            let exclusions = of.exclusions.iter().map(|it| (&it.name, &it.definition));
            let readable = checks.chain(exclusions).filter_map(|(name, text)| {
                Some((name.clone(), readable_text(of, text)?.to_owned()))
            });
            readable.collect()
        };
        let was = with_new_names(constraints(old), columns);
        self.named(new, ObjectKind::Constraint, was, constraints(new));

        let indexes = |of: &'a Relation| -> Vec<Part> {
            let all = of.indexes.iter().filter_map(|it| {
                let columns = readable_names(of, &it.columns)?.join(", ");
                let include = readable_names(of, &it.include)?.join(", ");
                let mut text = match &it.definition {
                    // From `USING` on: the table's own name says nothing new.
                    Some(text) => {
                        let text = readable_text(of, text)?;
                        text.find(" USING ").map_or(text, |at| &text[at + 1..]).to_owned()
                    }
                    None => format!("using {} ({columns})", it.method),
                };
                if it.unique {
                    text.insert_str(0, "unique ");
                }
                if !include.is_empty() && it.definition.is_none() {
                    text = format!("{text} include ({include})");
                }
                if it.invalid {
                    text += " (invalid)";
                }
                Some((it.name.clone(), text))
            });
            all.collect()
        };
        let was = with_new_names(indexes(old), columns);
        self.named(new, ObjectKind::Index, was, indexes(new));
    }

    /// Things of a table that have a name and a text.
    fn named(&mut self, table: &Relation, object: ObjectKind, was: Vec<Part>, is: Vec<Part>) {
        let part = |name: &str| Change {
            object,
            name: name.to_owned(),
            table: Some(table.full_name()),
            ..table_change(table)
        };
        let (kept, gone): (Vec<Part>, Vec<Part>) =
            was.into_iter().partition(|it| is.iter().any(|now| now.0 == it.0));
        let (found, mut come): (Vec<Part>, Vec<Part>) =
            is.into_iter().partition(|it| kept.iter().any(|was| was.0 == it.0));
        for (name, text) in kept {
            let now = found.iter().find(|it| it.0 == name).map(|it| it.1.clone());
            self.aspect(&part(&name), Aspect::Definition, Some(text), now, false);
        }
        for (name, text) in gone {
            // The same content under another name can hardly be anything else.
            if let Some(at) = come.iter().position(|it| it.1 == text) {
                let (new_name, _) = come.swap_remove(at);
                self.changes.push(Change {
                    kind: ChangeKind::Renamed,
                    before: Some(name),
                    after: Some(new_name.clone()),
                    confidence: Some(0.95),
                    ..part(&new_name)
                });
            } else {
                let kind = ChangeKind::Removed;
                self.changes.push(Change { kind, before: Some(text), ..part(&name) });
            }
        }
        for (name, text) in come {
            let kind = ChangeKind::Added;
            self.changes.push(Change { kind, after: Some(text), ..part(&name) });
        }
    }

    fn types(&mut self) {
        let same_database = self.same_database();
        let (was, is) = (self.before.types(), self.after.types());
        let find = |all: &[&'a UserType], like: &UserType| -> Option<&'a UserType> {
            all.iter().find(|it| (&it.schema, &it.name) == (&like.schema, &like.name)).copied()
        };
        let mut come: Vec<&UserType> =
            is.iter().filter(|it| find(&was, it).is_none()).copied().collect();
        for old in &was {
            if let Some(new) = find(&is, old) {
                self.same_type(old, new);
                continue;
            }
            let same = |it: &&UserType| {
                let known = same_database && it.oid == old.oid;
                let alike = type_text(it) == type_text(old)
                    && !matches!(it.kind, UserTypeKind::Base | UserTypeKind::Range);
                known || alike
            };
            if let Some(at) = come.iter().position(same) {
                let new = come.swap_remove(at);
                let certain = same_database && new.oid == old.oid;
                self.changes.push(Change {
                    kind: ChangeKind::Renamed,
                    before: Some(full_type_name(old)),
                    after: Some(full_type_name(new)),
                    confidence: Some(if certain { 1.0 } else { 0.8 }),
                    breaking: true,
                    ..type_change(new)
                });
                self.same_type(old, new);
            } else {
                let (kind, breaking) = (ChangeKind::Removed, true);
                let before = Some(type_text(old));
                self.changes.push(Change { kind, before, breaking, ..type_change(old) });
            }
        }
        for new in come {
            let (kind, after) = (ChangeKind::Added, Some(type_text(new)));
            self.changes.push(Change { kind, after, ..type_change(new) });
        }
    }

    fn same_type(&mut self, old: &UserType, new: &UserType) {
        let aspect = match (&old.kind, &new.kind) {
            (UserTypeKind::Enum { .. }, UserTypeKind::Enum { .. }) => Aspect::Labels,
            _ => Aspect::Definition,
        };
        let breaking = match (&old.kind, &new.kind) {
            (UserTypeKind::Enum { labels: old }, UserTypeKind::Enum { labels: new }) => {
                old.iter().any(|it| !new.contains(it))
            }
            (UserTypeKind::Domain { base: old, .. }, UserTypeKind::Domain { base: new, .. }) => {
                old != new
            }
            _ => true,
        };
        let change = type_change(new);
        self.aspect(&change, aspect, Some(type_text(old)), Some(type_text(new)), breaking);
        self.aspect(&change, Aspect::Comment, old.comment.clone(), new.comment.clone(), false);
    }

    /// One side of a thing, if it is not as it was.
    fn aspect(
        &mut self,
        of: &Change,
        aspect: Aspect,
        before: Option<String>,
        after: Option<String>,
        breaking: bool,
    ) {
        if before != after {
            let aspect = Some(aspect);
            self.changes.push(Change { aspect, before, after, breaking, ..of.clone() });
        }
    }
}

/// What a relation is a partition of, or by what it is divided.
fn partitioning(visible: &Visible<'_>, of: &Relation) -> Option<String> {
    let parent = of.partition_of.and_then(|it| visible.relation(it)).map(Relation::full_name);
    let bound = of.partition_bound.as_deref().unwrap_or_default();
    let key = of.partition_key.as_ref();
    let key = key.and_then(|it| readable_text(of, &it.definition)).map(str::to_owned);
    match (parent, key) {
        (Some(parent), _) if bound.is_empty() => Some(parent),
        (Some(parent), _) => Some(format!("{parent} {bound}")),
        (None, key) => key,
    }
}

/// A key, reference, constraint or index: its name, and what it says.
type Part = (String, String);

/// The same with the names that columns have now, so that a renamed column alone changes no key.
fn with_new_names(parts: Vec<Part>, columns: &HashMap<&str, &str>) -> Vec<Part> {
    parts.into_iter().map(|(name, text)| (name, rewritten(&text, columns))).collect()
}

/// An expression with new names in the place of former ones.
fn rewritten(text: &str, columns: &HashMap<&str, &str>) -> String {
    if columns.is_empty() {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let word = |c: char| c.is_alphanumeric() || c == '_';
    while let Some(begin) = rest.find(word) {
        out.push_str(&rest[..begin]);
        rest = &rest[begin..];
        let end = rest.find(|c: char| !word(c)).unwrap_or(rest.len());
        out.push_str(columns.get(&rest[..end]).copied().unwrap_or(&rest[..end]));
        rest = &rest[end..];
    }
    out + rest
}

fn table_change(of: &Relation) -> Change {
    Change {
        kind: ChangeKind::Changed,
        object: match of.kind {
            RelationKind::View => ObjectKind::View,
            RelationKind::MaterializedView => ObjectKind::MaterializedView,
            RelationKind::Table | RelationKind::PartitionedTable | RelationKind::ForeignTable => {
                ObjectKind::Table
            }
        },
        table: Some(of.full_name()),
        name: of.full_name(),
        aspect: None,
        before: None,
        after: None,
        confidence: None,
        breaking: false,
    }
}

fn column_change(table: &Relation, column: &Column) -> Change {
    Change { object: ObjectKind::Column, name: column.name.clone(), ..table_change(table) }
}

fn full_type_name(of: &UserType) -> String {
    format!("{}.{}", of.schema, of.name)
}

fn type_change(of: &UserType) -> Change {
    Change {
        kind: ChangeKind::Changed,
        object: match of.kind {
            UserTypeKind::Enum { .. } => ObjectKind::Enum,
            UserTypeKind::Domain { .. } => ObjectKind::Domain,
            UserTypeKind::Composite { .. } | UserTypeKind::Range | UserTypeKind::Base => {
                ObjectKind::Type
            }
        },
        table: None,
        name: full_type_name(of),
        aspect: None,
        before: None,
        after: None,
        confidence: None,
        breaking: false,
    }
}

/// Two digits are more than a guess knows.
fn rounded(confidence: f64) -> f64 {
    (confidence * 100.0).round() / 100.0
}
