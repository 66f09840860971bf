use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use plinth_adapter_postgres::{Database, DatabaseUrl, migrate};
use plinth_connections::{InstallationKey, MASTER_KEY_CHECK, MasterKeys, Sealed};
use plinth_local_postgres::ClusterError;
use plinth_tenancy::TrailKey;
use secrecy::SecretString;

use super::embedded::Embedded;
use super::folder::{Runtime, default_data_dir, make_data_dir};
use super::keys;
use crate::settings::StorageSettings;

/// Where Plinth keeps what it knows: its database, its master key, and the Postgres behind it if that is its own.
pub(crate) struct Storage {
    /// Plinth's own database.
    pub(crate) database: Database,
    /// Where that is.
    pub(crate) url: DatabaseUrl,
    /// Where it is migrated, if another URL was given for that.
    pub(crate) migrate_url: Option<DatabaseUrl>,
    /// Seals every stored credential.
    pub(crate) master: Arc<MasterKeys>,
    /// What the installation's own keys derive from.
    pub(crate) installation: InstallationKey,
    /// The Postgres that this process runs, if it runs one.
    pub(crate) embedded: Option<Embedded>,
    /// The data folder, in embedded mode.
    pub(crate) data_dir: Option<PathBuf>,
}

/// How long a command beside a server that is just starting waits for it.
const PATIENCE: Duration = Duration::from_mins(1);

impl Storage {
    /// Opens the storage for a server: starts the embedded Postgres unless a database was given, and migrates.
    ///
    /// # Errors
    ///
    /// With what the operator can do: a missing master key, another Plinth on the folder, a database that refuses.
    pub(crate) async fn open(settings: &StorageSettings) -> anyhow::Result<Self> {
        if let Some(url) = &settings.database_url {
            let Some(master) = &settings.master_key else {
                bail!(
                    "with a database URL, PLINTH_MASTER_KEY is needed too: 32 random bytes that seal stored credentials \
                     (`openssl rand -hex 32`); keep it, every server of this database needs the same"
                );
            };
            let master = keys::all_given(master, settings.master_key_previous.as_ref())?;
            let master = Arc::new(master);
            return Self::on(settings, url, master, None, None).await;
        }
        let (data_dir, master) = folder(settings)?;
        let embedded =
            Embedded::start(&data_dir, settings.postgres_bin.as_deref(), &master.current()).await?;
        let url = embedded.database_url();
        Runtime::write(&data_dir, &url)?;
        Self::on(settings, &url, master, Some(embedded), Some(data_dir)).await
    }

    /// Opens the storage for a command that may be started beside a running server.
    ///
    /// # Errors
    ///
    /// As for [`Storage::open`].
    pub(crate) async fn open_beside(settings: &StorageSettings) -> anyhow::Result<Self> {
        let busy = match Self::open(settings).await {
            Err(err) if is_locked(&err) => err,
            other => return other,
        };
        let (data_dir, master) = folder(settings)?;
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            if let Some(runtime) = Runtime::read(&data_dir)
                && let Ok(storage) =
                    Self::on(settings, &runtime.database_url.into(), master.clone(), None, None)
                        .await
            {
                return Ok(storage);
            }
            if tokio::time::Instant::now() > deadline {
                return Err(busy);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Opens the storage of a server that runs on the data folder, for a process beside it.
    ///
    /// # Errors
    ///
    /// If it does not answer.
    pub(crate) async fn at(settings: &StorageSettings, url: &SecretString) -> anyhow::Result<Self> {
        let (_, master) = folder(settings)?;
        Self::on(settings, url, master, None, None).await
    }

    async fn on(
        settings: &StorageSettings,
        url: &SecretString,
        master: Arc<MasterKeys>,
        embedded: Option<Embedded>,
        data_dir: Option<PathBuf>,
    ) -> anyhow::Result<Self> {
        let opened = async {
            let url = DatabaseUrl::parse(url)?;
            let migrate_url = settings.migrate_url.as_ref().map(DatabaseUrl::parse).transpose();
            let migrate_url = migrate_url.context("PLINTH_MIGRATE_URL")?;
            migrate(migrate_url.as_ref().unwrap_or(&url)).await?;
            let database = Database::open(&url, settings.database_connections).await?;
            let checks = master.derive(MASTER_KEY_CHECK);
            let checks: Vec<&[u8]> = checks.iter().map(|it| it.as_slice()).collect();
            if !database.check_master_keys(&checks).await? {
                bail!(
                    "this is not the master key that this database's secrets are sealed with; \
                     give the one that was there when it was first used, or the newest that it was rotated to"
                );
            }
            let (database, installation) = unlock(database, &master).await?;
            anyhow::Ok((database, installation, url, migrate_url))
        };
        match opened.await {
            Ok((database, installation, url, migrate_url)) => {
                Ok(Self { database, url, migrate_url, master, installation, embedded, data_dir })
            }
            Err(err) => {
                // A server that cannot start leaves nothing running.
                if let Some(embedded) = embedded {
                    embedded.stop().await?;
                }
                Err(err)
            }
        }
    }

    /// Stops what was started.
    ///
    /// # Errors
    ///
    /// If the embedded Postgres could not be stopped.
    pub(crate) async fn close(self) -> anyhow::Result<()> {
        drop(self.database);
        if let Some(data_dir) = &self.data_dir {
            Runtime::remove(data_dir);
        }
        match self.embedded {
            Some(embedded) => embedded.stop().await,
            None => Ok(()),
        }
    }
}

/// Opens the installation's own key, made at the first start, and gives the database what it takes from it.
///
/// # Errors
///
/// If the database does not answer, or another master key wrapped the key that is kept.
pub async fn unlock(
    database: Database,
    master: &MasterKeys,
) -> anyhow::Result<(Database, InstallationKey)> {
    let new = master.current().make_installation_key()?;
    let (key_version, bytes) = database.keep_installation_key(new.key_version, &new.bytes).await?;
    let key = master
        .open_installation_key(&Sealed { key_version, bytes })
        .context("the installation's key does not open with this master key")?;
    let trail = TrailKey::new(*key.derive("audit trail"));
    Ok((database.with_trail(trail), key))
}

fn is_locked(err: &anyhow::Error) -> bool {
    matches!(err.downcast_ref(), Some(ClusterError::Locked { .. }))
}

/// The data folder of embedded mode.
///
/// # Errors
///
/// If there is none and it cannot be made.
pub(crate) fn data_dir(settings: &StorageSettings) -> anyhow::Result<PathBuf> {
    let data_dir = match &settings.data_dir {
        Some(folder) => folder.clone(),
        None => default_data_dir()?,
    };
    make_data_dir(&data_dir)?;
    Ok(fs::canonicalize(&data_dir)?)
}

/// The data folder and its master keys.
fn folder(settings: &StorageSettings) -> anyhow::Result<(PathBuf, Arc<MasterKeys>)> {
    let data_dir = data_dir(settings)?;
    let master = match &settings.master_key {
        Some(key) => keys::all_given(key, settings.master_key_previous.as_ref())?,
        None => keys::of_folder(&data_dir)?,
    };
    Ok((data_dir, Arc::new(master)))
}
