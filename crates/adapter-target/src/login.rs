//! Logging in, and finding out who answered.

use bytes::BytesMut;
use fallible_iterator::FallibleIterator as _;
use plinth_connections::{ChannelBinding, Diagnosis, Stage, Target};
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{
    ChannelBinding as Binding, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256,
};
use postgres_protocol::message::backend::{AuthenticationSaslBody, Message};
use postgres_protocol::message::frontend;

use crate::diagnose::{self, OLDEST_VERSION};
use crate::dial::Cancel;
use crate::session::{Broken, Session};
use crate::stream::Stream;
use crate::tls::end_point_hash;
use crate::wire::{Frame, ServerError};

/// What every session of ours has set where the server is reached directly. A pooling proxy would hand such settings to the next
/// client, so behind one they are set for each transaction instead.
///
/// - Text as the guard reads it: strings with standard quoting.
/// - Values as the results are read: ISO dates, Postgres's intervals, hexadecimal bytes, floats in the fewest digits that are exact.
/// - No writing by default, even outside the `READ ONLY` transactions; no transaction left open; no chatter.
pub(crate) const SETTINGS: [(&str, &str); 8] = [
    ("default_transaction_read_only", "on"),
    ("standard_conforming_strings", "on"),
    ("DateStyle", "ISO, YMD"),
    ("IntervalStyle", "postgres"),
    ("bytea_output", "hex"),
    ("extra_float_digits", "1"),
    ("idle_in_transaction_session_timeout", "60000"),
    ("client_min_messages", "error"),
];

/// `set_config` calls for [`SETTINGS`], of the session (`false`) or of the transaction (`true`).
pub(crate) fn settings_calls(local: bool) -> String {
    let calls: Vec<_> = SETTINGS
        .iter()
        .map(|(name, value)| format!("pg_catalog.set_config('{name}', '{value}', {local})"))
        .collect();
    calls.join(", ")
}

/// From an open transport to a session that runs statements.
pub(crate) async fn log_in(
    stream: Stream,
    target: &Target,
    cancel: Cancel,
) -> Result<Session, Diagnosis> {
    let mut session = Session::new(stream, cancel);
    // Only what pooling proxies let pass too: they refuse clients with startup parameters that they do not know.
    let parameters = [
        ("user", target.username.as_str()),
        ("database", target.database.as_str()),
        ("application_name", "plinth"),
        ("client_encoding", "UTF8"),
        ("DateStyle", "ISO"),
    ];
    frontend::startup_message(parameters, &mut session.outbox)
        .map_err(|_| diagnose::not_postgres(Stage::Auth, target))?;
    authenticate(&mut session, target).await?;
    loop {
        match receive(&mut session, target, Stage::Database).await? {
            Frame::Other(Message::BackendKeyData(it)) => {
                session.cancel.key = Some((it.process_id(), it.secret_key()));
            }
            Frame::Aside => {}
            Frame::Ready(b'I') => break,
            _ => return Err(diagnose::not_postgres(Stage::Database, target)),
        }
    }
    introduce(&mut session, target).await?;
    Ok(session)
}

async fn receive(session: &mut Session, target: &Target, stage: Stage) -> Result<Frame, Diagnosis> {
    match session.receive().await {
        Ok(Frame::Error(it)) => {
            let error =
                ServerError::read(&it).map_err(|_| diagnose::not_postgres(stage, target))?;
            Err(diagnose::server(stage, &error, target))
        }
        Ok(frame) => Ok(frame),
        Err(Broken::Cut | Broken::Late) => Err(cut(session, target, stage)),
        Err(Broken::Malformed | Broken::RowTooLarge) => Err(diagnose::not_postgres(stage, target)),
    }
}

/// In TLS 1.3 the server judges a client's certificate after the handshake as we see it.
fn cut(session: &Session, target: &Target, stage: Stage) -> Diagnosis {
    match &session.cut_by {
        Some(it) if diagnose::is_alert(it) => diagnose::tls(it, target),
        _ => diagnose::cut(stage, target),
    }
}

