//! A small catalog, and the outside world as scripts.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use plinth_connections::AllowedTables;
use plinth_nl2sql::{
    AskContext, Engine, SchemaIndex,
    model::{
        DryRun, DryRunError, LanguageModel, Meter, ModelError, ModelFailure, ModelPrivacy,
        ModelQuestion, ModelReading, ModelRequest, ModelSettings, ModelStrategy, Taught, Tried,
        Usage, Withheld,
    },
};
use plinth_schema_introspect::{
    Catalog, Column, ForeignKey, Key, Relation, RelationKind, Samples, Schema, TypeClass,
};
use plinth_sql_guard::Guard;

pub(crate) fn column(name: &str, type_name: &str, class: TypeClass) -> Column {
    Column {
        name: name.to_owned(),
        type_name: type_name.to_owned(),
        type_oid: 0,
        class,
        readable: true,
        ..Column::default()
    }
}

pub(crate) fn relation(oid: u32, schema: &str, name: &str, columns: Vec<Column>) -> Relation {
    Relation {
        oid,
        schema: schema.to_owned(),
        name: name.to_owned(),
        kind: RelationKind::Table,
        readable: true,
        columns,
        keys: vec![Key {
            name: format!("{name}_pkey"),
            columns: vec![0],
            primary: true,
            ..Key::default()
        }],
        estimated_rows: Some(1000.0),
        ..Relation::default()
    }
}

fn reference(columns: Vec<usize>, target: u32) -> ForeignKey {
    ForeignKey {
        name: "fk".to_owned(),
        columns,
        target,
        target_columns: vec![0],
        ..ForeignKey::default()
    }
}

/// Customers and their orders, and salaries that nobody may ask about.
pub(crate) fn catalog() -> Catalog {
    let mut customers = relation(
        1,
        "public",
        "customers",
        vec![
            column("id", "bigint", TypeClass::Integer),
            column("name", "text", TypeClass::Text),
            column("country", "text", TypeClass::Text),
            column("keeper_id", "bigint", TypeClass::Integer),
            column("password_hash", "text", TypeClass::Text),
        ],
    );
    customers.columns[2].samples =
        Some(Samples { values: vec!["Germany".to_owned(), "France".to_owned()], complete: true });
    customers.columns[4].readable = false;
    customers.foreign_keys.push(reference(vec![3], 3));
    let mut orders = relation(
        2,
        "public",
        "orders",
        vec![
            column("id", "bigint", TypeClass::Integer),
            column("customer_id", "bigint", TypeClass::Integer),
            column("status", "public.order_status", TypeClass::Enum),
            column("total", "numeric(12,2)", TypeClass::Decimal),
            column("placed_at", "timestamp with time zone", TypeClass::Timestamp),
        ],
    );
    orders.comment = Some("What customers bought.".to_owned());
    orders.columns[2].enum_values = vec!["open".to_owned(), "shipped".to_owned()];
    orders.foreign_keys.push(reference(vec![1], 1));
    let salaries = relation(
        3,
        "hr",
        "salaries",
        vec![
            column("employee_id", "bigint", TypeClass::Integer),
            column("amount", "numeric", TypeClass::Decimal),
        ],
    );
    let schema = |name: &str| Schema { name: name.to_owned(), comment: None, usable: true };
    Catalog {
        server_version_num: 150_018,
        database: "shop".to_owned(),
        role: "reader".to_owned(),
        search_path: vec!["public".to_owned()],
        schemas: vec![schema("hr"), schema("public")],
        relations: [salaries, customers, orders].map(Into::into).to_vec(),
        ..Catalog::default()
    }
}

/// A model that says its lines and keeps what it was asked.
pub(crate) struct Scripted {
    lines: Mutex<VecDeque<Result<String, ModelError>>>,
    pub(crate) requests: Mutex<Vec<ModelRequest>>,
}

#[async_trait]
impl LanguageModel for Scripted {
    fn name(&self) -> &'static str {
        "scripted"
    }

    async fn complete(&self, request: &ModelRequest, meter: &Meter) -> Result<String, ModelError> {
        self.requests.lock().expect("not poisoned").push(request.clone());
        meter.add(Usage { calls: 1, prompt_tokens: 100, completion_tokens: 10 });
        self.lines.lock().expect("not poisoned").pop_front().expect("no more calls than lines")
    }
}

