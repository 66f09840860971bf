//! What became of the names of one catalog in a later one.

use std::collections::HashMap;

use plinth_schema_introspect::{Aspect, Catalog, Change, ChangeKind, ObjectKind, Relation};

/// A relation of the older catalog, by its place in it.
pub(super) type RelationAt = usize;

/// A column of such a relation, by its place in it.
pub(super) type ColumnAt = (RelationAt, usize);

/// What became of a relation that is not as it was.
pub(super) enum TableFate {
    Gone { change: usize },
    Renamed { change: usize, schema: String, name: String },
}

/// What became of a column that is not as it was.
#[derive(Default)]
pub(super) struct ColumnFate {
    pub(super) gone: Option<usize>,
    /// By which change, and its name now.
    pub(super) renamed: Option<(usize, String)>,
    /// By which change, and the type that it had.
    pub(super) retyped: Option<(usize, String)>,
}

/// The names of an older catalog, and what the changes to a newer one have done to them.
pub(super) struct Names<'a> {
    pub(super) before: &'a Catalog,
    pub(super) after: &'a Catalog,
    tables: HashMap<RelationAt, TableFate>,
    columns: HashMap<ColumnAt, ColumnFate>,
    /// Changes of a relation as a whole, like those of a view's definition.
    whole: HashMap<RelationAt, Vec<usize>>,
    /// Changes of types, by the types' names with and without schema.
    types: HashMap<String, Vec<usize>>,
}

impl<'a> Names<'a> {
    pub(super) fn new(before: &'a Catalog, after: &'a Catalog, changes: &[Change]) -> Self {
        let mut names = Self {
            before,
            after,
            tables: HashMap::new(),
            columns: HashMap::new(),
            whole: HashMap::new(),
            types: HashMap::new(),
        };
        // From a relation's full name in the newer catalog, or of one that is gone in the older, to its place in the older.
        let mut at: HashMap<String, RelationAt> =
            before.relations.iter().enumerate().map(|(at, it)| (it.full_name(), at)).collect();
        for (number, change) in changes.iter().enumerate() {
            if is_relation(change.object) && change.kind == ChangeKind::Renamed {
                let was = change.before.as_ref().and_then(|it| at.get(it).copied());
                let is = change.after.as_deref().and_then(|it| named(after, it));
                if let (Some(was), Some(is)) = (was, is) {
                    let (schema, name) = (is.schema.clone(), is.name.clone());
                    let fate = TableFate::Renamed { change: number, schema, name };
                    names.tables.insert(was, fate);
                    at.insert(is.full_name(), was);
                }
            }
        }
        for (number, change) in changes.iter().enumerate() {
            names.note(number, change, &at);
        }
        for (number, change) in changes.iter().enumerate() {
            names.note_type(number, change, &at);
        }
        names
    }

    fn note(&mut self, number: usize, change: &Change, at: &HashMap<String, RelationAt>) {
        if change.table.is_none() {
            let (short, full) = (change.name.rsplit('.').next(), change.name.as_str());
            for name in short.into_iter().chain([full]) {
                self.types.entry(name.to_owned()).or_default().push(number);
            }
            return;
        }
        let Some(relation) = change.table.as_ref().and_then(|it| at.get(it).copied()) else {
            return;
        };
        match (change.object, change.kind) {
            (it, ChangeKind::Removed) if is_relation(it) => {
                self.tables.insert(relation, TableFate::Gone { change: number });
            }
            (it, ChangeKind::Changed) if is_relation(it) && change.breaking => {
                self.whole.entry(relation).or_default().push(number);
            }
            (ObjectKind::Column, ChangeKind::Removed) => {
                if let Some(column) = self.before.relations[relation].column(&change.name) {
                    self.columns.entry((relation, column)).or_default().gone = Some(number);
                }
            }
            (ObjectKind::Column, ChangeKind::Renamed) => {
                let was = change.before.as_deref();
                if let Some(column) = was.and_then(|it| self.before.relations[relation].column(it))
                {
                    let fate = self.columns.entry((relation, column)).or_default();
                    fate.renamed = Some((number, change.name.clone()));
                }
            }
            _ => {}
        }
    }

    /// Names of columns in changes of their types are the new ones, so renames have to be known before.
    fn note_type(&mut self, number: usize, change: &Change, at: &HashMap<String, RelationAt>) {
        if change.object != ObjectKind::Column || change.aspect != Some(Aspect::Type) {
            return;
        }
        let Some(relation) = change.table.as_ref().and_then(|it| at.get(it).copied()) else {
            return;
        };
        let known = &self.before.relations[relation];
        let renamed = |column: &usize| {
            let fate = self.columns.get(&(relation, *column));
            fate.and_then(|it| it.renamed.as_ref()).is_some_and(|it| it.1 == change.name)
        };
        let column = (0..known.columns.len()).find(renamed).or_else(|| known.column(&change.name));
        if let Some(column) = column {
            let was = known.columns[column].type_name.clone();
            let fate = self.columns.entry((relation, column)).or_default();
            fate.retyped = Some((number, was));
        }
    }

    pub(super) fn table(&self, at: RelationAt) -> Option<&TableFate> {
        self.tables.get(&at)
    }

    pub(super) fn column(&self, at: ColumnAt) -> Option<&ColumnFate> {
        self.columns.get(&at)
    }

    pub(super) fn whole(&self, at: RelationAt) -> &[usize] {
        self.whole.get(&at).map_or(&[], Vec::as_slice)
    }

    /// The changes of the type of that name, or of the elements of that array.
    pub(super) fn of_type(&self, name: &str) -> &[usize] {
        self.types.get(name.trim_end_matches("[]")).map_or(&[], Vec::as_slice)
    }

    /// The relation of the older catalog that a name means.
    pub(super) fn relation(&self, schema: &str, name: &str) -> Option<RelationAt> {
        let find = |schema: &str| {
            let all = &self.before.relations;
            all.iter().position(|it| it.schema == schema && it.name == name)
        };
        if schema.is_empty() {
            self.before.search_path.iter().find_map(|it| find(it))
        } else {
            find(schema)
        }
    }

    /// Whether that name alone means that relation in the newer catalog.
    pub(super) fn is_found(&self, schema: &str, name: &str) -> bool {
        let path = self.after.search_path.iter();
        path.map(String::as_str).find(|it| self.after.find(it, name).is_some()) == Some(schema)
    }
}

fn is_relation(object: ObjectKind) -> bool {
    matches!(object, ObjectKind::Table | ObjectKind::View | ObjectKind::MaterializedView)
}

fn named<'a>(catalog: &'a Catalog, full_name: &str) -> Option<&'a Relation> {
    catalog.relations.iter().find(|it| it.full_name() == full_name).map(|it| &**it)
}
