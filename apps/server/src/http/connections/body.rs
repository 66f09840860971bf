use jiff::Timestamp;
use plinth_connections::{Connection, Diagnosis, Health, Place, TestReport, TunnelSettings};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::http::envelope::{envelope, page_envelope};

#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum DatabaseKind {
    Postgresql,
}

/// A connected database.
#[expect(clippy::struct_excessive_bools, reason = "each is a field of its own of the contract")]
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Connection)]
pub(super) struct ConnectionBody {
    #[schema(example = "conn_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    id: String,
    organization_id: Uuid,
    #[serde(rename = "type")]
    kind: DatabaseKind,
    name: String,
    #[schema(required = true)]
    description: Option<String>,
    /// Null for a database that Plinth runs itself.
    #[schema(required = true)]
    host: Option<String>,
    /// Null for a database that Plinth runs itself.
    #[schema(required = true)]
    port: Option<u16>,
    database: String,
    username: String,
    ssl_mode: &'static str,
    /// Certificate authorities as PEM. Null: those of Plinth's machine.
    #[schema(required = true)]
    ssl_root_cert: Option<String>,
    /// The certificate that Plinth shows the server, as PEM.
    #[schema(required = true)]
    ssl_cert: Option<String>,
    channel_binding: &'static str,
    /// The bastion that it is reached through.
    #[schema(required = true)]
    tunnel: Option<TunnelBody>,
    /// Null: every table that the role may read.
    #[schema(required = true)]
    allowed_tables: Option<Vec<String>>,
    is_test: bool,
    /// Whether it is the organization's primary connection; at most one is.
    is_primary: bool,
    /// Whether it may be used. Queries on one that may not answer 409.
    is_active: bool,
    /// Why it may not be used: `switched_off` by somebody, or `unhealthy`.
    #[schema(required = true, example = json!(null))]
    inactive_reason: Option<&'static str>,
    /// Whether values of columns with few different ones are looked at when the schema is read.
    sampling: bool,
    /// What of it a language model may see: `schema_only`, `sample_values` or `results`.
    #[schema(example = "schema_only")]
    model_privacy: &'static str,
    health: HealthBody,
    /// Whether Plinth runs the database itself.
    is_managed: bool,
    created_at: Timestamp,
    updated_at: Timestamp,
}

/// A bastion, reached over SSH.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Tunnel)]
pub(super) struct TunnelBody {
    host: String,
    port: u16,
    username: String,
    /// What the bastion must prove to be.
    host_key: String,
}

impl From<&TunnelSettings> for TunnelBody {
    fn from(it: &TunnelSettings) -> Self {
        Self {
            host: it.host.to_string(),
            port: it.port,
            username: it.username.clone(),
            host_key: it.host_key.to_string(),
        }
    }
}

/// What background checks found.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ConnectionHealth)]
pub(in crate::http) struct HealthBody {
    /// `unknown`, `healthy` or `unhealthy`: how the last check ended.
    #[schema(example = "healthy")]
    status: &'static str,
    #[schema(required = true)]
    checked_at: Option<Timestamp>,
    /// How many checks failed in a row. After three the connection is no longer used until one succeeds.
    failures: u32,
    /// Why the last check failed.
    #[schema(required = true)]
    diagnosis: Option<DiagnosisBody>,
}

impl From<&Health> for HealthBody {
    fn from(it: &Health) -> Self {
        Self {
            status: it.status.as_str(),
            checked_at: it.checked_at,
            failures: it.failures,
            diagnosis: it.diagnosis.as_deref().cloned().map(DiagnosisBody::from),
        }
    }
}

impl From<&Connection> for ConnectionBody {
    fn from(it: &Connection) -> Self {
        let (host, port) = match &it.place {
            Place::Typed { host, port } => (Some(host.to_string()), Some(*port)),
            Place::Managed { .. } => (None, None),
        };
        Self {
            id: it.id.to_string(),
            organization_id: it.org.as_uuid(),
            kind: DatabaseKind::Postgresql,
            name: it.name.to_string(),
            description: it.description.as_ref().map(|it| it.as_str().to_owned()),
            is_managed: host.is_none(),
            host,
            port,
            database: it.database.clone(),
            username: it.username.clone(),
            ssl_mode: it.ssl_mode.as_str(),
            ssl_root_cert: it.tls.roots.clone(),
            ssl_cert: it.tls.certificate.clone(),
            channel_binding: it.tls.channel_binding.as_str(),
            tunnel: it.tunnel.as_ref().map(TunnelBody::from),
            allowed_tables: it.allowed_tables.names(),
            is_test: it.is_test,
            is_primary: it.is_primary,
            is_active: it.activity.is_active(),
            inactive_reason: it.activity.reason(),
            sampling: it.sampling,
            model_privacy: it.model_privacy.as_str(),
            health: HealthBody::from(&it.health),
            created_at: it.created_at,
            updated_at: it.updated_at,
        }
    }
}

/// What a test of a connection found.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ConnectionTest {
    /// Whether a session could be opened.
    success: bool,
    /// From the first packet to a usable session, in milliseconds.
    latency_ms: Option<f64>,
    #[schema(example = "15.18")]
    server_version: Option<String>,
    #[schema(example = 150_018)]
    server_version_num: Option<u32>,
    /// Whether the session was encrypted.
    tls: Option<bool>,
    /// What the owner should know, like a role that can write.
    warnings: Vec<String>,
    /// Why it failed and what to do.
    diagnosis: Option<DiagnosisBody>,
}

impl ConnectionTest {
    /// A session could be opened.
    pub(super) fn found(report: TestReport) -> Self {
        Self {
            success: true,
            latency_ms: Some(report.latency_ms),
            server_version: Some(report.server_version),
            server_version_num: Some(report.server_version_num),
            tls: Some(report.tls),
            warnings: report.warnings,
            diagnosis: None,
        }
    }

    /// None could.
    pub(super) fn failed(diagnosis: Diagnosis) -> Self {
        Self {
            success: false,
            latency_ms: None,
            server_version: None,
            server_version_num: None,
            tls: None,
            warnings: Vec::new(),
            diagnosis: Some(DiagnosisBody::from(diagnosis)),
        }
    }
}

/// Why a database could not be reached.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Diagnosis)]
pub(in crate::http) struct DiagnosisBody {
    /// How far it came: `resolve`, `connect`, `tls`, `auth`, `database` or `read_schema`.
    #[schema(value_type = String, example = "auth")]
    stage: plinth_connections::Stage,
    /// What went wrong there, as a word to match on.
    #[schema(value_type = String, example = "wrong_password")]
    fault: plinth_connections::Fault,
    title: String,
    explanation: String,
    /// What to do, most likely first.
    fix_steps: Vec<String>,
    /// Whether the same attempt may succeed later without a change.
    retryable: bool,
}

impl From<Diagnosis> for DiagnosisBody {
    fn from(it: Diagnosis) -> Self {
        let Diagnosis { stage, fault, title, explanation, fix_steps, retryable } = it;
        Self { stage, fault, title, explanation, fix_steps, retryable }
    }
}

envelope! {
    /// A connection.
    ConnectionEnvelope(ConnectionBody)
}
envelope! {
    /// What a test found.
    ConnectionTestEnvelope(ConnectionTest)
}
page_envelope! {
    /// A page of connections.
    ConnectionPage(ConnectionBody)
}