/// A planner that says its lines, then accepts everything, and keeps what it was asked.
#[derive(Default)]
pub(crate) struct Planner {
    refusals: Mutex<VecDeque<DryRunError>>,
    pub(crate) planned: Mutex<Vec<String>>,
    /// What statements that hold a text find; others are not cheap.
    pub(crate) finds: Vec<(&'static str, Result<Tried, DryRunError>)>,
    pub(crate) run: Mutex<Vec<String>>,
}

#[async_trait]
impl DryRun for Planner {
    async fn plan(&self, sql: &str) -> Result<(), DryRunError> {
        self.planned.lock().expect("not poisoned").push(sql.to_owned());
        self.refusals.lock().expect("not poisoned").pop_front().map_or(Ok(()), Err)
    }

    async fn try_run(&self, sql: &str) -> Result<Option<Tried>, DryRunError> {
        self.run.lock().expect("not poisoned").push(sql.to_owned());
        let found = self.finds.iter().find(|it| sql.contains(it.0));
        found.map(|it| it.1.clone()).transpose()
    }
}

/// What a run found: that one value.
pub(crate) fn found(value: &str) -> Result<Tried, DryRunError> {
    Ok(Tried { rows: vec![vec![Some(value.to_owned())]], is_complete: true })
}

/// Everything that one question takes.
pub(crate) struct Stage {
    pub(crate) catalog: Catalog,
    pub(crate) privacy: ModelPrivacy,
    pub(crate) settings: ModelSettings,
    pub(crate) model: Arc<Scripted>,
    pub(crate) planner: Planner,
    pub(crate) withheld: Withheld,
    pub(crate) taught: Taught,
    pub(crate) meter: Meter,
}

impl Stage {
    pub(crate) fn new<'a>(lines: impl IntoIterator<Item = &'a str>) -> Self {
        Self::with(lines.into_iter().map(|it| Ok(it.to_owned())))
    }

    pub(crate) fn with(lines: impl IntoIterator<Item = Result<String, ModelError>>) -> Self {
        Self {
            catalog: catalog(),
            privacy: ModelPrivacy::SchemaOnly,
            settings: ModelSettings { candidates: 1, ..ModelSettings::default() },
            model: Arc::new(Scripted {
                lines: Mutex::new(lines.into_iter().collect()),
                requests: Mutex::default(),
            }),
            planner: Planner::default(),
            withheld: Withheld::default(),
            taught: Taught::default(),
            meter: Meter::default(),
        }
    }

    /// The planner refuses that many statements first.
    pub(crate) fn refusing(self, refusals: impl IntoIterator<Item = DryRunError>) -> Self {
        self.planner.refusals.lock().expect("not poisoned").extend(refusals);
        self
    }

    /// Asks, with `hr` out of bounds.
    pub(crate) async fn ask(&self, question: &str) -> Result<ModelReading, ModelFailure> {
        let allowed = AllowedTables::parse(["public.customers", "public.orders"]).expect("valid");
        let index = SchemaIndex::build(&self.catalog, &allowed);
        let guard = Guard::new(&self.catalog, &allowed);
        let engine = Engine::new();
        let context =
            AskContext { now: "2026-11-20T15:00:00+01:00[Europe/Berlin]".parse().expect("valid") };
        let strategy = ModelStrategy::new(self.model.clone(), self.settings.clone());
        strategy
            .ask(&ModelQuestion {
                question,
                engine: &engine,
                index: &index,
                catalog: &self.catalog,
                guard: &guard,
                context: &context,
                dry_run: &self.planner,
                privacy: self.privacy,
                withheld: &self.withheld,
                taught: &self.taught,
                meter: &self.meter,
            })
            .await
    }

    /// What the model was asked the `nth` time, the first being 0.
    pub(crate) fn request(&self, nth: usize) -> ModelRequest {
        self.model.requests.lock().expect("not poisoned")[nth].clone()
    }

    /// How often the model was asked.
    pub(crate) fn calls(&self) -> usize {
        self.model.requests.lock().expect("not poisoned").len()
    }

    /// The data of the first message.
    pub(crate) fn data(&self) -> serde_json::Value {
        serde_json::from_str(&self.request(0).messages[1].content).expect("one JSON object")
    }
}

/// A database's complaint about a column.
pub(crate) fn no_such_column(name: &str) -> DryRunError {
    DryRunError::Database {
        sqlstate: "42703".to_owned(),
        message: format!("column \"{name}\" does not exist"),
        hint: Some("Perhaps you meant to reference the column \"orders.total\".".to_owned()),
        position: Some(12),
    }
}
