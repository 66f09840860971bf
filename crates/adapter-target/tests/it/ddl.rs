//! The SQL that is given for tables makes the same tables.

use plinth_connections::AllowedTables;
use plinth_schema_introspect::{
    Catalog, CatalogReader as _, ReadOptions, Relation, Sampling, TableDdl, Visible,
    changes_between, table_ddl,
};
use plinth_testdb::TestDatabase;

use crate::support::{client, databases, target};

const ADVERSARIAL: &str = include_str!("fixtures/adversarial.sql");

async fn read(database: &TestDatabase) -> Catalog {
    let options = ReadOptions { sampling: Sampling::Off, measures: false };
    let superuser =
        plinth_connections::Target { username: "postgres".to_owned(), ..target(database) };
    databases().read(&superuser, options).await.expect("the catalogs are readable")
}

/// What tables, views and types say, without what is not in their SQL.
fn comparable(catalog: &Catalog) -> Catalog {
    Catalog {
        database: String::new(),
        schemas: Vec::new(),
        functions: Vec::new(),
        operators: Vec::new(),
        casts: Vec::new(),
        ..catalog.clone()
    }
}

/// Every statement that makes the relations of a catalog, in an order in which they can run.
fn script(catalog: &Catalog) -> String {
    let allowed = AllowedTables::All;
    let visible = Visible::new(catalog, &allowed);
    let mut waiting: Vec<&Relation> = visible.relations().collect();
    let mut ordered: Vec<&Relation> = Vec::new();
    // What a relation is made of comes before it.
    while !waiting.is_empty() {
        let before = waiting.len();
        let (ready, rest): (Vec<_>, Vec<_>) = waiting.iter().copied().partition(|it| {
            let needs = it.inherits.iter().chain(&it.reads).chain(&it.partition_of);
            !needs.into_iter().any(|oid| waiting.iter().any(|other| other.oid == *oid))
        });
        ordered.extend(ready);
        waiting = rest;
        assert!(waiting.len() < before, "a circle: {waiting:?}");
    }
    let all: Vec<TableDdl> = ordered.iter().map(|it| table_ddl(&visible, it)).collect();
    for (ddl, relation) in all.iter().zip(&ordered) {
        assert_eq!(ddl.remarks, Vec::<String>::new(), "{}", relation.full_name());
    }
    let is_view = |it: &Relation| it.definition.is_some();
    let mut statements: Vec<&String> = Vec::new();
    let part = |of: fn(&TableDdl) -> &Vec<String>, views: bool| -> Vec<&String> {
        let chosen = all.iter().zip(&ordered).filter(|(_, it)| is_view(it) == views);
        chosen.flat_map(|(ddl, _)| of(ddl)).collect()
    };
    for of in [(|it| &it.types) as fn(&TableDdl) -> &Vec<String>, |it| &it.sequences] {
        for statement in part(of, false) {
            // Several tables may need the same type.
            if !statements.contains(&statement) {
                statements.push(statement);
            }
        }
    }
    let rest: [fn(&TableDdl) -> &Vec<String>; 4] =
        [|it| &it.create, |it| &it.indexes, |it| &it.foreign_keys, |it| &it.comments];
    for views in [false, true] {
        for of in rest {
            statements.extend(part(of, views));
        }
    }
    statements.into_iter().map(String::as_str).collect::<Vec<_>>().join("\n")
}

/// Makes everything anew in an empty database and compares.
async fn comes_back(fixture: &str, prelude: &str) {
    let origin = TestDatabase::from_sql(fixture).await.expect("the fixture runs");
    let before = read(&origin).await;
    let sql = script(&before);
    let empty = TestDatabase::from_sql(prelude).await.expect("the prelude runs");
    let superuser = client(&empty.superuser_url()).await;
    if let Err(err) = superuser.batch_execute(&sql).await {
        panic!("{err:?}\n{sql}");
    }
    let after = read(&empty).await;
    let allowed = AllowedTables::All;
    let drift = changes_between(&Visible::new(&before, &allowed), &Visible::new(&after, &allowed));
    assert_eq!(drift, [], "{sql}");
    let (before, after) = (comparable(&before), comparable(&after));
    for (old, new) in before.relations.iter().zip(&after.relations) {
        // To say which one differs; the digest covers everything.
        let only = |it: &Catalog, relation: &std::sync::Arc<Relation>| Catalog {
            relations: it
                .relations
                .iter()
                .map(
                    |other| {
                        if other.oid == relation.oid { relation.clone() } else { other.clone() }
                    },
                )
                .filter(|other| other.oid == relation.oid)
                .collect(),
            types: Vec::new(),
            sequences: Vec::new(),
            ..it.clone()
        };
        let (a, b) = (only(&before, old), only(&after, new));
        assert_eq!(a.structure_digest(), b.structure_digest(), "{old:#?}\n{new:#?}");
    }
    assert_eq!(before.types.len(), after.types.len());
    assert_eq!(before.sequences.len(), after.sequences.len());
    assert_eq!(before.structure_digest(), after.structure_digest(), "{sql}");
}

#[tokio::test]
async fn the_sample_database_comes_back_from_its_sql() {
    comes_back(plinth_sample::SCHEMA, "").await;
}

#[tokio::test]
async fn whatever_postgres_lets_somebody_make_comes_back_from_its_sql() {
    let prelude = ADVERSARIAL.split("-- The prelude ends here.").next().unwrap();
    comes_back(ADVERSARIAL, prelude).await;
}

#[tokio::test]
async fn a_tables_own_sql_runs_by_itself() {
    let fixture = "
        CREATE TYPE mood AS ENUM ('fine', 'so so');
        CREATE TABLE people (id serial PRIMARY KEY, mood mood DEFAULT 'fine', \"Name\" text NOT NULL);
        CREATE INDEX ON people (\"Name\");
        COMMENT ON COLUMN people.mood IS 'How they are.';";
    let origin = TestDatabase::from_sql(fixture).await.expect("the fixture runs");
    let catalog = read(&origin).await;
    let allowed = AllowedTables::All;
    let visible = Visible::new(&catalog, &allowed);
    let sql = table_ddl(&visible, visible.named("people").unwrap()).to_string();
    let expected = "\
CREATE TYPE public.mood AS ENUM ('fine', 'so so');

CREATE SEQUENCE public.people_id_seq AS integer INCREMENT BY 1 MINVALUE 1 MAXVALUE 2147483647 START WITH 1;

CREATE TABLE public.people (
    id integer DEFAULT nextval('public.people_id_seq'::regclass) NOT NULL,
    mood public.mood DEFAULT 'fine'::public.mood,
    \"Name\" text NOT NULL,
    CONSTRAINT people_pkey PRIMARY KEY (id)
);

ALTER SEQUENCE public.people_id_seq OWNED BY public.people.id;
CREATE INDEX \"people_Name_idx\" ON public.people USING btree (\"Name\");

COMMENT ON COLUMN public.people.mood IS 'How they are.';
";
    assert_eq!(sql, expected);
    let empty = TestDatabase::create().await.unwrap();
    let superuser = client(&empty.superuser_url()).await;
    superuser.batch_execute(&sql).await.unwrap();
}
