use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lettre::Address;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Data, Mail as MailFrom, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailParameter};
use plinth_adapter_http::tls_config;
use plinth_core::Clock;
use plinth_egress::Gate;
use plinth_tenancy::{Mail, MailError, Mailer};
use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, ServerName};
use secrecy::ExposeSecret as _;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};

use crate::message::{self, Sender};
use crate::settings::SmtpSettings;
use crate::wire::Dial;

/// How long handing over one mail may take, waiting for a free connection included.
const LIMIT: Duration = Duration::from_secs(28);

/// How long saying goodbye may take: the mail is taken over by then.
const GOODBYE: Duration = Duration::from_secs(1);

/// How many connections there are at once; mail servers dislike many.
const CONNECTIONS: usize = 4;

/// The most characters of a server's own words in an error.
const WORDS: usize = 200;

/// Hands mails to the operator's mail server over SMTP, one connection for each.
///
/// At each mail the host is resolved by the gate, and what that admitted is dialled. Handing over ends within 30 seconds,
/// whatever the server does.
pub struct SmtpMailer {
    settings: SmtpSettings,
    name: ServerName<'static>,
    gate: Gate,
    from: Sender,
    clock: Arc<dyn Clock>,
    tls: Arc<ClientConfig>,
    hello: ClientId,
    free: Semaphore,
    limit: Duration,
}

impl SmtpMailer {
    /// To that server; nothing is dialled. The gate is [`Gate::of_operator`], as the server is the operator's word.
    /// `authorities` are trusted beside those of the machine.
    ///
    /// # Errors
    ///
    /// If one of `authorities` is none.
    pub fn new(
        settings: SmtpSettings,
        from: Sender,
        gate: Gate,
        authorities: &[CertificateDer<'static>],
        clock: Arc<dyn Clock>,
    ) -> Result<Self, rustls::Error> {
        let name = ServerName::try_from(settings.host.clone())
            .map_err(|_| rustls::Error::General("the mail server's host is no name".to_owned()))?;
        Ok(Self {
            tls: Arc::new(tls_config(authorities)?),
            settings,
            name,
            gate,
            from,
            clock,
            hello: hello(ClientId::default()),
            free: Semaphore::new(CONNECTIONS),
            limit: LIMIT,
        })
    }

    /// The same with another limit of time, for tests of servers that hang.
    #[must_use]
    pub fn within(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    async fn deliver(&self, to: Address, bytes: &[u8]) -> Result<AsyncSmtpConnection, MailError> {
        let admitted = self.gate.admit(&self.settings.host, self.settings.port).await;
        let admitted = admitted.map_err(|it| MailError::Temporary(it.to_string()))?;
        let dial = Dial {
            admitted: &admitted,
            name: self.name.clone(),
            tls: self.settings.tls,
            config: self.tls.clone(),
            hello: &self.hello,
        };
        let (wire, is_encrypted) =
            dial.open().await.map_err(|it| MailError::Temporary(it.to_string()))?;
        let connected = AsyncSmtpConnection::connect_with_transport(Box::new(wire), &self.hello);
        let mut server = connected.await.map_err(|it| temporary("it does not greet", &it))?;
        if let Some(login) = &self.settings.login {
            tracing::trace!(is_encrypted, "logging in to the mail server");
            let secret = login.password.expose_secret().to_owned();
            let credentials = Credentials::new(login.user.clone(), secret);
            // Its words are left out: some servers repeat what they were sent.
            server.auth(&[Mechanism::Plain, Mechanism::Login], &credentials).await.map_err(
                |it| {
                    let code = it.status().map_or_else(String::new, |it| format!(" ({it})"));
                    MailError::Temporary(if it.is_client() {
                        "the mail server offers no way to log in that Plinth knows (PLAIN, LOGIN)"
                            .to_owned()
                    } else {
                        format!("the mail server refuses user and password{code}")
                    })
                },
            )?;
        }
        let mut parameters = Vec::new();
        if !is_ascii(&to) || !bytes.is_ascii() {
            if !server.server_info().supports_feature(Extension::SmtpUtfEight) {
                let what = "the mail server takes no addresses in other than Latin letters";
                return Err(MailError::Permanent(what.to_owned()));
            }
            parameters.push(MailParameter::SmtpUtfEight);
        }
        let from = MailFrom::new(Some(self.from.address().clone()), parameters);
        // The sender is the operator's setting, nothing of this mail.
        server.command(from).await.map_err(|it| temporary("the sender", &it))?;
        server.command(Rcpt::new(to, Vec::new())).await.map_err(|it| judged("the address", &it))?;
        server.command(Data).await.map_err(|it| judged("the mail", &it))?;
        server.message(bytes).await.map_err(|it| judged("the mail", &it))?;
        Ok(server)
    }
}

#[async_trait]
impl Mailer for SmtpMailer {
    async fn send(&self, mail: &Mail) -> Result<(), MailError> {
        let (to, bytes) = message::write(mail, &self.from, self.clock.now())?;
        let deadline = Instant::now() + self.limit;
        let delivered = timeout_at(deadline, async {
            // Never closed.
            let permit = self.free.acquire().await;
            self.deliver(to, &bytes).await.map(|server| (server, permit))
        });
        let late = |_| {
            let seconds = self.limit.as_secs();
            MailError::Temporary(format!("the mail server did not finish within {seconds} s"))
        };
        let (mut server, _permit) = delivered.await.map_err(late)??;
        let _ = timeout(GOODBYE, server.quit()).await;
        Ok(())
    }
}

impl std::fmt::Debug for SmtpMailer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SmtpMailer").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// The machine's name, if it can stand in a greeting.
fn hello(name: ClientId) -> ClientId {
    match name {
        ClientId::Domain(it) if ServerName::try_from(it.as_str()).is_ok() => ClientId::Domain(it),
        ClientId::Domain(_) => ClientId::Ipv4([127, 0, 0, 1].into()),
        address => address,
    }
}

fn is_ascii(address: &Address) -> bool {
    AsRef::<str>::as_ref(address).is_ascii()
}

/// What the server thinks of this mail. 5xx is for good, unless it is about who may send here (RFC 3463: `x.7.z` is
/// policy, and 530 and 535 ask for a login), which a setting can change.
fn judged(what: &str, error: &Error) -> MailError {
    let said = said(error);
    let code = error.status().map_or_else(String::new, |it| it.to_string());
    let is_policy = matches!(code.as_str(), "530" | "535" | "538") || said.starts_with("5.7.");
    if error.is_permanent() && !is_policy {
        MailError::Permanent(format!("the mail server refuses {what}: {code} {said}"))
    } else {
        temporary(what, error)
    }
}

fn temporary(what: &str, error: &Error) -> MailError {
    let said = said(error);
    MailError::Temporary(match error.status() {
        Some(code) => format!("the mail server does not take {what} now: {code} {said}"),
        None => format!("the conversation with the mail server broke: {said}"),
    })
}

/// The server's words, or what broke.
fn said(error: &Error) -> String {
    error.source().map_or_else(|| words(&error.to_string()), |it| words(&it.to_string()))
}

/// A text on one line and not too long.
pub(crate) fn words(text: &str) -> String {
    let line: String =
        text.chars().map(|it| if it.is_control() { ' ' } else { it }).take(WORDS).collect();
    line.trim().to_owned()
}
