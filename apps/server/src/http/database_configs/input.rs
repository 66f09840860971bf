use jiff::Timestamp;
use plinth_connections::{
    AllowedTables, ConnectionName, ConnectionPatch, Description, Login, LoginPatch, NewConnection,
    Patch, SslMode, TableName,
};
use secrecy::SecretString;
use serde::Deserialize;
use utoipa::ToSchema;
use validator::Validate;

use super::body::Provider;
use crate::http::Problem;
use crate::http::connections::{LoginFields, clearable};

/// A database to add. Fields that are not listed here are ignored.
#[derive(Debug, Deserialize, ToSchema, Validate)]
#[schema(as = CreateDatabaseConfig)]
pub(super) struct CreateConfig {
    /// 1 to 100 characters, unique in the organization.
    #[schema(example = "Production", min_length = 1, max_length = 100)]
    name: String,
    /// Up to 2,000 characters.
    #[schema(max_length = 2000)]
    description: Option<String>,
    provider: Provider,
    connection_config: ConnectionConfigInput,
    settings: Option<SettingsInput>,
    /// Makes it the organization's primary config; the one until now no longer is.
    is_primary: Option<bool>,
    /// Whether it may be used at once.
    #[schema(default = true)]
    is_active: Option<bool>,
}

/// How the database is reached.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = DatabaseConnectionConfigInput)]
pub(super) struct ConnectionConfigInput {
    /// One DNS name or one IP address.
    #[schema(example = "db.example.com")]
    host: Option<String>,
    /// TCP port.
    #[schema(value_type = Option<u16>, default = 5432, minimum = 1, maximum = 65535)]
    port: Option<u32>,
    #[schema(example = "shop")]
    database: Option<String>,
    #[schema(example = "reader")]
    username: Option<String>,
    /// Never sent back.
    #[schema(value_type = Option<String>, format = Password, write_only)]
    password: Option<SecretString>,
    /// True demands TLS; otherwise it is used where the server has it.
    ssl: Option<bool>,
}

impl ConnectionConfigInput {
    fn parse(self) -> Result<LoginPatch, Problem> {
        let Self { host, port, database, username, password, ssl } = self;
        let ssl_mode_at_least = ssl.and_then(|it| it.then_some(SslMode::Require));
        LoginFields {
            host,
            port,
            database,
            username,
            password,
            ssl_mode_at_least,
            ..LoginFields::default()
        }
        .parse()
    }
}

/// What may be read.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = DatabaseConfigSettingsInput)]
pub(super) struct SettingsInput {
    /// As `schema.table`; null: every table that the role may read.
    #[serde(default, deserialize_with = "clearable")]
    #[schema(value_type = Option<Vec<String>>, example = json!(["public.users"]))]
    allowed_tables: Patch<Vec<String>>,
}

impl SettingsInput {
    fn parse(settings: Option<Self>) -> Result<Option<AllowedTables>, Problem> {
        Ok(match settings.unwrap_or_default().allowed_tables {
            Patch::Keep => None,
            Patch::Clear => Some(AllowedTables::All),
            Patch::Set(names) => Some(AllowedTables::parse(names.iter().map(String::as_str))?),
        })
    }
}

impl CreateConfig {
    pub(super) fn parse(self, now: Timestamp) -> Result<NewConnection, Problem> {
        let Provider::Postgresql = self.provider;
        let name = ConnectionName::parse(&self.name)?;
        let description = self.description.as_deref().map(Description::parse).transpose()?;
        let login = self.connection_config.parse()?.complete(now)?;
        Ok(NewConnection {
            description: description.flatten(),
            allowed_tables: SettingsInput::parse(self.settings)?.unwrap_or_default(),
            is_primary: self.is_primary.unwrap_or(false),
            is_active: self.is_active.unwrap_or(true),
            ..NewConnection::new(name, login)
        })
    }
}

/// What to change. What is left out or null stays; a null description or list of tables is taken away. Fields that are
/// not listed here are ignored.
#[derive(Debug, Deserialize, ToSchema, Validate)]
#[schema(as = PatchDatabaseConfig)]
pub(super) struct PatchConfig {
    /// 1 to 100 characters, unique in the organization.
    #[schema(min_length = 1, max_length = 100)]
    name: Option<String>,
    /// Up to 2,000 characters.
    #[serde(default, deserialize_with = "clearable")]
    #[schema(value_type = Option<String>, max_length = 2000)]
    description: Patch<String>,
    provider: Option<Provider>,
    connection_config: Option<ConnectionConfigInput>,
    settings: Option<SettingsInput>,
    /// Makes it the organization's primary config; the one until now no longer is.
    is_primary: Option<bool>,
    /// Whether it may be used. True also takes one into use again that was found unhealthy.
    is_active: Option<bool>,
}

impl PatchConfig {
    pub(super) fn parse(self) -> Result<ConnectionPatch, Problem> {
        let (None | Some(Provider::Postgresql)) = self.provider;
        let description = match self.description {
            Patch::Keep => Patch::Keep,
            Patch::Clear => Patch::Clear,
            Patch::Set(text) => Description::parse(&text)?.map_or(Patch::Clear, Patch::Set),
        };
        Ok(ConnectionPatch {
            name: self.name.as_deref().map(ConnectionName::parse).transpose()?,
            description,
            login: self.connection_config.unwrap_or_default().parse()?,
            allowed_tables: SettingsInput::parse(self.settings)?,
            is_primary: self.is_primary,
            is_active: self.is_active,
            ..ConnectionPatch::default()
        })
    }
}

/// A database to look at; nothing of it is kept. Fields that are not listed here are ignored.
#[derive(Debug, Deserialize, ToSchema, Validate)]
#[schema(as = PostgresToProbe)]
pub(super) struct ProbeInput {
    /// One DNS name or one IP address.
    #[schema(example = "db.example.com", required = true)]
    host: Option<String>,
    /// TCP port.
    #[schema(value_type = Option<u16>, default = 5432, minimum = 1, maximum = 65535)]
    port: Option<u32>,
    #[schema(example = "shop", required = true)]
    database: Option<String>,
    #[schema(example = "reader", required = true)]
    username: Option<String>,
    /// Never kept, never sent back.
    #[schema(value_type = Option<String>, format = Password, write_only, required = true)]
    password: Option<SecretString>,
    /// True demands TLS; otherwise it is used where the server has it.
    ssl: Option<bool>,
    /// As `schema.table`; without it, every table that the role may read.
    #[schema(example = json!(["public.users"]))]
    allowed_tables: Option<Vec<String>>,
}

/// What was asked to be looked at.
pub(super) struct Probe {
    pub(super) login: Login,
    pub(super) allowed: AllowedTables,
    /// The first of the allowed tables as they were sent.
    pub(super) first_table: Option<TableName>,
}

impl ProbeInput {
    pub(super) fn parse(self, now: Timestamp) -> Result<Probe, Problem> {
        let Self { host, port, database, username, password, ssl, allowed_tables } = self;
        let config = ConnectionConfigInput { host, port, database, username, password, ssl };
        let login = config.parse()?.complete(now)?;
        let Some(names) = allowed_tables else {
            return Ok(Probe { login, allowed: AllowedTables::All, first_table: None });
        };
        let allowed = AllowedTables::parse(names.iter().map(String::as_str))?;
        let first = names.first().map(|it| AllowedTables::parse([it.as_str()])).transpose()?;
        let first_table = match first {
            Some(AllowedTables::Listed(tables)) => tables.into_iter().next(),
            Some(AllowedTables::All) | None => None,
        };
        Ok(Probe { login, allowed, first_table })
    }
}
