//! What actions send: mails and calls, made from templates. Making is pure; sending is behind ports.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use jiff::Timestamp;
use plinth_core::{OrgId, Principal, StoreError};
use plinth_egress::{Scheme, WebAddress};
use plinth_tenancy::{Attachment, Email, Mail, MailError, Mailer, Subject};
use secrecy::SecretString;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::RunId;
use crate::condition::Results;
use crate::definition::{Action, ActionKind, EmailAction, HttpAction, HttpBody, Receiver};
use crate::hook;
use crate::ports::{Fault, Outward, OutwardAnswer, OutwardCall};
use crate::result::text_of;
use crate::run::Attempt;
use crate::secrets::{CredentialKind, Lent, StoredCredentials, lend};
use crate::slack;
use crate::template::{Context, LARGEST_JSON, Style, aside, json_within};
use crate::writes::DatabaseWriter;

/// To how many addresses one action writes at most.
const MOST_ADDRESSES: usize = 200;

/// How much of a body is kept in the history, in characters.
const KEPT_CHARS: usize = 2_000;

/// How much of a body's type, in characters.
const LONGEST_TYPE: usize = 200;

/// What came of an action that was done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sent {
    /// What was sent, bounded and without secrets.
    pub request: Value,
    /// What came back, bounded.
    pub response: Value,
}

/// For what an action is taken.
#[derive(Clone, Debug)]
pub struct Occasion {
    /// Of which run.
    pub run: RunId,
    /// Whose.
    pub org: OrgId,
    /// As whom.
    pub acting: Principal,
    /// Since when there is a try of it whose end nobody knows.
    pub begun: Option<Timestamp>,
    /// Which of its mails earlier tries have sent: they are not sent again.
    pub accepted: BTreeSet<Uuid>,
    /// When.
    pub at: Timestamp,
    /// What calls are signed with that ask for it.
    pub secret: Option<SecretString>,
}

/// Takes actions.
#[derive(Clone)]
pub struct Actions {
    mailer: Arc<dyn Mailer>,
    outward: Arc<dyn Outward>,
    credentials: Option<StoredCredentials>,
    writer: Option<DatabaseWriter>,
}

impl Actions {
    /// Mails by that mailer, calls by that client.
    pub fn new(mailer: Arc<dyn Mailer>, outward: Arc<dyn Outward>) -> Self {
        Self { mailer, outward, credentials: None, writer: None }
    }

    /// The same, with credentials that calls may carry.
    #[must_use]
    pub fn with_credentials(mut self, credentials: StoredCredentials) -> Self {
        self.credentials = Some(credentials);
        self
    }

    fn credentials(&self) -> Result<&StoredCredentials, Fault> {
        self.credentials.as_ref().ok_or_else(|| Fault::permanent("there are no credentials here"))
    }

    /// Says which credential an action names, as it is now; the inner error is what is wrong with it.
    pub(crate) async fn judge_credential(
        &self,
        org: OrgId,
        action: &Action,
    ) -> Result<Result<Option<Receiver>, String>, StoreError> {
        let (Some(name), Some(credentials)) = (action.credential(), &self.credentials) else {
            return Ok(Ok(None));
        };
        let Some(credential) = credentials.named(org, name).await? else {
            return Ok(Err(format!("there is no credential `{name}`")));
        };
        let fault = match &action.kind {
            ActionKind::Slack(it) => slack::fits(it, &credential).err().map(str::to_owned),
            ActionKind::Http(it) => {
                let to = WebAddress::parse(&it.url, Scheme::Any).map(|it| it.origin());
                let fits = to.ok().as_deref() == Some(credential.origin.as_str());
                match credential.kind {
                    CredentialKind::Url => {
                        Some("is the URL of an incoming webhook; `slack` actions use it".to_owned())
                    }
                    _ if !fits => Some(format!("is for {} only", credential.origin)),
                    _ => None,
                }
            }
            ActionKind::Email(_) | ActionKind::Write(_) => None,
        };
        Ok(fault.map_or(Ok(Some(Receiver::of(&credential))), Err))
    }

