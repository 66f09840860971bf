//! Things that are kept in a tree, like categories within categories: what belongs to one of them belongs to the one above it
//! as well.

use crate::{
    index::SchemaIndex,
    lexicon::LEXICON,
    logical::{ColumnRef, Comparison, Expr, Literal, LogicalQuery, Predicate},
    token::normalized,
};

/// Lets what is named in conditions stand for what lies directly below it too, where rows of another table are asked for.
/// Superiors are no such tree: what is asked of somebody is not asked of those who report to them.
pub(crate) fn include_below(index: &SchemaIndex, query: &mut LogicalQuery) {
    let root = query.root;
    for it in &mut query.filter {
        widen(index, root, it);
    }
}

/// The same for one condition of a query over that table.
pub(crate) fn widen(index: &SchemaIndex, root: Option<usize>, it: &mut Predicate) {
    match it {
        Predicate::Compare(
            Expr::Column(column),
            Comparison::Equal,
            Expr::Literal(Literal::Text(_)),
        ) if column.role == 0 && Some(column.table) != root => {
            let column = *column;
            let Some((key, above)) = tree(index, column) else { return };
            let named = LogicalQuery {
                select: vec![Expr::Column(key)],
                root: Some(column.table),
                filter: vec![it.clone()],
                ..LogicalQuery::default()
            };
            let below =
                Predicate::InQuery { columns: vec![above], query: Box::new(named), negated: false };
            *it = Predicate::Or(vec![it.clone(), below]);
        }
        Predicate::And(all) | Predicate::Or(all) => {
            all.iter_mut().for_each(|it| widen(index, root, it));
        }
        Predicate::Not(it) => widen(index, root, it),
        Predicate::InQuery { query, .. } => include_below(index, query),
        _ => {}
    }
}

/// The key of a table that is a tree of what that column names, and the reference to the row above.
fn tree(index: &SchemaIndex, name: ColumnRef) -> Option<(ColumnRef, ColumnRef)> {
    let table = &index.tables[name.table];
    let [key] = table.primary.as_slice() else { return None };
    if !table.display.contains(&name.column) {
        return None;
    }
    let mut own = index.edges_of[name.table]
        .iter()
        .map(|it| &index.edges[*it])
        .filter(|it| it.from == it.to && it.to_columns == [*key]);
    let edge = own.next()?;
    let ([above], None) = (edge.from_columns.as_slice(), own.next()) else { return None };
    let column = &table.columns[*above];
    let sign = is_above(&column.words)
        || is_own(&column.words, &table.words)
        || !is_other(&column.words) && tells(column.comment.as_deref());
    // nothing belongs to superiors
    let people = table.display.len() > 1
        || column.words.iter().any(|it| {
            let stem = LEXICON.stem(it);
            ["manag", "supervis", "superior", "report", "mentor"].contains(&stem.as_str())
                || LEXICON.synonyms("manag").contains(&stem)
        });
    let tree = is_above(&column.words) || sign && !people;
    tree.then(|| (ColumnRef::new(name.table, *key), ColumnRef::new(name.table, *above)))
}

/// Whether a reference is called by where it leads: upwards.
fn is_above(words: &[String]) -> bool {
    words.iter().any(|it| {
        matches!(it.as_str(), "parent" | "above" | "upper" | "main" | "part" | "within" | "belong")
            || it.starts_with("super") && !it.starts_with("superi") && !it.starts_with("superv")
    })
}

/// `category_id` in a table of categories: the one that a category is in.
fn is_own(words: &[String], table: &[String]) -> bool {
    let noun = match words {
        [noun @ .., last] if matches!(last.as_str(), "id" | "code" | "key") => noun,
        all => all,
    };
    !noun.is_empty() && table.ends_with(noun)
}

/// Whether a reference is called by what else lies between two rows of one table: the next one, one that is the same.
fn is_other(words: &[String]) -> bool {
    const ENDINGS: [&str; 16] = [
        "success",
        "duplicat",
        "previous",
        "predecess",
        "next",
        "follow",
        "merg",
        "replac",
        "origin",
        "revers",
        "cop",
        "clon",
        "preced",
        "version",
        "supersed",
        "refer",
    ];
    words.iter().any(|it| ENDINGS.iter().any(|other| it.starts_with(other)))
}

/// Whether a description says that the other row is the one above.
fn tells(comment: Option<&str>) -> bool {
    let normal = normalized(comment.unwrap_or_default());
    let says = |it: &str| format!(" {normal} ").contains(&format!(" {it} "));
    ["above", "parent", "part of", "belongs to", "lies in", "lies within", "contained in"]
        .iter()
        .any(|it| says(it))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn only_what_leads_upwards_makes_a_tree() {
        assert!(is_above(&words("parent id")) && is_above(&words("superclass id")));
        assert!(is_own(&words("region id"), &words("region")));
        assert!(!is_own(&words("region id"), &words("depot")));
        for it in ["successor id", "duplicate of id", "previous version id", "merged into id"] {
            assert!(!is_above(&words(it)) && is_other(&words(it)), "{it}");
        }
        assert!(
            tells(Some("The shelf above; NULL at the top.")) && tells(Some("It is part of it."))
        );
        assert!(!tells(Some("The depot that came later.")) && !tells(None));
    }
}
