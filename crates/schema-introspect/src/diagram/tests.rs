use std::sync::Arc;

use plinth_connections::AllowedTables;

use super::layout::{Line, Size, layout};
use super::{DiagramOptions, diagram, mermaid, svg};
use crate::{Catalog, Column, ForeignKey, Key, Relation, Visible};

/// A column by its text: `id`, `customer_id`, `note?` (may be null).
fn column(text: &str) -> Column {
    let name = text.trim_end_matches('?');
    let kind = match name {
        it if it.ends_with("_id") || it == "id" => "integer",
        it if it.ends_with("_at") => "timestamp with time zone",
        it if it.ends_with("total") || it.ends_with("price") => "numeric(12,2)",
        _ => "text",
    };
    Column {
        name: name.to_owned(),
        type_name: kind.to_owned(),
        nullable: text.ends_with('?'),
        readable: true,
        ..Column::default()
    }
}

/// A table's name, its columns, and the tables that its columns of these positions refer to.
type Table<'a> = (&'a str, &'a str, &'a [(usize, &'a str)]);

fn catalog(tables: &[Table<'_>]) -> Catalog {
    let mut sorted = tables.to_vec();
    sorted.sort_unstable_by_key(|it| it.0);
    let oid = |name: &str| {
        20_000 + u32::try_from(sorted.iter().position(|it| it.0 == name).unwrap()).unwrap()
    };
    let relations = sorted
        .iter()
        .map(|(name, columns, references)| {
            let foreign_keys = references
                .iter()
                .map(|(at, target)| ForeignKey {
                    name: format!("{name}_{at}"),
                    columns: vec![*at],
                    target: oid(target),
                    target_columns: vec![0],
                    ..ForeignKey::default()
                })
                .collect();
            Arc::new(Relation {
                oid: oid(name),
                schema: "public".to_owned(),
                name: (*name).to_owned(),
                readable: true,
                columns: columns.split(' ').map(column).collect(),
                keys: vec![Key { columns: vec![0], primary: true, ..Key::default() }],
                foreign_keys,
                ..Relation::default()
            })
        })
        .collect();
    Catalog {
        database: "shop".to_owned(),
        search_path: vec!["public".to_owned()],
        relations,
        ..Catalog::default()
    }
}

/// As large as a picture should still be readable: a shop of 30 tables.
fn shop() -> Catalog {
    catalog(&[
        ("departments", "id name cost_center city", &[]),
        (
            "employees",
            "id first_name last_name email job_title department_id manager_id? hired_at",
            &[(5, "departments"), (6, "employees")],
        ),
        ("suppliers", "id name country contact_email phone?", &[]),
        ("categories", "id name slug parent_id?", &[(3, "categories")]),
        (
            "products",
            "id sku name description? category_id supplier_id price",
            &[(4, "categories"), (5, "suppliers")],
        ),
        ("product_images", "id product_id url position", &[(1, "products")]),
        ("price_history", "id product_id price changed_at", &[(1, "products")]),
        ("warehouses", "id name city manager_id", &[(3, "employees")]),
        ("stock", "id product_id warehouse_id quantity", &[(1, "products"), (2, "warehouses")]),
        ("customers", "id first_name last_name email company? city country created_at", &[]),
        ("addresses", "id customer_id kind street city country", &[(1, "customers")]),
        ("carts", "id customer_id created_at", &[(1, "customers")]),
        ("cart_items", "id cart_id product_id quantity", &[(1, "carts"), (2, "products")]),
        ("coupons", "id code percent valid_at", &[]),
        (
            "orders",
            "id customer_id shipping_address_id billing_address_id coupon_id? status total placed_at",
            &[(1, "customers"), (2, "addresses"), (3, "addresses"), (4, "coupons")],
        ),
        (
            "order_items",
            "id order_id product_id quantity unit_price",
            &[(1, "orders"), (2, "products")],
        ),
        ("payments", "id order_id method status total paid_at?", &[(1, "orders")]),
        (
            "refunds",
            "id payment_id order_item_id? reason total",
            &[(1, "payments"), (2, "order_items")],
        ),
        (
            "shipments",
            "id order_id warehouse_id carrier_id shipped_at?",
            &[(1, "orders"), (2, "warehouses"), (3, "carriers")],
        ),
        (
            "shipment_items",
            "id shipment_id order_item_id quantity",
            &[(1, "shipments"), (2, "order_items")],
        ),
        ("carriers", "id name tracking_url", &[]),
        (
            "reviews",
            "id product_id customer_id stars body? created_at",
            &[(1, "products"), (2, "customers")],
        ),
        ("wishlists", "id customer_id name", &[(1, "customers")]),
        (
            "wishlist_items",
            "id wishlist_id product_id added_at",
            &[(1, "wishlists"), (2, "products")],
        ),
        (
            "tickets",
            "id customer_id order_id? assignee_id? status created_at",
            &[(1, "customers"), (2, "orders"), (3, "employees")],
        ),
        (
            "ticket_messages",
            "id ticket_id author_id? body sent_at",
            &[(1, "tickets"), (2, "employees")],
        ),
        (
            "purchase_orders",
            "id supplier_id employee_id total ordered_at",
            &[(1, "suppliers"), (2, "employees")],
        ),
        (
            "purchase_order_lines",
            "id purchase_order_id product_id quantity unit_price",
            &[(1, "purchase_orders"), (2, "products")],
        ),
        ("settings", "id key value", &[]),
        ("audit_log", "id happened_at actor action details", &[]),
    ])
}

fn drawn(catalog: &Catalog, options: &DiagramOptions) -> super::Diagram {
    diagram(&Visible::new(catalog, &AllowedTables::All), options).unwrap()
}

/// What is drawn over something else: boxes over boxes, and lines over boxes that they do not belong to.
fn overlaps(sizes: &[Size], lines: &[Line]) -> (usize, usize) {
    let layout = layout(sizes, lines);
    let rectangle = |at: usize| {
        let (x, y) = layout.corners[at];
        (x, y, x + sizes[at].width, y + sizes[at].height)
    };
    let boxes = (0..sizes.len())
        .flat_map(|a| (a + 1..sizes.len()).map(move |b| (a, b)))
        .filter(|(a, b)| {
            let (a, b) = (rectangle(*a), rectangle(*b));
            a.0 < b.2 && b.0 < a.2 && a.1 < b.3 && b.1 < a.3
        })
        .count();
    let mut crossed = 0;
    for (line, route) in lines.iter().zip(&layout.routes) {
        assert!(route.len() >= 2 && route.len() % 2 == 0, "pairs of points: {route:?}");
        // Bends lie between layers, where no box is; what runs level may run over one.
        for level in route.windows(2).skip(1).step_by(2) {
            for at in (0..sizes.len()).filter(|it| *it != line.from && *it != line.to) {
                let (x0, y0, x1, y1) = rectangle(at);
                let (a, b) = (level[0], level[1]);
                let (low, high) = (a.0.min(b.0), a.0.max(b.0));
                if low < x1 && x0 < high && y0 < a.1 && a.1 < y1 {
                    crossed += 1;
                }
            }
        }
    }
    (boxes, crossed)
}

#[test]
fn thirty_tables_fit_a_screen_without_lying_over_each_other() {
    let diagram = drawn(&shop(), &DiagramOptions::default());
    assert_eq!((diagram.tables.len(), diagram.edges.len(), diagram.omitted), (30, 42, 0));
    let text = svg(&diagram);
    let number = |name: &str| -> f64 {
        let from = text.find(&format!(" {name}=\"")).unwrap() + name.len() + 3;
        text[from..].split('"').next().unwrap().parse().unwrap()
    };
    let (width, height) = (number("width"), number("height"));
    assert!(width < 2_600.0 && height < 2_000.0, "{width} × {height}");
    assert!(width / height > 0.8 && width / height < 3.0, "{width} × {height}");
}

#[test]
fn no_table_lies_over_another_whatever_refers_to_what() {
    // A generator of our own: the same graphs in every run.
    let mut state = 7_u64;
    let mut random = |below: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    for round in 0..60 {
        let count = 1 + random(45);
        let sizes: Vec<Size> = (0..count)
            .map(|_| {
                let rows = u32::try_from(1 + random(12)).unwrap();
                Size {
                    width: 130.0 + 10.0 * f64::from(rows),
                    height: 34.0 + 20.0 * f64::from(rows),
                }
            })
            .collect();
        let lines: Vec<Line> = (0..random(2 * count + 1))
            .map(|_| Line {
                from: random(count),
                from_port: 40.0,
                to: random(count),
                to_port: 14.0,
            })
            .collect();
        assert_eq!(overlaps(&sizes, &lines), (0, 0), "round {round}: {count} tables, {lines:?}");
    }
}

#[test]
fn of_a_thousand_tables_a_connected_part_is_shown_and_the_rest_counted() {
    let names: Vec<String> = (0..1_000).map(|it| format!("t{it:04}")).collect();
    let owned: Vec<(String, Vec<(usize, &str)>)> = names
        .iter()
        .enumerate()
        .map(|(at, name)| {
            (name.clone(), if at == 0 { vec![] } else { vec![(1, names[(at - 1) / 3].as_str())] })
        })
        .collect();
    let tables: Vec<_> =
        owned.iter().map(|(name, keys)| (name.as_str(), "id parent_id", keys.as_slice())).collect();
    let catalog = catalog(&tables);
    let shown = drawn(&catalog, &DiagramOptions::default());
    assert_eq!((shown.tables.len(), shown.omitted), (40, 960));
    assert_eq!(shown.edges.len(), 39, "a tree of 40 hangs together");
    assert!(svg(&shown).contains("40 of 1000 tables are shown, 960 are left out"));
    assert!(mermaid(&shown).contains("960 are left out"));
    let near =
        DiagramOptions { around: Some(("t0005".to_owned(), 1)), ..DiagramOptions::default() };
    let near = drawn(&catalog, &near);
    let names: Vec<_> = near.tables.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["t0001", "t0005", "t0016", "t0017", "t0018"]);
    let started = std::time::Instant::now();
    let all = DiagramOptions { most: usize::MAX, ..DiagramOptions::default() };
    let text = svg(&drawn(&catalog, &all));
    assert!(text.contains("200 of 1000 tables"));
    assert!(started.elapsed() < std::time::Duration::from_secs(20), "{:?}", started.elapsed());
}

#[test]
fn more_references_than_anybody_could_follow_are_not_all_drawn() {
    let names: Vec<String> = (0..200).map(|it| format!("t{it:03}")).collect();
    let keys: Vec<Vec<(usize, &str)>> = (0..200_usize)
        .map(|at| (1..=8).map(|it| (1, names[(at * 7 + it * it * 13) % 200].as_str())).collect())
        .collect();
    let tables: Vec<Table<'_>> = names
        .iter()
        .zip(&keys)
        .map(|(name, keys)| (name.as_str(), "id of_id", keys.as_slice()))
        .collect();
    let catalog = catalog(&tables);
    let started = std::time::Instant::now();
    let shown = drawn(&catalog, &DiagramOptions { most: 200, ..DiagramOptions::default() });
    assert_eq!((shown.edges.len(), shown.omitted_edges), (600, 1_000));
    assert!(svg(&shown).contains("1000 references are left out"));
    assert!(started.elapsed() < std::time::Duration::from_mins(1), "{:?}", started.elapsed());
}

#[test]
fn named_tables_are_shown_and_no_others() {
    let options = DiagramOptions {
        tables: vec!["orders".to_owned(), "public.customers".to_owned()],
        ..DiagramOptions::default()
    };
    let shown = drawn(&shop(), &options);
    let names: Vec<_> = shown.tables.iter().map(|it| it.name.as_str()).collect();
    assert_eq!((names, shown.edges.len(), shown.omitted), (vec!["customers", "orders"], 1, 28));
    let missing = DiagramOptions { tables: vec!["nope".to_owned()], ..DiagramOptions::default() };
    let catalog = shop();
    assert!(diagram(&Visible::new(&catalog, &AllowedTables::All), &missing).is_err());
}

#[test]
fn what_is_hidden_is_not_drawn() {
    let catalog = shop();
    let allowed = AllowedTables::parse(["public.orders", "public.payments"]).unwrap();
    let shown = diagram(&Visible::new(&catalog, &allowed), &DiagramOptions::default()).unwrap();
    assert_eq!((shown.tables.len(), shown.edges.len(), shown.omitted), (2, 1, 0));
    for text in [svg(&shown), mermaid(&shown)] {
        assert!(!text.contains("addresses") && !text.contains("coupons\""), "{text}");
    }
}

/// Names that would end a tag, a quote or a line.
const ODD: [&str; 7] = [
    "</title><script>alert(1)</script>",
    "\"]; click x call evil() %%{init: {}}%%",
    "a\nb",
    "--> x",
    "PK",
    "é∂ß 漢字",
    "]]>&amp;",
];

#[test]
fn no_name_gets_out_of_its_place() {
    let tables: Vec<_> = ODD.iter().map(|it| (*it, "id", [].as_slice())).collect();
    let mut odd = catalog(&tables);
    for (at, relation) in odd.relations.iter_mut().map(Arc::make_mut).enumerate() {
        relation.columns[0].name = ODD[at].to_owned();
        relation.columns[0].type_name = ODD[at].to_owned();
        relation.comment = Some(ODD[at].to_owned());
        relation.schema = "od\"d".to_owned();
    }
    odd.relations.sort_by(|a, b| a.name.cmp(&b.name));
    let shown = drawn(&odd, &DiagramOptions::default());
    let text = svg(&shown);
    assert!(!text.contains("<script") && !text.contains("]]>"), "{text}");
    // Every tag that is opened is closed, and there is nothing but tags of ours.
    let mut open: Vec<&str> = Vec::new();
    let mut rest = text.as_str();
    while let Some(at) = rest.find('<') {
        let end = rest[at..].find('>').unwrap() + at;
        let tag = &rest[at + 1..end];
        let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap();
        assert!(["svg", "g", "rect", "path", "text", "title", "circle"].contains(&name), "{tag}");
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name));
        } else if !tag.ends_with('/') {
            open.push(name);
        }
        rest = &rest[end + 1..];
    }
    assert!(open.is_empty());
    check_mermaid(&mermaid(&shown));
    check_mermaid(&mermaid(&drawn(&shop(), &DiagramOptions::default())));
}

