//! What the planner says of a statement, in words, and whether an organization wants it run.

use serde_json::json;

use crate::{Plan, PlanStep, QueryError, QueryRecord};

/// The most steps that are told in words; a plan of more is told by its outermost ones.
const MOST_STEPS: usize = 60;

/// A statement that was made, guarded and planned, and not run.
#[derive(Clone, Debug)]
pub struct Explained {
    /// Its entry in the history.
    pub record: QueryRecord,
    /// The plan's steps in words, in the order in which rows pass through them.
    pub steps: Vec<String>,
    /// The planner's cost of the whole; `None` where policies hide something, for it tells of what is hidden too.
    pub total_cost: Option<f64>,
    /// How many rows the planner expects; `None` as for the cost.
    pub estimated_rows: Option<f64>,
    /// The plan as the server printed it; `None` as for the cost.
    pub plan: Option<String>,
}

impl Explained {
    pub(crate) fn new(record: QueryRecord, plan: Plan, restricted: bool) -> Self {
        let mut steps = Vec::new();
        tell(&plan.root, !restricted, &mut steps);
        let shown = !restricted;
        Self {
            record,
            steps,
            total_cost: shown.then_some(plan.total_cost),
            estimated_rows: shown.then_some(plan.estimated_rows),
            plan: shown.then_some(plan.json),
        }
    }
}

/// Up to what an organization lets statements be run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ceiling {
    /// The planner's cost.
    pub(crate) cost: Option<f64>,
    /// Rows that the planner expects.
    pub(crate) rows: Option<u64>,
}

impl Ceiling {
    pub(crate) fn is_none(self) -> bool {
        self.cost.is_none() && self.rows.is_none()
    }

    /// # Errors
    ///
    /// [`QueryError::TooCostly`]; without the estimate where policies hide something.
    pub(crate) fn check(self, plan: &Plan, restricted: bool) -> Result<(), QueryError> {
        let rows = self.rows.map(as_float).filter(|it| plan.estimated_rows > *it);
        let cost = self.cost.filter(|it| plan.total_cost > *it);
        let (what, limit, estimate) = match (cost, rows) {
            (Some(limit), _) => ("cost", limit, plan.total_cost),
            (None, Some(limit)) => ("rows", limit, plan.estimated_rows),
            (None, None) => return Ok(()),
        };
        let than = if what == "cost" { "a cost" } else { "a number of rows" };
        let mut message = format!(
            "the planner expects {than} above what your organization allows ({})",
            number(limit)
        );
        if !restricted {
            message.push_str(&format!(": {}", number(estimate)));
        }
        message.push_str("; narrow the statement, or ask an admin to raise the limit");
        let mut details = json!({ "reason": "plan_limit", "exceeded": what, "limit": limit });
        if !restricted {
            details["estimated_rows"] = json!(plan.estimated_rows);
            details["total_cost"] = json!(plan.total_cost);
        }
        Err(QueryError::TooCostly { message, estimate: details })
    }
}

#[expect(clippy::cast_precision_loss, reason = "an estimate is not exact to the last row")]
fn as_float(rows: u64) -> f64 {
    rows as f64
}

/// Tells a step after those below it.
fn tell(step: &PlanStep, numbers: bool, out: &mut Vec<String>) {
    for below in &step.below {
        tell(below, numbers, out);
    }
    if out.len() >= MOST_STEPS {
        return;
    }
    if let Some(mut words) = in_words(step) {
        if numbers {
            words.push_str(&format!(" (about {} rows)", number(step.estimated_rows)));
        }
        out.push(words);
    }
}

