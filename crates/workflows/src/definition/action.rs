use std::time::Duration;

use plinth_connections::writes::WriteConnectionId;
use plinth_egress::{Scheme, WebAddress};
use plinth_tenancy::Email;
use serde_json::Value;

use super::meant::Receiver;
use super::step::{read_id, read_name};
use super::{Faults, Fields};
use crate::sql_template::SqlTemplate;
use crate::template::{Names, Style, check, check_json};
use crate::writes::WantedApproval;

/// Something that a workflow does outside.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    /// Its name, unlike that of any step.
    pub name: String,
    /// What it does.
    pub kind: ActionKind,
    /// Whether the actions after it are taken when it failed. The run fails all the same.
    pub continue_on_error: bool,
    /// What the name of its credential means; `None` without one, and where that was not looked up.
    pub receiver: Option<Receiver>,
}

/// What an action does.
#[derive(Clone, Debug, PartialEq)]
pub enum ActionKind {
    /// Sends a mail.
    Email(EmailAction),
    /// Calls a URL.
    Http(HttpAction),
    /// Posts to Slack.
    Slack(SlackAction),
    /// Writes to a database.
    Write(WriteAction),
}

/// A statement that writes.
#[derive(Clone, Debug, PartialEq)]
pub struct WriteAction {
    /// Through which write connection.
    pub connection: WriteConnectionId,
    /// One INSERT, UPDATE, DELETE or CALL, in which values of templates are bound.
    pub sql: SqlTemplate,
    /// How long it may take.
    pub time: Duration,
    /// Who has to let it be taken; `None` if nobody has to.
    pub approval: Option<WantedApproval>,
}

/// A mail.
#[derive(Clone, Debug, PartialEq)]
pub struct EmailAction {
    /// Addresses.
    pub to: Vec<Email>,
    /// A step and a column of it that holds addresses.
    pub to_column: Option<(String, String)>,
    /// A template of one line.
    pub subject: String,
    /// A template in Markdown.
    pub body: String,
    /// A result to attach.
    pub attachment: Option<CsvAttachment>,
}

/// A result that goes with a mail as a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsvAttachment {
    /// Of which step.
    pub step: String,
    /// The file's name.
    pub file_name: String,
}

/// A call.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpAction {
    /// How.
    pub method: Method,
    /// Where to: no template, so that no data of a run decides who gets it.
    pub url: String,
    /// Headers, each a name and a template of one line.
    pub headers: Vec<(String, String)>,
    /// What is sent.
    pub body: Option<HttpBody>,
    /// How long it may take.
    pub time: Duration,
    /// Whether it is signed as Standard Webhooks says.
    pub sign: bool,
    /// The name of a stored credential for this receiver.
    pub credential: Option<String>,
}

/// A message in Slack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlackAction {
    /// The name of the stored credential: a bot token, or an incoming webhook.
    pub credential: String,
    /// Where it is posted with a bot token: no template, so that no data of a run decides who reads it.
    pub channel: Option<String>,
    /// A template that becomes the time stamp of the message that it answers.
    pub thread: Option<String>,
    /// A template in Slack's own markup.
    pub text: String,
    /// A step whose result stands below as a table.
    pub table: Option<String>,
}

/// A method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are the methods of HTTP")]
pub enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    /// As it is sent.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// A body.
#[derive(Clone, Debug, PartialEq)]
pub enum HttpBody {
    /// JSON whose texts are templates: a value goes into a text, never into the structure.
    Json(Value),
    /// A template.
    Text(String),
}

/// Headers that the client writes itself, that name another receiver, or that Plinth sends for every call.
pub(crate) const OWN_HEADERS: [&str; 14] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "proxy-authorization",
    "user-agent",
    "idempotency-key",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
];

impl Action {
    /// The name of the stored credential that it uses.
    pub fn credential(&self) -> Option<&str> {
        match &self.kind {
            ActionKind::Email(_) | ActionKind::Write(_) => None,
            ActionKind::Http(http) => http.credential.as_deref(),
            ActionKind::Slack(slack) => Some(&slack.credential),
        }
    }

    /// Whether it is signed.
    pub fn is_signed(&self) -> bool {
        matches!(&self.kind, ActionKind::Http(http) if http.sign)
    }

    /// Who has to let it be taken; `None` if nobody has to.
    pub fn approval(&self) -> Option<&WantedApproval> {
        match &self.kind {
            ActionKind::Write(write) => write.approval.as_ref(),
            ActionKind::Email(_) | ActionKind::Http(_) | ActionKind::Slack(_) => None,
        }
    }

