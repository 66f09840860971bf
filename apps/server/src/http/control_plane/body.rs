//! What the API answers, in the shapes that its clients know.

use jiff::{SignedDuration, Timestamp};
use plinth_control_plane as domain;
use plinth_control_plane::{SqlName, Tree};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

/// The one region that there is: this installation.
pub(super) const REGION: &str = "plinth-local";
const PLATFORM: &str = "plinth";
/// What the API calls whatever runs a Postgres.
const PROVISIONER: &str = "k8s-pod";
/// No limit, in bytes.
const NO_LIMIT: i64 = 0;

/// A project. What Plinth does not measure yet is 0.
#[derive(Serialize, ToSchema)]
#[schema(as = Project)]
pub(super) struct ProjectBody {
    #[schema(example = "still-meadow-47437464")]
    id: String,
    platform_id: &'static str,
    region_id: &'static str,
    name: String,
    provisioner: &'static str,
    #[schema(value_type = Object)]
    default_endpoint_settings: Value,
    #[schema(value_type = Object)]
    settings: Value,
    pg_version: i32,
    proxy_host: String,
    branch_logical_size_limit: i64,
    branch_logical_size_limit_bytes: i64,
    store_passwords: bool,
    creation_source: &'static str,
    history_retention_seconds: i32,
    created_at: Timestamp,
    updated_at: Timestamp,
    /// The sizes of its branches together, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    synthetic_storage_size: Option<i64>,
    data_storage_bytes_hour: i64,
    data_transfer_bytes: i64,
    written_data_bytes: i64,
    compute_time_seconds: i64,
    active_time_seconds: i64,
    active_time: i64,
    cpu_used_sec: i64,
    consumption_period_start: Timestamp,
    consumption_period_end: Timestamp,
    /// The organization's id.
    owner_id: String,
    #[schema(value_type = uuid::Uuid)]
    org_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    compute_last_active_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recoverable_until: Option<Timestamp>,
    /// How its branches' files are made: `reflink` shares blocks until they change, `copy` copies each. Not in Neon's API.
    #[serde(skip_serializing_if = "Option::is_none")]
    storage: Option<&'static str>,
}

impl ProjectBody {
    pub(super) fn of(project: &domain::Project, tree: Option<&Tree>, now: Timestamp) -> Self {
        let day = now.to_zoned(jiff::tz::TimeZone::UTC).date().first_of_month();
        let start = day.to_zoned(jiff::tz::TimeZone::UTC).map_or(now, |it| it.timestamp());
        let end = day.checked_add(jiff::Span::new().months(1)).ok();
        let end = end.and_then(|it| it.to_zoned(jiff::tz::TimeZone::UTC).ok());
        let branches = tree.map(|it| it.branches.as_slice()).unwrap_or_default();
        let sizes: Option<i64> =
            tree.map(|_| branches.iter().filter_map(|it| it.logical_size).sum());
        Self {
            id: project.id.to_string(),
            platform_id: PLATFORM,
            region_id: REGION,
            name: project.name.clone(),
            provisioner: PROVISIONER,
            default_endpoint_settings: project.default_endpoint_settings.clone(),
            settings: project.settings.clone(),
            pg_version: project.pg_version,
            proxy_host: tree.map(|it| it.host.clone()).unwrap_or_default(),
            branch_logical_size_limit: NO_LIMIT,
            branch_logical_size_limit_bytes: NO_LIMIT,
            store_passwords: project.store_passwords,
            creation_source: "console",
            history_retention_seconds: project.history_retention_seconds,
            created_at: project.created_at,
            updated_at: project.updated_at,
            synthetic_storage_size: sizes,
            data_storage_bytes_hour: 0,
            data_transfer_bytes: 0,
            written_data_bytes: 0,
            compute_time_seconds: 0,
            active_time_seconds: 0,
            active_time: 0,
            cpu_used_sec: 0,
            consumption_period_start: start,
            consumption_period_end: end.map_or(now, |it| it.timestamp()),
            owner_id: project.org.to_string(),
            org_id: project.org.to_string(),
            compute_last_active_at: tree
                .and_then(|it| it.endpoints.iter().filter_map(|it| it.last_active).max()),
            deleted_at: project.deleted_at,
            recoverable_until: project
                .deleted_at
                .filter(|_| project.recoverable)
                .map(|at| at + domain::RECOVERABLE),
            storage: branches
                .iter()
                .rev()
                .find_map(|it| it.storage)
                .map(domain::StorageMethod::as_str),
        }
    }

