use jiff::Timestamp;
use plinth_connections::{Connection, Place, SslMode};
use plinth_schema_introspect::{Snapshot, Visible, readable_columns};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// What kind of database.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Provider {
    /// The only one.
    #[serde(alias = "postgres")]
    Postgresql,
}

/// A config in a list.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DatabaseConfigSummary)]
pub(super) struct ConfigSummary {
    id: Uuid,
    name: String,
    #[schema(required = true)]
    description: Option<String>,
    provider: Provider,
    /// At most one of an organization's is.
    is_primary: bool,
    /// Whether it may be used.
    is_active: bool,
    created_at: Timestamp,
    updated_at: Timestamp,
    /// When it was removed.
    #[schema(required = true)]
    deleted_at: Option<Timestamp>,
}

impl From<&Connection> for ConfigSummary {
    fn from(it: &Connection) -> Self {
        Self {
            id: it.id.as_uuid(),
            name: it.name.to_string(),
            description: it.description.as_ref().map(|it| it.as_str().to_owned()),
            provider: Provider::Postgresql,
            is_primary: it.is_primary,
            is_active: it.activity.is_active() && it.deleted_at.is_none(),
            created_at: it.created_at,
            updated_at: it.updated_at,
            deleted_at: it.deleted_at,
        }
    }
}

/// A config.
#[expect(clippy::struct_field_names, reason = "the names are those of the contract")]
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DatabaseConfig)]
pub(super) struct Config {
    #[serde(flatten)]
    summary: ConfigSummary,
    /// Whether `plinth_test_…` keys may use it.
    is_test: bool,
    connection_config: ConnectionConfig,
    settings: ConfigSettings,
    health: crate::http::connections::HealthBody,
}

/// How the database is reached.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DatabaseConnectionConfig)]
pub(super) struct ConnectionConfig {
    /// Null for a database that Plinth runs itself.
    #[schema(required = true)]
    host: Option<String>,
    /// Null for a database that Plinth runs itself.
    #[schema(required = true)]
    port: Option<u16>,
    database: String,
    username: String,
    /// Whether TLS is demanded.
    ssl: bool,
    /// How exactly: `disable`, `prefer`, `require`, `verify-ca` or `verify-full`.
    ssl_mode: &'static str,
}

/// What may be read.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DatabaseConfigSettings)]
pub(super) struct ConfigSettings {
    /// Null: every table that the role may read.
    #[schema(required = true, example = json!(["public.users"]))]
    allowed_tables: Option<Vec<String>>,
}

impl From<&Connection> for Config {
    fn from(it: &Connection) -> Self {
        let (host, port) = match &it.place {
            Place::Typed { host, port } => (Some(host.to_string()), Some(*port)),
            Place::Managed { .. } => (None, None),
        };
        Self {
            summary: ConfigSummary::from(it),
            is_test: it.is_test,
            connection_config: ConnectionConfig {
                host,
                port,
                database: it.database.clone(),
                username: it.username.clone(),
                ssl: it.ssl_mode >= SslMode::Require,
                ssl_mode: it.ssl_mode.as_str(),
            },
            settings: ConfigSettings { allowed_tables: it.allowed_tables.names() },
            health: (&it.health).into(),
        }
    }
}

/// One config.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DatabaseConfigAnswer)]
pub(super) struct ConfigAnswer {
    success: bool,
    data: Config,
}

impl ConfigAnswer {
    pub(super) fn new(data: Config) -> Self {
        Self { success: true, data }
    }
}

/// All configs.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DatabaseConfigList)]
pub(super) struct ConfigList {
    success: bool,
    /// Newest first.
    data: Vec<ConfigSummary>,
    count: usize,
}

impl ConfigList {
    pub(super) fn new(data: Vec<ConfigSummary>) -> Self {
        Self { success: true, count: data.len(), data }
    }
}

/// A config that was removed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DatabaseConfigDeleted)]
pub(super) struct ConfigDeleted {
    success: bool,
    id: Uuid,
}

impl ConfigDeleted {
    pub(super) fn new(id: Uuid) -> Self {
        Self { success: true, id }
    }
}

/// A schema that was just read.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DatabaseConfigSchema)]
pub(super) struct ConfigSchema {
    success: bool,
    schema: SchemaTables,
    refreshed_at: Timestamp,
}

/// The tables and views that the config allows.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DatabaseConfigTables)]
pub(super) struct SchemaTables {
    /// Sorted by schema and name.
    tables: Vec<SchemaTable>,
}

/// A table or view.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DatabaseConfigTable)]
pub(super) struct SchemaTable {
    #[schema(example = "users")]
    name: String,
    #[schema(example = "public")]
    schema: String,
    columns: Vec<SchemaColumn>,
}

/// A column.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DatabaseConfigColumn)]
pub(super) struct SchemaColumn {
    name: String,
    #[serde(rename = "type")]
    #[schema(example = "integer")]
    type_name: String,
    nullable: bool,
}

impl ConfigSchema {
    pub(super) fn new(connection: &Connection, snapshot: &Snapshot) -> Self {
        let visible = Visible::new(&snapshot.catalog, &connection.allowed_tables);
        let tables = visible
            .relations()
            .map(|it| SchemaTable {
                name: it.name.clone(),
                schema: it.schema.clone(),
                columns: readable_columns(it)
                    .map(|it| SchemaColumn {
                        name: it.name.clone(),
                        type_name: it.type_name.clone(),
                        nullable: it.nullable,
                    })
                    .collect(),
            })
            .collect();
        Self { success: true, schema: SchemaTables { tables }, refreshed_at: snapshot.taken_at }
    }
}

/// How old a schema is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DatabaseConfigFreshness)]
pub(super) struct ConfigFreshness {
    success: bool,
    /// Whether it is to be read anew: it never was, or more than a day ago.
    needs_refresh: bool,
    /// When it was last read; null if it never was.
    #[schema(required = true)]
    last_refresh: Option<Timestamp>,
    /// How long ago that was; null if it never was.
    #[schema(required = true, example = 1.5)]
    age_hours: Option<f64>,
}

impl ConfigFreshness {
    pub(super) fn new(last_refresh: Option<Timestamp>, now: Timestamp, stale_hours: f64) -> Self {
        let age_hours =
            last_refresh.map(|it| (now.duration_since(it).as_secs_f64() / 3600.0).max(0.0));
        let needs_refresh = age_hours.is_none_or(|it| it >= stale_hours);
        Self { success: true, needs_refresh, last_refresh, age_hours }
    }
}
