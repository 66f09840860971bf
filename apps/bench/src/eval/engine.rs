//! The embedded engine asked by itself: no server between, so that it is quick, and over a schema under other names if wanted.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow};
use plinth_adapter_target::{ManagedServers, SystemResolver, TargetDatabases, TargetSettings};
use plinth_connections::{AllowedTables, ConnectionId, Host, Place, SslMode, Target, TlsMaterial};
use plinth_core::{Clock as _, OrgId, SystemClock};
use plinth_egress::Gate;
use plinth_nl2sql::measure::{Asked, Conversation, Names};
use plinth_nl2sql::{AskContext, Engine, SchemaIndex};
use plinth_schema_introspect::{CatalogReader as _, ReadOptions};

use super::ask::Answer;
use crate::process::Databases;
use crate::sample::Reader;

/// The engine with what it knows of databases.
pub(super) struct Alone {
    engine: Engine,
    context: AskContext,
    names: Names,
    /// What is read and what is written for, by the database's name; these differ under other names.
    indexes: HashMap<String, (SchemaIndex, SchemaIndex)>,
}

/// What it made of a question.
pub(super) struct Said {
    pub(super) answer: Answer,
    pub(super) confidence: Option<f64>,
    pub(super) ms: f64,
}

struct NoServers;

impl ManagedServers for NoServers {
    fn address(&self, _: &str) -> Option<SocketAddr> {
        None
    }
}

impl Alone {
    /// Reads what these databases look like, as a server would. `names` is a file of other names.
    ///
    /// # Errors
    /// If one cannot be read, or lacks what is to be renamed.
    pub(super) async fn over(
        databases: &Databases,
        readers: &[Reader<'_>],
        names: Option<&Path>,
    ) -> Result<Self> {
        let names = names.map(std::fs::read_to_string).transpose().context("reading the names")?;
        let names = Names::parse(&names.unwrap_or_default());
        let server = databases.connection();
        let mut indexes = HashMap::new();
        for reader in readers {
            let gate = Gate::new(Arc::new(SystemResolver), ["127.0.0.0/8".parse()?], []);
            let targets = TargetDatabases::new(TargetSettings::new(gate, Arc::new(NoServers)))?;
            let target = Target {
                connection: Some(ConnectionId::new(SystemClock.now())),
                org: OrgId::new(SystemClock.now()),
                place: Place::Typed { host: Host::parse(&server.host)?, port: server.port },
                database: reader.database.to_owned(),
                username: reader.role.to_owned(),
                password: reader.password.to_owned().into(),
                ssl_mode: SslMode::Disable,
                tls: TlsMaterial::default(),
                tunnel: None,
                version: 1,
            };
            let catalog = targets.read(&target, ReadOptions::default()).await;
            let catalog = catalog.with_context(|| format!("reading {}", reader.database))?;
            let other = names.rename(&catalog).map_err(|it| anyhow!(it))?;
            let index = |it| SchemaIndex::build(it, &AllowedTables::All);
            indexes.insert(reader.database.to_owned(), (index(&other), index(&catalog)));
        }
        let context = AskContext { now: SystemClock.now().to_zoned(jiff::tz::TimeZone::UTC) };
        Ok(Self { engine: Engine::new(), context, names, indexes })
    }

    /// Asks the next question of a conversation.
    ///
    /// # Errors
    /// If nothing is known of that database.
    pub(super) fn ask(
        &self,
        conversation: &mut Conversation,
        database: &str,
        question: &str,
    ) -> Result<Said> {
        let (read, written) = self
            .indexes
            .get(database)
            .with_context(|| format!("there is no database {database}"))?;
        let started = Instant::now();
        let asked = conversation.ask(&self.engine, question, read, &self.context);
        let ms = started.elapsed().as_secs_f64() * 1000.0;
        let (answer, confidence) = match asked {
            Asked::Answered(it) => match written.sql(&it.query) {
                Some(sql) => (Answer::Sql(sql), Some(it.confidence)),
                None => (Answer::Failed("it cannot be written".to_owned()), None),
            },
            Asked::Told(it) => (Answer::Words(self.names.own_words(&it)), None),
            Asked::Back(it, _) | Asked::Declined(it) => (Answer::None(it), None),
        };
        Ok(Said { answer, confidence, ms })
    }
}
