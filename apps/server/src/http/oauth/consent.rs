//! The page on which a person lets an app act for them. The page knows who they are by a sign-in of its own, which ends
//! with their decision.

use std::fmt::Write as _;
use std::sync::Arc;

use actix_web::cookie::{Cookie, SameSite, time::Duration};
use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, get, post, web};
use plinth_core::{OrgId, Scope};
use plinth_tenancy::accounts::Person;
use plinth_tenancy::oauth::{Consent, ConsentError, ConsentRequest, RedirectUri};
use plinth_tenancy::{AccountError, Email};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use crate::http::caller::origin;
use crate::http::page::{Form, Page};
use crate::http::{Problem, Services};

const PATH: &str = "/oauth/authorize";
const COOKIE: &str = "plinth_consent";

/// How long somebody may look at the page.
const MINUTES: i64 = 10;

/// What one of the two forms sends.
#[derive(Deserialize)]
pub(super) struct Sent {
    email: Option<String>,
    password: Option<SecretString>,
    ticket: Option<String>,
    organization: Option<OrgId>,
    decision: Option<String>,
}

/// Shows who asks for what; before that, a form to sign in with.
#[get("/oauth/authorize")]
pub(super) async fn show(
    request: HttpRequest,
    services: web::Data<Services>,
) -> Result<HttpResponse, Problem> {
    let consent = match judge(&request, &services).await? {
        Ok(consent) => consent,
        Err(answer) => return Ok(answer),
    };
    Ok(match person(&request, &services).await {
        Some(person) => ask(&request, &services, &person, &consent).await?.answer(),
        None => sign_in(&request, &consent).answer(),
    })
}

/// Takes a sign-in or a decision.
#[post("/oauth/authorize")]
pub(super) async fn submit(
    request: HttpRequest,
    services: web::Data<Services>,
    sent: web::Form<Sent>,
) -> Result<HttpResponse, Problem> {
    if is_from_elsewhere(&request, &services) {
        let page = Page::new("This form was not sent from its own page").say("Nothing was done.");
        return Ok(page.status(StatusCode::FORBIDDEN).answer());
    }
    let consent = match judge(&request, &services).await? {
        Ok(consent) => consent,
        Err(answer) => return Ok(answer),
    };
    let sent = sent.into_inner();
    if let (Some(email), Some(password)) = (&sent.email, &sent.password) {
        return take_sign_in(&request, &services, &consent, email, password).await;
    }
    let Some(person) = person(&request, &services).await else {
        let page =
            sign_in(&request, &consent).fault("Sign in once more: the page was open for long.");
        return Ok(page.answer());
    };
    let ticket = sent.ticket.as_deref().unwrap_or_default();
    if !services.oauth.is_ticket(&person, request.query_string(), ticket) {
        return Ok(ask(&request, &services, &person, &consent).await?.answer());
    }
    let answer = match (sent.decision.as_deref(), sent.organization) {
        (Some("allow"), Some(org)) => match services.oauth.grant(&person, &consent, org).await {
            Ok(code) => vec![("code", code.expose_secret().to_owned())],
            Err(err) => return Err(err.into()),
        },
        _ => vec![
            ("error", "access_denied".to_owned()),
            ("error_description", "the person said no".to_owned()),
        ],
    };
    // Its sign-in was for this one decision.
    services.accounts.sign_out(&person).await?;
    let mut response = redirect(&consent.redirect_uri, consent.state.as_deref(), &services, answer);
    let mut gone = cookie(&services, String::new());
    gone.make_removal();
    response.add_cookie(&gone).map_err(|_| unwritable())?;
    Ok(response)
}

