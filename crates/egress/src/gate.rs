use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, RwLock};

use async_trait::async_trait;
use plinth_core::{Classify, ErrorKind};
use serde_json::{Value, json};

use crate::{Network, Reach, reach};

/// Turns names into addresses. Outside the process, hence a port.
#[async_trait]
pub trait Resolver: Send + Sync + 'static {
    /// Every address behind `host`, which may also be an address in any spelling that the system takes (`127.1`,
    /// `0x7f000001`, `::1`).
    ///
    /// # Errors
    ///
    /// When the name is unknown or nobody answers.
    async fn resolve(&self, host: &str) -> std::io::Result<Vec<IpAddr>>;
}

/// An address of ours that no tenant may reach, whatever else is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Own {
    /// This port of this machine, by any loopback or interface address.
    LocalPort(u16),
    /// This database at this address; other databases there may be anybody's.
    Database {
        /// Where.
        address: SocketAddr,
        /// The database's name.
        name: String,
    },
}

/// The one way out: every connection that a tenant's words can cause goes through it.
#[derive(Clone)]
pub struct Gate {
    resolver: Arc<dyn Resolver>,
    allowed: Arc<[Network]>,
    local: Arc<[IpAddr]>,
    own: Arc<RwLock<Vec<Own>>>,
}

impl Gate {
    /// A gate that lets through public addresses and those of `allowed`. `local` are this machine's interface
    /// addresses, by which [`Own::LocalPort`] could also be reached.
    pub fn new(
        resolver: Arc<dyn Resolver>,
        allowed: impl IntoIterator<Item = Network>,
        local: impl IntoIterator<Item = IpAddr>,
    ) -> Self {
        Self {
            resolver,
            allowed: allowed.into_iter().collect(),
            local: local.into_iter().map(|it| it.to_canonical()).collect(),
            own: Arc::default(),
        }
    }

    /// Adds an address of ours; known once the listeners are bound.
    pub fn protect(&self, own: Own) {
        let mut all = self.own.write().expect("not poisoned");
        if !all.contains(&own) {
            all.push(own);
        }
    }

    /// Resolves `host` and judges every address behind it. One bad address spoils the name: a name that points both
    /// outside and inside is an attack, or a mistake that would show up at random.
    ///
    /// # Errors
    ///
    /// [`Refusal`], with nothing dialled.
    pub async fn admit(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Refusal> {
        self.admit_to(host, port, None).await
    }

    /// The same for a database of that name: Plinth's own is refused even where others on its server are not.
    ///
    /// # Errors
    ///
    /// As for [`Gate::admit`].
    pub async fn admit_database(
        &self,
        host: &str,
        port: u16,
        database: &str,
    ) -> Result<Vec<SocketAddr>, Refusal> {
        self.admit_to(host, port, Some(database)).await
    }

    async fn admit_to(
        &self,
        host: &str,
        port: u16,
        database: Option<&str>,
    ) -> Result<Vec<SocketAddr>, Refusal> {
        let bare = host.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(host);
        let addresses = self.resolver.resolve(bare).await.map_err(|source| {
            Refusal::Unresolved { host: host.to_owned(), source: Arc::new(source) }
        })?;
        if addresses.is_empty() {
            return Err(Refusal::NoAddress { host: host.to_owned() });
        }
        addresses
            .into_iter()
            .map(|it| self.judge(host, SocketAddr::new(it.to_canonical(), port), database))
            .collect()
    }

    fn judge(
        &self,
        host: &str,
        address: SocketAddr,
        database: Option<&str>,
    ) -> Result<SocketAddr, Refusal> {
        if self.is_own(address, database) {
            return Err(Refusal::Own { host: host.to_owned() });
        }
        let reach = reach(address.ip());
        if reach == Reach::Public || self.allowed.iter().any(|it| it.contains(address.ip())) {
            return Ok(address);
        }
        Err(Refusal::Forbidden { host: host.to_owned(), reach })
    }

    fn is_own(&self, address: SocketAddr, database: Option<&str>) -> bool {
        let ip = address.ip();
        let here = ip.is_loopback() || ip.is_unspecified() || self.local.contains(&ip);
        self.own.read().expect("not poisoned").iter().any(|own| match own {
            Own::LocalPort(port) => here && *port == address.port(),
            Own::Database { address: it, name } => {
                // By any of this machine's addresses, if it is on this machine.
                let near = it.ip().is_loopback() || self.local.contains(&it.ip().to_canonical());
                let same = it.ip().to_canonical() == ip || here && near;
                same && it.port() == address.port() && database.is_none_or(|it| it == name)
            }
        })
    }
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate").field("allowed", &self.allowed).finish_non_exhaustive()
    }
}

