//! What actions of all workflows wait for.

use actix_web::{HttpResponse, get, web};
use plinth_workflows::writes::{ApprovalFilter, ApprovalState, ListedApproval};
use plinth_workflows::{RunId, WorkflowId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use super::body::ApprovalBody;
use crate::http::envelope::{Reply, page_envelope};
use crate::http::input::Paging;
use crate::http::problem::Problems;
use crate::http::{Caller, Problem, Services};

const LIST: &str = "workflow approvals";

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config.service(list_workflow_approvals);
}

/// List approvals
///
/// What actions of all workflows wait for, or waited for, newest first; `status=pending` for what still has to be decided.
/// Decide by `POST /v1/workflows/{id}/runs/{run_id}/approval`. Needs the scope `workflows:read`.
#[utoipa::path(
    tag = "workflows",
    params(ApprovalQuery),
    responses((status = 200, body = ApprovalPage, description = "A page of approvals."), Problems),
)]
#[get("/workflows/approvals")]
async fn list_workflow_approvals(
    caller: Caller,
    services: web::Data<Services>,
    query: web::Query<ApprovalQuery>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let ApprovalQuery { limit, cursor, status, workflow_id } = query.into_inner();
    let paging = Paging::new(limit, cursor);
    let filter = ApprovalFilter { state: status.map(StatusQuery::state), workflow: workflow_id };
    let after = paging.cursor(&services.cursors, LIST)?;
    let page = services.workflows.approvals(&permit, filter, after, paging.limit()?).await?;
    let next = page.next.map(|it| services.cursors.seal(LIST, it));
    Ok(reply.page(page.items.into_iter().map(ListedBody::from).collect::<Vec<_>>(), next))
}

/// Which approvals; every condition that is there has to hold.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ApprovalQuery {
    /// Items on a page, 1 to 100.
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<u32>,
    /// `meta.next_cursor` of the page before.
    cursor: Option<String>,
    /// How it stands.
    #[param(inline)]
    status: Option<StatusQuery>,
    /// Of which workflow.
    #[param(value_type = Option<String>, example = "wf_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    workflow_id: Option<WorkflowId>,
}

/// How an approval stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum StatusQuery {
    Pending,
    Approved,
    Declined,
    Expired,
    Withdrawn,
}

impl StatusQuery {
    fn state(self) -> ApprovalState {
        match self {
            Self::Pending => ApprovalState::Pending,
            Self::Approved => ApprovalState::Approved,
            Self::Declined => ApprovalState::Declined,
            Self::Expired => ApprovalState::Expired,
            Self::Withdrawn => ApprovalState::Withdrawn,
        }
    }
}

/// An approval, with where it belongs.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WorkflowApproval)]
struct ListedBody {
    #[schema(value_type = String, example = "wf_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    workflow_id: WorkflowId,
    #[schema(example = "Late orders")]
    workflow_name: String,
    #[schema(value_type = String, example = "run_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    run_id: RunId,
    /// Whether you may approve it now: it waits, and your role decides, and it is not your own or nobody else could.
    may_approve: bool,
    #[serde(flatten)]
    approval: ApprovalBody,
}

impl From<ListedApproval> for ListedBody {
    fn from(it: ListedApproval) -> Self {
        Self {
            workflow_id: it.workflow,
            workflow_name: it.workflow_name,
            run_id: it.run,
            may_approve: it.may_approve,
            approval: it.approval.into(),
        }
    }
}

page_envelope! {
    /// Approvals.
    ApprovalPage(ListedBody)
}
