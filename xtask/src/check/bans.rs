//! Packages that must not be in the tree at all.

use std::collections::{BTreeMap, BTreeSet};

use super::Report;
use super::graph::Graph;

/// Each with its reason.
const BANNED: [(&str, &str); 11] = [
    ("openssl-sys", "TLS is rustls with ring"),
    ("openssl", "TLS is rustls with ring"),
    ("native-tls", "TLS is rustls with ring"),
    ("aws-lc-sys", "one TLS provider, ring: two panic at run time"),
    ("aws-lc-rs", "one TLS provider, ring: two panic at run time"),
    ("cmake", "building needs a C compiler and libclang, nothing more"),
    ("sqlx", "tokio-postgres is the driver"),
    ("sqlx-core", "tokio-postgres is the driver"),
    ("diesel", "tokio-postgres is the driver"),
    ("actix-governor", "it is under the GPL: use governor"),
    ("postgresql_embedded", "it cannot run as root, and downloads"),
];

/// Of these one incompatible version at most: a second would be a second set of types and settings.
const SINGLE: [&str; 6] = ["rustls", "ring", "tokio", "tokio-postgres", "actix-web", "reqwest"];

pub(super) fn check(graph: &Graph) -> Report {
    let mut faults = Vec::new();
    for package in &graph.packages {
        if let Some((name, why)) = BANNED.iter().find(|(name, _)| *name == package.name) {
            let wanted_by: Vec<_> = package.wanted_by.iter().map(String::as_str).collect();
            faults.push(format!("{name}, wanted by {}: {why}", wanted_by.join(", ")));
        }
    }
    let mut versions: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for package in &graph.packages {
        if SINGLE.contains(&package.name.as_str()) {
            versions.entry(&package.name).or_default().insert(compatible(&package.version));
        }
    }
    for (name, versions) in versions {
        if versions.len() > 1 {
            let versions: Vec<_> = versions.into_iter().collect();
            faults.push(format!("{name} in more than one version: {}", versions.join(", ")));
        }
    }
    let subject = format!("{} names, {} single versions", BANNED.len(), SINGLE.len());
    Report { subject, faults, ..Report::default() }
}

/// The part of a version that says what it is compatible with: `0.23` of 0.23.46, `4` of 4.18.1.
fn compatible(version: &str) -> String {
    let mut parts = version.split('.');
    match (parts.next(), parts.next()) {
        (Some("0"), Some(minor)) => format!("0.{minor}"),
        (Some(major), _) => major.to_owned(),
        (None, _) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::graph::Package;
    use super::*;

    fn faults(packages: &[(&str, &str)]) -> Vec<String> {
        let packages = packages
            .iter()
            .map(|(name, version)| Package {
                name: (*name).to_owned(),
                version: (*version).to_owned(),
                licence: Some("MIT".into()),
                wanted_by: ["somebody".to_owned()].into(),
            })
            .collect();
        check(&Graph { packages, ..Graph::default() }).faults
    }

    #[test]
    fn a_banned_package_is_a_fault_that_names_who_wants_it() {
        let faults = faults(&[("serde", "1.0.0"), ("aws-lc-sys", "0.30.0")]);
        assert_eq!(faults.len(), 1);
        assert!(faults[0].starts_with("aws-lc-sys, wanted by somebody:"), "{faults:?}");
    }

    #[test]
    fn two_incompatible_versions_of_rustls_are_a_fault() {
        assert!(faults(&[("rustls", "0.23.1"), ("rustls", "0.23.46")]).is_empty());
        assert_eq!(
            faults(&[("rustls", "0.22.4"), ("rustls", "0.23.46")]),
            ["rustls in more than one version: 0.22, 0.23"]
        );
        assert!(faults(&[("tokio", "1.2.0"), ("tokio", "1.54.0")]).is_empty());
    }
}