    /// The same, with a way to write to databases.
    #[must_use]
    pub fn with_writer(mut self, writer: DatabaseWriter) -> Self {
        self.writer = Some(writer);
        self
    }

    /// What writes to databases.
    pub(crate) fn writer(&self) -> Result<&DatabaseWriter, Fault> {
        self.writer.as_ref().ok_or_else(|| Fault::permanent("nothing is written to databases here"))
    }

    /// What an action would do, without doing it.
    ///
    /// # Errors
    ///
    /// What a template says that has no value; of what would be written also why it may not be.
    pub(crate) async fn show(
        &self,
        caller: &Principal,
        run: RunId,
        action: &Action,
        context: &Context,
        results: &Results,
    ) -> Result<Value, Fault> {
        if let ActionKind::Write(write) = &action.kind {
            return self.writer()?.show(caller, write, context).await;
        }
        let (action, context, results) = (action.clone(), context.clone(), results.clone());
        aside(move || preview(run, &action, &context, &results)).await
    }

    /// Takes an action. Taken again for the same run, it carries the same idempotency key.
    ///
    /// # Errors
    ///
    /// [`Fault`], with what was sent and came back as far as it got.
    pub async fn take(
        &self,
        occasion: &Occasion,
        action: &Action,
        context: &Context,
        results: &Results,
    ) -> Result<Sent, Fault> {
        let run = occasion.run;
        match &action.kind {
            ActionKind::Email(email) => {
                let (email, name) = (email.clone(), action.name.clone());
                let (context, results) = (context.clone(), results.clone());
                let letter = aside(move || letter(run, &name, &email, &context, &results));
                self.mail(&letter.await?, &occasion.accepted).await
            }
            ActionKind::Http(http) => {
                let (made, name) = (http.clone(), action.name.clone());
                let context = context.clone();
                let mut call = aside(move || call(run, &name, &made, &context)).await?;
                let mut lent = Lent::none();
                if let Some(name) = &http.credential {
                    let (credential, secret) = self
                        .credentials()?
                        .borrow(occasion.org, name, action.receiver.as_ref())
                        .await?;
                    lend(&credential, &secret, &mut call)?;
                    lent = Lent::of(&credential, &secret);
                }
                if http.sign {
                    sign(&mut call, occasion, &action.name)?;
                }
                self.call(call, &lent).await
            }
            ActionKind::Write(write) => {
                self.writer()?.write(occasion, &action.name, write, context).await
            }
            ActionKind::Slack(it) => {
                let made = it.clone();
                let (context, results) = (context.clone(), results.clone());
                let message = aside(move || slack::message(&made, &context, &results)).await?;
                let (credential, secret) = self
                    .credentials()?
                    .borrow(occasion.org, &it.credential, action.receiver.as_ref())
                    .await?;
                let call = slack::call(it, &message, (&credential, &secret))?;
                let lent = Lent::of(&credential, &secret);
                self.post(call, &lent, credential.kind == CredentialKind::Url).await
            }
        }
    }

    /// A call to Slack, whose answers mean other things than their statuses say.
    async fn post(&self, call: OutwardCall, lent: &Lent, is_hook: bool) -> Result<Sent, Fault> {
        let (request, answer) = self.send(call, lent).await?;
        let response = json!({ "status": answer.status, "body": kept(&answer.body) });
        match slack::refusal(&answer, is_hook) {
            None => Ok(Sent { request, response }),
            Some((message, is_temporary)) => Err(Fault {
                is_temporary,
                request: Some(request),
                response: Some(response),
                ..Fault::permanent(message)
            }),
        }
    }