async fn take_sign_in(
    request: &HttpRequest,
    services: &Services,
    consent: &Consent,
    email: &str,
    password: &SecretString,
) -> Result<HttpResponse, Problem> {
    let origin = origin(request);
    let tokens = match Email::parse(email) {
        Ok(email) => services.accounts.sign_in(&email, password, "consent page", &origin).await,
        Err(_) => Err(AccountError::WrongCredentials),
    };
    let tokens = match tokens {
        Ok(tokens) => tokens,
        Err(err @ (AccountError::WrongCredentials | AccountError::Throttled(_))) => {
            let page = sign_in(request, consent).fault(&err.to_string());
            return Ok(page.status(StatusCode::UNAUTHORIZED).answer());
        }
        Err(err) => return Err(err.into()),
    };
    let token = tokens.access.text.expose_secret();
    let person = services.accounts.person(token, Arc::new(origin)).await?;
    let mut response = ask(request, services, &person, consent).await?.answer();
    response.add_cookie(&cookie(services, token.to_owned())).map_err(|_| unwritable())?;
    Ok(response)
}

/// What is asked, or what to answer if that cannot be shown.
async fn judge(
    request: &HttpRequest,
    services: &Services,
) -> Result<Result<Consent, HttpResponse>, Problem> {
    let unknown = |text: &str| {
        Page::new("This app cannot be let in").say(text).status(StatusCode::BAD_REQUEST).answer()
    };
    let Some(asked) = read(request.query_string()) else {
        return Ok(Err(unknown("The app sent you here with a request that cannot be read.")));
    };
    match services.oauth.judge(&asked).await {
        Ok(consent) => Ok(Ok(consent)),
        Err(ConsentError::Unknown(text)) => Ok(Err(unknown(text))),
        Err(ConsentError::Told { redirect_uri, state, error, description }) => {
            let answer =
                vec![("error", error.to_owned()), ("error_description", description.to_owned())];
            Ok(Err(redirect(&redirect_uri, state.as_deref(), services, answer)))
        }
        Err(ConsentError::Store(err)) => Err(err.into()),
    }
}

/// The request, if no parameter of it comes twice (RFC 6749, 3.1). Others may stand beside.
fn read(query: &str) -> Option<ConsentRequest> {
    let pairs = web::Query::<Vec<(String, String)>>::from_query(query).ok()?.into_inner();
    let mut asked = ConsentRequest::default();
    for (name, value) in pairs {
        let field = match name.as_str() {
            "response_type" => &mut asked.response_type,
            "client_id" => &mut asked.client_id,
            "redirect_uri" => &mut asked.redirect_uri,
            "scope" => &mut asked.scope,
            "state" => &mut asked.state,
            "code_challenge" => &mut asked.code_challenge,
            "code_challenge_method" => &mut asked.code_challenge_method,
            _ => continue,
        };
        if field.replace(value).is_some() {
            return None;
        }
    }
    Some(asked)
}

/// Who signed in on this page before, if they did.
async fn person(request: &HttpRequest, services: &Services) -> Option<Person> {
    let cookie = request.cookie(COOKIE)?;
    services.accounts.person(cookie.value(), Arc::new(origin(request))).await.ok()
}

/// Whether a browser says that another site's page sent the form.
fn is_from_elsewhere(request: &HttpRequest, services: &Services) -> bool {
    let header = |name: &str| request.headers().get(name).and_then(|it| it.to_str().ok());
    if let Some(site) = header("sec-fetch-site") {
        return site != "same-origin";
    }
    let Some(origin) = header("origin") else { return false };
    // Under another name than the public one the server is still itself.
    let host = origin.split_once("://").map(|(_, host)| host);
    Some(origin) != RedirectUri::origin(&services.public_url) && host != header("host")
}

fn action(request: &HttpRequest) -> String {
    format!("{PATH}?{}", request.query_string())
}

fn sign_in(request: &HttpRequest, consent: &Consent) -> Page {
    let form = Form::default()
        .field("E-mail", "email", "email", "username")
        .field("Password", "password", "password", "current-password")
        .button("Sign in");
    Page::new("Sign in")
        .say(&format!("{} asks to act for you. Sign in to see for what.", consent.app.name))
        .form(&action(request), form)
}

