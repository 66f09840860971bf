use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use plinth_connections::{ConnectionId, Connections, Opened, TableName};
use plinth_core::{
    Clock, ConnectionsRead, ConnectionsWrite, OrgId, Permit, PermitError, Principal, Recent,
    StoreError, UserId,
};
use plinth_schema_introspect::{Catalog, Schemas, Snapshot, Visible};
use plinth_sql_guard::{Guard, Mask, Predicate};
use plinth_tenancy::{AuditEntry, MemberId};

use super::limits::OfLink;
use super::{
    Audience, ColumnMask, Effective, Limits, MaskKey, Narrowing, Policy, PolicyChange, PolicyDraft,
    PolicyError, PolicyId, PolicyStore, Viewer, WritePolicyError, redacted, restrictions,
};
use crate::{RunError, RunLimits, Statement, StatementRunner};

/// How many policies a connection may have.
const MOST: usize = 200;

/// How many connections' policies, and how many members, are held in memory at most.
const HELD: usize = 4096;

/// What the service is made from.
pub struct PolicyParts {
    /// Where policies are kept.
    pub store: Arc<dyn PolicyStore>,
    /// The databases.
    pub connections: Connections,
    /// Their schemas.
    pub schemas: Schemas,
    /// Asks the database whether it takes a condition.
    pub runner: Arc<dyn StatementRunner>,
    /// From what the keys of hashes derive.
    pub key: MaskKey,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// The policies of connections: writing them, and what holds for whom.
#[derive(Clone)]
pub struct Policies {
    store: Arc<dyn PolicyStore>,
    connections: Connections,
    schemas: Schemas,
    runner: Arc<dyn StatementRunner>,
    key: MaskKey,
    clock: Arc<dyn Clock>,
    held: Arc<Recent<(OrgId, ConnectionId), Arc<[Arc<Policy>]>>>,
    viewers: Arc<Recent<(OrgId, UserId), Option<Arc<Viewer>>>>,
}

impl Policies {
    /// Puts the service together.
    pub fn new(parts: PolicyParts) -> Self {
        let PolicyParts { store, connections, schemas, runner, key, clock } = parts;
        let held = Arc::new(Recent::new(clock.clone(), HELD));
        let viewers = Arc::new(Recent::new(clock.clone(), HELD));
        Self { store, connections, schemas, runner, key, clock, held, viewers }
    }

    /// Every policy of a connection, by name.
    ///
    /// # Errors
    ///
    /// [`PolicyError::Connection`] if there is no such connection.
    pub async fn list(
        &self,
        permit: &Permit<ConnectionsWrite>,
        connection: ConnectionId,
    ) -> Result<Vec<Policy>, PolicyError> {
        self.connections.open_inactive(permit.principal(), connection).await?;
        Ok(self.store.all(permit.org(), connection).await?)
    }

    /// One of them.
    ///
    /// # Errors
    ///
    /// [`PolicyError::NotFound`]; [`PolicyError::Connection`] if there is no such connection.
    pub async fn get(
        &self,
        permit: &Permit<ConnectionsWrite>,
        connection: ConnectionId,
        id: PolicyId,
    ) -> Result<Policy, PolicyError> {
        self.connections.open_inactive(permit.principal(), connection).await?;
        let found = self.store.find(permit.org(), connection, id).await?;
        found.ok_or(PolicyError::NotFound(id))
    }

