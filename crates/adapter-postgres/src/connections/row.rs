//! A connection as a row, and back.

use plinth_connections::{
    Activity, AllowedTables, ChannelBinding, Connection, ConnectionId, ConnectionName, Credentials,
    Description, Health, HealthStatus, Host, HostKey, Place, Sealed, Stored, TlsSettings,
    TunnelSettings,
};
use plinth_core::{OrgId, StoreError, UserId};
use tokio_postgres::Row;
use tokio_postgres::types::{Json, ToSql};

use super::get;
use crate::database::internal;

/// What [`read`] needs, with `c` for the record and `h` for what checks found.
pub(super) const COLUMNS: &str =
    "c.id, c.org_id, c.name, c.description, c.host, c.port, c.managed_server, c.database_name, c.username,
    c.password_version, c.password_sealed, c.ssl_mode, c.tls_roots, c.tls_certificate, c.channel_binding,
    c.client_key_version, c.client_key_sealed, c.tunnel_host, c.tunnel_port, c.tunnel_username, c.tunnel_host_key,
    c.tunnel_version, c.tunnel_sealed, c.allowed_tables, c.is_test, c.is_primary, c.inactive_reason, c.sampling,
    c.model_privacy,
    c.version, c.revision, c.created_by, c.created_at, c.updated_at, c.deleted_at,
    h.status AS health_status, h.checked_at, h.failures, h.failing_since, h.diagnosis";

/// The columns that are written, in the order of [`Written::values`]; the first two say which row.
const WRITTEN: [&str; 33] = [
    "org_id",
    "id",
    "name",
    "description",
    "host",
    "port",
    "managed_server",
    "database_name",
    "username",
    "password_version",
    "password_sealed",
    "ssl_mode",
    "tls_roots",
    "tls_certificate",
    "channel_binding",
    "client_key_version",
    "client_key_sealed",
    "tunnel_host",
    "tunnel_port",
    "tunnel_username",
    "tunnel_host_key",
    "tunnel_version",
    "tunnel_sealed",
    "allowed_tables",
    "is_test",
    "is_primary",
    "inactive_reason",
    "sampling",
    "model_privacy",
    "version",
    "revision",
    "created_by",
    "created_at",
];

/// A connection's values, as the driver takes them.
pub(super) struct Written {
    values: Vec<Box<dyn ToSql + Sync + Send>>,
}

impl Written {
    pub(super) fn new(stored: &Stored) -> Self {
        let Stored { connection: it, credentials, version } = stored;
        let (host, port, server) = match &it.place {
            Place::Typed { host, port } => (Some(host.to_string()), Some(i32::from(*port)), None),
            Place::Managed { server } => (None, None, Some(server.clone())),
        };
        let description = it.description.as_ref().map(|it| it.as_str().to_owned());
        let tunnel = it.tunnel.as_ref();
        let of = |sealed: &Option<Sealed>| match sealed {
            Some(it) => (Some(it.key_version), Some(it.bytes.clone())),
            None => (None, None),
        };
        let (client_key_version, client_key) = of(&credentials.client_key);
        let (tunnel_version, tunnel_sealed) = of(&credentials.tunnel);
        let values: Vec<Box<dyn ToSql + Sync + Send>> = vec![
            Box::new(it.org.as_uuid()),
            Box::new(it.id.as_uuid()),
            Box::new(it.name.to_string()),
            Box::new(description),
            Box::new(host),
            Box::new(port),
            Box::new(server),
            Box::new(it.database.clone()),
            Box::new(it.username.clone()),
            Box::new(credentials.password.key_version),
            Box::new(credentials.password.bytes.clone()),
            Box::new(it.ssl_mode.as_str()),
            Box::new(it.tls.roots.clone()),
            Box::new(it.tls.certificate.clone()),
            Box::new(it.tls.channel_binding.as_str()),
            Box::new(client_key_version),
            Box::new(client_key),
            Box::new(tunnel.map(|it| it.host.to_string())),
            Box::new(tunnel.map(|it| i32::from(it.port))),
            Box::new(tunnel.map(|it| it.username.clone())),
            Box::new(tunnel.map(|it| it.host_key.to_string())),
            Box::new(tunnel_version),
            Box::new(tunnel_sealed),
            Box::new(it.allowed_tables.names()),
            Box::new(it.is_test),
            Box::new(it.is_primary),
            Box::new(it.activity.reason()),
            Box::new(it.sampling),
            Box::new(it.model_privacy.as_str()),
            Box::new(*version),
            Box::new(it.revision),
            Box::new(it.created_by.as_uuid()),
            Box::new(it.created_at),
            Box::new(it.updated_at),
        ];
        debug_assert_eq!(values.len(), WRITTEN.len() + 1, "`updated_at` comes last");
        Self { values }
    }

    /// Adds a row.
    pub(super) fn insert(&self) -> String {
        let places: Vec<String> = (1..=self.values.len()).map(|at| format!("${at}")).collect();
        format!(
            "INSERT INTO connections ({}, updated_at) VALUES ({})",
            WRITTEN.join(", "),
            places.join(", ")
        )
    }

