//! What callers send, held against the rules: all that is wrong is told at once.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use plinth_charts::{Kind, Options};
use plinth_core::UserId;
use plinth_queries::{Parameter, QueryId};
use serde_json::{Map, Value};

use crate::dashboard::{Dashboard, Filter, Position, Widget};
use crate::ports::Described;
use crate::{Fault, WidgetId};

/// Columns of the grid.
pub const COLUMNS: u32 = 12;
/// Rows of the grid.
const ROWS: u32 = 1_000;
/// The highest widget, in rows.
const HIGHEST: u32 = 50;
/// Widgets on one dashboard.
const MOST_WIDGETS: usize = 50;
const MOST_FILTERS: usize = 20;
const MOST_VALUES: usize = 200;
const MOST_PARAMETERS: usize = 50;
/// A day, in seconds.
pub(crate) const DAY: u32 = 86_400;
/// What parameters, filters and their values take at most, as JSON.
const MOST_BYTES: usize = 65_536;

/// A widget, as it is sent.
#[derive(Clone, Debug)]
pub struct WidgetSpec {
    /// Of one that is there already; `None` for a new one.
    pub id: Option<WidgetId>,
    /// See [`Kind`].
    pub kind: String,
    /// See [`Widget::title`].
    pub title: String,
    /// Whoever it runs as already, or the caller, who takes it over; `None` for whoever follows from what it asks.
    pub owner: Option<UserId>,
    /// See [`Widget::query`].
    pub query: Option<QueryId>,
    /// The version of the query that the caller stands for; `None` for the one that it has, of a new widget the newest.
    pub version: Option<u32>,
    /// See [`Widget::parameters`].
    pub parameters: Map<String, Value>,
    /// See [`Widget::filters`].
    pub filters: BTreeMap<String, String>,
    /// See [`Widget::position`].
    pub position: Position,
    /// See [`Options`]; null for none.
    pub options: Value,
    /// See [`Widget::max_age_seconds`].
    pub max_age_seconds: Option<u32>,
}

/// A filter, as it is sent.
pub type FilterSpec = Filter;

/// All that is wrong, while it is found.
#[derive(Debug, Default)]
pub(crate) struct Faults(pub(crate) Vec<Fault>);

impl Faults {
    pub(crate) fn add(&mut self, pointer: impl Into<String>, message: impl Into<String>) {
        self.0.push(Fault { pointer: pointer.into(), message: message.into() });
    }
}

/// Reads widgets; `known` are those that the dashboard has.
pub(crate) fn widgets(
    specs: Vec<WidgetSpec>,
    known: &[WidgetId],
    now: Timestamp,
    faults: &mut Faults,
) -> Vec<Widget> {
    if specs.len() > MOST_WIDGETS {
        faults.add("/widgets", format!("has to be a list of at most {MOST_WIDGETS}"));
        return Vec::new();
    }
    let mut widgets: Vec<Widget> = Vec::with_capacity(specs.len());
    let mut pointers = Vec::with_capacity(specs.len());
    for (at, spec) in specs.into_iter().enumerate() {
        let pointer = format!("/widgets/{at}");
        if let Some(widget) = widget(spec, &pointer, known, now, faults) {
            if widgets.iter().any(|it| it.id == widget.id) {
                faults.add(format!("{pointer}/id"), "is the id of another widget here");
            }
            for (other, pointer_of_other) in widgets.iter().zip(&pointers) {
                if other.position.overlaps(widget.position) {
                    let message = format!("covers the widget at {pointer_of_other}");
                    faults.add(format!("{pointer}/position"), message);
                    break;
                }
            }
            widgets.push(widget);
            pointers.push(pointer);
        }
    }
    widgets
}

