//! What the text of a statement tells its reader of what policies hide from them.
//!
//! A statement that runs is rewritten, whoever wrote it. But somebody whom nothing binds may have written into it what only
//! they could see: `email = 'ada@example.com'`. Such a text is not to be shown to those for whom the column is masked.

use plinth_connections::TableName;

use crate::guard::Guard;
use crate::parse::parse;
use crate::rejection::Rejection;
use crate::walk::{ColumnUse, Police, Walker};

/// What the text of a statement tells beside what reading would tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Telling {
    /// Whether it speaks of columns that are masked, or may do so: by name, by a row as a whole, by another name.
    pub masked: bool,
    /// Its constants of text, if it reads a relation of which rows are hidden; else empty.
    pub texts: Vec<String>,
}

/// What is hidden of a relation that may be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hidden {
    /// Whether rows are.
    pub rows: bool,
    /// The columns that are masked.
    pub masked: Vec<String>,
}

impl Guard {
    /// What the text of a statement tells these callers of what policies hide from them.
    ///
    /// # Errors
    ///
    /// What [`Guard::check`] would say of it, as far as that is about the text as it is written: what cannot be judged may
    /// tell anything.
    pub fn telling(&self, sql: &str) -> Result<Telling, Rejection> {
        let parsed = parse(sql)?;
        let police = Police { policing: &self.policing, places: None };
        let findings = Walker::listen(&self.facts, sql, police, &parsed.select)?;
        let sources: Vec<_> = findings
            .uses
            .iter()
            .filter_map(|it| self.policing.of(it.relation)?.source.as_ref())
            .collect();
        let said = findings.said;
        let masking = sources.iter().any(|it| !it.masked().is_empty());
        let tells = |it: &ColumnUse| {
            let Some(name) = it.fields.last() else { return true };
            let masked = sources.iter().any(|source| source.masks(name));
            // A row as a whole, of which each value is told; and what may be a function of one.
            let whole = it.star || it.fields.len() == 1 && said.sources.contains(name);
            let unknown = !self.facts.is_column(name) && !said.given.contains(name);
            masked || whole || unknown
        };
        let masked = masking && (said.unnamed || said.columns.iter().any(tells));
        let hides_rows = sources.iter().any(|it| it.hides_rows());
        Ok(Telling { masked, texts: if hides_rows { said.texts } else { Vec::new() } })
    }

