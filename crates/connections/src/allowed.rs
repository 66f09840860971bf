use std::collections::BTreeSet;

use plinth_core::{Classify, ErrorKind};
use serde_json::{Value, json};

/// Which tables may be read through a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AllowedTables {
    /// Every table that the connection's role may read, system catalogs excepted.
    #[default]
    All,
    /// These only.
    Listed(BTreeSet<TableName>),
}

/// A table's schema and name, exactly as Postgres keeps them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    /// The schema.
    pub schema: String,
    /// The table's own name.
    pub name: String,
}

impl std::fmt::Display for TableName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

impl AllowedTables {
    /// Reads `schema.table` names; a name without a schema means `public`. Only the first dot divides, so a table's own
    /// name may hold dots.
    ///
    /// # Errors
    ///
    /// [`InvalidTableName`] for an empty part or a control character.
    pub fn parse<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidTableName> {
        let parse = |text: &'a str| {
            let (schema, name) = text.split_once('.').unwrap_or(("public", text));
            let bad = |it: &str| it.is_empty() || it.chars().any(char::is_control);
            if bad(schema) || bad(name) {
                return Err(InvalidTableName(text.to_owned()));
            }
            Ok(TableName { schema: schema.to_owned(), name: name.to_owned() })
        };
        names.into_iter().map(parse).collect::<Result<_, _>>().map(Self::Listed)
    }

    /// Whether the list lets that table through. Says nothing of whether it exists or the role may read it.
    pub fn allows(&self, schema: &str, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Listed(tables) => {
                tables.contains(&TableName { schema: schema.to_owned(), name: name.to_owned() })
            }
        }
    }

    /// The list as people wrote it; `None` means all.
    pub fn names(&self) -> Option<Vec<String>> {
        match self {
            Self::All => None,
            Self::Listed(tables) => Some(tables.iter().map(ToString::to_string).collect()),
        }
    }
}

/// A text that is not `schema.table`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a table's name like `public.orders`")]
pub struct InvalidTableName(String);

impl Classify for InvalidTableName {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }

    fn details(&self) -> Option<Value> {
        Some(json!({ "allowed_tables": self.to_string() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_lets_through_what_it_names_and_nothing_else() {
        let list =
            AllowedTables::parse(["sales.targets", "orders", "public.Order Details", "x.a.b"])
                .expect("good names");
        assert!(list.allows("sales", "targets") && list.allows("public", "orders"));
        assert!(list.allows("public", "Order Details") && list.allows("x", "a.b"));
        assert!(!list.allows("hr", "targets") && !list.allows("public", "Orders"));
        assert!(AllowedTables::parse(["sales."]).is_err());
    }
}
