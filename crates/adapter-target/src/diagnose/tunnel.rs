//! The way through a bastion. All of it comes before the database, so it belongs to the stage of connecting.

use std::io;

use plinth_connections::{Diagnosis, Fault, Stage, Target, Tunnel};
use plinth_egress::Refusal;

use super::{diagnosis, place, refusal, words};

fn bastion(tunnel: &Tunnel) -> String {
    format!("the bastion {}:{}", tunnel.host, tunnel.port)
}

/// The bastion's own address is judged as a database's is.
pub(crate) fn tunnel_refusal(refused: &Refusal) -> Diagnosis {
    let mut found = refusal(refused);
    found.title = format!("{} (the bastion)", found.title);
    found
}

pub(crate) fn tunnel_unreachable(error: &io::Error, tunnel: &Tunnel) -> Diagnosis {
    unreachable(tunnel, &format!("The network said: {}.", words(error)))
}

pub(crate) fn tunnel_timed_out(tunnel: &Tunnel) -> Diagnosis {
    unreachable(tunnel, "It did not answer, or did not let us log in, in time.")
}

/// It answers, but not as an SSH server, or we have no algorithm in common.
pub(crate) fn tunnel_handshake(error: &russh::Error, tunnel: &Tunnel) -> Diagnosis {
    unreachable(tunnel, &format!("The SSH session could not be set up: {}.", words(error)))
}

fn unreachable(tunnel: &Tunnel, why: &str) -> Diagnosis {
    diagnosis(
        Stage::Connect,
        Fault::TunnelUnreachable,
        format!("No SSH session to {}", bastion(tunnel)),
        why,
        &[
            "Check host and port of the bastion; SSH's own port is 22.",
            "Allow connections from Plinth's address in the bastion's firewall.",
            "Check that its SSH server runs and takes current algorithms.",
        ],
    )
}

/// `shown` is the algorithm and fingerprint of the key that the bastion has.
pub(crate) fn tunnel_host_key(shown: &str, tunnel: &Tunnel) -> Diagnosis {
    diagnosis(
        Stage::Connect,
        Fault::TunnelHostKey,
        format!("{} is not the one that was expected", capital(&bastion(tunnel))),
        format!(
            "It showed the key {shown}, and not the expected one. Somebody may be in between, or the bastion has a new key. \
             Nothing was sent."
        ),
        &[
            "Look at the bastion itself which keys it has (`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`); do not trust what is shown here without that.",
            "A host has a key for each algorithm: give the public key or the fingerprint of the one that is shown, if it is the bastion's own.",
        ],
    )
}

/// `can` are the ways of logging in that the bastion would take.
pub(crate) fn tunnel_login(can: &str, more_needed: bool, tunnel: &Tunnel) -> Diagnosis {
    let explanation = if more_needed {
        format!(
            "It took what we have and wants a second proof ({can}), which a program cannot give."
        )
    } else {
        format!("It did not take the password or key of {}. It would take: {can}.", tunnel.username)
    };
    diagnosis(
        Stage::Connect,
        Fault::TunnelLogin,
        format!("{} did not let us log in", capital(&bastion(tunnel))),
        explanation,
        &[
            "Check `tunnel.username`.",
            "Put the public key that belongs to `tunnel.private_key` into the account's `~/.ssh/authorized_keys`.",
            "With a password: check that the bastion takes passwords (`PasswordAuthentication yes`).",
        ],
    )
}

/// The key was good when it was given.
pub(crate) fn tunnel_key_unreadable(tunnel: &Tunnel) -> Diagnosis {
    diagnosis(
        Stage::Connect,
        Fault::TunnelLogin,
        "The tunnel's private key cannot be used",
        format!("The key for {} could not be read with its passphrase.", bastion(tunnel)),
        &["Give `tunnel.private_key` and `tunnel.passphrase` anew."],
    )
}

pub(crate) fn tunnel_forwarding(tunnel: &Tunnel, target: &Target) -> Diagnosis {
    diagnosis(
        Stage::Connect,
        Fault::TunnelForwarding,
        format!("{} does not forward to {}", capital(&bastion(tunnel)), place(target)),
        "We logged in, but it is told not to open connections for us, or not to there.",
        &[
            "Allow it in the bastion's `sshd_config`: `AllowTcpForwarding local`, and `PermitOpen` with the database's host and port.",
            "Look at the line of the key in `authorized_keys`: `restrict` and `no-port-forwarding` forbid it, `permitopen` narrows it.",
        ],
    )
}

/// The bastion is in order, and cannot reach the database.
pub(crate) fn tunnel_target(tunnel: &Tunnel, target: &Target) -> Diagnosis {
    let place = place(target);
    diagnosis(
        Stage::Connect,
        Fault::TunnelTarget,
        format!("{} cannot reach {place}", capital(&bastion(tunnel))),
        "We logged in to the bastion; it looked the database's host up and tried to connect, without success.",
        &[
            "Check host and port of the database as the bastion sees them: `localhost` is the bastion itself.",
            "Check that the database runs and that its firewall lets the bastion in.",
        ],
    )
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |it| it.to_uppercase().chain(letters).collect())
}