    async fn mail(&self, letter: &Letter, accepted: &BTreeSet<Uuid>) -> Result<Sent, Fault> {
        let to: Vec<_> = letter.to.iter().filter(|it| !accepted.contains(&it.0)).collect();
        let request = json!({
            "to": to.iter().map(|it| it.1.as_str()).collect::<Vec<_>>(),
            "subject": letter.subject.as_str(),
            "attachments": letter.attachments.len(),
        });
        let (mut taken, mut later, mut never) = (Vec::new(), None, Vec::new());
        let mut left: usize = 0;
        for (id, to) in to {
            match self.mailer.send(&letter.mail(*id, to)).await {
                Ok(()) => taken.push(id.simple().to_string()),
                Err(MailError::Temporary(text)) => {
                    left += 1;
                    later = Some(text);
                }
                Err(MailError::Permanent(text)) => never.push(format!("{}: {text}", to.as_str())),
            }
        }
        let mut response = json!({
            "taken": taken.len(),
            "taken_before": letter.to.len() - taken.len() - never.len() - left,
            "left": left,
            "refused": never,
        });
        // Addresses and what servers say of them stay in the response: errors are shown also to those who may not see that.
        match (later, never.len()) {
            (Some(later), _) => {
                response["later"] = later.into();
                // The next try leaves these out. Of a try that was cut off nobody knows, and whoever has it already gets it
                // again under the same `Message-ID`.
                response["accepted"] = taken.into();
                Err(Fault {
                    request: Some(request),
                    response: Some(response),
                    ..Fault::temporary(format!(
                        "{left} of the mails could not be sent now; the response says why"
                    ))
                })
            }
            (None, 1..) => Err(Fault {
                request: Some(request),
                response: Some(response),
                ..Fault::permanent(format!(
                    "{} of the mails were refused; the response says why",
                    never.len()
                ))
            }),
            (None, 0) => Ok(Sent { request, response }),
        }
    }

    /// Sends a call; gives it as the history shows it, and the answer without what it repeats of a secret.
    async fn send(&self, call: OutwardCall, lent: &Lent) -> Result<(Value, OutwardAnswer), Fault> {
        let request = shown(&call);
        match self.outward.call(call).await {
            Ok(answer) => {
                let body = lent.hide(answer.body);
                // What it is, without what a receiver may say beside.
                let content_type = answer.content_type.map(|it| {
                    let kind = it.split(';').next().unwrap_or_default().trim();
                    String::from_utf8_lossy(&lent.hide(kind.as_bytes().to_vec()))
                        .chars()
                        .take(LONGEST_TYPE)
                        .collect()
                });
                Ok((request, OutwardAnswer { content_type, body, ..answer }))
            }
            Err(fault) => Err(Fault { request: Some(request), ..fault }),
        }
    }

    async fn call(&self, call: OutwardCall, lent: &Lent) -> Result<Sent, Fault> {
        let (request, answer) = self.send(call, lent).await?;
        let response = json!({
            "status": answer.status,
            "content_type": answer.content_type,
            "body": kept(&answer.body),
        });
        if (200..300).contains(&answer.status) {
            return Ok(Sent { request, response });
        }
        Err(Fault {
            is_temporary: matches!(answer.status, 408 | 425 | 429 | 500..=599),
            request: Some(request),
            response: Some(response),
            ..Fault::permanent(format!("the receiver answered with {}", answer.status))
        })
    }
}

/// What an action would do, without doing it.
///
/// # Errors
///
/// What a template says that has no value.
fn preview(
    run: RunId,
    action: &Action,
    context: &Context,
    results: &Results,
) -> Result<Value, Fault> {
    Ok(match &action.kind {
        ActionKind::Email(email) => {
            let letter = letter(run, &action.name, email, context, results)?;
            let names = letter.attachments.iter().map(|it| it.file_name.as_str());
            json!({
                "to": letter.to.iter().map(|it| it.1.as_str()).collect::<Vec<_>>(),
                "subject": letter.subject.as_str(),
                "text": letter.text,
                "html": letter.html,
                "attachments": names.collect::<Vec<_>>(),
            })
        }
        ActionKind::Http(http) => {
            let call = call(run, &action.name, http, context)?;
            json!({
                "method": call.method,
                "url": call.url,
                "headers": call.headers.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
                "body": call.body.as_deref().map(String::from_utf8_lossy),
                "signed": http.sign,
                "credential": http.credential,
            })
        }
        ActionKind::Slack(it) => {
            let message = slack::message(it, context, results)?;
            json!({ "credential": it.credential, "message": message })
        }
        // Whoever judges it shows it: see `Actions::show`.
        ActionKind::Write(write) => json!({ "write_connection_id": write.connection }),
    })
}

