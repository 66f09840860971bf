use serde::{Deserialize, Serialize};

/// What one role can see of one database, as it was at one moment.
///
/// It carries everything that naming and resolving need: the guard resolves names against it, the language engine
/// links words to it. Names are exactly as Postgres keeps them (unquoted). System schemas (`pg_catalog`,
/// `information_schema`, `pg_toast…`) are not part of it: what stands there is the same on every server of a version.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Catalog {
    /// `server_version_num`, like 150018.
    pub server_version_num: u32,
    /// The database's name.
    pub database: String,
    /// The role that looked.
    pub role: String,
    /// The schemas in which that role finds unqualified names, in order, without `pg_catalog`.
    pub search_path: Vec<String>,
    /// Every schema that is not a system one, sorted by name.
    pub schemas: Vec<Schema>,
    /// Every relation that can be queried, readable or not, sorted by schema and name.
    pub relations: Vec<Relation>,
    /// Every type outside `pg_catalog`, row types of tables excepted.
    pub types: Vec<UserType>,
    /// Every function, aggregate, window function and procedure outside `pg_catalog`.
    pub functions: Vec<UserFunction>,
    /// Every operator outside `pg_catalog`.
    pub operators: Vec<UserOperator>,
    /// Every cast that somebody added and that runs a function.
    pub casts: Vec<UserCast>,
}

/// A namespace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schema {
    /// Its name.
    pub name: String,
    /// What somebody wrote about it.
    pub comment: Option<String>,
    /// Whether the role may look into it (`USAGE`).
    pub usable: bool,
}

/// What kind of relation it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RelationKind {
    /// An ordinary table, or a partition.
    Table,
    /// The parent of partitions.
    PartitionedTable,
    /// A view.
    View,
    /// A materialized view.
    MaterializedView,
    /// A table of another server.
    ForeignTable,
}

/// Something that can stand in `FROM`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Relation {
    /// Its oid: stable as long as it exists.
    pub oid: u32,
    /// The schema's name.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: RelationKind,
    /// What somebody wrote about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Whether the role may read the whole of it (`SELECT` on it, or on every column, and `USAGE` on its schema).
    pub readable: bool,
    /// Its columns, in order, dropped ones left out.
    pub columns: Vec<Column>,
    /// Primary key, unique keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<Key>,
    /// Foreign keys from here to another relation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub foreign_keys: Vec<ForeignKey>,
    /// Indexes that are not keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub indexes: Vec<Index>,
    /// The planner's estimate of the number of rows; `None` if it was never analyzed or has no rows of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimated_rows: Option<f64>,
    /// The oid of the table it is a partition of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition_of: Option<u32>,
    /// The oids of the tables it inherits from in the old way (partitions excepted).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inherits: Vec<u32>,
    /// A view's or materialized view's query, as the server prints it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub definition: Option<String>,
    /// Whether row-level security restricts the role here.
    pub row_security: bool,
}

impl Relation {
    /// `schema.name`, as allow-lists and answers write it.
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }

    /// The position in [`Relation::columns`] of the column of that name.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|it| it.name == name)
    }

    /// The positions of the primary key's columns; empty if it has none.
    pub fn primary_key(&self) -> &[usize] {
        self.keys.iter().find(|it| it.primary).map_or(&[], |it| &it.columns)
    }
}

/// A column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// The type as `format_type` prints it, like `numeric(12,2)` or `shop.order_status`.
    pub type_name: String,
    /// The type's oid (of the domain, where it is one).
    pub type_oid: u32,
    /// What can be done with it.
    pub class: TypeClass,
    /// Whether it may be null.
    pub nullable: bool,
    /// The default expression, as the server prints it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// Whether the server makes the value (identity or generated).
    pub generated: bool,
    /// What somebody wrote about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Whether the role may read it.
    pub readable: bool,
    /// The labels of its enum type, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub enum_values: Vec<String>,
    /// Values that were seen in it; `None` if it was not sampled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub samples: Option<Samples>,
    /// The planner's estimate of how many distinct values it has: above zero a number, below zero the negated fraction
    /// of the rows (as in `pg_stats.n_distinct`); `None` if it was never analyzed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distinct: Option<f32>,
}

/// What can be done with a column's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TypeClass {
    /// `smallint`, `integer`, `bigint`, and domains over them.
    Integer,
    /// `numeric`, `real`, `double precision`, `money`.
    Decimal,
    /// `text`, `varchar`, `char`, `name`, `citext`.
    Text,
    /// `boolean`.
    Boolean,
    /// `date`.
    Date,
    /// `timestamp` with or without time zone.
    Timestamp,
    /// `time` with or without time zone.
    Time,
    /// `interval`.
    Interval,
    /// `uuid`.
    Uuid,
    /// `json`, `jsonb`.
    Json,
    /// An enum type.
    Enum,
    /// An array of anything.
    Array,
    /// `bytea`.
    Binary,
    /// Everything else.
    Other,
}

