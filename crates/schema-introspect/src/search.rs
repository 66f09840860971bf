//! Finding tables and columns by words.

use std::collections::HashSet;

use crate::visible::{Visible, readable_columns};
use crate::words::{split, stem};
use crate::{AnnotationText, Annotations, Column, Relation};

/// The longest text that is looked for, in characters.
pub const MAX_SEARCH_CHARS: usize = 200;

/// So many words of it count.
const WORDS: usize = 12;

/// How much a word counts by where it stands. Names are what people and statements say; what is written about them helps
/// where names are short.
mod weight {
    pub(super) const TABLE: f64 = 1.0;
    pub(super) const TABLE_SYNONYM: f64 = 0.9;
    pub(super) const COLUMN: f64 = 0.6;
    pub(super) const COLUMN_SYNONYM: f64 = 0.55;
    pub(super) const TABLE_TEXT: f64 = 0.35;
    pub(super) const COLUMN_TEXT: f64 = 0.25;
    pub(super) const SCHEMA: f64 = 0.3;
}

/// A table that was found.
#[derive(Clone, Debug)]
pub struct SearchHit<'a> {
    /// The table.
    pub relation: &'a Relation,
    /// How well it fits, above 0: comparable within one search only.
    pub score: f64,
    /// The columns that fit, the best first.
    pub columns: Vec<ColumnHit<'a>>,
}

/// A column that was found.
#[derive(Clone, Debug)]
pub struct ColumnHit<'a> {
    /// The column.
    pub column: &'a Column,
    /// How well it fits, above 0, on the scale of its table.
    pub score: f64,
}

/// Finds the visible tables that fit words, the best first.
///
/// A word fits another by its stem, by how it begins, by what it contains, or with one letter wrong. Words that stand in
/// few tables count more; a table that fits all words comes before one that fits some of them better.
pub fn search<'a>(
    visible: &Visible<'a>,
    annotations: &Annotations,
    text: &str,
) -> Vec<SearchHit<'a>> {
    let terms = terms(text);
    if terms.is_empty() {
        return Vec::new();
    }
    let compact: String = split(text).concat();
    let found: Vec<Fit<'a>> = visible.relations().map(|it| fit(it, annotations, &terms)).collect();
    let rarity: Vec<f64> = (0..terms.len()).map(|term| rarity(&found, term)).collect();
    let mut hits: Vec<SearchHit<'a>> =
        found.iter().filter_map(|it| score(it, &rarity, &compact)).collect();
    hits.sort_by(|a, b| {
        let names = |it: &SearchHit<'a>| (&it.relation.schema, &it.relation.name);
        b.score.total_cmp(&a.score).then_with(|| names(a).cmp(&names(b)))
    });
    hits
}

struct Term {
    word: String,
    stem: String,
}

fn terms(text: &str) -> Vec<Term> {
    const STOP: [&str; 24] = [
        "a", "an", "and", "all", "are", "by", "column", "columns", "for", "from", "have", "in",
        "is", "of", "on", "or", "table", "tables", "the", "to", "what", "where", "which", "with",
    ];
    let mut seen = HashSet::new();
    let mut words = split(text);
    if words.iter().any(|it| !STOP.contains(&it.as_str())) {
        words.retain(|it| !STOP.contains(&it.as_str()));
    }
    let terms = words.into_iter().map(|word| Term { stem: stem(&word), word });
    terms.filter(|it| seen.insert(it.stem.clone())).take(WORDS).collect()
}

/// How well each term fits a table and its columns.
struct Fit<'a> {
    relation: &'a Relation,
    /// By term: the table by itself.
    table: Vec<f64>,
    /// Only columns that fit at all; each by term.
    columns: Vec<(&'a Column, Vec<f64>)>,
    /// Words of the table's name that no term fits.
    rest: usize,
}