    /// Writes a policy, once the guard and the database have taken it. It holds here at once, on other servers within a
    /// second.
    ///
    /// # Errors
    ///
    /// - [`PolicyError::Invalid`], [`PolicyError::Database`] with what is wrong.
    /// - [`PolicyError::NameTaken`], [`PolicyError::TooMany`], [`PolicyError::Bound`].
    /// - [`PolicyError::Connection`], [`PolicyError::Schema`] if the database cannot be looked at.
    pub async fn create(
        &self,
        permit: &Permit<ConnectionsWrite>,
        connection: ConnectionId,
        draft: PolicyDraft,
    ) -> Result<Policy, PolicyError> {
        let opened = self.connections.open(permit.principal(), connection).await?;
        self.require_unbound(permit.principal(), connection).await?;
        let snapshot = self.schemas.current(&opened).await?;
        let visible = Visible::new(&snapshot.catalog, &opened.connection.allowed_tables);
        let table = visible.named(&draft.table).ok_or_else(|| {
            let message = format!("the connection shows no table or view `{}`", draft.table);
            PolicyError::invalid("table", message)
        })?;
        let now = self.clock.now();
        let policy = Policy {
            id: PolicyId::new(now),
            org: permit.org(),
            connection,
            name: draft.name,
            description: draft.description,
            table: TableName { schema: table.schema.clone(), name: table.name.clone() },
            table_oid: Some(table.oid),
            audience: draft.audience,
            rows: draft.rows,
            masks: numbered(&snapshot.catalog, table.oid, draft.masks),
            is_active: draft.is_active,
            revision: 1,
            created_by: permit.user(),
            created_at: now,
            updated_at: now,
        };
        self.try_out(&opened, &snapshot, &policy).await?;
        let entry = AuditEntry::of(permit.principal(), now, "policy.created")
            .on("policy", policy.id)
            .with(policy.told());
        self.store.insert(&policy, MOST, &entry).await.map_err(|err| failed(err, connection))?;
        self.forget(permit.org(), connection);
        Ok(policy)
    }

    /// Changes a policy; here at once, on other servers within a second. `expected` are the revisions that the caller may have
    /// read, `None` if they want it changed whatever it is. One that does not fit its table any more can be switched off.
    ///
    /// # Errors
    ///
    /// As for [`Policies::create`]; [`PolicyError::NotFound`], [`PolicyError::Changed`].
    pub async fn update(
        &self,
        permit: &Permit<ConnectionsWrite>,
        connection: ConnectionId,
        id: PolicyId,
        change: PolicyChange,
        expected: Option<&[i64]>,
    ) -> Result<Policy, PolicyError> {
        let before = self.get(permit, connection, id).await?;
        self.require_unbound(permit.principal(), connection).await?;
        if expected.is_some_and(|it| !it.contains(&before.revision)) {
            return Err(PolicyError::Changed);
        }
        let now = self.clock.now();
        let mut policy = before.clone();
        policy.revision += 1;
        policy.updated_at = now;
        policy.name = change.name.unwrap_or(policy.name);
        policy.description = change.description.unwrap_or(policy.description);
        policy.audience = change.audience.unwrap_or(policy.audience);
        policy.is_active = change.is_active.unwrap_or(policy.is_active);
        let rewritten = change.rows.is_some() || change.masks.is_some();
        policy.rows = change.rows.unwrap_or(policy.rows);
        let must_fit = policy.is_active && (rewritten || !before.is_active);
        if must_fit || rewritten {
            let opened = self.connections.open(permit.principal(), connection).await?;
            let snapshot = self.schemas.current(&opened).await?;
            let found = policy.table_oid.and_then(|oid| snapshot.catalog.relation(oid));
            let found =
                found.or_else(|| snapshot.catalog.find(&policy.table.schema, &policy.table.name));
            let Some(table) = found else {
                let message = format!("there is no table or view `{}` any more", policy.table);
                return Err(PolicyError::invalid("table", message));
            };
            if let Some(masks) = change.masks {
                policy.masks = numbered(&snapshot.catalog, table.oid, masks);
            }
            policy.table = TableName { schema: table.schema.clone(), name: table.name.clone() };
            policy.table_oid = Some(table.oid);
            self.try_out(&opened, &snapshot, &policy).await?;
        }
        check_audience(&policy.audience)?;
        let entry = AuditEntry::of(permit.principal(), now, "policy.changed")
            .on("policy", id)
            .with(serde_json::json!({ "before": before.told(), "after": policy.told() }));
        self.store.update(&policy, &entry).await.map_err(|err| failed(err, connection))?;
        self.forget(permit.org(), connection);
        Ok(policy)
    }

