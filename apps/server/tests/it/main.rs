//! The API over HTTP, in front of a real Postgres, with customers' databases on another database of it.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![expect(clippy::print_stdout, reason = "counts and skips are for whoever runs the tests")]

mod access;
mod alerts;
mod app;
mod attacks;
mod audit;
mod auth;
mod connection_changes;
mod connection_health;
mod connections;
mod control_plane;
mod control_plane_people;
mod control_plane_readers;
mod control_plane_schemas;
mod control_plane_snapshots;
mod control_plane_usage;
mod conversations;
mod dashboard_links;
mod dashboard_owners;
mod dashboards;
mod database_configs;
mod document;
mod exports;
mod idempotency;
mod identity_providers;
mod keys;
mod language;
mod language_policies;
mod limits;
mod master_key;
mod models;
mod oauth;
mod organizations;
mod policies;
mod queries;
mod query_runs;
mod reaching;
mod refreshing;
mod roles;
mod saved_queries;
mod schemas;
mod team;
mod workflow_runs;
mod workflows;
