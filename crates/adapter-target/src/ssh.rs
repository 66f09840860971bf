//! Reaching a database through a bastion: one SSH session for all sessions of a connection, and a channel for each of these.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use plinth_connections::{Diagnosis, Fault, HostKey, Target, Tunnel, TunnelCredential};
use russh::client::{self, AuthResult, KeyboardInteractiveAuthResponse as Interactive};
use russh::keys::{Algorithm, EcdsaCurve, HashAlg, PublicKey, PublicKeyOrCertificate};
use russh::keys::{PrivateKeyWithHashAlg, decode_secret_key};
use russh::{ChannelOpenFailure, ChannelStream, MethodSet, Preferred, SshId};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use crate::diagnose;

/// A bastion that says nothing for so long is asked whether it is there.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// So often it may stay silent then.
const KEEPALIVES_UNANSWERED: usize = 3;

/// Packets that wait for their reader in one channel, each of at most 32 kB. When it is full the whole SSH session waits.
const WAITING_PACKETS: usize = 256;

/// How many questions a bastion may ask where it asks for a password in words.
const QUESTIONS: usize = 3;

/// An SSH session with a bastion. It ends when nobody holds it or a channel of it any more.
pub(crate) struct Ssh {
    handle: client::Handle<Bastion>,
}

impl Ssh {
    /// Agrees on keys, checks who answers, logs in.
    pub(crate) async fn open(socket: TcpStream, tunnel: &Tunnel) -> Result<Self, Diagnosis> {
        let expected = tunnel.host_key.clone();
        let config = client::Config {
            client_id: SshId::Standard(Cow::Borrowed("SSH-2.0-Plinth")),
            keepalive_interval: Some(KEEPALIVE),
            keepalive_max: KEEPALIVES_UNANSWERED,
            channel_buffer_size: WAITING_PACKETS,
            preferred: Preferred { key: algorithms(&expected), ..Preferred::default() },
            ..client::Config::default()
        };
        let mut handle = client::connect_stream(Arc::new(config), socket, Bastion { expected })
            .await
            .map_err(|it| match it {
                Failed::HostKey(shown) => diagnose::tunnel_host_key(&shown, tunnel),
                Failed::Ssh(it) => diagnose::tunnel_handshake(&it, tunnel),
            })?;
        log_in(&mut handle, tunnel).await?;
        Ok(Self { handle })
    }

    fn is_closed(&self) -> bool {
        self.handle.is_closed()
    }

    /// A connection from the bastion to there. The bastion looks the name up.
    pub(crate) async fn channel(
        self: &Arc<Self>,
        host: &str,
        port: u16,
    ) -> Result<Channel, russh::Error> {
        // Where it comes from is for the bastion's log; our own address is nothing to it.
        let channel =
            self.handle.channel_open_direct_tcpip(host, u32::from(port), "127.0.0.1", 0).await?;
        Ok(Channel { stream: channel.into_stream(), ssh: self.clone() })
    }
}

impl fmt::Debug for Ssh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ssh").finish_non_exhaustive()
    }
}

/// What a failure to open a channel means; `None` if the SSH session itself is gone.
pub(crate) fn channel_failure(
    error: &russh::Error,
    tunnel: &Tunnel,
    target: &Target,
) -> Option<Diagnosis> {
    match error {
        russh::Error::ChannelOpenFailure(ChannelOpenFailure::ConnectFailed) => {
            Some(diagnose::tunnel_target(tunnel, target))
        }
        russh::Error::ChannelOpenFailure(ChannelOpenFailure::ResourceShortage) => {
            let found = diagnose::tunnel_target(tunnel, target);
            Some(Diagnosis { fault: Fault::TooManyConnections, ..found })
        }
        russh::Error::ChannelOpenFailure(_) | russh::Error::RequestDenied => {
            Some(diagnose::tunnel_forwarding(tunnel, target))
        }
        _ => None,
    }
}

/// Where the sessions of one pool find their common SSH session.
#[derive(Debug, Default)]
pub(crate) struct TunnelSlot(Mutex<Weak<Ssh>>);

