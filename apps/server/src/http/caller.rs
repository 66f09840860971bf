use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use actix_web::http::header;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest, dev::Payload, web};
use plinth_core::{Origin, Permission, Permit, PermitError, Principal};
use plinth_tenancy::TenancyError;
use uuid::Uuid;

use super::envelope::RequestId;
use super::{Problem, Services, limits};

/// The authenticated sender of a request. A handler that takes one cannot run without it.
#[derive(Clone, Debug)]
pub(crate) struct Caller(Principal);

impl Caller {
    /// Who it is.
    pub(crate) fn principal(&self) -> &Principal {
        &self.0
    }

    /// The same caller, whose changes mark that record of an idempotent request.
    pub(crate) fn marking(&self, idempotency: Uuid) -> Self {
        let mut principal = self.0.clone();
        let origin = Origin { idempotency: Some(idempotency), ..Origin::clone(&principal.origin) };
        principal.origin = Arc::new(origin);
        Self(principal)
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

impl std::ops::Deref for CallerOfClosing {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.0
    }
}

type Extracting<T> = Pin<Box<dyn Future<Output = Result<T, Problem>>>>;

impl FromRequest for Caller {
    type Error = Problem;
    type Future = Extracting<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let caller = authenticate(&request).await?;
            services(&request).tenancy.require_open(caller.0.org).await?;
            Ok(caller)
        })
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

async fn authenticate(request: &HttpRequest) -> Result<Caller, Problem> {
    // Whatever asked before has found out and counted the request already.
    if let Some(known) = request.extensions().get::<Caller>() {
        return Ok(known.clone());
    }
    let services = services(request);
    let key = sent_key(request).ok_or(TenancyError::Unauthenticated)?;
    let origin = Arc::new(origin(request));
    let principal = services.tenancy.authenticate(&key, origin).await?;
    tracing::Span::current().record("org.id", tracing::field::display(principal.org));
    let admission = services.limiter.admit(&principal).await?;
    request.extensions_mut().insert(admission);
    if !admission.is_admitted {
        return Err(limits::refused(&admission));
    }
    let caller = Caller(principal);
    request.extensions_mut().insert(caller.clone());
    Ok(caller)
}

/// Where the request came from, for the audit trail.
fn origin(request: &HttpRequest) -> Origin {
    let id = request.extensions().get::<RequestId>().map(|it| it.0.clone());
    Origin {
        request_id: id.unwrap_or_default(),
        address: request.peer_addr().map(|it| it.ip()),
        idempotency: None,
    }
}

/// The key, from whichever of the two headers carries it.
///
/// A request has one credential. Of two that differ, which one counts would depend on who looks: on us or on a proxy in
/// front; so neither does.
fn sent_key(request: &HttpRequest) -> Option<String> {
    let headers = request.headers();
    let bearers = headers.get_all(header::AUTHORIZATION).map(|value| {
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    let keys = headers.get_all("x-api-key").map(|value| Some(value.to_str().ok()?.trim()));
    let mut sent = bearers.chain(keys);
    let first = sent.next()??;
    sent.all(|it| it == Some(first)).then(|| first.to_owned())
}