    /// What is hidden of a relation from these callers; `None` if there is no such relation, or nothing of it may be read.
    pub fn hidden(&self, table: &TableName) -> Option<Hidden> {
        let id = self.facts.relation(Some(&table.schema), &table.name)?;
        if self.why_closed(table).is_some() {
            return None;
        }
        let source = self.policing.of(id).and_then(|it| it.source.as_ref());
        Some(source.map_or_else(Hidden::default, |it| Hidden {
            rows: it.hides_rows(),
            masked: it.masked().to_vec(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use plinth_connections::AllowedTables;
    use plinth_schema_introspect::{Catalog, Column, Relation, Schema, TypeClass};

    use super::*;
    use crate::{Mask, Predicate, Restriction};

    /// People whose addresses are masked, and orders of one country.
    fn guard() -> Guard {
        let column = |name: &str| Column {
            name: name.to_owned(),
            type_name: "text".to_owned(),
            class: TypeClass::Text,
            readable: true,
            ..Column::default()
        };
        let table = |oid: u32, name: &str, columns: &[&str], parent: Option<u32>| {
            Arc::new(Relation {
                oid,
                schema: "public".to_owned(),
                name: name.to_owned(),
                readable: true,
                columns: columns.iter().map(|it| column(it)).collect(),
                partition_of: parent,
                ..Relation::default()
            })
        };
        let catalog = Catalog {
            server_version_num: 150_000,
            search_path: vec!["public".to_owned()],
            schemas: vec![Schema { name: "public".to_owned(), comment: None, usable: true }],
            relations: vec![
                table(1, "people", &["id", "name", "email"], None),
                table(2, "orders", &["id", "person_id", "country", "state"], None),
                table(3, "people_old", &["id", "name", "email"], Some(1)),
                table(4, "notes", &["id", "email"], None),
            ],
            ..Catalog::default()
        };
        let of = |name: &str| TableName { schema: "public".to_owned(), name: name.to_owned() };
        let restrictions = [
            Restriction {
                relation: of("people"),
                rows: Vec::new(),
                masks: BTreeMap::from([("email".to_owned(), Mask::Full)]),
                closed: None,
            },
            Restriction {
                relation: of("orders"),
                rows: vec![Predicate::parse("country = {{user.country}}").expect("a predicate")],
                masks: BTreeMap::new(),
                closed: None,
            },
        ];
        Guard::restricted(&catalog, &AllowedTables::All, &restrictions)
    }

    #[test]
    fn a_text_that_speaks_of_a_masked_column_is_known_however_it_does() {
        for sql in [
            "SELECT 1 FROM people WHERE email = 'a'",
            "SELECT 1 FROM people WHERE EMAIL = 'a'",
            "SELECT 1 FROM people WHERE \"email\" = 'a'",
            "SELECT 1 FROM people WHERE U&\"\\0065mail\" = 'a'",
            "SELECT 1 FROM people WHERE U&\"!0065mail\" UESCAPE '!' = 'a'",
            "SELECT 1 FROM people p WHERE p./**/email = 'a'",
            "SELECT 1 FROM people WHERE public.people.email = 'a'",
            "SELECT 1 FROM people t WHERE t::text LIKE '%a%'",
            "SELECT 1 FROM people WHERE people::text LIKE '%a%'",
            "SELECT 1 FROM people t WHERE (t).name = 'a'",
            "SELECT 1 FROM people t WHERE to_jsonb(t) ->> 'email' = 'a'",
            "SELECT 1 FROM people t WHERE ROW(t.*)::text LIKE '%a%'",
            "SELECT 1 FROM people t WHERE t IN (SELECT t)",
            "SELECT * FROM people",
            "TABLE people",
            "SELECT 1 FROM people AS t (a, b, c) WHERE c = 'a'",
            "SELECT 1 FROM (people CROSS JOIN notes) AS t (a, b, c, d, e) WHERE c = 'a'",
            "SELECT 1 FROM (TABLE people) AS t (a, b, c) WHERE c = 'a'",
            "WITH t (a, b, c) AS (TABLE people) SELECT 1 FROM t WHERE c = 'a'",
            "WITH t AS (SELECT email AS c FROM people) SELECT 1 FROM t WHERE c = 'a'",
            "SELECT 1 FROM people NATURAL JOIN (VALUES ('a')) AS v (email)",
            "SELECT 1 FROM people JOIN (VALUES ('a')) AS v (email) USING (email)",
            "SELECT 1 FROM orders WHERE EXISTS (SELECT 1 FROM people WHERE email = 'a')",
            "SELECT 1 FROM orders o, LATERAL (SELECT email AS e FROM people) p WHERE p.e = 'a'",
            "SELECT count(*) FILTER (WHERE email = 'a') FROM people",
            "SELECT 1 FROM people ORDER BY email",
            "SELECT 1 FROM people GROUP BY id HAVING max(email) = 'a'",
            "SELECT rank() OVER (PARTITION BY email = 'a') FROM people",
            "SELECT 1 FROM people_old WHERE email = 'a'",
            "SELECT 1 FROM people WHERE ctid IS NULL",
        ] {
            match guard().telling(sql) {
                Ok(telling) => assert!(telling.masked, "{sql}"),
                Err(refused) => panic!("{sql}: {refused}"),
            }
        }
    }

    #[test]
    fn a_text_that_does_not_speak_of_one_is_known_too() {
        for sql in [
            "SELECT count(*) FROM people",
            "SELECT p.name AS n FROM people p WHERE p.id > 5 ORDER BY n",
            "SELECT 1 FROM orders o JOIN people p ON p.id = o.person_id GROUP BY p.name",
            "SELECT email FROM notes WHERE email = 'a'",
            "WITH t AS (SELECT name FROM people) SELECT t.name FROM t",
            "SELECT x FROM unnest(ARRAY(SELECT name FROM people)) AS x",
        ] {
            assert!(!guard().telling(sql).expect(sql).masked, "{sql}");
        }
    }

    #[test]
    fn constants_are_told_where_rows_are_hidden() {
        let texts = |sql: &str| guard().telling(sql).expect(sql).texts;
        assert_eq!(texts("SELECT 1 FROM orders WHERE country = 'Peru' OR 1 = 1"), ["Peru"]);
        assert_eq!(texts("SELECT U&'\\0061' || E'\\x62' || $$c$$ FROM orders"), ["a", "b", "c"]);
        assert_eq!(texts("SELECT 1 FROM notes WHERE email = 'a'"), [""; 0]);
    }

    #[test]
    fn what_is_hidden_of_a_relation_is_told() {
        let of = |name: &str| {
            guard().hidden(&TableName { schema: "public".to_owned(), name: name.to_owned() })
        };
        let masked = Hidden { rows: false, masked: vec!["email".to_owned()] };
        assert_eq!(of("people"), Some(masked.clone()));
        assert_eq!(of("people_old"), Some(masked));
        assert_eq!(of("orders"), Some(Hidden { rows: true, masked: Vec::new() }));
        assert_eq!(of("notes"), Some(Hidden::default()));
        assert_eq!(of("nothing"), None);
    }
}
