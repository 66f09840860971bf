use plinth_core::{Classify, ErrorKind};
use serde_json::{Value, json};

/// Why a statement is refused. The names in [`Rule::name`] are stable: callers act on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    /// There is no statement in the text.
    Empty,
    /// The text is longer than [`crate::MAX_SQL_BYTES`].
    TooLong,
    /// Too many tokens, sources, columns or grouping sets.
    TooComplex,
    /// Nested too deeply for the parser.
    TooDeep,
    /// Postgres's grammar does not accept it.
    Syntax,
    /// More than one statement.
    MultipleStatements,
    /// Something other than SELECT, VALUES, TABLE or WITH … SELECT.
    NotASelect,
    /// A data-modifying statement inside WITH.
    DataModifyingCte,
    /// `SELECT … INTO`, which makes a table.
    SelectInto,
    /// `FOR UPDATE`, `FOR SHARE` and the like, which lock rows.
    RowLock,
    /// A construct that the guard does not know, or that has no place in a read.
    UnsupportedSyntax,
    /// A construct that this server's version does not have.
    UnsupportedByServer,
    /// A parameter that is not bound.
    UnknownParameter,
    /// A relation that does not exist.
    UnknownTable,
    /// A relation that exists outside the allowed ones.
    TableNotAllowed,
    /// A system catalog, `information_schema`, or another schema of the server's own.
    SystemCatalog,
    /// A name qualified with another database.
    OtherDatabase,
    /// A table from which tables inherit that are not allowed.
    InheritedTables,
    /// A view that runs code which the guard does not let through, or that cannot be looked through.
    UnsafeView,
    /// A function outside the allow-list.
    FunctionNotAllowed,
    /// An operator that is or may be one of the database's own.
    OperatorNotAllowed,
    /// A type outside the allow-list.
    TypeNotAllowed,
    /// A cast that runs a function of the database's own.
    CastNotAllowed,
    /// `(value).name` where the name is, or may be, a function.
    AttributeNotAllowed,
    /// Parsing a text as XML.
    XmlParsing,
    /// A sampling method other than SYSTEM and BERNOULLI.
    SamplingMethod,
    /// Who is logged in to the database.
    SessionInformation,
    /// A policy closes the relation to the caller: whole, or until somebody gives it a policy of its own.
    PolicyClosed,
    /// A policy limits what the caller sees of a table, and the statement uses it in a way that cannot be rewritten.
    PolicyUnsupported,
    /// Something other than one INSERT, UPDATE, DELETE or CALL, where one of these has to be.
    NotAWrite,
    /// `RETURNING`, where nobody reads what comes back.
    Returning,
    /// An UPDATE or DELETE that says nothing of which rows it means.
    MissingWhere,
    /// A procedure outside the listed ones.
    ProcedureNotAllowed,
    /// Not the statement's fault: the parser has no thread or no file descriptor just now.
    Unavailable,
}

impl Rule {
    /// Every rule.
    pub const ALL: [Self; 34] = [
        Self::Empty,
        Self::TooLong,
        Self::TooComplex,
        Self::TooDeep,
        Self::Syntax,
        Self::MultipleStatements,
        Self::NotASelect,
        Self::DataModifyingCte,
        Self::SelectInto,
        Self::RowLock,
        Self::UnsupportedSyntax,
        Self::UnsupportedByServer,
        Self::UnknownParameter,
        Self::UnknownTable,
        Self::TableNotAllowed,
        Self::SystemCatalog,
        Self::OtherDatabase,
        Self::InheritedTables,
        Self::UnsafeView,
        Self::FunctionNotAllowed,
        Self::OperatorNotAllowed,
        Self::TypeNotAllowed,
        Self::CastNotAllowed,
        Self::AttributeNotAllowed,
        Self::XmlParsing,
        Self::SamplingMethod,
        Self::SessionInformation,
        Self::PolicyClosed,
        Self::PolicyUnsupported,
        Self::NotAWrite,
        Self::Returning,
        Self::MissingWhere,
        Self::ProcedureNotAllowed,
        Self::Unavailable,
    ];

