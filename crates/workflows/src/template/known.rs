//! What names mean in templates. Each is made when the first template asks for it, and kept for those that ask after it:
//! many a run asks for nothing, and rows with the names of their columns are several times as large as they are kept.

use std::fmt;
use std::sync::{Arc, LazyLock, OnceLock};

use minijinja::Value;
use minijinja::value::{Enumerator, Object, ObjectRepr};
use serde::{Serialize, Serializer};

use super::numbers::nearest;
use crate::result::StepResult;

/// A value that is made when somebody asks for it.
pub(super) type Late = Arc<LazyLock<Value, Box<dyn FnOnce() -> Value + Send>>>;

/// What templates have of that, made when the first asks.
pub(super) fn late(of: impl Serialize + Send + 'static) -> Late {
    Arc::new(LazyLock::new(Box::new(move || Value::from_serialize(of))))
}

/// How numbers are given that no double holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Long {
    /// As numbers, which are compared and reckoned with: [`nearest`].
    Near,
    /// As texts of their digits, to be passed on as they are.
    Exact,
}

/// What steps found, by their names, in their order.
#[derive(Clone, Default)]
pub(super) struct Steps(Vec<(String, [Arc<Found>; 2])>);

impl Steps {
    pub(super) fn add(&mut self, name: &str, result: Arc<StepResult>) {
        let near = Arc::new(Found::new(result.clone(), Long::Near));
        // Where there are no such numbers, both are the same.
        let exact = if result.long_numbers.is_empty() {
            near.clone()
        } else {
            Arc::new(Found::new(result, Long::Exact))
        };
        self.0.push((name.to_owned(), [near, exact]));
    }

    pub(super) fn last(&self, long: Long) -> Option<&Found> {
        self.0.last().map(|it| &*it.1[usize::from(long == Long::Exact)])
    }

    /// The steps as templates have them.
    pub(super) fn value(self: &Arc<Self>, long: Long) -> Value {
        Value::from_object(These { steps: self.clone(), long })
    }
}

/// Steps, and how their long numbers are given.
struct These {
    steps: Arc<Steps>,
    long: Long,
}

impl These {
    fn step(&self, found: &[Arc<Found>; 2]) -> Value {
        found[usize::from(self.long == Long::Exact)].step()
    }

    fn sorted(&self) -> Vec<(&str, &[Arc<Found>; 2])> {
        let mut steps: Vec<_> = self.steps.0.iter().map(|it| (it.0.as_str(), &it.1)).collect();
        steps.sort_unstable_by_key(|it| it.0);
        steps
    }
}

/// What stands in a list that is written as a text is written so.
impl fmt::Debug for These {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps = self.sorted().into_iter().map(|it| (it.0, self.step(it.1)));
        f.debug_map().entries(steps).finish()
    }
}

impl fmt::Debug for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|it| &it.0)).finish()
    }
}

impl Object for These {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        self.steps.0.iter().rev().find(|it| it.0 == key).map(|it| self.step(&it.1))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.sorted().into_iter().map(|it| it.0.into()).collect())
    }
}

/// What a step found.
pub(super) struct Found {
    pub(super) result: Arc<StepResult>,
    rows: Arc<Rows>,
    long: Long,
    step: OnceLock<Value>,
    json: OnceLock<Value>,
}

impl Found {
    fn new(result: Arc<StepResult>, long: Long) -> Self {
        let rows = Arc::new(Rows { result: result.clone(), long, made: OnceLock::new() });
        Self { result, rows, long, step: OnceLock::new(), json: OnceLock::new() }
    }

    /// The rows with their columns' names.
    pub(super) fn rows(&self) -> Value {
        Value::from_dyn_object(self.rows.clone())
    }

    /// The same as a text of JSON.
    pub(super) fn json(&self) -> Value {
        let json = || serde_json::to_string(&*self.rows).map_or(Value::UNDEFINED, Value::from);
        self.json.get_or_init(json).clone()
    }

    fn step(&self) -> Value {
        let step = || {
            let known = [
                ("row_count", Value::from(self.result.row_count())),
                ("columns", Value::from_serialize(&self.result.columns)),
                ("rows", self.rows()),
            ];
            let known = known.into_iter().map(|(name, it)| (Value::from(name), it));
            // A column of such a name is what people mean.
            let first = self
                .result
                .rows
                .first()
                .map(|it| self.long.row(&self.result, &columns(&self.result), it));
            known.chain(first.into_iter().flatten()).collect()
        };
        self.step.get_or_init(step).clone()
    }
}

#[cfg(test)]
impl Found {
    /// What has been made so far.
    pub(super) fn made(&self) -> String {
        let made = [
            ("step ", self.step.get().is_some()),
            ("json ", self.json.get().is_some()),
            ("rows ", self.rows.made.get().is_some()),
        ];
        made.iter().filter(|it| it.1).map(|it| it.0).collect()
    }
}

fn columns(result: &StepResult) -> Vec<Value> {
    result.columns.iter().map(|it| Value::from(it.as_str())).collect()
}

impl Long {
    fn row(
        self,
        result: &StepResult,
        columns: &[Value],
        row: &[serde_json::Value],
    ) -> Vec<(Value, Value)> {
        let value = |(at, it): (usize, &serde_json::Value)| {
            let is_long = self == Self::Near && result.long_numbers.contains(&at);
            let near = it.as_str().filter(|_| is_long).and_then(nearest);
            near.unwrap_or_else(|| Value::from_serialize(it))
        };
        columns.iter().cloned().zip(row.iter().enumerate().map(value)).collect()
    }
}

/// The rows of a result, with their columns' names, which they share.
struct Rows {
    result: Arc<StepResult>,
    long: Long,
    made: OnceLock<Vec<Value>>,
}

impl Rows {
    fn made(&self) -> &[Value] {
        self.made.get_or_init(|| {
            let columns = columns(&self.result);
            let rows = self.result.rows.iter();
            rows.map(|it| self.long.row(&self.result, &columns, it).into_iter().collect()).collect()
        })
    }
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.made()).finish()
    }
}

impl Object for Rows {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.made().get(key.as_usize()?).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.result.rows.len())
    }
}

/// As JSON it is written one row after the other.
impl Serialize for Rows {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.result.rows.iter().map(|it| self.result.object(it)))
    }
}
