use jiff::{SignedDuration, Timestamp};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use secrecy::{ExposeSecret as _, SecretString};
use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::{Cipher, Kdf, LineEnding, PrivateKey};

use super::*;

const NOW: &str = "2026-06-15T12:00:00Z";

fn now() -> Timestamp {
    NOW.parse().expect("a time")
}

struct Made {
    certificate: String,
    key: SecretString,
}

/// A certificate valid in a year, and its key.
fn made(year: i32, authority: bool) -> Made {
    let mut params = CertificateParams::new(vec!["ann".to_owned()]).expect("a name");
    params.not_before = rcgen::date_time_ymd(year, 1, 1);
    params.not_after = rcgen::date_time_ymd(year + 1, 1, 1);
    if authority {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    let key = KeyPair::generate().expect("a key");
    let text = key.serialize_pem();
    let certificate = CertifiedIssuer::self_signed(params, key).expect("signed");
    Made { certificate: certificate.pem(), key: text.into() }
}

fn tls(
    roots: Option<&str>,
    certificate: Option<&str>,
    key: Option<&SecretString>,
) -> Result<TlsMaterial, InvalidTransport> {
    TlsMaterial::parse(roots, certificate, key, ChannelBinding::Prefer, now())
}

fn problem<T: std::fmt::Debug>(result: Result<T, InvalidTransport>) -> (&'static str, String) {
    let error = result.expect_err("refused");
    (error.field.as_str(), error.to_string())
}

#[test]
fn good_certificates_are_kept_as_they_are_and_never_print_their_key() {
    let (root, client) = (made(2026, true), made(2026, false));
    let bundle = format!("# ours\n{}\n{}", made(2020, true).certificate, root.certificate);
    let material = tls(Some(&bundle), Some(&client.certificate), Some(&client.key)).expect("good");
    assert_eq!(material.roots(), Some(bundle.trim()));
    let kept = material.client().expect("a client certificate");
    assert_eq!(kept.chain(), client.certificate.trim());
    assert_eq!(kept.key().expose_secret(), client.key.expose_secret());
    let printed = format!("{material:?}");
    assert!(!printed.contains("KEY") && !printed.contains("MI"), "{printed}");
    assert!(tls(None, None, None).expect("nothing is fine").roots().is_none());
}

#[test]
fn what_is_wrong_with_a_certificate_or_key_is_said_of_its_field() {
    let (good, other) = (made(2026, false), made(2026, false));
    let (old, early) = (made(2024, true), made(2027, false));
    let both = format!("{}{}", good.certificate, good.key.expose_secret());
    let damaged = good.certificate.replacen("MI", "M!", 1);
    let encrypted = SecretString::from(
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    let no_key = SecretString::from("hello");
    let cert = Some(good.certificate.as_str());
    for (result, field, word) in [
        (tls(Some("/etc/ca.pem"), None, None), "ssl_root_cert", "not a file's name"),
        (tls(Some(&damaged), None, None), "ssl_root_cert", "PEM"),
        (tls(Some(&both), None, None), "ssl_root_cert", "private key"),
        (tls(Some(&old.certificate), None, None), "ssl_root_cert", "expired at 2025-01-01"),
        (tls(Some(&"x".repeat(600 << 10)), None, None), "ssl_root_cert", "512 kB"),
        (tls(None, cert, None), "ssl_key", "beside"),
        (tls(None, None, Some(&good.key)), "ssl_cert", "beside"),
        (tls(None, cert, Some(&other.key)), "ssl_key", "not the key of the first"),
        (tls(None, cert, Some(&encrypted)), "ssl_key", "passphrase"),
        (tls(None, cert, Some(&no_key)), "ssl_key", "not a private key"),
        (tls(None, Some(&old.certificate), Some(&old.key)), "ssl_cert", "expired"),
        (tls(None, Some(&early.certificate), Some(&early.key)), "ssl_cert", "not valid before"),
        (tls(None, Some(&both), Some(&good.key)), "ssl_cert", "private key"),
    ] {
        let (at, said) = problem(result);
        assert_eq!(at, field, "{said}");
        assert!(said.contains(word), "{said}");
    }
}

#[test]
fn a_certificate_counts_to_its_last_second() {
    let root = made(2026, true).certificate;
    let end: Timestamp = "2027-01-01T00:00:00Z".parse().expect("a time");
    let at = |time| TlsMaterial::parse(Some(&root), None, None, ChannelBinding::Prefer, time);
    assert!(at(end).is_ok());
    assert!(at(end + SignedDuration::from_secs(1)).is_err());
}

const PASSPHRASE: &str = "open sesame";

fn ed25519() -> PrivateKey {
    PrivateKey::new(KeypairData::Ed25519(Ed25519Keypair::from_seed(&[7; 32])), "a comment")
        .expect("a key")
}

fn text(key: &PrivateKey) -> String {
    key.to_openssh(LineEnding::LF).expect("can be written").to_string()
}

fn encrypted() -> PrivateKey {
    let kdf = Kdf::Bcrypt { salt: vec![1; 16], rounds: 2 };
    ed25519().encrypt_with(Cipher::Aes256Ctr, kdf, 1, PASSPHRASE).expect("encrypted")
}

/// A file that claims so many rounds; to make a real one would take as long as to open it.
fn with_rounds(rounds: u32) -> String {
    use base64::Engine as _;
    let mut bytes = encrypted().to_bytes().expect("can be written").to_vec();
    let salt = bytes.windows(16).position(|it| it == [1; 16]).expect("it is in there");
    bytes[salt + 16..salt + 20].copy_from_slice(&rounds.to_be_bytes());
    let base64 = base64::engine::general_purpose::STANDARD.encode(bytes);
    let lines: Vec<_> = base64.as_bytes().chunks(70).map(String::from_utf8_lossy).collect();
    let name = "OPENSSH PRIVATE KEY";
    format!("-----BEGIN {name}-----\n{}\n-----END {name}-----\n", lines.join("\n"))
}

fn public() -> String {
    ed25519().public_key().to_openssh().expect("can be written")
}

fn by_key(key: &str, passphrase: Option<&str>) -> Result<TunnelCredential, InvalidTransport> {
    let passphrase = passphrase.map(SecretString::from);
    TunnelCredential::parse(None, Some(&key.into()), passphrase.as_ref())
}

#[test]
fn a_private_key_must_open_with_what_is_given() {
    let (plain, locked, public) = (text(&ed25519()), text(&encrypted()), public());
    assert!(by_key(&plain, None).is_ok());
    assert!(by_key(&locked, Some(PASSPHRASE)).is_ok());
    assert_eq!(with_rounds(2), locked, "the change of rounds is the only change");
    let pem = KeyPair::generate().expect("a key").serialize_pem();
    assert!(by_key(&pem, None).is_ok());
    let damaged = plain.replacen("AAAA", "AAA", 1);
    for (result, field, word) in [
        (by_key(&locked, None), "tunnel.passphrase", "encrypted"),
        (by_key(&locked, Some("wrong")), "tunnel.passphrase", "does not open"),
        (by_key(&with_rounds(513), Some(PASSPHRASE)), "tunnel.private_key", "rounds"),
        (by_key(&plain, Some("x")), "tunnel.passphrase", "leave"),
        (by_key(&pem, Some("x")), "tunnel.passphrase", "leave"),
        (by_key(&damaged, None), "tunnel.private_key", "damaged"),
        (by_key(&public, None), "tunnel.private_key", "public"),
        (by_key("~/.ssh/id_ed25519", None), "tunnel.private_key", "file's name"),
        (by_key("PuTTY-User-Key-File-3: x", None), "tunnel.private_key", "PuTTY"),
        (
            by_key("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n", Some("x")),
            "tunnel.private_key",
            "ssh-keygen -p",
        ),
    ] {
        let (at, said) = problem(result);
        assert_eq!(at, field, "{said}");
        assert!(said.contains(word), "{said}");
    }
}

#[test]
fn a_hosts_key_reads_in_the_forms_that_ssh_prints_and_prints_as_it_reads() {
    let commented = public();
    let plain = commented.strip_suffix(" a comment").expect("has one").to_owned();
    for text in [
        plain.clone(),
        commented.clone(),
        format!("bastion.example.com,192.0.2.1 {plain}"),
        format!("|1|aGFzaA==|aGFzaA== {plain}"),
    ] {
        let read: HostKey = text.parse().unwrap_or_else(|it| panic!("{text}: {it}"));
        assert_eq!(read, HostKey::PublicKey(plain.clone()));
        assert_eq!(read.to_string().parse::<HostKey>(), Ok(read));
    }
    let fingerprint = "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU";
    let read: HostKey = fingerprint.parse().expect("a fingerprint");
    assert_eq!(read.to_string(), fingerprint);
    for bad in [
        "",
        "hello",
        "SHA256:short",
        "MD5:aa:bb",
        "ssh-ed25519",
        "ssh-ed25519 AAAA",
        "a\nb",
        "@cert-authority * x y",
    ] {
        assert_eq!(problem(bad.parse::<HostKey>()).0, "tunnel.host_key", "{bad}");
    }
}

#[test]
fn a_tunnel_needs_one_way_to_log_in_and_the_hosts_key() {
    let (password, key) = (SecretString::from("hunter2"), SecretString::from(text(&ed25519())));
    let tunnel = |host, port, username, password, key, host_key| {
        Tunnel::parse(host, port, username, password, key, None, host_key)
    };
    let public = public();
    let host_key = public.as_str();
    let good = tunnel("bastion.test", None, "ann", Some(&password), None, host_key);
    let good = good.expect("good");
    assert_eq!(good.port, DEFAULT_SSH_PORT);
    assert!(!format!("{good:?}").contains("hunter2"));
    let with_key = tunnel("bastion.test", Some(2222), "ann", None, Some(&key), host_key);
    assert!(!format!("{:?}", with_key.expect("good")).contains("OPENSSH"));
    for (result, field) in [
        (tunnel("a/b", None, "ann", Some(&password), None, host_key), "tunnel.host"),
        (tunnel("a", Some(0), "ann", Some(&password), None, host_key), "tunnel.port"),
        (tunnel("a", None, "", Some(&password), None, host_key), "tunnel.username"),
        (tunnel("a", None, "a\nb", Some(&password), None, host_key), "tunnel.username"),
        (tunnel("a", None, "ann", None, None, host_key), "tunnel.password"),
        (tunnel("a", None, "ann", Some(&password), Some(&key), host_key), "tunnel.password"),
        (tunnel("a", None, "ann", Some(&"".into()), None, host_key), "tunnel.password"),
        (tunnel("a", None, "ann", Some(&password), None, ""), "tunnel.host_key"),
    ] {
        assert_eq!(problem(result).0, field);
    }
}
