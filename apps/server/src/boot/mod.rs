//! Putting the process together: where things are kept, which adapter stands behind which port.

mod embedded;
mod folder;
mod keys;
mod mail;
mod node;
mod node_keeper;
mod schema_followed;
mod storage;
mod team_shown;
mod wiring;

pub use embedded::endpoint_port;
pub(crate) use embedded::{EMBEDDED, EmbeddedAddress, EmbeddedDatabase};
pub(crate) use folder::Runtime;
pub(crate) use folder::write_secret;
pub(crate) use keys::replace_in_folder;
pub(crate) use mail::mailer;
pub use node::{AuthorityKeeper, NodeParts, run_node};
pub(crate) use node::{LOCAL, folder as node_folder, open as open_node, stop as stop_node};
pub(crate) use node_keeper::NodeKeeper;
pub use storage::unlock;
pub(crate) use storage::{Storage, data_dir};
pub(crate) use wiring::accounts;
pub use wiring::{Services, WiringParts};
