use std::fmt::Write as _;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use plinth_core::{Clock, OrgId, StoreError};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::{Delivery, Failure, Letter, LetterTo, Waiting};
use crate::{Email, LinkKey, LinkPurpose, Mail, MailError, Mailer, Subject};

/// The page that the link of an invitation leads to, below our public URL; the token follows as `?token=…`.
pub const INVITATION_PAGE: &str = "/accept-invitation";

/// The page for choosing a new password; the token follows as `?token=…`.
pub const PASSWORD_PAGE: &str = "/reset-password";

/// Says who an organization's letters go to.
#[async_trait]
pub trait Recipients: Send + Sync + 'static {
    /// The addresses of the organization's owner and its admins.
    async fn managers(&self, org: OrgId) -> Result<Vec<Email>, StoreError>;
}

/// Writes letters and hands them to the mail server. Only here do links get their tokens.
pub struct MailDelivery {
    mailer: Arc<dyn Mailer>,
    recipients: Arc<dyn Recipients>,
    links: LinkKey,
    public_url: Arc<str>,
    clock: Arc<dyn Clock>,
}

impl MailDelivery {
    /// Links lead to `public_url`, which has no slash at its end.
    pub fn new(
        mailer: Arc<dyn Mailer>,
        recipients: Arc<dyn Recipients>,
        links: LinkKey,
        public_url: Arc<str>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { mailer, recipients, links, public_url, clock }
    }

    /// The address of the page that a link leads to.
    fn link(&self, purpose: LinkPurpose, id: Uuid, number: i32) -> SecretString {
        let page = match purpose {
            LinkPurpose::Invitation => INVITATION_PAGE,
            LinkPurpose::PasswordReset => PASSWORD_PAGE,
        };
        let token = self.links.token(purpose, id, number);
        format!("{}{page}?token={}", self.public_url, token.expose_secret()).into()
    }

