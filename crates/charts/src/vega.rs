//! The specification for a browser. Columns' names may hold dots and brackets, which mean paths there, and need not be
//! unique: so fields have names of our own, and the columns' names are titles.

use serde_json::{Map, Value, json};

use crate::chart::Chart;
use crate::data::ColumnKind;
use crate::draw::{COLOURS, OTHERS_COLOUR, points};
use crate::shape::{Along, Shaped};
use crate::{Kind, Options};

const SCHEMA: &str = "https://vega.github.io/schema/vega-lite/v5.json";

pub(crate) fn specification(chart: &Chart<'_>) -> Value {
    if chart.data.rows.is_empty() {
        return Value::Null;
    }
    let (mark, values, encoding) = match chart.kind {
        Kind::Table | Kind::Text => return Value::Null,
        Kind::Metric => metric(chart),
        Kind::Scatter => scatter(chart),
        Kind::Heatmap => heatmap(chart),
        Kind::Pie => pie(chart, &chart.shaped()),
        Kind::Bar | Kind::Line | Kind::Area => along(chart, &chart.shaped()),
    };
    let shaped = matches!(chart.kind, Kind::Bar | Kind::Line | Kind::Area | Kind::Pie);
    let shaped = shaped.then(|| chart.shaped());
    let mut specification = Map::new();
    specification.insert("$schema".to_owned(), SCHEMA.into());
    if !chart.title.is_empty() {
        specification.insert("title".to_owned(), chart.title.into());
    }
    let notes = chart.notes(shaped.as_ref()).join("; ");
    specification.insert("description".to_owned(), notes.into());
    specification.insert("data".to_owned(), json!({ "values": values }));
    specification.insert("mark".to_owned(), mark);
    specification.insert("encoding".to_owned(), encoding.into());
    specification.into()
}

type Parts = (Value, Vec<Value>, Map<String, Value>);