    /// With what it has used since the month began.
    pub(super) fn with_usage(mut self, all: &[domain::Frame]) -> Self {
        if let Some(frame) = all.iter().find(|it| it.project.as_str() == self.id) {
            let used = &frame.used;
            self.active_time = used.active_ms / 1000;
            self.active_time_seconds = used.active_ms / 1000;
            self.cpu_used_sec = used.cpu_ms / 1000;
            self.compute_time_seconds = used.cpu_ms / 1000;
            self.written_data_bytes = used.written_bytes;
            self.data_transfer_bytes = used.transfer_bytes;
            self.data_storage_bytes_hour = frame.storage_bytes_hours;
            self.synthetic_storage_size = Some(used.storage_bytes);
        }
        self
    }
}

/// A branch.
#[derive(Serialize, ToSchema)]
#[schema(as = Branch)]
pub(super) struct BranchBody {
    #[schema(example = "br-cool-king-a1b2c3d4")]
    id: String,
    project_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_lsn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_timestamp: Option<Timestamp>,
    name: String,
    /// `init`, `resetting`, `ready` or `archived`.
    current_state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pending_state: Option<&'static str>,
    state_changed_at: Timestamp,
    /// In bytes, when it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    logical_size: Option<i64>,
    creation_source: &'static str,
    primary: bool,
    default: bool,
    protected: bool,
    cpu_used_sec: i64,
    compute_time_seconds: i64,
    active_time_seconds: i64,
    written_data_bytes: i64,
    data_transfer_bytes: i64,
    created_at: Timestamp,
    updated_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl_interval_seconds: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_reset_at: Option<Timestamp>,
    init_source: &'static str,
    /// `restored` or `finalized`, of a branch that was made from a snapshot.
    #[serde(skip_serializing_if = "Option::is_none")]
    restore_status: Option<&'static str>,
    /// The snapshot that it was made from.
    #[serde(skip_serializing_if = "Option::is_none")]
    restored_from: Option<String>,
    /// The branch in whose place it comes, or came.
    #[serde(skip_serializing_if = "Option::is_none")]
    restored_as: Option<String>,
    /// How its files were made: `reflink` or `copy`. Not in Neon's API.
    #[serde(skip_serializing_if = "Option::is_none")]
    storage: Option<&'static str>,
}

impl From<&domain::Branch> for BranchBody {
    fn from(it: &domain::Branch) -> Self {
        Self {
            id: it.id.to_string(),
            project_id: it.project.to_string(),
            parent_id: it.parent.as_ref().map(ToString::to_string),
            parent_lsn: it.parent_lsn.map(|it| it.to_string()),
            parent_timestamp: it.parent_timestamp,
            name: it.name.clone(),
            current_state: it.state.as_str(),
            pending_state: it.pending.map(domain::BranchState::as_str),
            state_changed_at: it.state_changed_at,
            logical_size: it.logical_size,
            creation_source: "console",
            primary: it.is_default,
            default: it.is_default,
            protected: it.protected,
            cpu_used_sec: 0,
            compute_time_seconds: 0,
            active_time_seconds: 0,
            written_data_bytes: 0,
            data_transfer_bytes: 0,
            created_at: it.created_at,
            updated_at: it.updated_at,
            expires_at: it.expires_at,
            ttl_interval_seconds: it.expires_at.map(|at| seconds(at.duration_since(it.created_at))),
            last_reset_at: it.last_reset_at,
            init_source: if it.schema_only { "schema-only" } else { "parent-data" },
            restore_status: it
                .restored_from
                .as_ref()
                .map(|_| if it.restore_finalized { "finalized" } else { "restored" }),
            restored_from: it.restored_from.as_ref().map(ToString::to_string),
            restored_as: it.restored_as.as_ref().map(ToString::to_string),
            storage: it.storage.map(domain::StorageMethod::as_str),
        }
    }
}

