use plinth_control_plane::{Person, SubstrateError, WantedDatabase};
use plinth_local_postgres::ConnectionParameters;

use crate::cell::admin;
use crate::roles::refused;

/// The tables of an organization's own database, in the order they came. Forward only: the organization has data in them.
const MIGRATIONS: [(i32, &str); 1] = [(1, include_str!("../own/V001__tables.sql"))];

/// Keeps which of them were run, and shows the team.
const PREPARE: &str = "CREATE SCHEMA IF NOT EXISTS plinth;
    CREATE TABLE IF NOT EXISTS plinth.migrations (version integer PRIMARY KEY, run_at timestamptz NOT NULL DEFAULT now())";

/// Brings the tables to the newest version, and the table of users to the team as it is.
pub(crate) async fn bring_up(
    connection: &ConnectionParameters,
    database: &WantedDatabase,
    people: &[Person],
) -> Result<(), SubstrateError> {
    let mut client = admin(connection, database.name.as_str()).await.map_err(refused)?;
    let tx = client.transaction().await.map_err(refused)?;
    // Ours is what was run; the tables are the organization's.
    tx.batch_execute(PREPARE).await.map_err(refused)?;
    tx.batch_execute("SELECT pg_advisory_xact_lock(7819042)").await.map_err(refused)?;
    let run = tx.query("SELECT version FROM plinth.migrations", &[]).await.map_err(refused)?;
    let run: Vec<i32> = run.iter().map(|row| row.get(0)).collect();
    let owner = database.owner.quoted();
    tx.batch_execute(&format!("SET LOCAL ROLE {owner}; SET LOCAL search_path = public"))
        .await
        .map_err(refused)?;
    for (version, script) in MIGRATIONS.iter().filter(|(version, _)| !run.contains(version)) {
        tx.batch_execute(script).await.map_err(refused)?;
        tx.batch_execute("RESET ROLE").await.map_err(refused)?;
        let note = "INSERT INTO plinth.migrations (version) VALUES ($1)";
        tx.execute(note, &[version]).await.map_err(refused)?;
        tx.batch_execute(&format!("SET LOCAL ROLE {owner}")).await.map_err(refused)?;
    }
    // As the owner: a table that the organization put in the place of ours is its own affair, and no way to become us.
    let ids: Vec<_> = people.iter().map(|it| it.id.to_string()).collect();
    let gone = "UPDATE users SET left_at = now() WHERE left_at IS NULL AND NOT id::text = ANY ($1)";
    tx.execute(gone, &[&ids]).await.map_err(refused)?;
    for it in people {
        let put = "INSERT INTO users (id, email, role, joined_at) VALUES ($1::text::uuid, $2, $3, $4::text::timestamptz)
                   ON CONFLICT (id) DO UPDATE SET email = excluded.email, role = excluded.role,
                       joined_at = excluded.joined_at, left_at = NULL";
        let (id, at) = (it.id.to_string(), it.joined_at.to_string());
        tx.execute(put, &[&id, &it.email, &it.role, &at]).await.map_err(refused)?;
    }
    tx.commit().await.map_err(refused)
}
