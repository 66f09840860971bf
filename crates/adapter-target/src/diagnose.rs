//! What went wrong on the way to a database, in words that help its owner.

use std::io;

use plinth_connections::{Diagnosis, Fault, Place, SslMode, Stage, Target};
use plinth_egress::Refusal;
use plinth_queries::RunError;
use rustls::CertificateError;

use crate::wire::ServerError;

/// The oldest server that is supported, as `server_version_num`: PostgreSQL 12, whose catalogs have everything that introspection reads.
pub(crate) const OLDEST_VERSION: u32 = 12_00_00;

fn diagnosis(
    stage: Stage,
    fault: Fault,
    title: impl Into<String>,
    explanation: impl Into<String>,
    fix_steps: &[&str],
) -> Diagnosis {
    let retryable = matches!(
        fault,
        Fault::TimedOut
            | Fault::Unreachable
            | Fault::ConnectionRefused
            | Fault::TooManyConnections
            | Fault::NotReady
            | Fault::Disconnected
    );
    Diagnosis {
        stage,
        fault,
        title: title.into(),
        explanation: explanation.into(),
        fix_steps: fix_steps.iter().map(|it| (*it).to_owned()).collect(),
        retryable,
    }
}

/// Where a target is, as its owner typed it.
pub(crate) fn place(target: &Target) -> String {
    match &target.place {
        Place::Typed { host, port } => format!("{host}:{port}"),
        Place::Managed { server } => format!("Plinth's own server `{server}`"),
    }
}

pub(crate) fn refusal(refusal: &Refusal) -> Diagnosis {
    let resolve = Stage::Resolve;
    match refusal {
        Refusal::Unresolved { host, source } if source.kind() == io::ErrorKind::TimedOut => {
            diagnosis(
                resolve,
                Fault::TimedOut,
                format!("Looking up {host} took too long"),
                "No name server answered in time.",
                &[
                    "Try again in a moment.",
                    "Check the name servers of the machine Plinth runs on.",
                ],
            )
        }
        Refusal::Malformed { host }
        | Refusal::Unresolved { host, .. }
        | Refusal::NoAddress { host } => diagnosis(
            resolve,
            Fault::UnknownHost,
            format!("The host {host} is not known"),
            "No address belongs to this name, as seen from the machine that Plinth runs on.",
            &[
                "Check the spelling of the host.",
                "If it is a name of a private network, give a name or address that Plinth's machine can resolve.",
            ],
        ),
        Refusal::Forbidden { .. } => diagnosis(
            resolve,
            Fault::AddressNotAllowed,
            "This address may not be reached from here",
            format!("{refusal}."),
            &[
                "Use the database's public address.",
                "If the database is on a network of yours, ask the operator of Plinth to add that network to PLINTH_EGRESS_ALLOW.",
            ],
        ),
        Refusal::Own { .. } => diagnosis(
            resolve,
            Fault::AddressNotAllowed,
            "This address is Plinth's own",
            format!("{refusal}."),
            &["Check host and port: they lead to Plinth itself, not to a database of yours."],
        ),
    }
}

pub(crate) fn not_running(server: &str) -> Diagnosis {
    diagnosis(
        Stage::Connect,
        Fault::NotReady,
        format!("Plinth's server `{server}` does not run"),
        "Plinth runs this database server itself, and it is not up at the moment.",
        &["Try again in a moment.", "If it stays so, ask the operator to look at Plinth's log."],
    )
}

pub(crate) fn timed_out(stage: Stage, target: &Target) -> Diagnosis {
    let place = place(target);
    match stage {
        Stage::Resolve => diagnosis(
            stage,
            Fault::TimedOut,
            "Looking up the host took too long",
            "No name server answered in time.",
            &["Try again in a moment.", "Check the spelling of the host."],
        ),
        Stage::Connect => diagnosis(
            stage,
            Fault::TimedOut,
            format!("{place} does not answer"),
            "The connection attempt was neither accepted nor refused. A firewall that drops packets looks like this.",
            &[
                "Allow connections from Plinth's address in the database's firewall, security group or IP allow-list.",
                "Check host and port.",
                "Check that the server is running.",
            ],
        ),
        Stage::Tls | Stage::Auth | Stage::Database | Stage::ReadSchema => diagnosis(
            stage,
            Fault::TimedOut,
            format!("{place} accepted the connection, then fell silent"),
            "Something listens on this port but did not finish the login in time. The server may be overloaded, waking from sleep, or not be Postgres.",
            &[
                "Try again in a moment: a suspended database takes some seconds to wake.",
                "Check that the port is that of Postgres (5432 by default).",
                "Look at the server's load and its log.",
            ],
        ),
    }
}

