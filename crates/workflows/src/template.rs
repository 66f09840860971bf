//! Texts with values in them.
//!
//! What a value is put into decides how it is written: a line has no breaks, Markdown shows the value's own signs, and in
//! JSON a value stays inside of its text. A name that is not there is an error, never an empty text.
//!
//! **Invariant**: whatever a template says and whatever its values are, filling it in ends within a second or so and holds
//! some tens of MiB at most ([`meter`]).

mod filters;
mod grammar;
mod known;
mod machine;
mod markdown;
mod meter;
mod numbers;
mod tables;

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::io;
use std::num::NonZero;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use jiff::Timestamp;
use minijinja::machinery::ast::{Expr, Stmt};
use minijinja::value::ValueKind;
use minijinja::{Environment, Error, ErrorKind, Value};
use serde::Serialize;
use serde_json::Value as Json;
use tokio::sync::Semaphore;

use self::known::{Found, Late, Long, Steps, late};
use self::machine::{Frame, Machine, Written};
use self::meter::{LARGEST, Meter};
pub(crate) use self::tables::plain as plain_table;
use crate::ports::Fault;
use crate::result::StepResult;
use crate::{RunId, WorkflowId};

/// What a text is for, and so how values are written into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// One line: breaks and other controls in values become blanks.
    Line,
    /// As it is.
    Plain,
    /// Markdown in which values stand for themselves; it becomes a page of HTML.
    Markdown,
    /// Slack's own markup, in which values are neither links nor names.
    Slack,
}

/// Which names a template may say.
#[derive(Clone, Debug, Default)]
pub struct Names {
    steps: Vec<String>,
    actions: BTreeSet<String>,
}

impl Names {
    pub(crate) fn add_step(&mut self, name: &str) {
        self.steps.push(name.to_owned());
    }

    pub(crate) fn add_action(&mut self, name: &str) {
        self.actions.insert(name.to_owned());
    }

    pub(crate) fn is_taken(&self, name: &str) -> bool {
        self.has_step(name) || self.actions.contains(name)
    }

    pub(crate) fn has_step(&self, name: &str) -> bool {
        self.steps.iter().any(|it| it == name)
    }

    pub(crate) fn last_step(&self) -> Option<&str> {
        self.steps.last().map(String::as_str)
    }

    /// Says what is wrong with the names that a template uses.
    pub(crate) fn judge(&self, used: impl IntoIterator<Item = String>) -> Result<(), String> {
        for name in used {
            let mut parts = name.split('.');
            let top = parts.next().unwrap_or_default();
            match top {
                "webhook" | "notify" | "run" | "workflow" => {}
                "row_count" | "results" | "results_json" | "results_table" => {
                    if self.steps.is_empty() {
                        return Err(format!(
                            "`{top}` is the last step's, and no step is before this"
                        ));
                    }
                }
                "steps" => {
                    if let Some(step) = parts.next().filter(|it| !self.has_step(it)) {
                        return Err(format!("there is no step `{step}` before this"));
                    }
                }
                // What every template has.
                "range" | "dict" | "loop" => {}
                other => {
                    return Err(format!(
                        "there is no `{other}`; there are `steps`, `row_count`, `results`, `results_json`, \
                         `results_table`, `webhook`, `notify`, `run` and `workflow`"
                    ));
                }
            }
        }
        Ok(())
    }
}

fn write_value(value: &Value) -> Result<String, Error> {
    Ok(match value.kind() {
        ValueKind::None => String::new(),
        // As JSON and Postgres write it, and not as Python does.
        ValueKind::Bool => (if value.is_true() { "true" } else { "false" }).to_owned(),
        ValueKind::Seq | ValueKind::Map | ValueKind::Iterable => {
            let mut out = Bounded(Vec::new());
            serde_json::to_writer(&mut out, value).map_err(|err| {
                if err.is_io() {
                    meter::too_long("{{ … }}")
                } else {
                    Error::new(ErrorKind::BadSerialization, err.to_string())
                }
            })?;
            String::from_utf8(out.0).map_err(|_| meter::refused("a list made no text"))?
        }
        _ => value.to_string(),
    })
}

fn escape_line(text: &str) -> String {
    text.chars().map(|it| if it.is_control() { ' ' } else { it }).collect()
}

