use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use secrecy::ExposeSecret as _;
use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::{LineEnding, PrivateKey};

use super::*;

const HOST_KEY: &str = "SHA256:uNiVztksCsDhcc0u9e8BrhSYLaGYTHMtt1MUJMYFSnk";
const OTHER_KEY: &str = "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU";

fn now() -> Timestamp {
    "2026-06-15T12:00:00Z".parse().expect("a time")
}

/// A certificate authority as PEM.
fn authority() -> String {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.not_before = rcgen::date_time_ymd(2026, 1, 1);
    params.not_after = rcgen::date_time_ymd(2027, 1, 1);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    CertifiedIssuer::self_signed(params, key).expect("signed").pem()
}

fn host(name: &str) -> Host {
    Host::parse(name).expect("a good host")
}

/// A login with a bastion and the password `kept`.
fn login(ssl_mode: SslMode, roots: Option<&str>, channel_binding: ChannelBinding) -> Login {
    let tls = TlsMaterial::parse(roots, None, None, channel_binding, now()).expect("good");
    let password = SecretString::from("bastion");
    let tunnel =
        Tunnel::parse("bastion.test", None, "tunnel", Some(&password), None, None, HOST_KEY);
    Login {
        place: Place::Typed { host: host("db.test"), port: 5432 },
        database: "shop".to_owned(),
        username: "reader".to_owned(),
        password: "kept".into(),
        ssl_mode,
        tls,
        tunnel: Some(tunnel.expect("a good tunnel")),
    }
}

/// The field that an error names, `None` if the change is made.
fn refused(before: &Login, patch: &LoginPatch) -> Option<&'static str> {
    match patch.clone().apply(before, now()) {
        Ok(_) => None,
        Err(ConnectionError::Invalid(err)) => Some(err.field()),
        Err(ConnectionError::Transport(err)) => Some(err.field.as_str()),
        Err(err) => panic!("{err}"),
    }
}

/// That the change is refused without a password, and made with one.
fn assert_exposes(before: &Login, patch: LoginPatch) {
    assert_eq!(refused(before, &patch), Some("password"), "{patch:?}");
    let patch = LoginPatch { password: Some("new".into()), ..patch };
    let after = patch.clone().apply(before, now()).unwrap_or_else(|err| panic!("{patch:?}: {err}"));
    assert_eq!(after.password.expose_secret(), "new");
}

fn tunnel(patch: TunnelPatch) -> LoginPatch {
    LoginPatch { tunnel: Patch::Set(patch), ..LoginPatch::default() }
}

#[test]
fn a_kept_password_goes_to_no_other_place() {
    let before = login(SslMode::Prefer, None, ChannelBinding::Prefer);
    let patch = LoginPatch::default;
    assert_exposes(&before, LoginPatch { host: Some(host("evil.test")), ..patch() });
    assert_exposes(&before, LoginPatch { port: Some(6432), ..patch() });
    assert_exposes(&before, LoginPatch { tunnel: Patch::Clear, ..patch() });
    let direct = Login { tunnel: None, ..before.clone() };
    let whole = TunnelPatch {
        host: Some("evil.test".to_owned()),
        username: Some("x".to_owned()),
        password: Some("x".into()),
        host_key: Some(OTHER_KEY.to_owned()),
        ..TunnelPatch::default()
    };
    assert_exposes(&direct, tunnel(whole.clone()));
    assert_exposes(&before, tunnel(whole));

    let same = LoginPatch {
        host: Some(host("db.test")),
        port: Some(5432),
        database: Some("store".to_owned()),
        username: Some("other".to_owned()),
        ..patch()
    };
    let after = same.apply(&before, now()).expect("the place is the same");
    assert_eq!(after.password.expose_secret(), "kept");
    assert!(refused(&direct, &LoginPatch { tunnel: Patch::Clear, ..patch() }).is_none());
}