    fn write(&self, letter: &Letter) -> Draft {
        match letter {
            Letter::Invitation { invitation, sending, inviter, organization, role, expires_at } => {
                Draft::new(&format!("{inviter} invites you to {organization} on Plinth"))
                    .say(format!("{inviter} invites you to join {organization} as {role}."))
                    .link(
                        "Accept the invitation",
                        self.link(LinkPurpose::Invitation, invitation.as_uuid(), *sending),
                    )
                    .say(format!("The link is good until {}, and once.", time(*expires_at)))
                    .say("If you do not expect this, you need not do anything.".to_owned())
            }
            Letter::PasswordReset { user, number, expires_at } => {
                Draft::new("Choose a new password")
                    .say("Somebody, hopefully you, asked for a new password for this address.".to_owned())
                    .link(
                        "Choose a new password",
                        self.link(LinkPurpose::PasswordReset, user.as_uuid(), *number),
                    )
                    .say(format!("The link is good until {}, and once.", time(*expires_at)))
                    .say("If it was not you, you need not do anything: your password stays as it is.".to_owned())
            }
            Letter::PasswordChanged { at } => Draft::new("Your password was changed")
                .say(format!("The password of your account was changed on {}.", time(*at)))
                .say("All other sessions have ended.".to_owned())
                .say(format!(
                    "If it was not you, ask for a new password at once, at {}{PASSWORD_PAGE}, and tell your administrator.",
                    self.public_url
                )),
            Letter::SessionEnded { at } => Draft::new("One of your sessions was ended")
                .say(format!(
                    "On {} something that only one of your devices should have was used a second time. Somebody may have \
                     copied it, so the session was ended. Sign in again to go on.",
                    time(*at)
                ))
                .say("If that keeps happening, change your password: this ends all other sessions.".to_owned()),
            Letter::ConnectionLost { connection, title, fix_steps, since } => {
                let mut draft = Draft::new(&format!("The connection {connection} is off: {title}"))
                    .say(format!(
                        "The database behind the connection {connection} has not answered since {}, so it is no longer used.",
                        time(*since)
                    ))
                    .say(format!("{}.", title.trim_end_matches('.')));
                draft.steps.clone_from(fix_steps);
                draft.say("It is used again as soon as it answers.".to_owned())
            }
            Letter::ConnectionRecovered { connection, at } => {
                Draft::new(&format!("The connection {connection} is back")).say(format!(
                    "The database behind the connection {connection} answers again since {}.",
                    time(*at)
                ))
            }
            Letter::WorkflowFailed { workflow, run, error, at } => {
                Draft::new(&format!("The workflow {workflow} failed"))
                    .say(format!("A run of the workflow {workflow} failed on {}: {error}", time(*at)))
                    .say(format!("The run is {run}. You will hear of it again when one succeeds."))
            }
            Letter::ApprovalWanted { workflow, run, action, role, expires_at } => {
                Draft::new(&format!("The workflow {workflow} waits for an approval"))
                    .say(format!(
                        "The action {action} of the workflow {workflow} waits until {} for somebody with the role {role}.",
                        time(*expires_at)
                    ))
                    .say(format!("The run is {run}. It shows what would be done, and can be approved or declined."))
            }
            Letter::WorkflowPaused { workflow, reason, at } => {
                Draft::new(&format!("The workflow {workflow} is paused"))
                    .say(format!("The workflow {workflow} stands still since {}: {reason}.", time(*at)))
                    .say("It goes on when somebody publishes or enables it again.".to_owned())
            }
            Letter::WorkflowRecovered { workflow, at } => {
                Draft::new(&format!("The workflow {workflow} works again")).say(format!(
                    "A run of the workflow {workflow} succeeded again on {}.",
                    time(*at)
                ))
            }
            Letter::SubscriptionEnded { description, host, subscription, reason, at } => {
                let named = if description.is_empty() { subscription } else { description };
                Draft::new(&format!("Events are not sent to {host} any more"))
                    .say(format!(
                        "The subscription {named} was disabled on {}: {reason}.",
                        time(*at)
                    ))
                    .say(format!(
                        "Nothing that happens from now on is sent there. Enable {subscription} again if that was a mistake."
                    ))
            }
            Letter::AlertTriggered { alert, found, since, again } => {
                let still = if *again { "still " } else { "" };
                Draft::new(&format!("Alert{}: {alert}", if *again { ", still" } else { "" }))
                    .say(format!("The condition of the alert {alert} {still}holds, since {}.", time(*since)))
                    .say(format!("It found: {found}."))
            }
            Letter::AlertResolved { alert, found, since, at } => {
                Draft::new(&format!("Resolved: {alert}"))
                    .say(format!(
                        "The condition of the alert {alert} held from {} and does not any more since {}.",
                        time(*since), time(*at)
                    ))
                    .say(format!("It found: {found}."))
            }
            Letter::AlertUnknown { alert, found, at } => {
                Draft::new(&format!("The alert {alert} cannot be judged"))
                    .say(format!("Whether the condition of the alert {alert} holds cannot be said since {}.", time(*at)))
                    .say(format!("It found: {found}."))
            }
            Letter::AlertFailing { alert, error, at } => {
                Draft::new(&format!("The alert {alert} does not work"))
                    .say(format!("The query of the alert {alert} failed on {}: {error}", time(*at)))
                    .say("You will hear of it again when it works.".to_owned())
            }
            Letter::AlertRecovered { alert, at } => {
                Draft::new(&format!("The alert {alert} works again"))
                    .say(format!("The alert {alert} can be judged again since {}.", time(*at)))
            }
            Letter::AlertPaused { alert, reason, at } => {
                Draft::new(&format!("The alert {alert} is paused"))
                    .say(format!("The alert {alert} stands still since {}: {reason}.", time(*at)))
                    .say("It goes on when somebody changes or enables it.".to_owned())
            }
            Letter::WidgetsPaused { dashboard, widgets, at } => {
                Draft::new(&format!("The dashboard {dashboard} shows less"))
                    .say(format!(
                        "Widgets of the dashboard {dashboard} ({widgets} of them) show nothing since {}: whoever they ran as has \
                         left the organization.",
                        time(*at)
                    ))
                    .say("They go on when somebody takes them over.".to_owned())
            }
            Letter::QueriesBroken { connection, broken, repaired, more, at } => {
                let subject = if broken.is_empty() {
                    format!("Saved queries over {connection} were repaired")
                } else {
                    format!("Saved queries over {connection} do not work any more")
                };
                let mut draft = Draft::new(&subject)
                    .say(format!("The schema behind the connection {connection} has changed; this was found on {}.", time(*at)));
                if !broken.is_empty() {
                    draft = draft.say(format!("These do not work any more: {}.", broken.join(", "))).say(
                        "Plinth says what broke them, and proposes a fix where there is one: look under repairs.".to_owned(),
                    );
                }
                if !repaired.is_empty() {
                    draft = draft.say(format!(
                        "These have a new version with the names that tables and columns have now: {}. The versions before are kept.",
                        repaired.join(", ")
                    ));
                }
                if *more > 0 {
                    draft = draft.say(format!("And {more} more."));
                }
                draft
            }
            Letter::OwnershipTransferred { organization, owner } => {
                Draft::new(&format!("{organization} has a new owner"))
                    .say(format!("{owner} is the owner of {organization} now."))
            }
            Letter::OrganizationDeletion { organization, at } => {
                Draft::new(&format!("{organization} is going to be deleted"))
                    .say(format!(
                        "The organization {organization} and all that belongs to it will be deleted on {}.",
                        time(*at)
                    ))
                    .say("Until then its owner can take that back.".to_owned())
            }
        }
    }

