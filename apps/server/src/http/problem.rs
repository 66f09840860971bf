//! How errors look: the platform family's envelope, or RFC 9457 for who asks for it. The one place where a kind of
//! error becomes a status.

use std::fmt;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use plinth_core::{Classify, ErrorKind};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::{IntoResponses, ToSchema};

/// What a program can match on. New codes may be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ErrorCode {
    /// 401: no API key or token came with the request, or one that does not work.
    AuthenticationError,
    /// 403: the key or the role lacks the scope, or the table is not allowed.
    AuthorizationError,
    /// 404: there is no such thing in this organization.
    NotFound,
    /// 405: the path exists, but not with this method.
    MethodNotAllowed,
    /// 409: the state does not allow it.
    Conflict,
    /// 423: something else is being done with it; try again in a moment.
    Busy,
    /// 412: the thing has changed since it was read.
    PreconditionFailed,
    /// 413: the body is too large.
    PayloadTooLarge,
    /// 422: the request breaks a rule; `details` says which.
    ValidationError,
    /// 402: what the organization may spend is spent.
    BudgetExceeded,
    /// 429: too many requests.
    RateLimitExceeded,
    /// 500: the database could not run the statement; `details` has the SQL, SQLSTATE and message.
    QueryError,
    /// 504: the statement ran into its time limit.
    QueryTimeout,
    /// 409: the statement was cancelled.
    QueryCancelled,
    /// 502: the database could not be reached; `details.diagnosis` says why and what to do.
    ConnectionError,
    /// 503: something of ours is down or overloaded; try again.
    Unavailable,
    /// 500: a fault of ours; the logs have it under the request id.
    InternalError,
}

impl ErrorCode {
    fn of(kind: ErrorKind) -> (Self, StatusCode) {
        match kind {
            ErrorKind::Invalid => (Self::ValidationError, StatusCode::UNPROCESSABLE_ENTITY),
            ErrorKind::Unauthenticated => (Self::AuthenticationError, StatusCode::UNAUTHORIZED),
            ErrorKind::Forbidden => (Self::AuthorizationError, StatusCode::FORBIDDEN),
            ErrorKind::NotFound => (Self::NotFound, StatusCode::NOT_FOUND),
            ErrorKind::MethodNotAllowed => (Self::MethodNotAllowed, StatusCode::METHOD_NOT_ALLOWED),
            ErrorKind::Conflict => (Self::Conflict, StatusCode::CONFLICT),
            ErrorKind::Busy => (Self::Busy, StatusCode::LOCKED),
            ErrorKind::PreconditionFailed => {
                (Self::PreconditionFailed, StatusCode::PRECONDITION_FAILED)
            }
            ErrorKind::PayloadTooLarge => (Self::PayloadTooLarge, StatusCode::PAYLOAD_TOO_LARGE),
            ErrorKind::RateLimited => (Self::RateLimitExceeded, StatusCode::TOO_MANY_REQUESTS),
            ErrorKind::BudgetExceeded => (Self::BudgetExceeded, StatusCode::PAYMENT_REQUIRED),
            ErrorKind::Query => (Self::QueryError, StatusCode::INTERNAL_SERVER_ERROR),
            ErrorKind::QueryTimeout => (Self::QueryTimeout, StatusCode::GATEWAY_TIMEOUT),
            ErrorKind::QueryCancelled => (Self::QueryCancelled, StatusCode::CONFLICT),
            ErrorKind::Connection => (Self::ConnectionError, StatusCode::BAD_GATEWAY),
            ErrorKind::Unavailable => (Self::Unavailable, StatusCode::SERVICE_UNAVAILABLE),
            ErrorKind::Internal => (Self::InternalError, StatusCode::INTERNAL_SERVER_ERROR),
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::AuthenticationError => "authentication_error",
            Self::AuthorizationError => "authorization_error",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Conflict => "conflict",
            Self::Busy => "busy",
            Self::PreconditionFailed => "precondition_failed",
            Self::PayloadTooLarge => "payload_too_large",
            Self::ValidationError => "validation_error",
            Self::BudgetExceeded => "budget_exceeded",
            Self::RateLimitExceeded => "rate_limit_exceeded",
            Self::QueryError => "query_error",
            Self::QueryTimeout => "query_timeout",
            Self::QueryCancelled => "query_cancelled",
            Self::ConnectionError => "connection_error",
            Self::Unavailable => "unavailable",
            Self::InternalError => "internal_error",
        }
    }
}