/// Whose turn it is to fill templates in: as many at once as there are cores. Who hashes passwords or looks names up has to
/// find a thread too.
static TURNS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    Arc::new(Semaphore::new(cores))
});

/// Fills templates in where nothing else waits for it: the largest keep a thread for a second.
///
/// # Errors
///
/// What `fill` says.
pub(crate) async fn aside<T: Send + 'static>(
    fill: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    aside_by(&TURNS, fill).await
}

async fn aside_by<T: Send + 'static>(
    turns: &Arc<Semaphore>,
    fill: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    // Nobody closes it.
    let turn = turns.clone().acquire_owned().await;
    let filled = tokio::task::spawn_blocking(move || {
        // Until it ends, also where nobody waits for it any more.
        let _turn = turn;
        fill()
    });
    filled.await.unwrap_or_else(|_| Err(Fault::permanent("the template could not be filled in")))
}

/// Says whether a text is a template that says known names only.
pub(crate) fn check(text: &str, style: Style, names: &Names) -> Result<(), String> {
    let template = grammar::read(text).map_err(|err| said(&err))?;
    names.judge(grammar::names(&template).map_err(|err| said(&err))?)?;
    if style == Style::Line && text.contains(|it: char| it.is_control()) {
        return Err("has to be one line".to_owned());
    }
    Ok(())
}

/// The same for every text in JSON.
pub(crate) fn check_json(
    json: &Json,
    pointer: &str,
    names: &Names,
    fault: &mut dyn FnMut(&str, String),
) {
    match json {
        Json::String(text) => {
            if let Err(err) = check(text, Style::Plain, names) {
                fault(pointer, err);
            }
        }
        Json::Array(items) => {
            for (at, it) in items.iter().enumerate() {
                check_json(it, &format!("{pointer}/{at}"), names, fault);
            }
        }
        Json::Object(entries) => {
            for (name, it) in entries {
                let name = name.replace('~', "~0").replace('/', "~1");
                check_json(it, &format!("{pointer}/{name}"), names, fault);
            }
        }
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
    }
}

/// The run and its workflow, as templates have them; where there is none they have an empty object.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// The run.
    pub run: Option<AboutRun>,
    /// Its workflow.
    pub workflow: Option<AboutWorkflow>,
}

/// What templates have of a run.
#[derive(Clone, Debug, Serialize)]
pub struct AboutRun {
    /// Which.
    pub id: RunId,
    /// What started it.
    pub trigger: String,
    /// When it was queued.
    pub created_at: Timestamp,
}

/// What templates have of a workflow.
#[derive(Clone, Debug, Serialize)]
pub struct AboutWorkflow {
    /// Which.
    pub id: WorkflowId,
    /// What it is called.
    pub name: String,
}

/// What templates of one run can say.
#[derive(Clone, Debug)]
pub struct Context {
    run: Late,
    workflow: Late,
    webhook: Option<Late>,
    notify: Option<Late>,
    steps: Arc<Steps>,
    /// When all that is filled in has to be done; `None` if each has its own time.
    until: Option<Instant>,
}

/// An object, which is empty where there is nothing.
#[derive(Serialize)]
struct Object<T: Serialize> {
    #[serde(flatten)]
    fields: Option<T>,
}

impl Context {
    /// What is known before the first step; `webhook` is what a call brought.
    pub fn new(about: About, webhook: Option<Json>) -> Self {
        Self {
            run: late(Object { fields: about.run }),
            workflow: late(Object { fields: about.workflow }),
            webhook: webhook.map(late),
            notify: None,
            steps: Arc::default(),
            until: None,
        }
    }

    /// The same by what starts the workflow's runs: `payload` is what that brought.
    pub(crate) fn triggered(
        run: AboutRun,
        workflow: AboutWorkflow,
        trigger: &str,
        payload: Option<Json>,
    ) -> Self {
        let about = About { run: Some(run), workflow: Some(workflow) };
        if trigger == "listen" {
            Self { notify: payload.map(late), ..Self::new(about, None) }
        } else {
            Self::new(about, payload)
        }
    }

    /// The same after a step.
    pub fn add(&mut self, name: &str, result: Arc<StepResult>) {
        Arc::make_mut(&mut self.steps).add(name, result);
    }

    /// The same, but that all which is filled in from now on has together the time that one template has: an action has many.
    pub(crate) fn together(&self) -> Self {
        Self { until: self.until.or_else(|| Some(Meter::deadline())), ..self.clone() }
    }

