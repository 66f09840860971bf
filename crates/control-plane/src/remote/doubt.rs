use serde_json::{Value, json};

use super::oauth::escaped;
use super::service::said;
use super::{Remote, RemoteAnswer, RemoteCall, RemoteError, RemotePath, RemoteProject, Remotes};

/// Where it can be seen whether a call that changes something was carried out.
#[derive(Debug, PartialEq, Eq)]
enum Trace {
    /// What it removes is not there any more.
    Gone,
    /// What it makes is there, under a name that is there once.
    Named {
        /// The list that it stands in, below the project.
        list: String,
        /// What narrows the list.
        query: Option<String>,
        /// What the list is called in its answer.
        field: &'static str,
        /// What it is, in words.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// Nowhere, but twice is as good as once.
    Twice,
    /// Nowhere.
    Nowhere,
}

impl Trace {
    fn of(path: &RemotePath, sent: &RemoteCall) -> Self {
        let parts = path.parts();
        match (sent.method.as_str(), parts.as_slice()) {
            (
                "DELETE",
                [] | ["branches" | "endpoints", _] | ["branches", _, "roles" | "databases", _],
            ) => Self::Gone,
            ("PATCH" | "PUT", _)
            | (
                "POST",
                ["endpoints", _, "start" | "suspend" | "restart"]
                | ["branches", _, "set_as_default"],
            ) => Self::Twice,
            ("POST", ["branches"]) => Self::named(sent, "branch", "branches", "/branches", true),
            ("POST", ["branches", branch, list @ ("roles" | "databases")]) => {
                let (kind, field) =
                    if *list == "roles" { ("role", "roles") } else { ("database", "databases") };
                Self::named(sent, kind, field, &format!("/branches/{branch}/{list}"), false)
            }
            _ => Self::Nowhere,
        }
    }

    fn named(
        sent: &RemoteCall,
        kind: &'static str,
        field: &'static str,
        list: &str,
        searches: bool,
    ) -> Self {
        let name = sent.body.as_ref().and_then(|it| it[kind]["name"].as_str());
        let Some(name) = name.filter(|it| !it.is_empty()) else { return Self::Nowhere };
        let query = searches.then(|| format!("search={}", escaped(name)));
        Self::Named { list: list.to_owned(), query, field, kind, name: name.to_owned() }
    }
}

impl Remotes {
    /// What a call that changes something has come to, where its answer does not say: it is looked there, and only what was
    /// refused for the moment and has left no trace is sent once more.
    ///
    /// Also where a server says of itself that it is not available (503) it may be one in between that says so, after the
    /// call went through.
    pub(super) async fn clear_up(
        &self,
        remote: &Remote,
        project: &RemoteProject,
        path: &RemotePath,
        sent: &RemoteCall,
        came: Result<RemoteAnswer, RemoteError>,
    ) -> Result<RemoteAnswer, RemoteError> {
        let (is_refused, doubt) = match came {
            // Also a redirection: whoever stands in between says it, and nobody follows.
            Ok(answer) if answer.status >= 500 || (300..400).contains(&answer.status) => {
                (answer.status == 503, said(remote, answer, false))
            }
            Err(doubt @ RemoteError::Unknown { .. }) => (false, doubt),
            clear => return clear,
        };
        let trace = Trace::of(path, sent);
        let may_repeat = match &trace {
            Trace::Gone => match self.status(remote, sent, path.clone()).await {
                Some(404) => return Ok(gone(project, path)),
                Some(200) => true,
                _ => false,
            },
            Trace::Named { .. } => match self.is_there(remote, sent, path, &trace).await {
                Some(true) => return Err(lost(remote, &trace)),
                Some(false) => true,
                None => false,
            },
            // It answers again.
            Trace::Twice => {
                let whole = RemotePath::of(path.project.clone());
                self.status(remote, sent, whole).await == Some(200)
            }
            Trace::Nowhere => false,
        };
        if !(is_refused && may_repeat) {
            return Err(doubt);
        }
        // The first one may still be at work, so that the second finds it in its way: what came of it is as unknown as before.
        let Ok(again) = self.ask(remote, sent.clone()).await else { return Err(doubt) };
        match (&trace, again.status) {
            // The first one was carried out after it was looked.
            (Trace::Gone, 404) => Ok(gone(project, path)),
            (Trace::Named { .. }, 409) => match self.is_there(remote, sent, path, &trace).await {
                Some(true) => Err(lost(remote, &trace)),
                _ => Ok(again),
            },
            (_, 300..=399 | 401 | 423 | 429 | 500..) => Err(doubt),
            _ => Ok(again),
        }
    }

