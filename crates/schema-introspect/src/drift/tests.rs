use std::sync::Arc;

use plinth_connections::AllowedTables;

use super::{Aspect, Change, ChangeKind, ObjectKind, changes_between};
use crate::{
    Catalog, Check, Column, ForeignKey, Index, Key, Relation, RelationKind, UserType, UserTypeKind,
    Visible,
};

fn column(name: &str, type_name: &str) -> Column {
    Column {
        name: name.to_owned(),
        type_name: type_name.to_owned(),
        nullable: true,
        readable: true,
        ..Column::default()
    }
}

fn table(oid: u32, name: &str, columns: &[(&str, &str)]) -> Relation {
    Relation {
        oid,
        schema: "public".to_owned(),
        name: name.to_owned(),
        readable: true,
        columns: columns.iter().map(|it| column(it.0, it.1)).collect(),
        ..Relation::default()
    }
}

fn shop() -> Catalog {
    let mut customers =
        table(101, "customers", &[("id", "integer"), ("name", "text"), ("city", "text")]);
    customers.keys = vec![Key {
        name: "customers_pkey".to_owned(),
        columns: vec![0],
        primary: true,
        ..Key::default()
    }];
    let mut orders = table(
        102,
        "orders",
        &[
            ("id", "integer"),
            ("customer_id", "integer"),
            ("total", "numeric(12,2)"),
            ("note", "text"),
        ],
    );
    orders.foreign_keys = vec![ForeignKey {
        name: "orders_customer_id_fkey".to_owned(),
        columns: vec![1],
        target: 101,
        target_columns: vec![0],
        ..ForeignKey::default()
    }];
    orders.checks = vec![Check {
        name: "orders_total_check".to_owned(),
        definition: "CHECK ((total >= 0))".to_owned(),
        columns: vec![2],
        ..Check::default()
    }];
    orders.indexes = vec![Index {
        name: "orders_total".to_owned(),
        columns: vec![2],
        method: "btree".to_owned(),
        ..Index::default()
    }];
    let reviews = table(103, "reviews", &[("id", "integer"), ("stars", "smallint")]);
    Catalog {
        search_path: vec!["public".to_owned()],
        relations: [customers, orders, reviews].map(Arc::new).to_vec(),
        ..Catalog::default()
    }
}

fn changes(before: &Catalog, after: &Catalog) -> Vec<Change> {
    let all = AllowedTables::All;
    changes_between(&Visible::new(before, &all), &Visible::new(after, &all))
}

/// Short enough to compare: `renamed column public.orders: total → amount`.
fn lines(changes: &[Change]) -> Vec<String> {
    let line = |it: &Change| {
        let kind = format!("{:?}", it.kind).to_lowercase();
        let (before, after) = (it.before.as_deref(), it.after.as_deref());
        let aspect = it.aspect.map(|it| format!(" {it:?}").to_lowercase()).unwrap_or_default();
        let (before, after) = (before.unwrap_or("-"), after.unwrap_or("-"));
        format!("{kind} {} {}{aspect}: {before} → {after}", it.object, it.name)
    };
    changes.iter().map(line).collect()
}

fn edit(catalog: &mut Catalog, at: usize) -> &mut Relation {
    Arc::make_mut(&mut catalog.relations[at])
}

#[test]
fn the_same_catalog_has_not_drifted() {
    assert_eq!(changes(&shop(), &shop()), []);
}

#[test]
fn estimates_and_new_numbers_are_no_drift() {
    let mut after = shop();
    for (at, relation) in after.relations.iter_mut().map(Arc::make_mut).enumerate() {
        relation.estimated_rows = Some(1e6);
        relation.oid = 500 + u32::try_from(at).unwrap();
    }
    edit(&mut after, 1).foreign_keys[0].target = 500;
    assert_eq!(changes(&shop(), &after), [], "a copy restored elsewhere is the same");
}