    /// The same, with its time over.
    #[cfg(test)]
    pub(crate) fn over(&self) -> Self {
        Self { until: Some(Instant::now()), ..self.clone() }
    }

    /// Fills a template in. Markdown becomes a page of HTML.
    ///
    /// # Errors
    ///
    /// In words for who wrote the template: a name that is not there, a text that becomes too large or takes too long.
    pub fn render(&self, text: &str, style: Style) -> Result<String, String> {
        self.render_by(&Tools::new(style, self.until), text)
    }

    fn render_by(&self, tools: &Tools, text: &str) -> Result<String, String> {
        let template = grammar::read(text).map_err(|err| said(&err))?;
        if tools.style != Style::Markdown {
            return Ok(self.fill(tools, &template, None)?.text);
        }
        let mark = markdown::mark()?;
        let written = self.fill(tools, &template, Some(&mark))?;
        markdown::page(&written.text, &mark, &written.values)
    }

    fn fill(
        &self,
        tools: &Tools,
        template: &Stmt<'_>,
        mark: Option<&str>,
    ) -> Result<Written, String> {
        let names = Meant { context: self, tools };
        let mut machine = tools.machine(&names, mark);
        match machine.run(template) {
            Ok(()) => Ok(machine.written),
            Err(err) if machine.line > 1 => Err(format!("line {}: {}", machine.line, said(&err))),
            Err(err) => Err(said(&err)),
        }
    }

    /// Fills the texts in JSON in. A text that is one expression and nothing else becomes the expression's value.
    ///
    /// # Errors
    ///
    /// As for [`Context::render`].
    pub fn render_json(&self, json: &Json) -> Result<Json, String> {
        self.render_json_by(&Tools::new(Style::Plain, self.until), json)
    }

    fn render_json_by(&self, tools: &Tools, json: &Json) -> Result<Json, String> {
        Ok(match json {
            Json::String(text) => match whole_expression(text) {
                Some(expression) => self.evaluate_by(tools, expression)?,
                None => self.render_by(tools, text)?.into(),
            },
            Json::Array(items) => {
                let filled = items.iter().map(|it| self.render_json_by(tools, it));
                filled.collect::<Result<Vec<_>, _>>()?.into()
            }
            Json::Object(entries) => {
                let filled = entries
                    .iter()
                    .map(|(name, it)| Ok((name.clone(), self.render_json_by(tools, it)?)));
                Json::Object(filled.collect::<Result<_, String>>()?)
            }
            other => other.clone(),
        })
    }

    /// The values of expressions, in their order.
    ///
    /// # Errors
    ///
    /// As for [`Context::render`].
    pub fn evaluate(&self, expressions: &[String]) -> Result<Vec<Json>, String> {
        let tools = Tools::new(Style::Plain, self.until);
        expressions.iter().map(|it| self.evaluate_by(&tools, it)).collect()
    }

    fn evaluate_by(&self, tools: &Tools, expression: &str) -> Result<Json, String> {
        let read: Expr<'_> = grammar::read_expression(expression).map_err(|err| said(&err))?;
        let names = Meant { context: self, tools };
        let mut machine = tools.machine(&names, None);
        let value = machine.passed_on(&read).map_err(|err| said(&err))?;
        if value.is_undefined() {
            return Err(format!("there is no value for `{}`", expression.trim()));
        }
        tools.meter.weigh_as_json(&value).map_err(|err| said(&err))?;
        // JSON has no numbers that are longer.
        if value.is_integer() && value.as_i64().is_none() && u64::try_from(value.clone()).is_err() {
            return Ok(value.to_string().into());
        }
        serde_json::to_value(&value).map_err(|err| err.to_string())
    }
}

/// What one rendering has, or those of one JSON have together.
struct Tools {
    style: Style,
    meter: Arc<Meter>,
    environment: Environment<'static>,
    /// `results_table`: made when the first text asks for it.
    table: OnceCell<Value>,
}

impl Tools {
    fn new(style: Style, until: Option<Instant>) -> Self {
        let meter = Arc::new(Meter::new(until.unwrap_or_else(Meter::deadline)));
        let environment = filters::environment(style, &meter);
        Self { style, meter, environment, table: OnceCell::new() }
    }

