//! Dependencies point downwards: apps → adapters → domain → core, and the domain crates have one order.

use super::Report;
use super::graph::{Graph, Kind, Member};

/// The domain crates, lowest first: each may use those of the rows before its own.
const DOMAIN: [&[&str]; 9] = [
    &["plinth-core"],
    &["plinth-charts", "plinth-egress", "plinth-pg-tree", "plinth-tenancy"],
    &["plinth-connections"],
    &["plinth-schema-introspect"],
    &["plinth-sql-guard"],
    &["plinth-nl2sql"],
    &["plinth-models"],
    &["plinth-queries"],
    &["plinth-dashboards", "plinth-workflows", "plinth-integrations"],
];

/// Stands beside the order: it uses these and nobody of the domain uses it.
const CONTROL_PLANE: (&str, [&str; 4]) = (
    "plinth-control-plane",
    ["plinth-core", "plinth-egress", "plinth-tenancy", "plinth-connections"],
);

/// One outside thing each; they use the domain, and of each other only [`LOCAL_POSTGRES`] and [`HTTP`].
const ADAPTERS: [&str; 6] = [
    "plinth-adapter-branches",
    "plinth-adapter-postgres",
    "plinth-adapter-target",
    "plinth-adapter-llm",
    "plinth-adapter-neon",
    "plinth-adapter-notify",
];

/// An adapter too, on which others may stand: the one HTTP client.
const HTTP: &str = "plinth-adapter-http";

/// An adapter too, on which others may stand: it gives them a server to talk to.
const LOCAL_POSTGRES: &str = "plinth-local-postgres";

/// What tests and demonstrations use; they know [`LOCAL_POSTGRES`] and core.
const SUPPORT: [&str; 2] = ["plinth-sample", "plinth-testdb"];

/// The tops: nothing may depend on them.
const APPS: [&str; 2] = ["plinth-server", "plinth-bench"];

const XTASK: &str = "xtask";

/// A package from outside that only some of ours may name: families by prefix, and who may.
struct Reserved {
    family: &'static [&'static str],
    /// In the product.
    owners: &'static [&'static str],
    /// In tests only.
    in_tests: &'static [&'static str],
}

const RESERVED: [Reserved; 4] = [
    Reserved {
        family: &["actix", "tracing-actix", "utoipa-actix", "utoipa-swagger-ui"],
        owners: &["plinth-server", "plinth-bench"],
        in_tests: &[],
    },
    Reserved {
        family: &["tokio-postgres", "deadpool-postgres", "postgres", "refinery"],
        owners: &[
            "plinth-adapter-branches",
            "plinth-adapter-postgres",
            "plinth-adapter-target",
            "plinth-sample",
            "plinth-testdb",
            "plinth-bench",
        ],
        in_tests: &["plinth-server", LOCAL_POSTGRES],
    },
    Reserved {
        family: &["reqwest", "hyper", "ureq", "awc", "isahc", "curl", "attohttpc"],
        owners: &[HTTP],
        in_tests: &["plinth-server"],
    },
    Reserved { family: &["lettre"], owners: &["plinth-adapter-notify"], in_tests: &[] },
];

pub(super) fn check(graph: &Graph) -> Report {
    let mut faults = Vec::new();
    for member in &graph.members {
        let Some(place) = Place::of(&member.name) else {
            faults.push(format!(
                "{} has no place among the layers: give it one in xtask/src/check/layers.rs",
                member.name
            ));
            continue;
        };
        for (dependency, kind) in &member.dependencies {
            // A crate's own tests may ask for its own features.
            if *dependency == member.name && *kind == Kind::Dev {
                continue;
            }
            if let Some(below) = Place::of(dependency) {
                if !place.may_use(&below, dependency, *kind) {
                    faults.push(format!("{} must not depend on {dependency}", member.name));
                }
            } else if !may_name(member, dependency, *kind) {
                faults.push(format!("{} must not name {dependency}", member.name));
            }
        }
    }
    Report { subject: format!("{} crates", graph.members.len()), faults, ..Report::default() }
}

/// Where a crate of ours stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// With its row in [`DOMAIN`].
    Domain(usize),
    ControlPlane,
    LocalPostgres,
    Http,
    Support,
    Adapter,
    App,
    Xtask,
}

impl Place {
    fn of(name: &str) -> Option<Self> {
        if let Some(row) = DOMAIN.iter().position(|row| row.contains(&name)) {
            return Some(Self::Domain(row));
        }
        match name {
            LOCAL_POSTGRES => Some(Self::LocalPostgres),
            HTTP => Some(Self::Http),
            XTASK => Some(Self::Xtask),
            _ if name == CONTROL_PLANE.0 => Some(Self::ControlPlane),
            _ if ADAPTERS.contains(&name) => Some(Self::Adapter),
            _ if SUPPORT.contains(&name) => Some(Self::Support),
            _ if APPS.contains(&name) => Some(Self::App),
            _ => None,
        }
    }

