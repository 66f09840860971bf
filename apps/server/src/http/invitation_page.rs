//! Where the link of an invitation leads.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, get, post, web};
use plinth_core::{Classify as _, ErrorKind};
use plinth_tenancy::AccountError;
use plinth_tenancy::team::{Invitation, TeamError};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::caller::origin;
use super::page::{Form, Page};
use super::{Problem, Services};

const PATH: &str = plinth_tenancy::outbox::INVITATION_PAGE;
const TITLE: &str = "Accept an invitation";

#[derive(Deserialize)]
struct Link {
    token: Option<SecretString>,
}

/// What the form sends.
#[derive(Deserialize)]
struct Sent {
    token: SecretString,
    password: Option<SecretString>,
}

/// What the invitation is about. Looking uses nothing up: mail programs look at links before people do.
#[get("/accept-invitation")]
pub(super) async fn show(
    services: web::Data<Services>,
    link: web::Query<Link>,
) -> Result<HttpResponse, Problem> {
    let Some(token) = link.into_inner().token else { return Ok(over().answer()) };
    match form(&services, &token).await {
        Ok(page) => Ok(page.answer()),
        Err(TeamError::NotGood) => Ok(over().answer()),
        Err(err) => Err(err.into()),
    }
}

#[post("/accept-invitation")]
pub(super) async fn submit(
    request: HttpRequest,
    services: web::Data<Services>,
    sent: web::Form<Sent>,
) -> Result<HttpResponse, Problem> {
    let Sent { token, password } = sent.into_inner();
    let origin = origin(&request);
    match services.team.accept(token.expose_secret(), password.as_ref(), &origin).await {
        Ok(accepted) => Ok(Page::new("Welcome")
            .say(&format!("You are a member now. Sign in as {}.", accepted.member.email))
            .answer()),
        Err(TeamError::NotGood) => Ok(over().answer()),
        Err(err) => {
            let status = match err.kind() {
                ErrorKind::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
                ErrorKind::Conflict => StatusCode::CONFLICT,
                ErrorKind::Unavailable if matches!(err, TeamError::Account(AccountError::Busy)) => {
                    StatusCode::SERVICE_UNAVAILABLE
                }
                _ => return Err(err.into()),
            };
            let page = match form(&services, &token).await {
                Ok(page) => page,
                Err(TeamError::NotGood) => over(),
                Err(err) => return Err(err.into()),
            };
            Ok(page.fault(&err.to_string()).status(status).answer())
        }
    }
}

async fn form(services: &Services, token: &SecretString) -> Result<Page, TeamError> {
    let (invitation, needs_password) = services.team.needs_password(token.expose_secret()).await?;
    let organization = services.tenancy.current(invitation.org).await?.name.to_string();
    let Invitation { email, role, .. } = invitation;
    let page = Page::new(TITLE).say(&format!("{organization} invites {email} as {}.", role.name()));
    let form = Form::default().hidden("token", token.expose_secret());
    Ok(if needs_password {
        let form = form.field("Choose a password", "password", "password", "new-password");
        page.say("You have no password yet. Choose one of at least 8 characters.")
            .form(PATH, form.button("Accept"))
    } else {
        page.say("Afterwards, sign in with the password that you have.")
            .form(PATH, form.button("Accept"))
    })
}

/// The link was used, taken back or sent again, or is too old.
fn over() -> Page {
    Page::new(TITLE)
        .fault("This invitation is not good any more. Ask whoever invited you to send it again.")
        .status(StatusCode::GONE)
}
