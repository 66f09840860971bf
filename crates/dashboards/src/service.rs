//! What people do with dashboards.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use futures_util::{FutureExt as _, StreamExt as _, future, stream};
use plinth_core::{
    Clock, Cursor, DashboardsRead, DashboardsWrite, Limit, Page, Permit, Principal, QueriesRead,
    UserId,
};
use plinth_queries::{Members, QueryError, QueryId};
use plinth_tenancy::limits::{Places, Visitors};
use plinth_tenancy::outbox::{Letter, LetterTo, Message};
use plinth_tenancy::{AuditEntry, Tenancy};
use serde_json::{Map, Value, json};

use crate::dashboard::{Dashboard, Filter, Widget};
use crate::layout::{self, DAY, Faults, WidgetSpec};
use crate::look::{Looked, Room, Shown, row_limit};
use crate::ports::{DashboardStore, Described, WidgetRun, WidgetRunner};
use crate::share::{Share, ShareKey};
use crate::{DashboardError, DashboardId, ShareId, WidgetError, WidgetId};

/// The most dashboards of one organization.
const MOST: i64 = 1_000;
/// Widgets of one look that run at once.
const AT_ONCE: usize = 6;
/// Widgets of all looks of this process that run at once.
const AT_ONCE_HERE: usize = 64;
/// The shortest time between two refreshes, in seconds.
const SHORTEST_REFRESH: u32 = 5;
/// How often one network address may look through links, in a minute.
const LOOKS_OF_ADDRESS: u32 = 300;
/// How often one link may be looked through, in a minute.
const LOOKS_OF_LINK: u32 = 600;

/// What is needed to make a dashboard.
#[derive(Clone, Debug, Default)]
pub struct NewDashboard {
    /// 1 to 200 characters.
    pub name: String,
    /// Up to 2,000 characters.
    pub description: String,
    /// What stands on it.
    pub widgets: Vec<WidgetSpec>,
    /// What whoever looks may choose.
    pub filters: Vec<Filter>,
    /// See [`Dashboard::refresh_seconds`].
    pub refresh_seconds: Option<u32>,
}

/// What to change; `None` leaves it.
#[derive(Clone, Debug, Default)]
pub struct DashboardChange {
    /// See [`NewDashboard::name`].
    pub name: Option<String>,
    /// See [`NewDashboard::description`].
    pub description: Option<String>,
    /// All widgets, in the place of those there are.
    pub widgets: Option<Vec<WidgetSpec>>,
    /// All filters, in the place of those there are.
    pub filters: Option<Vec<Filter>>,
    /// The inner `None` leaves it to each query.
    pub refresh_seconds: Option<Option<u32>>,
    /// The revisions that the caller may have seen; `None` changes whatever is there.
    pub expected: Option<Vec<i64>>,
}

/// How a dashboard is looked at.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    /// Values of filters by name; null for none, though the filter has a default, where [`Filter::has`] it.
    pub filters: Map<String, Value>,
    /// How old answers may be, in seconds; 0 runs everything now, `None` leaves it to the widgets.
    pub max_age_seconds: Option<u32>,
}

/// Dashboards of organizations.
#[derive(Clone)]
pub struct Dashboards {
    pub(crate) parts: Arc<DashboardParts>,
    places: Places,
    /// Who looks through links, by their network addresses and by the links.
    pub(crate) addresses: Visitors<String>,
    pub(crate) links: Visitors<ShareId>,
}

