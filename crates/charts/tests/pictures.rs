//! Results of ten shapes as pictures and specifications, kept: who changes one looks at it before accepting it.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use plinth_charts::{Chart, Column, ColumnKind, Data, Kind, Options, Size, Tile, board, notice};
use serde_json::{Value, json};

const N: ColumnKind = ColumnKind::Number;
const T: ColumnKind = ColumnKind::Text;
const DATE: ColumnKind = ColumnKind::Date;
const TIME: ColumnKind = ColumnKind::Timestamp;

fn data(columns: &[(&str, ColumnKind)], rows: Vec<Vec<Value>>) -> Data {
    let column = |it: &(&str, ColumnKind)| Column { name: it.0.to_owned(), kind: it.1 };
    Data { columns: columns.iter().map(column).collect(), rows, more: false }
}

/// Numbers that look like chance and are always the same.
fn chance(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    }
}

fn svg(kind: Kind, options: &Value, data: &Data, title: &str) -> String {
    let options = Options::parse(kind, options).unwrap();
    Chart::new(kind, &options, data, title).unwrap().picture(Size::default()).to_svg()
}

fn keep(name: &str, kind: Kind, options: Value, data: &Data, title: &str) {
    let svg = svg(kind, &options, data, title);
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{name}");
    insta::assert_binary_snapshot!(&format!("{name}.svg"), svg.into_bytes());
    let options = Options::parse(kind, &options).unwrap();
    let specification = Chart::new(kind, &options, data, title).unwrap().vega_lite();
    insta::assert_json_snapshot!(format!("{name}.vega"), specification);
}

fn months() -> Data {
    let rows = (0..18)
        .map(|it| {
            let (year, month) = (2025 + it / 12, it % 12 + 1);
            let revenue = 40_000 + (it * it * 900) - (it % 4) * 7_000;
            vec![json!(format!("{year}-{month:02}-01T00:00:00+00:00")), json!(revenue)]
        })
        .collect();
    data(&[("month", TIME), ("revenue", N)], rows)
}

#[test]
fn one_number() {
    let rows = vec![vec![json!(1_284_330.5), json!(1_190_004)]];
    let data = data(&[("revenue", N), ("last month", N)], rows);
    let options =
        json!({ "value": "revenue", "compare": "last month", "prefix": "€ ", "decimals": 0 });
    keep("one_number", Kind::Metric, options, &data, "Revenue this month");
}

#[test]
fn names_with_long_labels_and_values_below_zero() {
    let rows = [
        ("Bosnia and Herzegovina", 1200.0),
        ("Saint Vincent and the Grenadines (Windward Islands)", -340.5),
        ("Österreich", 880.25),
        ("日本", 640.0),
        ("United Kingdom of Great Britain and Northern Ireland", -90.0),
        ("Chad", 15.0),
    ];
    let mut rows: Vec<_> = rows.into_iter().map(|it| vec![json!(it.0), json!(it.1)]).collect();
    rows.push(vec![json!(null), json!(310)]);
    rows.push(vec![json!("Nowhere"), json!(null)]);
    let data = data(&[("country", T), ("margin", N)], rows);
    keep("long_labels", Kind::Bar, json!({}), &data, "Margin by country");
    let lying = json!({ "horizontal": true });
    keep("long_labels_lying", Kind::Bar, lying, &data, "Margin by country");
}

#[test]
fn two_hundred_names() {
    let mut chance = chance(3);
    let rows = (0..200)
        .map(|it| vec![json!(format!("Product {it:03}")), json!(chance(900) * chance(30))])
        .collect();
    let data = data(&[("product", T), ("units", N)], rows);
    keep("two_hundred_names", Kind::Bar, json!({}), &data, "Units by product");
    let some = json!({ "max_categories": 20 });
    let few = Data { rows: data.rows[..28].to_vec(), ..data.clone() };
    keep("twenty_eight_names", Kind::Bar, some, &few, "Units by product");
    let pie = json!({ "donut": true });
    keep("two_hundred_slices", Kind::Pie, pie, &data, "Units by product");
}