    /// Removes a policy; `expected` as for [`Policies::update`].
    ///
    /// # Errors
    ///
    /// [`PolicyError::NotFound`], [`PolicyError::Changed`], [`PolicyError::Bound`].
    pub async fn remove(
        &self,
        permit: &Permit<ConnectionsWrite>,
        connection: ConnectionId,
        id: PolicyId,
        expected: Option<&[i64]>,
    ) -> Result<(), PolicyError> {
        let policy = self.get(permit, connection, id).await?;
        self.require_unbound(permit.principal(), connection).await?;
        if expected.is_some_and(|it| !it.contains(&policy.revision)) {
            return Err(PolicyError::Changed);
        }
        let entry = AuditEntry::of(permit.principal(), self.clock.now(), "policy.deleted")
            .on("policy", id)
            .with(policy.told());
        if !self.store.remove(&policy, &entry).await? {
            return Err(PolicyError::Changed);
        }
        self.forget(permit.org(), connection);
        Ok(())
    }

    /// What a member gets to see of a connection's tables, as far as policies limit it; the caller themselves without
    /// `member`. Others' takes the right to change connections.
    ///
    /// # Errors
    ///
    /// [`PolicyError::MemberNotFound`]; [`PolicyError::Connection`], [`PolicyError::Schema`] as for a question.
    pub async fn effective(
        &self,
        permit: &Permit<ConnectionsRead>,
        connection: ConnectionId,
        member: Option<MemberId>,
    ) -> Result<Result<Effective, PermitError>, PolicyError> {
        let opened = self.connections.open(permit.principal(), connection).await?;
        let viewer = match member {
            Some(id) => self.store.viewer_of(permit.org(), id).await?,
            None => self.store.viewer(permit.org(), permit.user()).await?,
        };
        let is_self = viewer.as_ref().is_some_and(|it| it.user == permit.user());
        if !is_self && let Err(err) = Permit::<ConnectionsWrite>::check(permit.principal()) {
            return Ok(Err(err));
        }
        let viewer = match (viewer, member) {
            (Some(viewer), _) => viewer,
            (None, Some(id)) => return Err(PolicyError::MemberNotFound(id)),
            (None, None) => return Err(PolicyError::invalid("member", "name a member")),
        };
        let snapshot = self.schemas.current(&opened).await?;
        let all = self.store.all(permit.org(), connection).await?;
        let binding: Vec<Arc<Policy>> = all
            .into_iter()
            .filter(|it| it.is_active && it.audience.binds(viewer.role))
            .map(Arc::new)
            .collect();
        Ok(Ok(Effective::new(
            viewer,
            &binding,
            &snapshot.catalog,
            &opened.connection.allowed_tables,
        )))
    }

    /// The snapshot as the caller may know it: without values, counts and sizes of what a policy hides from them.
    ///
    /// # Errors
    ///
    /// Only when our own storage fails.
    pub async fn shown(
        &self,
        caller: &Principal,
        opened: &Opened,
        snapshot: Arc<Snapshot>,
    ) -> Result<Arc<Snapshot>, StoreError> {
        let limits = self.limits(caller.org, opened.connection.id, caller.user).await?;
        if limits.is_empty() {
            return Ok(snapshot);
        }
        let allowed = &opened.connection.allowed_tables;
        let restrictions = restrictions(&snapshot.catalog, &limits.policies);
        let guard = Guard::restricted(&snapshot.catalog, allowed, &restrictions);
        let catalog = redacted(&snapshot.catalog, &guard, &restrictions);
        Ok(Arc::new(Snapshot { catalog, ..Snapshot::clone(&snapshot) }))
    }