/// What names an action of a run to the outside: the same at each try.
pub fn idempotency_key(run: RunId, action: &str) -> String {
    format!("{run}.{action}")
}

/// Which mails a try had sent when it failed, by what came back.
pub(crate) fn accepted(response: Option<&Value>) -> Vec<Uuid> {
    let ids = response.and_then(|it| it["accepted"].as_array()).into_iter().flatten();
    ids.filter_map(|it| it.as_str()?.parse().ok()).collect()
}

/// A try for those who may not see what a run read: where it went, what came of it, and how many there were. What was sent
/// and came back may repeat rows, and says who gets mail.
pub(crate) fn without_contents(attempt: &mut Attempt) {
    const REQUEST: [&str; 6] =
        ["method", "to", "attachments", "write_connection_id", "kind", "value_count"];
    const RESPONSE: [&str; 7] =
        ["status", "taken", "taken_before", "left", "refused", "rows", "took_effect"];
    let reduce = |it: &mut Option<Value>, kept: &[&str]| {
        let Some(whole) = it else { return };
        let mut reduced = serde_json::Map::new();
        for name in kept {
            match whole.get(name) {
                None => {}
                Some(Value::Array(of)) => _ = reduced.insert((*name).to_owned(), of.len().into()),
                Some(plain) => _ = reduced.insert((*name).to_owned(), plain.clone()),
            }
        }
        *whole = reduced.into();
    };
    reduce(&mut attempt.request, &REQUEST);
    reduce(&mut attempt.response, &RESPONSE);
}

/// What goes to each of some addresses.
struct Letter {
    /// Each address once, with the `Message-ID` of its mail.
    to: Vec<(Uuid, Email)>,
    subject: Subject,
    text: String,
    html: String,
    attachments: Vec<Attachment>,
}

impl Letter {
    fn mail(&self, id: Uuid, to: &Email) -> Mail {
        Mail {
            id,
            to: to.clone(),
            subject: self.subject.clone(),
            text: self.text.clone(),
            html: Some(self.html.clone()),
            attachments: self.attachments.clone(),
        }
    }
}

/// To whom a mail goes, each once; nobody where a column is empty.
fn recipients(email: &EmailAction, results: &Results) -> Result<Vec<Email>, Fault> {
    let mut to: Vec<Email> = email.to.clone();
    if let Some((step, column)) = &email.to_column {
        let result = results.get(step);
        let at = result.and_then(|it| it.column(column)).ok_or_else(|| {
            Fault::permanent(format!("the step `{step}` has no column `{column}` with addresses"))
        })?;
        for (number, row) in result.into_iter().flat_map(|it| &it.rows).enumerate() {
            let text = text_of(&row[at]);
            if text.trim().is_empty() {
                continue;
            }
            to.push(Email::parse(&text).map_err(|_| {
                Fault::permanent(format!(
                    "the column `{column}` holds something that is no address, in row {}",
                    number + 1
                ))
            })?);
        }
    }
    let mut seen = BTreeSet::new();
    to.retain(|it| seen.insert(it.as_str().to_owned()));
    Ok(to)
}