/// What [`Dashboards`] is put together from.
pub struct DashboardParts {
    /// Where they are kept.
    pub store: Arc<dyn DashboardStore>,
    /// Runs what widgets ask.
    pub runner: Arc<dyn WidgetRunner>,
    /// As whom widgets run, and who made links.
    pub members: Arc<dyn Members>,
    /// Whether organizations are open.
    pub tenancy: Tenancy,
    /// Makes tokens of links.
    pub key: ShareKey,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl Dashboards {
    /// Puts the service together.
    pub fn new(parts: DashboardParts) -> Self {
        let clock = &parts.clock;
        Self {
            addresses: Visitors::new(clock.clone(), LOOKS_OF_ADDRESS),
            links: Visitors::new(clock.clone(), LOOKS_OF_LINK),
            places: Places::new(AT_ONCE_HERE),
            parts: Arc::new(parts),
        }
    }

    /// Makes a dashboard. Queries of the history that nobody saved are saved by it, so that they stay and viewers may run
    /// them.
    ///
    /// # Errors
    ///
    /// - [`DashboardError::Invalid`] with everything that is wrong with widgets and filters, queries that the caller does not see
    ///   among it; [`DashboardError::Field`] for the rest.
    /// - [`DashboardError::TooMany`].
    /// - [`DashboardError::Permit`] if the caller may not use queries; [`DashboardError::Query`] if one cannot be saved.
    pub async fn create(
        &self,
        permit: &Permit<DashboardsWrite>,
        new: NewDashboard,
    ) -> Result<Dashboard, DashboardError> {
        let (caller, now) = (permit.principal(), self.parts.clock.now());
        let (name, description) = (name(&new.name)?, description(&new.description)?);
        refresh(new.refresh_seconds)?;
        let widgets = self.read(caller, new.widgets, &new.filters, None).await?;
        let dashboard = Dashboard {
            id: DashboardId::new(now),
            org: permit.org(),
            name,
            description,
            owner: permit.user(),
            widgets,
            filters: new.filters,
            refresh_seconds: new.refresh_seconds,
            revision: 1,
            created_at: now,
            updated_at: now,
        };
        let entry = AuditEntry::of(caller, now, "dashboard.created")
            .on("dashboard", dashboard.id)
            .with(json!({ "name": dashboard.name, "widgets": dashboard.widgets.len() }));
        self.parts.store.insert(&dashboard, MOST, &entry).await?;
        Ok(dashboard)
    }

    /// The organization's dashboards, newest first.
    ///
    /// # Errors
    ///
    /// Only when storage fails.
    pub async fn list(
        &self,
        permit: &Permit<DashboardsRead>,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Page<Dashboard>, DashboardError> {
        let items = self.parts.store.list(permit.org(), after, limit).await?;
        Ok(Page::cut(items, limit, |it| Cursor { created_at: it.created_at, id: it.id.as_uuid() }))
    }

    pub(crate) async fn find(
        &self,
        caller: &Principal,
        id: DashboardId,
    ) -> Result<Dashboard, DashboardError> {
        let found = self.parts.store.find(caller.org, id).await?;
        found.ok_or(DashboardError::NotFound(id))
    }

    /// Changes a dashboard.
    ///
    /// # Errors
    ///
    /// As for [`Dashboards::create`], [`DashboardError::NotFound`], and [`DashboardError::Changed`] if it is not as expected.
    pub async fn change(
        &self,
        permit: &Permit<DashboardsWrite>,
        id: DashboardId,
        change: DashboardChange,
    ) -> Result<Dashboard, DashboardError> {
        let (caller, now) = (permit.principal(), self.parts.clock.now());
        let before = self.find(caller, id).await?;
        if change.expected.as_ref().is_some_and(|it| !it.contains(&before.revision)) {
            return Err(DashboardError::Changed);
        }
        let new_name = change.name.as_deref().map(name).transpose()?;
        let new_description = change.description.as_deref().map(description).transpose()?;
        refresh(change.refresh_seconds.flatten())?;
        let filters = change.filters.unwrap_or_else(|| before.filters.clone());
        let widgets = if let Some(specs) = change.widgets {
            self.read(caller, specs, &filters, Some(&before)).await?
        } else {
            let mut faults = Faults::default();
            layout::filters(&filters, &mut faults);
            layout::mapped(&before.widgets, &filters, &mut faults);
            refuse(faults)?;
            self.hold(caller, before.widgets.clone(), &filters, Some(&before)).await?
        };
        let mut decide = |dashboard: &mut Dashboard| {
            // What was judged is what was read before; a change that came between is another's.
            if dashboard.revision != before.revision {
                return Err(DashboardError::Changed);
            }
            if let Some(name) = &new_name {
                dashboard.name.clone_from(name);
            }
            if let Some(description) = &new_description {
                dashboard.description.clone_from(description);
            }
            dashboard.widgets.clone_from(&widgets);
            dashboard.filters.clone_from(&filters);
            if let Some(seconds) = change.refresh_seconds {
                dashboard.refresh_seconds = seconds;
            }
            dashboard.revision += 1;
            dashboard.updated_at = now;
            Ok(AuditEntry::of(caller, now, "dashboard.changed").on("dashboard", id).with(json!({
                "name": new_name, "widgets": dashboard.widgets.len(), "revision": dashboard.revision,
            })))
        };
        let changed = self.parts.store.change(caller.org, id, &mut decide).await?;
        changed.ok_or(DashboardError::NotFound(id))
    }

    /// Removes a dashboard with the links to it. Its queries stay.
    ///
    /// # Errors
    ///
    /// [`DashboardError::NotFound`], and [`DashboardError::Changed`] if it has none of the revisions that are expected.
    pub async fn remove(
        &self,
        permit: &Permit<DashboardsWrite>,
        id: DashboardId,
        expected: Option<&[i64]>,
    ) -> Result<(), DashboardError> {
        let now = self.parts.clock.now();
        let entry =
            AuditEntry::of(permit.principal(), now, "dashboard.deleted").on("dashboard", id);
        let removed = self.parts.store.remove(permit.org(), id, expected, &entry).await?;
        if removed { Ok(()) } else { Err(DashboardError::NotFound(id)) }
    }

    /// Reads widgets and filters.
    async fn read(
        &self,
        caller: &Principal,
        specs: Vec<WidgetSpec>,
        filters: &[Filter],
        before: Option<&Dashboard>,
    ) -> Result<Vec<Widget>, DashboardError> {
        let mut faults = Faults::default();
        let known: Vec<WidgetId> =
            before.iter().flat_map(|it| &it.widgets).map(|it| it.id).collect();
        let widgets = layout::widgets(specs, &known, self.parts.clock.now(), &mut faults);
        layout::filters(filters, &mut faults);
        if faults.0.is_empty() {
            layout::mapped(&widgets, filters, &mut faults);
        }
        refuse(faults)?;
        self.hold(caller, widgets, filters, before).await
    }

    /// Holds widgets against what the caller's queries take, all but those that stay what they were: a query that is private to
    /// somebody else, or gone, is no reason to leave the others as they are.
    async fn hold(
        &self,
        caller: &Principal,
        mut widgets: Vec<Widget>,
        filters: &[Filter],
        before: Option<&Dashboard>,
    ) -> Result<Vec<Widget>, DashboardError> {
        let mut described: Vec<((QueryId, Option<u32>), Result<Described, String>)> = Vec::new();
        let mut faults = Faults::default();
        for (at, widget) in widgets.iter_mut().enumerate() {
            if layout::stays(widget, before, filters, caller.user) {
                continue;
            }
            layout::claimed((at, widget), before, caller.user, &mut faults);
            let Some(query) = widget.query else {
                layout::vouch((at, widget), 0, caller.user, &mut faults);
                continue;
            };
            let of = (query, widget.version.filter(|it| *it > 0));
            let there = described.iter().position(|it| it.0 == of);
            let known = if let Some(known) = there {
                known
            } else {
                described.push((of, self.describe(caller, of).await?));
                described.len() - 1
            };
            match &described[known].1 {
                Ok(found) => {
                    layout::fits((at, widget), found, filters, &mut faults);
                    layout::vouch((at, widget), found.version, caller.user, &mut faults);
                }
                Err(why) => faults.add(format!("/widgets/{at}/query_id"), why),
            }
        }
        refuse(faults)?;
        let unsaved = described.iter().filter(|it| it.1.as_ref().is_ok_and(|it| !it.is_saved));
        let unsaved: HashSet<QueryId> = unsaved.map(|it| it.0.0).collect();
        for query in unsaved {
            self.parts.runner.save(caller, query).await?;
        }
        Ok(widgets)
    }

    /// What a query takes; else why nobody can put it on a dashboard, or not they.
    async fn describe(
        &self,
        caller: &Principal,
        of: (QueryId, Option<u32>),
    ) -> Result<Result<Described, String>, DashboardError> {
        match self.parts.runner.describe(caller, of).await {
            Ok(found) => Ok(Ok(found)),
            Err(DashboardError::Query(err)) => match *err {
                QueryError::NotFound(_) => Ok(Err("is no query that you can see".to_owned())),
                QueryError::Input(rule) => Ok(Err(rule.to_owned())),
                err => Err(err.into()),
            },
            Err(err) => Err(err),
        }
    }
}

/// Looking.
impl Dashboards {
    /// A dashboard without its data.
    ///
    /// # Errors
    ///
    /// [`DashboardError::NotFound`], also when it is another organization's.
    pub async fn get(
        &self,
        permit: &Permit<DashboardsRead>,
        id: DashboardId,
    ) -> Result<Dashboard, DashboardError> {
        self.find(permit.principal(), id).await
    }

    /// A dashboard with what all its widgets show now, each as its owner sees it. A widget that fails leaves the others alone.
    ///
    /// # Errors
    ///
    /// [`DashboardError::NotFound`]; [`DashboardError::Field`] for a filter that there is not, or a value that it does not
    /// take.
    pub async fn look(
        &self,
        permit: &Permit<DashboardsRead>,
        id: DashboardId,
        ask: Ask,
    ) -> Result<Looked, DashboardError> {
        let dashboard = self.find(permit.principal(), id).await?;
        self.show(permit.principal(), dashboard, &ask, (None, None)).await
    }

    /// One widget with what it shows now.
    ///
    /// # Errors
    ///
    /// As for [`Dashboards::look`], and [`DashboardError::NoWidget`].
    pub async fn look_at(
        &self,
        permit: &Permit<DashboardsRead>,
        id: DashboardId,
        widget: WidgetId,
        ask: Ask,
    ) -> Result<Shown, DashboardError> {
        let dashboard = self.find(permit.principal(), id).await?;
        let only = (Some(widget), None);
        let looked = self.show(permit.principal(), dashboard, &ask, only).await?;
        looked.widgets.into_iter().next().ok_or(DashboardError::NoWidget(widget))
    }

    /// A dashboard with its widgets, or the one that is asked for; through a link those that it shows.
    pub(crate) async fn show(
        &self,
        caller: &Principal,
        dashboard: Dashboard,
        ask: &Ask,
        (only, link): (Option<WidgetId>, Option<&Share>),
    ) -> Result<Looked, DashboardError> {
        if ask.max_age_seconds.is_some_and(|it| it > DAY) {
            let rule = format!("has to be a whole number from 0 to {DAY}");
            return Err(DashboardError::Field { field: "max_age".to_owned(), rule });
        }
        let filters = choose(&dashboard, &ask.filters)?;
        let owners = self.owners(caller, &dashboard, only).await?;
        let wanted = dashboard.widgets.iter().filter(|it| only.is_none_or(|id| id == it.id));
        let runs: Vec<_> = wanted
            .map(|widget| {
                if link.is_some_and(|it| !it.shows(widget)) {
                    return future::ready(Shown::withheld(widget)).left_future();
                }
                let run = widget.query.map(|query| WidgetRun {
                    query,
                    parameters: parameters(widget, &filters),
                    max_age_seconds: ask
                        .max_age_seconds
                        .or(widget.max_age_seconds)
                        .or(dashboard.refresh_seconds),
                    row_limit: row_limit(widget.kind),
                    version: Some(widget.version.unwrap_or(1)),
                    // Through a link nobody is told of failures.
                    shown_to: link.is_none().then(|| caller.clone()),
                    narrowing: link.and_then(|it| it.narrowing(widget)),
                });
                let owner = owners.get(&dashboard.owner_of(widget)).and_then(Option::as_ref);
                self.run(owner, widget.clone(), run).right_future()
            })
            .collect();
        // In their order: whose answers there is room for does not depend on which came first.
        let mut room = Room::default();
        let shown = stream::iter(runs).buffered(AT_ONCE).map(|it| room.take(it));
        let mut widgets: Vec<Shown> = shown.collect().await;
        // A link tells nobody what its dashboard asks.
        if link.is_none() {
            self.mark(caller, &dashboard, &owners, &mut widgets).await?;
        }
        Ok(Looked { dashboard, filters, widgets })
    }

    /// Notes at widgets whose queries a change of the schema broke what is known of it, where they run the version that broke.
    async fn mark(
        &self,
        caller: &Principal,
        dashboard: &Dashboard,
        owners: &HashMap<UserId, Option<Principal>>,
        widgets: &mut [Shown],
    ) -> Result<(), DashboardError> {
        let queries: Vec<QueryId> = widgets.iter().filter_map(|it| it.widget.query).collect();
        let repairs = self.parts.runner.repairs(caller, &queries).await?;
        for shown in widgets {
            let query = shown.widget.query;
            let Some(repair) = repairs.iter().find(|it| Some(it.query) == query) else { continue };
            let pinned = shown.widget.version.unwrap_or(1);
            let runs = if let Some(Ok(result)) = &shown.answer {
                Some(result.versions.0)
            } else if pinned == repair.version {
                Some(pinned)
            } else if let Some(Some(owner)) = owners.get(&dashboard.owner_of(&shown.widget)) {
                // What failed does not say which it was.
                self.parts.runner.version_for(owner, (repair.query, pinned)).await.ok()
            } else {
                None
            };
            shown.repair = (runs == Some(repair.version)).then(|| repair.clone());
        }
        Ok(())
    }

    /// As whom widgets run, each as they are now; none for who left. Whoever looks by a key that reaches test connections only
    /// reaches no others by them.
    pub(crate) async fn owners(
        &self,
        caller: &Principal,
        dashboard: &Dashboard,
        only: Option<WidgetId>,
    ) -> Result<HashMap<UserId, Option<Principal>>, DashboardError> {
        let mut owners = HashMap::new();
        for widget in dashboard.widgets.iter().filter(|it| only.is_none_or(|id| id == it.id)) {
            let owner = dashboard.owner_of(widget);
            if widget.query.is_some() && !owners.contains_key(&owner) {
                let found = self.parts.members.acting(caller.org, owner).await?;
                let found = found.map(|it| Principal {
                    test_only: caller.test_only,
                    origin: caller.origin.clone(),
                    ..it
                });
                if found.is_none() && widget.paused_at.is_none() {
                    self.tell_of(dashboard, owner).await;
                }
                owners.insert(owner, found);
            }
        }
        Ok(owners)
    }

    /// Tells who manages the organization, once, that widgets stand still because that member left.
    async fn tell_of(&self, dashboard: &Dashboard, owner: UserId) {
        let (org, now) = (dashboard.org, self.parts.clock.now());
        let theirs = |it: &&Widget| it.query.is_some() && dashboard.owner_of(it) == owner;
        let widgets = dashboard.widgets.iter().filter(theirs).count();
        let entry = AuditEntry::of_plinth(org, now, "system", "dashboard.paused")
            .on("dashboard", dashboard.id)
            .with(json!({ "owner": owner, "widgets": widgets }));
        let letter = Letter::WidgetsPaused { dashboard: dashboard.name.clone(), widgets, at: now };
        let message = Message::mail(org, now, &LetterTo::Managers, &letter);
        let told = self.parts.store.pause(org, dashboard.id, owner, now, &entry, &message).await;
        if let Err(err) = told {
            // Whoever looks next tells it.
            tracing::warn!(error = plinth_core::chain(&err), "widgets whose owner left");
        }
    }

    async fn run(
        &self,
        owner: Option<&Principal>,
        widget: Widget,
        run: Option<WidgetRun>,
    ) -> Shown {
        let Some(mut run) = run else { return Shown::new(widget, None, 0.0) };
        let Some(owner) = owner else { return Shown::failed(widget, WidgetError::OwnerGone) };
        if Permit::<QueriesRead>::check(owner).is_err() {
            return Shown::failed(widget, WidgetError::OwnerMayNot);
        }
        run.shown_to = run.shown_to.filter(|it| it.user != owner.user);
        let begun = Instant::now();
        let _place = self.places.take(owner.org).await;
        let answer = self.parts.runner.run(owner, run).await;
        let answer = answer.map_err(WidgetError::from);
        if matches!(answer, Err(WidgetError::Withheld)) {
            return Shown::withheld(&widget);
        }
        let duration_ms = begun.elapsed().as_secs_f64() * 1000.0;
        Shown::new(widget, Some(answer), duration_ms)
    }
}

fn refuse(faults: Faults) -> Result<(), DashboardError> {
    if faults.0.is_empty() { Ok(()) } else { Err(DashboardError::Invalid(faults.0)) }
}

fn name(text: &str) -> Result<String, DashboardError> {
    let text = text.trim();
    let length = text.chars().count();
    if length == 0 || length > 200 || text.chars().any(char::is_control) {
        let rule = "has to be a text of 1 to 200 characters in one line".to_owned();
        return Err(DashboardError::Field { field: "name".to_owned(), rule });
    }
    Ok(text.to_owned())
}

fn description(text: &str) -> Result<String, DashboardError> {
    if text.chars().count() > 2_000 || text.contains('\0') {
        let rule = "has to be a text of at most 2000 characters".to_owned();
        return Err(DashboardError::Field { field: "description".to_owned(), rule });
    }
    Ok(text.to_owned())
}

fn refresh(seconds: Option<u32>) -> Result<(), DashboardError> {
    if seconds.is_some_and(|it| !(SHORTEST_REFRESH..=DAY).contains(&it)) {
        let rule = format!("has to be a whole number from {SHORTEST_REFRESH} to {DAY}");
        return Err(DashboardError::Field { field: "refresh_seconds".to_owned(), rule });
    }
    Ok(())
}

/// The filters that count, each with its value: what is given, else its default.
pub(crate) fn choose(
    dashboard: &Dashboard,
    given: &Map<String, Value>,
) -> Result<Map<String, Value>, DashboardError> {
    for (name, value) in given {
        let field = format!("filters.{name}");
        let Some(filter) = dashboard.filters.iter().find(|it| it.name == *name) else {
            let rule = "there is no such filter on this dashboard".to_owned();
            return Err(DashboardError::Field { field, rule });
        };
        let is_known = filter.has(value);
        let is_taken = is_known && (value.is_null() || layout::is_plain(value));
        if !is_taken {
            let rule = if is_known {
                "has to be a text, a number, true, false or null"
            } else {
                "is none of the values that this filter has"
            };
            return Err(DashboardError::Field { field, rule: rule.to_owned() });
        }
    }
    let value = |it: &Filter| given.get(&it.name).or(it.default.as_ref()).cloned();
    Ok(dashboard
        .filters
        .iter()
        .filter_map(|it| Some((it.name.clone(), value(it).filter(|it| !it.is_null())?)))
        .collect())
}

fn parameters(widget: &Widget, filters: &Map<String, Value>) -> Map<String, Value> {
    let mut parameters = widget.parameters.clone();
    for (parameter, filter) in &widget.filters {
        if let Some(value) = filters.get(filter) {
            parameters.insert(parameter.clone(), value.clone());
        }
    }
    parameters
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::Timestamp;
    use plinth_charts::Kind;
    use plinth_core::OrgId;

    use super::*;
    use crate::Position;

    fn dashboard() -> Dashboard {
        let at = Timestamp::UNIX_EPOCH;
        let filter = |name: &str, default: Option<Value>, options: Vec<Value>| Filter {
            name: name.to_owned(),
            label: None,
            default,
            options,
        };
        let widget = Widget {
            id: WidgetId::new(at),
            kind: Kind::Bar,
            title: String::new(),
            owner: None,
            paused_at: None,
            version: None,
            query: Some(QueryId::new(at)),
            parameters: Map::from_iter([("limit".to_owned(), json!(5))]),
            filters: BTreeMap::from_iter([
                ("land".to_owned(), "country".to_owned()),
                ("since".to_owned(), "from".to_owned()),
            ]),
            position: Position { x: 0, y: 0, w: 1, h: 1 },
            options: Value::Null,
            max_age_seconds: None,
        };
        Dashboard {
            id: DashboardId::new(at),
            org: OrgId::new(at),
            name: "Shop".to_owned(),
            description: String::new(),
            owner: UserId::new(at),
            widgets: vec![widget],
            filters: vec![
                filter("country", Some(json!("Chad")), vec![json!("Chad"), json!("Mali")]),
                filter("from", None, vec![]),
            ],
            refresh_seconds: None,
            revision: 1,
            created_at: at,
            updated_at: at,
        }
    }

    fn chosen(given: Value) -> Result<Map<String, Value>, DashboardError> {
        choose(&dashboard(), given.as_object().unwrap())
    }

    #[test]
    fn filters_give_parameters_their_values() {
        let dashboard = dashboard();
        let given =
            |it: Value| Value::from(parameters(&dashboard.widgets[0], &chosen(it).unwrap()));
        assert_eq!(given(json!({})), json!({ "limit": 5, "land": "Chad" }));
        assert_eq!(
            given(json!({ "country": "Mali", "from": "2026-01-01" })),
            json!({ "limit": 5, "land": "Mali", "since": "2026-01-01" })
        );
    }

    #[test]
    fn nothing_is_chosen_only_where_the_options_say_so_or_it_is_so_anyway() {
        let with = |default: Option<Value>, options: Vec<Value>| {
            let mut dashboard = dashboard();
            dashboard.filters[0].default = default;
            dashboard.filters[0].options = options;
            choose(&dashboard, json!({ "country": null }).as_object().unwrap())
        };
        let (chad, mali) = (json!("Chad"), json!("Mali"));
        let refused = with(Some(chad.clone()), vec![chad.clone(), mali.clone()]);
        assert!(matches!(refused, Err(DashboardError::Field { .. })), "it would be all countries");
        for (default, options) in [
            (Some(chad.clone()), vec![chad.clone(), mali.clone(), Value::Null]),
            (Some(chad), vec![]),
            (None, vec![mali]),
        ] {
            let chosen = with(default, options).expect("taken");
            assert!(!chosen.contains_key("country"));
        }
    }

    #[test]
    fn a_filter_takes_what_it_has_only() {
        for bad in [json!({ "country": "Peru" }), json!({ "who": 1 }), json!({ "from": [1] })] {
            assert!(matches!(chosen(bad), Err(DashboardError::Field { .. })));
        }
    }
}
