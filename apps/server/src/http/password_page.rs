//! Where the link of a letter leads that lets somebody choose a new password.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, get, post, web};
use plinth_core::{Classify as _, ErrorKind};
use plinth_tenancy::{AccountError, Email};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::caller::origin;
use super::page::{Form, Page};
use super::{Problem, Services};

const PATH: &str = plinth_tenancy::outbox::PASSWORD_PAGE;
const TITLE: &str = "Choose a new password";

#[derive(Deserialize)]
struct Link {
    token: Option<SecretString>,
}

/// What one of the two forms sends.
#[derive(Deserialize)]
struct Sent {
    email: Option<String>,
    token: Option<SecretString>,
    password: Option<SecretString>,
}

/// With a token the form for a new password, without one the form that asks for a letter. Looking uses nothing up: mail
/// programs look at links before people do.
#[get("/reset-password")]
pub(super) async fn show(
    services: web::Data<Services>,
    link: web::Query<Link>,
) -> Result<HttpResponse, Problem> {
    let Some(token) = link.into_inner().token else {
        return Ok(ask().answer());
    };
    match services.accounts.check_reset(token.expose_secret()).await {
        Ok(email) => Ok(choose(&token, &email).answer()),
        Err(AccountError::InvalidLink) => Ok(over().answer()),
        Err(err) => Err(err.into()),
    }
}

#[post("/reset-password")]
pub(super) async fn submit(
    request: HttpRequest,
    services: web::Data<Services>,
    sent: web::Form<Sent>,
) -> Result<HttpResponse, Problem> {
    let origin = origin(&request);
    match sent.into_inner() {
        Sent { token: Some(token), password: Some(password), .. } => {
            match services.accounts.reset(token.expose_secret(), &password, &origin).await {
                Ok(email) => Ok(Page::new("Your password is changed")
                    .say(&format!(
                        "Sign in as {email} with the new one. All your sessions have ended."
                    ))
                    .answer()),
                Err(AccountError::InvalidLink) => Ok(over().answer()),
                Err(err @ AccountError::InvalidPassword(_)) => {
                    let Ok(email) = services.accounts.check_reset(token.expose_secret()).await
                    else {
                        return Ok(over().answer());
                    };
                    let page = choose(&token, &email).fault(&err.to_string());
                    Ok(page.status(StatusCode::UNPROCESSABLE_ENTITY).answer())
                }
                Err(err) => refused(err),
            }
        }
        Sent { email: Some(email), .. } => {
            let Ok(email) = Email::parse(&email) else {
                let page = ask().fault("That is no e-mail address.");
                return Ok(page.status(StatusCode::UNPROCESSABLE_ENTITY).answer());
            };
            match services.accounts.forgot(&email, &origin).await {
                Ok(()) => Ok(Page::new(TITLE)
                    .say(
                        "If somebody has that address, a letter with a link is on its way to them.",
                    )
                    .answer()),
                Err(err) => refused(err),
            }
        }
        Sent { .. } => Ok(ask().status(StatusCode::UNPROCESSABLE_ENTITY).answer()),
    }
}

fn choose(token: &SecretString, email: &Email) -> Page {
    let form = Form::default()
        .hidden("token", token.expose_secret())
        .field("New password", "password", "password", "new-password")
        .button("Change the password");
    Page::new(TITLE).say(&format!("For {email}. At least 8 characters.")).form(PATH, form)
}

fn ask() -> Page {
    let form = Form::default()
        .field("Your e-mail address", "email", "email", "username")
        .button("Send me a link");
    Page::new(TITLE).form(PATH, form)
}

/// The link was used, is too old, or was followed by a newer one.
fn over() -> Page {
    ask().fault("This link is not good any more. Ask for a new one.").status(StatusCode::GONE)
}

/// What a person can wait for is told on a page.
fn refused(err: AccountError) -> Result<HttpResponse, Problem> {
    match err.kind() {
        ErrorKind::RateLimited => {
            let page = Page::new(TITLE).fault(&err.to_string());
            Ok(page.status(StatusCode::TOO_MANY_REQUESTS).answer())
        }
        ErrorKind::Unavailable => {
            let page =
                Page::new(TITLE).fault("This does not work just now. Try again in a moment.");
            Ok(page.status(StatusCode::SERVICE_UNAVAILABLE).answer())
        }
        _ => Err(err.into()),
    }
}