/// A failed request, before it is written in anybody's form.
#[derive(Clone, Debug)]
pub struct Problem {
    code: ErrorCode,
    status: StatusCode,
    message: String,
    details: Option<Value>,
}

impl Problem {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>, details: Option<Value>) -> Self {
        let (code, status) = ErrorCode::of(kind);
        Self { code, status, message: message.into(), details }
    }

    /// A request whose fields break rules: `fields` names each and what is wrong with it.
    pub(crate) fn invalid(message: impl Into<String>, fields: Value) -> Self {
        Self::new(ErrorKind::Invalid, message, Some(fields))
    }

    /// The same with a status of its own: for the APIs of others, who have some that ours has not.
    #[must_use]
    pub(crate) fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// Why it was refused, in a word for programs, if it says so.
    pub(super) fn reason(&self) -> Option<&str> {
        self.details.as_ref()?.get("reason")?.as_str()
    }

    /// What went wrong, for an answer in which other things went well.
    pub(crate) fn into_info(self) -> ErrorInfo {
        ErrorInfo { code: self.code, message: self.message, details: self.details }
    }

    /// The body in the form that the caller wants.
    pub(crate) fn render(&self, request: &HttpRequest, request_id: &str) -> HttpResponse {
        let accept = request.headers().get(header::ACCEPT).and_then(|it| it.to_str().ok());
        let mut response = HttpResponse::build(self.status);
        if self.status == StatusCode::UNAUTHORIZED {
            response.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
        }
        if let Some(seconds) =
            self.details.as_ref().and_then(|it| it["retry_after_seconds"].as_i64())
        {
            response.insert_header((header::RETRY_AFTER, seconds.to_string()));
        }
        if accept.is_some_and(|it| it.contains("application/problem+json")) {
            let title = self.status.canonical_reason().unwrap_or("Error");
            response.content_type("application/problem+json").json(json!({
                "type": format!("urn:plinth:error:{}", self.code.as_str()),
                "title": title,
                "status": self.status.as_u16(),
                "detail": self.message,
                "instance": request.path(),
                "code": self.code,
                "request_id": request_id,
                "errors": self.field_errors(),
                "details": self.details,
            }))
        } else if Family::of(request.path()) == Family::DatabaseConfigs {
            response.json(ConfigError {
                success: false,
                error: self.code,
                message: self.message.clone(),
                status: ConfigStatus::Error,
                details: self.details.clone(),
            })
        } else if Family::of(request.path()) == Family::ControlPlane {
            let code = self.details.as_ref().and_then(|it| it["code"].as_str());
            // A body that does not fit is told apart from a state that does not allow it.
            if self.status == StatusCode::UNPROCESSABLE_ENTITY && code.is_none() {
                response.status(StatusCode::BAD_REQUEST);
            }
            response.json(ControlPlaneError {
                request_id: request_id.to_owned(),
                code: code.unwrap_or_default().to_owned(),
                message: self.message.clone(),
            })
        } else {
            response.json(ErrorBody {
                error: ErrorInfo {
                    code: self.code,
                    message: self.message.clone(),
                    details: self.details.clone(),
                },
                meta: ErrorMeta { request_id: request_id.to_owned() },
            })
        }
    }

    /// The details as RFC 9457 wants them: a pointer into the request for each wrong field.
    fn field_errors(&self) -> Vec<Value> {
        if self.code != ErrorCode::ValidationError {
            return Vec::new();
        }
        let fields = self.details.as_ref().and_then(Value::as_object);
        fields
            .into_iter()
            .flatten()
            .filter_map(|(field, message)| {
                let message = message.as_str()?;
                Some(json!({ "pointer": format!("#/{field}"), "code": "invalid", "message": message }))
            })
            .collect()
    }
}

