//! Statements that would make a table, a view or a type anew.

mod quote;

use std::collections::HashSet;
use std::fmt;

use self::quote::{name, qualified, remark, text};
use crate::visible::{Visible, readable_columns, readable_names, readable_text};
use crate::{
    Catalog, Column, Deferral, ForeignKey, Generation, Index, Key, ReferenceAction, Relation,
    RelationKind, Sequence, UserType, UserTypeKind,
};

/// The statements that make one relation, and what it needs, in an order in which they can run. Tables and views that it
/// refers to, inherits from or reads have to be there before.
///
/// What the connection hides is left out with everything that names it, and said in a remark. What a catalog does not
/// hold is not in it either: privileges, triggers, policies, storage settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableDdl {
    /// What should be said to whoever reads it, as comments.
    pub remarks: Vec<String>,
    /// The types of its columns that belong to no extension, each after those that it is made of.
    pub types: Vec<String>,
    /// The sequences that its defaults draw from.
    pub sequences: Vec<String>,
    /// The relation itself, with its keys and conditions.
    pub create: Vec<String>,
    /// Its indexes; for a partition also what makes it one.
    pub indexes: Vec<String>,
    /// Its references to other tables.
    pub foreign_keys: Vec<String>,
    /// What somebody wrote about it and its parts.
    pub comments: Vec<String>,
}

impl fmt::Display for TableDdl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for it in &self.remarks {
            writeln!(f, "{}", remark(it))?;
        }
        let parts = [
            &self.types,
            &self.sequences,
            &self.create,
            &self.indexes,
            &self.foreign_keys,
            &self.comments,
        ];
        let mut first = self.remarks.is_empty();
        for part in parts.into_iter().filter(|it| !it.is_empty()) {
            if !std::mem::take(&mut first) {
                writeln!(f)?;
            }
            for statement in part {
                writeln!(f, "{statement}")?;
            }
        }
        Ok(())
    }
}

/// The statements that would make that relation.
pub fn table_ddl(visible: &Visible<'_>, of: &Relation) -> TableDdl {
    let mut writer = Writer { visible, of, ddl: TableDdl::default(), hidden: 0 };
    writer.types();
    match of.kind {
        RelationKind::View | RelationKind::MaterializedView => writer.view(),
        RelationKind::Table | RelationKind::PartitionedTable | RelationKind::ForeignTable => {
            writer.table();
        }
    }
    writer.indexes();
    writer.partition();
    writer.foreign_keys();
    writer.comments();
    writer.remarks();
    writer.ddl
}

struct Writer<'v, 'a> {
    visible: &'v Visible<'v>,
    of: &'a Relation,
    ddl: TableDdl,
    /// Keys, conditions, references and indexes that name what is hidden.
    hidden: usize,
}

impl Writer<'_, '_> {
    fn catalog(&self) -> &Catalog {
        self.visible.catalog()
    }

    fn own_name(&self) -> String {
        qualified(&self.of.schema, &self.of.name)
    }

    /// The table it is a partition of, if that is shown.
    fn parent(&self) -> Option<&Relation> {
        self.of.partition_of.and_then(|oid| self.visible.relation(oid))
    }

    fn types(&mut self) {
        let mut seen = HashSet::new();
        for column in readable_columns(self.of) {
            if let Some(it) = user_type(self.catalog(), column.type_oid) {
                self.type_with_parts(it.oid, &mut seen);
            }
        }
    }

    /// A type after those that it is made of.
    fn type_with_parts(&mut self, oid: u32, seen: &mut HashSet<u32>) {
        let Some(it) = user_type(self.visible.catalog(), oid) else { return };
        if it.extension.is_some() || !seen.insert(it.oid) {
            return;
        }
        let it = it.clone();
        let parts: Vec<&str> = match &it.kind {
            UserTypeKind::Domain { base, .. } => vec![base],
            UserTypeKind::Composite { attributes } => {
                attributes.iter().map(|it| it.type_name.as_str()).collect()
            }
            UserTypeKind::Enum { .. } | UserTypeKind::Range | UserTypeKind::Base => Vec::new(),
        };
        for part in parts {
            if let Some(oid) = type_named(self.visible.catalog(), part).map(|it| it.oid) {
                self.type_with_parts(oid, seen);
            }
        }
        self.one_type(&it);
    }

