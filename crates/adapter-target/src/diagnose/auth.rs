//! Logging in, as far as it is ours to say and not the server's.

use std::io;

use plinth_connections::{Diagnosis, Fault, Stage};

use super::diagnosis;

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

/// The login must be tied to the TLS session, and cannot be.
pub(crate) fn no_channel_binding(why: &str) -> Diagnosis {
    diagnosis(
        Stage::Auth,
        Fault::ChannelBinding,
        "The login cannot be tied to the TLS session",
        format!(
            "`channel_binding` is `require`, but {why}. Nothing was sent that could be passed on."
        ),
        &[
            "Check that no proxy between Plinth and the server opens TLS up.",
            "Let the role log in with `scram-sha-256` over TLS (`pg_hba.conf`), with a password that was set under `password_encryption = scram-sha-256`.",
            "With `channel_binding` `prefer` the login works without it.",
        ],
    )
}