fn fit<'a>(relation: &'a Relation, annotations: &Annotations, terms: &[Term]) -> Fit<'a> {
    let mut table = vec![0.0; terms.len()];
    let name = split(&relation.name);
    let mut rest = name.len();
    for word in &name {
        if terms.iter().any(|term| likeness(term, word) > 0.0) {
            rest -= 1;
        }
    }
    raise(&mut table, terms, &with_whole(name), weight::TABLE);
    raise(&mut table, terms, &split(&relation.schema), weight::SCHEMA);
    if let Some(comment) = &relation.comment {
        raise(&mut table, terms, &split(comment), weight::TABLE_TEXT);
    }
    if let Some(it) = annotations.table(&relation.schema, &relation.name) {
        let weights = (weight::TABLE_SYNONYM, weight::TABLE_TEXT);
        raise_by_annotation(&mut table, terms, &it.text, weights);
    }
    let mut columns = Vec::new();
    for column in readable_columns(relation) {
        let mut fits = vec![0.0; terms.len()];
        raise(&mut fits, terms, &with_whole(split(&column.name)), weight::COLUMN);
        if let Some(comment) = &column.comment {
            raise(&mut fits, terms, &split(comment), weight::COLUMN_TEXT);
        }
        if let Some(it) = annotations.column(&relation.schema, &relation.name, &column.name) {
            let weights = (weight::COLUMN_SYNONYM, weight::COLUMN_TEXT);
            raise_by_annotation(&mut fits, terms, &it.text, weights);
        }
        if fits.iter().any(|it| *it > 0.0) {
            columns.push((column, fits));
        }
    }
    Fit { relation, table, columns, rest }
}

/// The words of a name, and all of them written as one: people leave out what stands between.
fn with_whole(mut words: Vec<String>) -> Vec<String> {
    if words.len() > 1 {
        words.push(words.concat());
    }
    words
}

fn raise_by_annotation(
    fits: &mut [f64],
    terms: &[Term],
    text: &AnnotationText,
    (synonym, description): (f64, f64),
) {
    for it in text.synonyms() {
        raise(fits, terms, &split(it), synonym);
    }
    raise(fits, terms, &split(text.description().unwrap_or_default()), description);
}

/// Lets each term count as the best of these words fits it.
fn raise(fits: &mut [f64], terms: &[Term], words: &[String], weight: f64) {
    for (fit, term) in fits.iter_mut().zip(terms) {
        let best = words.iter().map(|it| likeness(term, it)).fold(0.0, f64::max);
        *fit = fit.max(best * weight);
    }
}

/// How well a word fits a term, from 0 to 1.
#[expect(clippy::cast_precision_loss, reason = "words are short")]
fn likeness(term: &Term, word: &str) -> f64 {
    if word == term.word {
        return 1.0;
    }
    let shares_beginning = word.as_bytes().first() == term.word.as_bytes().first();
    if shares_beginning && word.len() >= 3 && stem(word) == term.stem {
        return 0.95;
    }
    let part = term.word.len() as f64 / word.len().max(1) as f64;
    let long = term.word.chars().count();
    if long >= 2 && word.starts_with(&term.word) {
        return 0.5 + 0.35 * part;
    }
    if long >= 4 && word.starts_with(&term.stem) {
        return 0.45 + 0.3 * part;
    }
    if long >= 3 && word.contains(&term.word) {
        return 0.25 + 0.25 * part;
    }
    let misspelt = long >= 5
        && (one_letter_apart(&term.word, word) || one_letter_apart(&term.stem, &stem(word)));
    if misspelt { 0.5 } else { 0.0 }
}

/// Whether one letter more, less or another, or two letters in the wrong order, lie between two words.
fn one_letter_apart(a: &str, b: &str) -> bool {
    if a.len().abs_diff(b.len()) > 4 {
        return false;
    }
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let same = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    let (a, b) = (&a[same..], &b[same..]);
    let rest = |a: &[char], b: &[char]| a == b;
    match (a, b) {
        ([], [_]) | ([_], []) => true,
        ([_, a_rest @ ..], [_, b_rest @ ..]) => {
            let swapped = a.len() > 1 && b.len() > 1 && a[0] == b[1] && a[1] == b[0];
            rest(a_rest, b_rest)
                || rest(a, b_rest)
                || rest(a_rest, b)
                || swapped && rest(&a[2..], &b[2..])
        }
        _ => false,
    }
}

