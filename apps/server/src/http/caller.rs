use std::future::Future;
use std::pin::Pin;

use actix_web::http::header;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest, dev::Payload, web};
use plinth_core::{Permission, Permit, PermitError, Principal};
use plinth_tenancy::TenancyError;

use super::{Problem, Services};

/// The authenticated sender of a request. A handler that takes one cannot run without it.
#[derive(Clone, Debug)]
pub(crate) struct Caller(Principal);

impl Caller {
    /// Proof that the caller may do `P`.
    pub(crate) fn permit<P: Permission>(&self) -> Result<Permit<P>, PermitError> {
        Permit::check(&self.0)
    }
}

impl FromRequest for Caller {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Self::Error>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let services =
                request.app_data::<web::Data<Services>>().expect("every app has its services");
            let key = sent_key(&request).ok_or(TenancyError::Unauthenticated)?;
            let principal = services.tenancy.authenticate(&key).await?;
            tracing::Span::current().record("org.id", tracing::field::display(principal.org));
            let caller = Self(principal);
            request.extensions_mut().insert(caller.clone());
            Ok(caller)
        })
    }
}

/// The key, from whichever of the two headers carries it.
fn sent_key(request: &HttpRequest) -> Option<String> {
    let headers = request.headers();
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        return scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned());
    }
    Some(headers.get("x-api-key")?.to_str().ok()?.trim().to_owned())
}
