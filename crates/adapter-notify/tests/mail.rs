//! Mails over a real socket to a mail server of the test, faults included; and without one.

use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use plinth_adapter_notify::{
    Fault, FolderMailer, NoMailer, Sender, SinkSettings, SinkTls, SmtpMailer, SmtpSettings,
    SmtpSink,
};
use plinth_core::ManualClock;
use plinth_egress::{Gate, Resolver};
use plinth_tenancy::{Email, Mail, MailError, Mailer, Subject};
use uuid::Uuid;

/// Every name is this machine's.
struct Here;

#[async_trait]
impl Resolver for Here {
    async fn resolve(&self, _: &str) -> std::io::Result<Vec<IpAddr>> {
        Ok(vec![Ipv4Addr::LOCALHOST.into()])
    }
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at("2026-03-04T05:06:07Z".parse().expect("a time")))
}

fn sender() -> Sender {
    "Plinth <plinth@example.com>".parse().expect("a sender")
}

fn mailer_to(url: &str, sink: &SmtpSink) -> SmtpMailer {
    let settings = SmtpSettings::parse(url).expect(url);
    let gate = Gate::new(Arc::new(Here), [], []).of_operator();
    SmtpMailer::new(settings, sender(), gate, &[sink.authority()], clock()).expect("a mailer")
}

fn mailer(sink: &SmtpSink) -> SmtpMailer {
    mailer_to(&sink.url(), sink)
}

fn mail() -> Mail {
    Mail {
        id: Uuid::from_u128(7),
        to: Email::parse("ann@example.com").expect("good"),
        subject: Subject::new("Grüße aus Köln"),
        text: "Schön, dass du da bist.\n.\n.dots\nhttps://plinth.example.com/accept#pl_1234567890_abcdefghijklmnopqrstuvwxyz_ABCDEFGHIJKLMNOPQRSTUVWXYZ_=\n".to_owned(),
        html: Some("<p>Schön</p>".to_owned()),
        attachments: Vec::new(),
    }
}

#[tokio::test]
async fn a_mail_arrives_as_it_was_written() {
    let sink = SmtpSink::start().await;
    mailer(&sink).send(&mail()).await.expect("sent");
    let [delivery] = sink.received().try_into().expect("one");
    assert_eq!(delivery.from, "plinth@example.com");
    assert_eq!(delivery.to, ["ann@example.com"]);
    assert_eq!((delivery.encrypted, &delivery.user), (false, &None));
    assert_eq!(delivery.text().replace("\r\n", "\n"), mail().text.trim_end());
    assert_eq!(delivery.html(), "<p>Schön</p>");
    let header = |name| delivery.header(name).unwrap_or_default();
    assert_eq!(header("Date"), "Wed, 04 Mar 2026 05:06:07 +0000");
    assert_eq!(header("Message-ID"), "<00000000-0000-0000-0000-000000000007@example.com>");
    assert_eq!(header("From"), "Plinth <plinth@example.com>");
    assert!(header("Subject").starts_with("=?utf-8?"), "{}", header("Subject"));
    assert!(delivery.data.is_ascii());
    assert!(sink.commands().last().is_some_and(|it| it == "QUIT"), "{:?}", sink.commands());
}

#[tokio::test]
async fn mails_are_encrypted_and_logged_in_as_the_server_wants() {
    for tls in [SinkTls::StartTls, SinkTls::Implicit] {
        for only_auth_login in [false, true] {
            let login = Some(("post".to_owned(), "secret".to_owned()));
            let sink = SmtpSink::with(SinkSettings { tls, login, only_auth_login }).await;
            mailer(&sink).send(&mail()).await.expect("sent");
            let [delivery] = sink.received().try_into().expect("one");
            assert_eq!(
                (delivery.encrypted, delivery.user.as_deref()),
                (true, Some("post")),
                "{tls:?}"
            );
        }
    }
}