impl BranchBody {
    /// With what it has used since the month began.
    pub(super) fn with_usage(mut self, all: &[(domain::BranchId, domain::Used)]) -> Self {
        if let Some((_, used)) = all.iter().find(|it| it.0.as_str() == self.id) {
            self.active_time_seconds = used.active_ms / 1000;
            self.cpu_used_sec = used.cpu_ms / 1000;
            self.compute_time_seconds = used.cpu_ms / 1000;
            self.written_data_bytes = used.written_bytes;
            self.data_transfer_bytes = used.transfer_bytes;
        }
        self
    }
}

fn seconds(it: SignedDuration) -> i64 {
    it.as_secs()
}

/// An endpoint.
#[derive(Serialize, ToSchema)]
#[schema(as = Endpoint)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the flags that Neon's schema has, and one of ours"
)]
pub(super) struct EndpointBody {
    /// With the port.
    #[schema(example = "127.0.0.1:24001")]
    host: String,
    #[schema(example = "ep-little-smoke-a1b2c3d4")]
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    project_id: String,
    branch_id: String,
    autoscaling_limit_min_cu: f64,
    autoscaling_limit_max_cu: f64,
    region_id: &'static str,
    /// `read_write` or `read_only`.
    r#type: &'static str,
    /// `init`, `active` or `idle`.
    current_state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pending_state: Option<&'static str>,
    #[schema(value_type = Object)]
    settings: Value,
    pooler_enabled: bool,
    pooler_mode: &'static str,
    disabled: bool,
    passwordless_access: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_active: Option<Timestamp>,
    creation_source: &'static str,
    created_at: Timestamp,
    updated_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    suspended_at: Option<Timestamp>,
    proxy_host: String,
    suspend_timeout_seconds: i64,
    provisioner: &'static str,
    /// Whether its Postgres is held to `autoscaling_limit_max_cu`: a core and 4 GiB each. Not in Neon's API.
    limits_held: bool,
}

impl EndpointBody {
    pub(super) fn of(tree: &Tree, it: &domain::Endpoint) -> Self {
        Self {
            host: tree.address(it),
            id: it.id.to_string(),
            name: it.name.clone(),
            project_id: it.project.to_string(),
            branch_id: it.branch.to_string(),
            autoscaling_limit_min_cu: it.computes.min,
            autoscaling_limit_max_cu: it.computes.max,
            region_id: REGION,
            r#type: it.kind.as_str(),
            current_state: it.state.as_str(),
            pending_state: it.pending.map(domain::EndpointState::as_str),
            settings: it.settings.clone(),
            pooler_enabled: it.pooled,
            pooler_mode: "transaction",
            disabled: it.disabled,
            passwordless_access: false,
            last_active: it.last_active,
            creation_source: "console",
            created_at: it.created_at,
            updated_at: it.updated_at,
            started_at: it.started_at,
            suspended_at: it.suspended_at,
            proxy_host: tree.host.clone(),
            suspend_timeout_seconds: it.suspend_timeout_seconds,
            provisioner: PROVISIONER,
            limits_held: tree.holds_limits,
        }
    }
}

/// An operation.
#[derive(Serialize, ToSchema)]
#[schema(as = Operation)]
pub(super) struct OperationBody {
    #[schema(value_type = uuid::Uuid)]
    id: String,
    project_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    branch_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint_id: Option<String>,
    #[schema(example = "start_compute")]
    action: &'static str,
    /// `scheduling`, `running`, `finished`, `failed`, `cancelled` or `skipped`.
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    failures_count: i32,
    created_at: Timestamp,
    updated_at: Timestamp,
    total_duration_ms: i32,
}

impl From<&domain::Operation> for OperationBody {
    fn from(it: &domain::Operation) -> Self {
        Self {
            id: it.id.to_string(),
            project_id: it.project.to_string(),
            branch_id: it.branch.as_ref().map(ToString::to_string),
            endpoint_id: it.endpoint.as_ref().map(ToString::to_string),
            action: it.action.as_str(),
            status: it.status.as_str(),
            error: it.error.clone(),
            failures_count: it.failures,
            created_at: it.created_at,
            updated_at: it.updated_at,
            total_duration_ms: it.duration_ms,
        }
    }
}

pub(super) fn operations(all: &[domain::Operation]) -> Vec<OperationBody> {
    all.iter().map(Into::into).collect()
}

