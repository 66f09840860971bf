use std::future::{Future, Ready, ready};
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;

use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::{FromRequest, HttpRequest, dev::Payload, web};
use futures_util::future::Either;
use plinth_core::{OrgId, Origin, Permission, Permit, PermitError, Principal};
use plinth_tenancy::AccountError;
use plinth_tenancy::accounts::Person;
use plinth_tenancy::identity::Identities;
use plinth_tenancy::limits::Admission;
use plinth_tenancy::signing::SentToken;
use serde_json::json;
use uuid::Uuid;

use super::client_address::client_address;
use super::visit::Visit;
use super::{Problem, Services, limits};

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const TENANT: HeaderName = HeaderName::from_static("x-tenant-id");

/// The authenticated sender of a request. A handler that takes one cannot run without it.
#[derive(Clone, Debug)]
pub(crate) struct Caller(Arc<Principal>);

impl Caller {
    /// Who it is.
    pub(crate) fn principal(&self) -> &Principal {
        &self.0
    }

    /// The same caller, whose changes mark that record of an idempotent request.
    pub(crate) fn marking(&self, idempotency: Uuid) -> Self {
        let mut principal = Principal::clone(&self.0);
        let origin = Origin { idempotency: Some(idempotency), ..Origin::clone(&principal.origin) };
        principal.origin = Arc::new(origin);
        Self(Arc::new(principal))
    }

    /// Proof that the caller may do `P`.
    pub(crate) fn permit<P: Permission>(&self) -> Result<Permit<P>, PermitError> {
        Permit::check(&self.0)
    }
}

/// The authenticated sender of a request, even if their organization is being deleted: for what tells of that and takes
/// it back. Everything else asks for a [`Caller`].
#[derive(Clone, Debug)]
pub(crate) struct CallerOfClosing(Caller);

impl Deref for CallerOfClosing {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.0
    }
}

type Extracting<T> = Pin<Box<dyn Future<Output = Result<T, Problem>>>>;

impl FromRequest for Caller {
    type Error = Problem;
    type Future = Either<Ready<Result<Self, Problem>>, Extracting<Self>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        if let Some(known) = recognize(request) {
            return Either::Left(ready(known));
        }
        let request = request.clone();
        Either::Right(Box::pin(async move {
            let caller = authenticate(&request).await?;
            services(&request).tenancy.require_open(caller.0.org).await?;
            Ok(caller)
        }))
    }
}

impl FromRequest for CallerOfClosing {
    type Error = Problem;
    type Future = Extracting<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move { authenticate(&request).await.map(Self) })
    }
}

fn services(request: &HttpRequest) -> &web::Data<Services> {
    request.app_data::<web::Data<Services>>().expect("every app has its services")
}

/// A person who signed in, for what is theirs whichever organization they are in, or in none.
#[derive(Clone, Debug)]
pub(crate) struct SignedInCaller(Person);

impl Deref for SignedInCaller {
    type Target = Person;

    fn deref(&self) -> &Person {
        &self.0
    }
}

impl FromRequest for SignedInCaller {
    type Error = Problem;
    type Future = Extracting<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let Some(Sent::Token(token)) = Sent::with(request.headers()) else {
                // A key that works is told that it is not enough; one that does not, that it does not.
                authenticate(&request).await?;
                return Err(PermitError::SignedIn.into());
            };
            let accounts = &services(&request).accounts;
            let mut person = match accounts.person(token, Arc::new(origin(&request))).await {
                // An app's token, or one of an organization's identity provider, is told the same as a key.
                Err(AccountError::Unauthenticated) => {
                    authenticate(&request).await?;
                    return Err(PermitError::SignedIn.into());
                }
                other => other?,
            };
            if person.org().is_some() || request.headers().contains_key(TENANT) {
                // Counted where it belongs to somebody's count, and marked as that caller's.
                let caller = authenticate(&request).await?;
                person = person.with_origin(caller.0.origin.clone());
            }
            Ok(Self(person))
        })
    }
}

/// Who calls an organization that is open, where all that this takes is in memory: so it is for nearly every request, and
/// nothing is waited for or allocated to be waited for. Asks and counts what [`authenticate`] does, in the same order. `None`,
/// and nothing is counted, where something has to be read first.
fn recognize(request: &HttpRequest) -> Option<Result<Caller, Problem>> {
    let services = services(request);
    let now = services.clock.now();
    if let Some(known) = Visit::of(request, |it| it.caller.clone()).flatten() {
        let is_open = services.tenancy.is_open(known.0.org, now)?;
        return Some(is_open.map(|()| known).map_err(Problem::from));
    }
    let sent = Sent::with(request.headers())?;
    let picked = picked(request.headers()).ok()?;
    let origin = Arc::new(origin(request));
    let principal = match sent {
        Sent::Key(key) => services.tenancy.recognize(key, &origin, now)?.ok()?,
        Sent::Token(text) => {
            services.accounts.recognize(&SentToken::from(text), picked, &origin, now)?.ok()?
        }
    };
    if picked.is_some_and(|it| it != principal.org) {
        return None;
    }
    let is_open = services.tenancy.is_open(principal.org, now)?;
    let admission = services.limiter.admit_at_once(&principal, now)?;
    note_organization(&principal);
    let caller = counted(request, principal, admission);
    Some(is_open.map_err(Problem::from).and(caller))
}

