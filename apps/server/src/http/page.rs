//! The few pages that people see in a browser: where the links of mails lead. Plain HTML, no scripts, nothing from
//! elsewhere.

use std::fmt::Write as _;
use std::sync::OnceLock;

use actix_web::HttpResponse;
use actix_web::http::{StatusCode, header};
use base64::Engine as _;
use plinth_tenancy::outbox::escape_html;
use sha2::{Digest as _, Sha256};

const STYLE: &str = "body{font:1rem/1.5 system-ui,sans-serif;max-width:26rem;margin:4rem auto;padding:0 1rem;\
color:#1c1e21;background:#fff}label{display:block;margin:1rem 0}input{display:block;width:100%;box-sizing:border-box;\
font:inherit;padding:.5rem;border:1px solid #767b82;border-radius:.25rem}button{font:inherit;padding:.5rem 1rem;\
margin-right:.5rem}.fault{color:#a4131b}@media(prefers-color-scheme:dark){body{color:#e6e7e9;background:#17191c}\
.fault{color:#ff8a8f}}";

/// A page, piece by piece. Whatever text is put into it stands for itself.
pub(super) struct Page {
    title: &'static str,
    body: String,
    status: StatusCode,
    form_to: String,
}

impl Page {
    /// A page with that title and heading.
    pub(super) fn new(title: &'static str) -> Self {
        let body = String::new();
        Self { title, body, status: StatusCode::OK, form_to: "'self'".to_owned() }
    }

    /// Answers with another status than 200.
    pub(super) fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// A paragraph.
    pub(super) fn say(mut self, text: &str) -> Self {
        let _ = write!(self.body, "<p>{}</p>", escape_html(text));
        self
    }

    /// What was wrong with what was sent.
    pub(super) fn fault(mut self, text: &str) -> Self {
        let _ = write!(self.body, "<p class=\"fault\" role=\"alert\">{}</p>", escape_html(text));
        self
    }

    /// A list of short texts.
    pub(super) fn list(mut self, items: &[&str]) -> Self {
        self.body += "<ul>";
        for item in items {
            let _ = write!(self.body, "<li>{}</li>", escape_html(item));
        }
        self.body += "</ul>";
        self
    }

    /// Says that the answer to its form may send the browser on to this origin, or to this scheme with its colon.
    pub(super) fn leads_to(mut self, origin: &str) -> Self {
        // What could end the word or the rule is no part of an origin.
        let plain =
            origin.bytes().all(|it| it.is_ascii_alphanumeric() || b":/.-+[]_~%".contains(&it));
        if plain {
            let _ = write!(self.form_to, " {origin}");
        }
        self
    }

    /// A form that is posted to a path of ours.
    pub(super) fn form(mut self, action: &str, Form(fields): Form) -> Self {
        let action = escape_html(action);
        let _ = write!(self.body, "<form method=\"post\" action=\"{action}\">{fields}</form>");
        self
    }

    /// The page, with headers that let a browser do nothing but show it and post its forms: no scripts, no frames around
    /// it, nothing fetched, and its address, which may hold a token, is told to nobody else. (To nobody at all
    /// would make a browser call the origin of our own forms `null`.)
    pub(super) fn answer(self) -> HttpResponse {
        let title = escape_html(self.title);
        let html = format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
             content=\"width=device-width\"><title>{title}</title><style>{STYLE}</style></head>\
             <body><h1>{title}</h1>{}</body></html>",
            self.body
        );
        let policy = format!(
            "default-src 'none'; style-src '{}'; form-action {}; base-uri 'none'; frame-ancestors 'none'",
            style_hash(),
            self.form_to
        );
        HttpResponse::build(self.status)
            .insert_header((header::CONTENT_TYPE, "text/html; charset=utf-8"))
            .insert_header((header::CONTENT_SECURITY_POLICY, policy))
            .insert_header((header::REFERRER_POLICY, "same-origin"))
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
            .insert_header((header::X_FRAME_OPTIONS, "DENY"))
            .body(html)
    }
}

/// The fields of a form.
#[derive(Default)]
pub(super) struct Form(String);

impl Form {
    /// A value that goes with it unseen.
    pub(super) fn hidden(mut self, name: &str, value: &str) -> Self {
        let (name, value) = (escape_html(name), escape_html(value));
        let _ = write!(self.0, "<input type=\"hidden\" name=\"{name}\" value=\"{value}\">");
        self
    }

    /// Something to type. `kind` is `email` or `password`, `fills` what a browser may offer, like `new-password`.
    pub(super) fn field(mut self, label: &str, name: &str, kind: &str, fills: &str) -> Self {
        let [label, name, kind, fills] = [label, name, kind, fills].map(escape_html);
        let _ = write!(
            self.0,
            "<label>{label}<input name=\"{name}\" type=\"{kind}\" autocomplete=\"{fills}\" required></label>"
        );
        self
    }

    /// One of several, each with its value and what people read.
    pub(super) fn choice(mut self, label: &str, name: &str, options: &[(String, String)]) -> Self {
        let [label, name] = [label, name].map(escape_html);
        let _ = write!(self.0, "<label>{label}<select name=\"{name}\">");
        for (value, text) in options {
            let [value, text] = [value, text].map(|it| escape_html(it));
            let _ = write!(self.0, "<option value=\"{value}\">{text}</option>");
        }
        self.0 += "</select></label>";
        self
    }

    /// One of several buttons that send it, each with a value of its own.
    pub(super) fn decision(mut self, label: &str, name: &str, value: &str) -> Self {
        let [label, name, value] = [label, name, value].map(escape_html);
        let _ = write!(
            self.0,
            "<button type=\"submit\" name=\"{name}\" value=\"{value}\">{label}</button>"
        );
        self
    }

    /// What sends it.
    pub(super) fn button(mut self, label: &str) -> Self {
        let _ = write!(self.0, "<button type=\"submit\">{}</button>", escape_html(label));
        self
    }
}

fn style_hash() -> &'static str {
    static HASH: OnceLock<String> = OnceLock::new();
    HASH.get_or_init(|| {
        let hash = Sha256::digest(STYLE.as_bytes());
        format!("sha256-{}", base64::engine::general_purpose::STANDARD.encode(hash))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_web::test]
    async fn a_text_stands_for_itself_wherever_it_is_put() {
        let bad = "\"><script>alert('1')</script>";
        let form = Form::default().hidden(bad, bad).field(bad, bad, bad, bad).button(bad);
        let answer = Page::new("Title").say(bad).fault(bad).form(bad, form).answer();
        let policy = answer.headers().get(header::CONTENT_SECURITY_POLICY).cloned().expect("there");
        let policy = policy.to_str().expect("text");
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"));
        let body = actix_web::body::to_bytes(answer.into_body()).await.expect("there");
        let html = std::str::from_utf8(&body).expect("text");
        assert!(!html.contains("<script") && !html.contains("('1')"), "{html}");
    }
}