pub(crate) fn connect(error: &io::Error, target: &Target) -> Diagnosis {
    let place = place(target);
    match error.kind() {
        io::ErrorKind::ConnectionRefused => diagnosis(
            Stage::Connect,
            Fault::ConnectionRefused,
            format!("Nobody listens on {place}"),
            "The machine answered that this port is closed.",
            &[
                "Check the port.",
                "Check that the server is running and that its `listen_addresses` include this address.",
                "Check that a firewall does not reject connections from Plinth.",
            ],
        ),
        io::ErrorKind::TimedOut => timed_out(Stage::Connect, target),
        _ => diagnosis(
            Stage::Connect,
            Fault::Unreachable,
            format!("{place} cannot be reached"),
            format!("The network said: {error}."),
            &[
                "Check the host.",
                "Check that Plinth's machine has a route to that network (VPN, peering, IPv6).",
            ],
        ),
    }
}

/// The connection ended before or while logging in.
pub(crate) fn cut(stage: Stage, target: &Target) -> Diagnosis {
    let place = place(target);
    diagnosis(
        stage,
        Fault::Disconnected,
        format!("{place} closed the connection"),
        "The connection was accepted and then cut without a word. A proxy, a firewall or an overloaded server does so; so does a server that demands TLS when it is off.",
        &[
            "Try again in a moment.",
            "If `ssl_mode` is `disable`, try `require`.",
            "Look into the server's log for the reason.",
        ],
    )
}

/// A session that had worked was cut.
pub(crate) fn disconnected(words: Option<&ServerError>) -> Diagnosis {
    let explanation = match words {
        Some(it) => format!("The server said: {} ({}).", it.message, it.sqlstate),
        None => {
            "The session was open and was cut: the server was restarted, or something on the way closed it."
                .to_owned()
        }
    };
    diagnosis(
        Stage::Database,
        Fault::Disconnected,
        "The connection to the database was cut",
        explanation,
        &["Try again in a moment.", "Look into the server's log for the reason."],
    )
}

/// A server broke the protocol on a session that had worked.
pub(crate) fn broken_protocol() -> Diagnosis {
    diagnosis(
        Stage::Database,
        Fault::Disconnected,
        "The database's answer could not be understood",
        "It did not follow Postgres's protocol, so the session was closed. A proxy between Plinth and the database may have garbled it.",
        &["Try again.", "If a proxy stands between, connect to the server itself."],
    )
}

pub(crate) fn not_postgres(stage: Stage, target: &Target) -> Diagnosis {
    let place = place(target);
    diagnosis(
        stage,
        Fault::NotPostgres,
        format!("What answers on {place} is not Postgres"),
        "It does not speak Postgres's protocol. A web server, another database or a proxy may be listening there.",
        &["Check the port: Postgres's own is 5432.", "Check the host."],
    )
}

pub(crate) fn tls_not_offered(mode: SslMode) -> Diagnosis {
    diagnosis(
        Stage::Tls,
        Fault::TlsNotOffered,
        "The server has TLS switched off",
        format!("`ssl_mode` is `{}`, and the server answered that it has no TLS.", mode.as_str()),
        &[
            "Switch TLS on at the server (`ssl = on` with a certificate).",
            "If the network in between is trusted, set `ssl_mode` to `prefer` or `disable`.",
        ],
    )
}