#[test]
fn every_side_of_a_column_is_told() {
    let mut after = shop();
    let total = &mut edit(&mut after, 1).columns[2];
    total.type_name = "numeric(14,2)".to_owned();
    total.nullable = false;
    total.default = Some("0".to_owned());
    total.comment = Some("In dollars.".to_owned());
    edit(&mut after, 1).columns.push(column("paid_at", "timestamp with time zone"));
    edit(&mut after, 1).columns.remove(3);
    assert_eq!(
        lines(&changes(&shop(), &after)),
        [
            "removed column note: text → -",
            "added column paid_at: - → timestamp with time zone",
            "changed column total type: numeric(12,2) → numeric(14,2)",
            "changed column total nullable: null → not null",
            "changed column total default: - → 0",
            "changed column total comment: - → In dollars.",
        ]
    );
}

#[test]
fn a_renamed_column_takes_its_keys_and_conditions_along() {
    let mut after = shop();
    edit(&mut after, 1).columns[2].name = "total_amount".to_owned();
    edit(&mut after, 1).checks[0].definition = "CHECK ((total_amount >= 0))".to_owned();
    let found = changes(&shop(), &after);
    assert_eq!(lines(&found), ["renamed column total_amount: total → total_amount"]);
    assert!(found[0].breaking);
    assert!(found[0].confidence.is_some_and(|it| it >= 0.95), "{found:?}");
}

#[test]
fn the_number_of_a_column_outlives_its_name() {
    let numbered = || Catalog { revision: 1, ..shop() };
    let mut after = numbered();
    let orders = edit(&mut after, 1);
    orders.columns[3].name = "zzz".to_owned();
    let found = changes(&numbered(), &after);
    assert_eq!(lines(&found), ["renamed column zzz: note → zzz"]);
    assert_eq!(found[0].confidence, Some(1.0), "whatever it is called now");

    // Dropped, and another one made in its place: only the number tells.
    let orders = edit(&mut after, 1);
    orders.gaps = vec![4];
    let found = changes(&numbered(), &after);
    assert!(found.iter().all(|it| it.kind != ChangeKind::Renamed), "{:?}", lines(&found));
}

#[test]
fn a_column_of_another_kind_in_another_place_is_not_a_renamed_one() {
    let mut after = shop();
    edit(&mut after, 1).columns.remove(2);
    edit(&mut after, 1).columns.push(column("shipped_on", "date"));
    edit(&mut after, 1).checks.clear();
    edit(&mut after, 1).indexes.clear();
    let found = changes(&shop(), &after);
    assert!(found.iter().all(|it| it.kind != ChangeKind::Renamed), "{:?}", lines(&found));
}

#[test]
fn a_renamed_table_is_the_same_by_its_number_or_by_its_columns() {
    for new_oid in [false, true] {
        let mut after = shop();
        edit(&mut after, 0).name = "clients".to_owned();
        if new_oid {
            // Restored elsewhere: every number is another.
            for relation in after.relations.iter_mut().map(Arc::make_mut) {
                relation.oid += 1_000;
            }
            edit(&mut after, 1).foreign_keys[0].target = 1_101;
        }
        after.relations.sort_by(|a, b| a.name.cmp(&b.name));
        let found = changes(&shop(), &after);
        assert_eq!(
            lines(&found),
            ["renamed table public.clients: public.customers → public.clients"]
        );
        let confidence = found[0].confidence.unwrap();
        assert_eq!(confidence >= 1.0, !new_oid, "only the number is certain: {confidence}");
    }
}

#[test]
fn a_partition_that_comes_is_not_the_one_that_went() {
    let part = |oid, name: &str| Relation {
        partition_of: Some(100),
        partition_bound: Some(format!("FOR VALUES IN ('{name}')")),
        ..table(oid, name, &[("id", "integer"), ("at", "date"), ("what", "text")])
    };
    let (mut before, mut after) = (shop(), shop());
    before.relations.insert(1, part(201, "events_01").into());
    after.relations.insert(1, part(202, "events_02").into());
    let found = changes(&before, &after);
    assert_eq!(
        found.iter().map(|it| it.kind).collect::<Vec<_>>(),
        [ChangeKind::Removed, ChangeKind::Added]
    );
}

#[test]
fn of_several_that_may_be_meant_none_is_sure() {
    let two = |a: &str, b: &str| Catalog {
        relations: vec![
            table(1, a, &[("id", "integer"), ("name", "text")]).into(),
            table(2, b, &[("id", "integer"), ("name", "text")]).into(),
        ],
        ..Catalog::default()
    };
    let found = changes(&two("alpha", "beta"), &two("gamma", "zeta"));
    for change in &found {
        assert!(change.confidence.is_none_or(|it| it < 0.7), "{found:?}");
    }
}