impl TunnelSlot {
    /// The open one, or else what `open` gives. Whoever comes meanwhile waits for that one.
    pub(crate) async fn get(
        &self,
        open: impl Future<Output = Result<Ssh, Diagnosis>>,
    ) -> Result<Arc<Ssh>, Diagnosis> {
        let mut slot = self.0.lock().await;
        if let Some(it) = slot.upgrade().filter(|it| !it.is_closed()) {
            return Ok(it);
        }
        let ssh = Arc::new(open.await?);
        *slot = Arc::downgrade(&ssh);
        Ok(ssh)
    }

    /// Not this one again: it turned out to be gone.
    pub(crate) async fn forget(&self, ssh: &Arc<Ssh>) {
        let mut slot = self.0.lock().await;
        if slot.ptr_eq(&Arc::downgrade(ssh)) {
            *slot = Weak::new();
        }
    }
}

/// A byte stream through a bastion. Keeps the SSH session up.
pub(crate) struct Channel {
    stream: ChannelStream<client::Msg>,
    ssh: Arc<Ssh>,
}

impl Channel {
    pub(crate) fn ssh(&self) -> &Arc<Ssh> {
        &self.ssh
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").finish_non_exhaustive()
    }
}

impl AsyncRead for Channel {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Channel {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        // It takes an empty buffer for a mistake.
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

/// Judges who answers.
struct Bastion {
    expected: HostKey,
}

enum Failed {
    /// The algorithm and the fingerprint that were shown.
    HostKey(String),
    Ssh(russh::Error),
}

impl fmt::Debug for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HostKey(shown) => write!(f, "another host key: {shown}"),
            Self::Ssh(it) => it.fmt(f),
        }
    }
}

impl From<russh::Error> for Failed {
    fn from(error: russh::Error) -> Self {
        Self::Ssh(error)
    }
}

impl client::Handler for Bastion {
    type Error = Failed;

    async fn check_server_key(
        &mut self,
        shown: &PublicKeyOrCertificate,
    ) -> Result<bool, Self::Error> {
        // Certificates of hosts are not asked for, so none comes.
        let PublicKeyOrCertificate::PublicKey { key, .. } = shown else { return Ok(false) };
        let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
        let good = match &self.expected {
            HostKey::Fingerprint(it) => *it == fingerprint,
            HostKey::PublicKey(line) => {
                PublicKey::from_openssh(line).is_ok_and(|it| it.key_data() == key.key_data())
            }
        };
        if good {
            Ok(true)
        } else {
            Err(Failed::HostKey(format!("{} {fingerprint}", key.algorithm())))
        }
    }
}

/// A host has a key for each algorithm and shows the one that we ask for first: ask for the one that we know. Nothing with SHA-1.
fn algorithms(expected: &HostKey) -> Cow<'static, [Algorithm]> {
    let ecdsa = |curve| Algorithm::Ecdsa { curve };
    let all = [
        Algorithm::Ed25519,
        ecdsa(EcdsaCurve::NistP256),
        ecdsa(EcdsaCurve::NistP384),
        ecdsa(EcdsaCurve::NistP521),
        Algorithm::Rsa { hash: Some(HashAlg::Sha512) },
        Algorithm::Rsa { hash: Some(HashAlg::Sha256) },
    ];
    let known = match expected {
        HostKey::PublicKey(line) => PublicKey::from_openssh(line).ok().map(|it| it.algorithm()),
        HostKey::Fingerprint(_) => None,
    };
    let rsa = |it: &Algorithm| matches!(it, Algorithm::Rsa { .. });
    let fits =
        |it: &Algorithm| known.as_ref().is_none_or(|known| known == it || (rsa(known) && rsa(it)));
    // What it has of others comes after, so that a changed algorithm is told as another key and not as no agreement.
    let (first, rest): (Vec<_>, Vec<_>) = all.into_iter().partition(fits);
    Cow::Owned([first, rest].concat())
}