fn widget(
    spec: WidgetSpec,
    pointer: &str,
    known: &[WidgetId],
    now: Timestamp,
    faults: &mut Faults,
) -> Option<Widget> {
    let before = faults.0.len();
    let at = |field: &str| format!("{pointer}/{field}");
    let id = match spec.id {
        Some(id) if !known.contains(&id) => {
            faults.add(at("id"), "is no widget of this dashboard; leave it out for a new one");
            return None;
        }
        Some(id) => id,
        None => WidgetId::new(now),
    };
    let kind: Kind = match spec.kind.parse() {
        Ok(kind) => kind,
        Err(err) => {
            faults.add(at("type"), format!("{err}"));
            return None;
        }
    };
    if spec.title.chars().count() > 200 || spec.title.chars().any(char::is_control) {
        faults.add(at("title"), "has to be a text of at most 200 characters in one line");
    }
    if let Err(wrong) = Options::parse(kind, &spec.options) {
        for it in wrong {
            let name = it.name.replace('~', "~0").replace('/', "~1");
            let pointer = if name.is_empty() { at("options") } else { at("options/") + &name };
            faults.add(pointer, it.rule);
        }
    }
    place(spec.position, &at("position"), faults);
    if spec.query.is_none() && kind != Kind::Text {
        faults.add(at("query_id"), "is missing");
    }
    if spec.query.is_none() && !(spec.parameters.is_empty() && spec.filters.is_empty()) {
        faults.add(at("query_id"), "is missing: parameters are a query's");
    }
    if spec.parameters.len() + spec.filters.len() > MOST_PARAMETERS {
        faults.add(at("parameters"), format!("has to have at most {MOST_PARAMETERS} values"));
    }
    if size(&spec.parameters) + size(&spec.options) > MOST_BYTES {
        faults.add(pointer, format!("has to take at most {MOST_BYTES} bytes"));
    }
    for parameter in spec.filters.keys() {
        if spec.parameters.contains_key(parameter) {
            faults.add(at("filters"), format!("names `{parameter}`, which has a value already"));
        }
    }
    if spec.max_age_seconds.is_some_and(|it| it > DAY) {
        faults.add(at("max_age_seconds"), format!("has to be a whole number from 0 to {DAY}"));
    }
    (faults.0.len() == before).then_some(Widget {
        id,
        kind,
        title: spec.title,
        owner: spec.owner,
        paused_at: None,
        query: spec.query,
        version: spec.version,
        parameters: spec.parameters,
        filters: spec.filters,
        position: spec.position,
        options: spec.options,
        max_age_seconds: spec.max_age_seconds,
    })
}

fn size(value: &impl serde::Serialize) -> usize {
    serde_json::to_string(value).map_or(usize::MAX / 4, |it| it.len())
}

fn place(position: Position, pointer: &str, faults: &mut Faults) {
    let Position { x, y, w, h } = position;
    if !(1..=COLUMNS).contains(&w) {
        faults.add(format!("{pointer}/w"), format!("has to be from 1 to {COLUMNS}"));
    } else if x.saturating_add(w) > COLUMNS {
        let message = format!("goes over the right edge: the grid has {COLUMNS} columns");
        faults.add(format!("{pointer}/x"), message);
    }
    if !(1..=HIGHEST).contains(&h) {
        faults.add(format!("{pointer}/h"), format!("has to be from 1 to {HIGHEST}"));
    }
    if y > ROWS {
        faults.add(format!("{pointer}/y"), format!("has to be from 0 to {ROWS}"));
    }
}

/// Checks filters by themselves.
pub(crate) fn filters(filters: &[Filter], faults: &mut Faults) {
    if filters.len() > MOST_FILTERS {
        faults.add("/filters", format!("has to be a list of at most {MOST_FILTERS}"));
        return;
    }
    let mut names = BTreeSet::new();
    for (number, filter) in filters.iter().enumerate() {
        let at = |field: &str| format!("/filters/{number}/{field}");
        if !is_name(&filter.name) {
            let message =
                "has to be lower-case letters, digits and `_`, a letter first, at most 63";
            faults.add(at("name"), message);
        } else if !names.insert(filter.name.as_str()) {
            faults.add(at("name"), "is the name of another filter here");
        }
        let label = filter.label.as_deref().unwrap_or_default();
        if label.chars().count() > 200 || label.chars().any(char::is_control) {
            faults.add(at("label"), "has to be a text of at most 200 characters in one line");
        }
        if filter.options.len() > MOST_VALUES {
            faults.add(at("options"), format!("has to be a list of at most {MOST_VALUES}"));
        }
        if filter.options.iter().any(|it| !it.is_null() && !is_plain(it)) {
            faults.add(at("options"), "has to hold texts, numbers, true, false and null only");
        }
        if let Some(default) = &filter.default {
            if !is_plain(default) {
                faults.add(at("default"), "has to be a text, a number, true or false");
            } else if !filter.options.is_empty() && !filter.options.contains(default) {
                faults.add(at("default"), "is none of the options");
            }
        }
        if size(filter) > MOST_BYTES {
            faults.add(at("options"), format!("has to take at most {MOST_BYTES} bytes"));
        }
    }
}

