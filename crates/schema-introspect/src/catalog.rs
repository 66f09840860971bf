use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Digests, Relation, Sequence, UserCast, UserFunction, UserOperator, UserType};

/// What one role can see of one database, as it was at one moment.
///
/// It carries everything that naming and resolving need: the guard resolves names against it, the language engine
/// links words to it. Names are exactly as Postgres keeps them (unquoted). System schemas (`pg_catalog`,
/// `information_schema`, `pg_toast…`) are not part of it: what stands there is the same on every server of a version.
///
/// It is stored as JSON that leaves out what is not there. A field that is added later has a default, so that what was
/// stored before can still be read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Catalog {
    /// How much was read when this was: [`Catalog::REVISION`] of the version that did it, 0 if that was before there was one.
    #[serde(default)]
    pub revision: u32,
    /// `server_version_num`, like 150018.
    pub server_version_num: u32,
    /// The database's name.
    pub database: String,
    /// What somebody wrote about the database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// The role that looked.
    pub role: String,
    /// The schemas in which that role finds unqualified names, in order, without `pg_catalog`.
    pub search_path: Vec<String>,
    /// Every schema that is not a system one, sorted by name.
    pub schemas: Vec<Schema>,
    /// Every relation that can be queried, readable or not, sorted by schema and name. Each by itself can be shared between
    /// catalogs: one in which a single table was read anew shares all others with the one before.
    pub relations: Vec<Arc<Relation>>,
    /// Every type outside `pg_catalog`, row types of tables excepted.
    pub types: Vec<UserType>,
    /// Every function, aggregate, window function and procedure outside `pg_catalog`.
    pub functions: Vec<UserFunction>,
    /// Every operator outside `pg_catalog`.
    pub operators: Vec<UserOperator>,
    /// Every cast that somebody added and that runs a function.
    pub casts: Vec<UserCast>,
    /// Every sequence but those behind identity columns, sorted by schema and name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sequences: Vec<Sequence>,
    /// The server's own catalogs as they were when all of it was read, in short: while nobody changes the schema, or what
    /// the role may do with it, [`CatalogReader::fingerprint`](crate::CatalogReader::fingerprint) gives the same. `None` if
    /// it was not taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// What [`Catalog::structure_digest`] remembers; neither stored nor compared.
    #[serde(skip)]
    pub digests: Digests,
}

/// A namespace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Schema {
    /// Its name.
    pub name: String,
    /// What somebody wrote about it.
    pub comment: Option<String>,
    /// Whether the role may look into it (`USAGE`).
    pub usable: bool,
}

impl Catalog {
    /// Goes up when something is read that was not before, and that one table read anew cannot do without.
    pub const REVISION: u32 = 1;

    /// The relation of that oid.
    pub fn relation(&self, oid: u32) -> Option<&Relation> {
        self.relations.iter().map(Arc::as_ref).find(|it| it.oid == oid)
    }

    /// The relation of that schema and name.
    pub fn find(&self, schema: &str, name: &str) -> Option<&Relation> {
        self.relations
            .binary_search_by(|it| (it.schema.as_str(), it.name.as_str()).cmp(&(schema, name)))
            .ok()
            .map(|at| &*self.relations[at])
    }

    /// What an unqualified name means: the first relation of that name along the search path.
    pub fn resolve(&self, name: &str) -> Option<&Relation> {
        self.search_path.iter().find_map(|schema| self.find(schema, name))
    }
}
