use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, RwLock};

use async_trait::async_trait;
use plinth_core::{Classify, ErrorKind};
use serde_json::{Value, json};

use crate::host::{self, Place};
use crate::reach::embedded;
use crate::registry::METADATA_NAMES;
use crate::{Network, Reach, reach};

/// Turns names into addresses. Outside the process, hence a port.
#[async_trait]
pub trait Resolver: Send + Sync + 'static {
    /// Every address behind `host`. The gate asks for names only, in ASCII and lower case; addresses it reads itself, in
    /// every spelling.
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
    /// All ports of this machine from the first to the last.
    LocalPorts(std::ops::RangeInclusive<u16>),
    /// This database at this address; other databases there may be anybody's.
    Database {
        /// Where.
        address: SocketAddr,
        /// The database's name.
        name: String,
    },
}

/// Whose words the gate judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    /// Anybody's who may use the product.
    Tenant,
    /// Those of the process' settings.
    Operator,
}

/// The one way out: every connection that a tenant's words can cause goes through it, whatever is spoken over it.
#[derive(Clone)]
pub struct Gate {
    resolver: Arc<dyn Resolver>,
    whose: Whose,
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
            whose: Whose::Tenant,
            allowed: allowed.into_iter().collect(),
            local: local.into_iter().map(|it| it.to_canonical()).collect(),
            own: Arc::default(),
        }
    }

    /// The gate for what the operator names in the settings: a mail server, a model. It reads and resolves hosts in the
    /// same way and pins the addresses, and lets them be anywhere: on this machine, in its networks. Never for what
    /// somebody types into the product.
    #[must_use]
    pub fn of_operator(&self) -> Self {
        Self { whose: Whose::Operator, ..self.clone() }
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
        let addresses = match host::read(host) {
            None => return Err(Refusal::Malformed { host: printable(host) }),
            Some(Place::Address(it)) => vec![it],
            Some(Place::Name(name)) => {
                let plain = name.strip_suffix('.').unwrap_or(&name);
                if self.whose == Whose::Tenant && METADATA_NAMES.contains(&plain) {
                    let reach = Reach::Metadata;
                    return Err(Refusal::Forbidden { host: host.to_owned(), reach });
                }
                let found = self.resolver.resolve(&name).await;
                found.map_err(|source| Refusal::Unresolved {
                    host: host.to_owned(),
                    source: Arc::new(source),
                })?
            }
        };
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
        if self.whose == Whose::Operator {
            return Ok(address);
        }
        let ip = address.ip();
        // Where a packet to it would end.
        let end = match ip {
            IpAddr::V6(it) => embedded(it).map_or(ip, IpAddr::V4),
            IpAddr::V4(_) => ip,
        };
        if self.is_own(address, database)
            || self.is_own(SocketAddr::new(end, address.port()), database)
        {
            return Err(Refusal::Own { host: host.to_owned() });
        }
        let reach = reach(ip);
        let is_allowed = match reach {
            Reach::Public => true,
            // Nobody who opens a network means the service in it that hands out the machine's own credentials.
            Reach::Metadata => self.allowed.iter().any(|it| it.is_just(ip)),
            Reach::Loopback | Reach::Private | Reach::LinkLocal | Reach::Unroutable => {
                self.allowed.iter().any(|it| it.contains(ip))
            }
        };
        if is_allowed {
            Ok(address)
        } else {
            Err(Refusal::Forbidden { host: host.to_owned(), reach })
        }
    }

    fn is_own(&self, address: SocketAddr, database: Option<&str>) -> bool {
        let ip = address.ip();
        let here = ip.is_loopback() || ip.is_unspecified() || self.local.contains(&ip);
        self.own.read().expect("not poisoned").iter().any(|own| match own {
            Own::LocalPort(port) => here && *port == address.port(),
            Own::LocalPorts(ports) => here && ports.contains(&address.port()),
            Own::Database { address: it, name } => {
                // By any of this machine's addresses, if it is on this machine.
                let near = it.ip().is_loopback() || self.local.contains(&it.ip().to_canonical());
                let same = it.ip().to_canonical() == ip || here && near;
                same && it.port() == address.port() && database.is_none_or(|it| it == name)
            }
        })
    }
}

/// The beginning of a text that was no host, fit for a message.
fn printable(host: &str) -> String {
    host.chars().take(100).map(|it| if it.is_control() { '\u{fffd}' } else { it }).collect()
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate")
            .field("whose", &self.whose)
            .field("allowed", &self.allowed)
            .finish_non_exhaustive()
    }
}

