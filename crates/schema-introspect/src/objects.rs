use serde::{Deserialize, Serialize};

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
        /// Whether it refuses null.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        not_null: bool,
        /// Its default expression, as the server prints it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        default: Option<String>,
        /// Its `CHECK` constraints.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        checks: Vec<DomainCheck>,
    },
    /// A row type of its own.
    Composite {
        /// Its fields, in order.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        attributes: Vec<Attribute>,
    },
    /// A range or multirange.
    Range,
    /// A type with input functions of its own.
    Base,
}

/// A condition that every value of a domain fulfils.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainCheck {
    /// The constraint's name.
    pub name: String,
    /// As the server prints it, like `CHECK ((VALUE > 0))`.
    pub definition: String,
}

/// A field of a row type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attribute {
    /// Its name.
    pub name: String,
    /// The type as `format_type` prints it.
    pub type_name: String,
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
    /// What somebody wrote about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

fn comma() -> char {
    ','
}

fn yes() -> bool {
    true
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
    /// The language it is written in.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub language: String,
    /// All arguments with their modes, names and defaults, as the server prints them, like
    /// `gross numeric, rate numeric DEFAULT 0.19`. Empty for functions of extensions.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub signature: String,
    /// What it returns as the server prints it, like `SETOF integer` or `TABLE(id bigint, name text)`; `None` for a
    /// procedure, and for functions of extensions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// Whether it runs with the rights of its owner, not of its caller.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub security_definer: bool,
    /// Whether the role may call it.
    #[serde(default = "yes")]
    pub executable: bool,
    /// What somebody wrote about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
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

/// A sequence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequence {
    /// The schema's name.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// `format_type` of its values.
    pub type_name: String,
    /// The first value.
    pub start: i64,
    /// What is added each time.
    pub increment: i64,
    /// The smallest value.
    pub minimum: i64,
    /// The largest value.
    pub maximum: i64,
    /// Whether it begins anew at its end.
    pub cycles: bool,
    /// The oid of the table and the name of the column with which it goes (as of `serial` columns).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<(u32, String)>,
    /// What somebody wrote about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}
