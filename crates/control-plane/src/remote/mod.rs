//! Projects that live elsewhere: at Neon, or at another server that speaks its management API.
//!
//! Read in this order: [`Remote`] and [`RemoteProject`] (what is kept here), [`Remotes`] (what callers do), [`RemotePath`]
//! (what of a project's calls goes there, and with which right), then the ports [`RemoteStore`] and [`RemotePlane`].
//!
//! **Invariant:** a call goes there only for a project that the caller's own organization has there, below that project's
//! own path, and with the right that the same call needs here; the secret of a remote leaves the vault only for that. A
//! project that is made there is known here, or there is a [`RemoteIntent`] by which it is found.

mod doubt;
mod error;
mod intents;
mod oauth;
mod path;
mod ports;
mod projects;
mod service;
#[cfg(feature = "testing")]
pub mod testing;

use jiff::Timestamp;
use plinth_core::{OrgId, UserId};
use serde_json::Value;

pub use error::RemoteError;
pub use intents::{Intended, RemoteIntent, RemoteIntentId};
pub use oauth::{Authorization, NEON_ISSUER, NewOAuth, OAuthClient};
pub use path::{Need, RemotePath};
pub use ports::{
    ChangedRemote, DecideRemote, RemoteAnswer, RemoteCall, RemoteFault, RemoteForm, RemotePlane,
    RemoteStore,
};
pub use projects::Passing;
pub use service::{NewRemote, NewSignIn, RemoteChange, RemoteParts, Remotes, Tested};

use crate::ProjectId;

/// Where Neon's own management API is.
pub const NEON: &str = "https://console.neon.tech/api/v2";

/// How the regions of remotes begin, here.
pub const REGION_PREFIX: &str = "neon:";

plinth_core::typed_id! {
    /// Identifies a remote.
    RemoteId, "rem"
}

/// A server of others where an organization has projects, without the secret that opens it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// Its id.
    pub id: RemoteId,
    /// Whose.
    pub org: OrgId,
    /// By which regions name it; unique in the organization.
    pub name: String,
    /// What comes before `/projects`, without a slash at its end.
    pub base_url: String,
    /// The organization there in which projects are made; `None` leaves it to the key.
    pub org_there: Option<String>,
    /// The region there in which projects are made unless said; `None` leaves it to the remote.
    pub region: Option<String>,
    /// How Plinth signs in there by OAuth 2.0; `None` for a key.
    pub oauth: Option<OAuthClient>,
    /// As whom the secret was last let in there; `None` for one that nobody has signed in to yet.
    pub account: Option<String>,
    /// Who made it.
    pub by: UserId,
    /// Counts changes, for `ETag`.
    pub revision: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed.
    pub updated_at: Timestamp,
}

impl Remote {
    /// How clients of the API name it as a region.
    pub fn region_id(&self) -> String {
        format!("{REGION_PREFIX}{}", self.name)
    }
}

/// A project that lives at a remote, as it is known here.
#[derive(Clone, Debug, PartialEq)]
pub struct RemoteProject {
    /// Its id, the same here and there.
    pub id: ProjectId,
    /// Whose.
    pub org: OrgId,
    /// Where it lives.
    pub remote: RemoteId,
    /// The remote's name.
    pub remote_name: String,
    /// What people call it.
    pub name: String,
    /// The project as the remote last told of it.
    pub body: Value,
    /// A number of its own, among those of all projects: for its place in lists.
    pub number: i64,
    /// Who made it, or brought it in.
    pub by: UserId,
    /// Since when it is known here.
    pub created_at: Timestamp,
    /// When it was deleted there, as far as is known; it may still be recovered there.
    pub deleted_at: Option<Timestamp>,
}

/// The region and remote that a region's id names: `neon:lab` or `neon:lab:aws-eu-central-1`. `None` for a region of this
/// installation.
pub fn named_region(id: &str) -> Option<(&str, Option<&str>)> {
    let rest = id.strip_prefix(REGION_PREFIX)?;
    Some(match rest.split_once(':') {
        Some((name, region)) => (name, Some(region)),
        None => (rest, None),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_names_a_remote_and_perhaps_a_region_there() {
        assert_eq!(named_region("plinth-local"), None);
        assert_eq!(named_region("neon:lab"), Some(("lab", None)));
        let both = Some(("lab", Some("aws-eu-central-1")));
        assert_eq!(named_region("neon:lab:aws-eu-central-1"), both);
    }
}