    /// How a look at something ends; `None` if there is no answer.
    async fn status(&self, remote: &Remote, sent: &RemoteCall, path: RemotePath) -> Option<u16> {
        let looked = looking(remote, sent, &path);
        self.ask(remote, looked).await.ok().map(|it| it.status)
    }

    async fn is_there(
        &self,
        remote: &Remote,
        sent: &RemoteCall,
        path: &RemotePath,
        trace: &Trace,
    ) -> Option<bool> {
        let Trace::Named { list, query, field, name, .. } = trace else { return None };
        let looked = looking(remote, sent, &path.below(list.clone()));
        let looked = RemoteCall { query: query.clone(), ..looked };
        let answer = self.ask(remote, looked).await.ok().filter(|it| it.status == 200)?;
        let all = answer.body[*field].as_array()?;
        Some(all.iter().any(|it| it["name"].as_str() == Some(name)))
    }
}

fn looking(remote: &Remote, sent: &RemoteCall, path: &RemotePath) -> RemoteCall {
    RemoteCall {
        method: "GET".to_owned(),
        url: format!("{}{}", remote.base_url, path.as_sent()),
        query: None,
        body: None,
        ..sent.clone()
    }
}

/// What is answered where something is gone: the API says the same of what was gone before.
fn gone(project: &RemoteProject, path: &RemotePath) -> RemoteAnswer {
    let (status, body) = if path.parts().is_empty() {
        (200, json!({ "project": project.body }))
    } else {
        (204, Value::Null)
    };
    RemoteAnswer { status, body, retry_after_seconds: None }
}

fn lost(remote: &Remote, trace: &Trace) -> RemoteError {
    let what = match trace {
        Trace::Named { kind, name, .. } => format!("there is a {kind} `{name}` there now"),
        _ => "it is done".to_owned(),
    };
    RemoteError::AnswerLost { remote: remote.name.clone(), what }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(method: &str, rest: &str, body: Value) -> Trace {
        let path = RemotePath::parse(&format!("/api/v2/projects/p-1{rest}")).expect("plain");
        let sent = RemoteCall {
            method: method.to_owned(),
            url: String::new(),
            query: None,
            body: Some(body),
            key: String::new().into(),
            request_id: String::new(),
        };
        Trace::of(&path.expect("a project's"), &sent)
    }

    #[test]
    fn only_what_is_as_good_twice_or_can_be_seen_is_ever_sent_again() {
        for (method, rest) in [
            ("POST", "/branches/br-a/restore"),
            ("POST", "/branches/br-a/snapshot"),
            ("POST", "/snapshots/snap-a/restore"),
            ("POST", "/endpoints"),
            ("POST", "/recover"),
            // The first one that ends late would set another password than the second has told.
            ("POST", "/branches/br-a/roles/x/reset_password"),
            ("POST", "/branches"),
            ("DELETE", "/snapshots/snap-a"),
            ("DELETE", "/jwks/1"),
            ("POST", "/new"),
        ] {
            assert_eq!(trace(method, rest, json!({})), Trace::Nowhere, "{method} {rest}");
        }
        for (method, rest) in [
            ("PATCH", ""),
            ("PUT", "/branches/br-a/backup_schedule"),
            ("POST", "/endpoints/ep-a/suspend"),
        ] {
            assert_eq!(trace(method, rest, json!({})), Trace::Twice, "{method} {rest}");
        }
        for rest in ["", "/branches/br-a", "/endpoints/ep-a", "/branches/br-a/roles/x"] {
            assert_eq!(trace("DELETE", rest, json!({})), Trace::Gone, "{rest}");
        }
    }

    #[test]
    fn what_is_made_is_looked_for_where_its_name_stands_once() {
        let body = json!({ "branch": { "name": "a&b" } });
        let Trace::Named { list, query, field, name, .. } = trace("POST", "/branches", body) else {
            panic!("it has a name");
        };
        assert_eq!((list.as_str(), field, name.as_str()), ("/branches", "branches", "a&b"));
        assert_eq!(query.as_deref(), Some("search=a%26b"));
        let body = json!({ "role": { "name": "x" } });
        let Trace::Named { list, kind, .. } = trace("POST", "/branches/br-a/roles", body) else {
            panic!("it has a name");
        };
        assert_eq!((list.as_str(), kind), ("/branches/br-a/roles", "role"));
    }
}