async fn log_in(handle: &mut client::Handle<Bastion>, tunnel: &Tunnel) -> Result<(), Diagnosis> {
    let user = tunnel.username.as_str();
    let broken = |it: russh::Error| diagnose::tunnel_handshake(&it, tunnel);
    let result = match &tunnel.credential {
        TunnelCredential::Password(password) => {
            let password = password.expose_secret();
            match handle.authenticate_password(user, password).await.map_err(broken)? {
                AuthResult::Failure { remaining_methods, partial_success: false }
                    if asks_in_words(&remaining_methods) =>
                {
                    answer_in_words(handle, user, password).await.map_err(broken)?
                }
                other => other,
            }
        }
        TunnelCredential::PrivateKey { key, passphrase } => {
            let passphrase = passphrase.as_ref().map(SecretString::expose_secret);
            let key = decode_secret_key(key.expose_secret().trim(), passphrase)
                .map_err(|_| diagnose::tunnel_key_unreadable(tunnel))?;
            let hash = handle.best_supported_rsa_hash().await.map_err(broken)?.flatten();
            // An old server that does not say: SHA-2 is in all since 2016.
            let hash = hash.or(Some(HashAlg::Sha256));
            let key = PrivateKeyWithHashAlg::new(Arc::new(key), hash);
            handle.authenticate_publickey(user, key).await.map_err(broken)?
        }
    };
    match result {
        AuthResult::Success => Ok(()),
        AuthResult::Failure { remaining_methods, partial_success } => {
            let can: Vec<&str> = remaining_methods.iter().map(Into::into).collect();
            let can = if can.is_empty() { "nothing".to_owned() } else { can.join(", ") };
            Err(diagnose::tunnel_login(&can, partial_success, tunnel))
        }
    }
}

fn asks_in_words(methods: &MethodSet) -> bool {
    methods.contains(&russh::MethodKind::KeyboardInteractive)
}

/// Many servers ask for the password only so. What else they ask we do not know.
async fn answer_in_words(
    handle: &mut client::Handle<Bastion>,
    user: &str,
    password: &str,
) -> Result<AuthResult, russh::Error> {
    let mut asked = handle.authenticate_keyboard_interactive_start(user, None).await?;
    for _ in 0..QUESTIONS {
        match asked {
            Interactive::Success => return Ok(AuthResult::Success),
            Interactive::Failure { remaining_methods, partial_success } => {
                return Ok(AuthResult::Failure { remaining_methods, partial_success });
            }
            Interactive::InfoRequest { prompts, .. } => {
                let answers = prompts
                    .iter()
                    .map(|it| if it.echo { String::new() } else { password.to_owned() })
                    .collect();
                asked = handle.authenticate_keyboard_interactive_respond(answers).await?;
            }
        }
    }
    Ok(AuthResult::Failure { remaining_methods: MethodSet::empty(), partial_success: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_taken_as_pem_can_be_read() {
        use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};
        for kind in [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ED25519] {
            let pem = KeyPair::generate_for(kind).expect("a key").serialize_pem();
            let taken = TunnelCredential::parse(None, Some(&pem.clone().into()), None);
            assert!(taken.is_ok(), "{kind:?}");
            assert!(decode_secret_key(pem.trim(), None).is_ok(), "{kind:?}");
        }
    }

    #[test]
    fn the_known_algorithm_is_asked_for_first_and_sha1_never() {
        let rsa = HostKey::PublicKey("ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAQQC7".to_owned());
        // A key that cannot be read leaves the order alone; it was checked before it came here.
        assert_eq!(algorithms(&rsa)[0], Algorithm::Ed25519);
        let ecdsa = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBGsX0fLhLEJH+Lzm5WOkQPJ3A32BLeszoPShOUXYmMKWT+NC4v4af5uO5+tKfA+eFivOM1drMV7Oy7ZAaDe/UfU=";
        let first = algorithms(&HostKey::PublicKey(ecdsa.to_owned()))[0].clone();
        assert_eq!(first, Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 });
        let fingerprint = HostKey::Fingerprint("SHA256:x".to_owned());
        assert_eq!(algorithms(&fingerprint).len(), 6);
        assert!(!algorithms(&fingerprint).contains(&Algorithm::Rsa { hash: None }));
    }
}
