use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use plinth_connections::{
    ConnectionError, ConnectionFilter, ConnectionId, ConnectionName, ConnectionPatch, Login,
    LoginPatch, NewConnection, Place, SslMode, TlsMaterial,
};
use plinth_core::{Limit, Permission, Permit, Principal};
use plinth_tenancy::{Email, OrganizationName, TenancyError};
use serde::{Deserialize, Serialize};

use crate::boot::{EMBEDDED, EmbeddedDatabase, write_secret};
use crate::commands::server::Server;

/// The organization that the demo works as. Its key is kept in the data folder, so that every start prints the same.
pub(super) struct Account {
    key: String,
    principal: Principal,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    api_key: String,
}

impl Account {
    /// The account of an earlier start, if its key still works; else a new one.
    pub(super) async fn open(server: &Server) -> anyhow::Result<Self> {
        let tenancy = &server.services.tenancy;
        let file = file(server)?;
        if let Ok(text) = fs::read_to_string(&file)
            && let Ok(kept) = serde_json::from_str::<Kept>(&text)
        {
            match tenancy.authenticate(&kept.api_key, Arc::default()).await {
                Ok(principal) => return Ok(Self { key: kept.api_key, principal }),
                Err(TenancyError::Unauthenticated) => {}
                Err(err) => return Err(err.into()),
            }
        }
        let email = Email::parse("demo@example.com")?;
        let mut name = "Demo".to_owned();
        let mut number = 1;
        let founded = loop {
            match tenancy.bootstrap(OrganizationName::parse(&name)?, email.clone()).await {
                // Its key was revoked or its file removed: the old one belongs to whoever holds its other keys.
                Err(TenancyError::NameTaken(_)) => {
                    number += 1;
                    name = format!("Demo {number}");
                }
                other => break other?,
            }
        };
        let key = founded.key.expose().to_owned();
        write_secret(&file, serde_json::to_string(&Kept { api_key: key.clone() })?.as_bytes())?;
        let principal = tenancy.authenticate(&key, Arc::default()).await?;
        Ok(Self { key, principal })
    }

    /// The key's text.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// Proof that the account may do `P`.
    pub(super) fn permit<P: Permission>(&self) -> anyhow::Result<Permit<P>> {
        Ok(Permit::check(&self.principal)?)
    }

    /// The connection to the sample; made when there is none.
    pub(super) async fn connection(
        &self,
        server: &Server,
        sample: &EmbeddedDatabase,
    ) -> anyhow::Result<ConnectionId> {
        let connections = &server.services.connections;
        let embedded = server.storage.embedded.as_ref().context("the demo runs embedded")?;
        let master = server.storage.master.current();
        let (_, password) = embedded.put_database(&master, sample).await?;
        let all = ConnectionFilter::default();
        let page = connections.list(&self.permit()?, all, None, Limit::new(100)?).await?;
        if let Some(found) = page.items.iter().find(|it| it.database == sample.name) {
            // Another master key makes other passwords of Plinth's own roles.
            let login =
                LoginPatch { by_plinth: true, password: Some(password), ..LoginPatch::default() };
            let patch = ConnectionPatch { login, ..ConnectionPatch::default() };
            connections.update(&self.permit()?, found.id, &patch, None, false).await?;
            // What was snapshotted of an older sample may have other values in it.
            server.services.schemas.refresh(&self.permit()?, found.id).await?;
            return Ok(found.id);
        }
        let login = Login {
            place: Place::Managed { server: EMBEDDED.to_owned() },
            database: sample.name.to_owned(),
            username: sample.reader.to_owned(),
            password,
            ssl_mode: SslMode::Prefer,
            tls: TlsMaterial::default(),
            tunnel: None,
        };
        let name = ConnectionName::parse("Sample shop")?;
        let new = NewConnection { is_test: true, ..NewConnection::new(name, login) };
        match connections.create(&self.permit()?, new, true).await {
            Ok(connection) => Ok(connection.id),
            Err(ConnectionError::Unreachable(diagnosis)) => {
                Err(anyhow::anyhow!("{}: {}", diagnosis.title, diagnosis.explanation))
            }
            Err(err) => Err(err.into()),
        }
    }
}

fn file(server: &Server) -> anyhow::Result<PathBuf> {
    let folder = server.storage.data_dir.as_ref().context("the demo runs embedded")?;
    Ok(folder.join("demo.json"))
}