/// Of one row: fields with their values.
fn object<const N: usize>(fields: [(&str, Value); N]) -> Map<String, Value> {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn metric(chart: &Chart<'_>) -> Parts {
    let column = chart.fields.y[0];
    let value = chart.data.number(0, column);
    let encoding = object([("text", json!({ "field": "y", "type": "quantitative" }))]);
    ("text".into(), vec![json!({ "y": value })], encoding)
}

fn along(chart: &Chart<'_>, shaped: &Shaped) -> Parts {
    let Options { stacked, horizontal, zero, .. } = *chart.options;
    let many = shaped.series.len() > 1 || !shaped.series_title.is_empty();
    let piled = stacked && chart.kind == Kind::Area;
    let mut values = Vec::new();
    for (at, raw) in shaped.raw.iter().enumerate() {
        let x = match shaped.along {
            Along::Names => shaped.labels[at].clone().into(),
            Along::Numbers => shaped.places[at].into(),
            Along::Time(_) => raw.clone(),
        };
        for series in &shaped.series {
            let value = series.values[at].or(piled.then_some(0.0));
            // One line's gap has to be there to be seen; of several, what is missing was measured elsewhere.
            if many && value.is_none() {
                continue;
            }
            let mut row = object([("x", x.clone()), ("y", value.into())]);
            if many {
                row.insert("series".to_owned(), series.name.clone().into());
            }
            values.push(row.into());
        }
    }
    let mut x = json!({ "field": "x", "title": shaped.x_title });
    match shaped.along {
        Along::Names => {
            x["type"] = "nominal".into();
            // The order of the rows is part of the answer: "top five" stays in order of size.
            x["sort"] = Value::Null;
        }
        Along::Numbers => {
            x["type"] = if chart.kind == Kind::Bar { "ordinal" } else { "quantitative" }.into();
            if chart.kind != Kind::Bar {
                x["scale"] = json!({ "zero": false });
            }
        }
        Along::Time(_) => {
            x["type"] = "temporal".into();
            let column = chart.fields.x.map(|it| chart.data.columns[it].kind);
            if column == Some(ColumnKind::Date) {
                // Browsers read a day as midnight in Greenwich; shown in a zone west of it, it would be the day before.
                x["scale"] = json!({ "type": "utc" });
            }
        }
    }
    let mut y = json!({ "field": "y", "type": "quantitative", "title": shaped.y_title });
    if chart.kind == Kind::Line {
        y["scale"] = json!({ "zero": zero });
    }
    let mut encoding = Map::new();
    let stands_aside = many && !stacked && chart.kind != Kind::Line;
    if many {
        encoding.insert("color".to_owned(), colour(shaped));
        if chart.kind != Kind::Line {
            y["stack"] = if stacked { "zero".into() } else { Value::Null };
        }
        if stands_aside && chart.kind == Kind::Bar {
            let offset = if horizontal { "yOffset" } else { "xOffset" };
            encoding.insert(offset.to_owned(), json!({ "field": "series", "sort": null }));
        }
    }
    let lies = horizontal && chart.kind == Kind::Bar;
    encoding.insert("x".to_owned(), if lies { y.clone() } else { x.clone() });
    encoding.insert("y".to_owned(), if lies { x } else { y });
    let mark = match chart.kind {
        Kind::Line => json!("line"),
        Kind::Area if stands_aside => json!({ "type": "area", "opacity": 0.4, "line": true }),
        Kind::Area => json!("area"),
        _ => json!("bar"),
    };
    (mark, values, encoding)
}

fn colour(shaped: &Shaped) -> Value {
    let names: Vec<_> = shaped.series.iter().map(|it| it.name.as_str()).collect();
    let colours: Vec<String> = shaped
        .series
        .iter()
        .enumerate()
        .map(|(at, it)| if it.is_others { OTHERS_COLOUR } else { COLOURS[at % COLOURS.len()] })
        .map(hex)
        .collect();
    json!({
        "field": "series", "type": "nominal", "title": shaped.series_title,
        "sort": null, "scale": { "domain": names, "range": colours },
    })
}

fn hex((red, green, blue): (u8, u8, u8)) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

fn pie(chart: &Chart<'_>, shaped: &Shaped) -> Parts {
    let Some(series) = shaped.series.first() else {
        return (Value::Null, Vec::new(), Map::new());
    };
    let values = shaped
        .labels
        .iter()
        .zip(&series.values)
        .map(|(name, value)| json!({ "name": name, "value": value }))
        .collect();
    let encoding = object([
        (
            "theta",
            json!({ "field": "value", "type": "quantitative", "title": shaped.y_title, "stack": true }),
        ),
        (
            "color",
            json!({ "field": "name", "type": "nominal", "title": shaped.x_title, "sort": null }),
        ),
    ]);
    let inner = if chart.options.donut { 60 } else { 0 };
    (json!({ "type": "arc", "innerRadius": inner }), values, encoding)
}

fn scatter(chart: &Chart<'_>) -> Parts {
    let points = points(chart);
    let column = |at: usize| &chart.data.columns[at];
    let x_column = column(chart.fields.x.unwrap_or_default());
    let mut values = Vec::new();
    for it in &points {
        let x = if x_column.kind.is_time() {
            chart.data.value(it.row, chart.fields.x.unwrap_or_default()).clone()
        } else {
            it.x.into()
        };
        let mut row = object([("x", x), ("y", it.y.into())]);
        if let Some(size) = it.size {
            row.insert("size".to_owned(), size.into());
        }
        if let Some(by) = chart.fields.series {
            row.insert("series".to_owned(), chart.data.label(it.row, by).into());
        }
        values.push(row.into());
    }
    let scale = json!({ "zero": chart.options.zero });
    let mut x = json!({ "field": "x", "title": x_column.name });
    if x_column.kind.is_time() {
        x["type"] = "temporal".into();
        if x_column.kind == ColumnKind::Date {
            x["scale"] = json!({ "type": "utc" });
        }
    } else {
        x["type"] = "quantitative".into();
        x["scale"] = scale.clone();
    }
    let title = &column(chart.fields.y[0]).name;
    let mut encoding = object([
        ("x", x),
        ("y", json!({ "field": "y", "type": "quantitative", "title": title, "scale": scale })),
    ]);
    if let Some(at) = chart.fields.size {
        let title = &column(at).name;
        encoding.insert(
            "size".to_owned(),
            json!({ "field": "size", "type": "quantitative", "title": title }),
        );
    }
    if let Some(at) = chart.fields.series {
        let title = &column(at).name;
        encoding.insert(
            "color".to_owned(),
            json!({ "field": "series", "type": "nominal", "title": title, "sort": null }),
        );
    }
    ("point".into(), values, encoding)
}

fn heatmap(chart: &Chart<'_>) -> Parts {
    let (Some(x), Some(y)) = (chart.fields.x, chart.fields.series) else {
        return (Value::Null, Vec::new(), Map::new());
    };
    let value = chart.fields.y[0];
    let values = (0..chart.data.len())
        .map(|row| {
            let (across, down) = (chart.data.label(row, x), chart.data.label(row, y));
            json!({ "x": across, "y": down, "value": chart.data.number(row, value) })
        })
        .collect();
    let name = |at: usize| &chart.data.columns[at].name;
    let encoding = object([
        ("x", json!({ "field": "x", "type": "ordinal", "title": name(x), "sort": null })),
        ("y", json!({ "field": "y", "type": "ordinal", "title": name(y), "sort": null })),
        (
            "color",
            json!({ "field": "value", "type": "quantitative", "title": name(value), "aggregate": "sum" }),
        ),
    ]);
    ("rect".into(), values, encoding)
}
