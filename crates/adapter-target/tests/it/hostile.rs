use std::time::{Duration, Instant};

use plinth_adapter_target::TargetDatabases;
use plinth_connections::{
    Diagnosis, Fault, Host, Place, SslMode, Stage, Target, TargetDatabase as _,
};
use plinth_queries::{RunError, StatementRunner as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{free_target, limits, settings, statement};

/// A server that does `with` to everybody who connects.
async fn server<F: Future<Output = ()> + Send + 'static>(
    with: impl Fn(TcpStream) -> F + Send + 'static,
) -> Target {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(with(socket));
        }
    });
    Target {
        place: Place::Typed { host: Host::parse("127.0.0.1").expect("a host"), port },
        ..free_target()
    }
}

fn impatient() -> TargetDatabases {
    let mut settings = settings();
    settings.connect_limit = Duration::from_millis(500);
    TargetDatabases::new(settings).expect("settings")
}

async fn diagnosis(target: &Target) -> Diagnosis {
    impatient().test(target).await.expect_err("no database")
}

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("short");
    [&[tag][..], &length.to_be_bytes(), body].concat()
}

/// Reads a message without a tag: a startup or an `SSLRequest`.
async fn hear_startup(socket: &mut TcpStream) {
    let length = socket.read_u32().await.expect("a length");
    let mut body = vec![0; length as usize - 4];
    socket.read_exact(&mut body).await.expect("a body");
}

/// Lets anybody in, as a server with `trust` would, and says that it is `version`.
async fn welcome(socket: &mut TcpStream) {
    hear_startup(socket).await;
    let key = [&7_u32.to_be_bytes()[..], &9_u32.to_be_bytes()].concat();
    let hello = [message(b'R', &[0; 4]), message(b'K', &key), message(b'Z', b"I")].concat();
    socket.write_all(&hello).await.expect("sent");
    let _ = socket.read(&mut [0; 4096]).await;
    let mut row = 4_u16.to_be_bytes().to_vec();
    for value in ["7", "16.1", "160001", "x"] {
        row.extend(u32::try_from(value.len()).expect("short").to_be_bytes());
        row.extend(value.as_bytes());
    }
    let introduced = [
        message(b'1', b""),
        message(b'2', b""),
        message(b'D', &row),
        message(b'C', b"SELECT 1\0"),
        message(b'Z', b"I"),
    ];
    socket.write_all(&introduced.concat()).await.expect("sent");
}

#[tokio::test]
async fn what_does_not_speak_postgres_is_told_apart_and_named() {
    // What each says, and whether it waits for us to speak first.
    let others: [(&[u8], bool, &str); 6] = [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", true, "web server"),
        (b"SSH-2.0-OpenSSH_9\r\n", false, "SSH"),
        (b"\x4a\0\0\0\x0a8.0.36\0\x08\0\0\0", false, "MySQL"),
        (b"-ERR unknown command\r\n", true, "Redis"),
        (b"\x15\x03\x01\0\x02\x02\x0a", true, "TLS alone"),
        (&[0xff; 64], false, "another database"),
    ];
    for (greeting, waits, who) in others {
        for mode in [SslMode::Disable, SslMode::Prefer, SslMode::Require] {
            let mut target = server(move |mut socket| async move {
                if waits {
                    let _ = socket.read(&mut [0; 64]).await;
                }
                let _ = socket.write_all(greeting).await;
                // Neither closes nor says more.
                let _ = socket.read_to_end(&mut Vec::new()).await;
            })
            .await;
            target.ssl_mode = mode;
            let found = diagnosis(&target).await;
            // Its first letter is that of an agreement to TLS.
            let agrees = mode == SslMode::Require && greeting.starts_with(b"S");
            let fault = if agrees { Fault::TlsFailed } else { Fault::NotPostgres };
            assert_eq!(found.fault, fault, "{mode:?} {greeting:?}: {found:?}");
            assert!(found.explanation.contains(who), "{mode:?}: {found:?}");
        }
    }
}

#[tokio::test]
async fn a_server_that_closes_or_resets_is_told_from_one_that_is_silent() {
    for resets in [false, true] {
        for (mode, stage) in [(SslMode::Disable, Stage::Auth), (SslMode::Require, Stage::Tls)] {
            let mut target = server(move |mut socket| async move {
                if resets {
                    socket.set_zero_linger().expect("an open socket");
                } else {
                    hear_startup(&mut socket).await;
                }
            })
            .await;
            target.ssl_mode = mode;
            let found = diagnosis(&target).await;
            assert_eq!(found.fault, Fault::Disconnected, "{found:?}");
            assert!(found.retryable && [stage, Stage::Connect].contains(&found.stage), "{found:?}");
        }
    }
}

