//! Clients that dial only what they are told.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, RwLock};

use plinth_egress::WebAddress;
use reqwest::Client;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// How many origins' connections are kept. Beyond it the one that was not used for longest goes.
const ORIGINS: usize = 64;

/// The addresses that the gate admitted last, in the place of a look-up: a second look-up could answer differently.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pinned(Arc<RwLock<Arc<[SocketAddr]>>>);

impl Pinned {
    fn set(&self, admitted: &[SocketAddr]) {
        let mut pinned = self.0.write().expect("not poisoned");
        if **pinned != *admitted {
            *pinned = admitted.into();
        }
    }
}

impl Resolve for Pinned {
    fn resolve(&self, _: Name) -> Resolving {
        let admitted: Vec<_> = self.0.read().expect("not poisoned").to_vec();
        Box::pin(async move {
            let addresses: Addrs = Box::new(admitted.into_iter());
            Ok(addresses)
        })
    }
}

struct Origin {
    name: String,
    client: Client,
    pinned: Pinned,
}

/// One client for each origin (scheme, host and port), so that what was admitted for one is dialled for no other.
#[derive(Default)]
pub(crate) struct Origins(Mutex<VecDeque<Origin>>);

impl Origins {
    /// The client for the address, which will dial what was `admitted` for it.
    ///
    /// # Errors
    ///
    /// What `make` says; it gets what has to resolve names for the new client.
    pub(crate) fn client<E>(
        &self,
        address: &WebAddress,
        admitted: &[SocketAddr],
        make: impl FnOnce(Pinned) -> Result<Client, E>,
    ) -> Result<Client, E> {
        let name = address.origin();
        let mut origins = self.0.lock().expect("not poisoned");
        let known = origins.iter().position(|it| it.name == name).and_then(|at| origins.remove(at));
        let origin = if let Some(origin) = known {
            origin
        } else {
            let pinned = Pinned::default();
            Origin { name, client: make(pinned.clone())?, pinned }
        };
        origin.pinned.set(admitted);
        let client = origin.client.clone();
        origins.push_front(origin);
        origins.truncate(ORIGINS);
        Ok(client)
    }
}