fn letter(
    run: RunId,
    name: &str,
    email: &EmailAction,
    context: &Context,
    results: &Results,
) -> Result<Letter, Fault> {
    let to = recipients(email, results)?;
    if to.is_empty() {
        // Nobody is late, nobody is told: a text about the first row would have no value.
        return Ok(Letter {
            to: Vec::new(),
            subject: Subject::new(""),
            text: String::new(),
            html: String::new(),
            attachments: Vec::new(),
        });
    }
    if to.len() > MOST_ADDRESSES {
        return Err(Fault::permanent(format!(
            "there are more than {MOST_ADDRESSES} addresses to write to"
        )));
    }
    let context = &context.together();
    let fill = |what: &str, text, style| {
        context.render(text, style).map_err(|err| Fault::permanent(format!("{what}: {err}")))
    };
    let subject = fill("subject", &email.subject, Style::Line)?;
    let html = fill("body", &email.body, Style::Markdown)?;
    let text = fill("body", &email.body, Style::Plain)?;
    let attachments: Vec<Attachment> = email
        .attachment
        .iter()
        .filter_map(|it| {
            let csv = results.get(&it.step)?.csv();
            Some(Attachment {
                file_name: it.file_name.clone(),
                media_type: "text/csv".to_owned(),
                bytes: csv.into_bytes(),
            })
        })
        .collect();
    let key = idempotency_key(run, name);
    let to = to.into_iter().map(|to| (mail_id(&key, &to), to)).collect();
    Ok(Letter { to, subject: Subject::new(&subject), text, html, attachments })
}