    /// Replaces the row of the revision before.
    pub(super) fn update() -> String {
        let revision = 1 + WRITTEN.iter().position(|it| *it == "revision").unwrap_or_default();
        let sets: Vec<String> = WRITTEN
            .iter()
            .chain(&["updated_at"])
            .zip(1..)
            .skip(2)
            .map(|(column, at)| format!("{column} = ${at}"))
            .collect();
        format!(
            "UPDATE connections SET {} WHERE org_id = $1 AND id = $2 AND revision = ${revision}::bigint - 1 AND deleted_at IS NULL",
            sets.join(", ")
        )
    }

    pub(super) fn values(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.values.iter().map(|it| it.as_ref() as &(dyn ToSql + Sync)).collect()
    }
}

/// The record with its sealed credentials.
pub(super) fn read(row: &Row) -> Result<Stored, StoreError> {
    let sealed = |version: &str, bytes: &str| -> Result<Option<Sealed>, StoreError> {
        let key_version: Option<i32> = get(row, version)?;
        let bytes: Option<Vec<u8>> = get(row, bytes)?;
        Ok(key_version.zip(bytes).map(|(key_version, bytes)| Sealed { key_version, bytes }))
    };
    let credentials = Credentials {
        password: Sealed {
            key_version: get(row, "password_version")?,
            bytes: get(row, "password_sealed")?,
        },
        client_key: sealed("client_key_version", "client_key_sealed")?,
        tunnel: sealed("tunnel_version", "tunnel_sealed")?,
    };
    Ok(Stored { connection: read_connection(row)?, credentials, version: get(row, "version")? })
}

/// The record alone.
pub(super) fn read_connection(row: &Row) -> Result<Connection, StoreError> {
    let allowed: Option<Vec<String>> = get(row, "allowed_tables")?;
    let allowed_tables = match &allowed {
        None => AllowedTables::All,
        Some(names) => AllowedTables::parse(names.iter().map(String::as_str)).map_err(internal)?,
    };
    let description: Option<&str> = get(row, "description")?;
    let description = description.map(Description::parse).transpose().map_err(internal)?;
    let ssl_mode: &str = get(row, "ssl_mode")?;
    let binding: &str = get(row, "channel_binding")?;
    let reason: Option<&str> = get(row, "inactive_reason")?;
    let activity = Activity::from_reason(reason)
        .ok_or_else(|| internal(format!("no reason to be inactive: {reason:?}")))?;
    let privacy: &str = get(row, "model_privacy")?;
    Ok(Connection {
        id: ConnectionId::from_uuid(get(row, "id")?),
        org: OrgId::from_uuid(get(row, "org_id")?),
        name: ConnectionName::parse(get(row, "name")?).map_err(internal)?,
        description: description.flatten(),
        place: read_place(row)?,
        database: get(row, "database_name")?,
        username: get(row, "username")?,
        ssl_mode: ssl_mode.parse().map_err(internal)?,
        tls: TlsSettings {
            roots: get(row, "tls_roots")?,
            certificate: get(row, "tls_certificate")?,
            channel_binding: binding.parse::<ChannelBinding>().map_err(internal)?,
        },
        tunnel: read_tunnel(row)?,
        allowed_tables,
        is_test: get(row, "is_test")?,
        is_primary: get(row, "is_primary")?,
        activity,
        sampling: get(row, "sampling")?,
        model_privacy: privacy.parse().map_err(internal)?,
        health: read_health(row)?,
        revision: get(row, "revision")?,
        created_by: UserId::from_uuid(get(row, "created_by")?),
        created_at: get(row, "created_at")?,
        updated_at: get(row, "updated_at")?,
        deleted_at: get(row, "deleted_at")?,
    })
}

fn read_place(row: &Row) -> Result<Place, StoreError> {
    let host: Option<&str> = get(row, "host")?;
    let port: Option<i32> = get(row, "port")?;
    let server: Option<String> = get(row, "managed_server")?;
    match (host, port, server) {
        (Some(host), Some(port), None) => Ok(Place::Typed {
            host: Host::parse(host).map_err(internal)?,
            port: u16::try_from(port).map_err(internal)?,
        }),
        (None, None, Some(server)) => Ok(Place::Managed { server }),
        _ => Err(internal("a connection is at two places or none")),
    }
}

fn read_tunnel(row: &Row) -> Result<Option<TunnelSettings>, StoreError> {
    let Some(host) = get::<Option<&str>>(row, "tunnel_host")? else { return Ok(None) };
    let host_key: &str = get(row, "tunnel_host_key")?;
    Ok(Some(TunnelSettings {
        host: Host::parse(host).map_err(internal)?,
        port: u16::try_from(get::<i32>(row, "tunnel_port")?).map_err(internal)?,
        username: get(row, "tunnel_username")?,
        host_key: host_key.parse::<HostKey>().map_err(internal)?,
    }))
}

fn read_health(row: &Row) -> Result<Health, StoreError> {
    let Some(status) = get::<Option<&str>>(row, "health_status")? else {
        return Ok(Health::default());
    };
    let status = HealthStatus::from_name(status)
        .ok_or_else(|| internal(format!("no state of health: {status}")))?;
    let diagnosis: Option<Json<serde_json::Value>> = get(row, "diagnosis")?;
    Ok(Health {
        status,
        checked_at: get(row, "checked_at")?,
        failures: u32::try_from(get::<i32>(row, "failures")?).map_err(internal)?,
        failing_since: get(row, "failing_since")?,
        // A newer server may know faults that this one does not: the check itself is what counts.
        diagnosis: diagnosis.and_then(|it| serde_json::from_value(it.0).ok()),
    })
}
