//! What the guard keeps of a catalog: looked up by name, with everything judged that does not depend on a statement.

use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

use plinth_connections::{AllowedTables, TableName};
use plinth_schema_introspect::{
    Catalog, FunctionKind, Relation, RelationKind, UserCast, UserType, UserTypeKind,
};

use crate::lists::types::internal_name;
use crate::lists::{extensions, functions, operators, types};
use crate::views::ViewVerdict;

/// A relation's place in [`Facts::relations`].
pub(crate) type RelationId = usize;

pub(crate) struct Facts {
    pub(crate) server_version_num: u32,
    pub(crate) database: String,
    pub(crate) relations: Vec<RelationFacts>,
    by_name: HashMap<String, HashMap<String, RelationId>>,
    /// Schemas in which unqualified names are found, in order.
    search_path: Vec<String>,
    functions: HashMap<String, Vec<Owned>>,
    operators: HashMap<String, Vec<Owned>>,
    types: HashMap<String, Vec<TypeFacts>>,
    /// Names that, after a dot, may call a function of the database's own.
    attributes: HashSet<String>,
    /// By the internal name of a type, the types from which a cast to it runs a function that is not known to be harmless.
    cast_sources: HashMap<String, Vec<String>>,
    /// The first implicit cast of that kind between built-in types, as `source to target`.
    pub(crate) silent_cast: Option<String>,
    /// Every name that some relation gives to a column.
    column_names: HashSet<String>,
    /// Names of columns that hold rows, whose fields are not in the catalog.
    row_columns: HashSet<String>,
    /// Whether the operator's list is "all", so that a view shows no more than its reader may see.
    pub(crate) all_allowed: bool,
}

/// A function or operator of some schema.
struct Owned {
    schema: String,
    on_path: bool,
    harmless: bool,
    extension: bool,
}

struct TypeFacts {
    schema: String,
    on_path: bool,
    harmless: bool,
    is_row: bool,
}

/// What a column's type means for the relation.
struct ColumnType {
    name: String,
    harmless: bool,
    is_row: bool,
    converted: Converted,
}

/// Whether functions of the database's own convert values of a type to another.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Converted {
    No,
    OnRequest,
    Silently,
}

/// Whether a relation may be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Allowed,
    /// Not on the list.
    Unlisted,
    /// The role has no right to read it.
    Unreadable,
}

pub(crate) struct RelationFacts {
    pub(crate) name: TableName,
    pub(crate) kind: RelationKind,
    pub(crate) access: Access,
    /// Tables that inherit from it, partitions included: their rows are read with it.
    pub(crate) children: Vec<RelationId>,
    pub(crate) definition: Option<String>,
    /// The judgement of a view, made when it is first asked for.
    pub(crate) view: OnceLock<ViewVerdict>,
    /// Which of its columns are named like something in [`Facts::attributes`].
    pub(crate) attribute_columns: Vec<String>,
    /// The type, among those of its columns and rows, whose values a function of the database's own converts without
    /// being asked to.
    pub(crate) silently_cast: Option<String>,
    /// The types, among those of its columns and rows, that are sources in [`Facts::cast_sources`].
    pub(crate) cast_sources: Vec<String>,
    /// Whether text can be made a row of it without running the database's own code.
    pub(crate) harmless_row: bool,
}

impl RelationFacts {
    fn note_conversion(&mut self, type_name: &str, converted: Converted) {
        if converted == Converted::No {
            return;
        }
        self.cast_sources.push(type_name.to_owned());
        if converted == Converted::Silently {
            self.silently_cast.get_or_insert_with(|| type_name.to_owned());
        }
    }
}