pub(crate) fn tls(error: &io::Error, target: &Target) -> Diagnosis {
    let inner = error.get_ref().and_then(|it| it.downcast_ref::<rustls::Error>());
    let Some(inner) = inner else {
        return match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe => diagnosis(
                Stage::Tls,
                Fault::TlsFailed,
                "The server broke the TLS handshake off",
                format!("It offered TLS and then closed the connection ({error})."),
                &[
                    "Look into the server's log for the reason.",
                    "Check that the server's TLS is version 1.2 or newer.",
                ],
            ),
            _ => tls_failed(&error.to_string()),
        };
    };
    let rustls::Error::InvalidCertificate(wrong) = inner else {
        return tls_failed(&inner.to_string());
    };
    let host = match &target.place {
        Place::Typed { host, .. } => host.as_str(),
        Place::Managed { server } => server,
    };
    match wrong {
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => diagnosis(
            Stage::Tls,
            Fault::CertificateExpired,
            "The server's certificate is out of date",
            format!("It has expired or is not valid yet ({inner})."),
            &[
                "Renew the certificate at the server.",
                "Check the clocks of the server and of Plinth's machine.",
                "Until then `ssl_mode` `require` encrypts without checking it.",
            ],
        ),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            diagnosis(
                Stage::Tls,
                Fault::CertificateWrongName,
                format!("The server's certificate is not for {host}"),
                format!(
                    "`ssl_mode` `verify-full` wants a certificate that names the host as a subject alternative name; \
                     the common name alone does not count ({inner})."
                ),
                &[
                    "Use the host that the certificate names.",
                    "Make a certificate with this host as a subject alternative name.",
                    "`ssl_mode` `verify-ca` trusts the authority without looking at the name.",
                ],
            )
        }
        _ => diagnosis(
            Stage::Tls,
            Fault::CertificateUntrusted,
            "The server's certificate is not from a trusted authority",
            format!(
                "It is self-signed, or from an authority that this machine does not know ({inner})."
            ),
            &[
                "Ask the operator of Plinth to add the authority's certificate to the trusted ones.",
                "Use a certificate from a public authority.",
                "`ssl_mode` `require` encrypts without checking who answers.",
            ],
        ),
    }
}

fn tls_failed(words: &str) -> Diagnosis {
    diagnosis(
        Stage::Tls,
        Fault::TlsFailed,
        "TLS could not be agreed on with the server",
        format!("The handshake failed: {words}."),
        &[
            "Check that the server allows TLS 1.2 or newer.",
            "Check that the port is that of Postgres and not of a TLS proxy for something else.",
        ],
    )
}

pub(crate) fn unsupported_authentication(what: &str) -> Diagnosis {
    diagnosis(
        Stage::Auth,
        Fault::UnsupportedAuthentication,
        "The server asks for a way of logging in that Plinth does not have",
        format!(
            "It asks for {what}. Plinth logs in with a password by SCRAM-SHA-256, MD5, or in clear over TLS only."
        ),
        &[
            "Let this role log in with `scram-sha-256` in the server's `pg_hba.conf`.",
            "If the server wants the password in clear, set `ssl_mode` to `require` or stronger.",
        ],
    )
}

/// The server could not prove that it knows the password, or broke the rules of the exchange.
pub(crate) fn login_exchange(error: &io::Error) -> Diagnosis {
    diagnosis(
        Stage::Auth,
        Fault::UnsupportedAuthentication,
        "The login exchange with the server failed",
        format!("SCRAM was begun and did not come to its end: {error}."),
        &[
            "Check that no proxy between Plinth and the server opens TLS up: the login is bound to the server's certificate.",
            "Connect to the server itself.",
        ],
    )
}

pub(crate) fn too_old(version: &str) -> Diagnosis {
    diagnosis(
        Stage::Database,
        Fault::TooOld,
        "This server is too old",
        format!("It is PostgreSQL {version}; Plinth works with 12 and newer."),
        &["Upgrade the server."],
    )
}

pub(crate) fn busy() -> Diagnosis {
    diagnosis(
        Stage::Connect,
        Fault::TooManyConnections,
        "All of Plinth's sessions on this database are in use",
        "Plinth keeps to a limit of sessions for each connection, and none became free in time.",
        &["Try again in a moment."],
    )
}

