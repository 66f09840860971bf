//! Reads what `EXPLAIN (VERBOSE, FORMAT JSON)` says.

use plinth_queries::{Plan, PlanStep};
use serde::Deserialize;

/// Stands before the statement, which is then planned and not run.
pub(crate) const EXPLAIN: &str = "EXPLAIN (VERBOSE, FORMAT JSON) ";

#[derive(Deserialize)]
struct Explained {
    #[serde(rename = "Plan")]
    plan: Node,
}

/// A node of a plan. Names of what the server may add are not listed, so they are skipped.
#[derive(Deserialize)]
struct Node {
    #[serde(rename = "Node Type", default)]
    kind: String,
    #[serde(rename = "Index Name")]
    index: Option<String>,
    #[serde(rename = "Join Type")]
    join: Option<String>,
    #[serde(rename = "Strategy")]
    strategy: Option<String>,
    #[serde(rename = "Sort Key", default)]
    sort_keys: Vec<String>,
    #[serde(rename = "Group Key", default)]
    group_keys: Vec<String>,
    #[serde(rename = "Schema")]
    schema: Option<String>,
    #[serde(rename = "Relation Name")]
    relation: Option<String>,
    #[serde(rename = "Total Cost", default)]
    total_cost: f64,
    #[serde(rename = "Plan Rows", default)]
    rows: f64,
    #[serde(rename = "Plans", default)]
    below: Vec<Node>,
}

/// `None` if the text is not a plan.
pub(crate) fn read(json: &[u8]) -> Option<Plan> {
    let [explained] = serde_json::from_slice::<[Explained; 1]>(json).ok()?;
    let root = PlanStep::from(explained.plan);
    let mut relations = Vec::new();
    let mut left = vec![&root];
    while let Some(step) = left.pop() {
        relations.extend(step.relation.clone());
        left.extend(&step.below);
    }
    relations.sort_unstable();
    relations.dedup();
    let (total_cost, estimated_rows) = (root.total_cost, root.estimated_rows);
    let json = String::from_utf8_lossy(json).into_owned();
    Some(Plan { relations, total_cost, estimated_rows, root, json })
}

impl From<Node> for PlanStep {
    fn from(it: Node) -> Self {
        let keys = if it.group_keys.is_empty() { it.sort_keys } else { it.group_keys };
        Self {
            kind: it.kind,
            relation: it.schema.zip(it.relation),
            index: it.index,
            join: it.join,
            strategy: it.strategy,
            keys,
            estimated_rows: it.rows,
            total_cost: it.total_cost,
            below: it.below.into_iter().map(Self::from).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relations_are_found_at_any_depth_and_once() {
        let json = br#"[{"Plan": {"Node Type": "Hash Join", "Total Cost": 12.5, "Plan Rows": 7, "Plans": [
            {"Node Type": "Seq Scan", "Relation Name": "b", "Schema": "s", "Alias": "x"},
            {"Node Type": "Hash", "Plans": [{"Relation Name": "a", "Schema": "s"}, {"Relation Name": "b", "Schema": "s"}]}
        ]}}]"#;
        let plan = read(json).expect("a plan");
        let name = |it: &str| ("s".to_owned(), it.to_owned());
        assert_eq!(plan.relations, [name("a"), name("b")]);
        assert_eq!((plan.total_cost, plan.estimated_rows), (12.5, 7.0));
    }

    #[test]
    fn other_texts_are_no_plan() {
        for text in ["", "[]", "{}", "[{}]", "[{\"Plan\": 1}]", &"[".repeat(100_000)] {
            assert_eq!(read(text.as_bytes()), None);
        }
    }
}