/// How much a term says: one that fits every table says little.
#[expect(clippy::cast_precision_loss, reason = "counts of tables")]
fn rarity(found: &[Fit<'_>], term: usize) -> f64 {
    let fits =
        |it: &&Fit<'_>| it.table[term] > 0.3 || it.columns.iter().any(|(_, fits)| fits[term] > 0.3);
    let many = found.iter().filter(fits).count() as f64;
    (1.0 + (1.0 + found.len() as f64) / (1.0 + many)).ln()
}

#[expect(clippy::cast_precision_loss, reason = "counts of words")]
fn score<'a>(fit: &Fit<'a>, rarity: &[f64], compact: &str) -> Option<SearchHit<'a>> {
    let all: f64 = rarity.iter().sum();
    let mut columns: Vec<ColumnHit<'a>> = fit
        .columns
        .iter()
        .map(|(column, fits)| {
            let sum: f64 = fits.iter().zip(rarity).map(|(fit, rarity)| fit * rarity).sum();
            // What the name says beyond the words makes it fit less: `total` before `total_before_tax`.
            let words = split(&column.name).len().max(1) as f64;
            ColumnHit { column, score: sum / all * (0.85 + 0.15 / words) }
        })
        .collect();
    columns.sort_by(|a, b| {
        b.score.total_cmp(&a.score).then_with(|| a.column.name.cmp(&b.column.name))
    });
    let (mut sum, mut covered) = (0.0, 0.0);
    for (term, rarity) in rarity.iter().enumerate() {
        let column = fit.columns.iter().map(|(_, fits)| fits[term]).fold(0.0, f64::max);
        let (own, best) = (fit.table[term], fit.table[term].max(column));
        // A table that is called so and has a column that is called so fits a little better than either.
        let both = if own > 0.0 && column > 0.0 { 0.08 * own.min(column) } else { 0.0 };
        sum += (best + both) * rarity;
        covered += if best > 0.0 { *rarity } else { 0.0 };
    }
    if sum <= 0.0 {
        return None;
    }
    let coverage = covered / all;
    let mut score = sum / all * coverage * (0.8 + 0.2 / (1.0 + fit.rest as f64));
    if split(&fit.relation.name).concat() == *compact {
        score += 1.0;
    }
    // Partitions say what their parent says.
    if fit.relation.partition_of.is_some() {
        score *= 0.5;
    }
    columns.retain(|it| it.score >= 0.05);
    Some(SearchHit { relation: fit.relation, score, columns })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;
    use plinth_connections::{AllowedTables, ConnectionId};
    use plinth_core::{OrgId, UserId};

    use super::*;
    use crate::{Annotation, AnnotationTarget, Catalog};

    fn table(name: &str, comment: Option<&str>, columns: &[&str]) -> Arc<Relation> {
        let column =
            |name: &&str| Column { name: (*name).to_owned(), readable: true, ..Column::default() };
        Arc::new(Relation {
            oid: 20_000 + u32::try_from(name.len() * 131 + columns.len()).unwrap(),
            schema: "public".to_owned(),
            name: name.to_owned(),
            comment: comment.map(str::to_owned),
            readable: true,
            columns: columns.iter().map(column).collect(),
            ..Relation::default()
        })
    }

    fn shop() -> Catalog {
        let mut relations = vec![
            table("addresses", Some("Where orders are sent to."), &["id", "customer_id", "street"]),
            table("customers", None, &["id", "firstName", "email", "created_at"]),
            table("order_items", None, &["order_id", "product_id", "quantity", "unit_price"]),
            table("orders", None, &["id", "customer_id", "total", "total_before_tax"]),
            table("products", Some("Articles of the shop."), &["id", "name", "list_price"]),
            table("shipments", None, &["id", "order_id", "shipped_at", "carrier"]),
        ];
        for (at, it) in relations.iter_mut().enumerate() {
            Arc::make_mut(it).oid = 20_000 + u32::try_from(at).unwrap();
        }
        Catalog { relations, ..Catalog::default() }
    }

    fn names(text: &str, annotations: &Annotations) -> Vec<String> {
        let catalog = shop();
        let visible = Visible::new(&catalog, &AllowedTables::All);
        let hits = search(&visible, annotations, text);
        hits.iter().map(|it| it.relation.name.clone()).collect()
    }

    fn first(text: &str) -> String {
        names(text, &Annotations::default()).first().cloned().unwrap_or_default()
    }

    #[test]
    fn the_table_that_is_called_so_comes_first() {
        for (text, table) in [
            ("orders", "orders"),
            ("order", "orders"),
            ("order items", "order_items"),
            ("orderitems", "order_items"),
            ("OrderItems", "order_items"),
            ("items of an order", "order_items"),
            ("cust", "customers"),
            ("adress", "addresses"),
            ("first name of the customer", "customers"),
            ("price of products", "products"),
            ("articles", "products"),
            ("shipping", "shipments"),
            ("unit price", "order_items"),
            ("quantity", "order_items"),
        ] {
            assert_eq!(first(text), table, "{text}: {:?}", names(text, &Annotations::default()));
        }
    }

    #[test]
    fn a_name_counts_more_than_what_is_written_about_another() {
        let found = names("orders", &Annotations::default());
        let place = |name: &str| found.iter().position(|it| it == name);
        assert!(place("orders") < place("order_items"), "{found:?}");
        assert!(place("order_items") < place("addresses"), "{found:?}");
    }

    #[test]
    fn columns_are_ranked_within_their_table() {
        let catalog = shop();
        let visible = Visible::new(&catalog, &AllowedTables::All);
        let hits = search(&visible, &Annotations::default(), "total");
        let columns: Vec<_> = hits[0].columns.iter().map(|it| it.column.name.as_str()).collect();
        assert_eq!(
            (hits[0].relation.name.as_str(), columns),
            ("orders", vec!["total", "total_before_tax"])
        );
    }

    #[test]
    fn what_people_wrote_is_found() {
        let at = Timestamp::UNIX_EPOCH;
        let annotation = |table: &str, column: Option<&str>, synonym: &str| Annotation {
            org: OrgId::new(at),
            connection: ConnectionId::new(at),
            target: AnnotationTarget {
                schema: "public".to_owned(),
                table: table.to_owned(),
                column: column.map(str::to_owned),
            },
            text: AnnotationText::parse(Some("Kept by hand."), [synonym]).unwrap(),
            version: 1,
            updated_by: UserId::new(at),
            updated_at: at,
        };
        let written = Annotations::new(
            1,
            [
                annotation("orders", Some("total"), "turnover"),
                annotation("customers", None, "clients"),
            ],
        );
        assert_eq!(names("turnover", &written), ["orders"]);
        assert_eq!(names("client", &written), ["customers"]);
        assert_eq!(names("by hand", &written).len(), 2);
        assert!(names("turnover", &Annotations::default()).is_empty());
    }

    #[test]
    fn nothing_is_found_for_nothing() {
        for text in ["", "  ", "--", "zebra"] {
            assert!(names(text, &Annotations::default()).is_empty(), "{text}");
        }
    }

    #[test]
    fn one_wrong_letter_is_forgiven_and_two_are_not() {
        for (a, b) in [
            ("order", "ordr"),
            ("order", "ordeer"),
            ("order", "odrer"),
            ("order", "orders"),
            ("order", "arder"),
        ] {
            assert!(one_letter_apart(a, b) && one_letter_apart(b, a), "{a} {b}");
        }
        for (a, b) in
            [("order", "order"), ("order", "odr"), ("order", "older2"), ("order", "redro")]
        {
            assert!(!one_letter_apart(a, b), "{a} {b}");
        }
    }
}