impl TypeClass {
    /// Whether sums and averages make sense.
    pub fn is_numeric(self) -> bool {
        matches!(self, Self::Integer | Self::Decimal)
    }

    /// Whether it says on which day something was.
    pub fn is_temporal(self) -> bool {
        matches!(self, Self::Date | Self::Timestamp)
    }

    /// Whether it holds words.
    pub fn is_textual(self) -> bool {
        matches!(self, Self::Text | Self::Enum)
    }
}

/// Values that were seen in a column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Samples {
    /// The values as text, the most frequent first.
    pub values: Vec<String>,
    /// Whether these are all values that the column has.
    pub complete: bool,
}

/// A primary or unique key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Key {
    /// The constraint's name.
    pub name: String,
    /// Positions in [`Relation::columns`].
    pub columns: Vec<usize>,
    /// Whether it is the primary key.
    pub primary: bool,
}

/// A reference to another relation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ForeignKey {
    /// The constraint's name.
    pub name: String,
    /// Positions in [`Relation::columns`] of this relation.
    pub columns: Vec<usize>,
    /// The oid of the relation that is referred to.
    pub target: u32,
    /// Positions in the other relation's columns, in the same order.
    pub target_columns: Vec<usize>,
}

/// An index.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Index {
    /// Its name.
    pub name: String,
    /// Positions in [`Relation::columns`]; expressions are left out.
    pub columns: Vec<usize>,
    /// Whether it admits a value once.
    pub unique: bool,
    /// `btree`, `gin`, ….
    pub method: String,
}

/// What kind of type it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum UserTypeKind {
    /// An enum.
    Enum {
        /// Its labels, in order.
        labels: Vec<String>,
    },
    /// Another type with constraints.
    Domain {
        /// `format_type` of what is under it.
        base: String,
        /// Whether it has CHECK constraints or a default: code that runs when a value is cast to it.
        checked: bool,
    },
    /// A row type of its own.
    Composite,
    /// A range or multirange.
    Range,
    /// A type with input functions of its own.
    Base,
}

/// A type outside `pg_catalog`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UserType {
    /// Its oid.
    pub oid: u32,
    /// The schema's name.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: UserTypeKind,
    /// The oid of the type of arrays of it, 0 if there is none.
    #[serde(default)]
    pub array_oid: u32,
    /// What stands between the elements where such an array is printed: a comma, but for a few types.
    #[serde(default = "comma")]
    pub delimiter: char,
    /// The extension it came with.
    pub extension: Option<String>,
}

fn comma() -> char {
    ','
}

/// What kind of function it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FunctionKind {
    /// A plain function.
    Function,
    /// An aggregate.
    Aggregate,
    /// A window function.
    Window,
    /// A procedure.
    Procedure,
}

/// A function outside `pg_catalog`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UserFunction {
    /// Its oid.
    pub oid: u32,
    /// The schema's name.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: FunctionKind,
    /// `format_type` of its input arguments, in order.
    pub arguments: Vec<String>,
    /// `format_type` of what it returns.
    pub returns: String,
    /// `i`, `s` or `v`: immutable, stable, volatile, as its author says.
    pub volatility: char,
    /// The extension it came with.
    pub extension: Option<String>,
}

/// An operator outside `pg_catalog`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UserOperator {
    /// The schema's name.
    pub schema: String,
    /// Its name, like `###`.
    pub name: String,
    /// The extension it came with.
    pub extension: Option<String>,
}

/// A cast by a function, outside the built-in ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UserCast {
    /// `format_type` of the source.
    pub source: String,
    /// `format_type` of the target.
    pub target: String,
    /// When it runs: `e` explicitly, `a` in assignments, `i` implicitly.
    pub context: char,
    /// The extension it came with.
    pub extension: Option<String>,
}

impl Catalog {
    /// The relation of that oid.
    pub fn relation(&self, oid: u32) -> Option<&Relation> {
        self.relations.iter().find(|it| it.oid == oid)
    }

    /// The relation of that schema and name.
    pub fn find(&self, schema: &str, name: &str) -> Option<&Relation> {
        self.relations
            .binary_search_by(|it| (it.schema.as_str(), it.name.as_str()).cmp(&(schema, name)))
            .ok()
            .map(|at| &self.relations[at])
    }

    /// What an unqualified name means: the first relation of that name along the search path.
    pub fn resolve(&self, name: &str) -> Option<&Relation> {
        self.search_path.iter().find_map(|schema| self.find(schema, name))
    }
}
