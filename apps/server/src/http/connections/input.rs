use jiff::Timestamp;
use plinth_connections::{
    AllowedTables, ConnectionName, ConnectionPatch, Description, ModelPrivacy, NewConnection, Patch,
};
use secrecy::SecretString;
use serde::Deserialize;
use utoipa::ToSchema;
use validator::Validate;

use super::body::DatabaseKind;
use super::login::{LoginFields, TunnelInput, clearable, given};
use crate::http::Problem;

/// A database to connect: either `url`, or `host`, `database`, `username` and `password`.
#[expect(clippy::struct_excessive_bools, reason = "each is a field of its own of the contract")]
#[derive(Debug, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateConnection {
    /// What kind of database; `postgresql` is the only one.
    #[serde(rename = "type")]
    #[schema(example = "postgresql")]
    kind: DatabaseKind,
    /// 1 to 100 characters, unique in the organization.
    #[schema(example = "Production", min_length = 1, max_length = 100)]
    name: String,
    /// Up to 2,000 characters.
    #[schema(max_length = 2000)]
    description: Option<String>,
    /// `postgresql://user:password@host:port/database?sslmode=…` instead of the fields that it says. Unknown parameters are
    /// refused by name. Never sent back.
    #[schema(value_type = Option<String>, format = Password, write_only)]
    url: Option<SecretString>,
    /// One DNS name or one IP address.
    #[schema(example = "db.example.com")]
    host: Option<String>,
    /// TCP port.
    #[schema(value_type = Option<u16>, default = 5432, minimum = 1, maximum = 65535)]
    port: Option<u32>,
    /// The database's name.
    #[schema(example = "shop")]
    database: Option<String>,
    /// The role to log in as; one that can only read is best.
    #[schema(example = "reader")]
    username: Option<String>,
    /// The role's password. Never sent back.
    #[schema(value_type = Option<String>, format = Password, write_only)]
    password: Option<SecretString>,
    /// How the transport is protected, meaning what libpq means by it.
    #[schema(
        example = "require",
        default = "prefer",
        pattern = "^(disable|prefer|require|verify-ca|verify-full)$"
    )]
    ssl_mode: Option<String>,
    /// Certificate authorities as PEM, instead of those of Plinth's machine.
    ssl_root_cert: Option<String>,
    /// A certificate to show the server, with the authorities between it and the root after it, as PEM.
    ssl_cert: Option<String>,
    /// That certificate's private key as PEM, not encrypted. Never sent back.
    #[schema(value_type = Option<String>, format = Password, write_only)]
    ssl_key: Option<SecretString>,
    /// Whether the login must be tied to the TLS session, meaning what libpq means by it.
    #[schema(default = "prefer", pattern = "^(disable|prefer|require)$")]
    channel_binding: Option<String>,
    /// A bastion that the database is reached through.
    tunnel: Option<TunnelInput>,
    /// The tables that may be read, as `schema.table`; without it, every table that the role may read, system catalogs
    /// excepted.
    #[schema(example = json!(["public.orders", "public.customers"]))]
    allowed_tables: Option<Vec<String>>,
    /// Whether `plinth_test_…` keys may use it.
    #[serde(default)]
    is_test: bool,
    /// Whether it is the organization's primary connection; the one until now no longer is.
    #[serde(default)]
    is_primary: bool,
    /// Whether it may be used at once.
    #[serde(default = "yes")]
    #[schema(default = true)]
    is_active: bool,
    /// Whether values of columns with few different ones are looked at when the schema is read.
    #[serde(default = "yes")]
    #[schema(default = true)]
    sampling: bool,
    /// What of it a language model may see: `schema_only` (names, types, comments, labels of enums), `sample_values` (also
    /// a few values of each column) or `results` (also the first rows of what it proposes).
    #[schema(default = "schema_only", pattern = "^(schema_only|sample_values|results)$")]
    model_privacy: Option<String>,
    /// Log in once before it is kept; if that fails nothing is kept.
    #[serde(default)]
    pub(super) verify: bool,
}

fn yes() -> bool {
    true
}

fn privacy(text: Option<&str>) -> Result<Option<ModelPrivacy>, Problem> {
    Ok(text.map(str::parse).transpose()?)
}

/// From a field that null leaves away.
fn set<T>(it: Option<T>) -> Patch<T> {
    it.map_or(Patch::Keep, Patch::Set)
}

impl CreateConnection {
    pub(super) fn parse(self, now: Timestamp) -> Result<NewConnection, Problem> {
        let DatabaseKind::Postgresql = self.kind;
        let name = ConnectionName::parse(&self.name)?;
        let description = self.description.as_deref().map(Description::parse).transpose()?;
        let login = LoginFields {
            url: self.url,
            host: self.host,
            port: self.port,
            database: self.database,
            username: self.username,
            password: self.password,
            ssl_mode: self.ssl_mode,
            ssl_mode_at_least: None,
            ssl_root_cert: set(self.ssl_root_cert),
            ssl_cert: set(self.ssl_cert),
            ssl_key: set(self.ssl_key),
            channel_binding: self.channel_binding,
            tunnel: set(self.tunnel),
        };
        let allowed_tables = match &self.allowed_tables {
            None => AllowedTables::All,
            Some(names) => AllowedTables::parse(names.iter().map(String::as_str))?,
        };
        Ok(NewConnection {
            name,
            description: description.flatten(),
            login: login.parse()?.complete(now)?,
            allowed_tables,
            is_test: self.is_test,
            is_primary: self.is_primary,
            is_active: self.is_active,
            sampling: self.sampling,
            model_privacy: privacy(self.model_privacy.as_deref())?.unwrap_or_default(),
        })
    }
}