async fn authenticate(request: &HttpRequest) -> Result<Caller, Problem> {
    // Whatever asked before has found out and counted the request already.
    if let Some(known) = Visit::of(request, |it| it.caller.clone()).flatten() {
        return Ok(known);
    }
    let services = services(request);
    let sent = Sent::with(request.headers()).ok_or(AccountError::Unauthenticated)?;
    let picked = picked(request.headers())?;
    let origin = Arc::new(origin(request));
    let principal = match sent {
        Sent::Key(key) => services.tenancy.authenticate(key, origin).await?,
        Sent::Token(text) => {
            let token = SentToken::from(text);
            // Whose token it is, its issuer says; that it is theirs, its signature. One of ours that was checked before
            // is not taken apart again.
            let issuer = if services.accounts.signing().remembers(&token) {
                None
            } else {
                Identities::issuer(text)
            };
            match issuer {
                Some(issuer) if *issuer != *services.public_url => {
                    // Apart, so that those who need it not do not carry its room along: each caller's future is allocated.
                    Box::pin(services.identities.authenticate(text, picked, origin)).await?
                }
                _ => services.accounts.authenticate(token, picked, origin).await?,
            }
        }
    };
    // A key is one organization's.
    if let Some(org) = picked.filter(|it| *it != principal.org) {
        return Err(AccountError::NotAMember(org).into());
    }
    note_organization(&principal);
    let admission = services.limiter.admit(&principal).await?;
    counted(request, principal, admission)
}

/// Names the organization in the log lines of the request.
fn note_organization(principal: &Principal) {
    tracing::Span::current().record("org.id", tracing::field::display(principal.org));
}

/// Notes who calls and what they are told about their limits.
fn counted(
    request: &HttpRequest,
    principal: Principal,
    admission: Admission,
) -> Result<Caller, Problem> {
    let caller = Caller(Arc::new(principal));
    Visit::note(request, |it| {
        it.admission = Some(admission);
        it.caller = admission.is_admitted.then(|| caller.clone());
    });
    if admission.is_admitted { Ok(caller) } else { Err(limits::refused(&admission)) }
}

/// Where the request came from, for the audit trail.
pub(super) fn origin(request: &HttpRequest) -> Origin {
    Origin {
        request_id: Visit::id(request),
        address: client_address(request, &services(request).trusted_proxies),
        idempotency: None,
    }
}

/// What a caller sent to show who they are.
enum Sent<'a> {
    /// An API key.
    Key(&'a str),
    /// A token of a sign-in.
    Token(&'a str),
}

impl<'a> Sent<'a> {
    /// The credential, from whichever of the two headers carries it.
    ///
    /// A request has one. Of two that differ, which one counts would depend on who looks: on us or on a proxy in front;
    /// so neither does.
    fn with(headers: &'a HeaderMap) -> Option<Self> {
        let bearers = headers.get_all(header::AUTHORIZATION).map(|value| {
            let (scheme, token) = text(value)?.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| trimmed(token))
        });
        let keys = headers.get_all(API_KEY).map(|value| text(value).map(trimmed));
        let mut sent = bearers.chain(keys);
        let first = sent.next()??;
        if !sent.all(|it| it == Some(first)) {
            return None;
        }
        let is_key = ["plinth_live_", "plinth_test_"].iter().any(|it| first.starts_with(it));
        // A token has one header only.
        Some(if is_key || headers.contains_key(API_KEY) {
            Self::Key(first)
        } else {
            Self::Token(first)
        })
    }
}

/// A header's text, if it is ASCII. [`HeaderValue::to_str`] also looks for control characters, letter by letter, which takes
/// longer than all else that is done to a token; whoever reads the credential finds them.
fn text(value: &HeaderValue) -> Option<&str> {
    std::str::from_utf8(value.as_bytes()).ok().filter(|it| it.is_ascii())
}

/// Without the blanks that may stand around a header's value (RFC 9110, 5.5), and nothing else: [`str::trim`] would take
/// line feeds and their like away too.
fn trimmed(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// The organization that the caller picks by header.
fn picked(headers: &HeaderMap) -> Result<Option<OrgId>, Problem> {
    let mut values = headers.get_all(TENANT);
    let (Some(value), second) = (values.next(), values.next()) else { return Ok(None) };
    let id = value.to_str().ok().filter(|_| second.is_none()).and_then(|it| it.trim().parse().ok());
    id.map(Some).ok_or_else(|| {
        let rule = "must be the id of one organization";
        Problem::invalid(format!("x-tenant-id {rule}"), json!({ "x-tenant-id": rule }))
    })
}