#[test]
fn keys_references_and_indexes_are_told_by_what_they_say() {
    let mut after = shop();
    edit(&mut after, 1).foreign_keys[0].on_delete = crate::ReferenceAction::Cascade;
    edit(&mut after, 1).indexes[0].name = "orders_by_total".to_owned();
    edit(&mut after, 1).checks.clear();
    edit(&mut after, 2).keys = vec![Key {
        name: "reviews_pkey".to_owned(),
        columns: vec![0],
        primary: true,
        ..Key::default()
    }];
    assert_eq!(
        lines(&changes(&shop(), &after)),
        [
            "changed foreign key orders_customer_id_fkey definition: (customer_id) → public.customers (id) → \
             (customer_id) → public.customers (id) on delete cascade",
            "removed constraint orders_total_check: CHECK ((total >= 0)) → -",
            "renamed index orders_by_total: orders_total → orders_by_total",
            "added primary key reviews_pkey: - → (id)",
        ]
    );
}

#[test]
fn labels_of_an_enum_drift_once_and_not_with_each_column() {
    let with = |labels: &[&str]| {
        let mut catalog = shop();
        let labels: Vec<String> = labels.iter().map(|it| (*it).to_owned()).collect();
        let status = Column {
            type_oid: 900,
            enum_values: labels.clone(),
            ..column("status", "order_status")
        };
        edit(&mut catalog, 1).columns.push(status);
        catalog.types = vec![UserType {
            oid: 900,
            schema: "public".to_owned(),
            name: "order_status".to_owned(),
            kind: UserTypeKind::Enum { labels },
            array_oid: 901,
            delimiter: ',',
            extension: None,
            comment: None,
        }];
        catalog
    };
    let found = changes(&with(&["open", "paid"]), &with(&["open", "paid", "sent"]));
    assert_eq!(
        lines(&found),
        ["changed enum public.order_status labels: open, paid → open, paid, sent"]
    );
    assert!(!found[0].breaking, "what worked goes on working");
    assert!(changes(&with(&["open", "paid"]), &with(&["open"]))[0].breaking);
}

#[test]
fn what_a_connection_hides_does_not_drift() {
    let mut after = shop();
    edit(&mut after, 1).columns[2].type_name = "money".to_owned();
    edit(&mut after, 0).columns[2].readable = false;
    edit(&mut after, 0).readable = false;
    let allowed = AllowedTables::parse(["public.customers"]).unwrap();
    let (before, after) = (shop(), after);
    let found = changes_between(&Visible::new(&before, &allowed), &Visible::new(&after, &allowed));
    assert_eq!(lines(&found), ["removed column city: text → -"], "which may not be read any more");
}

#[test]
fn a_table_that_became_a_view_is_still_the_same_thing() {
    let mut after = shop();
    edit(&mut after, 2).kind = RelationKind::View;
    edit(&mut after, 2).definition = Some("SELECT 1 AS id, 2 AS stars".to_owned());
    edit(&mut after, 2).oid = 999;
    let found = changes(&shop(), &after);
    assert_eq!(lines(&found), ["changed view public.reviews kind: table → view"]);
    assert_eq!((found[0].object, found[0].aspect), (ObjectKind::View, Some(Aspect::Kind)));
}

#[test]
fn thousands_of_new_tables_are_compared_in_a_moment() {
    let many = |prefix: &str, oid: u32| Catalog {
        relations: (0..3_000)
            .map(|at| {
                let name = format!("{prefix}_{at:05}");
                let own = format!("of_{at}");
                table(oid + at, &name, &[("id", "integer"), (&own, "text"), ("at", "date")]).into()
            })
            .collect(),
        ..Catalog::default()
    };
    let started = std::time::Instant::now();
    let found = changes(&many("old", 1), &many("new", 100_000));
    assert_eq!(found.len(), 3_000);
    assert!(found.iter().all(|it| it.kind == ChangeKind::Renamed));
    assert!(started.elapsed() < std::time::Duration::from_secs(20), "{:?}", started.elapsed());
}