impl<E: Classify> From<E> for Problem {
    fn from(err: E) -> Self {
        let kind = err.kind();
        if kind.is_ours() {
            tracing::error!(error = plinth_core::chain(&err), "request failed");
        }
        if kind == ErrorKind::Internal {
            return Self::new(kind, "something went wrong on our side", None);
        }
        Self::new(kind, err.to_string(), err.details())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.message)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    /// Without the request's id and wishes; the `observe` middleware writes the body anew with both.
    fn error_response(&self) -> HttpResponse {
        HttpResponse::new(self.status)
    }
}

/// What every failed request of `/v1` answers with.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Error)]
pub(crate) struct ErrorBody {
    /// What went wrong.
    error: ErrorInfo,
    /// About the request.
    meta: ErrorMeta,
}

/// What went wrong.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErrorInfo {
    /// Stable; match on this.
    code: ErrorCode,
    /// For people; may change.
    #[schema(example = "there is no connection conn_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    message: String,
    /// Facts that a program can act on; which ones depends on the code.
    #[schema(value_type = Option<Object>)]
    details: Option<Value>,
}

/// Whose conventions a path follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    /// `/v1`, and everything else.
    Platform,
    /// `/api/database-configs` and `/api/db`.
    DatabaseConfigs,
    /// `/api/v2`.
    ControlPlane,
}

impl Family {
    fn of(path: &str) -> Self {
        let below = |prefix| {
            path.strip_prefix(prefix).is_some_and(|it| it.is_empty() || it.starts_with('/'))
        };
        if below("/api/database-configs") || below("/api/db") {
            return Self::DatabaseConfigs;
        }
        if below("/api/v2") {
            return Self::ControlPlane;
        }
        Self::Platform
    }
}

/// What every failed request of `/api/database-configs` and `/api/db` answers with.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConfigError {
    /// False.
    #[schema(example = false)]
    success: bool,
    /// Stable; match on this.
    error: ErrorCode,
    /// For people; may change.
    #[schema(example = "there is no database config 018f3a2b-4c5d-7e6f-8091-a2b3c4d5e6f7")]
    message: String,
    status: ConfigStatus,
    /// Facts that a program can act on; which ones depends on the code.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    details: Option<Value>,
}

/// What every failed request of `/api/v2` answers with.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = GeneralError)]
pub(crate) struct ControlPlaneError {
    /// Also in the header `x-request-id`, and in the logs.
    #[schema(example = "0198c0de-7a3b-7cc1-9a55-3f2a8d1e6b70")]
    request_id: String,
    /// What a program can match on; empty where the status says everything.
    #[schema(example = "BRANCH_ALREADY_EXISTS")]
    code: String,
    /// For people; may change.
    #[schema(example = "branch already exists; branch_name:\"dev\"")]
    message: String,
}

/// How errors appear in the document of that family.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only its derive is used")]
pub(crate) enum ControlPlaneProblems {
    /// The request cannot be read.
    #[response(status = 400)]
    Unreadable(ControlPlaneError),
    /// No API key or token came with the request, or one that does not work.
    #[response(status = 401)]
    Unauthenticated(ControlPlaneError),
    /// The key or the role lacks the scope.
    #[response(status = 403)]
    Forbidden(ControlPlaneError),
    /// There is no such thing in this organization.
    #[response(status = 404)]
    NotFound(ControlPlaneError),
    /// Something of that name is there.
    #[response(status = 409)]
    Conflict(ControlPlaneError),
    /// The body is too large.
    #[response(status = 413)]
    TooLarge(ControlPlaneError),
    /// The state does not allow it; `code` says why.
    #[response(status = 422)]
    Invalid(ControlPlaneError),
    /// Operations of the project are under way: safe to try again in a moment.
    #[response(status = 423)]
    Busy(ControlPlaneError),
    /// Too many requests.
    #[response(status = 429)]
    RateLimited(ControlPlaneError),
    /// A fault of ours.
    #[response(status = 500)]
    Internal(ControlPlaneError),
    /// The remote where the project lives did not answer as it should: whether it was done there is not known.
    #[response(status = 502)]
    Unknown(ControlPlaneError),
    /// No node runs, our own database or the project's remote does not answer: safe to try again.
    #[response(status = 503)]
    Unavailable(ControlPlaneError),
}