/// Why nothing was dialled. The text never says which address a name led to: that would map our network for a stranger.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Refusal {
    /// It is neither a name nor an address.
    #[error("the host `{host}` is neither a name nor an address")]
    Malformed {
        /// As it was typed, without control characters, cut off where it is long.
        host: String,
    },
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
    #[error("the host `{host}` with this port is Plinth's own")]
    Own {
        /// As it was typed.
        host: String,
    },
}

impl Classify for Refusal {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Unresolved { .. } | Self::NoAddress { .. } => ErrorKind::Connection,
            Self::Malformed { .. } | Self::Forbidden { .. } | Self::Own { .. } => {
                ErrorKind::Invalid
            }
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
    async fn our_own_ports_are_seen_through_an_ipv6_dress() {
        for address in ["64:ff9b::7f00:1", "::127.0.0.1", "2002:7f00:1::", "::ffff:0:127.0.0.1"] {
            let gate = gate(&[address], &["0.0.0.0/0", "::/0"]);
            gate.protect(Own::LocalPort(5433));
            assert!(matches!(gate.admit("db", 5433).await, Err(Refusal::Own { .. })), "{address}");
        }
    }

    #[tokio::test]
    async fn an_allowed_network_does_not_open_the_metadata_service_in_it() {
        for address in ["169.254.169.254", "100.100.100.200", "fd00:ec2::254", "168.63.129.16"] {
            let open = gate(&[address], &["0.0.0.0/0", "::/0", "169.254.0.0/16"]);
            let refusal = open.admit("db", 80).await.expect_err(address);
            let is_said = matches!(refusal, Refusal::Forbidden { reach: Reach::Metadata, .. });
            assert!(is_said, "{address}: {refusal:?}");
            assert!(gate(&[address], &[address]).admit("db", 80).await.is_ok(), "{address}");
        }
    }

    #[tokio::test]
    async fn metadata_services_are_refused_by_name_wherever_it_leads() {
        for name in ["metadata.google.internal", "METADATA.google.internal.", "instance-data"] {
            let refusal = gate(&["8.8.8.8"], &[]).admit(name, 80).await.expect_err(name);
            assert!(matches!(refusal, Refusal::Forbidden { reach: Reach::Metadata, .. }), "{name}");
        }
    }

    #[tokio::test]
    async fn the_operators_word_may_lead_anywhere_and_is_resolved_once() {
        let gate = gate(&["127.0.0.1", "10.0.0.1"], &[]);
        let operator = gate.of_operator();
        let admitted = operator.admit("mail", 25).await.expect("admitted");
        let expected: Vec<SocketAddr> =
            ["127.0.0.1:25", "10.0.0.1:25"].map(|it| it.parse().expect("an address")).into();
        assert_eq!(admitted, expected);
        assert!(gate.admit("mail", 25).await.is_err(), "the tenants' gate is as it was");
        assert!(matches!(operator.admit("a b", 25).await, Err(Refusal::Malformed { .. })));
    }

    /// Answers with something else each time, as a name server of an attacker's does.
    #[derive(Default)]
    struct Fickle(std::sync::atomic::AtomicUsize);

    #[async_trait]
    impl Resolver for Fickle {
        async fn resolve(&self, _: &str) -> std::io::Result<Vec<IpAddr>> {
            let asked = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Ok(vec![if asked == 0 { [8, 8, 8, 8] } else { [127, 0, 0, 1] }.into()])
        }
    }

    #[tokio::test]
    async fn what_is_dialled_is_what_was_judged_though_the_name_server_changes_its_mind() {
        let resolver = Arc::new(Fickle::default());
        let gate = Gate::new(resolver.clone(), [], []);
        let admitted = gate.admit("rebind.test", 80).await.expect("public");
        assert_eq!(admitted, ["8.8.8.8:80".parse().expect("an address")]);
        assert_eq!(resolver.0.load(std::sync::atomic::Ordering::Relaxed), 1, "asked once");
        assert!(gate.admit("rebind.test", 80).await.is_err());
    }

    #[tokio::test]
    async fn a_refusal_does_not_say_where_the_name_led() {
        let refusal = gate(&["10.1.2.3"], &[]).admit("inner.test", 1).await.expect_err("private");
        assert!(!refusal.to_string().contains("10.1.2.3"));
    }
}