    fn machine<'m>(&'m self, names: &'m Meant<'_>, mark: Option<&'m str>) -> Machine<'m> {
        Machine {
            names,
            environment: &self.environment,
            meter: &self.meter,
            style: self.style,
            mark,
            frames: vec![Frame::default()],
            written: Written::default(),
            line: 1,
            long: Long::Near,
        }
    }
}

/// What names mean in one rendering.
struct Meant<'a> {
    context: &'a Context,
    tools: &'a Tools,
}

impl machine::Names for Meant<'_> {
    fn get(&self, name: &str, long: Long) -> Result<Value, Error> {
        let Context { run, workflow, webhook, notify, steps, .. } = self.context;
        let value = |it: &Late| Value::clone(it);
        let last = steps.last(long);
        Ok(match name {
            "run" => value(run),
            "workflow" => value(workflow),
            "webhook" => webhook.as_ref().map(value).unwrap_or_default(),
            "notify" => notify.as_ref().map(value).unwrap_or_default(),
            "steps" => steps.value(long),
            "row_count" => last.map(|it| it.result.row_count().into()).unwrap_or_default(),
            "results" => last.map(Found::rows).unwrap_or_default(),
            "results_json" => last.map(Found::json).unwrap_or_default(),
            "results_table" => match last {
                Some(last) => self.table(&last.result)?,
                None => Value::UNDEFINED,
            },
            _ => Value::UNDEFINED,
        })
    }
}

impl Meant<'_> {
    fn table(&self, last: &StepResult) -> Result<Value, Error> {
        if let Some(table) = self.tools.table.get() {
            return Ok(table.clone());
        }
        let table = match self.tools.style {
            // A table that is Markdown already.
            Style::Markdown => Value::from_safe_string(tables::markdown(last)),
            Style::Slack => Value::from_safe_string(crate::slack::block(&tables::plain(last))),
            Style::Plain | Style::Line => Value::from(tables::plain(last)),
        };
        self.tools.meter.glance(&table)?;
        Ok(self.tools.table.get_or_init(|| table).clone())
    }
}

/// What stands between the braces of a text that is one expression. With a sign at a brace (`{{-`, `+}}`) it is a text that
/// says what to do with the blanks around it.
fn whole_expression(text: &str) -> Option<&str> {
    let inner = text.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    let has_sign = inner.starts_with(['-', '+']) || inner.ends_with(['-', '+']);
    (!inner.contains("{{") && !inner.contains("}}") && !has_sign).then_some(inner)
}

/// Says whether a text is an expression that says known names only.
pub(crate) fn check_expression(expression: &str, names: &Names) -> Result<(), String> {
    let read = grammar::read_expression(expression).map_err(|err| said(&err))?;
    names.judge(grammar::names_of(&read).map_err(|err| said(&err))?)
}

/// The engine's error as a sentence, without the engine's own names.
fn said(err: &Error) -> String {
    let text = match err.kind() {
        ErrorKind::UndefinedError => err.detail().map_or_else(
            || "says a name that has no value".to_owned(),
            |name| format!("there is no value for `{name}`"),
        ),
        ErrorKind::WriteFailure => format!("becomes larger than {LARGEST} bytes"),
        kind => err.detail().map_or_else(|| kind.to_string(), str::to_owned),
    };
    match err.line() {
        Some(line) if line > 1 => format!("line {line}: {text}"),
        _ => text,
    }
}

/// The largest JSON that leaves, in bytes. A letter of a value is six where JSON escapes it.
pub(crate) const LARGEST_JSON: usize = 8 * LARGEST;

/// A value as JSON; `None` if that is longer than `most` bytes.
pub(crate) fn json_within(value: &Json, most: usize) -> Option<Vec<u8>> {
    struct Within(Vec<u8>, usize);
    impl io::Write for Within {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            write_within(&mut self.0, bytes, self.1)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut out = Within(Vec::new(), most);
    serde_json::to_writer(&mut out, value).ok()?;
    Some(out.0)
}

fn write_within(to: &mut Vec<u8>, bytes: &[u8], most: usize) -> io::Result<usize> {
    if to.len() + bytes.len() > most {
        return Err(io::Error::other("too large"));
    }
    to.extend_from_slice(bytes);
    Ok(bytes.len())
}

struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        write_within(&mut self.0, bytes, LARGEST)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
