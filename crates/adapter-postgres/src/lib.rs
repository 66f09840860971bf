//! Our own database: its URL, the pool, transactions, migrations, and one module for each storage port.
//!
//! **Invariant:** SQL over our own tables lives in this crate and in `migrations/`, nowhere else; and every statement
//! runs in a transaction that names its organization, as a role that row-level security binds.

mod accounts;
mod admin;
mod alerts;
mod annotations;
mod audit;
mod connections;
mod control_plane;
mod conversations;
mod dashboards;
mod database;
mod idempotency;
mod identities;
mod keys;
mod language;
mod limits;
mod migrate;
mod models;
mod oauth;
mod organizations;
mod outbox;
mod policies;
mod queries;
mod query_runs;
mod roles;
mod saved_queries;
mod signing;
mod snapshots;
mod team;
mod tenancy;
mod tls;
mod url;
mod workflows;

pub use accounts::{PostgresAccounts, PostgresAttempts};
pub use admin::{Admin, open_session};
pub use alerts::PostgresAlerts;
pub use annotations::PostgresAnnotations;
pub use audit::PostgresAudit;
pub use connections::PostgresConnections;
pub use control_plane::PostgresControlPlane;
pub use conversations::PostgresConversations;
pub use dashboards::PostgresDashboards;
pub use database::{Database, OpenError};
pub use idempotency::PostgresIdempotency;
pub use identities::PostgresIdentities;
pub use keys::PostgresKeys;
pub use language::PostgresLanguage;
pub use limits::PostgresRates;
pub use migrate::{MigrateError, SCHEMA, migrate, migrations};
pub use models::PostgresModels;
pub use oauth::PostgresApps;
pub use organizations::PostgresOrganizations;
pub use outbox::PostgresOutbox;
pub use policies::PostgresPolicies;
pub use queries::PostgresQueries;
pub use query_runs::PostgresQueryRuns;
pub use signing::PostgresSigningKeys;
pub use snapshots::PostgresSnapshots;
pub use team::PostgresTeam;
pub use tenancy::PostgresTenancy;
pub use url::{DatabaseUrl, InvalidUrl};
pub use workflows::{PostgresRuns, PostgresWorkflows};
