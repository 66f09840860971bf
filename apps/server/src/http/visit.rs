//! What is known of a request while it is answered.

use std::sync::Arc;

use actix_web::{HttpMessage as _, HttpRequest};
use plinth_tenancy::limits::Admission;

use super::Caller;

/// What is found out about a request and needed again, in one place: each thing that is kept with a request by itself is
/// allocated, found and freed by itself, for every request.
#[derive(Debug, Default)]
pub(super) struct Visit {
    /// The request's id: the caller's own, when it sent a sane one; empty only where nothing goes around the handlers.
    pub(super) id: Arc<str>,
    /// What the caller is told about their limits, once the request was counted.
    pub(super) admission: Option<Admission>,
    /// Who calls, once that was found out. Whoever asks again is told this, and the request counts once.
    pub(super) caller: Option<Caller>,
}

impl Visit {
    /// Looks at what is known of the request.
    pub(super) fn of<T>(request: &HttpRequest, look: impl FnOnce(&Self) -> T) -> Option<T> {
        request.extensions().get::<Self>().map(look)
    }

    /// Notes something about the request.
    pub(super) fn note(request: &HttpRequest, note: impl FnOnce(&mut Self)) {
        let mut extensions = request.extensions_mut();
        if let Some(visit) = extensions.get_mut::<Self>() {
            note(visit);
        } else {
            let mut visit = Self::default();
            note(&mut visit);
            extensions.insert(visit);
        }
    }

    /// The request's id.
    pub(super) fn id(request: &HttpRequest) -> Arc<str> {
        Self::of(request, |it| it.id.clone()).unwrap_or_default()
    }
}
