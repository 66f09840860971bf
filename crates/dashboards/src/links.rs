//! Links to dashboards: making them, ending them, looking through them.

use std::collections::BTreeSet;
use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};
use plinth_core::{Classify as _, DashboardsRead, DashboardsWrite, Permit, Principal, QueriesRead};
use plinth_queries::policies::Narrowing;
use plinth_tenancy::AuditEntry;
use plinth_tenancy::limits::network;
use secrecy::SecretString;
use serde_json::{Map, json};

use crate::dashboard::Dashboard;
use crate::look::{Looked, Shown};
use crate::service::{Ask, Dashboards, choose};
use crate::share::{NewShare, Reach, Share};
use crate::{DashboardError, DashboardId, ShareId, WidgetId};

/// The most links to one dashboard that work.
const MOST_SHARES: i64 = 100;
/// How old what a link shows may always be, in seconds: whoever has one makes the database work no more often than that.
const SHARED_AGE: u32 = 30;

impl Dashboards {
    /// Makes a link that shows the dashboard, each widget as its owner sees it. Its token is in the answer, and nowhere else.
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
        Permit::<QueriesRead>::check(caller)?;
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
        let mut share = Share {
            id: ShareId::new(now),
            org: permit.org(),
            dashboard: id,
            kind: new.kind,
            name: new.name,
            by: permit.user(),
            reach: Some(Reach::of(&dashboard.widgets, &new.locked)),
            locked: new.locked,
            open: new.open,
            attributes: new.attributes,
            // The token tells whole seconds.
            expires_at: whole_seconds(now) + lasts,
            revoked_at: None,
            created_at: now,
        };
        self.reach(caller, &dashboard, &mut share).await?;
        let entry =
            AuditEntry::of(caller, now, "dashboard.shared").on("dashboard", id).with(json!({
                "share": share.id, "kind": share.kind, "expires_at": share.expires_at,
                "locked": share.locked.keys().collect::<Vec<_>>(), "open": share.open,
                "attributes": share.attributes.keys().collect::<Vec<_>>(),
            }));
        self.parts.store.insert_share(&share, MOST_SHARES, &entry).await?;
        let token = self.parts.key.token(&share);
        Ok((share, token))
    }

    /// Notes which of a link's attributes reach each widget. What cannot be said of a widget now, every one has to reach.
    async fn reach(
        &self,
        caller: &Principal,
        dashboard: &Dashboard,
        share: &mut Share,
    ) -> Result<(), DashboardError> {
        if share.attributes.is_empty() {
            return Ok(());
        }
        let (by, attributes) = (share.by, share.attributes.clone());
        let narrowing = Narrowing { by, attributes, must: BTreeSet::new() };
        let owners = self.owners(caller, dashboard, None).await?;
        let mut reached = BTreeSet::new();
        for noted in share.reach.iter_mut().flatten() {
            let widget = dashboard.widget(noted.widget);
            let owner = widget.and_then(|it| owners.get(&dashboard.owner_of(it)));
            let (Some(widget), Some(owner)) = (widget, owner.and_then(Option::as_ref)) else {
                continue;
            };
            let of = (noted.query, widget.version.unwrap_or(1));
            noted.attributes = self.parts.runner.reached_by(owner, of, &narrowing).await.ok();
            reached.extend(noted.attributes.iter().flatten().cloned());
        }
        match share.attributes.keys().find(|it| !reached.contains(*it)) {
            None => Ok(()),
            Some(name) => Err(DashboardError::Field {
                field: format!("attributes.{name}"),
                rule:
                    "no policy of what this dashboard shows reads it, so that it would hide nothing"
                        .to_owned(),
            }),
        }
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

    /// What a link shows now to somebody at that address, each widget as its owner sees it. One that a locked value does not
    /// reach any more is withheld.
    ///
    /// # Errors
    ///
    /// [`DashboardError::DeadLink`] for whatever keeps it from showing anything; [`DashboardError::Field`] for a filter that
    /// is not open to whoever looks; [`DashboardError::TooOften`] for an address, or a link, that is too busy.
    pub async fn look_shared(
        &self,
        token: &str,
        from: Option<IpAddr>,
        ask: Ask,
    ) -> Result<Looked, DashboardError> {
        self.shared(token, from, ask, None).await
    }

    /// What one widget shows to whoever has the link.
    ///
    /// # Errors
    ///
    /// As for [`Dashboards::look_shared`], and [`DashboardError::NoWidget`].
    pub async fn look_shared_at(
        &self,
        token: &str,
        from: Option<IpAddr>,
        widget: WidgetId,
        ask: Ask,
    ) -> Result<Shown, DashboardError> {
        let looked = self.shared(token, from, ask, Some(widget)).await?;
        looked.widgets.into_iter().next().ok_or(DashboardError::NoWidget(widget))
    }

    async fn shared(
        &self,
        token: &str,
        from: Option<IpAddr>,
        ask: Ask,
        only: Option<WidgetId>,
    ) -> Result<Looked, DashboardError> {
        // Before anything is read: also those count who try tokens.
        if let Some(address) = from {
            self.addresses.admit(network(address)).map_err(DashboardError::TooOften)?;
        }
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
        // A filter that was taken off the dashboard since locks nothing any more, and one whose options are others now does
        // not take the value: then nothing is shown, never more.
        if choose(&dashboard, &share.locked).is_err() {
            return Err(DashboardError::DeadLink);
        }
        filters.extend(share.locked.clone());
        let age = dashboard.refresh_seconds.unwrap_or(SHARED_AGE).max(SHARED_AGE);
        let ask = Ask { filters, max_age_seconds: Some(age) };
        self.show(&sharer, dashboard, &ask, (only, Some(&share))).await
    }

    /// The link, and as whom it runs; `None` if it does not work.
    async fn open(&self, token: &str) -> Result<Option<(Share, Principal)>, DashboardError> {
        let now = self.parts.clock.now();
        let Some((org, id)) = self.parts.key.read(token, now) else { return Ok(None) };
        // Only what was made here is remembered.
        self.links.admit(id).map_err(DashboardError::TooOften)?;
        let found = self.parts.store.share(org, id).await?;
        let Some(share) = found.filter(|it| it.works_at(now)) else { return Ok(None) };
        match self.parts.tenancy.require_open(org).await {
            Ok(()) => {}
            Err(err) if err.kind().is_ours() => return Err(err.into()),
            // It is being deleted, or gone.
            Err(_) => return Ok(None),
        }
        let Some(sharer) = self.parts.members.acting(org, share.by).await? else {
            return Ok(None);
        };
        let may = Permit::<DashboardsRead>::check(&sharer).is_ok();
        Ok(may.then_some((share, sharer)))
    }
}

fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}