/// What to change of a connection. What is left out stays.
#[derive(Debug, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
pub(super) struct PatchConnection {
    /// 1 to 100 characters, unique in the organization.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, nullable = false, min_length = 1, max_length = 100)]
    name: Option<String>,
    /// Up to 2,000 characters; null takes it away.
    #[serde(default, deserialize_with = "clearable")]
    #[schema(value_type = Option<String>, max_length = 2000)]
    description: Patch<String>,
    /// Instead of the fields that it says. Never sent back.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, nullable = false, format = Password, write_only)]
    url: Option<SecretString>,
    /// One DNS name or one IP address.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, nullable = false)]
    host: Option<String>,
    /// TCP port.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<u16>, nullable = false, minimum = 1, maximum = 65535)]
    port: Option<u32>,
    /// The database's name.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, nullable = false)]
    database: Option<String>,
    /// The role to log in as.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, nullable = false)]
    username: Option<String>,
    /// Replaces the role's password. Never sent back.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, nullable = false, format = Password, write_only)]
    password: Option<SecretString>,
    /// How the transport is protected, meaning what libpq means by it.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, nullable = false, pattern = "^(disable|prefer|require|verify-ca|verify-full)$")]
    ssl_mode: Option<String>,
    /// Certificate authorities as PEM; null goes back to those of Plinth's machine.
    #[serde(default, deserialize_with = "clearable")]
    #[schema(value_type = Option<String>)]
    ssl_root_cert: Patch<String>,
    /// A certificate to show the server; null takes it away, together with `ssl_key`.
    #[serde(default, deserialize_with = "clearable")]
    #[schema(value_type = Option<String>)]
    ssl_cert: Patch<String>,
    /// That certificate's private key; null takes it away, together with `ssl_cert`. Never sent back.
    #[serde(default, deserialize_with = "clearable")]
    #[schema(value_type = Option<String>, format = Password, write_only)]
    ssl_key: Patch<SecretString>,
    /// Whether the login must be tied to the TLS session.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, nullable = false, pattern = "^(disable|prefer|require)$")]
    channel_binding: Option<String>,
    /// Changes the bastion, field by field; null takes it away.
    #[serde(default, deserialize_with = "clearable")]
    #[schema(value_type = Option<TunnelInput>)]
    tunnel: Patch<TunnelInput>,
    /// Replaces the whole list; null lets every table be read that the role may read.
    #[serde(default, deserialize_with = "clearable")]
    #[schema(value_type = Option<Vec<String>>)]
    allowed_tables: Patch<Vec<String>>,
    /// Whether `plinth_test_…` keys may use it.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<bool>, nullable = false)]
    is_test: Option<bool>,
    /// Whether it is the organization's primary connection; the one until now no longer is.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<bool>, nullable = false)]
    is_primary: Option<bool>,
    /// Whether it may be used. True also takes one into use again that was found unhealthy.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<bool>, nullable = false)]
    is_active: Option<bool>,
    /// Whether values of columns with few different ones are looked at. False forgets those that were.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<bool>, nullable = false)]
    sampling: Option<bool>,
    /// What of it a language model may see: `schema_only`, `sample_values` or `results`.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, nullable = false, pattern = "^(schema_only|sample_values|results)$")]
    model_privacy: Option<String>,
    /// Log in once, as it would be after the change; if that fails nothing is changed.
    #[serde(default)]
    pub(super) verify: bool,
}

impl PatchConnection {
    pub(super) fn parse(self) -> Result<ConnectionPatch, Problem> {
        let description = match self.description {
            Patch::Keep => Patch::Keep,
            Patch::Clear => Patch::Clear,
            Patch::Set(text) => Description::parse(&text)?.map_or(Patch::Clear, Patch::Set),
        };
        let allowed_tables = match self.allowed_tables {
            Patch::Keep => None,
            Patch::Clear => Some(AllowedTables::All),
            Patch::Set(names) => Some(AllowedTables::parse(names.iter().map(String::as_str))?),
        };
        let login = LoginFields {
            url: self.url,
            host: self.host,
            port: self.port,
            database: self.database,
            username: self.username,
            password: self.password,
            ssl_mode: self.ssl_mode,
            ssl_mode_at_least: None,
            ssl_root_cert: self.ssl_root_cert,
            ssl_cert: self.ssl_cert,
            ssl_key: self.ssl_key,
            channel_binding: self.channel_binding,
            tunnel: self.tunnel,
        };
        Ok(ConnectionPatch {
            name: self.name.as_deref().map(ConnectionName::parse).transpose()?,
            description,
            login: login.parse()?,
            allowed_tables,
            is_test: self.is_test,
            is_primary: self.is_primary,
            is_active: self.is_active,
            sampling: self.sampling,
            model_privacy: privacy(self.model_privacy.as_deref())?,
        })
    }
}
