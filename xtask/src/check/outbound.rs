//! Where connections are opened: in few places, each of which dials only what the egress gate admitted or what no
//! stranger can name.
//!
//! Who may use an HTTP library at all is in `layers.rs`; this looks for the calls.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::Report;
use super::sizes::collect;
use crate::workspace::Workspace;

/// What opens a connection, asks a name server, or makes a client that does.
const CALLS: [&str; 12] = [
    "TcpStream::connect",
    "TcpSocket::new",
    "UdpSocket::bind",
    "lookup_host(",
    "to_socket_addrs(",
    "reqwest::get",
    "reqwest::Client::",
    "reqwest::blocking",
    " Client::builder(",
    "ClientBuilder::new",
    "client::connect(",
    "connect_tokio1(",
];

/// Where that may be, and why.
const PLACES: [(&str, &str); 7] = [
    ("crates/adapter-branches/src/front.rs", "servers that the node itself started, on loopback"),
    ("crates/adapter-http/src/client.rs", "the one HTTP client: dials what the gate admitted"),
    ("crates/adapter-notify/src/wire.rs", "mail: dials what the gate admitted"),
    ("crates/adapter-target/src/dial.rs", "customers' databases: dials what the gate admitted"),
    ("crates/adapter-target/src/resolver.rs", "the look-up behind the gate"),
    ("crates/local-postgres/src/postmaster.rs", "clusters that Plinth itself started"),
    ("apps/bench/src/client.rs", "measures the server from outside; not part of the product"),
];

pub(super) fn check(workspace: &Workspace) -> Result<Report> {
    let mut files = Vec::new();
    for folder in ["apps", "crates"] {
        collect(&workspace.root().join(folder), &mut files)?;
    }
    files.sort();
    let mut sources = Vec::new();
    for file in files {
        let path = file.strip_prefix(workspace.root()).unwrap_or(&file);
        if is_product(path) {
            let text =
                fs::read_to_string(&file).with_context(|| format!("reading {}", path.display()))?;
            sources.push((path.to_owned(), text));
        }
    }
    Ok(judge(&sources, &PLACES))
}

/// Tests, examples and what generates test data may dial as they like.
fn is_product(path: &Path) -> bool {
    let outside = ["tests", "examples", "benches"];
    !path.components().any(|it| outside.iter().any(|name| it.as_os_str() == *name))
        && !path.starts_with("crates/testdb")
        && !path.starts_with("crates/sample")
}

fn judge(sources: &[(PathBuf, String)], places: &[(&str, &str)]) -> Report {
    let mut faults = Vec::new();
    let mut used = vec![false; places.len()];
    for (path, text) in sources {
        let place = places.iter().position(|(place, _)| path == Path::new(place));
        for (number, line) in calls(text) {
            match place {
                Some(at) => used[at] = true,
                None => faults.push(format!(
                    "{}:{number} opens a connection: `{}`. Go through plinth_adapter_http::HttpClient or an address of \
                     plinth_egress::Gate; a new place belongs into xtask/src/check/outbound.rs with its reason",
                    path.display(),
                    line.trim(),
                )),
            }
        }
    }
    for ((place, _), used) in places.iter().zip(used) {
        if !used {
            faults.push(format!("{place} opens no connection any more: take it out of the list"));
        }
    }
    Report { subject: format!("{} Rust files", sources.len()), faults, ..Report::default() }
}

/// The lines of a source that open connections, with their numbers; not those of comments and of the unit tests at its
/// end.
fn calls(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let product = text.lines().take_while(|line| line.trim() != "#[cfg(test)]");
    product.enumerate().filter_map(|(at, line)| {
        let is_call =
            !line.trim_start().starts_with("//") && CALLS.iter().any(|it| line.contains(it));
        is_call.then_some((at + 1, line))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(path: &str, text: &str, places: &[(&str, &str)]) -> Vec<String> {
        judge(&[(path.into(), text.to_owned())], places).faults
    }

    #[test]
    fn a_connection_outside_the_list_is_a_fault() {
        for line in [
            "    let socket = TcpStream::connect(address).await?;",
            "    let client = reqwest::Client::new();",
            "    let client = Client::builder().build()?;",
            "    let body = reqwest::get(url).await?;",
            "    let all = (host, port).to_socket_addrs()?;",
            "    let session = russh::client::connect(config, address, handler).await?;",
            "    let socket = std::net::TcpStream::connect_timeout(&address, limit)?;",
        ] {
            let text = format!("fn dial() {{\n{line}\n}}\n");
            let found = faults("crates/x/src/lib.rs", &text, &[]);
            assert_eq!(found.len(), 1, "{line}");
            assert!(found[0].starts_with("crates/x/src/lib.rs:2 "), "{found:?}");
            let listed = [("crates/x/src/lib.rs", "because")];
            assert_eq!(faults("crates/x/src/lib.rs", &text, &listed), Vec::<String>::new());
        }
    }

    #[test]
    fn comments_unit_tests_and_other_clients_are_none() {
        for text in [
            "/// Not by `TcpStream::connect`.\nfn f() {}",
            "fn f() {}\n#[cfg(test)]\nmod tests {\n    fn g() { TcpStream::connect(a) }\n}",
            "let client = HttpClient::new(settings)?;",
        ] {
            assert_eq!(faults("crates/x/src/lib.rs", text, &[]), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn a_place_that_dials_no_more_leaves_the_list() {
        let found = faults("crates/x/src/lib.rs", "fn f() {}", &[("crates/x/src/lib.rs", "once")]);
        assert_eq!(found.len(), 1, "{found:?}");
    }

    #[test]
    fn only_the_product_is_looked_at() {
        assert!(is_product(Path::new("apps/server/src/main.rs")));
        assert!(!is_product(Path::new("apps/server/tests/it/app.rs")));
        assert!(!is_product(Path::new("crates/testdb/src/lib.rs")));
    }
}
