//! From a mail to its bytes (RFC 5322).

use std::str::FromStr;
use std::time::SystemTime;

use jiff::Timestamp;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Attachment, Mailbox, MultiPart, SinglePart, header::MIME_VERSION_1_0};
use lettre::{Address, Message};
use plinth_tenancy::{Mail, MailError};
use url::Host;

/// From whom mails are: an address, perhaps with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender(Mailbox);

/// A text that is no sender.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the sender has to be like `Plinth <plinth@example.com>` or `plinth@example.com`")]
pub struct InvalidSender;

impl FromStr for Sender {
    type Err = InvalidSender;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.chars().any(char::is_control) {
            return Err(InvalidSender);
        }
        let mailbox: Mailbox = text.trim().parse().map_err(|_| InvalidSender)?;
        let email = to_ascii(mailbox.email.user(), mailbox.email.domain()).ok_or(InvalidSender)?;
        Ok(Self(Mailbox::new(mailbox.name, email)))
    }
}

impl Sender {
    /// What stands after the `@`.
    pub(crate) fn domain(&self) -> &str {
        self.0.email.domain()
    }

    /// Where mail that cannot be delivered goes back to.
    pub(crate) fn address(&self) -> &Address {
        &self.0.email
    }
}

/// The mail with all its headers, and the address that it goes to. All of it is ASCII, but for the names of people who
/// have other letters before their `@`.
pub(crate) fn write(
    mail: &Mail,
    from: &Sender,
    at: Timestamp,
) -> Result<(Address, Vec<u8>), MailError> {
    let permanent = |what: &str| MailError::Permanent(what.to_owned());
    let to = mail.to.as_str().rsplit_once('@').and_then(|(user, domain)| to_ascii(user, domain));
    let to = to.ok_or_else(|| permanent("nothing can be sent to this address"))?;
    let name = |it: &'static str| HeaderName::new_from_ascii_str(it);
    let message = Message::builder()
        .from(from.0.clone())
        .to(Mailbox::new(None, to.clone()))
        .subject(mail.subject.as_str())
        .date(SystemTime::from(at))
        .message_id(Some(format!("<{}@{}>", mail.id, from.domain())))
        // So that nobody's "out of office" answers (RFC 3834).
        .raw_header(HeaderValue::new(name("Auto-Submitted"), "auto-generated".to_owned()));
    let message = match &mail.html {
        _ if !mail.attachments.is_empty() => {
            let mut parts = MultiPart::mixed().build();
            parts = match &mail.html {
                Some(html) => parts
                    .multipart(MultiPart::alternative_plain_html(mail.text.clone(), html.clone())),
                None => parts.singlepart(SinglePart::plain(mail.text.clone())),
            };
            for it in &mail.attachments {
                let kind = ContentType::parse(&it.media_type);
                let kind =
                    kind.map_err(|_| permanent("a file that goes with it is of no known kind"))?;
                let file = Attachment::new(it.file_name.clone()).body(it.bytes.clone(), kind);
                parts = parts.singlepart(file);
            }
            message.multipart(parts)
        }
        Some(html) => {
            message.multipart(MultiPart::alternative_plain_html(mail.text.clone(), html.clone()))
        }
        // The library adds the version to mails of several parts only; without it the encoding means nothing.
        None => {
            message.header(MIME_VERSION_1_0).header(ContentType::TEXT_PLAIN).body(mail.text.clone())
        }
    };
    let message = message.map_err(|_| permanent("the mail cannot be put into the form of one"))?;
    Ok((to, message.formatted()))
}

/// The address with its domain as DNS knows it: not every mail server takes other letters.
fn to_ascii(user: &str, domain: &str) -> Option<Address> {
    let domain = match Host::parse(domain).ok()? {
        Host::Domain(it) => it,
        Host::Ipv4(_) | Host::Ipv6(_) => return None,
    };
    Address::new(user, domain).ok()
}

#[cfg(test)]
mod tests {
    use plinth_tenancy::{Email, Subject};
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn mail(subject: &str, text: &str, html: Option<&str>) -> Mail {
        Mail {
            id: Uuid::from_u128(7),
            to: Email::parse("ann@example.com").expect("good"),
            subject: Subject::new(subject),
            text: text.to_owned(),
            html: html.map(str::to_owned),
            attachments: Vec::new(),
        }
    }

