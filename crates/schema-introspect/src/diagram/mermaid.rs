use std::collections::HashSet;
use std::fmt::Write as _;

use super::{Diagram, DiagramColumn};

/// Writes a picture as an entity relationship diagram in Mermaid's language (10.5 or newer). Names become identifiers
/// that it takes; where that changes them the real one stands beside.
pub fn mermaid(diagram: &Diagram) -> String {
    let mut out = String::from("erDiagram\n");
    if let Some(omission) = diagram.omission() {
        let _ = writeln!(out, "    %% {omission}.");
    }
    let mut taken = HashSet::new();
    let mut ids = Vec::new();
    for table in &diagram.tables {
        let plain = if table.schema == "public" {
            table.name.clone()
        } else {
            format!("{}_{}", table.schema, table.name)
        };
        let id = unique(&identifier(&plain, "t"), &mut taken);
        let name = if table.schema == "public" {
            table.name.clone()
        } else {
            format!("{}.{}", table.schema, table.name)
        };
        if id == name {
            let _ = writeln!(out, "    {id} {{");
        } else {
            let _ = writeln!(out, "    {id}[\"{}\"] {{", quoted(&name));
        }
        let mut columns = HashSet::new();
        for column in &table.columns {
            let line = attribute(column, &mut columns);
            let _ = writeln!(out, "        {line}");
        }
        out.push_str("    }\n");
        ids.push(id);
    }
    for edge in &diagram.edges {
        let to = if edge.optional { "|o" } else { "||" };
        let from = if edge.single { "o|" } else { "o{" };
        let label = quoted(&edge.columns.join(", "));
        let _ = writeln!(out, "    {} {to}--{from} {} : \"{label}\"", ids[edge.to], ids[edge.from]);
    }
    out
}

fn attribute(column: &DiagramColumn, taken: &mut HashSet<String>) -> String {
    let id = unique(&identifier(&column.name, "c"), taken);
    let mut line = format!("{} {id}", kind(&column.type_name));
    let marks: Vec<&str> = [(column.primary, "PK"), (column.foreign, "FK")]
        .iter()
        .filter(|it| it.0)
        .map(|it| it.1)
        .collect();
    if !marks.is_empty() {
        line = format!("{line} {}", marks.join(", "));
    }
    if id != column.name {
        line = format!("{line} \"{}\"", quoted(&column.name));
    }
    line
}

/// Letters, digits and underscores, a letter first.
fn identifier(name: &str, otherwise: &str) -> String {
    let plain: String =
        name.chars().map(|it| if it.is_ascii_alphanumeric() { it } else { '_' }).collect();
    // Words of the language itself, and marks of keys, which it would not take as names.
    const WORDS: [&str; 22] = [
        "accdescr",
        "acctitle",
        "class",
        "classdef",
        "default",
        "direction",
        "erdiagram",
        "fk",
        "many",
        "one",
        "only",
        "optionally",
        "or",
        "pk",
        "style",
        "title",
        "to",
        "u",
        "uk",
        "zero",
        "title",
        "end",
    ];
    let telling = plain.chars().any(|it| it.is_ascii_alphanumeric());
    match plain.chars().next() {
        Some(first)
            if first.is_ascii_alphabetic() && !WORDS.contains(&plain.to_lowercase().as_str()) =>
        {
            plain
        }
        _ if telling => format!("{otherwise}_{plain}"),
        _ => otherwise.to_owned(),
    }
}

fn unique(wanted: &str, taken: &mut HashSet<String>) -> String {
    let mut name = wanted.to_owned();
    let mut number = 2;
    // It does not tell capital letters apart everywhere.
    while !taken.insert(name.to_lowercase()) {
        name = format!("{wanted}_{number}");
        number += 1;
    }
    name
}

/// A type as one word: `numeric(12,2)` becomes `numeric(12-2)`.
fn kind(type_name: &str) -> String {
    let plain: String = type_name
        .chars()
        .filter_map(|it| match it {
            c if c.is_ascii_alphanumeric() || matches!(c, '_' | '(' | ')' | '[' | ']') => Some(c),
            ',' => Some('-'),
            '"' => None,
            _ => Some('_'),
        })
        .collect();
    // A mark of a key is not taken as a type.
    let mark = matches!(plain.to_uppercase().as_str(), "PK" | "FK" | "UK");
    if plain.starts_with(|it: char| it.is_ascii_alphabetic()) && !mark {
        plain
    } else {
        format!("t_{plain}")
    }
}

/// As text between quotes: what would end it, or means something to a page, is written as an entity.
fn quoted(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '"' | '%' | '\\' | '<' | '>' | '&' | '#' | ';' | '`' => {
                let _ = write!(out, "#{};", u32::from(c));
            }
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