    /// What holds for somebody on a connection now; at most a second old.
    ///
    /// # Errors
    ///
    /// Only when our own storage fails.
    pub(crate) async fn limits(
        &self,
        org: OrgId,
        connection: ConnectionId,
        user: UserId,
    ) -> Result<Limits, StoreError> {
        let all = self.active(org, connection).await?;
        if all.is_empty() {
            return Ok(Limits::none());
        }
        let viewer = self.viewer(org, user).await?;
        // Somebody who is no member any more is bound by everything.
        let binds = |it: &&Arc<Policy>| viewer.as_ref().is_none_or(|of| it.audience.binds(of.role));
        let mut policies: Vec<_> = all.iter().filter(binds).cloned().collect();
        policies.sort_by_key(|it| it.id);
        let paddings = Some(Arc::new(self.key.paddings(org, connection)));
        Ok(Limits { policies: policies.into(), viewer, paddings, link: None })
    }

    /// What holds for who looks through a link at what runs as that person: what binds them, and each policy that reads an
    /// attribute of the link, whomever it binds.
    ///
    /// # Errors
    ///
    /// Only when our own storage fails.
    pub(crate) async fn narrowed(
        &self,
        org: OrgId,
        connection: ConnectionId,
        user: UserId,
        by: &Narrowing,
    ) -> Result<Limits, StoreError> {
        let own = self.limits(org, connection, user).await?;
        let all = self.active(org, connection).await?;
        let reads = |it: &&Arc<Policy>| {
            let rows = it.rows.as_deref().and_then(|it| Predicate::parse(it).ok());
            rows.is_some_and(|it| it.attributes().any(|(name, _)| by.attributes.contains_key(name)))
        };
        let mut policies: Vec<_> = all.iter().filter(reads).cloned().collect();
        if policies.is_empty() {
            return Ok(own);
        }
        policies.sort_by_key(|it| it.id);
        let viewer = self.viewer(org, by.by).await?.map(|it| {
            let mut viewer = Viewer::clone(&it);
            viewer.attributes.extend(by.attributes.clone());
            Arc::new(viewer)
        });
        Ok(Limits { link: Some(OfLink { policies: policies.into(), viewer }), ..own })
    }

    /// The policies of a connection that hold; at most a second old.
    async fn active(
        &self,
        org: OrgId,
        connection: ConnectionId,
    ) -> Result<Arc<[Arc<Policy>]>, StoreError> {
        let read = async |_| {
            let all = self.store.all(org, connection).await?;
            let all = all.into_iter().filter(|it| it.is_active).map(Arc::new);
            Ok::<_, StoreError>(Some(all.collect()))
        };
        Ok(self.held.get(&(org, connection), read).await?.unwrap_or_default())
    }

    async fn viewer(&self, org: OrgId, user: UserId) -> Result<Option<Arc<Viewer>>, StoreError> {
        // That somebody is no member is held too.
        let read = async |_| {
            let viewer = self.store.viewer(org, user).await?;
            Ok::<_, StoreError>(Some(viewer.map(Arc::new)))
        };
        Ok(self.viewers.get(&(org, user), read).await?.flatten())
    }

    /// Whether any policy of the connection binds the caller.
    ///
    /// # Errors
    ///
    /// Only when our own storage fails.
    pub(crate) async fn binds(
        &self,
        caller: &Principal,
        connection: ConnectionId,
    ) -> Result<bool, StoreError> {
        Ok(!self.limits(caller.org, connection, caller.user).await?.is_empty())
    }

    /// Whether nothing that the connection allows is hidden from a member.
    pub(crate) async fn sees_all(
        &self,
        org: OrgId,
        connection: ConnectionId,
        user: UserId,
    ) -> Result<bool, StoreError> {
        Ok(self.limits(org, connection, user).await?.is_empty())
    }

    /// Whoever is bound could else free themselves. The owner may, for somebody has to.
    async fn require_unbound(
        &self,
        caller: &Principal,
        connection: ConnectionId,
    ) -> Result<(), PolicyError> {
        if !caller.is_owner && self.binds(caller, connection).await? {
            return Err(PolicyError::Bound);
        }
        Ok(())
    }