#[tokio::test]
async fn nothing_is_sent_in_clear_where_that_was_not_said() {
    // A server that offers no encryption, or somebody on the way who takes the offer out.
    let sink = SmtpSink::start().await;
    let url = format!("smtp://mail.example.com:{}", sink.address().port());
    let error = mailer_to(&url, &sink).send(&mail()).await.expect_err("in clear");
    assert!(error.is_temporary() && error.to_string().contains("STARTTLS"), "{error}");
    let opportunistic = format!("{url}?tls=opportunistic");
    mailer_to(&opportunistic, &sink).send(&mail()).await.expect("sent");
    assert_eq!(sink.received().len(), 1);
    // Who can encrypt does, also where it was not required.
    let sink =
        SmtpSink::with(SinkSettings { tls: SinkTls::StartTls, ..SinkSettings::default() }).await;
    let url = format!("smtp://localhost:{}", sink.address().port());
    mailer_to(&url, &sink).send(&mail()).await.expect("sent");
    assert!(sink.received()[0].encrypted);
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_gets_no_mail() {
    for tls in [SinkTls::StartTls, SinkTls::Implicit] {
        let sink = SmtpSink::with(SinkSettings { tls, ..SinkSettings::default() }).await;
        let settings = SmtpSettings::parse(&sink.url()).expect("good");
        let gate = Gate::new(Arc::new(Here), [], []).of_operator();
        let stranger = SmtpMailer::new(settings, sender(), gate, &[], clock()).expect("a mailer");
        let error = stranger.send(&mail()).await.expect_err("untrusted");
        assert!(error.is_temporary() && error.to_string().contains("encrypted"), "{error}");
        // The right certificate for another name is as bad.
        let url = sink.url().replace("127.0.0.1", "mail.example.com");
        assert!(mailer_to(&url, &sink).send(&mail()).await.is_err());
        assert!(sink.received().is_empty());
    }
}

#[tokio::test]
async fn what_is_slipped_in_before_the_encryption_ends_it() {
    let sink =
        SmtpSink::with(SinkSettings { tls: SinkTls::StartTls, ..SinkSettings::default() }).await;
    let injected = "220 go ahead\r\n250-sink.test\r\n250 AUTH PLAIN".to_owned();
    sink.fault("STARTTLS", Some(Fault::Say(injected)));
    let error = mailer(&sink).send(&mail()).await.expect_err("injected");
    assert!(error.to_string().contains("more than its answer"), "{error}");
    assert!(sink.received().is_empty());
}

#[tokio::test]
async fn an_answer_says_whether_to_try_again() {
    let sink = SmtpSink::start().await;
    let mailer = mailer(&sink);
    for (command, answer, is_temporary) in [
        ("GREETING", "554 5.7.1 not you", true),
        ("GREETING", "421 too busy", true),
        ("MAIL", "451 4.3.0 later", true),
        ("MAIL", "550 5.1.0 sender unknown", true),
        ("RCPT", "450 4.2.1 mailbox busy", true),
        ("RCPT", "550 5.1.1 no such user", false),
        ("RCPT", "553 no such domain", false),
        ("RCPT", "554 5.7.1 relay access denied", true),
        ("RCPT", "530 5.7.0 log in first", true),
        ("DATA", "452 4.3.1 disk full", true),
        ("END", "552 5.3.4 too large", false),
        ("END", "554 5.6.0 unwanted", false),
        ("END", "451 greylisted", true),
    ] {
        sink.fault(command, Some(Fault::Say(answer.to_owned())));
        let error = mailer.send(&mail()).await.expect_err(answer);
        assert_eq!(error.is_temporary(), is_temporary, "{command} {answer}: {error}");
        assert!(error.to_string().contains(&answer[..3]), "{command} {answer}: {error}");
        sink.fault(command, None);
    }
    assert!(sink.received().is_empty());
    mailer.send(&mail()).await.expect("sent");
}

#[tokio::test]
async fn a_server_that_hangs_up_anywhere_is_tried_again_later() {
    let sink = SmtpSink::start().await;
    let mailer = mailer(&sink);
    for command in ["GREETING", "EHLO", "MAIL", "RCPT", "DATA", "END"] {
        sink.fault(command, Some(Fault::HangUp));
        let error = mailer.send(&mail()).await.expect_err(command);
        assert!(error.is_temporary(), "{command}: {error}");
        sink.fault(command, None);
    }
    let url = sink.url();
    drop(sink);
    let other = SmtpSink::start().await;
    let gone = mailer_to(&url, &other);
    // The port may stay open for a moment; nobody answers on it.
    assert!(
        gone.within(Duration::from_secs(5)).send(&mail()).await.expect_err("gone").is_temporary()
    );
}

#[tokio::test]
async fn a_server_that_hangs_holds_nobody_longer_than_the_limit() {
    let sink = SmtpSink::start().await;
    let limit = Duration::from_millis(300);
    for command in ["GREETING", "EHLO", "MAIL", "RCPT", "DATA", "END"] {
        sink.fault(command, Some(Fault::Silence));
        let began = Instant::now();
        let error = mailer(&sink).within(limit).send(&mail()).await.expect_err(command);
        assert!(error.is_temporary() && error.to_string().contains("did not finish"), "{error}");
        assert!(began.elapsed() < Duration::from_secs(10), "{command}: {:?}", began.elapsed());
        sink.fault(command, None);
    }
    // Once it has the mail, its goodbye matters to nobody.
    sink.fault("QUIT", Some(Fault::Silence));
    mailer(&sink).send(&mail()).await.expect("sent");
    assert_eq!(sink.received().len(), 1);
}

#[tokio::test]
async fn many_mails_at_once_all_arrive() {
    let sink = SmtpSink::start().await;
    let mailer = Arc::new(mailer(&sink));
    let mut sending = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let mailer = mailer.clone();
        sending.spawn(async move { mailer.send(&mail()).await });
    }
    while let Some(sent) = sending.join_next().await {
        sent.expect("no panic").expect("sent");
    }
    assert_eq!(sink.wait_for(20).await.len(), 20);
}