#[test]
fn months_in_a_line() {
    keep("months", Kind::Line, json!({ "zero": true }), &months(), "Revenue by month");
}

#[test]
fn many_series_with_gaps() {
    let mut chance = chance(11);
    let mut rows = Vec::new();
    for day in 1..=28 {
        for region in 0..14u64 {
            let missing = day % 9 == 4 && region % 3 == 0;
            let value = if missing { json!(null) } else { json!(100 + region * 40 + chance(60)) };
            rows.push(vec![
                json!(format!("2026-02-{day:02}")),
                json!(format!("region {region}")),
                value,
            ]);
        }
    }
    let data = data(&[("day", DATE), ("region", T), ("orders", N)], rows);
    keep("many_series", Kind::Line, json!({}), &data, "Orders by region");
    let stacked = json!({ "stacked": true, "max_series": 5 });
    keep("stacked_areas", Kind::Area, stacked, &data, "Orders by region");
}

#[test]
fn several_measures_beside_each_other_with_values_below_zero() {
    let rows = ["Q1", "Q2", "Q3", "Q4"]
        .into_iter()
        .enumerate()
        .map(|(at, it)| {
            let at = i64::try_from(at).unwrap();
            vec![json!(it), json!(120 + at * 30), json!(-90 - at * 25), json!(30 - at * 22)]
        })
        .collect();
    let columns = [("quarter", T), ("income", N), ("costs", N), ("result", N)];
    let data = data(&columns, rows);
    keep("measures", Kind::Bar, json!({}), &data, "Income and costs (thousands)");
    let stacked = json!({ "stacked": true, "y": ["income", "costs"] });
    keep("measures_stacked", Kind::Bar, stacked, &data, "Income and costs (thousands)");
}

#[test]
fn points() {
    let mut chance = chance(5);
    let rows = (0..300)
        .map(|it| {
            let price = chance(8_000) + 300;
            let sold = 12_000_000 / (price + 2_000) + chance(900);
            let kind = ["shirts", "shoes", "hats"][it % 3];
            vec![json!(price), json!(sold), json!(kind), json!(chance(100))]
        })
        .collect();
    let columns = [("price", N), ("sold", N), ("kind", T), ("returns", N)];
    let options = json!({ "x": "price", "y": "sold", "series": "kind", "size": "returns" });
    keep("points", Kind::Scatter, options, &data(&columns, rows), "Price and units sold");
}

#[test]
fn hours_of_the_week() {
    let mut chance = chance(9);
    let mut rows = Vec::new();
    for day in ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"] {
        for hour in 0..24u64 {
            let busy = 12 - hour.abs_diff(14).min(12);
            let value =
                if hour < 5 && day == "Sun" { json!(null) } else { json!(busy * 9 + chance(30)) };
            rows.push(vec![json!(format!("{hour:02}")), json!(day), value]);
        }
    }
    let data = data(&[("hour", T), ("day", T), ("orders", N)], rows);
    keep("hours", Kind::Heatmap, json!({}), &data, "Orders by hour");
}

#[test]
fn rows_and_columns() {
    let rows = (0..40)
        .map(|it| {
            let note = match it % 3 {
                0 => {
                    json!("called back, was not there; to be called again next week in the morning")
                }
                1 => json!(null),
                _ => json!("ok"),
            };
            vec![
                json!(1000 + it),
                json!(format!("Customer <{it}> & Söhne")),
                json!(format!("2026-03-{:02}", it % 28 + 1)),
                json!(format!("{}.50", it * 137)),
                note,
            ]
        })
        .collect();
    let columns = [("id", N), ("customer", T), ("since", DATE), ("total", N), ("note", T)];
    let mut data = data(&columns, rows);
    data.more = true;
    keep("rows", Kind::Table, json!({}), &data, "Customers");
}

