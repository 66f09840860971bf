//! What a server's own error means.

use plinth_connections::{Diagnosis, Fault, SslMode, Stage, Target};

use super::diagnosis;
use crate::wire::ServerError;

pub(crate) fn too_old(version: &str) -> Diagnosis {
    diagnosis(
        Stage::Database,
        Fault::TooOld,
        "This server is too old",
        format!("It is PostgreSQL {version}; Plinth works with 12 and newer."),
        &["Upgrade the server."],
    )
}

/// What a server's error while logging in, or one that ends the session, means.
///
/// By its SQLSTATE first. The words count only where one state means several things; a server may say them in another language, and
/// then the advice is that for all of them.
pub(crate) fn server(stage: Stage, error: &ServerError, target: &Target) -> Diagnosis {
    let said = format!("The server said: {} ({}).", error.message, error.sqlstate);
    let message = error.message.as_str();
    if wants_tls(error, target) {
        return diagnosis(
            Stage::Auth,
            Fault::TlsRequired,
            "The server takes encrypted connections only",
            said,
            &["Set `ssl_mode` to `require` or stronger."],
        );
    }
    if message.contains("channel binding") {
        return channel_binding(said);
    }
    match error.sqlstate.as_str() {
        "28P01" => wrong_password(said, target),
        "28000" => not_authorized(said, message, stage, target),
        "42501" => permission_denied(said, stage, target),
        "3D000" | "57P04" => unknown_database(said, target),
        "55000" => diagnosis(
            Stage::Database,
            Fault::PermissionDenied,
            format!("{} takes no connections", target.database),
            said,
            &[
                "Choose another database: templates and databases under maintenance take none.",
                "Allow it: ALTER DATABASE … ALLOW_CONNECTIONS true.",
            ],
        ),
        "53300" => too_many_connections(said),
        state if state.starts_with("53") => diagnosis(
            Stage::Database,
            Fault::NotReady,
            "The server is out of memory, disk or another resource",
            said,
            &["Try again in a moment.", "Look into the server's log, and at its memory and disk."],
        ),
        "57P03" => not_ready(said, message),
        "57P01" | "57P02" => diagnosis(
            Stage::Database,
            Fault::NotReady,
            "The server is stopping or restarting",
            said,
            &["Try again in a moment."],
        ),
        "40001" => diagnosis(
            Stage::Database,
            Fault::NotReady,
            "The standby gave the session up for its replication",
            said,
            &[
                "Try again in a moment.",
                "If it happens often, raise `max_standby_streaming_delay` at the standby or switch `hot_standby_feedback` on.",
            ],
        ),
        state if state.starts_with("08") => by_a_proxy(said, message, stage, target),
        "0A000" | "22023" | "42704" => diagnosis(
            stage,
            Fault::ServerError,
            "The server does not take the way a session is opened",
            said,
            &[
                "If a pooling proxy stands in front, let it ignore the startup parameters that it does not know (`ignore_startup_parameters` of PgBouncer).",
                "Connect to the server itself.",
            ],
        ),
        // A pooler of many tenants, which finds the tenant by the user's name.
        _ if message.contains("Tenant or user not found") => wrong_password(said, target),
        _ => diagnosis(
            stage,
            Fault::ServerError,
            "The server refused",
            said,
            &["Look up what the server said, and look into its log for more."],
        ),
    }
}

fn wrong_password(said: String, target: &Target) -> Diagnosis {
    let user = &target.username;
    let mut steps = vec![
        "Check user name and password; special characters need no escaping here.",
        "Set it anew at the server: ALTER ROLE … PASSWORD '…'.",
        "A password may have an end: look at `VALID UNTIL` of the role.",
    ];
    if target.tls.client().is_some() {
        // The server says of a certificate with another name the same as of a wrong password.
        steps.push(
            "With `clientcert=verify-full` in `pg_hba.conf`: the client certificate's common name must be the role's name.",
        );
    }
    diagnosis(
        Stage::Auth,
        Fault::WrongPassword,
        format!("The password for {user} is wrong, or there is no such role"),
        said,
        &steps,
    )
}

