use std::fmt::Write as _;

use super::layout::{Layout, Line, Size, layout};
use super::{Diagram, DiagramColumn, DiagramEdge, DiagramTable};

const ROW: f64 = 20.0;
const HEADER: f64 = 28.0;
const PADDING: f64 = 10.0;
const MARGIN: f64 = 28.0;
/// Room for `PK` and `FK` before a column's name.
const MARKS: f64 = 30.0;
/// Between a column's name and its type.
const BETWEEN: f64 = 16.0;
/// The width of a letter of 12 and of 11 pixels in a fixed-width font.
const LETTER: f64 = 7.3;
const SMALL: f64 = 6.7;

/// The most letters of a name, and of a type, that are written out.
const NAME: usize = 34;
const TYPE: usize = 24;

/// One colour for the heads of each schema's tables, in turn.
const HEADS: [&str; 8] =
    ["#1f4e79", "#1b5e4b", "#6a3d6b", "#7a4a12", "#44505c", "#7b2f38", "#3d4a8a", "#4b5d1a"];

/// One colour for all lines to a table, in turn, so that lines side by side can be told apart.
const LINES: [&str; 8] =
    ["#4a7fb5", "#c0703a", "#4d9a7c", "#9a62a8", "#b08a1e", "#c05566", "#5a6fc4", "#6b7a86"];

/// Draws a picture as SVG, without scripts, styles, fonts or anything else from outside. Whatever comes from the database
/// stands in it as text.
pub fn svg(diagram: &Diagram) -> String {
    let sizes: Vec<Size> = diagram.tables.iter().map(size).collect();
    let lines: Vec<Line> = diagram.edges.iter().map(line).collect();
    let layout = layout(&sizes, &lines);
    let footer = footer(diagram);
    #[expect(clippy::cast_precision_loss, reason = "a line of text")]
    let footer_width = footer.chars().count() as f64 * SMALL;
    let width = (layout.width.max(footer_width) + 2.0 * MARGIN).ceil();
    let height = (layout.height + 2.0 * MARGIN + ROW).ceil();
    let mut out = String::new();
    let _ = write!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\" \
         font-family=\"ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace\" font-size=\"12\">\
         <title>{}</title><rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\
         <g transform=\"translate({MARGIN} {MARGIN})\">",
        escaped(&format!("Tables of {}", diagram.database)),
    );
    let mut schemas: Vec<&str> = diagram.tables.iter().map(|it| it.schema.as_str()).collect();
    schemas.dedup();
    let colour = |of: &DiagramTable| {
        let at = schemas.iter().position(|it| *it == of.schema).unwrap_or(0);
        HEADS[at % HEADS.len()]
    };
    let mut targets: Vec<usize> = diagram.edges.iter().map(|it| it.to).collect();
    targets.sort_by(|a, b| {
        // By where they stand, so that neighbours differ.
        let (a, b) = (layout.corners[*a], layout.corners[*b]);
        a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1))
    });
    targets.dedup();
    for (edge, route) in diagram.edges.iter().zip(&layout.routes) {
        let at = targets.iter().position(|it| *it == edge.to).unwrap_or(0);
        draw_edge(&mut out, diagram, edge, route, LINES[at % LINES.len()]);
    }
    for (at, table) in diagram.tables.iter().enumerate() {
        let show_schema = schemas.len() > 1;
        draw_table(&mut out, table, sizes[at], &layout, at, (colour(table), show_schema));
    }
    let _ = writeln!(
        out,
        "<text x=\"0\" y=\"{:.1}\" font-size=\"11\" fill=\"#5b6570\">{}</text></g></svg>",
        layout.height + MARGIN + 6.0,
        escaped(&footer),
    );
    out
}

/// What the marks mean, and what was left out.
fn footer(diagram: &Diagram) -> String {
    let legend = "Lines run from a reference (fork: many, bar: at most one) to what it refers to (ring: or nothing).";
    match diagram.omission() {
        _ if diagram.tables.is_empty() => "There are no tables to show.".to_owned(),
        Some(omission) => format!("{omission}. {legend}"),
        None if diagram.edges.is_empty() => format!("{} tables.", diagram.tables.len()),
        None => format!("{} tables. {legend}", diagram.tables.len()),
    }
}