impl Facts {
    pub(crate) fn new(catalog: &Catalog, allowed: &AllowedTables) -> Self {
        let on_path: HashSet<&str> = catalog.search_path.iter().map(String::as_str).collect();
        let on_path = |schema: &str| on_path.contains(schema);

        let mut functions: HashMap<String, Vec<Owned>> = HashMap::new();
        let mut attributes = HashSet::new();
        // A procedure cannot be called from a query, whatever it is named.
        for it in catalog.functions.iter().filter(|it| it.kind != FunctionKind::Procedure) {
            let harmless = harmless(it.extension.as_deref(), |extension| {
                extensions::allows_function(extension, &it.name)
            });
            if !harmless && !it.arguments.is_empty() && on_path(&it.schema) {
                attributes.insert(it.name.clone());
            }
            functions.entry(it.name.clone()).or_default().push(Owned {
                schema: it.schema.clone(),
                on_path: on_path(&it.schema),
                harmless,
                extension: it.extension.is_some(),
            });
        }

        let mut operators: HashMap<String, Vec<Owned>> = HashMap::new();
        for it in &catalog.operators {
            operators.entry(it.name.clone()).or_default().push(Owned {
                schema: it.schema.clone(),
                on_path: on_path(&it.schema),
                harmless: harmless(it.extension.as_deref(), extensions::is_known),
                extension: it.extension.is_some(),
            });
        }

        let mut types: HashMap<String, Vec<TypeFacts>> = HashMap::new();
        for it in &catalog.types {
            types.entry(it.name.clone()).or_default().push(TypeFacts {
                schema: it.schema.clone(),
                on_path: on_path(&it.schema),
                harmless: is_harmless_type(it),
                is_row: matches!(it.kind, UserTypeKind::Composite { .. }),
            });
        }

        let casts = Casts::new(catalog);
        attributes.extend(casts.sources.keys().cloned());
        let relation_names: HashSet<&str> =
            catalog.relations.iter().map(|it| it.name.as_str()).collect();
        let judge_column_type = |printed: &str| {
            let name = internal_name(printed);
            let own = types.get(&name);
            let builtin =
                own.is_none() && (types::is_allowed_in_views(&name) || types::is_xml(&name));
            ColumnType {
                harmless: builtin || own.is_some_and(|own| own.iter().all(|it| it.harmless)),
                is_row: !builtin
                    && (own.is_some_and(|own| own.iter().any(|it| it.is_row))
                        || relation_names.contains(name.as_str())),
                converted: casts.converts(&name),
                name,
            }
        };
        // Catalogs have many columns and few types.
        let mut column_types: HashMap<&str, ColumnType> = HashMap::new();

        let mut column_names: HashSet<String> = HashSet::new();
        let mut row_columns = HashSet::new();
        let mut relations: Vec<RelationFacts> = Vec::with_capacity(catalog.relations.len());
        let mut by_name: HashMap<String, HashMap<String, RelationId>> = HashMap::new();
        let ids: HashMap<u32, RelationId> =
            catalog.relations.iter().enumerate().map(|(id, it)| (it.oid, id)).collect();
        for (id, it) in catalog.relations.iter().enumerate() {
            let mut facts = RelationFacts {
                name: TableName { schema: it.schema.clone(), name: it.name.clone() },
                kind: it.kind,
                access: access(catalog, &ids, allowed, it),
                children: Vec::new(),
                definition: it.definition.clone(),
                view: OnceLock::new(),
                attribute_columns: Vec::new(),
                silently_cast: None,
                cast_sources: Vec::new(),
                harmless_row: true,
            };
            facts.note_conversion(&it.name, casts.converts(&it.name));
            for column in &it.columns {
                if !column_names.contains(&column.name) {
                    column_names.insert(column.name.clone());
                }
                if attributes.contains(&column.name) {
                    facts.attribute_columns.push(column.name.clone());
                }
                let column_type = column_types
                    .entry(column.type_name.as_str())
                    .or_insert_with(|| judge_column_type(&column.type_name));
                facts.harmless_row &= column_type.harmless;
                if column_type.is_row {
                    row_columns.insert(column.name.clone());
                }
                facts.note_conversion(&column_type.name, column_type.converted);
            }
            by_name.entry(it.schema.clone()).or_default().insert(it.name.clone(), id);
            relations.push(facts);
        }
        for (id, it) in catalog.relations.iter().enumerate() {
            for parent in it.partition_of.iter().chain(&it.inherits) {
                if let Some(parent) = ids.get(parent) {
                    relations[*parent].children.push(id);
                }
            }
        }

        Self {
            server_version_num: catalog.server_version_num,
            database: catalog.database.clone(),
            relations,
            by_name,
            search_path: catalog.search_path.clone(),
            functions,
            operators,
            types,
            attributes,
            cast_sources: casts.sources,
            silent_cast: casts.silent,
            column_names,
            row_columns,
            all_allowed: *allowed == AllowedTables::All,
        }
    }

