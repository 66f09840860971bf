//! The outbox: what a change makes necessary elsewhere (a mail, a projection, an event) is a row written in the change's
//! own transaction, and done by a worker later: at least once, and not lost when a server dies.

mod letter;
mod mail;
mod message;
mod worker;

pub use letter::{Letter, LetterTo};
pub use mail::{INVITATION_PAGE, MailDelivery, PASSWORD_PAGE, Recipients, escape_html};
pub use message::{Message, MessageId, Waiting};
pub use worker::{Delivery, Failure, Outbox, OutboxStore};