/// What a server's error while logging in, or one that ends the session, means.
pub(crate) fn server(stage: Stage, error: &ServerError, target: &Target) -> Diagnosis {
    let said = format!("The server said: {} ({}).", error.message, error.sqlstate);
    let (user, database) = (&target.username, &target.database);
    match error.sqlstate.as_str() {
        "28P01" => diagnosis(
            Stage::Auth,
            Fault::WrongPassword,
            format!("The password for {user} is wrong, or there is no such role"),
            said,
            &[
                "Check user name and password; special characters need no escaping here.",
                "Set it anew at the server: ALTER ROLE … PASSWORD '…'.",
            ],
        ),
        "28000" if wants_tls(error, target) => diagnosis(
            Stage::Auth,
            Fault::TlsRequired,
            "The server takes encrypted connections only",
            said,
            &["Set `ssl_mode` to `require` or stronger."],
        ),
        "28000" if error.message.contains("pg_hba.conf") => diagnosis(
            Stage::Auth,
            Fault::NotAdmitted,
            "The server admits nobody like this from here",
            said,
            &[
                "Add a line for this role, database and Plinth's address to the server's `pg_hba.conf`, then reload it.",
                "At a hosted service: add Plinth's address to the allowed addresses.",
            ],
        ),
        "28000" if error.message.contains("does not exist") => diagnosis(
            Stage::Auth,
            Fault::WrongPassword,
            format!("There is no role {user}"),
            said,
            &["Check the user name; upper and lower case matter."],
        ),
        "28000" | "42501" => diagnosis(
            if stage == Stage::Auth { Stage::Database } else { stage },
            Fault::PermissionDenied,
            format!("{user} may not connect to {database}"),
            said,
            &[
                "Allow it: GRANT CONNECT ON DATABASE … TO …, or ALTER ROLE … LOGIN.",
                "Use another role.",
            ],
        ),
        "3D000" => diagnosis(
            Stage::Database,
            Fault::UnknownDatabase,
            format!("There is no database {database}"),
            said,
            &["Check the database's name; upper and lower case matter."],
        ),
        "53300" => diagnosis(
            Stage::Database,
            Fault::TooManyConnections,
            "The server has no connection left",
            said,
            &[
                "Try again in a moment.",
                "Close sessions that nobody uses, or raise `max_connections` or the role's limit.",
            ],
        ),
        "57P03" | "57P01" | "57P02" => diagnosis(
            Stage::Database,
            Fault::NotReady,
            "The server is starting or stopping",
            said,
            &["Try again in a moment."],
        ),
        state if state.starts_with("08") => diagnosis(
            stage,
            Fault::Disconnected,
            "The server ended the connection",
            said,
            &["Try again in a moment.", "Look into the server's log for the reason."],
        ),
        _ if wants_tls(error, target) => diagnosis(
            Stage::Auth,
            Fault::TlsRequired,
            "The server takes encrypted connections only",
            said,
            &["Set `ssl_mode` to `require` or stronger."],
        ),
        _ => diagnosis(
            stage,
            Fault::ServerError,
            "The server refused",
            said,
            &["Look up what the server said, and look into its log for more."],
        ),
    }
}

/// Servers have no error code of its own for this; hosted ones name the setting in their text.
fn wants_tls(error: &ServerError, target: &Target) -> bool {
    let words = |it: &str| {
        ["no encryption", "SSL off", "sslmode=require", "insecure"].iter().any(|w| it.contains(w))
    };
    let said = words(&error.message) || error.hint.as_deref().is_some_and(words);
    matches!(target.ssl_mode, SslMode::Disable) && said
}

/// What a statement's error means for its caller.
pub(crate) fn run_error(error: ServerError) -> RunError {
    let cut = error.fatal
        || error.sqlstate.starts_with("08")
        || matches!(error.sqlstate.as_str(), "57P01" | "57P02" | "57P03" | "57P05" | "25P03");
    if cut {
        RunError::Connection(Box::new(disconnected(Some(&error))))
    } else {
        RunError::Database(Box::new(error.into()))
    }
}