    fn one_type(&mut self, it: &UserType) {
        let own = qualified(&it.schema, &it.name);
        let statement = match &it.kind {
            UserTypeKind::Enum { labels } => {
                let labels: Vec<String> = labels.iter().map(|it| text(it)).collect();
                format!("CREATE TYPE {own} AS ENUM ({});", labels.join(", "))
            }
            UserTypeKind::Domain { base, not_null, default, checks, .. } => {
                let mut statement =
                    format!("CREATE DOMAIN {own} AS {}", named_type(self.catalog(), base));
                if let Some(default) = default {
                    statement = format!("{statement} DEFAULT {default}");
                }
                if *not_null {
                    statement += " NOT NULL";
                }
                for check in checks {
                    let (constraint, definition) = (name(&check.name), &check.definition);
                    statement = format!("{statement}\n    CONSTRAINT {constraint} {definition}");
                }
                statement + ";"
            }
            UserTypeKind::Composite { attributes } => {
                let fields: Vec<String> = attributes
                    .iter()
                    .map(|it| {
                        format!("{} {}", name(&it.name), named_type(self.catalog(), &it.type_name))
                    })
                    .collect();
                format!("CREATE TYPE {own} AS ({});", fields.join(", "))
            }
            UserTypeKind::Range | UserTypeKind::Base => {
                self.ddl.remarks.push(format!("The type {own} has to be there before."));
                return;
            }
        };
        self.ddl.types.push(statement);
        if let Some(comment) = &it.comment {
            let kind = match it.kind {
                UserTypeKind::Domain { .. } => "DOMAIN",
                _ => "TYPE",
            };
            self.ddl.types.push(format!("COMMENT ON {kind} {own} IS {};", text(comment)));
        }
    }

    fn view(&mut self) {
        let Some(definition) = self.visible.definition(self.of) else {
            self.ddl.remarks.push(
                "The query is left out: it reads what this connection does not show.".to_owned(),
            );
            return;
        };
        let kind = match self.of.kind {
            RelationKind::MaterializedView => "MATERIALIZED VIEW",
            _ => "VIEW",
        };
        let query = definition.trim().trim_end_matches(';');
        self.ddl.create.push(format!("CREATE {kind} {} AS\n{query};", self.own_name()));
    }

    fn table(&mut self) {
        let own = self.own_name();
        let mut lines: Vec<String> = readable_columns(self.of).map(|it| self.column(it)).collect();
        for key in &self.of.keys {
            match self.key(key) {
                Some(line) => lines.push(line),
                None => self.hidden += 1,
            }
        }
        let checks = self.of.checks.iter().filter(|it| !it.not_valid);
        let checks = checks.map(|it| (&it.name, &it.definition));
        let exclusions = self.of.exclusions.iter().map(|it| (&it.name, &it.definition));
        for (constraint, definition) in checks.chain(exclusions) {
            match readable_text(self.of, definition) {
                Some(definition) => {
                    lines.push(format!("CONSTRAINT {} {definition}", name(constraint)));
                }
                None => self.hidden += 1,
            }
        }
        let kind = match self.of.kind {
            RelationKind::ForeignTable => "FOREIGN TABLE",
            _ => "TABLE",
        };
        let mut statement = format!("CREATE {kind} {own} (\n    {}\n)", lines.join(",\n    "));
        let parents: Vec<_> =
            self.of.inherits.iter().filter_map(|oid| self.visible.relation(*oid)).collect();
        if parents.len() < self.of.inherits.len() {
            self.ddl
                .remarks
                .push("It inherits from a table that this connection does not show.".to_owned());
        }
        if !parents.is_empty() {
            let parents: Vec<String> =
                parents.iter().map(|it| qualified(&it.schema, &it.name)).collect();
            statement = format!("{statement} INHERITS ({})", parents.join(", "));
        }
        if let Some(key) = &self.of.partition_key {
            match readable_text(self.of, &key.definition) {
                Some(definition) => statement = format!("{statement} PARTITION BY {definition}"),
                None => self.hidden += 1,
            }
        }
        if let Some(server) = &self.of.server {
            statement = format!("{statement} SERVER {}", name(server));
        }
        self.ddl.create.push(statement + ";");
        for check in self.of.checks.iter().filter(|it| it.not_valid) {
            match readable_text(self.of, &check.definition) {
                Some(definition) => {
                    let valid = if definition.ends_with("NOT VALID") { "" } else { " NOT VALID" };
                    self.ddl.create.push(format!(
                        "ALTER TABLE {own} ADD CONSTRAINT {} {definition}{valid};",
                        name(&check.name)
                    ));
                }
                None => self.hidden += 1,
            }
        }
        self.sequences();
    }