async fn send(session: &mut Session, target: &Target) -> Result<(), Diagnosis> {
    match session.send().await {
        Ok(()) => Ok(()),
        // What the server said before it closed may still be there to read.
        Err(_) => Err(match receive(session, target, Stage::Auth).await {
            Err(said) => said,
            Ok(_) => diagnose::cut(Stage::Auth, target),
        }),
    }
}

async fn authenticate(session: &mut Session, target: &Target) -> Result<(), Diagnosis> {
    send(session, target).await?;
    let mut bound = target.tls.channel_binding == ChannelBinding::Require;
    let not_ours = match session.first_bytes().await {
        // A request for authentication, an error, a notice, or another version of the protocol.
        Ok(bytes) if !b"RENv".contains(&bytes[0]) => Some(bytes.to_vec()),
        Ok(_) => None,
        Err(_) => return Err(cut(session, target, Stage::Auth)),
    };
    if let Some(heard) = not_ours {
        return Err(diagnose::not_postgres_but(Stage::Auth, target, &heard));
    }
    let password = target.expose_password().as_bytes();
    let unsendable = |_| diagnose::unsupported_authentication("a password without zero bytes");
    loop {
        let Frame::Other(message) = receive(session, target, Stage::Auth).await? else {
            return Err(diagnose::not_postgres(Stage::Auth, target));
        };
        match message {
            Message::AuthenticationSasl(it) => {
                scram(session, target, &it).await?;
                // From here on the server has proved that it is the one at the other end of TLS.
                bound = false;
                continue;
            }
            // Before anything is sent that somebody in between could use.
            _ if bound => {
                let why = "the server did not ask for a login by SCRAM";
                return Err(diagnose::no_channel_binding(why));
            }
            Message::AuthenticationOk => return Ok(()),
            Message::AuthenticationCleartextPassword => {
                if !session.is_tls() {
                    let what = "the password in clear over a connection without TLS";
                    return Err(diagnose::unsupported_authentication(what));
                }
                frontend::password_message(password, &mut session.outbox).map_err(unsendable)?;
            }
            Message::AuthenticationMd5Password(it) => {
                let hash = md5_hash(target.username.as_bytes(), password, it.salt());
                frontend::password_message(hash.as_bytes(), &mut session.outbox)
                    .map_err(unsendable)?;
            }
            Message::AuthenticationGss | Message::AuthenticationSspi => {
                return Err(diagnose::unsupported_authentication("GSSAPI or SSPI (Kerberos)"));
            }
            Message::AuthenticationKerberosV5 | Message::AuthenticationScmCredential => {
                return Err(diagnose::unsupported_authentication("a method of long ago"));
            }
            _ => return Err(diagnose::not_postgres(Stage::Auth, target)),
        }
        send(session, target).await?;
    }
}