/// What a failed read of the catalog means.
pub(crate) fn read_schema(error: RunError) -> Diagnosis {
    let stage = Stage::ReadSchema;
    match error {
        RunError::Connection(it) => *it,
        RunError::Busy => busy(),
        RunError::TimedOut(limit) => diagnosis(
            stage,
            Fault::TimedOut,
            "Reading the catalog took too long",
            format!("It was not done within {} ms and was cancelled.", limit.as_millis()),
            &["Try again when the server is less busy."],
        ),
        RunError::Cancelled => diagnosis(
            stage,
            Fault::ServerError,
            "Reading the catalog was cancelled",
            "Somebody cancelled it at the server.",
            &["Try again."],
        ),
        RunError::RowTooLarge { limit_bytes } => diagnosis(
            stage,
            Fault::ServerError,
            "The catalog has a row that is too large",
            format!("A single row has more than {limit_bytes} bytes."),
            &["Look for a view or comment of unusual length."],
        ),
        RunError::Database(it) => diagnosis(
            stage,
            if it.sqlstate == "42501" { Fault::PermissionDenied } else { Fault::ServerError },
            "The catalog could not be read",
            format!("The server said: {} ({}).", it.message, it.sqlstate),
            &["Check that the role may read the system catalogs, as every role may by default."],
        ),
    }
}

#[cfg(test)]
mod tests {
    use plinth_connections::{Host, TlsMaterial};
    use plinth_core::{Clock as _, OrgId, SystemClock};

    use super::*;

    fn target(ssl_mode: SslMode) -> Target {
        Target {
            connection: None,
            org: OrgId::new(SystemClock.now()),
            place: Place::Typed {
                host: Host::parse("db.example.com").expect("a host"),
                port: 5432,
            },
            database: "shop".to_owned(),
            username: "ann".to_owned(),
            password: "secret".to_owned().into(),
            ssl_mode,
            tls: TlsMaterial::default(),
            tunnel: None,
            version: 1,
        }
    }

    #[test]
    fn what_servers_say_is_understood_and_passed_on() {
        let cases = [
            ("28P01", "password authentication failed for user \"ann\"", Fault::WrongPassword),
            ("28000", "role \"ann\" does not exist", Fault::WrongPassword),
            ("28000", "role \"ann\" is not permitted to log in", Fault::PermissionDenied),
            ("42501", "permission denied for database \"shop\"", Fault::PermissionDenied),
            (
                "28000",
                "no pg_hba.conf entry for host \"192.0.2.1\", SSL encryption",
                Fault::NotAdmitted,
            ),
            (
                "28000",
                "no pg_hba.conf entry for host \"192.0.2.1\", no encryption",
                Fault::TlsRequired,
            ),
            ("XX000", "connection is insecure (try using `sslmode=require`)", Fault::TlsRequired),
            ("3D000", "database \"shop\" does not exist", Fault::UnknownDatabase),
            ("53300", "sorry, too many clients already", Fault::TooManyConnections),
            ("57P03", "the database system is starting up", Fault::NotReady),
            ("08P01", "server login has been failing", Fault::Disconnected),
            ("XX000", "out of luck", Fault::ServerError),
        ];
        for (sqlstate, message, fault) in cases {
            let error = ServerError {
                sqlstate: sqlstate.to_owned(),
                message: message.to_owned(),
                ..ServerError::default()
            };
            let found = server(Stage::Auth, &error, &target(SslMode::Disable));
            assert_eq!(found.fault, fault, "{message}");
            assert!(found.explanation.contains(message), "{found:?}");
            assert!(!found.fix_steps.is_empty());
        }
    }

    #[test]
    fn an_encrypted_client_is_not_told_to_encrypt() {
        let error = ServerError {
            sqlstate: "28000".to_owned(),
            message: "no pg_hba.conf entry for host \"192.0.2.1\", no encryption".to_owned(),
            ..ServerError::default()
        };
        let found = server(Stage::Auth, &error, &target(SslMode::Prefer));
        assert_eq!(found.fault, Fault::NotAdmitted);
    }

    #[test]
    fn what_ends_a_session_is_no_fault_of_the_statement() {
        let error = |sqlstate: &str, fatal| ServerError {
            sqlstate: sqlstate.to_owned(),
            fatal,
            ..ServerError::default()
        };
        for (sqlstate, fatal) in
            [("57P01", true), ("57P01", false), ("08006", false), ("XX000", true)]
        {
            assert!(
                matches!(run_error(error(sqlstate, fatal)), RunError::Connection(_)),
                "{sqlstate}"
            );
        }
        assert!(matches!(run_error(error("42P01", false)), RunError::Database(_)));
    }
}
