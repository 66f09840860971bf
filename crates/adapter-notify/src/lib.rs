//! Mail from the platform to people.
//!
//! Start with [`SmtpMailer`], which hands mails to the operator's mail server. Without one, [`FolderMailer`] leaves them
//! in the data folder, where an operator finds the invitation's link, and [`NoMailer`] says that there is none.
//!
//! **Invariant:** what a mail says is in the mail: in no log line and no error. Nor is the mail server's password.

mod folder;
mod message;
mod settings;
#[cfg(feature = "testing")]
mod sink;
mod smtp;
mod wire;

pub use folder::{FolderMailer, NoMailer};
pub use message::{InvalidSender, Sender};
pub use settings::{InvalidSmtpUrl, SmtpLogin, SmtpSettings, SmtpTls};
#[cfg(feature = "testing")]
pub use sink::{Delivery, Fault, SinkSettings, SinkTls, SmtpSink};
pub use smtp::SmtpMailer;