/// 28000 is everything about who may come in but the password.
fn not_authorized(said: String, message: &str, stage: Stage, target: &Target) -> Diagnosis {
    let user = &target.username;
    if message.contains("pg_hba.conf") {
        return diagnosis(
            Stage::Auth,
            Fault::NotAdmitted,
            "The server admits nobody like this from here",
            said,
            &[
                "Add a line for this role, database and Plinth's address to the server's `pg_hba.conf`, then reload it.",
                "At a hosted service: add Plinth's address to the allowed addresses.",
            ],
        );
    }
    if message.contains("client certificate") || message.contains("certificate authentication") {
        return client_certificate(said, target);
    }
    if ["PAM", "LDAP", "RADIUS", "BSD"].iter().any(|it| message.starts_with(it)) {
        return wrong_password(said, target);
    }
    if ["Peer", "Ident", "GSSAPI", "SSPI"].iter().any(|it| message.starts_with(it)) {
        return diagnosis(
            Stage::Auth,
            Fault::UnsupportedAuthentication,
            "The server asks for a way of logging in that Plinth does not have",
            said,
            &["Let this role log in with `scram-sha-256` in the server's `pg_hba.conf`."],
        );
    }
    if message.contains("does not exist") {
        return diagnosis(
            Stage::Auth,
            Fault::WrongPassword,
            format!("There is no role {user}"),
            said,
            &["Check the user name; upper and lower case matter."],
        );
    }
    permission_denied(said, stage, target)
}

fn permission_denied(said: String, stage: Stage, target: &Target) -> Diagnosis {
    let (user, database) = (&target.username, &target.database);
    diagnosis(
        if stage == Stage::Auth { Stage::Database } else { stage },
        Fault::PermissionDenied,
        format!("{user} may not connect to {database}"),
        said,
        &[
            "Allow it: GRANT CONNECT ON DATABASE … TO …, or ALTER ROLE … LOGIN.",
            "Use another role.",
        ],
    )
}

/// The server found that the login was made for another TLS session, or that its offer to tie it to this one did not get through.
fn channel_binding(said: String) -> Diagnosis {
    diagnosis(
        Stage::Auth,
        Fault::ChannelBinding,
        "Somebody stands between Plinth and the server",
        said,
        &[
            "A proxy opens TLS up: connect to the server itself.",
            "If no proxy is known there, the connection is being listened to: ask whoever runs the network.",
        ],
    )
}

fn unknown_database(said: String, target: &Target) -> Diagnosis {
    diagnosis(
        Stage::Database,
        Fault::UnknownDatabase,
        format!("There is no database {}", target.database),
        said,
        &["Check the database's name; upper and lower case matter."],
    )
}

fn too_many_connections(said: String) -> Diagnosis {
    diagnosis(
        Stage::Database,
        Fault::TooManyConnections,
        "The server has no connection left",
        said,
        &[
            "Try again in a moment.",
            "Close sessions that nobody uses, or raise `max_connections`, or the limit of the role (ALTER ROLE … CONNECTION LIMIT) or of the database.",
            "Connect through a pooling proxy.",
        ],
    )
}

fn not_ready(said: String, message: &str) -> Diagnosis {
    let (title, more): (_, &[&str]) = if message.contains("shutting down") {
        ("The server is shutting down", &[])
    } else if message.contains("recovery") || message.contains("standby") {
        (
            "The server is recovering and takes no connections yet",
            &["A standby takes connections only with `hot_standby = on`."],
        )
    } else {
        ("The server is starting up", &[])
    };
    let steps: Vec<_> =
        ["Try again in a moment."].into_iter().chain(more.iter().copied()).collect();
    diagnosis(Stage::Database, Fault::NotReady, title, said, &steps)
}