    /// The relation that a name means: of that schema, or the first along the search path.
    pub(crate) fn relation(&self, schema: Option<&str>, name: &str) -> Option<RelationId> {
        let find = |schema: &str| self.by_name.get(schema).and_then(|it| it.get(name)).copied();
        match schema {
            Some(schema) => find(schema),
            None => self.search_path.iter().find_map(|it| find(it)),
        }
    }

    /// The name as short as the search path lets it be.
    pub(crate) fn shortest_name(&self, id: RelationId) -> String {
        let name = &self.relations[id].name;
        if self.relation(None, &name.name) == Some(id) {
            name.name.clone()
        } else {
            name.to_string()
        }
    }

    /// Whether the server has a built-in function of that name that may be called.
    pub(crate) fn has_builtin(&self, name: &str) -> bool {
        functions::builtin_since(name).is_some_and(|since| self.server_version_num >= since)
    }

    /// What a call by that name could mean among the database's own functions: of that schema, or along the search path.
    pub(crate) fn functions(&self, schema: Option<&str>, name: &str) -> Candidates {
        candidates(self.functions.get(name), schema)
    }

    /// The same for an operator. Another extension's operator of a built-in name is for that extension's own types
    /// (comparisons mostly), so it harms as little as the type does.
    pub(crate) fn operators(&self, schema: Option<&str>, name: &str) -> Candidates {
        let builtin = operators::is_builtin(name);
        let found = self.operators.get(name).into_iter().flatten();
        let mut found = found.filter(|it| in_scope(it, schema)).peekable();
        if found.peek().is_none() {
            return Candidates::None;
        }
        if found.all(|it| it.harmless || (it.extension && builtin)) {
            Candidates::Harmless
        } else {
            Candidates::Unknown
        }
    }

    /// The same for a type; a row type of a relation is not among them.
    pub(crate) fn types(&self, schema: Option<&str>, name: &str) -> Candidates {
        let found = self.types.get(name).into_iter().flatten();
        let mut found =
            found.filter(|it| schema.map_or(it.on_path, |schema| it.schema == schema)).peekable();
        if found.peek().is_none() {
            return Candidates::None;
        }
        if found.all(|it| it.harmless) { Candidates::Harmless } else { Candidates::Unknown }
    }

    /// Whether `x.name` may call a function of the database's own.
    pub(crate) fn is_function_like(&self, name: &str) -> bool {
        self.attributes.contains(name)
    }

    /// The types from which a cast to the type of that internal name may run a function of the database's own.
    pub(crate) fn unsafe_cast_sources(&self, type_name: &str) -> &[String] {
        self.cast_sources.get(type_name).map_or(&[], Vec::as_slice)
    }

    /// Whether any relation has a column of that name.
    pub(crate) fn is_column(&self, name: &str) -> bool {
        self.column_names.contains(name)
    }

    /// Whether a column of that name holds rows.
    pub(crate) fn holds_rows(&self, column: &str) -> bool {
        self.row_columns.contains(column)
    }
}

/// What the database's own objects of a name are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Candidates {
    /// There are none.
    None,
    /// All of them belong to known extensions.
    Harmless,
    /// At least one is not known.
    Unknown,
}

fn candidates(found: Option<&Vec<Owned>>, schema: Option<&str>) -> Candidates {
    let mut found = found.into_iter().flatten().filter(|it| in_scope(it, schema)).peekable();
    if found.peek().is_none() {
        return Candidates::None;
    }
    if found.all(|it| it.harmless) { Candidates::Harmless } else { Candidates::Unknown }
}