    fn may_use(self, below: &Self, name: &str, kind: Kind) -> bool {
        let domain = matches!(below, Self::Domain(_) | Self::ControlPlane);
        let core = *below == Self::Domain(0);
        let in_tests = *below == Self::Support && kind == Kind::Dev;
        match self {
            Self::Domain(row) => matches!(below, Self::Domain(lower) if *lower < row),
            Self::ControlPlane => CONTROL_PLANE.1.contains(&name),
            // It is the control plane's substrate as well.
            Self::LocalPostgres => core || *below == Self::ControlPlane,
            Self::Support => core || *below == Self::LocalPostgres || in_tests,
            Self::Http => domain || in_tests,
            Self::Adapter => {
                domain || matches!(below, Self::LocalPostgres | Self::Http) || in_tests
            }
            Self::App => !matches!(below, Self::App | Self::Xtask),
            Self::Xtask => false,
        }
    }
}

fn may_name(member: &Member, dependency: &str, kind: Kind) -> bool {
    RESERVED.iter().all(|reserved| {
        !reserved.family.iter().any(|prefix| is_of_family(dependency, prefix))
            || reserved.owners.contains(&member.name.as_str())
            || (kind == Kind::Dev && reserved.in_tests.contains(&member.name.as_str()))
    })
}

/// `actix` and `actix-web` are of the family `actix`, `curler` is not of `curl`.
fn is_of_family(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '_']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(members: &[(&str, &[(&str, Kind)])]) -> Vec<String> {
        let members = members
            .iter()
            .map(|(name, dependencies)| Member {
                name: (*name).to_owned(),
                edition: "2024".into(),
                manifest: "Cargo.toml".into(),
                dependencies: dependencies
                    .iter()
                    .map(|(name, kind)| ((*name).to_owned(), *kind))
                    .collect(),
            })
            .collect();
        check(&Graph { members, ..Graph::default() }).faults
    }

    #[test]
    fn a_workspace_in_order_has_no_faults() {
        let none = faults(&[
            ("plinth-core", &[("serde", Kind::Normal)]),
            ("plinth-queries", &[("plinth-core", Kind::Normal), ("plinth-nl2sql", Kind::Normal)]),
            (
                "plinth-adapter-postgres",
                &[
                    ("plinth-queries", Kind::Normal),
                    ("tokio-postgres", Kind::Normal),
                    ("plinth-testdb", Kind::Dev),
                ],
            ),
            (
                "plinth-server",
                &[
                    ("actix-web", Kind::Normal),
                    ("plinth-adapter-postgres", Kind::Normal),
                    ("tokio-postgres", Kind::Dev),
                ],
            ),
            ("plinth-control-plane", &[("plinth-connections", Kind::Normal)]),
            ("plinth-adapter-llm", &[("plinth-adapter-http", Kind::Normal)]),
            ("plinth-sample", &[("plinth-testdb", Kind::Dev)]),
            ("plinth-adapter-notify", &[("plinth-adapter-notify", Kind::Dev)]),
        ]);
        assert_eq!(none, Vec::<String>::new());
    }

    #[test]
    fn each_way_upwards_is_a_fault() {
        for (from, to) in [
            ("plinth-core", "plinth-tenancy"),
            ("plinth-egress", "plinth-tenancy"),
            ("plinth-connections", "plinth-schema-introspect"),
            ("plinth-nl2sql", "plinth-queries"),
            ("plinth-queries", "plinth-adapter-postgres"),
            ("plinth-workflows", "plinth-dashboards"),
            ("plinth-control-plane", "plinth-nl2sql"),
            ("plinth-queries", "plinth-control-plane"),
            ("plinth-adapter-llm", "plinth-adapter-postgres"),
            ("plinth-adapter-postgres", "plinth-testdb"),
            ("plinth-adapter-http", "plinth-adapter-llm"),
            ("plinth-local-postgres", "plinth-queries"),
            ("plinth-sample", "plinth-queries"),
            ("plinth-sample", "plinth-testdb"),
            ("plinth-adapter-postgres", "plinth-server"),
            ("plinth-bench", "plinth-server"),
            ("xtask", "plinth-core"),
        ] {
            let expected = [format!("{from} must not depend on {to}")];
            assert_eq!(faults(&[(from, &[(to, Kind::Normal)])]), expected);
        }
    }

    #[test]
    fn the_web_framework_the_driver_and_http_clients_have_their_owners() {
        for (from, to, kind) in [
            ("plinth-queries", "tokio-postgres", Kind::Normal),
            ("plinth-queries", "tokio-postgres", Kind::Dev),
            ("plinth-server", "tokio-postgres", Kind::Normal),
            ("plinth-server", "deadpool-postgres", Kind::Normal),
            ("plinth-adapter-postgres", "actix-web", Kind::Dev),
            ("plinth-adapter-target", "reqwest", Kind::Normal),
            ("plinth-adapter-llm", "reqwest", Kind::Normal),
            ("plinth-tenancy", "lettre", Kind::Normal),
            ("plinth-core", "actix", Kind::Normal),
            ("plinth-nl2sql", "ureq", Kind::Build),
        ] {
            let expected = [format!("{from} must not name {to}")];
            assert_eq!(faults(&[(from, &[(to, kind)])]), expected);
        }
    }

    #[test]
    fn a_crate_without_a_place_is_a_fault() {
        let faults = faults(&[("plinth-novelty", &[])]);
        assert!(faults[0].starts_with("plinth-novelty has no place"), "{faults:?}");
    }
}
