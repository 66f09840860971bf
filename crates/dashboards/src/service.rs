//! What people do with dashboards.

use std::sync::Arc;
use std::time::Instant;

use futures_util::StreamExt as _;
use futures_util::stream;
use jiff::{SignedDuration, Timestamp};
use plinth_core::{
    Classify as _, Clock, Cursor, DashboardsRead, DashboardsWrite, Limit, Page, Permit, Principal,
};
use plinth_queries::QueryId;
use plinth_tenancy::{AuditEntry, Tenancy};
use secrecy::SecretString;
use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;

use crate::dashboard::{Dashboard, Filter, Widget};
use crate::layout::{self, DAY, Faults, WidgetSpec};
use crate::look::{Looked, Shown, row_limit};
use crate::ports::{DashboardStore, Described, Sharers, WidgetRun, WidgetRunner};
use crate::share::{NewShare, Share, ShareKey};
use crate::{DashboardError, DashboardId, ShareId, WidgetId};

/// The most dashboards of one organization.
const MOST: i64 = 1_000;
/// The most links to one dashboard that work.
const MOST_SHARES: i64 = 100;
/// Widgets of one look that run at once.
const AT_ONCE: usize = 6;
/// Widgets of all looks of this process that run at once.
const AT_ONCE_HERE: usize = 64;
/// The shortest time between two refreshes, in seconds.
const SHORTEST_REFRESH: u32 = 5;
/// How old what a link shows may always be, in seconds: whoever has one makes the database work no more often than that.
const SHARED_AGE: u32 = 30;

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
    /// Values of filters by name; null for none, though the filter has a default.
    pub filters: Map<String, Value>,
    /// How old answers may be, in seconds; 0 runs everything now, `None` leaves it to the widgets.
    pub max_age_seconds: Option<u32>,
}

/// Dashboards of organizations.
#[derive(Clone)]
pub struct Dashboards {
    parts: Arc<DashboardParts>,
    running: Arc<Semaphore>,
}

