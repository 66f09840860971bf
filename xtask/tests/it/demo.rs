//! `cargo xtask demo` hands over to the product's own demo and stays with it to its end.

use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::fake::FakeCargo;

const BUILT: &str = r#"build*) echo '{"reason": "compiler-artifact", "target": {"name": "plinth"},
    "profile": {"test": false}, "executable": "'"$HERE"'/plinth"}' | tr -d '\n'; echo ;;"#;

/// A demo that stays until a signal, and answers each with a code of its own.
const STAYING: &str = "trap 'exit 7' INT\ntrap 'exit 8' TERM\ntouch \"$HERE/ready\"\n\
                       while :; do sleep 0.05; done";

#[test]
fn the_demo_gets_our_arguments_and_we_give_back_its_code() {
    let fake = FakeCargo::new(BUILT);
    fake.script("plinth", "echo \"asked: $*\"; exit 3");
    let output = fake.xtask(&["demo", "--exit", "--listen", "127.0.0.1:1"]).output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(stdout.contains("asked: demo --exit --listen 127.0.0.1:1\n"), "{stdout}");
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn each_signal_reaches_the_demo_and_we_wait_for_its_end() {
    for (signal, code) in [(Signal::SIGINT, 7), (Signal::SIGTERM, 8)] {
        let fake = FakeCargo::new(BUILT);
        fake.script("plinth", STAYING);
        let mut xtask = fake.xtask(&["demo"]).stdout(Stdio::null()).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_mins(1);
        while !fake.folder().join("ready").exists() {
            assert!(Instant::now() < deadline, "the demo did not start");
            thread::sleep(Duration::from_millis(20));
        }
        kill(Pid::from_raw(i32::try_from(xtask.id()).unwrap()), signal).unwrap();
        assert_eq!(xtask.wait().unwrap().code(), Some(code), "{signal}");
    }
}

#[test]
fn a_build_that_fails_starts_no_demo() {
    let fake = FakeCargo::new("build*) echo 'error: no' >&2; exit 101 ;;");
    fake.script("plinth", "touch \"$HERE/ready\"");
    let output = fake.xtask(&["demo"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("the build failed"));
    assert!(!fake.folder().join("ready").exists());
}