fn in_scope(it: &Owned, schema: Option<&str>) -> bool {
    schema.map_or(it.on_path, |schema| it.schema == schema)
}

fn harmless(extension: Option<&str>, judge: impl Fn(&str) -> bool) -> bool {
    extension.is_some_and(judge)
}

/// Whether naming the type runs no code of the database's own: an enum, a domain without checks over a harmless type, or
/// a type of a known extension. A composite's fields may be of any type, and a range may have functions of its own.
fn is_harmless_type(it: &UserType) -> bool {
    if harmless(it.extension.as_deref(), extensions::is_known) {
        return true;
    }
    match &it.kind {
        UserTypeKind::Enum { .. } => true,
        UserTypeKind::Domain { base, checked, .. } => {
            !checked && types::is_allowed(&internal_name(base))
        }
        UserTypeKind::Composite { .. } | UserTypeKind::Range | UserTypeKind::Base => false,
    }
}

fn access(
    catalog: &Catalog,
    ids: &HashMap<u32, RelationId>,
    allowed: &AllowedTables,
    relation: &Relation,
) -> Access {
    // A right to some of the columns is enough to be asked for them: Postgres itself holds each column.
    let readable = |it: &Relation| it.readable || it.columns.iter().any(|column| column.readable);
    let mut own = Access::Unlisted;
    let mut at = relation;
    // Partitions follow their parent; partitions of partitions follow too. The bound only guards against a broken snapshot.
    for _ in 0..100 {
        if allowed.allows(&at.schema, &at.name) {
            if readable(at) {
                return Access::Allowed;
            }
            own = Access::Unreadable;
        }
        let parent = at.partition_of.and_then(|oid| ids.get(&oid));
        match parent.and_then(|id| catalog.relations.get(*id)) {
            Some(parent) => at = parent,
            None => break,
        }
    }
    own
}

/// What the casts of the database's own mean for statements.
struct Casts {
    /// By target.
    sources: HashMap<String, Vec<String>>,
    silent_sources: HashSet<String>,
    silent: Option<String>,
}

impl Casts {
    fn new(catalog: &Catalog) -> Self {
        let mut casts =
            Self { sources: HashMap::new(), silent_sources: HashSet::new(), silent: None };
        for cast in &catalog.casts {
            if harmless(cast.extension.as_deref(), extensions::is_known) {
                continue;
            }
            let source = internal_name(&cast.source);
            let target = internal_name(&cast.target);
            // An implicit cast happens wherever a value of its source meets a function of its target. Its author's word
            // that it is immutable is taken there, since it would else close tables, or the whole database, to every
            // statement; where a statement asks for the cast by name, it is not taken.
            if cast.context == 'i' && !is_immutable(catalog, cast) {
                if types::is_allowed(&source) && types::is_allowed(&target) {
                    casts
                        .silent
                        .get_or_insert_with(|| format!("{} to {}", cast.source, cast.target));
                } else {
                    casts.silent_sources.insert(source.clone());
                }
            }
            casts.sources.entry(target).or_default().push(source);
        }
        casts
    }

    fn converts(&self, source: &str) -> Converted {
        if self.silent_sources.contains(source) {
            Converted::Silently
        } else if self.sources.values().flatten().any(|it| it == source) {
            Converted::OnRequest
        } else {
            Converted::No
        }
    }
}

/// Whether every function that could be the cast's is declared immutable.
fn is_immutable(catalog: &Catalog, cast: &UserCast) -> bool {
    let mut could_be = catalog
        .functions
        .iter()
        .filter(|it| {
            let modifier: Vec<&str> = it.arguments.iter().skip(1).map(String::as_str).collect();
            // The forms that CREATE CAST takes.
            let is_cast_function =
                matches!(modifier.as_slice(), [] | ["integer"] | ["integer", "boolean"]);
            is_cast_function
                && it.returns == cast.target
                && it.arguments.first() == Some(&cast.source)
        })
        .peekable();
    could_be.peek().is_some() && could_be.all(|it| it.volatility == 'i')
}