async fn ask(
    request: &HttpRequest,
    services: &Services,
    person: &Person,
    consent: &Consent,
) -> Result<Page, Problem> {
    let account = services.accounts.account_of(person).await?;
    let places: Vec<_> = person
        .memberships()
        .iter()
        .map(|it| (it.org.to_string(), it.name.as_str().to_owned()))
        .collect();
    let mut page = Page::new("Let this app act for you?")
        .say(&format!("You are signed in as {}.", account.user.email))
        .say(&format!("{} asks to:", consent.app.name))
        .list(&consent.scopes.iter().map(describe).collect::<Vec<_>>());
    if let Some(target) = RedirectUri::origin(&consent.redirect_uri) {
        page = page.say(&format!("You will be sent to {target}.")).leads_to(target);
    } else {
        let scheme = consent.redirect_uri.split_inclusive(':').next().unwrap_or_default();
        page = page.say("You will be sent back to the app on this device.").leads_to(scheme);
    }
    if places.is_empty() {
        return Ok(
            page.fault("You belong to no organization yet, so there is nothing to let it do.")
        );
    }
    let form = Form::default()
        .hidden("ticket", &services.oauth.ticket(person, request.query_string()))
        .choice("In the organization", "organization", &places)
        .decision("Allow", "decision", "allow")
        .decision("Refuse", "decision", "refuse");
    Ok(page
        .say("It can do no more than you can yourself, and you can take it back at any time.")
        .form(&action(request), form))
}

/// What a scope lets an app do, in the words of those who are asked.
fn describe(scope: Scope) -> &'static str {
    match scope {
        Scope::QueriesRead => "ask questions, run SQL that reads, and see what was asked",
        Scope::QueriesWrite => "save and delete queries",
        Scope::DashboardsRead => "see dashboards",
        Scope::DashboardsWrite => "make and change dashboards",
        Scope::WorkflowsRead => "see workflows and their runs",
        Scope::WorkflowsWrite => "make, change and run workflows",
        Scope::ConnectionsRead => "see connections and their schemas",
        Scope::ConnectionsWrite => "add, change and remove connections",
        Scope::TeamRead => "see who belongs to the organization",
        Scope::TeamWrite => "invite, change and remove members",
        Scope::ProjectsRead => "see projects and their databases",
        Scope::ProjectsWrite => "make, change and remove projects and their databases",
        Scope::Admin => {
            "see the audit trail, and manage keys, apps and settings of the organization"
        }
    }
}

fn cookie(services: &Services, value: String) -> Cookie<'static> {
    Cookie::build(COOKIE, value)
        .path("/oauth")
        .http_only(true)
        .same_site(SameSite::Strict)
        .secure(services.public_url.starts_with("https:"))
        .max_age(Duration::minutes(MINUTES))
        .finish()
}

/// Sends the browser to the app with an answer, which says whose it is (RFC 9207).
fn redirect(
    uri: &str,
    state: Option<&str>,
    services: &Services,
    answer: Vec<(&str, String)>,
) -> HttpResponse {
    let mut to = uri.to_owned();
    let state = state.map(|it| ("state", it.to_owned()));
    let issuer = ("iss", services.public_url.to_string());
    for (name, value) in answer.into_iter().chain(state).chain([issuer]) {
        to.push(if to.contains('?') { '&' } else { '?' });
        to.push_str(name);
        to.push('=');
        for byte in value.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    to.push(byte.into());
                }
                other => {
                    let _ = write!(to, "%{other:02X}");
                }
            }
        }
    }
    HttpResponse::SeeOther()
        .insert_header((header::LOCATION, to))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .finish()
}

fn unwritable() -> Problem {
    let text = "something went wrong on our side";
    Problem::new(plinth_core::ErrorKind::Internal, text, None)
}
