//! What Slack is sent, and what its answers mean.

use std::time::Duration;

use plinth_egress::{Scheme, WebAddress};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use crate::condition::Results;
use crate::definition::SlackAction;
use crate::ports::{Fault, OutwardAnswer, OutwardCall};
use crate::secrets::{CredentialKind, StoredCredential, lend};
use crate::template::{Context, Style, plain_table};

/// The longest text that Slack takes, in characters; it would cut a longer one.
const LONGEST: usize = 40_000;

/// How long Slack may take.
const TIME: Duration = Duration::from_secs(15);

/// What `chat.postMessage` answers where the same may work later.
const PASSING: [&str; 7] = [
    "ratelimited",
    "rate_limited",
    "internal_error",
    "fatal_error",
    "request_timeout",
    "service_unavailable",
    "team_added_to_org",
];

/// The message as Slack's API takes it; of an incoming webhook the channel is its own.
pub(crate) fn message(
    slack: &SlackAction,
    context: &Context,
    results: &Results,
) -> Result<Value, Fault> {
    let context = &context.together();
    let fill = |what: &str, text, style| {
        context.render(text, style).map_err(|err| Fault::permanent(format!("{what}: {err}")))
    };
    let mut text = fill("text", &slack.text, Style::Slack)?;
    if let Some(step) = &slack.table {
        let result = results.get(step);
        let result =
            result.ok_or_else(|| Fault::permanent(format!("there is no result of `{step}`")))?;
        text.push_str(&block(&plain_table(result)));
    }
    if text.chars().count() > LONGEST {
        return Err(Fault::permanent(format!(
            "the message is longer than the {LONGEST} characters that Slack takes"
        )));
    }
    let mut message = json!({ "text": text, "unfurl_links": false, "unfurl_media": false });
    if let Some(channel) = &slack.channel {
        message["channel"] = channel.as_str().into();
    }
    if let Some(thread) = &slack.thread {
        message["thread_ts"] = fill("thread", thread, Style::Line)?.trim().into();
    }
    Ok(message)
}

/// A text in letters of one width, in which nothing is a link, a name or bold.
pub(crate) fn block(text: &str) -> String {
    format!("\n```\n{}\n```", escape(text).replace("```", "'''").trim_end())
}

/// Makes a value stand for itself: no value of a database calls everybody in a channel, or leads elsewhere than it says.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The call that brings the message there.
pub(crate) fn call(
    slack: &SlackAction,
    message: &Value,
    (credential, secret): (&StoredCredential, &SecretString),
) -> Result<OutwardCall, Fault> {
    fits(slack, credential).map_err(Fault::permanent)?;
    let is_hook = credential.kind == CredentialKind::Url;
    let url = if is_hook {
        secret.expose_secret().to_owned()
    } else {
        format!("{}/api/chat.postMessage", credential.origin)
    };
    // Kept as it is where it was checked; here once more, because it leaves.
    let to = WebAddress::parse(&url, Scheme::Any).map(|it| it.origin());
    if to.ok().as_deref() != Some(credential.origin.as_str()) {
        return Err(Fault::permanent("the credential leads elsewhere than to its own receiver"));
    }
    let mut call = OutwardCall {
        method: "POST",
        url,
        headers: vec![("content-type".to_owned(), "application/json; charset=utf-8".to_owned())],
        body: Some(message.to_string().into_bytes()),
        time: TIME,
    };
    if !is_hook {
        lend(credential, secret, &mut call)?;
    }
    Ok(call)
}

/// Says whether the credential is one that the action can use.
pub(crate) fn fits(slack: &SlackAction, credential: &StoredCredential) -> Result<(), &'static str> {
    match (&credential.kind, &slack.channel) {
        (CredentialKind::Bearer, Some(_)) => Ok(()),
        (CredentialKind::Bearer, None) => Err("needs a `channel` with a bot token"),
        (CredentialKind::Url, None) if slack.thread.is_none() => Ok(()),
        (CredentialKind::Url, _) => {
            Err("is an incoming webhook, which has its own channel and no threads")
        }
        _ => Err("is neither a bot token (`bearer`) nor an incoming webhook (`url`)"),
    }
}

/// Why Slack did not take it, and whether that may pass; `None` if it did. Its API says no with a status of 200, and yes
/// with `ok` only; an incoming webhook says yes by its status.
pub(crate) fn refusal(answer: &OutwardAnswer, is_hook: bool) -> Option<(String, bool)> {
    let said: Option<Value> = serde_json::from_slice(&answer.body).ok();
    let word = said.as_ref().and_then(|it| it["error"].as_str());
    let is_ok = is_hook || said.as_ref().is_some_and(|it| it["ok"] == true);
    if (200..300).contains(&answer.status) && is_ok {
        return None;
    }
    let is_passing = matches!(answer.status, 408 | 429 | 500..=599)
        || word.is_some_and(|it| PASSING.contains(&it));
    let text = match word {
        Some(word) => {
            let word: String = word.chars().filter(|it| !it.is_control()).take(100).collect();
            format!("Slack did not take the message: {word}")
        }
        None if is_ok => format!("Slack answered with {}", answer.status),
        None => format!("what answered with {} does not speak as Slack's API does", answer.status),
    };
    Some((text, is_passing))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> OutwardAnswer {
        let body = body.as_bytes().to_vec();
        OutwardAnswer { status, content_type: None, retry_after: None, body }
    }

    #[test]
    fn slack_says_no_in_several_ways() {
        assert_eq!(refusal(&answer(200, r#"{"ok":true,"ts":"1.2"}"#), false), None);
        assert_eq!(refusal(&answer(200, "ok"), true), None);
        assert!(refusal(&answer(200, "<html>"), false).is_some_and(|it| !it.1), "a proxy's page");
        let no = refusal(&answer(200, r#"{"ok":false,"error":"channel_not_found"}"#), false);
        assert_eq!(
            no,
            Some(("Slack did not take the message: channel_not_found".to_owned(), false))
        );
        let later = refusal(&answer(200, r#"{"ok":false,"error":"ratelimited"}"#), false);
        assert!(later.is_some_and(|it| it.1));
        assert!(refusal(&answer(429, ""), false).is_some_and(|it| it.1));
        assert!(refusal(&answer(404, "no_service"), true).is_some_and(|it| !it.1));
    }

    #[test]
    fn a_value_calls_nobody() {
        assert_eq!(
            escape("<!channel> & <https://x|y>"),
            "&lt;!channel&gt; &amp; &lt;https://x|y&gt;"
        );
        assert_eq!(block("a ``` b"), "\n```\na ''' b\n```");
    }
}
