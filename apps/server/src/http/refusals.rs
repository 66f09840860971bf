//! What was refused and still has to be told of: trying to grant more than one may.

use actix_web::body::BoxBody;
use actix_web::dev::ServiceResponse;
use actix_web::web;
use serde_json::json;

use super::visit::Visit;
use super::{Problem, Services};

/// The reason that an error gives for it, whichever service refused: the same word for members, roles, keys, apps and
/// identity providers, so that none of them can be forgotten here.
const ESCALATION: &str = "role_escalation_denied";

/// Writes a refused escalation into the trail of the organization that the caller acted in.
pub(super) async fn note(response: &ServiceResponse<BoxBody>, problem: &Problem) {
    if problem.reason() != Some(ESCALATION) {
        return;
    }
    let request = response.request();
    let Some(caller) = Visit::of(request, |it| it.caller.clone()).flatten() else { return };
    let services = request.app_data::<web::Data<Services>>().expect("every app has its services");
    let details = json!({
        "method": request.method().as_str(),
        "route": request.match_pattern(),
        "path": request.path(),
    });
    let now = services.clock.now();
    if let Err(err) = services.audit.note_escalation(caller.principal(), now, details).await {
        // It was refused all the same.
        tracing::error!(error = plinth_core::chain(&err), "a refusal is missing in the trail");
    }
}
