//! What Postgres calls a column of a result to which nobody gives a name (`FigureColname`).

use serde_json::Value;

/// The kind and content of a node.
pub(super) fn inner(node: &Value) -> Option<(&str, &Value)> {
    let (kind, content) = node.get("node")?.as_object()?.iter().next()?;
    Some((kind.as_str(), content))
}

/// The text of a node that is one.
pub(super) fn text(node: &Value) -> Option<&str> {
    let (kind, content) = inner(node)?;
    (kind == "String").then(|| content["sval"].as_str()).flatten()
}

/// The name of a target; `None` where that is not known here.
pub(super) fn name_of(value: &Value) -> Option<String> {
    match figure(value) {
        Figured::Name(name, _) => Some(name),
        Figured::Nothing => Some("?column?".to_owned()),
        Figured::Unknown => None,
    }
}

enum Figured {
    /// A name, and whether it is a good one, which a cast does not replace.
    Name(String, bool),
    Nothing,
    Unknown,
}

fn good(name: &str) -> Figured {
    Figured::Name(name.to_owned(), true)
}

fn figure(value: &Value) -> Figured {
    let Some((kind, it)) = inner(value) else { return Figured::Nothing };
    let last = |list: &Value| -> Option<String> {
        let mut texts = list.as_array()?.iter().filter_map(text);
        texts.next_back().map(str::to_owned)
    };
    match kind {
        "ColumnRef" => match last(&it["fields"]) {
            Some(name) => Figured::Name(name, true),
            None => Figured::Nothing,
        },
        "AIndirection" => match last(&it["indirection"]) {
            Some(name) => Figured::Name(name, true),
            None => figure(&it["arg"]),
        },
        "FuncCall" => last(&it["funcname"]).map_or(Figured::Unknown, |it| Figured::Name(it, true)),
        "TypeCast" => match figure(&it["arg"]) {
            Figured::Name(name, true) => Figured::Name(name, true),
            Figured::Unknown => Figured::Unknown,
            Figured::Name(_, false) | Figured::Nothing => last(&it["type_name"]["names"])
                .map_or(Figured::Unknown, |it| Figured::Name(it, false)),
        },
        "CollateClause" => figure(&it["arg"]),
        "CaseExpr" => match figure(&it["defresult"]) {
            Figured::Name(name, true) => Figured::Name(name, true),
            Figured::Unknown => Figured::Unknown,
            Figured::Name(_, false) | Figured::Nothing => Figured::Name("case".to_owned(), false),
        },
        "AArrayExpr" => good("array"),
        "RowExpr" => good("row"),
        "CoalesceExpr" => good("coalesce"),
        "GroupingFunc" => good("grouping"),
        "AConst" | "ParamRef" | "BoolExpr" | "NullTest" | "BooleanTest" => Figured::Nothing,
        // `NULLIF` has a name of its own.
        "AExpr" if it["kind"] != 6 => Figured::Nothing,
        "AExpr" => good("nullif"),
        "SubLink" => match it["sub_link_type"].as_i64() {
            Some(1) => good("exists"),
            Some(7) => good("array"),
            Some(5) => of_subquery(&it["subselect"]),
            _ => Figured::Nothing,
        },
        _ => Figured::Unknown,
    }
}

/// A value that a subquery gives is called after its column.
fn of_subquery(node: &Value) -> Figured {
    let Some(("SelectStmt", select)) = inner(node) else { return Figured::Unknown };
    let Some(("ResTarget", target)) = select["target_list"].get(0).and_then(inner) else {
        return Figured::Unknown;
    };
    match target["name"].as_str() {
        Some(name) if !name.is_empty() => good(name),
        _ => match figure(&target["val"]) {
            Figured::Name(name, _) => Figured::Name(name, true),
            other => other,
        },
    }
}
