//! What callers send about how a database is reached, for every route that takes it.

use plinth_connections::{
    ConnectionUrl, Host, InvalidConnection, LoginPatch, Patch, SslMode, TunnelPatch, password,
    server_name,
};
use secrecy::SecretString;
use serde::{Deserialize, Deserializer};
use serde_json::json;
use utoipa::ToSchema;

use crate::http::Problem;

/// Reads a field that can be left out but not be null.
pub(in crate::http) fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

/// Reads a field that can be left out, and that null takes away.
pub(in crate::http) fn clearable<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    from: D,
) -> Result<Patch<T>, D::Error> {
    Ok(match Option::deserialize(from)? {
        Some(it) => Patch::Set(it),
        None => Patch::Clear,
    })
}

/// A bastion that the database is reached through, over SSH.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TunnelInput)]
pub(in crate::http) struct TunnelInput {
    /// One DNS name or one IP address.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, nullable = false, example = "bastion.example.com")]
    host: Option<String>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<u16>, nullable = false, minimum = 1, maximum = 65535, default = 22)]
    port: Option<u32>,
    /// Whom to log in as.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, nullable = false, example = "tunnel")]
    username: Option<String>,
    /// This or a private key. Never sent back.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, nullable = false, format = Password, write_only)]
    password: Option<SecretString>,
    /// As `ssh-keygen` writes it. Never sent back.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, nullable = false, format = Password, write_only)]
    private_key: Option<SecretString>,
    /// What opens the private key. Never sent back.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, nullable = false, format = Password, write_only)]
    passphrase: Option<SecretString>,
    /// What the bastion must prove to be: a line of `ssh-keyscan`, or a fingerprint (`SHA256:…`).
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, nullable = false, example = "SHA256:uNiVztksCsDhcc0u9e8BrhSYLaGYTHMtt1MUJMYFSnk")]
    host_key: Option<String>,
}

impl TunnelInput {
    fn parse(self) -> Result<TunnelPatch, Problem> {
        let port = self.port.map(|it| port_number(it, "tunnel.port")).transpose()?;
        Ok(TunnelPatch {
            host: self.host,
            port,
            username: self.username,
            password: self.password,
            private_key: self.private_key,
            passphrase: self.passphrase,
            host_key: self.host_key,
        })
    }
}

/// The fields about reaching a database, wherever they stood in a body.
#[derive(Default)]
pub(in crate::http) struct LoginFields {
    pub(in crate::http) url: Option<SecretString>,
    pub(in crate::http) host: Option<String>,
    pub(in crate::http) port: Option<u32>,
    pub(in crate::http) database: Option<String>,
    pub(in crate::http) username: Option<String>,
    pub(in crate::http) password: Option<SecretString>,
    pub(in crate::http) ssl_mode: Option<String>,
    pub(in crate::http) ssl_mode_at_least: Option<SslMode>,
    pub(in crate::http) ssl_root_cert: Patch<String>,
    pub(in crate::http) ssl_cert: Patch<String>,
    pub(in crate::http) ssl_key: Patch<SecretString>,
    pub(in crate::http) channel_binding: Option<String>,
    pub(in crate::http) tunnel: Patch<TunnelInput>,
}

impl LoginFields {
    /// Checks each field by itself.
    pub(in crate::http) fn parse(mut self) -> Result<LoginPatch, Problem> {
        let from_url = self.take_url()?;
        let tunnel = match self.tunnel {
            Patch::Set(tunnel) => Patch::Set(tunnel.parse()?),
            Patch::Clear => Patch::Clear,
            Patch::Keep => Patch::Keep,
        };
        let wrong_name = |wrong| move |it| server_name(it, wrong);
        Ok(LoginPatch {
            by_plinth: false,
            host: self.host.as_deref().map(Host::parse).transpose()?.or(from_url.host),
            port: self.port.map(|it| port_number(it, "port")).transpose()?.or(from_url.port),
            database: self
                .database
                .map(wrong_name(InvalidConnection::Database))
                .transpose()?
                .or(from_url.database),
            username: self
                .username
                .map(wrong_name(InvalidConnection::Username))
                .transpose()?
                .or(from_url.username),
            password: self.password.or(from_url.password).map(password).transpose()?,
            ssl_mode: self.ssl_mode.as_deref().map(str::parse).transpose()?.or(from_url.ssl_mode),
            ssl_mode_at_least: self.ssl_mode_at_least,
            roots: self.ssl_root_cert,
            certificate: self.ssl_cert,
            client_key: self.ssl_key,
            channel_binding: self
                .channel_binding
                .as_deref()
                .map(str::parse)
                .transpose()?
                .or(from_url.channel_binding),
            tunnel,
        })
    }

    /// What the URL says, if there is one. It stands instead of the fields, not beside them.
    fn take_url(&mut self) -> Result<LoginPatch, Problem> {
        use secrecy::ExposeSecret as _;
        let Some(url) = self.url.take() else { return Ok(LoginPatch::default()) };
        let url = ConnectionUrl::parse(url.expose_secret())?;
        let twice = [
            ("host", self.host.is_some()),
            ("port", self.port.is_some()),
            ("database", self.database.is_some()),
            ("username", self.username.is_some()),
            ("password", self.password.is_some() && url.password.is_some()),
            ("ssl_mode", self.ssl_mode.is_some() && url.ssl_mode.is_some()),
            ("channel_binding", self.channel_binding.is_some() && url.channel_binding.is_some()),
        ];
        if let Some((field, _)) = twice.into_iter().find(|(_, twice)| *twice) {
            let text = format!("the URL says it already: give `{field}` or `url`, not both");
            return Err(Problem::invalid(text.clone(), json!({ field: text })));
        }
        Ok(LoginPatch {
            host: Some(url.host),
            port: Some(url.port),
            database: Some(url.database),
            username: Some(url.username),
            password: url.password,
            ssl_mode: url.ssl_mode,
            channel_binding: url.channel_binding,
            ..LoginPatch::default()
        })
    }
}

fn port_number(port: u32, field: &str) -> Result<u16, Problem> {
    if let Ok(port @ 1..) = u16::try_from(port) {
        return Ok(port);
    }
    let text = InvalidConnection::Port.to_string();
    Err(Problem::invalid(text.clone(), json!({ field: text })))
}