/// How a request ended.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ConfigStatus {
    /// It failed.
    Error,
}

/// About the request.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErrorMeta {
    /// Also in the header `x-request-id`, and in the logs.
    #[schema(example = "0198c0de-7a3b-7cc1-9a55-3f2a8d1e6b70")]
    request_id: String,
}

/// How errors appear in the OpenAPI document of each operation.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only its derive is used")]
pub(crate) enum Problems {
    /// `authentication_error`: no API key came with the request, or one that does not work.
    #[response(status = 401)]
    Unauthenticated(ErrorBody),
    /// `authorization_error`: the key or the role lacks the scope.
    #[response(status = 403)]
    Forbidden(ErrorBody),
    /// `not_found`: there is no such thing in this organization.
    #[response(status = 404)]
    NotFound(ErrorBody),
    /// `conflict`: the state does not allow it.
    #[response(status = 409)]
    Conflict(ErrorBody),
    /// `payload_too_large`: the body is too large.
    #[response(status = 413)]
    TooLarge(ErrorBody),
    /// `validation_error`: the request breaks a rule; `details` says which.
    #[response(status = 422)]
    Invalid(ErrorBody),
    /// `rate_limit_exceeded`: too many requests; `Retry-After` says when to try again.
    #[response(status = 429)]
    RateLimited(ErrorBody),
    /// `internal_error`: a fault of ours.
    #[response(status = 500)]
    Internal(ErrorBody),
    /// `unavailable`: something of ours is down or overloaded; try again.
    #[response(status = 503)]
    Unavailable(ErrorBody),
}

/// The same for the family of database configs.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only its derive is used")]
pub(crate) enum ConfigProblems {
    /// `authentication_error`: no API key or token came with the request, or one that does not work.
    #[response(status = 401)]
    Unauthenticated(ConfigError),
    /// `authorization_error`: the key or the role lacks the scope.
    #[response(status = 403)]
    Forbidden(ConfigError),
    /// `not_found`: there is no such config in this organization.
    #[response(status = 404)]
    NotFound(ConfigError),
    /// `conflict`: the state does not allow it.
    #[response(status = 409)]
    Conflict(ConfigError),
    /// `payload_too_large`: the body is too large.
    #[response(status = 413)]
    TooLarge(ConfigError),
    /// `validation_error`: the request breaks a rule; `details` says which.
    #[response(status = 422)]
    Invalid(ConfigError),
    /// `rate_limit_exceeded`: too many requests; `Retry-After` says when to come again.
    #[response(status = 429)]
    TooMany(ConfigError),
    /// `internal_error`: a fault of ours.
    #[response(status = 500)]
    Internal(ConfigError),
    /// `unavailable`: something of ours is down or overloaded; try again.
    #[response(status = 503)]
    Unavailable(ConfigError),
}

/// What operations of that family that reach a customer's database can also answer.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only its derive is used")]
pub(crate) enum ConfigDatabaseProblems {
    /// `connection_error`: the database could not be reached; `details.diagnosis` says why and what to do.
    #[response(status = 502)]
    Unreachable(ConfigError),
}

/// What operations of that family on things that people edit together can also answer.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only its derive is used")]
pub(crate) enum ConfigEditProblems {
    /// `precondition_failed`: it was changed since you read it.
    #[response(status = 412)]
    Changed(ConfigError),
}

/// What operations on things that people edit together can also answer.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only its derive is used")]
pub(crate) enum EditProblems {
    /// `precondition_failed`: it was changed since you read it.
    #[response(status = 412)]
    Changed(ErrorBody),
}

/// What operations that reach a customer's database can also answer.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only its derive is used")]
pub(crate) enum DatabaseProblems {
    /// `connection_error`: the database could not be reached; `details.diagnosis` says why and what to do.
    #[response(status = 502)]
    Unreachable(ErrorBody),
    /// `query_timeout`: the statement ran into its time limit.
    #[response(status = 504)]
    TimedOut(ErrorBody),
}
