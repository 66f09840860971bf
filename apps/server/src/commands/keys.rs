use std::sync::Arc;

use anyhow::{Context as _, bail};
use plinth_adapter_postgres::PostgresKeys;
use plinth_connections::{KeyCensus, MasterKeyId, MasterKeys, Rotation};
use plinth_core::SystemClock;
use serde_json::{Value, json};

use crate::boot::{Storage, data_dir, replace_in_folder};
use crate::settings::StorageSettings;

/// How many data keys are wrapped anew before the next are looked for.
const BATCH: usize = 100;

/// Puts everything under a new master key, or goes on with doing so.
pub(crate) async fn rotate(settings: &StorageSettings) -> anyhow::Result<()> {
    let storage = Storage::open_beside(settings).await?;
    let outcome = rotate_on(settings, &storage).await;
    storage.close().await?;
    super::print(&format!("{:#}\n", outcome?))
}

async fn rotate_on(settings: &StorageSettings, storage: &Storage) -> anyhow::Result<Value> {
    let rotation = rotation(storage);
    let before = rotation.census().await?;
    let masters = &storage.master;
    // Otherwise an earlier rotation was interrupted, and is ended now.
    if before.is_all_under(masters.current().id()) {
        if settings.database_url.is_some() || settings.master_key.is_some() {
            bail!(
                "everything is under PLINTH_MASTER_KEY already; to rotate, make a new key (`openssl rand -hex 32`), give it \
                 as PLINTH_MASTER_KEY and the one until now as PLINTH_MASTER_KEY_PREVIOUS, to every server first"
            );
        }
        replace_in_folder(&data_dir(settings)?)?;
        masters.reload();
    }
    let (mut rewrapped, mut after) = (0, None);
    loop {
        let step = rotation.step(after, BATCH).await?;
        rewrapped += step.rewrapped;
        match step.next {
            Some(next) => after = Some(next),
            // A server that has not read the new key yet may just have made a data key with the old one.
            None if rotation.finish().await? => break,
            None => after = None,
        }
    }
    let mut told = told(masters, &rotation.census().await?);
    told["rewrapped"] = rewrapped.into();
    Ok(told)
}

/// Says which master keys are in use.
pub(crate) async fn status(settings: &StorageSettings) -> anyhow::Result<()> {
    let storage = Storage::open_beside(settings).await?;
    let census = rotation(&storage).census().await;
    let masters = storage.master.clone();
    storage.close().await?;
    let census = census.context("the keys could not be counted")?;
    super::print(&format!("{:#}\n", told(&masters, &census)))
}

fn rotation(storage: &Storage) -> Rotation {
    let store = Arc::new(PostgresKeys::new(storage.database.clone()));
    Rotation::new(store, storage.master.clone(), Arc::new(SystemClock))
}

fn told(masters: &MasterKeys, census: &KeyCensus) -> Value {
    let ids = masters.ids();
    let current = masters.current().id();
    // What was wrapped before keys had ids may need any of them.
    let needed = |id: MasterKeyId| census.needs(id) || census.needs(MasterKeyId::UNNAMED);
    let keys: Vec<Value> = ids
        .iter()
        .map(|id| {
            json!({
                "id": id.to_string(),
                "is_current": *id == current,
                "is_needed": *id == current || needed(*id),
                "data_keys": census.data_keys.get(id).copied().unwrap_or(0),
            })
        })
        .collect();
    let missing: Vec<String> = census
        .data_keys
        .keys()
        .chain(&census.installation)
        .filter(|it| **it != MasterKeyId::UNNAMED && !ids.contains(it))
        .map(ToString::to_string)
        .collect();
    json!({
        "master_keys": keys,
        "missing_keys": missing,
        "is_complete": census.is_all_under(current),
    })
}