#[test]
fn hardly_anything() {
    let columns = [("at", TIME), ("load", N)];
    let one = data(&columns, vec![vec![json!("2026-11-20T16:31:02+01:00"), json!(0.71)]]);
    keep("one_row", Kind::Line, json!({}), &one, "Load");
    keep("no_rows", Kind::Bar, json!({}), &data(&columns, vec![]), "Load");
    let nulls = data(&columns, vec![vec![json!("2026-11-20T16:31:02"), json!(null)]; 3]);
    keep("only_nulls", Kind::Line, json!({}), &nulls, "Load");
    let below = data(&[("name", T), ("n", N)], vec![vec![json!("a"), json!(-1)]]);
    keep("pie_below_zero", Kind::Pie, json!({}), &below, "Shares");
}

#[test]
fn words_with_values() {
    let rows = vec![vec![json!(17), json!("Ada")]];
    let data = data(&[("open", N), ("who", T)], rows);
    let text = "# This week\n\n{{who}} has {{open}} open orders, and {{nothing}} stays as it is. \
                What is longer than a line goes on in the next one, and so on, until it ends.";
    keep("words", Kind::Text, json!({ "text": text }), &data, "");
}

#[test]
fn a_board_of_pictures() {
    let months = months();
    let tile = |x, y, width, height, kind, title: &str| {
        let options = Options::default();
        let chart = Chart::new(kind, &options, &months, title).unwrap();
        Tile { x, y, picture: chart.picture(Size::clamped(width, height)) }
    };
    let failed = notice("Stock", "the result has no column `warehouse`", Size::clamped(380, 250));
    let tiles = [
        tile(0, 0, 290, 170, Kind::Metric, "Revenue"),
        tile(302, 0, 880, 360, Kind::Area, "Revenue by month"),
        tile(0, 182, 290, 178, Kind::Table, "Months"),
        tile(0, 372, 788, 250, Kind::Bar, "Revenue by month"),
        Tile { x: 800, y: 372, picture: failed },
    ];
    let svg = board("How the shop goes", 1182, &tiles);
    insta::assert_binary_snapshot!("board.svg", svg.into_bytes());
}

#[test]
fn no_markup_of_the_data_gets_into_a_picture() {
    let evil = "</text><script>alert(1)</script><image href=\"https://example.com/x\"/>\u{0}\u{1b}\u{202e}&amp;";
    let rows = vec![
        vec![json!(evil), json!(evil), json!(5)],
        vec![json!(format!("{evil}2")), json!("b"), json!(7)],
    ];
    let named = data(&[(evil, T), ("s</svg>", T), ("n\"><g>", N)], rows);
    for kind in Kind::ALL {
        let options = match kind {
            // Options cannot hold the character zero.
            Kind::Text => json!({ "text": format!("{{{{{evil}}}}} {evil}").replace('\0', "") }),
            Kind::Scatter => continue,
            _ => json!({}),
        };
        let svg = svg(kind, &options, &named, evil);
        for bad in ["<script", "<image", "</text><", "<g>", "\u{0}", "\u{1b}", "\u{202e}"] {
            assert!(!svg.contains(bad), "{kind}: {bad:?} in {svg}");
        }
        let opened = svg.matches("<svg").count();
        assert_eq!((opened, svg.matches("</svg>").count()), (1, 1), "{kind}");
    }
    let whole = board(evil, 600, &[]);
    assert!(!whole.contains("<script") && !whole.contains("<image"));
}

#[test]
fn every_kind_stands_any_size_and_any_number() {
    let rows = [1e300, -1e300, 1e-300, 0.0, 5e15, -0.1]
        .into_iter()
        .enumerate()
        .map(|(at, it)| vec![json!(format!("x{at}")), json!(it), json!(it * 0.5)])
        .collect();
    let data = data(&[("name", T), ("a", N), ("b", N)], rows);
    for (width, height) in [(120, 60), (200, 1000), (4000, 60), (640, 400)] {
        for kind in Kind::ALL {
            let options = match kind {
                Kind::Text => json!({ "text": "words" }),
                _ => json!({}),
            };
            let options = Options::parse(kind, &options).unwrap();
            let chart = Chart::new(kind, &options, &data, "title").unwrap();
            let svg = chart.picture(Size::clamped(width, height)).to_svg();
            assert!(!svg.contains("NaN"), "{kind} {width} {height}");
            assert!(svg.len() < 200_000, "{kind} {}", svg.len());
        }
    }
}
