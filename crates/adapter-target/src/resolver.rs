use std::io;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::time::Duration;

use async_trait::async_trait;
use plinth_egress::Resolver;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// How long a look-up may take.
const LOOK_UP_LIMIT: Duration = Duration::from_secs(5);

/// Look-ups at once. The system's own function blocks a thread for as long as a name server is silent, also when nobody waits for it any
/// more; without a bound, many names that hang would take all threads of this kind from the rest of the process.
static LOOK_UPS: Semaphore = Semaphore::const_new(128);

/// Asks the operating system, which knows `/etc/hosts` and the local name servers.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let host = host.to_owned();
        let look_up = async {
            let permit = LOOK_UPS.acquire().await.map_err(io::Error::other)?;
            let blocking = spawn_blocking(move || {
                let found = (host.as_str(), 0).to_socket_addrs();
                drop(permit);
                found
            });
            blocking.await.map_err(io::Error::other)?
        };
        let found = timeout(LOOK_UP_LIMIT, look_up)
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        let mut addresses = Vec::new();
        for address in found.map(|it| it.ip()) {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        Ok(addresses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_spelling_of_an_address_is_seen_as_the_address() {
        for (text, expected) in
            [("127.1", "127.0.0.1"), ("0x7f000001", "127.0.0.1"), ("::1", "::1")]
        {
            let found = SystemResolver.resolve(text).await.expect("no server need be asked");
            assert_eq!(found, [expected.parse::<IpAddr>().expect("an address")], "{text}");
        }
    }
}