    /// Judges a policy as it will be used: the rewritten statement by the guard, then planned by the database, with nulls for
    /// attributes.
    async fn try_out(
        &self,
        opened: &Opened,
        snapshot: &Snapshot,
        policy: &Policy,
    ) -> Result<(), PolicyError> {
        check_audience(&policy.audience)?;
        let catalog = &snapshot.catalog;
        if let Some(rows) = &policy.rows {
            Predicate::parse(rows).map_err(|it| PolicyError::invalid("rows", it.to_string()))?;
        }
        let relation = catalog.find(&policy.table.schema, &policy.table.name);
        for column in policy.masks.keys() {
            if !relation
                .is_some_and(|it| it.columns.iter().any(|it| it.readable && it.name == *column))
            {
                let message =
                    format!("`{}` has no column `{column}` that can be read", policy.table);
                return Err(PolicyError::invalid("masks", message));
            }
        }
        let restrictions = restrictions(catalog, &[Arc::new(policy.clone())]);
        let guard = Guard::restricted(catalog, &opened.connection.allowed_tables, &restrictions);
        let quoted = |it: &str| format!("\"{}\"", it.replace('"', "\"\""));
        let sql = format!(
            "SELECT * FROM {}.{}",
            quoted(&policy.table.schema),
            quoted(&policy.table.name)
        );
        let approved = guard.check(&sql).map_err(|it| {
            let field = if policy.rows.is_some() { "rows" } else { "masks" };
            PolicyError::invalid(field, it.message)
        })?;
        let statement = Statement {
            sql: approved.sql,
            parameters: vec![None; approved.bound.len()],
            search_path: catalog.search_path.clone(),
        };
        let limits = RunLimits {
            rows: 1,
            bytes: 1 << 20,
            row_bytes: 1 << 20,
            time: Duration::from_secs(10),
            reader_time: Duration::ZERO,
            time_zone: "UTC".to_owned(),
            in_background: false,
        };
        self.runner.plan(&opened.target, &statement, &limits).await.map_err(|err| match err {
            // Where in the rewritten text is nothing to the caller.
            RunError::Database(mut message) => {
                message.position = None;
                PolicyError::Database(RunError::Database(message))
            }
            other => PolicyError::Database(other),
        })?;
        Ok(())
    }

    /// Makes this server go by what has just changed.
    fn forget(&self, org: OrgId, connection: ConnectionId) {
        self.held.forget(&(org, connection));
    }
}

fn check_audience(audience: &Audience) -> Result<(), PolicyError> {
    match audience {
        Audience::Roles(roles) if roles.is_empty() => {
            Err(PolicyError::invalid("roles", "name at least one role, or use except_roles"))
        }
        it if it.roles().len() > 100 => Err(PolicyError::invalid("roles", "at most 100 roles")),
        Audience::Roles(_) | Audience::Except(_) => Ok(()),
    }
}

/// The masks with their columns' numbers.
fn numbered(
    catalog: &Catalog,
    table: u32,
    masks: BTreeMap<String, Mask>,
) -> BTreeMap<String, ColumnMask> {
    let relation = catalog.relation(table);
    masks
        .into_iter()
        .map(|(column, mask)| {
            let number = relation.and_then(|it| it.column(&column).map(|at| it.number(at)));
            (column, ColumnMask { mask, number })
        })
        .collect()
}

fn failed(err: WritePolicyError, connection: ConnectionId) -> PolicyError {
    match err {
        WritePolicyError::NameTaken => PolicyError::NameTaken,
        WritePolicyError::NoConnection => {
            plinth_connections::ConnectionError::NotFound(connection).into()
        }
        WritePolicyError::TooMany => PolicyError::TooMany(MOST),
        WritePolicyError::UnknownRole => {
            PolicyError::invalid("roles", "the organization has no such role")
        }
        WritePolicyError::Stale => PolicyError::Changed,
        WritePolicyError::Store(err) => err.into(),
    }
}