#[tokio::test]
async fn a_wrong_password_is_said_and_not_repeated() {
    let login = Some(("post".to_owned(), "right".to_owned()));
    let sink =
        SmtpSink::with(SinkSettings { tls: SinkTls::Implicit, login, only_auth_login: false })
            .await;
    sink.fault("AUTH", Some(Fault::Say("535 5.7.8 AHBvc3QAY2FuYXJ5 canary is wrong".to_owned())));
    let mailer = mailer_to(&sink.url().replace("right", "canary"), &sink);
    let error = mailer.send(&mail()).await.expect_err("wrong");
    assert!(error.is_temporary(), "an operator can correct it: {error}");
    let text = format!("{error} {error:?} {mailer:?}");
    assert!(text.contains("535") && !text.contains("canary") && !text.contains("AHBv"), "{text}");
}

#[tokio::test]
async fn letters_of_other_scripts_need_a_server_that_takes_them() {
    let sink = SmtpSink::start().await;
    let mut mail = mail();
    mail.to = Email::parse("jörg@bücher.example").expect("good");
    mailer(&sink).send(&mail).await.expect("sent");
    assert_eq!(sink.received()[0].to, ["jörg@xn--bcher-kva.example"]);
    assert!(sink.commands().iter().any(|it| it.starts_with("MAIL") && it.ends_with("SMTPUTF8")));
    sink.fault("EHLO", Some(Fault::Say("250 sink.test".to_owned())));
    let error = mailer(&sink).send(&mail).await.expect_err("not taken");
    assert!(!error.is_temporary(), "{error}");
}

#[tokio::test]
async fn without_a_server_mails_lie_in_a_folder_that_only_the_operator_reads() {
    let folder = std::env::temp_dir().join(format!("plinth-mail-{}", std::process::id()));
    let clock = clock();
    let mailer = FolderMailer::new(folder.join("mail"), sender(), clock.clone());
    mailer.send(&mail()).await.expect("kept");
    mailer.send(&mail()).await.expect("the same again");
    clock.advance(jiff::SignedDuration::from_secs(1));
    let mut ids = Vec::new();
    for number in 0..205_u128 {
        ids.push(Uuid::from_u128(1000 + number));
        mailer.send(&Mail { id: ids[ids.len() - 1], ..mail() }).await.expect("kept");
    }
    let mode =
        |path: &std::path::Path| path.metadata().expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&folder.join("mail")), 0o700);
    let names: Vec<_> = std::fs::read_dir(folder.join("mail"))
        .expect("there")
        .map(|it| it.expect("an entry").path())
        .collect();
    let newest = folder.join("mail").join(format!("20260304T050608Z-{}.eml", ids[204]));
    let text = std::fs::read_to_string(&newest).expect("there");
    let modes: Vec<u32> = names.iter().map(|it| mode(it)).collect();
    std::fs::remove_dir_all(&folder).expect("removed");
    assert_eq!(names.len(), 200, "the oldest are gone");
    assert!(modes.iter().all(|it| *it == 0o600), "{modes:?}");
    assert!(text.contains("To: ann@example.com\r\n"), "{text}");
}

#[tokio::test]
async fn without_a_server_and_a_folder_mails_wait() {
    let error = NoMailer.send(&mail()).await.expect_err("nowhere");
    assert!(
        matches!(&error, MailError::Temporary(it) if it.contains("PLINTH_SMTP_URL")),
        "{error}"
    );
}