    /// The stable name, as `details.rule` carries it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooLong => "too_long",
            Self::TooComplex => "too_complex",
            Self::TooDeep => "too_deep",
            Self::Syntax => "syntax",
            Self::MultipleStatements => "multiple_statements",
            Self::NotASelect => "not_a_select",
            Self::DataModifyingCte => "data_modifying_cte",
            Self::SelectInto => "select_into",
            Self::RowLock => "row_lock",
            Self::UnsupportedSyntax => "unsupported_syntax",
            Self::UnsupportedByServer => "unsupported_by_server",
            Self::UnknownParameter => "unknown_parameter",
            Self::UnknownTable => "unknown_table",
            Self::TableNotAllowed => "table_not_allowed",
            Self::SystemCatalog => "system_catalog",
            Self::OtherDatabase => "other_database",
            Self::InheritedTables => "inherited_tables",
            Self::UnsafeView => "unsafe_view",
            Self::FunctionNotAllowed => "function_not_allowed",
            Self::OperatorNotAllowed => "operator_not_allowed",
            Self::TypeNotAllowed => "type_not_allowed",
            Self::CastNotAllowed => "cast_not_allowed",
            Self::AttributeNotAllowed => "attribute_not_allowed",
            Self::XmlParsing => "xml_parsing",
            Self::SamplingMethod => "sampling_method",
            Self::SessionInformation => "session_information",
            Self::PolicyClosed => "policy_closed",
            Self::PolicyUnsupported => "policy_unsupported",
            Self::NotAWrite => "not_a_write",
            Self::Returning => "returning",
            Self::MissingWhere => "missing_where",
            Self::ProcedureNotAllowed => "procedure_not_allowed",
            Self::Unavailable => "unavailable",
        }
    }

    /// Whether the refusal is about who may read what, rather than about the statement itself.
    pub fn is_about_access(self) -> bool {
        matches!(
            self,
            Self::TableNotAllowed
                | Self::SystemCatalog
                | Self::InheritedTables
                | Self::PolicyClosed
                | Self::ProcedureNotAllowed
        )
    }
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A refused statement: which rule, what is wrong and what to do, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Rejection {
    /// Which rule refused it.
    pub rule: Rule,
    /// What is wrong and what to do about it, for people.
    pub message: String,
    /// Where, in characters from the statement's beginning, the first being 1, as Postgres counts; `None` if the
    /// parser does not say or it is not in the statement's own text.
    pub position: Option<usize>,
    /// The relation that it is about, as the statement names it.
    pub table: Option<String>,
    /// Up to three allowed relations of a similar name; only beside [`Rule::UnknownTable`].
    pub near: Vec<String>,
}

impl Rejection {
    pub(crate) fn new(rule: Rule, message: impl Into<String>) -> Self {
        Self { rule, message: message.into(), position: None, table: None, near: Vec::new() }
    }

    pub(crate) fn about(mut self, table: impl Into<String>) -> Self {
        self.table = Some(table.into());
        self
    }

    /// Puts the position there unless there is one; `offset` counts bytes from 0, below zero means unknown.
    pub(crate) fn at(mut self, text: &str, offset: i32) -> Self {
        if self.position.is_none() {
            self.position = usize::try_from(offset)
                .ok()
                .and_then(|offset| text.get(..offset))
                .map(|before| before.chars().count() + 1);
        }
        self
    }
}

impl Classify for Rejection {
    fn kind(&self) -> ErrorKind {
        match self.rule {
            Rule::Unavailable => ErrorKind::Unavailable,
            rule if rule.is_about_access() => ErrorKind::Forbidden,
            _ => ErrorKind::Invalid,
        }
    }

    fn details(&self) -> Option<Value> {
        let reason = match self.rule {
            Rule::PolicyClosed => "policy",
            rule if rule.is_about_access() => "table_not_allowed",
            Rule::UnknownTable => "unknown_table",
            _ => "sql_rejected",
        };
        let mut details = json!({ "reason": reason, "rule": self.rule.name() });
        if let Some(position) = self.position {
            details["position"] = position.into();
        }
        if let Some(table) = &self.table {
            details["table"] = table.as_str().into();
        }
        if !self.near.is_empty() {
            details["near"] = self.near.as_slice().into();
        }
        Some(details)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_rule_has_a_name_of_its_own_in_snake_case() {
        let names: BTreeSet<_> = Rule::ALL.into_iter().map(Rule::name).collect();
        assert_eq!(names.len(), Rule::ALL.len());
        assert!(names.iter().all(|it| it.bytes().all(|b| b == b'_' || b.is_ascii_lowercase())));
    }

    #[test]
    fn a_table_outside_the_allowed_ones_is_forbidden_and_all_else_is_invalid() {
        let forbidden = Rejection::new(Rule::TableNotAllowed, "no").about("hr.salaries");
        assert_eq!(forbidden.kind(), ErrorKind::Forbidden);
        assert_eq!(
            forbidden.details(),
            Some(
                json!({ "reason": "table_not_allowed", "rule": "table_not_allowed", "table": "hr.salaries" })
            )
        );
        let invalid = Rejection::new(Rule::SelectInto, "no").at("sé x", 4);
        assert_eq!(invalid.kind(), ErrorKind::Invalid);
        assert_eq!(
            invalid.details(),
            Some(json!({ "reason": "sql_rejected", "rule": "select_into", "position": 4 }))
        );
    }
}