/// A role.
#[derive(Serialize, ToSchema)]
#[schema(as = Role)]
pub(super) struct RoleBody {
    branch_id: String,
    name: String,
    /// Only where it was just made.
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<String>,
    protected: bool,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl RoleBody {
    pub(super) fn of(it: &domain::Role, password: Option<&SecretString>) -> Self {
        Self {
            branch_id: it.branch.to_string(),
            name: it.name.to_string(),
            password: password.map(|it| it.expose_secret().to_owned()),
            protected: false,
            created_at: it.created_at,
            updated_at: it.updated_at,
        }
    }
}

/// A database.
#[derive(Serialize, ToSchema)]
#[schema(as = Database)]
pub(super) struct DatabaseBody {
    id: i64,
    branch_id: String,
    name: String,
    owner_name: String,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl From<&domain::Database> for DatabaseBody {
    fn from(it: &domain::Database) -> Self {
        Self {
            id: it.id,
            branch_id: it.branch.to_string(),
            name: it.name.to_string(),
            owner_name: it.owner.to_string(),
            created_at: it.created_at,
            updated_at: it.updated_at,
        }
    }
}

/// How to connect.
#[derive(Serialize, ToSchema)]
#[schema(as = ConnectionDetails)]
pub(super) struct ConnectionDetails {
    connection_uri: String,
    connection_parameters: ConnectionParameters,
}

#[derive(Serialize, ToSchema)]
struct ConnectionParameters {
    database: String,
    password: String,
    role: String,
    host: String,
    pooler_host: String,
}

impl ConnectionDetails {
    pub(super) fn new(
        (host, pooler_host): (&str, &str),
        database: &SqlName,
        role: &SqlName,
        password: &SecretString,
    ) -> Self {
        Self {
            connection_uri: uri(host, database, role, password),
            connection_parameters: ConnectionParameters {
                database: database.to_string(),
                password: password.expose_secret().to_owned(),
                role: role.to_string(),
                host: host.to_owned(),
                pooler_host: pooler_host.to_owned(),
            },
        }
    }
}

/// A connection URI that libpq and its kin take.
pub(crate) fn uri(
    host: &str,
    database: &SqlName,
    role: &SqlName,
    password: &SecretString,
) -> String {
    let start = without_options(host, database, role, password);
    format!("{start}?channel_binding=require&sslmode=require")
}

/// The same through a pooler, which ends TLS itself and does not know how to bind a login to it.
pub(super) fn pooled_uri(
    host: &str,
    database: &SqlName,
    role: &SqlName,
    password: &SecretString,
) -> String {
    format!("{}?sslmode=require", without_options(host, database, role, password))
}

fn without_options(
    host: &str,
    database: &SqlName,
    role: &SqlName,
    password: &SecretString,
) -> String {
    format!(
        "postgresql://{}:{}@{host}/{}",
        escaped(role.as_str()),
        escaped(password.expose_secret()),
        escaped(database.as_str())
    )
}

fn escaped(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte.into());
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

/// Which of a branch's connections there are: each database with its owner.
pub(super) fn connections(
    tree: &Tree,
    branch: &domain::BranchId,
    passwords: &[(SqlName, SecretString)],
) -> Vec<ConnectionDetails> {
    let Some(endpoint) = tree.writer_of(branch) else { return Vec::new() };
    let host = tree.address(endpoint);
    let pooler = tree.pooled_address(endpoint).unwrap_or_else(|| host.clone());
    tree.databases_of(branch)
        .filter_map(|it| {
            let (_, password) = passwords.iter().find(|(name, _)| *name == it.owner)?;
            Some(ConnectionDetails::new((&host, &pooler), &it.name, &it.owner, password))
        })
        .collect()
}

/// Notes on a branch; there are none.
pub(super) fn annotation(id: &str) -> Value {
    json!({ "object": { "type": "console/branch", "id": id }, "value": {} })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_holds_names_with_any_characters() {
        let name = |text: &str| SqlName::database(text).unwrap();
        let text =
            uri("db.example.com:24001", &name("a b/c"), &name("o@x"), &"p:w".to_owned().into());
        assert_eq!(
            text,
            "postgresql://o%40x:p%3Aw@db.example.com:24001/a%20b%2Fc?channel_binding=require&sslmode=require"
        );
    }
}