/// Why nothing was dialled. The text never says which address a name led to: that would map our network for a stranger.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Refusal {
    /// The name has no address, or nobody could be asked.
    #[error("the host `{host}` could not be resolved")]
    Unresolved {
        /// As it was typed.
        host: String,
        /// What the resolver said.
        source: Arc<std::io::Error>,
    },
    /// The resolver answered with nothing.
    #[error("the host `{host}` has no address")]
    NoAddress {
        /// As it was typed.
        host: String,
    },
    /// It leads to an address that tenants may not reach.
    #[error(
        "the host `{host}` is not a public address; the operator can allow its network with PLINTH_EGRESS_ALLOW"
    )]
    Forbidden {
        /// As it was typed.
        host: String,
        /// What it is instead.
        reach: Reach,
    },
    /// It leads to Plinth itself.
    #[error("the host `{host}` with this port is Plinth's own; connect a database of yours")]
    Own {
        /// As it was typed.
        host: String,
    },
}

impl Classify for Refusal {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Unresolved { .. } | Self::NoAddress { .. } => ErrorKind::Connection,
            Self::Forbidden { .. } | Self::Own { .. } => ErrorKind::Invalid,
        }
    }

    fn details(&self) -> Option<Value> {
        Some(json!({ "host": self.to_string() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Answers(Vec<IpAddr>);

    #[async_trait]
    impl Resolver for Answers {
        async fn resolve(&self, _: &str) -> std::io::Result<Vec<IpAddr>> {
            Ok(self.0.clone())
        }
    }

    fn gate(answers: &[&str], allowed: &[&str]) -> Gate {
        let answers = answers.iter().map(|it| it.parse().expect("an address")).collect();
        let allowed = allowed.iter().map(|it| it.parse().expect("a network"));
        Gate::new(Arc::new(Answers(answers)), allowed, ["192.0.2.7".parse().expect("an address")])
    }

    #[tokio::test]
    async fn one_inner_address_spoils_a_name() {
        assert!(gate(&["8.8.8.8"], &[]).admit("db", 5432).await.is_ok());
        let mixed = gate(&["8.8.8.8", "10.0.0.1"], &[]).admit("db", 5432).await;
        assert!(matches!(mixed, Err(Refusal::Forbidden { reach: Reach::Private, .. })));
        assert!(gate(&["8.8.8.8", "10.0.0.1"], &["10.0.0.0/8"]).admit("db", 5432).await.is_ok());
    }

    #[tokio::test]
    async fn our_own_ports_stay_shut_even_where_the_network_is_allowed() {
        for address in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "192.0.2.7", "0.0.0.0"]
        {
            let gate = gate(&[address], &["0.0.0.0/0", "::/0"]);
            gate.protect(Own::LocalPort(5433));
            assert!(matches!(gate.admit("db", 5433).await, Err(Refusal::Own { .. })), "{address}");
            assert!(gate.admit("db", 5434).await.is_ok(), "{address}");
        }
    }

    #[tokio::test]
    async fn our_database_stays_shut_and_others_beside_it_do_not() {
        let gate = gate(&["127.0.0.2"], &["127.0.0.0/8"]);
        let address = "127.0.0.1:5432".parse().expect("an address");
        gate.protect(Own::Database { address, name: "plinth".to_owned() });
        assert!(gate.admit_database("db", 5432, "plinth").await.is_err());
        assert!(gate.admit("db", 5432).await.is_err(), "without a name it could be ours");
        assert!(gate.admit_database("db", 5432, "shop").await.is_ok());
        assert!(gate.admit_database("db", 5433, "plinth").await.is_ok());
    }

    #[tokio::test]
    async fn a_refusal_does_not_say_where_the_name_led() {
        let refusal = gate(&["10.1.2.3"], &[]).admit("inner.test", 1).await.expect_err("private");
        assert!(!refusal.to_string().contains("10.1.2.3"));
    }
}
