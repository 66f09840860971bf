//! Finding and judging the address.

use std::io;

use plinth_connections::{Diagnosis, Fault, Stage};
use plinth_egress::Refusal;

use super::diagnosis;

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