/// What a server says to a client that it does not want, for each reason that a real one gives before the login.
#[tokio::test]
async fn what_a_server_says_before_the_login_is_passed_on_with_what_to_do() {
    for (sqlstate, said, stage, fault) in [
        ("53300", "sorry, too many clients already", Stage::Database, Fault::TooManyConnections),
        ("57P03", "the database system is starting up", Stage::Database, Fault::NotReady),
        ("57P03", "the database system is shutting down", Stage::Database, Fault::NotReady),
        ("28000", "no pg_hba.conf entry for host", Stage::Auth, Fault::NotAdmitted),
        ("3D000", "database \"shop\" does not exist", Stage::Database, Fault::UnknownDatabase),
        ("40001", "terminating connection due to conflict", Stage::Database, Fault::NotReady),
    ] {
        let target = server(move |mut socket| async move {
            hear_startup(&mut socket).await;
            let body = format!("SFATAL\0VFATAL\0C{sqlstate}\0M{said}\0\0");
            let _ = socket.write_all(&message(b'E', body.as_bytes())).await;
        })
        .await;
        let found = diagnosis(&target).await;
        assert_eq!((found.stage, found.fault), (stage, fault), "{found:?}");
        assert!(found.explanation.contains(said) && !found.fix_steps.is_empty(), "{found:?}");
    }
}

#[tokio::test]
async fn an_error_instead_of_an_agreement_to_tls_is_not_believed() {
    let mut target = server(|mut socket| async move {
        hear_startup(&mut socket).await;
        let _ = socket.write_all(&message(b'E', b"SFATAL\0C28P01\0Msend it again\0\0")).await;
    })
    .await;
    target.ssl_mode = SslMode::Require;
    let found = diagnosis(&target).await;
    assert_eq!((found.stage, found.fault), (Stage::Tls, Fault::NotReady));
    assert!(!found.explanation.contains("send it again"), "{found:?}");
}

