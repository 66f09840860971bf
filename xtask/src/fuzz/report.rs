//! What the run has sent and got, and whether that is enough.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// How often each operation (`GET /v1/queries`) was answered with which status.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Report(BTreeMap<String, BTreeMap<u16, u64>>);

impl Report {
    /// Reads what the hooks have written.
    ///
    /// # Errors
    /// If there is no such file, or it is of another shape.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path)
            .with_context(|| format!("schemathesis has left no counts in {}", path.display()))?;
        Self::parse(&serde_json::from_str(&text)?)
    }

    fn parse(report: &Value) -> Result<Self> {
        let mut all = BTreeMap::new();
        for (operation, counts) in report["operations"].as_object().context("no operations")? {
            let mut by_status = BTreeMap::new();
            for (status, count) in counts.as_object().context("no statuses")? {
                by_status.insert(status.parse()?, count.as_u64().context("no count")?);
            }
            all.insert(operation.clone(), by_status);
        }
        Ok(Self(all))
    }

    /// One answer, of a call that was made outside.
    pub(super) fn one(operation: &str, status: u16) -> Self {
        Self([(operation.to_owned(), [(status, 1)].into())].into())
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (operation, counts) in &other.0 {
            for (status, count) in counts {
                *self.0.entry(operation.clone()).or_default().entry(*status).or_default() += count;
            }
        }
    }

    /// How many requests there were.
    pub(super) fn requests(&self) -> u64 {
        self.0.values().flat_map(BTreeMap::values).sum()
    }

    /// Why this is not enough, if it is not.
    pub(super) fn complaints(&self, operations: &[String], requests: u32) -> Vec<String> {
        let mut complaints = Vec::new();
        for operation in operations {
            let counts = self.0.get(operation);
            if !counts.is_some_and(|it| it.keys().any(|status| (200..300).contains(status))) {
                let got = counts.map(|it| it.keys().map(u16::to_string).collect::<Vec<_>>());
                complaints.push(format!(
                    "{operation} has never succeeded, only answered {}; give it a sample in xtask/fuzz/world.py",
                    got.map_or_else(|| "nothing".to_owned(), |it| it.join(", "))
                ));
            }
        }
        if self.requests() < requests.into() {
            complaints.push(format!("{} requests are fewer than {requests}", self.requests()));
        }
        complaints
    }
}

/// The operations of a document, as the report names them.
///
/// # Errors
/// If it has none.
pub(super) fn operations(document: &Value) -> Result<Vec<String>> {
    let paths = document["paths"].as_object().context("the document has no paths")?;
    let operations: Vec<_> = paths
        .iter()
        .flat_map(|(path, methods)| {
            methods.as_object().into_iter().flatten().map(move |it| (path, it.0))
        })
        .map(|(path, method)| format!("{} {path}", method.to_uppercase()))
        .collect();
    ensure!(!operations.is_empty(), "the document has no operations");
    Ok(operations)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_operation_that_never_succeeded_is_named() {
        let document =
            json!({ "paths": { "/a": { "get": {}, "post": {} }, "/b/{id}": { "delete": {} } } });
        let operations = operations(&document).unwrap();
        assert_eq!(operations, ["GET /a", "POST /a", "DELETE /b/{id}"]);
        let mut report = Report::parse(&json!({ "operations": {
            "GET /a": { "200": 5, "422": 2 }, "POST /a": { "401": 1, "404": 3 },
        } }))
        .unwrap();
        assert_eq!(report.requests(), 11);
        let complaints = report.complaints(&operations, 11);
        assert_eq!(complaints.len(), 2, "{complaints:?}");
        assert!(complaints[0].starts_with("POST /a has never succeeded, only answered 401, 404"));
        assert!(
            complaints[1].starts_with("DELETE /b/{id} has never succeeded, only answered nothing")
        );

        report.add(&Report::one("POST /a", 201));
        report.add(&Report::one("DELETE /b/{id}", 204));
        assert!(report.complaints(&operations, 13).is_empty());
        assert_eq!(report.complaints(&operations, 14), ["13 requests are fewer than 14"]);
    }

    #[test]
    fn a_report_of_another_shape_is_none() {
        assert!(Report::parse(&json!({})).is_err());
        assert!(Report::parse(&json!({ "operations": { "GET /a": { "ok": 1 } } })).is_err());
    }
}