    fn text(mail: &Mail, from: &str) -> String {
        let at = "2026-03-04T05:06:07Z".parse().expect("a time");
        let (_, bytes) = write(mail, &from.parse().expect("a sender"), at).expect("written");
        String::from_utf8(bytes).expect("ASCII")
    }

    #[test]
    fn a_mail_has_what_servers_and_people_look_for() {
        let text = text(&mail("Welcome", "Hello\nAnn", None), "Plinth <plinth@example.com>");
        let (head, body) = text.split_once("\r\n\r\n").expect("two parts");
        let mut lines: Vec<&str> = head.split("\r\n").collect();
        lines.sort_unstable();
        assert_eq!(
            lines,
            [
                "Auto-Submitted: auto-generated",
                "Content-Transfer-Encoding: 7bit",
                "Content-Type: text/plain; charset=utf-8",
                "Date: Wed, 04 Mar 2026 05:06:07 +0000",
                "From: Plinth <plinth@example.com>",
                "MIME-Version: 1.0",
                "Message-ID: <00000000-0000-0000-0000-000000000007@example.com>",
                "Subject: Welcome",
                "To: ann@example.com",
            ]
        );
        assert_eq!(body, "Hello\r\nAnn");
    }

    #[test]
    fn both_forms_go_as_alternatives_with_the_plain_one_first() {
        let text = text(&mail("x", "plain words", Some("<p>rich words</p>")), "p@example.com");
        assert!(text.contains("Content-Type: multipart/alternative;"), "{text}");
        let (plain, rich) = (text.find("plain words"), text.find("<p>rich words</p>"));
        assert!(plain.is_some() && plain < rich, "{text}");
    }

    #[test]
    fn files_go_with_it_as_parts_of_their_own() {
        let mut mail = mail("x", "plain words", Some("<p>rich words</p>"));
        mail.attachments.push(plinth_tenancy::Attachment {
            file_name: "late orders.csv".to_owned(),
            media_type: "text/csv".to_owned(),
            bytes: "id\r\n1\r\n".into(),
        });
        let at = "2026-03-04T05:06:07Z".parse().expect("a time");
        let (_, bytes) =
            write(&mail, &"p@example.com".parse().expect("good"), at).expect("written");
        let text = String::from_utf8(bytes).expect("ASCII");
        assert!(text.contains("Content-Type: multipart/mixed;"), "{text}");
        assert!(text.contains("Content-Type: multipart/alternative;"), "{text}");
        assert!(text.contains("attachment; filename=\"late orders.csv\""), "{text}");
        assert!(text.contains("Content-Type: text/csv"), "{text}");
    }

    #[test]
    fn addresses_in_other_letters_become_those_of_dns() {
        let mut mail = mail("x", "y", None);
        mail.to = Email::parse("ann@bücher.example").expect("good");
        let sender = "Bücher <post@bücher.example>";
        let text = text(&mail, sender);
        assert!(text.contains("To: ann@xn--bcher-kva.example\r\n"), "{text}");
        assert!(text.contains("<post@xn--bcher-kva.example>\r\n"), "{text}");
        assert!(text.is_ascii());
    }

    #[test]
    fn a_sender_is_an_address() {
        for bad in [
            "",
            "Plinth",
            "a@b@c",
            "Plinth <>",
            "Plinth <plinth@example.com>\r\nBcc: x@example.com",
            "a@[127.0.0.1]",
        ] {
            assert_eq!(bad.parse::<Sender>(), Err(InvalidSender), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn whatever_the_words_no_header_is_added(subject: String, words: String, rich in any::<Option<String>>()) {
            let text = text(&mail(&subject, &words, rich.as_deref()), "Plinth <plinth@example.com>");
            prop_assert!(text.is_ascii());
            let (head, _) = text.split_once("\r\n\r\n").expect("two parts");
            let mut names: Vec<&str> = head
                .split("\r\n")
                .filter(|it| !it.starts_with([' ', '\t']))
                .map(|it| it.split_once(':').expect("a header").0)
                .collect();
            names.sort_unstable();
            names.retain(|it| *it != "Content-Transfer-Encoding");
            prop_assert_eq!(
                names,
                ["Auto-Submitted", "Content-Type", "Date", "From", "MIME-Version", "Message-ID", "Subject", "To"]
            );
            prop_assert!(text.split("\r\n").all(|it| it.len() <= 998 && !it.contains(['\r', '\n'])));
        }
    }
}
