//! What names mean in templates. Each is made when the first template asks for it, and kept for those that ask after it:
//! many a run asks for nothing, and rows with the names of their columns are several times as large as they are kept.

use std::fmt;
use std::sync::{Arc, LazyLock, OnceLock};

use minijinja::Value;
use minijinja::value::{Enumerator, Object, ObjectRepr};
use serde::{Serialize, Serializer};

use crate::result::StepResult;

/// A value that is made when somebody asks for it.
pub(super) type Late = Arc<LazyLock<Value, Box<dyn FnOnce() -> Value + Send>>>;

/// What templates have of that, made when the first asks.
pub(super) fn late(of: impl Serialize + Send + 'static) -> Late {
    Arc::new(LazyLock::new(Box::new(move || Value::from_serialize(of))))
}

/// What steps found, by their names, in their order.
#[derive(Clone, Default)]
pub(super) struct Steps(Vec<(String, Arc<Found>)>);

impl Steps {
    pub(super) fn add(&mut self, name: &str, result: Arc<StepResult>) {
        self.0.push((name.to_owned(), Arc::new(Found::new(result))));
    }

    pub(super) fn last(&self) -> Option<&Found> {
        self.0.last().map(|it| &*it.1)
    }

    fn sorted(&self) -> Vec<(&str, &Found)> {
        let mut steps: Vec<_> = self.0.iter().map(|it| (it.0.as_str(), &*it.1)).collect();
        steps.sort_unstable_by_key(|it| it.0);
        steps
    }
}

/// What stands in a list that is written as a text is written so.
impl fmt::Debug for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.sorted().into_iter().map(|it| (it.0, it.1.step()))).finish()
    }
}

impl Object for Steps {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        self.0.iter().rev().find(|it| it.0 == key).map(|it| it.1.step())
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.sorted().into_iter().map(|it| it.0.into()).collect())
    }
}

/// What a step found.
pub(super) struct Found {
    pub(super) result: Arc<StepResult>,
    rows: Arc<Rows>,
    step: OnceLock<Value>,
    json: OnceLock<Value>,
}

impl Found {
    fn new(result: Arc<StepResult>) -> Self {
        let rows = Arc::new(Rows { result: result.clone(), made: OnceLock::new() });
        Self { result, rows, step: OnceLock::new(), json: OnceLock::new() }
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
            let first = self.result.rows.first().map(|it| row(&columns(&self.result), it));
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

fn row(columns: &[Value], row: &[serde_json::Value]) -> Vec<(Value, Value)> {
    columns.iter().cloned().zip(row.iter().map(Value::from_serialize)).collect()
}

/// The rows of a result, with their columns' names, which they share.
struct Rows {
    result: Arc<StepResult>,
    made: OnceLock<Vec<Value>>,
}

impl Rows {
    fn made(&self) -> &[Value] {
        self.made.get_or_init(|| {
            let columns = columns(&self.result);
            let rows = self.result.rows.iter();
            rows.map(|it| row(&columns, it).into_iter().collect()).collect()
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