#[tokio::test]
async fn ways_of_logging_in_that_we_lack_are_named() {
    for (request, what) in [
        (&[0, 0, 0, 7][..], "Kerberos"),
        (&[0, 0, 0, 9], "Kerberos"),
        (&[0, 0, 0, 2], "long ago"),
        (b"\0\0\0\x0aOAUTHBEARER\0\0", "SASL mechanism"),
        (&[0, 0, 0, 3], "without TLS"),
    ] {
        let target = server(move |mut socket| async move {
            hear_startup(&mut socket).await;
            let _ = socket.write_all(&message(b'R', request)).await;
            let _ = socket.read_to_end(&mut Vec::new()).await;
        })
        .await;
        let found = diagnosis(&target).await;
        assert_eq!((found.stage, found.fault), (Stage::Auth, Fault::UnsupportedAuthentication));
        assert!(found.explanation.contains(what), "{found:?}");
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let mut target = server(|socket| async move {
        tokio::time::sleep(Duration::from_secs(30)).await;
        drop(socket);
    })
    .await;
    for (mode, stage) in [(SslMode::Disable, Stage::Auth), (SslMode::Require, Stage::Tls)] {
        target.ssl_mode = mode;
        let began = Instant::now();
        let found = diagnosis(&target).await;
        assert_eq!((found.stage, found.fault), (stage, Fault::TimedOut));
        assert!(found.retryable && began.elapsed() < Duration::from_secs(2));
    }
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_tls_is_demanded() {
    let mut target = server(|mut socket| async move {
        hear_startup(&mut socket).await;
        let _ = socket.write_all(b"N").await;
        let _ = socket.read(&mut [0; 64]).await;
    })
    .await;
    for mode in [SslMode::Require, SslMode::VerifyCa, SslMode::VerifyFull] {
        target.ssl_mode = mode;
        let found = diagnosis(&target).await;
        assert_eq!((found.stage, found.fault), (Stage::Tls, Fault::TlsNotOffered));
    }
}

#[tokio::test]
async fn what_is_sent_in_clear_after_the_offer_of_tls_never_counts() {
    let mut target = server(|mut socket| async move {
        hear_startup(&mut socket).await;
        let injected = [&b"S"[..], &message(b'R', &[0; 4]), &message(b'Z', b"I")].concat();
        let _ = socket.write_all(&injected).await;
        let _ = socket.read(&mut [0; 4096]).await;
    })
    .await;
    target.ssl_mode = SslMode::Require;
    let found = diagnosis(&target).await;
    assert_eq!((found.stage, found.fault), (Stage::Tls, Fault::TlsFailed));
}

#[tokio::test]
async fn a_password_is_not_sent_in_clear_without_tls() {
    let target = server(|mut socket| async move {
        hear_startup(&mut socket).await;
        let _ = socket.write_all(&message(b'R', &3_u32.to_be_bytes())).await;
        let mut got = [0; 64];
        let read = socket.read(&mut got).await.unwrap_or(0);
        assert_eq!(read, 0, "something was sent");
    })
    .await;
    let found = diagnosis(&target).await;
    assert_eq!((found.stage, found.fault), (Stage::Auth, Fault::UnsupportedAuthentication));
}

#[tokio::test]
async fn a_server_that_breaks_the_rules_costs_neither_memory_nor_time() {
    let huge = |tag: u8| [&[tag][..], &0x7fff_ffff_u32.to_be_bytes()].concat();
    let begun = || [message(b'1', b""), message(b'2', b""), message(b'C', b"BEGIN\0")].concat();
    let columns = || {
        let mut body = 1_u16.to_be_bytes().to_vec();
        body.extend(b"n\0");
        body.extend([0; 4 + 2]);
        body.extend(23_u32.to_be_bytes());
        body.extend(4_u16.to_be_bytes());
        body.extend([0xff; 4]);
        body.extend([0; 2]);
        message(b'T', &body)
    };
    let prelude = || {
        let settings = [message(b'C', b"SELECT 1\0"), message(b'Z', b"I")].concat();
        [settings, begun()].concat()
    };
    let answers: Vec<(&str, Vec<u8>)> = vec![
        ("a huge row", [prelude(), columns(), huge(b'D')].concat()),
        ("a huge notice", huge(b'N')),
        ("a length below the least", b"Z\0\0\0\x01".to_vec()),
        ("rows before columns", [prelude(), message(b'D', b"\0\0")].concat()),
        (
            "a row that does not add up",
            [prelude(), columns(), message(b'D', b"\0\x01\0\0\0\x09x")].concat(),
        ),
        ("a row of another shape", [prelude(), columns(), message(b'D', b"\0\0")].concat()),
        ("columns that do not add up", [prelude(), message(b'T', b"\0\x05abc")].concat()),
        ("an error that does not add up", message(b'E', b"SERROR")),
        (
            "an error that is not text",
            message(b'E', b"SERROR\0C\xff\xff\xff\xff\xff\0M\xc3\x28\0\0"),
        ),
        ("data is asked for", [prelude(), message(b'G', b"\0\0\0")].concat()),
        ("the end without a beginning", message(b'Z', b"I")),
        ("an unknown message", message(b'?', b"what")),
        ("binary columns", {
            let mut binary = columns();
            *binary.last_mut().expect("not empty") = 1;
            [prelude(), binary].concat()
        }),
        ("silence", Vec::new()),
        ("notices without end", message(b'N', &[0; 100]).repeat(1000)),
    ];
    for (what, answer) in answers {
        let endless = what == "notices without end";
        let target = server(move |mut socket| {
            let answer = answer.clone();
            async move {
                welcome(&mut socket).await;
                let _ = socket.read(&mut [0; 4096]).await;
                while socket.write_all(&answer).await.is_ok() && endless {}
                tokio::time::sleep(Duration::from_secs(30)).await;
            }
        })
        .await;
        let databases = impatient();
        let mut limits = limits();
        limits.time = Duration::from_millis(400);
        let began = Instant::now();
        let outcome = async {
            let mut rows = databases.run(&target, &statement("SELECT 1"), &limits).await?;
            rows.next().await
        };
        let error = outcome.await.expect_err(what);
        let said = matches!(
            error,
            RunError::Connection(_)
                | RunError::TimedOut(_)
                | RunError::RowTooLarge { .. }
                | RunError::Database(_)
        );
        assert!(said, "{what}: {error:?}");
        assert!(began.elapsed() < Duration::from_secs(3), "{what}: {:?}", began.elapsed());
    }
}
