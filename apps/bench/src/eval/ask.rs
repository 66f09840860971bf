//! Asks the server question by question, and says what came of each.

use std::pin::pin;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use futures_util::{StreamExt as _, stream};
use serde_json::{Value as Json, json};

use plinth_nl2sql::measure::Conversation;

use super::Connections;
use super::engine::Alone;
use super::judge::{Verdict, judge, judge_words};
use super::tally::Outcome;
use crate::client::{Client, Response};
use crate::database::Runner;
use crate::process::Plinth;
use crate::question::{Expected, Question, conversations};
use crate::sample;
use crate::terminal::Progress;

/// How often a question is asked again that the server puts off because there are too many.
const MOST_ATTEMPTS: u32 = 10;

/// What was asked and what came of it.
pub(super) struct Asked {
    pub(super) question: Question,
    pub(super) outcome: Outcome,
    pub(super) sql: Option<String>,
    /// Why it is not right.
    pub(super) note: Option<String>,
    pub(super) status: u16,
    pub(super) confidence: Option<f64>,
    pub(super) engine_ms: Option<f64>,
    pub(super) total_ms: f64,
}

/// All that asking needs.
pub(super) struct Asking<'a> {
    pub(super) runner: &'a Runner,
    pub(super) connections: &'a Connections,
    pub(super) asked: WhoIsAsked<'a>,
}

/// Where the answers come from.
#[derive(Clone, Copy)]
pub(super) enum WhoIsAsked<'a> {
    /// A server, over HTTP.
    Plinth(&'a Plinth),
    /// The embedded engine, without a server.
    Engine(&'a Alone),
    /// The gold is the answer.
    Nobody,
}

/// What the server made of a question.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    Sql(String),
    /// In words, without SQL.
    Words(String),
    /// Asked back or declined, with what it said.
    None(String),
    Failed(String),
}

impl Asking<'_> {
    /// Asks all, so many conversations at once, and judges the answers; they come back sorted by id.
    ///
    /// # Errors
    /// If the server cannot be reached, or a gold statement does not run.
    pub(super) async fn all(&self, questions: Vec<Question>, at_once: usize) -> Result<Vec<Asked>> {
        let free: Mutex<Vec<Client>> = Mutex::default();
        let all = questions.len();
        let asked = conversations(questions).into_iter().map(async |conversation| {
            let kept = free.lock().ok().and_then(|mut free| free.pop());
            let mut client = match self.asked {
                WhoIsAsked::Plinth(plinth) => kept.or_else(|| Some(plinth.client())),
                _ => None,
            };
            let mut said = Conversation::default();
            let mut asked = Vec::with_capacity(conversation.len());
            let mut id = None;
            for question in conversation {
                asked.push(match (&mut client, self.asked) {
                    (Some(client), _) => self.one(client, question, &mut id).await,
                    (None, WhoIsAsked::Engine(engine)) => {
                        self.alone(engine, question, &mut said).await
                    }
                    (None, _) => self.gold(question).await,
                });
            }
            if let (Some(client), Ok(mut free)) = (client, free.lock()) {
                free.push(client);
            }
            asked
        });
        let mut asked = pin!(stream::iter(asked).buffer_unordered(at_once));
        let mut progress = Progress::new();
        let mut results: Vec<Asked> = Vec::with_capacity(all);
        let mut right = 0;
        while let Some(conversation) = asked.next().await {
            for result in conversation {
                let result = result?;
                right += usize::from(result.outcome == Outcome::Right);
                results.push(result);
            }
            let done = results.len();
            progress.show(|| format!("{done} of {all} asked, {} % right", right * 100 / done));
        }
        progress.done(&format!("asked {all} questions"));
        results.sort_by(|a, b| a.question.id.cmp(&b.question.id));
        Ok(results)
    }

    /// Takes the first gold for the answer.
    async fn gold(&self, question: Question) -> Result<Asked> {
        let sql = match &question.expected {
            Expected::Decline => None,
            Expected::Rows { gold, .. } => gold.first().cloned(),
        };
        let verdict = match &sql {
            Some(sql) => judge(self.runner, database_of(&question), &question, sql).await?,
            None => Verdict::Right,
        };
        let (outcome, note) = match verdict {
            Verdict::Right => (Outcome::Right, None),
            Verdict::Wrong(why) => (Outcome::Wrong, Some(why)),
        };
        let (status, confidence, engine_ms, total_ms) = (0, None, None, 0.0);
        Ok(Asked { question, outcome, sql, note, status, confidence, engine_ms, total_ms })
    }

    /// Asks the engine by itself.
    async fn alone(
        &self,
        engine: &Alone,
        question: Question,
        conversation: &mut Conversation,
    ) -> Result<Asked> {
        let database = database_of(&question);
        let said = engine.ask(conversation, database, &question.text)?;
        let (outcome, sql, note) = self.outcome(&question, said.answer).await?;
        let (status, confidence) = (0, said.confidence);
        let (engine_ms, total_ms) = (Some(said.ms), said.ms);
        Ok(Asked { question, outcome, sql, note, status, confidence, engine_ms, total_ms })
    }

    /// Judges an answer: what came of it, its SQL, and why it is not right.
    async fn outcome(
        &self,
        question: &Question,
        answer: Answer,
    ) -> Result<(Outcome, Option<String>, Option<String>)> {
        let database = database_of(question);
        Ok(match answer {
            Answer::Sql(sql) => match judge(self.runner, database, question, &sql).await? {
                Verdict::Right => (Outcome::Right, Some(sql), None),
                Verdict::Wrong(why) => (Outcome::Wrong, Some(sql), Some(why)),
            },
            Answer::Words(words) => {
                match judge_words(self.runner, database, question, &words).await? {
                    Verdict::Right => (Outcome::Right, None, None),
                    Verdict::Wrong(why) => (Outcome::Wrong, None, Some(format!("{why}: {words}"))),
                }
            }
            Answer::None(said) => match question.expected {
                Expected::Decline => (Outcome::Right, None, None),
                Expected::Rows { .. } => (Outcome::AskedBack, None, Some(said)),
            },
            Answer::Failed(why) => (Outcome::Failed, None, Some(why)),
        })
    }

    /// Asks in the conversation of that id, which is that of the answer afterwards.
    async fn one(
        &self,
        client: &mut Client,
        question: Question,
        conversation: &mut Option<String>,
    ) -> Result<Asked> {
        let database = database_of(&question);
        let connection = self.connections.get(database);
        let connection = connection.with_context(|| format!("there is no database {database}"))?;
        let mut body = json!({ "connection_id": connection, "question": question.text });
        if let Some(id) = conversation.as_deref() {
            body["conversation_id"] = id.into();
        }
        let started = Instant::now();
        let response = ask(client, &body).await?;
        let total_ms = started.elapsed().as_secs_f64() * 1000.0;
        let json = response.json().unwrap_or_default();
        *conversation = conversation_of(&json).or_else(|| conversation.take());
        let answer = understand(&response, &json);
        let (outcome, sql, note) = self.outcome(&question, answer).await?;
        Ok(Asked {
            outcome,
            sql,
            note,
            status: response.status,
            confidence: json["data"]["confidence"].as_f64(),
            engine_ms: json["data"]["timings"]["engine_ms"].as_f64(),
            total_ms,
            question,
        })
    }
}

