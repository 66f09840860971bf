//! Loads the sample into a database: `load CONNECTION_STRING`, for measuring by hand.

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Some(to) = std::env::args().nth(1) else { anyhow::bail!("usage: load CONNECTION_STRING") };
    let (mut client, connection) = tokio_postgres::connect(&to, tokio_postgres::NoTls).await?;
    tokio::spawn(connection);
    let options = plinth_sample::Options::new(plinth_core::Clock::now(&plinth_core::SystemClock));
    plinth_sample::load(&mut client, &options, &mut |_| {}).await?;
    Ok(())
}