/// Checks what widgets take from filters.
pub(crate) fn mapped(widgets: &[Widget], filters: &[Filter], faults: &mut Faults) {
    for (at, widget) in widgets.iter().enumerate() {
        for (parameter, filter) in &widget.filters {
            if !filters.iter().any(|it| it.name == *filter) {
                let pointer = format!("/widgets/{at}/filters/{parameter}");
                faults.add(pointer, format!("there is no filter `{filter}` on this dashboard"));
            }
        }
    }
}

/// Whether a widget asks what it did, as whom it did: then it is left whose it is, with the version that they stand for, and
/// nobody has to be able to see its query.
pub(crate) fn stays(
    widget: &mut Widget,
    before: Option<&Dashboard>,
    filters: &[Filter],
    caller: UserId,
) -> bool {
    let old = before.and_then(|it| Some((it.widget(widget.id)?, it)));
    let Some((old, dashboard)) = old else { return false };
    let owner = dashboard.owner_of(old);
    let has_owner = widget.owner.is_none_or(|it| it == owner);
    let has_version = widget.version.is_none() || widget.version == old.version;
    if !(has_owner && has_version && asks_the_same(old, widget, dashboard, filters)) {
        return false;
    }
    widget.owner = Some(owner);
    widget.version = old.version;
    // Whoever changes the dashboard has not left.
    widget.paused_at = old.paused_at.filter(|_| owner != caller);
    true
}

/// Reads of a widget that does not stay what it was as whom it is to run, and which version of its query is meant.
pub(crate) fn claimed(
    (at, widget): (usize, &mut Widget),
    before: Option<&Dashboard>,
    caller: UserId,
    faults: &mut Faults,
) {
    let old = before.and_then(|it| Some((it.widget(widget.id)?, it)));
    let old_owner = old.map(|(old, it)| it.owner_of(old));
    if widget.owner.is_some_and(|it| it != caller && old_owner != Some(it)) {
        let message = "is neither whom it runs as nor you; nobody lets it run as another";
        faults.add(format!("/widgets/{at}/owner_id"), message);
    }
    if let Some((old, _)) = old {
        // What was read goes back with it; it is not meant of another query.
        if old.query != widget.query && widget.version == old.version {
            widget.version = None;
        }
        if old.query == widget.query && widget.version.is_none() {
            widget.version = old.version;
        }
    }
}

/// Says of a widget that does not stay what it was as whom it runs, and which version of its query they stand for. Whoever
/// changes what it asks, or what it takes from a filter, is whom it runs as from then on: nobody lets another's widget show what
/// they may not see themselves.
pub(crate) fn vouch(
    (at, widget): (usize, &mut Widget),
    newest: u32,
    caller: UserId,
    faults: &mut Faults,
) {
    let newest = newest.max(1);
    if widget.version.is_some_and(|it| it == 0 || it > newest) {
        let message = format!("has to be a version of the query, from 1 to {newest}");
        faults.add(format!("/widgets/{at}/query_version"), message);
    }
    widget.owner = Some(caller);
    widget.paused_at = None;
    if widget.query.is_some() {
        widget.version = widget.version.or(Some(newest));
    }
}

/// Whether a widget shows of its query what it did, with the same values.
fn asks_the_same(old: &Widget, new: &Widget, before: &Dashboard, filters: &[Filter]) -> bool {
    let plain = |it: &Value| it.as_object().cloned().unwrap_or_default();
    let is_same = old.query == new.query
        && old.kind == new.kind
        && old.parameters == new.parameters
        && old.filters == new.filters
        && plain(&old.options) == plain(&new.options);
    is_same && takes_the_same(new, before, filters)
}

/// Whether the filters that a widget takes are as they were, but for their labels.
fn takes_the_same(widget: &Widget, before: &Dashboard, filters: &[Filter]) -> bool {
    widget.filters.values().all(|name| {
        let is_it = |it: &&Filter| it.name == *name;
        match (before.filters.iter().find(is_it), filters.iter().find(is_it)) {
            (Some(old), Some(new)) => old.default == new.default && old.options == new.options,
            _ => false,
        }
    })
}