    fn column(&self, it: &Column) -> String {
        let mut line = format!("{} {}", name(&it.name), column_type(self.catalog(), it));
        if let Some(collation) = &it.collation {
            line = format!("{line} COLLATE {collation}");
        }
        let expression = it.default.as_deref().and_then(|text| readable_text(self.of, text));
        match (it.generation, expression) {
            (Some(Generation::IdentityAlways), _) => line += " GENERATED ALWAYS AS IDENTITY",
            (Some(Generation::IdentityByDefault), _) => {
                line += " GENERATED BY DEFAULT AS IDENTITY";
            }
            (Some(Generation::Stored), Some(text)) => {
                line = format!("{line} GENERATED ALWAYS AS ({text}) STORED");
            }
            (Some(Generation::Virtual), Some(text)) => {
                line = format!("{line} GENERATED ALWAYS AS ({text}) VIRTUAL");
            }
            (None, Some(text)) if !it.generated => line = format!("{line} DEFAULT {text}"),
            (Some(_) | None, _) => {}
        }
        if it.nullable { line } else { line + " NOT NULL" }
    }

    fn key(&self, key: &Key) -> Option<String> {
        let columns = names(&readable_names(self.of, &key.columns)?);
        let kind = match (key.primary, key.nulls_not_distinct) {
            (true, _) => "PRIMARY KEY",
            (false, true) => "UNIQUE NULLS NOT DISTINCT",
            (false, false) => "UNIQUE",
        };
        let mut line = format!("CONSTRAINT {} {kind} ({columns})", name(&key.name));
        if !key.include.is_empty() {
            let include = names(&readable_names(self.of, &key.include)?);
            line = format!("{line} INCLUDE ({include})");
        }
        Some(line + deferral(key.deferral))
    }

    /// Those that go with a column, and those that a default names.
    fn sequences(&mut self) {
        let all: Vec<Sequence> = self
            .catalog()
            .sequences
            .iter()
            .filter(|it| {
                let own = it
                    .owner
                    .as_ref()
                    .is_some_and(|(oid, column)| *oid == self.of.oid && self.readable(column));
                let named = [
                    qualified(&it.schema, &it.name),
                    // As the server quotes it, which knows fewer words than are quoted here.
                    format!("{}.{}", it.schema, it.name),
                ];
                own || readable_columns(self.of).any(|column| {
                    let text = column.default.as_deref().unwrap_or_default();
                    named.iter().any(|it| text.contains(&format!("nextval('{it}'")))
                })
            })
            .cloned()
            .collect();
        for it in all {
            let own = qualified(&it.schema, &it.name);
            let cycle = if it.cycles { " CYCLE" } else { "" };
            self.ddl.sequences.push(format!(
                "CREATE SEQUENCE {own} AS {} INCREMENT BY {} MINVALUE {} MAXVALUE {} START WITH {}{cycle};",
                it.type_name, it.increment, it.minimum, it.maximum, it.start
            ));
            if let Some((oid, column)) = &it.owner
                && *oid == self.of.oid
                && self.readable(column)
            {
                let owner = format!("{}.{}", self.own_name(), name(column));
                self.ddl.indexes.push(format!("ALTER SEQUENCE {own} OWNED BY {owner};"));
            }
            if let Some(comment) = &it.comment {
                self.ddl.sequences.push(format!("COMMENT ON SEQUENCE {own} IS {};", text(comment)));
            }
        }
    }

    fn readable(&self, column: &str) -> bool {
        readable_columns(self.of).any(|it| it.name == column)
    }

    fn indexes(&mut self) {
        for index in &self.of.indexes {
            if index.invalid {
                let text = format!("The index {} is left out: it is not valid.", name(&index.name));
                self.ddl.remarks.push(text);
                continue;
            }
            match self.index(index) {
                Some(statement) => self.ddl.indexes.push(statement),
                None => self.hidden += 1,
            }
        }
    }