/// The conversation that an answer belongs to; a question back has it too.
pub(crate) fn conversation_of(json: &Json) -> Option<String> {
    let places = [&json["data"], &json["error"]["details"]];
    places.iter().find_map(|it| it["conversation_id"].as_str().map(str::to_owned))
}

fn database_of(question: &Question) -> &str {
    question.database.as_deref().unwrap_or(sample::DATABASE)
}

/// Asks, and waits where the server says that there are too many requests.
async fn ask(client: &mut Client, body: &Json) -> Result<Response> {
    for _ in 0..MOST_ATTEMPTS {
        let response = client.request("POST", "/v1/queries", Some(body)).await?;
        if response.status != 429 {
            return Ok(response);
        }
        tokio::time::sleep(Duration::from_secs(response.retry_after.unwrap_or(1).max(1))).await;
    }
    bail!("the server puts off every question: there are too many")
}

fn understand(response: &Response, json: &Json) -> Answer {
    let data = &json["data"];
    let error = &json["error"];
    let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
    match response.status {
        200 | 201 => {
            if let Some(sql) = data["sql"].as_str().filter(|sql| !sql.trim().is_empty()) {
                return Answer::Sql(sql.to_owned());
            }
            match data["answer"].as_str() {
                Some(words) => Answer::Words(words.to_owned()),
                None => Answer::None(text(&data["outcome"])),
            }
        }
        422 => Answer::None(format!("{} {}", text(&error["message"]), error["details"])),
        status => Answer::Failed(format!(
            "{status} {}: {} {}",
            text(&error["code"]),
            text(&error["message"]),
            error["details"]
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn understood(status: u16, json: &Json) -> Answer {
        understand(&Response { status, retry_after: None, body: Vec::new(), length: 0 }, json)
    }

    #[test]
    fn an_answer_is_its_sql() {
        let json = json!({ "data": { "sql": "SELECT 1", "answer": "One." } });
        assert_eq!(understood(200, &json), Answer::Sql("SELECT 1".to_owned()));
    }

    #[test]
    fn words_without_sql_are_an_answer_and_nothing_at_all_is_none() {
        let json = json!({ "data": { "sql": null, "outcome": "meta", "answer": "Two tables." } });
        assert_eq!(understood(200, &json), Answer::Words("Two tables.".to_owned()));
        let json = json!({ "data": { "sql": " ", "outcome": "declined" } });
        assert_eq!(understood(200, &json), Answer::None("declined".to_owned()));
    }

    #[test]
    fn asking_back_is_no_failure_and_an_error_of_the_server_is_one() {
        let json = json!({ "error": { "code": "c", "message": "m", "details": {} } });
        assert!(matches!(understood(422, &json), Answer::None(_)));
        assert!(matches!(understood(500, &json), Answer::Failed(_)));
        assert!(matches!(understood(401, &json), Answer::Failed(_)));
    }
}