    /// Until when the letter is worth sending; `None` for always.
    fn is_pointless(&self, letter: &Letter) -> bool {
        match letter {
            Letter::Invitation { expires_at, .. } | Letter::PasswordReset { expires_at, .. } => {
                *expires_at <= self.clock.now()
            }
            _ => false,
        }
    }
}

#[derive(Deserialize)]
struct Payload {
    to: LetterTo,
    letter: Letter,
}

#[async_trait]
impl Delivery for MailDelivery {
    async fn deliver(&self, message: &Waiting) -> Result<(), Failure> {
        let message = &message.message;
        // A newer server may have written it, and will read it.
        let Payload { to, letter } = Payload::deserialize(&message.payload).map_err(|_| {
            Failure::Temporary("this server does not know such a letter".to_owned())
        })?;
        if self.is_pointless(&letter) {
            return Err(Failure::Permanent("its link has expired".to_owned()));
        }
        let recipients = match to {
            LetterTo::Address(address) => {
                vec![Email::parse(&address).map_err(|err| Failure::Permanent(err.to_string()))?]
            }
            LetterTo::Managers => self
                .recipients
                .managers(message.org)
                .await
                .map_err(|err| Failure::Temporary(plinth_core::chain(&err)))?,
        };
        let draft = self.write(&letter);
        let (mut taken, mut later, mut never) = (0, None, None);
        for to in recipients {
            let mail = Mail {
                id: mail_id(message.id.as_uuid(), &to),
                to,
                subject: Subject::new(&draft.subject),
                text: draft.text(),
                html: Some(draft.html()),
                attachments: Vec::new(),
            };
            match self.mailer.send(&mail).await {
                Ok(()) => taken += 1,
                Err(MailError::Temporary(text)) => later = Some(text),
                Err(MailError::Permanent(text)) => never = Some(text),
            }
        }
        match (later, never) {
            // Who has it already gets it again under the same `Message-ID`.
            (Some(text), _) => Err(Failure::Temporary(text)),
            (None, Some(text)) if taken == 0 => Err(Failure::Permanent(text)),
            _ => Ok(()),
        }
    }
}