    fn index(&self, index: &Index) -> Option<String> {
        if let Some(definition) = &index.definition {
            // Of a partitioned table the server prints `ON ONLY`: it means to make those of the partitions one by one.
            let only = format!(" ON ONLY {}", self.own_name());
            let whole = format!(" ON {}", self.own_name());
            return Some(format!(
                "{};",
                readable_text(self.of, definition)?.replacen(&only, &whole, 1)
            ));
        }
        let columns = names(&readable_names(self.of, &index.columns)?);
        let unique = if index.unique { "UNIQUE " } else { "" };
        let mut statement = format!(
            "CREATE {unique}INDEX {} ON {} USING {} ({columns})",
            name(&index.name),
            self.own_name(),
            index.method
        );
        if !index.include.is_empty() {
            let include = names(&readable_names(self.of, &index.include)?);
            statement = format!("{statement} INCLUDE ({include})");
        }
        Some(statement + ";")
    }

    fn partition(&mut self) {
        if self.of.partition_of.is_none() {
            return;
        }
        match (self.parent(), &self.of.partition_bound) {
            (Some(parent), Some(bound)) => {
                let parent = qualified(&parent.schema, &parent.name);
                let own = self.own_name();
                self.ddl
                    .indexes
                    .push(format!("ALTER TABLE {parent} ATTACH PARTITION {own} {bound};"));
            }
            _ => self.ddl.remarks.push(
                "It is a partition of a table that this connection does not show.".to_owned(),
            ),
        }
    }

    fn foreign_keys(&mut self) {
        let inherited: HashSet<Vec<&str>> = self.parent().map_or_else(HashSet::new, |parent| {
            let all = parent.foreign_keys.iter();
            all.filter_map(|key| readable_names(parent, &key.columns)).collect()
        });
        let mut statements = Vec::new();
        let mut hidden = 0;
        for key in &self.of.foreign_keys {
            // A partition gets its parent's with the parent.
            let columns = readable_names(self.of, &key.columns);
            if columns.is_some_and(|it| inherited.contains(&it)) {
                continue;
            }
            match self.foreign_key(key) {
                Some(statement) => statements.push(statement),
                None => hidden += 1,
            }
        }
        self.hidden += hidden;
        self.ddl.foreign_keys = statements;
    }

    fn foreign_key(&self, key: &ForeignKey) -> Option<String> {
        let columns = names(&readable_names(self.of, &key.columns)?);
        let target = self.visible.relation(key.target)?;
        let theirs = names(&readable_names(target, &key.target_columns)?);
        let mut statement = format!(
            "ALTER TABLE {} ADD CONSTRAINT {} FOREIGN KEY ({columns}) REFERENCES {} ({theirs})",
            self.own_name(),
            name(&key.name),
            qualified(&target.schema, &target.name)
        );
        if key.match_full {
            statement += " MATCH FULL";
        }
        for (when, action) in [("UPDATE", key.on_update), ("DELETE", key.on_delete)] {
            let action = match action {
                ReferenceAction::NoAction => continue,
                ReferenceAction::Restrict => "RESTRICT",
                ReferenceAction::Cascade => "CASCADE",
                ReferenceAction::SetNull => "SET NULL",
                ReferenceAction::SetDefault => "SET DEFAULT",
            };
            statement = format!("{statement} ON {when} {action}");
            if when == "DELETE" && !key.on_delete_columns.is_empty() {
                let columns = names(&readable_names(self.of, &key.on_delete_columns)?);
                statement = format!("{statement} ({columns})");
            }
        }
        statement += deferral(key.deferral);
        Some(statement + if key.not_valid { " NOT VALID;" } else { ";" })
    }