/// Holds what a widget gives its query, and what filters could give it, against what that takes.
pub(crate) fn fits(
    (at, widget): (usize, &Widget),
    query: &Described,
    filters: &[Filter],
    faults: &mut Faults,
) {
    let declared = |name: &str| query.parameters.iter().find(|it| it.name == name);
    for (name, value) in &widget.parameters {
        let taken = declared(name).map(|it| it.takes(value));
        if let Err(why) = taken.unwrap_or_else(|| Err("is no parameter of the query".to_owned())) {
            faults.add(format!("/widgets/{at}/parameters/{name}"), why);
        }
    }
    for (name, filter) in &widget.filters {
        let Some(parameter) = declared(name) else {
            let pointer = format!("/widgets/{at}/filters/{name}");
            faults.add(pointer, "is no parameter of the query");
            continue;
        };
        let found = filters.iter().enumerate().find(|it| it.1.name == *filter);
        if let Some((number, filter)) = found {
            offered((number, filter), at, parameter, faults);
        }
    }
    for needed in query.parameters.iter().filter(|it| it.is_needed()) {
        let name = &needed.name;
        if !widget.parameters.contains_key(name) && !widget.filters.contains_key(name) {
            let pointer = format!("/widgets/{at}/parameters/{name}");
            faults.add(pointer, "is missing: the query needs it");
        }
    }
}

/// Holds what a filter can give a widget's parameter against that; of options the first that does not fit is told.
fn offered(
    (number, filter): (usize, &Filter),
    at: usize,
    parameter: &Parameter,
    faults: &mut Faults,
) {
    let wrong = |value: &Value| match value {
        // Then the parameter is not given at all.
        Value::Null => parameter.is_needed().then(|| "needs a value; null is none".to_owned()),
        value => parameter.takes(value).err(),
    };
    let name = &parameter.name;
    for (field, what, mut values) in [
        ("default", "does not fit", filter.default.as_slice().iter()),
        ("options", "hold what does not fit", filter.options.iter()),
    ] {
        if let Some(why) = values.find_map(wrong) {
            let message = format!("{what} `{name}` of the widget at /widgets/{at}: {why}");
            faults.add(format!("/filters/{number}/{field}"), message);
        }
    }
}

pub(crate) fn is_plain(value: &Value) -> bool {
    match value {
        Value::String(text) => text.chars().count() <= 10_000 && !text.contains('\0'),
        Value::Number(_) | Value::Bool(_) => true,
        _ => false,
    }
}

fn is_name(text: &str) -> bool {
    text.len() <= 63
        && text.starts_with(|it: char| it.is_ascii_lowercase())
        && text.chars().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '_')
}

#[cfg(test)]
mod tests {
    use plinth_queries::ParameterKind;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn spec(kind: &str, (x, y, w, h): (u32, u32, u32, u32)) -> WidgetSpec {
        WidgetSpec {
            id: None,
            kind: kind.to_owned(),
            title: "Orders".to_owned(),
            owner: None,
            query: Some(QueryId::new(Timestamp::UNIX_EPOCH)),
            version: None,
            parameters: Map::new(),
            filters: BTreeMap::new(),
            position: Position { x, y, w, h },
            options: Value::Null,
            max_age_seconds: None,
        }
    }

    fn faults(specs: Vec<WidgetSpec>) -> Vec<String> {
        let mut faults = Faults::default();
        widgets(specs, &[], Timestamp::UNIX_EPOCH, &mut faults);
        faults.0.into_iter().map(|it| it.pointer).collect()
    }

    #[test]
    fn widgets_neither_overlap_nor_go_over_the_edge() {
        assert!(faults(vec![spec("bar", (0, 0, 6, 4)), spec("line", (6, 0, 6, 4))]).is_empty());
        assert_eq!(
            faults(vec![spec("bar", (0, 0, 6, 4)), spec("line", (5, 3, 6, 4))]),
            ["/widgets/1/position"]
        );
        assert_eq!(faults(vec![spec("bar", (7, 0, 6, 4))]), ["/widgets/0/position/x"]);
        assert_eq!(faults(vec![spec("bar", (u32::MAX, 0, 1, 0))]).len(), 2);
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let mut bad = spec("bar", (0, 0, 0, 4));
        bad.options = json!({ "donut": true });
        bad.query = None;
        bad.max_age_seconds = Some(1_000_000);
        let mut found = faults(vec![bad, spec("picture", (0, 0, 1, 1))]);
        found.sort();
        assert_eq!(
            found,
            [
                "/widgets/0/max_age_seconds",
                "/widgets/0/options/donut",
                "/widgets/0/position/w",
                "/widgets/0/query_id",
                "/widgets/1/type",
            ]
        );
    }

