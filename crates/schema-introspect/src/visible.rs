use std::sync::OnceLock;

use plinth_connections::AllowedTables;
use plinth_core::FastMap;

use crate::{Catalog, Column, ForeignKey, Relation, SchemaError, UserType};

/// What of a catalog a connection lets people know of: a table that may not be read is not even named, nor is a column
/// that may not be read.
///
/// Whatever is told of a schema goes through here, so that there is one place that decides.
#[derive(Clone, Debug)]
pub struct Visible<'a> {
    catalog: &'a Catalog,
    /// Where the visible relations stand in the catalog, in its order.
    at: Vec<usize>,
    /// Made when somebody asks by oid: a summary of a large schema does not.
    by_oid: OnceLock<FastMap<u32, usize>>,
}

/// A foreign key all of whose ends are visible.
#[derive(Clone, Debug)]
pub struct Reference<'a> {
    /// The constraint's name.
    pub name: &'a str,
    /// The names of the columns here.
    pub columns: Vec<&'a str>,
    /// The relation that is referred to.
    pub target: &'a Relation,
    /// The names of the columns there, in the same order.
    pub target_columns: Vec<&'a str>,
}

impl<'a> Visible<'a> {
    /// What `allowed` lets through of `catalog`.
    pub fn new(catalog: &'a Catalog, allowed: &AllowedTables) -> Self {
        let shown = |it: &Relation| {
            it.columns.iter().any(|column| column.readable) && allowed.allows(&it.schema, &it.name)
        };
        let at: Vec<usize> =
            (0..catalog.relations.len()).filter(|at| shown(&catalog.relations[*at])).collect();
        Self { catalog, at, by_oid: OnceLock::new() }
    }

    fn by_oid(&self) -> &FastMap<u32, usize> {
        let oid = |at: &usize| (self.catalog.relations[*at].oid, *at);
        self.by_oid.get_or_init(|| self.at.iter().map(oid).collect())
    }

    /// The whole catalog, for what is not about tables.
    pub fn catalog(&self) -> &'a Catalog {
        self.catalog
    }

    /// How many relations are visible.
    pub fn len(&self) -> usize {
        self.at.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.at.is_empty()
    }

    /// The visible relations, sorted by schema and name.
    pub fn relations(&self) -> impl Iterator<Item = &'a Relation> {
        let catalog = self.catalog;
        self.at.iter().map(move |at| &*catalog.relations[*at])
    }

    /// The relation of that oid, if it is visible.
    pub fn relation(&self, oid: u32) -> Option<&'a Relation> {
        self.by_oid().get(&oid).map(|at| &*self.catalog.relations[*at])
    }

    /// The relation of that schema and name, if it is visible.
    pub fn find(&self, schema: &str, name: &str) -> Option<&'a Relation> {
        self.catalog.find(schema, name).filter(|it| self.by_oid().contains_key(&it.oid))
    }

    /// The relation that a caller names: `schema.table`, or a bare name that is looked for along the search path. A
    /// table's own name may hold dots: each dot is tried as the one that divides.
    pub fn named(&self, text: &str) -> Option<&'a Relation> {
        let split = text.match_indices('.').map(|(at, _)| (&text[..at], &text[at + 1..]));
        split.into_iter().find_map(|(schema, name)| self.find(schema, name)).or_else(|| {
            let path = self.catalog.search_path.iter();
            path.map(String::as_str).find_map(|schema| self.find(schema, text))
        })
    }

    /// The same as [`Visible::named`].
    ///
    /// # Errors
    ///
    /// [`SchemaError::TableNotFound`] if there is none, or it is hidden.
    pub fn table(&self, text: &str) -> Result<&'a Relation, SchemaError> {
        self.named(text).ok_or_else(|| SchemaError::TableNotFound(text.to_owned()))
    }

    /// The foreign keys of a relation whose two ends are visible; one that is not would name what is hidden.
    pub fn references(&self, of: &'a Relation) -> impl Iterator<Item = Reference<'a>> {
        of.foreign_keys.iter().filter_map(|key| self.reference(of, key))
    }

    /// A foreign key by the names of its columns; `None` if one of them, or the other table, is hidden.
    pub fn reference(&self, of: &'a Relation, key: &'a ForeignKey) -> Option<Reference<'a>> {
        let target = self.relation(key.target)?;
        Some(Reference {
            name: &key.name,
            columns: readable_names(of, &key.columns)?,
            target,
            target_columns: readable_names(target, &key.target_columns)?,
        })
    }

    /// The types outside `pg_catalog` that a visible column has, in the catalog's order.
    pub fn types(&self) -> Vec<&'a UserType> {
        let used: std::collections::HashSet<u32> =
            self.relations().flat_map(readable_columns).map(|it| it.type_oid).collect();
        let all = self.catalog.types.iter();
        all.filter(|it| used.contains(&it.oid) || it.array_oid != 0 && used.contains(&it.array_oid))
            .collect()
    }
}

/// The columns of a relation that the role may read, in order.
pub fn readable_columns(relation: &Relation) -> impl Iterator<Item = &Column> {
    relation.columns.iter().filter(|it| it.readable)
}