/// What a step does; `None` for one that people need not know of.
fn in_words(step: &PlanStep) -> Option<String> {
    let relation = step
        .relation
        .as_ref()
        .map_or_else(String::new, |(schema, name)| format!("{schema}.{name}"));
    let index = step.index.as_deref().unwrap_or("an index");
    let keys = step.keys.join(", ");
    let by =
        |what: &str| if keys.is_empty() { what.to_owned() } else { format!("{what} by {keys}") };
    Some(match step.kind.as_str() {
        "Seq Scan" => format!("Reads all of {relation}"),
        "Sample Scan" => format!("Reads a sample of {relation}"),
        "Index Scan" => format!("Reads {relation} through its index {index}"),
        "Index Only Scan" => format!("Reads the index {index} of {relation} alone"),
        "Bitmap Heap Scan" => format!("Reads the parts of {relation} that an index points to"),
        "Bitmap Index Scan" => format!("Looks places up in the index {index}"),
        "Foreign Scan" => format!("Reads {relation} from another server"),
        "CTE Scan" => "Reads what a WITH query gave".to_owned(),
        "Function Scan" | "Table Function Scan" => "Reads what a function gives".to_owned(),
        "Values Scan" => "Reads a list of values".to_owned(),
        "Nested Loop" => format!("Joins{} row by row", join(step)),
        "Hash Join" => format!("Joins{} by a hash table", join(step)),
        "Merge Join" => format!("Joins{} what comes sorted", join(step)),
        "Sort" | "Incremental Sort" => by("Sorts"),
        "Aggregate" | "GroupAggregate" | "HashAggregate" => by("Groups and sums up"),
        "Group" => by("Groups"),
        "WindowAgg" => "Computes over windows".to_owned(),
        "Unique" => "Leaves repeated rows out".to_owned(),
        "Limit" => "Stops after the rows that are wanted".to_owned(),
        "Append" | "MergeAppend" | "Merge Append" => "Puts rows of several together".to_owned(),
        "Recursive Union" => "Repeats until nothing new comes".to_owned(),
        "SetOp" => "Compares two sets of rows".to_owned(),
        "Gather" | "Gather Merge" => "Collects what parallel workers found".to_owned(),
        "Result" if step.below.is_empty() => "Computes values".to_owned(),
        // How, not what.
        "Hash" | "Materialize" | "Memoize" | "Result" | "Subquery Scan" | "BitmapAnd"
        | "BitmapOr" | "ProjectSet" => return None,
        other => format!("{other}{}{relation}", if relation.is_empty() { "" } else { " of " }),
    })
}

fn join(step: &PlanStep) -> &'static str {
    match step.join.as_deref() {
        Some("Left" | "Right") => " (keeping rows without a match)",
        Some("Full") => " (keeping rows of both without a match)",
        Some("Semi") => " (keeping rows with a match)",
        Some("Anti") => " (keeping rows that have no match)",
        _ => "",
    }
}

/// A number as people write it: whole, with commas.
fn number(value: f64) -> String {
    let digits = format!("{:.0}", value.max(0.0));
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(rows: f64) -> PlanStep {
        PlanStep {
            kind: "Seq Scan".to_owned(),
            relation: Some(("public".to_owned(), "orders".to_owned())),
            estimated_rows: rows,
            ..PlanStep::default()
        }
    }

    fn plan(rows: f64, cost: f64) -> Plan {
        let root = PlanStep {
            kind: "Aggregate".to_owned(),
            keys: vec!["country".to_owned()],
            estimated_rows: rows,
            below: vec![scan(1_234_567.0)],
            ..PlanStep::default()
        };
        Plan {
            relations: Vec::new(),
            total_cost: cost,
            estimated_rows: rows,
            root,
            json: "[]".to_owned(),
        }
    }

    #[test]
    fn steps_are_told_from_the_tables_outwards() {
        let mut steps = Vec::new();
        tell(&plan(7.0, 1.0).root, true, &mut steps);
        assert_eq!(
            steps,
            [
                "Reads all of public.orders (about 1,234,567 rows)",
                "Groups and sums up by country (about 7 rows)"
            ]
        );
        steps.clear();
        tell(&plan(7.0, 1.0).root, false, &mut steps);
        assert_eq!(steps, ["Reads all of public.orders", "Groups and sums up by country"]);
    }

    #[test]
    fn a_ceiling_says_what_exceeds_it_but_no_estimate_of_what_is_hidden() {
        let none = Ceiling::default();
        assert!(none.is_none() && none.check(&plan(1e12, 1e12), false).is_ok());
        let rows = Ceiling { rows: Some(100), ..none };
        assert!(rows.check(&plan(100.0, 1e12), false).is_ok());
        let told = format!("{:?}", rows.check(&plan(101.0, 1.0), false).unwrap_err());
        assert!(told.contains("plan_limit") && told.contains("101"), "{told}");
        let cost = Ceiling { cost: Some(50.0), ..none };
        let told = format!("{:?}", cost.check(&plan(7.0, 123_456.0), true).unwrap_err());
        assert!(told.contains("cost") && !told.contains("123"), "{told}");
    }
}