/// What [`Dashboards`] is put together from.
pub struct DashboardParts {
    /// Where they are kept.
    pub store: Arc<dyn DashboardStore>,
    /// Runs what widgets ask.
    pub runner: Arc<dyn WidgetRunner>,
    /// As whom links run.
    pub sharers: Arc<dyn Sharers>,
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
        Self { parts: Arc::new(parts), running: Arc::new(Semaphore::new(AT_ONCE_HERE)) }
    }

    /// Makes a dashboard. Queries of the history that nobody saved are saved by it, so that they stay and viewers may run
    /// them.
    ///
    /// # Errors
    ///
    /// - [`DashboardError::Invalid`] with everything that is wrong with widgets and filters, [`DashboardError::Field`] for
    ///   the rest.
    /// - [`DashboardError::TooMany`].
    /// - [`DashboardError::Query`] or [`DashboardError::Permit`] for a query that the caller cannot use.
    pub async fn create(
        &self,
        permit: &Permit<DashboardsWrite>,
        new: NewDashboard,
    ) -> Result<Dashboard, DashboardError> {
        let (caller, now) = (permit.principal(), self.parts.clock.now());
        let (name, description) = (name(&new.name)?, description(&new.description)?);
        refresh(new.refresh_seconds)?;
        let widgets = self.read(caller, new.widgets, &new.filters, &[]).await?;
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

    async fn find(&self, caller: &Principal, id: DashboardId) -> Result<Dashboard, DashboardError> {
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
        let known: Vec<WidgetId> = before.widgets.iter().map(|it| it.id).collect();
        let widgets = if let Some(specs) = change.widgets {
            self.read(caller, specs, &filters, &known).await?
        } else {
            let mut faults = Faults::default();
            layout::filters(&filters, &mut faults);
            layout::mapped(&before.widgets, &filters, &mut faults);
            refuse(faults)?;
            before.widgets.clone()
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
    /// [`DashboardError::NotFound`].
    pub async fn remove(
        &self,
        permit: &Permit<DashboardsWrite>,
        id: DashboardId,
    ) -> Result<(), DashboardError> {
        let now = self.parts.clock.now();
        let entry =
            AuditEntry::of(permit.principal(), now, "dashboard.deleted").on("dashboard", id);
        let removed = self.parts.store.remove(permit.org(), id, &entry).await?;
        if removed { Ok(()) } else { Err(DashboardError::NotFound(id)) }
    }

    /// Reads widgets and filters, and holds them against what the caller's queries take.
    async fn read(
        &self,
        caller: &Principal,
        specs: Vec<WidgetSpec>,
        filters: &[Filter],
        known: &[WidgetId],
    ) -> Result<Vec<Widget>, DashboardError> {
        let mut faults = Faults::default();
        let widgets = layout::widgets(specs, known, self.parts.clock.now(), &mut faults);
        layout::filters(filters, &mut faults);
        if faults.0.is_empty() {
            layout::mapped(&widgets, filters, &mut faults);
        }
        refuse(faults)?;
        let mut described: Vec<(QueryId, Described)> = Vec::new();
        let mut faults = Faults::default();
        for (at, widget) in widgets.iter().enumerate() {
            let Some(query) = widget.query else { continue };
            let before = described.iter().position(|it| it.0 == query);
            let known = if let Some(known) = before {
                known
            } else {
                let found = self.parts.runner.describe(caller, query).await?;
                described.push((query, found));
                described.len() - 1
            };
            layout::fits(widget, at, &described[known].1, &mut faults);
        }
        refuse(faults)?;
        for (query, found) in &described {
            if !found.is_saved {
                self.parts.runner.save(caller, *query).await?;
            }
        }
        Ok(widgets)
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

    /// A dashboard with what all its widgets show to the caller now. A widget that fails leaves the others alone.
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
        self.show(permit.principal(), dashboard, &ask, None).await
    }

    /// One widget with what it shows to the caller now.
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
        let looked = self.show(permit.principal(), dashboard, &ask, Some(widget)).await?;
        looked.widgets.into_iter().next().ok_or(DashboardError::NoWidget(widget))
    }

    /// A dashboard with its widgets, or the one that is asked for.
    async fn show(
        &self,
        caller: &Principal,
        dashboard: Dashboard,
        ask: &Ask,
        only: Option<WidgetId>,
    ) -> Result<Looked, DashboardError> {
        if ask.max_age_seconds.is_some_and(|it| it > DAY) {
            let rule = format!("has to be a whole number from 0 to {DAY}");
            return Err(DashboardError::Field { field: "max_age".to_owned(), rule });
        }
        let filters = choose(&dashboard, &ask.filters)?;
        let wanted = dashboard.widgets.iter().filter(|it| only.is_none_or(|id| id == it.id));
        let runs: Vec<_> = wanted
            .map(|widget| {
                let run = widget.query.map(|query| WidgetRun {
                    query,
                    parameters: parameters(widget, &filters),
                    max_age_seconds: ask
                        .max_age_seconds
                        .or(widget.max_age_seconds)
                        .or(dashboard.refresh_seconds),
                    row_limit: row_limit(widget.kind),
                });
                self.run(caller, widget.clone(), run)
            })
            .collect();
        let widgets = stream::iter(runs).buffered(AT_ONCE).collect().await;
        Ok(Looked { dashboard, filters, widgets })
    }

    async fn run(&self, caller: &Principal, widget: Widget, run: Option<WidgetRun>) -> Shown {
        let Some(run) = run else { return Shown::new(widget, None, 0.0) };
        let begun = Instant::now();
        // It is never closed.
        let _place = self.running.acquire().await;
        let answer = self.parts.runner.run(caller, run).await;
        let duration_ms = begun.elapsed().as_secs_f64() * 1000.0;
        Shown::new(widget, Some(answer), duration_ms)
    }
}

/// Links.
impl Dashboards {
    /// Makes a link that shows the dashboard as the caller sees it. Its token is in the answer, and nowhere else.
    ///
    /// # Errors
    ///
    /// [`DashboardError::NotFound`], [`DashboardError::Field`], [`DashboardError::TooManyShares`];
    /// [`DashboardError::Permit`] or [`DashboardError::Narrow`] if the caller's credential reaches less than the link would.
    pub async fn share(
        &self,
        permit: &Permit<DashboardsWrite>,
        id: DashboardId,
        new: NewShare,
    ) -> Result<(Share, SecretString), DashboardError> {
        let (caller, now) = (permit.principal(), self.parts.clock.now());
        let dashboard = self.find(caller, id).await?;
        // A link runs with all that its maker may: whoever may do less here makes none.
        Permit::<DashboardsRead>::check(caller)?;
        Permit::<plinth_core::QueriesRead>::check(caller)?;
        if caller.test_only {
            return Err(DashboardError::Narrow("it reaches test connections only"));
        }
        let lasts = new.expires_in.unwrap_or(SignedDuration::from_hours(24 * 30));
        if lasts < SignedDuration::from_secs(60) || lasts > SignedDuration::from_hours(24 * 366) {
            let rule = "has to be from 60 seconds to 366 days".to_owned();
            return Err(DashboardError::Field { field: "expires_in_seconds".to_owned(), rule });
        }
        if new.name.chars().count() > 200 || new.name.chars().any(char::is_control) {
            let rule = "has to be a text of at most 200 characters in one line".to_owned();
            return Err(DashboardError::Field { field: "name".to_owned(), rule });
        }
        choose(&dashboard, &new.locked)?;
        for it in &new.open {
            let field = "open_filters".to_owned();
            if !dashboard.filters.iter().any(|filter| filter.name == *it) {
                let rule = format!("there is no filter `{it}` on this dashboard");
                return Err(DashboardError::Field { field, rule });
            }
            if new.locked.contains_key(it) {
                let rule = format!("`{it}` is locked, and cannot be open too");
                return Err(DashboardError::Field { field, rule });
            }
        }
        let share = Share {
            id: ShareId::new(now),
            org: permit.org(),
            dashboard: id,
            kind: new.kind,
            name: new.name,
            by: permit.user(),
            locked: new.locked,
            open: new.open,
            // The token tells whole seconds.
            expires_at: whole_seconds(now) + lasts,
            revoked_at: None,
            created_at: now,
        };
        let entry =
            AuditEntry::of(caller, now, "dashboard.shared").on("dashboard", id).with(json!({
                "share": share.id, "kind": share.kind, "expires_at": share.expires_at,
                "locked": share.locked.keys().collect::<Vec<_>>(), "open": share.open,
            }));
        self.parts.store.insert_share(&share, MOST_SHARES, &entry).await?;
        let token = self.parts.key.token(&share);
        Ok((share, token))
    }

    /// The links to a dashboard, newest first.
    ///
    /// # Errors
    ///
    /// [`DashboardError::NotFound`].
    pub async fn shares(
        &self,
        permit: &Permit<DashboardsWrite>,
        id: DashboardId,
    ) -> Result<Vec<Share>, DashboardError> {
        self.find(permit.principal(), id).await?;
        Ok(self.parts.store.shares(permit.org(), id).await?)
    }

    /// Revokes a link: from the answer on it shows nothing.
    ///
    /// # Errors
    ///
    /// [`DashboardError::NotFound`], [`DashboardError::NoShare`].
    pub async fn revoke(
        &self,
        permit: &Permit<DashboardsWrite>,
        dashboard: DashboardId,
        id: ShareId,
    ) -> Result<Share, DashboardError> {
        let (caller, now) = (permit.principal(), self.parts.clock.now());
        self.find(caller, dashboard).await?;
        let entry = AuditEntry::of(caller, now, "dashboard.share_revoked")
            .on("dashboard", dashboard)
            .with(json!({ "share": id }));
        let revoked = self.parts.store.revoke(permit.org(), dashboard, id, now, &entry).await?;
        revoked.ok_or(DashboardError::NoShare(id))
    }

    /// What a link shows now, with what its maker may see now.
    ///
    /// # Errors
    ///
    /// [`DashboardError::DeadLink`] for whatever keeps it from showing anything; [`DashboardError::Field`] for a filter that
    /// is not open to whoever looks.
    pub async fn look_shared(&self, token: &str, ask: Ask) -> Result<Looked, DashboardError> {
        self.shared(token, ask, None).await
    }

    /// What one widget shows to whoever has the link.
    ///
    /// # Errors
    ///
    /// As for [`Dashboards::look_shared`], and [`DashboardError::NoWidget`].
    pub async fn look_shared_at(
        &self,
        token: &str,
        widget: WidgetId,
        ask: Ask,
    ) -> Result<Shown, DashboardError> {
        let looked = self.shared(token, ask, Some(widget)).await?;
        looked.widgets.into_iter().next().ok_or(DashboardError::NoWidget(widget))
    }

    async fn shared(
        &self,
        token: &str,
        ask: Ask,
        only: Option<WidgetId>,
    ) -> Result<Looked, DashboardError> {
        let (share, sharer) = self.open(token).await?.ok_or(DashboardError::DeadLink)?;
        let found = self.parts.store.find(share.org, share.dashboard).await?;
        let dashboard = found.ok_or(DashboardError::DeadLink)?;
        let mut filters = Map::new();
        for (name, value) in ask.filters {
            if !share.open.contains(&name) {
                let rule = "is not open to whoever has this link".to_owned();
                return Err(DashboardError::Field { field: format!("filters.{name}"), rule });
            }
            filters.insert(name, value);
        }
        // A filter that was taken off the dashboard since locks nothing any more: then nothing is shown, never more.
        for (name, value) in share.locked {
            if !dashboard.filters.iter().any(|it| it.name == name) {
                return Err(DashboardError::DeadLink);
            }
            filters.insert(name, value);
        }
        let age = dashboard.refresh_seconds.unwrap_or(SHARED_AGE).max(SHARED_AGE);
        let ask = Ask { filters, max_age_seconds: Some(age) };
        self.show(&sharer, dashboard, &ask, only).await
    }

    /// The link, and as whom it runs; `None` if it does not work.
    async fn open(&self, token: &str) -> Result<Option<(Share, Principal)>, DashboardError> {
        let now = self.parts.clock.now();
        let Some((org, id)) = self.parts.key.read(token, now) else { return Ok(None) };
        let found = self.parts.store.share(org, id).await?;
        let Some(share) = found.filter(|it| it.works_at(now)) else { return Ok(None) };
        match self.parts.tenancy.require_open(org).await {
            Ok(()) => {}
            Err(err) if err.kind().is_ours() => return Err(err.into()),
            // It is being deleted, or gone.
            Err(_) => return Ok(None),
        }
        let Some(sharer) = self.parts.sharers.acting(org, share.by).await? else {
            return Ok(None);
        };
        let may = Permit::<DashboardsRead>::check(&sharer).is_ok();
        Ok(may.then_some((share, sharer)))
    }
}

fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
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
fn choose(
    dashboard: &Dashboard,
    given: &Map<String, Value>,
) -> Result<Map<String, Value>, DashboardError> {
    for (name, value) in given {
        let field = format!("filters.{name}");
        let Some(filter) = dashboard.filters.iter().find(|it| it.name == *name) else {
            let rule = "there is no such filter on this dashboard".to_owned();
            return Err(DashboardError::Field { field, rule });
        };
        let is_known = filter.options.is_empty() || filter.options.contains(value);
        let is_taken = value.is_null() || (layout::is_plain(value) && is_known);
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

    use plinth_charts::Kind;
    use plinth_core::{OrgId, UserId};

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
        assert_eq!(given(json!({ "country": null })), json!({ "limit": 5 }));
    }

    #[test]
    fn a_filter_takes_what_it_has_only() {
        for bad in [json!({ "country": "Peru" }), json!({ "who": 1 }), json!({ "from": [1] })] {
            assert!(matches!(chosen(bad), Err(DashboardError::Field { .. })));
        }
    }
}