#[expect(clippy::cast_precision_loss, reason = "few letters")]
fn letters(text: &str) -> f64 {
    // Letters of the far east are twice as wide.
    text.chars().map(|it| if u32::from(it) >= 0x1100 { 2 } else { 1 }).sum::<u32>() as usize as f64
}

fn clipped(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

fn title(table: &DiagramTable, show_schema: bool) -> String {
    if show_schema && table.schema != "public" {
        return clipped(&format!("{}.{}", table.schema, table.name), NAME);
    }
    clipped(&table.name, NAME)
}

#[expect(clippy::cast_precision_loss, reason = "few rows")]
fn size(table: &DiagramTable) -> Size {
    // As if every name had its schema: a little room to spare does no harm.
    let title = letters(&title(table, true)) * (LETTER + 0.3) + 2.0 * PADDING;
    let column = |it: &DiagramColumn| {
        letters(&clipped(&it.name, NAME)) * LETTER + letters(&shown_type(it)) * SMALL
    };
    let widest = table.columns.iter().map(column).fold(0.0, f64::max);
    let width = (widest + MARKS + BETWEEN + 2.0 * PADDING).max(title).max(130.0).ceil();
    let rows = table.columns.len() + usize::from(table.omitted > 0);
    Size { width, height: HEADER + rows as f64 * ROW + 6.0 }
}

/// Short forms of long names that say the same.
fn shown_type(column: &DiagramColumn) -> String {
    let short = column
        .type_name
        .replace("timestamp with time zone", "timestamptz")
        .replace("timestamp without time zone", "timestamp")
        .replace("time with time zone", "timetz")
        .replace("time without time zone", "time")
        .replace("character varying", "varchar")
        .replace("double precision", "float8");
    clipped(&short, TYPE)
}

#[expect(clippy::cast_precision_loss, reason = "few rows")]
fn port(column: Option<usize>) -> f64 {
    column.map_or(HEADER / 2.0, |at| HEADER + (at as f64 + 0.5) * ROW + 2.0)
}

fn line(edge: &DiagramEdge) -> Line {
    let mut to_port = port(edge.to_column);
    let from_port = port(edge.from_column);
    // A line from a row to itself would be a point.
    if edge.from == edge.to && (from_port - to_port).abs() < 1.0 {
        to_port = HEADER / 2.0;
    }
    Line { from: edge.from, from_port, to: edge.to, to_port }
}

fn draw_edge(
    out: &mut String,
    diagram: &Diagram,
    edge: &DiagramEdge,
    route: &[(f64, f64)],
    colour: &str,
) {
    let [first, .., last] = route else { return };
    let mut path = format!("M{:.1} {:.1}", first.0, first.1);
    if edge.from == edge.to {
        let out_x = first.0 + 22.0;
        let _ = write!(
            path,
            "C{out_x:.1} {:.1} {out_x:.1} {:.1} {:.1} {:.1}",
            first.1, last.1, last.0, last.1
        );
    } else {
        // Points come in pairs: between layers the line bends, within one it runs level.
        for (at, pair) in route.windows(2).enumerate() {
            let (a, b) = (pair[0], pair[1]);
            if at % 2 == 0 {
                let middle = f64::midpoint(a.0, b.0);
                let _ = write!(
                    path,
                    "C{middle:.1} {:.1} {middle:.1} {:.1} {:.1} {:.1}",
                    a.1, b.1, b.0, b.1
                );
            } else {
                let _ = write!(path, "L{:.1} {:.1}", b.0, b.1);
            }
        }
    }
    let tip = |at: usize| format!("{}.{}", diagram.tables[at].schema, diagram.tables[at].name);
    let title = format!("{} ({}) → {}", tip(edge.from), edge.columns.join(", "), tip(edge.to));
    let _ = write!(
        out,
        "<g fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.3\"><title>{}</title><path d=\"{path}\"/>",
        escaped(&title)
    );
    // Away from the table, at either end.
    let away = |end: f64, other: f64| if edge.from == edge.to || other > end { 1.0 } else { -1.0 };
    let (from, to) = (away(first.0, route[1].0), away(last.0, route[route.len() - 2].0));
    let (x, y) = *first;
    if edge.single {
        let bar = x + from * 6.0;
        let _ = write!(out, "<path d=\"M{bar:.1} {:.1}V{:.1}\"/>", y - 5.0, y + 5.0);
    } else {
        let fork = x + from * 9.0;
        let _ = write!(
            out,
            "<path d=\"M{x:.1} {:.1}L{fork:.1} {y:.1}L{x:.1} {:.1}\"/>",
            y - 5.0,
            y + 5.0
        );
    }
    let (x, y) = *last;
    let bar = x + to * 5.0;
    let _ = write!(out, "<path d=\"M{bar:.1} {:.1}V{:.1}\"/>", y - 5.0, y + 5.0);
    if edge.optional {
        let ring = x + to * 12.0;
        let _ = write!(out, "<circle cx=\"{ring:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"#ffffff\"/>");
    }
    out.push_str("</g>");
}

fn draw_table(
    out: &mut String,
    table: &DiagramTable,
    size: Size,
    layout: &Layout,
    at: usize,
    (colour, show_schema): (&str, bool),
) {
    let Size { width, height } = size;
    let (x, y) = layout.corners[at];
    let mut about = format!("{}.{}", table.schema, table.name);
    if let Some(comment) = &table.comment {
        about = format!("{about}: {comment}");
    }
    let _ = write!(
        out,
        "<g transform=\"translate({x:.1} {y:.1})\"><title>{}</title>\
         <rect width=\"{width}\" height=\"{height}\" rx=\"5\" fill=\"#fbfcfd\" stroke=\"#b8c2cc\"/>\
         <path d=\"M0 {HEADER}V5a5 5 0 0 1 5 -5H{:.1}a5 5 0 0 1 5 5V{HEADER}Z\" fill=\"{colour}\"/>\
         <text x=\"{PADDING}\" y=\"18.5\" font-weight=\"bold\" fill=\"#ffffff\">{}</text>",
        escaped(&about),
        width - 5.0,
        escaped(&title(table, show_schema)),
    );
    let mut row = HEADER + 2.0;
    for column in &table.columns {
        let base = row + 14.0;
        for (shown, mark, x, fill) in [
            (column.primary, "PK", PADDING, "#9a6700"),
            (column.foreign && !column.primary, "FK", PADDING, "#356a9c"),
        ] {
            if shown {
                let _ = write!(
                    out,
                    "<text x=\"{x}\" y=\"{base}\" font-size=\"10\" font-weight=\"bold\" fill=\"{fill}\">{mark}</text>"
                );
            }
        }
        if column.primary && column.foreign {
            // Both: a line under the mark in the other's colour.
            let _ = write!(
                out,
                "<path d=\"M{PADDING} {}h13\" stroke=\"#356a9c\" stroke-width=\"1.5\"/>",
                base + 2.5
            );
        }
        let weight = if column.primary { " font-weight=\"bold\"" } else { "" };
        let fill = if column.nullable { "#5b6570" } else { "#1c2733" };
        let _ = write!(
            out,
            "<text x=\"{}\" y=\"{base}\"{weight} fill=\"{fill}\">{}</text>\
             <text x=\"{}\" y=\"{base}\" font-size=\"11\" text-anchor=\"end\" fill=\"#7a8691\">{}</text>",
            PADDING + MARKS - 4.0,
            escaped(&clipped(&column.name, NAME)),
            width - PADDING,
            escaped(&shown_type(column)),
        );
        row += ROW;
    }
    if table.omitted > 0 {
        let _ = write!(
            out,
            "<text x=\"{}\" y=\"{}\" font-size=\"11\" font-style=\"italic\" fill=\"#7a8691\">… {} more</text>",
            PADDING + MARKS - 4.0,
            row + 14.0,
            table.omitted,
        );
    }
    out.push_str("</g>");
}

/// As text in XML: what means something there is written out, what may not stand there at all is left out.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' | '\r' => out.push(' '),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {}
            c => out.push(c),
        }
    }
    out
}