/// The `Message-ID` of the mail to one recipient: the same at each try.
fn mail_id(message: Uuid, to: &Email) -> Uuid {
    let hash = Sha256::new().chain_update(message.as_bytes()).chain_update(to.as_str()).finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// A letter before it is put into a form.
struct Draft {
    subject: String,
    parts: Vec<Part>,
    steps: Vec<String>,
}

enum Part {
    Text(String),
    Link(&'static str, SecretString),
}

impl Draft {
    fn new(subject: &str) -> Self {
        Self { subject: subject.to_owned(), parts: Vec::new(), steps: Vec::new() }
    }

    fn say(mut self, text: String) -> Self {
        self.parts.push(Part::Text(text));
        self
    }

    fn link(mut self, label: &'static str, url: SecretString) -> Self {
        self.parts.push(Part::Link(label, url));
        self
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(it) => text.push_str(&one_line(it)),
                Part::Link(label, url) => {
                    text.push_str(label);
                    text.push_str(":\n");
                    text.push_str(url.expose_secret());
                }
            }
            text.push_str("\n\n");
        }
        if !self.steps.is_empty() {
            text.push_str("What can be done:\n");
            for step in &self.steps {
                text.push_str("- ");
                text.push_str(&one_line(step));
                text.push('\n');
            }
        }
        text.trim_end().to_owned() + "\n"
    }

    fn html(&self) -> String {
        let mut html = String::from(
            "<!doctype html><html lang=\"en\"><body style=\"font-family:sans-serif;max-width:40em\">",
        );
        for part in &self.parts {
            match part {
                Part::Text(it) => {
                    let _ = write!(html, "<p>{}</p>", escape_html(it));
                }
                Part::Link(label, url) => {
                    let url = escape_html(url.expose_secret());
                    let _ = write!(html, "<p><a href=\"{url}\">{label}</a></p><p>{url}</p>");
                }
            }
        }
        if !self.steps.is_empty() {
            html.push_str("<p>What can be done:</p><ul>");
            for step in &self.steps {
                let _ = write!(html, "<li>{}</li>", escape_html(step));
            }
            html.push_str("</ul>");
        }
        html.push_str("</body></html>");
        html
    }
}

/// Names that people chose cannot begin a line of their own.
fn one_line(text: &str) -> String {
    text.chars().map(|it| if it.is_control() { ' ' } else { it }).collect()
}