/// The `Message-ID` of an action's mail to one address: the same at each try.
fn mail_id(key: &str, to: &Email) -> Uuid {
    let hash =
        Sha256::new().chain_update(key).chain_update([0]).chain_update(to.as_str()).finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

fn call(
    run: RunId,
    name: &str,
    http: &HttpAction,
    context: &Context,
) -> Result<OutwardCall, Fault> {
    let context = &context.together();
    let mut headers = Vec::new();
    for (header, value) in &http.headers {
        let value = context
            .render(value, Style::Line)
            .map_err(|err| Fault::permanent(format!("headers/{header}: {err}")))?;
        headers.push((header.clone(), value));
    }
    headers.push(("idempotency-key".to_owned(), idempotency_key(run, name)));
    let is_typed = http.headers.iter().any(|it| it.0 == "content-type");
    let (body, media_type) = match &http.body {
        None => (None, None),
        Some(HttpBody::Json(json)) => {
            let filled = context
                .render_json(json)
                .map_err(|err| Fault::permanent(format!("json: {err}")))?;
            let written = json_within(&filled, LARGEST_JSON);
            let body = written.ok_or_else(|| {
                Fault::permanent(format!("json: becomes larger than {LARGEST_JSON} bytes"))
            })?;
            (Some(body), Some("application/json"))
        }
        Some(HttpBody::Text(text)) => {
            let filled = context
                .render(text, Style::Plain)
                .map_err(|err| Fault::permanent(format!("text: {err}")))?;
            (Some(filled.into_bytes()), Some("text/plain; charset=utf-8"))
        }
    };
    if let Some(media_type) = media_type.filter(|_| !is_typed) {
        headers.push(("content-type".to_owned(), media_type.to_owned()));
    }
    Ok(OutwardCall {
        method: http.method.as_str(),
        url: http.url.clone(),
        headers,
        body,
        time: http.time,
    })
}

/// Signs a call by Standard Webhooks. A new try has a new time, and the same id: the receiver tells by it what comes twice.
fn sign(call: &mut OutwardCall, occasion: &Occasion, action: &str) -> Result<(), Fault> {
    let Occasion { run, at, secret, .. } = occasion;
    // The parts of what is signed are told apart by full stops, so none stands in the id.
    let id = format!("{run}_{action}");
    let body = call.body.as_deref().unwrap_or_default();
    let signature = secret.as_ref().and_then(|it| hook::sign(it, &id, *at, body));
    let signature = signature.ok_or_else(|| Fault::permanent("there is no secret to sign with"))?;
    call.headers.extend([
        ("webhook-id".to_owned(), id),
        ("webhook-timestamp".to_owned(), at.as_second().to_string()),
        ("webhook-signature".to_owned(), signature),
    ]);
    Ok(())
}

/// A call as the history shows it: no query of the URL, and of the headers the names; either may hold a secret.
fn shown(call: &OutwardCall) -> Value {
    let origin =
        WebAddress::parse(&call.url, Scheme::Any).map(|it| it.origin()).unwrap_or_default();
    json!({
        "method": call.method,
        "to": origin,
        "headers": call.headers.iter().map(|it| it.0.as_str()).collect::<Vec<_>>(),
        "body": call.body.as_deref().map(kept),
    })
}

fn kept(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let mut kept: String = text.chars().filter(|it| *it != '\0').take(KEPT_CHARS).collect();
    let more = text.chars().count().saturating_sub(KEPT_CHARS);
    if more > 0 {
        let _ = write!(kept, "… ({more} more)");
    }
    kept
}

#[cfg(test)]
mod tests {
    use plinth_core::{Credential, OrgId, ScopeSet, UserId};

    use super::*;
    use crate::About;
    use crate::definition::{CsvAttachment, Method};
    use crate::result::StepResult;

    fn scene() -> (RunId, Context, Results) {
        let result = std::sync::Arc::new(StepResult {
            columns: vec!["who".to_owned(), "owes".to_owned()],
            rows: vec![
                vec![json!("ann@example.com"), json!("<b>5</b> | *x*")],
                vec![json!("bob@example.com"), json!(7)],
                vec![json!("ann@example.com"), json!(8)],
            ],
            ..StepResult::default()
        });
        let mut context = Context::new(About::default(), None);
        context.add("late", result.clone());
        (RunId::new(jiff::Timestamp::UNIX_EPOCH), context, [("late".to_owned(), result)].into())
    }

    #[test]
    fn a_mail_goes_to_each_address_of_a_column_once_with_table_and_file() {
        let (run, context, results) = scene();
        let email = EmailAction {
            to: vec![Email::parse("cy@example.com").expect("good")],
            to_column: Some(("late".to_owned(), "who".to_owned())),
            subject: "{{ row_count }} are late".to_owned(),
            body: "# Late\n\n{{ results_table }}\n\n<script>x</script>".to_owned(),
            attachment: Some(CsvAttachment {
                step: "late".to_owned(),
                file_name: "late.csv".to_owned(),
            }),
        };
        let letter = letter(run, "tell", &email, &context, &results).expect("written");
        let to: Vec<_> = letter.to.iter().map(|it| it.1.as_str()).collect();
        assert_eq!(to, ["cy@example.com", "ann@example.com", "bob@example.com"]);
        assert_eq!(letter.subject.as_str(), "3 are late");
        let html = letter.html.as_str();
        assert!(html.contains("<table") && html.contains("&lt;b&gt;5&lt;/b&gt; | *x*"), "{html}");
        assert!(!html.contains("<script"), "{html}");
        assert!(letter.text.contains("bob@example.com  7"), "{}", letter.text);
        assert!(letter.attachments[0].bytes.starts_with(b"who,owes\r\n"));
        let again = super::letter(run, "tell", &email, &context, &results).expect("written");
        assert_eq!(letter.to, again.to);
    }

    #[test]
    fn a_call_carries_the_same_key_each_time_and_shows_no_secret() {
        let (run, context, _) = scene();
        let http = HttpAction {
            method: Method::Post,
            url: "https://hooks.example.com/x?token=canary".to_owned(),
            headers: vec![("authorization".to_owned(), "canary".to_owned())],
            body: Some(HttpBody::Json(json!({ "n": "{{ row_count }}", "all": "{{ results }}" }))),
            time: std::time::Duration::from_secs(1),
            sign: true,
            credential: None,
        };
        let mut call = call(run, "post", &http, &context).expect("made");
        let body: Value =
            serde_json::from_slice(call.body.as_deref().expect("there")).expect("JSON");
        assert_eq!(body["n"], 3);
        assert_eq!(body["all"][1]["owes"], 7);
        assert!(call.headers.contains(&("idempotency-key".to_owned(), format!("{run}.post"))));
        assert!(!shown(&call).to_string().contains("canary"));
        let at = "2026-03-04T05:06:07Z".parse().expect("a time");
        let org = OrgId::new(at);
        let acting = Principal {
            org,
            user: UserId::new(at),
            credential: Credential::Job,
            scopes: ScopeSet::all(),
            is_owner: false,
            test_only: false,
            saved_queries_only: false,
            project: None,
            origin: Arc::default(),
        };
        let accepted = BTreeSet::new();
        let mut occasion = Occasion { run, org, acting, begun: None, accepted, at, secret: None };
        assert!(sign(&mut call, &occasion, "post").is_err(), "unsigned it does not leave");
        occasion.secret = Some(format!("whsec_{}", "a".repeat(32)).into());
        sign(&mut call, &occasion, "post").expect("signed");
        let header =
            |name: &str| call.headers.iter().find(|it| it.0 == name).map(|it| it.1.as_str());
        assert_eq!(header("webhook-id"), Some(format!("{run}_post").as_str()));
        assert_eq!(header("webhook-timestamp"), Some("1772600767"));
        assert!(header("webhook-signature").is_some_and(|it| it.starts_with("v1,")));
    }

    #[test]
    fn where_no_row_has_an_address_nobody_is_written_to() {
        let (run, context, _) = scene();
        let empty = StepResult { columns: vec!["who".to_owned()], ..StepResult::default() };
        let null = StepResult { rows: vec![vec![json!(null)]], ..empty.clone() };
        let email = EmailAction {
            to: Vec::new(),
            to_column: Some(("late".to_owned(), "who".to_owned())),
            subject: "{{ steps.late.nothing }}".to_owned(),
            body: String::new(),
            attachment: None,
        };
        for result in [empty, null] {
            let results = [("late".to_owned(), std::sync::Arc::new(result))].into();
            let letter = letter(run, "tell", &email, &context, &results).expect("nothing to do");
            assert!(letter.to.is_empty());
        }
    }

    #[test]
    fn all_that_an_action_fills_in_has_one_time() {
        let (run, context, _) = scene();
        let slow = "{% for i in range(100000) %}{% set a = i * i %}{% endfor %}1".to_owned();
        let email = EmailAction {
            to: vec![Email::parse("cy@example.com").expect("good")],
            to_column: None,
            subject: slow.clone(),
            body: String::new(),
            attachment: None,
        };
        let http = HttpAction {
            method: Method::Post,
            url: "https://hooks.example.com/x".to_owned(),
            headers: vec![("x-slow".to_owned(), slow)],
            body: None,
            time: std::time::Duration::from_secs(1),
            sign: false,
            credential: None,
        };
        for (context, is_done) in [(context.together(), true), (context.over(), false)] {
            let mail = letter(run, "tell", &email, &context, &Results::new()).map(|_| ());
            let called = call(run, "post", &http, &context).map(|_| ());
            assert_eq!((mail.is_ok(), called.is_ok()), (is_done, is_done));
            for said in mail.err().into_iter().chain(called.err()) {
                assert!(said.message.contains("takes too long"), "{said}");
            }
        }
    }

    #[test]
    fn the_json_of_a_call_has_a_bound() {
        let result = StepResult {
            columns: vec!["c".to_owned()],
            rows: vec![vec![json!("\u{1}".repeat(500_000))]],
            ..StepResult::default()
        };
        let mut context = Context::new(About::default(), None);
        context.add("s", result.into());
        let body = |times: usize| {
            let http = HttpAction {
                method: Method::Post,
                url: "https://hooks.example.com/x".to_owned(),
                headers: Vec::new(),
                body: Some(HttpBody::Json(json!(vec!["{{ steps.s.c }}"; times]))),
                time: std::time::Duration::from_secs(1),
                sign: false,
                credential: None,
            };
            let run = RunId::new(jiff::Timestamp::UNIX_EPOCH);
            call(run, "post", &http, &context).map(|it| it.body.map_or(0, |it| it.len()))
        };
        assert_eq!(body(2).expect("small enough"), 2 * (6 * 500_000 + 2) + 3);
        let err = body(3).expect_err("it is too large");
        assert_eq!(err.message, "json: becomes larger than 8388608 bytes");
    }
}
