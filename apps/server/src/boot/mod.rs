//! Putting the process together: where things are kept, which adapter stands behind which port.

mod embedded;
mod folder;
mod keys;
mod mail;
mod storage;
mod wiring;

pub(crate) use embedded::{EMBEDDED, EmbeddedAddress, EmbeddedDatabase};
pub(crate) use folder::write_secret;
pub(crate) use keys::replace_in_folder;
pub(crate) use mail::mailer;
pub use storage::unlock;
pub(crate) use storage::{Storage, data_dir};
pub(crate) use wiring::accounts;
pub use wiring::{Services, WiringParts};