/// Makes a text stand for itself in HTML, between tags and in quoted attributes.
pub fn escape_html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for it in text.chars() {
        match it {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// As people write it; in UTC, as a letter's reader may be anywhere.
fn time(at: Timestamp) -> String {
    at.strftime("%-d %B %Y, %H:%M UTC").to_string()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use plinth_core::{ManualClock, UserId};

    use super::super::{Message, MessageId};
    use super::*;
    use crate::InvitationId;

    #[derive(Default)]
    struct Mailbox {
        mails: Mutex<Vec<Mail>>,
        refused: Option<MailError>,
    }

    #[async_trait]
    impl Mailer for Mailbox {
        async fn send(&self, mail: &Mail) -> Result<(), MailError> {
            if let Some(err) = self.refused.clone().filter(|_| mail.to.as_str().starts_with("bob"))
            {
                return Err(err);
            }
            self.mails.lock().expect("not poisoned").push(mail.clone());
            Ok(())
        }
    }

    struct Two;

    #[async_trait]
    impl Recipients for Two {
        async fn managers(&self, _: OrgId) -> Result<Vec<Email>, StoreError> {
            Ok(["ann@example.com", "bob@example.com"]
                .map(|it| Email::parse(it).expect("good"))
                .into())
        }
    }

    fn start() -> Timestamp {
        "2026-03-04T05:06:07Z".parse().expect("a time")
    }

    fn delivery(refused: Option<MailError>) -> (MailDelivery, Arc<Mailbox>) {
        let mails = Arc::new(Mailbox { refused, ..Mailbox::default() });
        let clock = Arc::new(ManualClock::at(start()));
        let url = "https://plinth.example.com".into();
        let links = LinkKey::new([3; 32]);
        (MailDelivery::new(mails.clone(), Arc::new(Two), links, url, clock), mails)
    }

    fn waiting(to: &LetterTo, letter: &Letter) -> Waiting {
        let message = Message::mail(OrgId::new(start()), start(), to, letter);
        Waiting { message: Message { id: MessageId::new(start()), ..message }, attempts: 1 }
    }

    fn every_letter() -> Vec<Letter> {
        let (text, at) = ("<b>&\"'\r\nBcc: eve@example.com".to_owned(), start());
        let later = at + jiff::SignedDuration::from_hours(1);
        vec![
            Letter::Invitation {
                invitation: InvitationId::new(at),
                sending: 1,
                inviter: text.clone(),
                organization: text.clone(),
                role: text.clone(),
                expires_at: later,
            },
            Letter::PasswordReset { user: UserId::new(at), number: 1, expires_at: later },
            Letter::PasswordChanged { at },
            Letter::SessionEnded { at },
            Letter::ConnectionLost {
                connection: text.clone(),
                title: text.clone(),
                fix_steps: vec![text.clone()],
                since: at,
            },
            Letter::ConnectionRecovered { connection: text.clone(), at },
            Letter::WidgetsPaused { dashboard: text.clone(), widgets: 2, at },
            Letter::OwnershipTransferred { organization: text.clone(), owner: text.clone() },
            Letter::OrganizationDeletion { organization: text, at },
        ]
    }

    #[tokio::test]
    async fn what_people_call_things_stays_text_in_every_letter() {
        let (delivery, mails) = delivery(None);
        for letter in every_letter() {
            delivery.deliver(&waiting(&LetterTo::Managers, &letter)).await.expect("sent");
        }
        let mails = mails.mails.lock().expect("not poisoned");
        assert_eq!(mails.len(), 2 * every_letter().len());
        for mail in mails.iter() {
            let html = mail.html.as_deref().expect("there");
            assert!(!html.contains("<b>") && !html.contains("\"'"), "{html}");
            let is_text = |it: &str| !it.starts_with("Bcc");
            assert!(mail.text.lines().all(is_text) && mail.subject.as_str().lines().all(is_text));
            assert!(
                mail.text.contains("example") || mail.text.contains("session"),
                "{}",
                mail.text
            );
        }
        let mut ids: Vec<_> = mails.iter().map(|it| it.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), mails.len(), "a Message-ID for each");
    }

    #[tokio::test]
    async fn a_link_leads_to_its_page_and_its_token_is_good() {
        let (delivery, mails) = delivery(None);
        let user = UserId::new(start());
        let expires_at = start() + jiff::SignedDuration::from_hours(1);
        let letter = Letter::PasswordReset { user, number: 7, expires_at };
        let to = LetterTo::Address("ann@example.com".to_owned());
        delivery.deliver(&waiting(&to, &letter)).await.expect("sent");
        let mails = mails.mails.lock().expect("not poisoned");
        let link = "https://plinth.example.com/reset-password?token=";
        let token = mails[0].text.lines().find_map(|it| it.strip_prefix(link)).expect("a link");
        let read = LinkKey::new([3; 32]).read(LinkPurpose::PasswordReset, token);
        assert_eq!(read, Some((user.as_uuid(), 7)));
        assert!(mails[0].html.as_deref().is_some_and(|it| it.contains(&format!("{link}{token}"))));
    }

    #[tokio::test]
    async fn a_letter_that_came_too_late_is_given_up() {
        let (delivery, mails) = delivery(None);
        let letter =
            Letter::PasswordReset { user: UserId::new(start()), number: 1, expires_at: start() };
        let failed = delivery.deliver(&waiting(&LetterTo::Managers, &letter)).await;
        assert!(matches!(failed, Err(Failure::Permanent(_))));
        assert!(mails.mails.lock().expect("not poisoned").is_empty());
    }

    #[tokio::test]
    async fn one_address_that_is_refused_does_not_stop_the_others() {
        let letter = Letter::PasswordChanged { at: start() };
        let waiting = waiting(&LetterTo::Managers, &letter);
        let (refusing, mails) = delivery(Some(MailError::Permanent("no such user".to_owned())));
        refusing.deliver(&waiting).await.expect("who can have it has it");
        assert_eq!(mails.mails.lock().expect("not poisoned").len(), 1);
        let (busy, _) = delivery(Some(MailError::Temporary("busy".to_owned())));
        assert!(matches!(busy.deliver(&waiting).await, Err(Failure::Temporary(_))));
    }

    #[tokio::test]
    async fn a_letter_of_a_newer_server_waits_for_that() {
        let (delivery, _) = delivery(None);
        let mut waiting = waiting(&LetterTo::Managers, &Letter::PasswordChanged { at: start() });
        waiting.message.payload["letter"]["kind"] = "of_tomorrow".into();
        assert!(matches!(delivery.deliver(&waiting).await, Err(Failure::Temporary(_))));
    }
}
