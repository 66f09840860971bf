use std::collections::BTreeMap;

use plinth_queries::QueryId;
use serde::{Deserialize, Serialize};

use crate::secrets::{CredentialId, StoredCredential};

/// What the names in a definition meant when somebody published it. They stand for that, and not for what others have made of
/// it since.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meant {
    /// The version that each saved query had; 0 of one that nobody had saved.
    #[serde(default)]
    pub queries: BTreeMap<QueryId, u32>,
    /// The credentials by name.
    #[serde(default)]
    pub credentials: BTreeMap<String, Receiver>,
}

/// A credential by more than its name, which another may have tomorrow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receiver {
    /// Which.
    pub id: CredentialId,
    /// Where it goes: scheme, host and port.
    pub origin: String,
}

impl Receiver {
    /// That credential.
    pub fn of(credential: &StoredCredential) -> Self {
        Self { id: credential.id, origin: credential.origin.clone() }
    }
}
