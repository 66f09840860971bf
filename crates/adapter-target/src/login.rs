//! Logging in, and finding out who answered.

use bytes::BytesMut;
use fallible_iterator::FallibleIterator as _;
use plinth_connections::{Diagnosis, Stage, Target};
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{
    ChannelBinding, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256,
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
        Err(Broken::Cut | Broken::Late) => Err(diagnose::cut(stage, target)),
        Err(Broken::Malformed | Broken::RowTooLarge) => Err(diagnose::not_postgres(stage, target)),
    }
}

async fn send(session: &mut Session, target: &Target) -> Result<(), Diagnosis> {
    session.send().await.map_err(|_| diagnose::cut(Stage::Auth, target))
}

async fn authenticate(session: &mut Session, target: &Target) -> Result<(), Diagnosis> {
    send(session, target).await?;
    let password = target.expose_password().as_bytes();
    let unsendable = |_| diagnose::unsupported_authentication("a password without zero bytes");
    loop {
        let Frame::Other(message) = receive(session, target, Stage::Auth).await? else {
            return Err(diagnose::not_postgres(Stage::Auth, target));
        };
        match message {
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
            Message::AuthenticationSasl(it) => {
                scram(session, target, &it).await?;
                continue;
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
    let hash = session.server_certificate().and_then(end_point_hash);
    let (binding, mechanism) = match hash {
        Some(hash) if plus => (ChannelBinding::tls_server_end_point(hash), SCRAM_SHA_256_PLUS),
        // Says that we could have: a server that could too then knows that somebody in between took its offer away.
        Some(_) if plain => (ChannelBinding::unrequested(), SCRAM_SHA_256),
        None if plain => (ChannelBinding::unsupported(), SCRAM_SHA_256),
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