    pub(super) fn read(
        value: &Value,
        pointer: &str,
        names: &mut Names,
        faults: &mut Faults,
    ) -> Option<Self> {
        let mut fields = Fields::of(value, pointer, faults);
        let name = read_name(&mut fields, names, faults);
        let continue_on_error = fields.flag("continue_on_error", faults);
        let kinds = [("email", 'e'), ("http", 'h'), ("slack", 's'), ("write", 'w')];
        // What people look for, and what they can do instead.
        let missing = match fields.need("type", faults).and_then(Value::as_str) {
            Some("query" | "sql") => "an action that writes to a database has the type `write`",
            _ => "",
        };
        if !missing.is_empty() {
            faults.add(&fields.at("type"), missing);
            return None;
        }
        let kind = match fields.word("type", &kinds, faults)? {
            'w' => read_write(&mut fields, names, faults).map(ActionKind::Write),
            'e' => read_email(&mut fields, names, faults).map(ActionKind::Email),
            's' => read_slack(&mut fields, names, faults).map(ActionKind::Slack),
            _ => read_http(&mut fields, names, faults).map(ActionKind::Http),
        };
        fields.end(faults);
        if let Some(name) = &name {
            names.add_action(name);
        }
        Some(Self { name: name?, kind: kind?, continue_on_error, receiver: None })
    }
}

fn read_email(fields: &mut Fields<'_>, names: &Names, faults: &mut Faults) -> Option<EmailAction> {
    let mut to = Vec::new();
    let listed = fields.list("to", 50, faults);
    let nobody = listed.is_empty();
    for (pointer, it) in listed {
        match it.as_str().map(Email::parse) {
            Some(Ok(email)) => to.push(email),
            _ => faults.add(&pointer, "has to be an address like `ann@example.com`"),
        }
    }
    let to_column = fields.get("to_column").and_then(|it| {
        let mut inner = Fields::of(it, &fields.at("to_column"), faults);
        let step = read_step(&mut inner, names, faults);
        let column = inner.need_text("column", 200, faults).map(str::to_owned);
        inner.end(faults);
        step.zip(column)
    });
    if nobody && to_column.is_none() && fields.get("to_column").is_none() {
        faults.add(
            &fields.at("to"),
            "has to hold an address, or `to_column` has to name a column that does",
        );
    }
    let subject = template(fields, "subject", 500, Style::Line, names, faults);
    let body = template(fields, "body", 50_000, Style::Markdown, names, faults);
    let attachment = fields.get("csv").and_then(|it| {
        let mut inner = Fields::of(it, &fields.at("csv"), faults);
        let step = read_step(&mut inner, names, faults);
        let file_name = inner.text("file_name", 100, faults).unwrap_or("results.csv");
        let plain = |it: char| it.is_ascii_alphanumeric() || matches!(it, '.' | '_' | '-' | ' ');
        if !file_name.chars().all(plain) {
            faults.add(&inner.at("file_name"), "has to be of letters, digits, blanks and `._-`");
        }
        let file_name = file_name.to_owned();
        inner.end(faults);
        step.map(|step| CsvAttachment { step, file_name })
    });
    Some(EmailAction { to, to_column, subject: subject?, body: body?, attachment })
}

fn read_http(fields: &mut Fields<'_>, names: &Names, faults: &mut Faults) -> Option<HttpAction> {
    let methods = [Method::Get, Method::Post, Method::Put, Method::Patch, Method::Delete]
        .map(|it| (it.as_str(), it));
    let method = fields.word("method", &methods, faults).unwrap_or(Method::Post);
    let url = fields.need_text("url", 2_000, faults).and_then(|it| {
        let read = WebAddress::parse(it, Scheme::Any);
        read.map_err(|err| faults.add(&fields.at("url"), err.to_string()))
            .ok()
            .map(|_| it.trim().to_owned())
    });
    let mut headers = Vec::new();
    if let Some(value) = fields.get("headers") {
        let pointer = fields.at("headers");
        match value.as_object().filter(|it| it.len() <= 30) {
            None => faults.add(&pointer, "has to be an object of at most 30 headers"),
            Some(entries) => {
                for (name, value) in entries {
                    let pointer =
                        format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
                    let token = |it: u8| it.is_ascii_alphanumeric() || b"-_.".contains(&it);
                    let lower = name.to_ascii_lowercase();
                    if name.is_empty() || name.len() > 100 || !name.bytes().all(token) {
                        faults.add(&pointer, "is not the name of a header");
                    } else if OWN_HEADERS.contains(&lower.as_str()) {
                        faults.add(&pointer, "is a header that Plinth writes itself");
                    } else if let Some(value) = value.as_str() {
                        if let Err(err) = check(value, Style::Line, names) {
                            faults.add(&pointer, err);
                        }
                        headers.push((lower, value.to_owned()));
                    } else {
                        faults.add(&pointer, "has to be a text");
                    }
                }
            }
        }
    }
    let json = fields.get("json");
    let text = template(fields, "text", 100_000, Style::Plain, names, faults);
    if let Some(json) = json {
        check_json(json, &fields.at("json"), names, &mut |pointer, err| faults.add(pointer, err));
    }
    let body = match (json, text) {
        (Some(_), Some(_)) => {
            faults.add(&fields.at("text"), "there is `json` already");
            None
        }
        (Some(json), None) => Some(HttpBody::Json(json.clone())),
        (None, text) => text.map(HttpBody::Text),
    };
    let time = fields.whole("timeout_seconds", 1..=60, faults).unwrap_or(10);
    let (time, sign) = (Duration::from_secs(time), fields.flag("sign", faults));
    let credential = fields.text("credential", 63, faults).map(str::to_owned);
    Some(HttpAction { method, url: url?, headers, body, time, sign, credential })
}