    fn comments(&mut self) {
        if self.ddl.create.is_empty() {
            return;
        }
        let own = self.own_name();
        let kind = match self.of.kind {
            RelationKind::Table | RelationKind::PartitionedTable => "TABLE",
            RelationKind::View => "VIEW",
            RelationKind::MaterializedView => "MATERIALIZED VIEW",
            RelationKind::ForeignTable => "FOREIGN TABLE",
        };
        let mut said = Vec::new();
        if let Some(comment) = &self.of.comment {
            said.push(format!("{kind} {own} IS {}", text(comment)));
        }
        for it in readable_columns(self.of) {
            if let Some(comment) = &it.comment {
                said.push(format!("COLUMN {own}.{} IS {}", name(&it.name), text(comment)));
            }
        }
        let made = |it: &str, statements: &[String]| {
            let constraint = format!("CONSTRAINT {} ", name(it));
            statements.iter().any(|it| it.contains(&constraint))
        };
        let keys = self.of.keys.iter().map(|it| (&it.name, &it.comment));
        let checks = self.of.checks.iter().map(|it| (&it.name, &it.comment));
        let exclusions = self.of.exclusions.iter().map(|it| (&it.name, &it.comment));
        let references = self.of.foreign_keys.iter().map(|it| (&it.name, &it.comment));
        for (constraint, comment) in keys.chain(checks).chain(exclusions).chain(references) {
            let there =
                made(constraint, &self.ddl.create) || made(constraint, &self.ddl.foreign_keys);
            if let (true, Some(comment)) = (there, comment) {
                said.push(format!("CONSTRAINT {} ON {own} IS {}", name(constraint), text(comment)));
            }
        }
        for index in self.of.indexes.iter().filter(|it| !it.invalid) {
            if let (Some(comment), Some(_)) = (&index.comment, self.index(index)) {
                let index = qualified(&self.of.schema, &index.name);
                said.push(format!("INDEX {index} IS {}", text(comment)));
            }
        }
        self.ddl.comments = said.into_iter().map(|it| format!("COMMENT ON {it};")).collect();
    }

    fn remarks(&mut self) {
        let columns = self.of.columns.len() - readable_columns(self.of).count();
        for (count, what) in [
            (columns, "that the connection's role may not read: columns"),
            (
                self.hidden,
                "that name what this connection does not show: keys, conditions, references and indexes",
            ),
        ] {
            if count > 0 {
                let (what, kinds) = what.split_once(": ").unwrap_or((what, ""));
                self.ddl.remarks.push(format!("Left out are {count} {kinds} {what}."));
            }
        }
    }
}

fn names(of: &[&str]) -> String {
    of.iter().map(|it| name(it)).collect::<Vec<_>>().join(", ")
}

fn deferral(of: Deferral) -> &'static str {
    match of {
        Deferral::None => "",
        Deferral::Deferrable => " DEFERRABLE",
        Deferral::Deferred => " DEFERRABLE INITIALLY DEFERRED",
    }
}

fn user_type(catalog: &Catalog, oid: u32) -> Option<&UserType> {
    catalog.types.iter().find(|it| it.oid == oid || it.array_oid == oid && oid != 0)
}

/// The user's type that a printed name means; its schema is left out where the search path finds it.
fn type_named<'a>(catalog: &'a Catalog, printed: &str) -> Option<&'a UserType> {
    let plain = printed.split(['(', '[']).next().unwrap_or(printed).trim();
    let full = |it: &&UserType| {
        plain == qualified(&it.schema, &it.name) || plain == format!("{}.{}", it.schema, it.name)
    };
    let bare = |it: &&UserType| {
        (plain == it.name || plain == name(&it.name)) && catalog.search_path.contains(&it.schema)
    };
    let place = |it: &&UserType| catalog.search_path.iter().position(|path| *path == it.schema);
    catalog.types.iter().find(full).or_else(|| catalog.types.iter().filter(bare).min_by_key(place))
}

/// A printed type with its schema, if it is a user's.
fn named_type(catalog: &Catalog, printed: &str) -> String {
    match type_named(catalog, printed) {
        Some(it) => {
            let rest = printed.find(['(', '[']).map_or("", |at| &printed[at..]);
            format!("{}{rest}", qualified(&it.schema, &it.name))
        }
        None => printed.to_owned(),
    }
}

/// A column's type with its schema, if it is a user's: what the search path finds is another thing elsewhere.
fn column_type(catalog: &Catalog, column: &Column) -> String {
    let Some(it) = user_type(catalog, column.type_oid) else { return column.type_name.clone() };
    let array = it.oid != column.type_oid;
    // A modifier stands in parentheses behind the name, which may have parentheses itself.
    let printed = column.type_name.strip_suffix("[]").unwrap_or(&column.type_name);
    let modifier = match it.kind {
        UserTypeKind::Base if printed.ends_with(')') && !printed.ends_with("\")") => {
            printed.rfind('(').map_or("", |at| &printed[at..])
        }
        _ => "",
    };
    let brackets = if array { "[]" } else { "" };
    format!("{}{modifier}{brackets}", qualified(&it.schema, &it.name))
}
