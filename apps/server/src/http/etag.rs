//! `ETag` and `If-Match` (RFC 9110) on things that people edit together.

use actix_web::http::header::{self, HeaderValue};
use actix_web::{FromRequest, HttpRequest, HttpResponse, dev::Payload};
use std::future::{Ready, ready};
use utoipa::IntoParams;
use utoipa::openapi::Required;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{Object, Type};

use super::Problem;

/// Marks an answer with the revision of the thing in it.
pub(crate) fn tagged(mut response: HttpResponse, revision: i64) -> HttpResponse {
    let tag = HeaderValue::from_str(&format!("\"{revision}\"")).expect("digits and quotes");
    response.headers_mut().insert(header::ETAG, tag);
    response
}

/// Which revisions the caller may have read; `None` if they did not say (`*` says the same of a thing that is there).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct IfMatch(Option<Vec<i64>>);

impl IfMatch {
    /// The revisions, of which one has to be the current one.
    pub(crate) fn revisions(&self) -> Option<&[i64]> {
        self.0.as_deref()
    }

    fn parse<'a>(values: impl Iterator<Item = &'a str>) -> Self {
        let tags: Vec<&str> = values.flat_map(|it| it.split(',')).map(str::trim).collect();
        if tags.is_empty() || tags.contains(&"*") {
            return Self(None);
        }
        // A weak tag never matches here, and neither does one that is none of ours.
        let revision = |it: &str| it.strip_prefix('"')?.strip_suffix('"')?.parse().ok();
        Self(Some(tags.into_iter().filter_map(revision).collect()))
    }
}

impl IntoParams for IfMatch {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let said = "The `ETag` of what you read: if it has changed since, nothing is done (412).";
        let header = ParameterBuilder::new()
            .name("If-Match")
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some(said))
            .schema(Some(Object::with_type(Type::String)));
        vec![header.build()]
    }
}

impl FromRequest for IfMatch {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let values: Vec<&str> = request
            .headers()
            .get_all(header::IF_MATCH)
            // What cannot be read matches nothing.
            .map(|it| it.to_str().unwrap_or("-"))
            .collect();
        ready(Ok(Self::parse(values.into_iter())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read_as_the_standard_says() {
        let parse = |it: &[&str]| IfMatch::parse(it.iter().copied()).0;
        assert_eq!(parse(&[]), None);
        assert_eq!(parse(&["*"]), None);
        assert_eq!(parse(&["\"3\""]), Some(vec![3]));
        assert_eq!(parse(&["\"3\", \"4\"", "\"5\""]), Some(vec![3, 4, 5]));
        assert_eq!(parse(&["W/\"3\""]), Some(vec![]), "a weak tag never matches");
        assert_eq!(parse(&["3", "\"abc\""]), Some(vec![]));
    }
}