/// The names of columns by their positions; `None` if the role may not read one of them: what names such a column is
/// left out as a whole.
pub fn readable_names<'a>(relation: &'a Relation, positions: &[usize]) -> Option<Vec<&'a str>> {
    positions
        .iter()
        .map(|at| relation.columns.get(*at).filter(|it| it.readable).map(|it| it.name.as_str()))
        .collect()
}

impl<'a> Visible<'a> {
    /// A view's query, if the role may read everything that it reads: else its text would name what is hidden.
    pub fn definition(&self, of: &'a Relation) -> Option<&'a str> {
        let known =
            |oid: &u32| *oid < FIRST_USER_OID || self.relation(*oid).is_some_and(|it| it.readable);
        // Where nothing is known of what it reads, it may be anything, unless it reads nothing.
        let unknown = |text: &str| {
            of.reads.is_empty()
                && identifiers(text).iter().any(|it| it.eq_ignore_ascii_case("from"))
        };
        of.definition.as_deref().filter(|it| of.reads.iter().all(known) && !unknown(it))
    }
}

/// What stands in Postgres's own catalogs has smaller oids.
const FIRST_USER_OID: u32 = 16_384;

/// An expression over a relation's columns, if it names none that the role may not read.
pub fn readable_text<'a>(relation: &Relation, text: &'a str) -> Option<&'a str> {
    let mut hidden = relation.columns.iter().filter(|it| !it.readable).peekable();
    if hidden.peek().is_none() {
        return Some(text);
    }
    let named = identifiers(text);
    (!hidden.any(|it| named.contains(&it.name))).then_some(text)
}

/// Everything in an expression that may be a name: words, and what stands in double quotes.
fn identifiers(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let mut name = String::new();
        if c == '"' {
            while let Some(c) = chars.next() {
                match c {
                    '"' if chars.next_if_eq(&'"').is_none() => break,
                    c => name.push(c),
                }
            }
        } else if is_word(c) {
            name.push(c);
            while let Some(c) = chars.next_if(|it| is_word(*it)) {
                name.push(c);
            }
        } else {
            continue;
        }
        found.push(name);
    }
    found
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RelationKind;

    fn column(name: &str, readable: bool) -> Column {
        Column { name: name.to_owned(), readable, ..Column::default() }
    }

    fn relation(oid: u32, name: &str, columns: &[(&str, bool)]) -> Relation {
        Relation {
            oid,
            schema: "public".to_owned(),
            name: name.to_owned(),
            readable: columns.iter().all(|it| it.1),
            columns: columns.iter().map(|it| column(it.0, it.1)).collect(),
            ..Relation::default()
        }
    }

    #[test]
    fn an_expression_that_names_a_hidden_column_is_hidden() {
        let table = relation(1, "t", &[("a", true), ("b", false), ("odd \"one\"", false)]);
        for shown in ["(a > 0)", "lower(ab)", "(a + 1) > 'x'"] {
            assert_eq!(readable_text(&table, shown), Some(shown));
        }
        for hidden in ["(a > b)", "\"b\" IS NULL", "\"odd \"\"one\"\"\" = 1", "t.b"] {
            assert_eq!(readable_text(&table, hidden), None, "{hidden}");
        }
    }

    #[test]
    fn a_view_over_something_hidden_keeps_its_query_to_itself() {
        let mut catalog = Catalog {
            search_path: vec!["public".to_owned()],
            relations: vec![
                relation(20_001, "plans", &[("a", false)]).into(),
                relation(20_002, "sales", &[("a", true)]).into(),
                Relation {
                    kind: RelationKind::View,
                    definition: Some("SELECT a FROM sales".to_owned()),
                    reads: vec![20_002, 1259],
                    ..relation(20_003, "v", &[("a", true)])
                }
                .into(),
            ],
            ..Catalog::default()
        };
        let text = |catalog: &Catalog, allowed: &AllowedTables| {
            let visible = Visible::new(catalog, allowed);
            assert!(visible.find("public", "plans").is_none(), "may not be read");
            visible.named("v").and_then(|it| visible.definition(it)).map(str::to_owned)
        };
        assert!(text(&catalog, &AllowedTables::All).is_some());
        let only = AllowedTables::parse(["public.v"]).expect("a name");
        assert_eq!(text(&catalog, &only), None, "its table is not allowed");
        std::sync::Arc::make_mut(&mut catalog.relations[2]).reads = vec![20_001];
        assert_eq!(text(&catalog, &AllowedTables::All), None, "its table may not be read");
    }

    #[test]
    fn a_name_with_dots_is_found_by_each_way_to_divide_it() {
        let mut dotted = relation(1, "b.c", &[("a", true)]);
        dotted.schema = "a".to_owned();
        let mut other = relation(2, "c", &[("a", true)]);
        other.schema = "x.y".to_owned();
        let catalog =
            Catalog { relations: vec![dotted.into(), other.into()], ..Catalog::default() };
        let visible = Visible::new(&catalog, &AllowedTables::All);
        assert_eq!(visible.named("a.b.c").map(|it| it.oid), Some(1));
        assert_eq!(visible.named("x.y.c").map(|it| it.oid), Some(2));
        assert!(visible.named("c").is_none(), "not on the search path");
    }
}