fn read_slack(fields: &mut Fields<'_>, names: &Names, faults: &mut Faults) -> Option<SlackAction> {
    let credential = fields.need_text("credential", 63, faults).map(str::to_owned);
    let channel = fields.text("channel", 100, faults).map(str::to_owned);
    if channel.as_ref().is_some_and(|it| it.contains('{') || it.chars().any(char::is_whitespace)) {
        faults.add(&fields.at("channel"), "has to be a channel's name or id, and no template");
    }
    let thread = fields.text("thread", 500, faults).map(str::to_owned);
    if let Some(thread) = &thread
        && let Err(err) = check(thread, Style::Line, names)
    {
        faults.add(&fields.at("thread"), err);
    }
    let text = template(fields, "text", 20_000, Style::Slack, names, faults);
    let table = fields.get("table").and_then(|it| {
        let mut inner = Fields::of(it, &fields.at("table"), faults);
        let step = read_step(&mut inner, names, faults);
        inner.end(faults);
        step
    });
    if text.is_none() && fields.get("text").is_none() {
        faults.add(&fields.at("text"), "is missing");
    }
    Some(SlackAction { credential: credential?, channel, thread, text: text?, table })
}

fn read_write(fields: &mut Fields<'_>, names: &Names, faults: &mut Faults) -> Option<WriteAction> {
    let connection = read_id(fields, "write_connection_id", faults);
    let pointer = fields.at("sql");
    let sql = fields
        .need_text("sql", 50_000, faults)
        .and_then(|it| SqlTemplate::parse(it, names).map_err(|err| faults.add(&pointer, err)).ok());
    let time = fields.whole("timeout_seconds", 1..=600, faults).unwrap_or(30);
    let approval = fields.get("approval").map(|it| {
        let mut inner = Fields::of(it, &fields.at("approval"), faults);
        let role = inner.text("role", 100, faults).unwrap_or("admin").to_owned();
        let time = inner.whole("expires_in_seconds", 60..=30 * 86_400, faults);
        let time = Duration::from_secs(time.unwrap_or(86_400));
        let self_approval = inner.flag("self_approval", faults);
        if role == "viewer" {
            faults.add(&inner.at("role"), "viewers change nothing, and so cannot approve");
        }
        inner.end(faults);
        WantedApproval { role, time, self_approval }
    });
    let time = Duration::from_secs(time);
    Some(WriteAction { connection: connection?, sql: sql?, time, approval })
}

fn template(
    fields: &mut Fields<'_>,
    name: &'static str,
    most: usize,
    style: Style,
    names: &Names,
    faults: &mut Faults,
) -> Option<String> {
    let text = match name {
        "text" => fields.text(name, most, faults)?,
        _ => fields.need_text(name, most, faults)?,
    };
    check(text, style, names).map_err(|err| faults.add(&fields.at(name), err)).ok()?;
    Some(text.to_owned())
}

pub(crate) fn read_step(
    fields: &mut Fields<'_>,
    names: &Names,
    faults: &mut Faults,
) -> Option<String> {
    let step = match fields.text("step", 63, faults) {
        Some(step) => step,
        None => names.last_step()?,
    };
    if !names.has_step(step) {
        faults.add(&fields.at("step"), format!("there is no step `{step}`"));
        return None;
    }
    Some(step.to_owned())
}