/// Holds each line against the grammar of Mermaid's entity relationship diagrams, as far as it is used here.
fn check_mermaid(text: &str) {
    let word = |it: &str| {
        it.starts_with(|c: char| c.is_ascii_alphabetic())
            && it.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    let kind = |it: &str| {
        it.starts_with(|c: char| c.is_ascii_alphabetic())
            && it.chars().all(|c| c.is_ascii_alphanumeric() || "-_[]()".contains(c))
            && !["PK", "FK", "UK"].contains(&it)
    };
    let string = |it: &str| {
        it.strip_prefix('"')
            .and_then(|it| it.strip_suffix('"'))
            .is_some_and(|it| !it.contains(['"', '%', '\\', '\n']))
    };
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("erDiagram"));
    let (mut entities, mut inside) = (Vec::new(), false);
    for line in lines {
        let line = line.trim();
        if line.starts_with("%%") {
            assert!(!line.contains('{'), "{line}");
        } else if inside && line == "}" {
            inside = false;
        } else if inside {
            let (head, comment) =
                line.split_once(" \"").map_or((line, None), |it| (it.0, Some(it.1)));
            let mut parts = head.splitn(3, ' ');
            assert!(kind(parts.next().unwrap()) && word(parts.next().unwrap()), "{line}");
            assert!(parts.next().is_none_or(|it| ["PK", "FK", "PK, FK"].contains(&it)), "{line}");
            assert!(comment.is_none_or(|it| string(&format!("\"{it}"))), "{line}");
        } else if let Some(head) = line.strip_suffix(" {") {
            let (id, alias) = head.split_once('[').map_or((head, None), |it| (it.0, Some(it.1)));
            assert!(word(id), "{line}");
            assert!(alias.is_none_or(|it| it.strip_suffix(']').is_some_and(string)), "{line}");
            entities.push(id.to_owned());
            inside = true;
        } else {
            let (ends, label) = line.split_once(" : ").unwrap();
            let parts: Vec<_> = ends.split(' ').collect();
            assert!(string(label) && parts.len() == 3, "{line}");
            assert!(["||--o{", "|o--o{", "||--o|", "|o--o|"].contains(&parts[1]), "{line}");
            assert!(
                entities.iter().any(|it| it == parts[0])
                    && entities.iter().any(|it| it == parts[2]),
                "{line}"
            );
        }
    }
    assert!(!inside);
}
