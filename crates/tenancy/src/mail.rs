//! Mail that the platform sends: invitations, password resets, notices.

use std::fmt;

use async_trait::async_trait;
use uuid::Uuid;

use crate::Email;

/// A mail to one person.
///
/// Its text often holds a link that works like a password: it is not printed by `Debug`, and belongs into no log.
#[derive(Clone, PartialEq, Eq)]
pub struct Mail {
    /// Becomes the `Message-ID`. The same in each try to send the same mail, so that systems on the way can see that it
    /// is the same: take the id of the outbox row, not a new one.
    pub id: Uuid,
    /// To whom.
    pub to: Email,
    /// What stands in the list of mails.
    pub subject: Subject,
    /// The mail for programs that show text.
    pub text: String,
    /// The same for programs that show HTML; `None` sends the text alone.
    pub html: Option<String>,
    /// Files that go with it.
    pub attachments: Vec<Attachment>,
}

/// A file that goes with a mail.
#[derive(Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Its name: letters, digits, blanks and `._-`.
    pub file_name: String,
    /// What it is, like `text/csv`.
    pub media_type: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mail").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The subject of a mail: one line. Whatever it is made from, names of organizations and people included, it cannot
/// begin another header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject(String);

impl Subject {
    /// The most characters that are kept; programs show fewer.
    pub const LONGEST: usize = 200;

    /// Makes any text a subject: control characters and line breaks of all kinds become blanks, and so do signs that
    /// turn the direction of writing; blanks in a row become one; the end is cut off behind [`Subject::LONGEST`]
    /// characters.
    pub fn new(text: &str) -> Self {
        let plain: String = text.chars().map(|it| if is_disguise(it) { ' ' } else { it }).collect();
        let mut line = String::new();
        for word in plain.split_whitespace() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        if line.chars().count() > Self::LONGEST {
            line = line.chars().take(Self::LONGEST - 1).collect();
            line.push('…');
        }
        Self(line)
    }

    /// The line.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Controls, line and paragraph separators, and what lets a text look like another (bidirectional overrides).
fn is_disguise(it: char) -> bool {
    it.is_control()
        || matches!(it, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{feff}')
        || matches!(it, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Sends mail. Called by workers, never while somebody waits for an answer of ours: a server may take seconds.
#[async_trait]
pub trait Mailer: Send + Sync + 'static {
    /// Hands the mail to whoever delivers it; comes back when they took it over, at most 30 seconds later.
    ///
    /// # Errors
    ///
    /// [`MailError`], which says whether to try again. After a temporary one the mail may have been taken over all the
    /// same, if the connection broke just then: the next try has the same `Message-ID`.
    async fn send(&self, mail: &Mail) -> Result<(), MailError>;
}

/// Why a mail was not taken over. The text is for operators; it never holds the mail's text or a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MailError {
    /// May work later, or after the operator corrected a setting: nobody answered, the server is busy, it refuses our
    /// user or sender, its certificate is not trusted.
    #[error("the mail could not be sent now: {0}")]
    Temporary(String),
    /// This mail will never be taken: the address does not exist, or the server refuses what is in it.
    #[error("the mail was refused: {0}")]
    Permanent(String),
}

impl MailError {
    /// Whether to try again later.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Temporary(_))
    }
}

/// Keeps mails instead of sending them, for tests.
#[cfg(feature = "testing")]
#[derive(Debug, Default)]
pub struct RecordingMailer {
    sent: std::sync::Mutex<Vec<Mail>>,
    fault: std::sync::Mutex<Option<MailError>>,
}

#[cfg(feature = "testing")]
impl RecordingMailer {
    /// What was sent so far, in that order.
    pub fn sent(&self) -> Vec<Mail> {
        self.sent.lock().expect("not poisoned").clone()
    }

    /// The mails to that address, in the order in which they were sent.
    pub fn sent_to(&self, to: &str) -> Vec<Mail> {
        self.sent().into_iter().filter(|it| it.to.as_str() == to).collect()
    }

    /// From now on sending fails with that, and keeps nothing; `None` lets it work again.
    pub fn fail_with(&self, fault: Option<MailError>) {
        *self.fault.lock().expect("not poisoned") = fault;
    }
}

#[cfg(feature = "testing")]
#[async_trait]
impl Mailer for RecordingMailer {
    async fn send(&self, mail: &Mail) -> Result<(), MailError> {
        if let Some(fault) = self.fault.lock().expect("not poisoned").clone() {
            return Err(fault);
        }
        self.sent.lock().expect("not poisoned").push(mail.clone());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_subject_is_one_line_whatever_it_is_made_from(text in any::<String>()) {
            let subject = Subject::new(&text);
            prop_assert!(!subject.as_str().chars().any(is_disguise));
            prop_assert!(subject.as_str().chars().count() <= Subject::LONGEST);
            prop_assert_eq!(&Subject::new(subject.as_str()), &subject);
        }
    }

    #[test]
    fn line_breaks_of_a_subject_become_blanks() {
        let subject = Subject::new("Join\r\nBcc: eve@example.com\u{2028} \u{202e}now");
        assert_eq!(subject.as_str(), "Join Bcc: eve@example.com now");
        assert_eq!(Subject::new(&"é".repeat(300)).as_str().chars().count(), Subject::LONGEST);
    }

    #[test]
    fn what_a_mail_says_is_not_printed() {
        let mail = Mail {
            id: Uuid::nil(),
            to: Email::parse("ann@example.com").expect("good"),
            subject: Subject::new("Welcome"),
            text: "https://example.com/#canary".to_owned(),
            html: Some("canary".to_owned()),
            attachments: Vec::new(),
        };
        assert!(!format!("{mail:?}").contains("canary"));
    }
}