    #[test]
    fn parameters_are_the_querys_own() {
        assert_eq!(
            misfits(json!({ "month": 5 }), &[]),
            ["/widgets/0/parameters/month", "/widgets/0/parameters/country"]
        );
        assert!(misfits(json!({ "country": "Chad", "year": 2026 }), &[]).is_empty());
    }

    /// What is wrong with these values of a query that needs a country, with a filter for the year.
    fn misfits(values: Value, year: &[Filter]) -> Vec<String> {
        let parameter = |name: &str, kind, required| Parameter {
            name: name.to_owned(),
            kind,
            label: None,
            description: None,
            required,
            default: None,
        };
        let (text, number) = (ParameterKind::Text, ParameterKind::Number);
        let parameters = vec![parameter("country", text, true), parameter("year", number, false)];
        let query = Described { is_saved: true, version: 1, parameters };
        let mut spec = spec("bar", (0, 0, 1, 1));
        spec.parameters = values.as_object().unwrap().clone();
        let taken = year.iter().map(|it| ("year".to_owned(), it.name.clone()));
        spec.filters = taken.collect();
        let mut faults = Faults::default();
        let made = widgets(vec![spec], &[], Timestamp::UNIX_EPOCH, &mut faults);
        fits((0, &made[0]), &query, year, &mut faults);
        faults.0.into_iter().map(|it| it.pointer).collect()
    }

    #[test]
    fn values_are_of_the_kind_that_the_query_takes() {
        for wrong in [json!("a\0b"), json!(7), json!(null), json!(["Chad"])] {
            assert_eq!(
                misfits(json!({ "country": wrong }), &[]),
                ["/widgets/0/parameters/country"]
            );
        }
        let chad = || json!({ "country": "Chad" });
        let year = |default, options| Filter {
            name: "of".to_owned(),
            label: None,
            default: Some(default),
            options,
        };
        assert!(
            misfits(chad(), &[year(json!("2025"), vec![json!("2025"), json!(null)])]).is_empty()
        );
        assert_eq!(misfits(chad(), &[year(json!("Mali"), vec![])]), ["/filters/0/default"]);
        assert_eq!(
            misfits(chad(), &[year(json!(2025), vec![json!(2025), json!(true), json!("Mali")])]),
            ["/filters/0/options"]
        );
    }

    #[test]
    fn filters_have_names_of_their_own_and_defaults_among_their_options() {
        let filter = |name: &str, default: Value| Filter {
            name: name.to_owned(),
            label: None,
            default: Some(default),
            options: vec![json!("France"), json!("Chad")],
        };
        let mut found = Faults::default();
        let sent = [
            filter("country", json!("Chad")),
            filter("country", json!("Mali")),
            filter("A", json!([])),
        ];
        filters(&sent, &mut found);
        let pointers: Vec<_> = found.0.iter().map(|it| it.pointer.as_str()).collect();
        assert_eq!(
            pointers,
            ["/filters/1/name", "/filters/1/default", "/filters/2/name", "/filters/2/default"]
        );
    }

    proptest! {
        #[test]
        fn overlapping_is_mutual_and_means_a_common_cell(
            a in (0..12u32, 0..12u32, 1..6u32, 1..6u32), b in (0..12u32, 0..12u32, 1..6u32, 1..6u32),
        ) {
            let position = |(x, y, w, h)| Position { x, y, w, h };
            let (first, second) = (position(a), position(b));
            let holds = |it: Position, x, y| {
                (it.x..it.x + it.w).contains(&x) && (it.y..it.y + it.h).contains(&y)
            };
            let common = (0..20).any(|x| (0..20).any(|y| holds(first, x, y) && holds(second, x, y)));
            prop_assert_eq!(first.overlaps(second), common);
            prop_assert_eq!(second.overlaps(first), common);
        }
    }
}
