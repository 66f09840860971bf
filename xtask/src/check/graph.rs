//! The packages of the workspace and what they depend on, as far as the rules need it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde_json::Value;

/// What a dependency is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Normal,
    Build,
    /// For tests only.
    Dev,
}

/// A package of the workspace, with what its manifest names.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) edition: String,
    pub(super) manifest: PathBuf,
    pub(super) dependencies: Vec<(String, Kind)>,
}

/// A package that is built for us, ours or not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) version: String,
    /// As its manifest has it: `None` if it has no SPDX expression.
    pub(super) licence: Option<String>,
    /// Who depends on it directly.
    pub(super) wanted_by: BTreeSet<String>,
}

/// The workspace and everything below it.
#[derive(Clone, Debug, Default)]
pub(super) struct Graph {
    pub(super) members: Vec<Member>,
    /// Reached from the members with the features that we use on the platform that we build on, tests included.
    pub(super) packages: Vec<Package>,
}

impl Graph {
    /// Reads the output of `cargo metadata`.
    ///
    /// # Errors
    /// If it is not of the shape that cargo documents.
    pub(super) fn read(metadata: &Value) -> Result<Self> {
        let members: BTreeSet<&str> = array(&metadata["workspace_members"])?
            .iter()
            .map(|id| string(id, "a member's id"))
            .collect::<Result<_>>()?;
        let mut by_id = BTreeMap::new();
        for package in array(&metadata["packages"])? {
            by_id.insert(string(&package["id"], "a package's id")?, package);
        }
        let find = |id: &str| {
            by_id.get(id).copied().with_context(|| format!("cargo does not describe {id}"))
        };
        let mut graph = Self::default();
        for id in &members {
            graph.members.push(member(find(id)?)?);
        }

        let mut below = BTreeMap::new();
        for node in array(&metadata["resolve"]["nodes"])? {
            let dependencies: Vec<_> = array(&node["dependencies"])?
                .iter()
                .map(|id| string(id, "a dependency's id"))
                .collect::<Result<_>>()?;
            below.insert(string(&node["id"], "a node's id")?, dependencies);
        }
        let mut wanted_by: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        let mut reached = members.clone();
        let mut waiting: Vec<&str> = members.into_iter().collect();
        while let Some(id) = waiting.pop() {
            let name = string(&find(id)?["name"], "a package's name")?;
            for &dependency in below.get(id).into_iter().flatten() {
                wanted_by.entry(dependency).or_default().insert(name.to_owned());
                if reached.insert(dependency) {
                    waiting.push(dependency);
                }
            }
        }
        for id in reached {
            let package = find(id)?;
            graph.packages.push(Package {
                name: string(&package["name"], "a package's name")?.to_owned(),
                version: string(&package["version"], "a package's version")?.to_owned(),
                licence: package["license"].as_str().map(str::to_owned),
                wanted_by: wanted_by.remove(id).unwrap_or_default(),
            });
        }
        graph.packages.sort();
        Ok(graph)
    }
}

fn member(package: &Value) -> Result<Member> {
    let mut dependencies = Vec::new();
    for dependency in array(&package["dependencies"])? {
        let kind = match dependency["kind"].as_str() {
            None => Kind::Normal,
            Some("build") => Kind::Build,
            Some(_) => Kind::Dev,
        };
        dependencies.push((string(&dependency["name"], "a dependency's name")?.to_owned(), kind));
    }
    Ok(Member {
        name: string(&package["name"], "a package's name")?.to_owned(),
        edition: string(&package["edition"], "a package's edition")?.to_owned(),
        manifest: string(&package["manifest_path"], "a package's manifest")?.into(),
        dependencies,
    })
}

fn array(value: &Value) -> Result<&Vec<Value>> {
    value.as_array().context("cargo metadata has another shape than expected")
}

fn string<'a>(value: &'a Value, what: &str) -> Result<&'a str> {
    value.as_str().with_context(|| format!("cargo metadata lacks {what}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn package(id: &str, dependencies: &Value) -> Value {
        json!({
            "id": id, "name": id, "version": "1.0.0", "license": "MIT", "edition": "2024",
            "manifest_path": format!("/{id}/Cargo.toml"), "dependencies": dependencies,
        })
    }

    #[test]
    fn only_what_is_reached_from_a_member_is_in_the_graph() {
        let metadata = json!({
            "workspace_members": ["ours"],
            "packages": [
                package("ours", &json!([{ "name": "used", "kind": null }, { "name": "tool", "kind": "dev" }])),
                package("used", &json!([])), package("tool", &json!([])), package("elsewhere", &json!([])),
            ],
            "resolve": { "nodes": [
                { "id": "ours", "dependencies": ["used", "tool"] }, { "id": "used", "dependencies": [] },
                { "id": "tool", "dependencies": ["used"] }, { "id": "elsewhere", "dependencies": ["used"] },
            ] },
        });
        let graph = Graph::read(&metadata).unwrap();
        let names: Vec<_> = graph.packages.iter().map(|package| package.name.as_str()).collect();
        assert_eq!(names, ["ours", "tool", "used"]);
        let wanted_by: Vec<_> = graph.packages[2].wanted_by.iter().collect();
        assert_eq!(wanted_by, ["ours", "tool"]);
        let expected = [("used".to_owned(), Kind::Normal), ("tool".to_owned(), Kind::Dev)];
        assert_eq!(graph.members[0].dependencies, expected);
    }

    #[test]
    fn another_shape_is_an_error_and_no_empty_graph() {
        assert!(Graph::read(&json!({})).is_err());
        let undescribed = json!({ "workspace_members": ["a"], "packages": [], "resolve": {} });
        assert!(Graph::read(&undescribed).is_err());
    }
}