/// Connection errors come from proxies; a server itself has none to send.
fn by_a_proxy(said: String, message: &str, stage: Stage, target: &Target) -> Diagnosis {
    if message.contains("no such database") {
        return unknown_database(said, target);
    }
    if message.contains("no such user") {
        return wrong_password(said, target);
    }
    if message.contains("no more connections") {
        return too_many_connections(said);
    }
    diagnosis(
        stage,
        Fault::Disconnected,
        "The server ended the connection",
        said,
        &[
            "Try again in a moment.",
            "If a proxy stands between, look whether it reaches the server behind it.",
            "Look into the server's log for the reason.",
        ],
    )
}

/// The server wants to see a certificate, or another one.
pub(crate) fn client_certificate(said: String, target: &Target) -> Diagnosis {
    if target.tls.client().is_none() {
        return diagnosis(
            Stage::Auth,
            Fault::ClientCertificate,
            "The server wants a client certificate",
            said,
            &[
                "Give a certificate from an authority that the server trusts in `ssl_cert`, and its key in `ssl_key`.",
                "Or take `clientcert` or `cert` out of the line of `pg_hba.conf` that fits.",
            ],
        );
    }
    diagnosis(
        Stage::Auth,
        Fault::ClientCertificate,
        "The server did not take the client certificate",
        said,
        &[
            "Check that the certificate is from an authority in the server's `ssl_ca_file`, with the authorities in between after it in `ssl_cert`.",
            "With `clientcert=verify-full` or `cert` in `pg_hba.conf` its common name must be the role's name.",
            "Check that it has not expired or been revoked.",
        ],
    )
}

/// Servers have no error code of its own for this; hosted ones name the setting in their text.
fn wants_tls(error: &ServerError, target: &Target) -> bool {
    let words = |it: &str| {
        ["no encryption", "SSL off", "sslmode=require", "insecure"].iter().any(|w| it.contains(w))
    };
    let said = words(&error.message) || error.hint.as_deref().is_some_and(words);
    matches!(target.ssl_mode, SslMode::Disable) && said
}

#[cfg(test)]
mod tests {
    use plinth_connections::{Host, Place, TlsMaterial};
    use plinth_core::{Clock as _, OrgId, SystemClock};

    use super::*;
    use crate::diagnose::run_error;
    use plinth_queries::RunError;

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
            ("08P01", "no such database: shop", Fault::UnknownDatabase),
            ("08P01", "no more connections allowed (max_client_conn)", Fault::TooManyConnections),
            ("28000", "connection requires a valid client certificate", Fault::ClientCertificate),
            (
                "28000",
                "certificate authentication failed for user \"ann\"",
                Fault::ClientCertificate,
            ),
            ("28000", "LDAP authentication failed for user \"ann\"", Fault::WrongPassword),
            (
                "28000",
                "Peer authentication failed for user \"ann\"",
                Fault::UnsupportedAuthentication,
            ),
            (
                "28000",
                "pg_hba.conf rejects connection for host \"192.0.2.1\", SSL encryption",
                Fault::NotAdmitted,
            ),
            ("28000", "la connexion est interdite", Fault::PermissionDenied),
            ("53300", "too many connections for role \"ann\"", Fault::TooManyConnections),
            (
                "53300",
                "remaining connection slots are reserved for superusers",
                Fault::TooManyConnections,
            ),
            ("53200", "out of memory", Fault::NotReady),
            (
                "55000",
                "database \"template0\" is not currently accepting connections",
                Fault::PermissionDenied,
            ),
            ("57P01", "terminating connection due to administrator command", Fault::NotReady),
            ("57P03", "the database system is shutting down", Fault::NotReady),
            ("57P03", "the database system is in recovery mode", Fault::NotReady),
            ("57P04", "database \"shop\" was dropped", Fault::UnknownDatabase),
            ("40001", "terminating connection due to conflict with recovery", Fault::NotReady),
            ("0A000", "unsupported startup parameter", Fault::ServerError),
            ("XX000", "Tenant or user not found", Fault::WrongPassword),
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