async fn scram(
    session: &mut Session,
    target: &Target,
    offered: &AuthenticationSaslBody,
) -> Result<(), Diagnosis> {
    let (mut plain, mut plus) = (false, false);
    let mut mechanisms = offered.mechanisms();
    while let Some(it) =
        mechanisms.next().map_err(|_| diagnose::not_postgres(Stage::Auth, target))?
    {
        plain |= it == SCRAM_SHA_256;
        plus |= it == SCRAM_SHA_256_PLUS;
    }
    let wish = target.tls.channel_binding;
    let hash = match wish {
        ChannelBinding::Disable => None,
        ChannelBinding::Prefer | ChannelBinding::Require => {
            session.server_certificate().and_then(end_point_hash)
        }
    };
    if wish == ChannelBinding::Require {
        let why = if !session.is_tls() {
            Some("the connection is not encrypted")
        } else if hash.is_none() {
            Some("the server's certificate is signed in a way for which no binding is defined")
        } else if !plus {
            Some("the server does not offer SCRAM-SHA-256-PLUS")
        } else {
            None
        };
        if let Some(why) = why {
            return Err(diagnose::no_channel_binding(why));
        }
    }
    let (binding, mechanism) = match hash {
        Some(hash) if plus => (Binding::tls_server_end_point(hash), SCRAM_SHA_256_PLUS),
        // Says that we could have: a server that could too then knows that somebody in between took its offer away.
        Some(_) if plain => (Binding::unrequested(), SCRAM_SHA_256),
        None if plain => (Binding::unsupported(), SCRAM_SHA_256),
        _ => return Err(diagnose::unsupported_authentication("a SASL mechanism other than SCRAM")),
    };
    let failed = |it| diagnose::login_exchange(&it);
    let mut scram = ScramSha256::new(target.expose_password().as_bytes(), binding);
    frontend::sasl_initial_response(mechanism, scram.message(), &mut session.outbox)
        .map_err(failed)?;
    send(session, target).await?;
    let Frame::Other(Message::AuthenticationSaslContinue(it)) =
        receive(session, target, Stage::Auth).await?
    else {
        return Err(diagnose::not_postgres(Stage::Auth, target));
    };
    scram.update(it.data()).map_err(failed)?;
    frontend::sasl_response(scram.message(), &mut session.outbox).map_err(failed)?;
    send(session, target).await?;
    let Frame::Other(Message::AuthenticationSaslFinal(it)) =
        receive(session, target, Stage::Auth).await?
    else {
        return Err(diagnose::not_postgres(Stage::Auth, target));
    };
    // Here the server proves that it knows the password too.
    scram.finish(it.data()).map_err(failed)
}

/// Asks who answers, and sets the session up if it is the server itself: a pooling proxy invents the process id that it greets
/// with, so the one of the backend behind it is another.
async fn introduce(session: &mut Session, target: &Target) -> Result<(), Diagnosis> {
    let sql = format!(
        "SELECT pg_catalog.pg_backend_pid(), pg_catalog.current_setting('server_version'), \
         pg_catalog.current_setting('server_version_num'), \
         (SELECT pg_catalog.concat({}) WHERE pg_catalog.pg_backend_pid() = $1)",
        settings_calls(false)
    );
    let greeted = session.cancel.key.map_or(0, |(process, _)| process);
    let mut outbox = BytesMut::new();
    let broken = |_| diagnose::not_postgres(Stage::Database, target);
    frontend::parse("", &sql, [23], &mut outbox).map_err(broken)?;
    crate::session::bind("", &[Some(greeted.to_string().as_str())], &mut outbox).map_err(broken)?;
    frontend::execute("", 0, &mut outbox).map_err(broken)?;
    frontend::sync(&mut outbox);
    session.outbox = outbox;
    send(session, target).await?;
    let mut row = None;
    loop {
        match receive(session, target, Stage::Database).await? {
            Frame::Row(it) => row = plinth_queries::RawRow::new(it),
            Frame::Ready(b'I') => break,
            Frame::Ready(_) | Frame::Other(_) => {
                return Err(diagnose::not_postgres(Stage::Database, target));
            }
            _ => {}
        }
    }
    let row = row.ok_or_else(|| diagnose::not_postgres(Stage::Database, target))?;
    let text = |it: Option<Option<&[u8]>>| {
        it.flatten().map(|it| String::from_utf8_lossy(it).into_owned()).unwrap_or_default()
    };
    let mut values = row.values();
    let backend = text(values.next());
    session.server_version = text(values.next());
    session.server_version_num = text(values.next()).parse().unwrap_or_default();
    session.direct = session.cancel.key.is_some() && backend == greeted.to_string();
    if session.server_version_num < OLDEST_VERSION {
        return Err(diagnose::too_old(&session.server_version));
    }
    session.greeted();
    Ok(())
}