#[test]
fn a_kept_password_is_never_less_protected_than_before() {
    use SslMode::{Disable, Prefer, Require, VerifyCa, VerifyFull};
    let modes = [Disable, Prefer, Require, VerifyCa, VerifyFull];
    for (old, new) in modes.into_iter().flat_map(|old| modes.map(|new| (old, new))) {
        let before = login(old, None, ChannelBinding::Prefer);
        let patch = LoginPatch { ssl_mode: Some(new), ..LoginPatch::default() };
        if new < old {
            assert_exposes(&before, patch);
        } else {
            assert_eq!(refused(&before, &patch), None, "{old:?} {new:?}");
        }
    }
    let bindings = [ChannelBinding::Disable, ChannelBinding::Prefer, ChannelBinding::Require];
    for (old, new) in [(2, 1), (2, 0), (1, 0), (0, 1), (1, 2), (2, 2)] {
        let before = login(Require, None, bindings[old]);
        let patch = LoginPatch { channel_binding: Some(bindings[new]), ..LoginPatch::default() };
        if new < old {
            assert_exposes(&before, patch);
        } else {
            assert_eq!(refused(&before, &patch), None, "{old} {new}");
        }
    }
}

#[test]
fn a_kept_password_is_shown_to_nobody_whom_other_authorities_vouch_for() {
    use SslMode::{Disable, Prefer, Require, VerifyCa, VerifyFull};
    let (one, other) = (authority(), authority());
    let set = |pem: &str, mode| LoginPatch {
        roots: Patch::Set(pem.to_owned()),
        ssl_mode: Some(mode),
        ..LoginPatch::default()
    };
    let with = |mode| login(mode, Some(&one), ChannelBinding::Prefer);
    let without = |mode| login(mode, None, ChannelBinding::Prefer);
    for mode in [Prefer, Require, VerifyCa, VerifyFull] {
        assert_exposes(&with(mode), set(&other, mode));
        let clear = LoginPatch { roots: Patch::Clear, ..LoginPatch::default() };
        assert_exposes(&with(mode), clear);
        assert_eq!(refused(&with(mode), &set(&format!("\n{one}"), mode)), None, "the same");
    }
    assert_exposes(&without(VerifyCa), set(&one, VerifyCa));
    assert_exposes(&without(VerifyFull), set(&one, VerifyFull));
    assert_exposes(&without(Prefer), set(&one, Prefer));
    for (old, new) in [(Disable, Require), (Prefer, VerifyFull), (Require, Require)] {
        assert_eq!(refused(&without(old), &set(&one, new)), None, "a check where there was none");
    }
}

#[test]
fn what_logs_in_to_a_bastion_goes_to_no_other() {
    let before = login(SslMode::Require, None, ChannelBinding::Prefer);
    let moved = [
        TunnelPatch { host: Some("evil.test".to_owned()), ..TunnelPatch::default() },
        TunnelPatch { port: Some(2222), ..TunnelPatch::default() },
        TunnelPatch { host_key: Some(OTHER_KEY.to_owned()), ..TunnelPatch::default() },
    ];
    for patch in moved {
        let name = format!("{patch:?}");
        // A new password of the database is not one of the bastion, nor the other way round.
        let only_database = LoginPatch { password: Some("new".into()), ..tunnel(patch.clone()) };
        assert_eq!(refused(&before, &only_database), Some("tunnel.password"), "{name}");
        let only_bastion = TunnelPatch { password: Some("new".into()), ..patch };
        assert_exposes(&before, tunnel(only_bastion));
    }
    let same = TunnelPatch {
        host: Some("bastion.test".to_owned()),
        port: Some(22),
        username: Some("other".to_owned()),
        host_key: Some(HOST_KEY.to_owned()),
        ..TunnelPatch::default()
    };
    assert_eq!(refused(&before, &tunnel(same)), None);

    let key = KeypairData::Ed25519(Ed25519Keypair::from_seed(&[7; 32]));
    let key = PrivateKey::new(key, "").expect("a key").to_openssh(LineEnding::LF).expect("a text");
    let key = SecretString::from(key.to_string());
    let mut by_key = before;
    by_key.tunnel.as_mut().expect("there").credential =
        TunnelCredential::PrivateKey { key, passphrase: None };
    let patch = TunnelPatch { port: Some(2222), ..TunnelPatch::default() };
    assert_eq!(refused(&by_key, &tunnel(patch)), Some("tunnel.private_key"));
}
