//! What matches no route: 405 where another method would match, else 404, with a word on what Neon has and Plinth has not.

use std::sync::OnceLock;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, ResponseError as _};
use plinth_core::ErrorKind;
use utoipa::openapi::path::PathItem;

use super::{Problem, control_plane, document};

/// Each path of the document, cut at its slashes, with the methods it takes.
type Table = Vec<(Vec<String>, Vec<&'static str>)>;

fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(|| {
        let cut = |path: &str| path.split('/').map(str::to_owned).collect();
        document::openapi()
            .paths
            .paths
            .iter()
            .map(|(path, item)| (cut(path), methods(item)))
            .collect()
    })
}

fn methods(item: &PathItem) -> Vec<&'static str> {
    let all = [
        ("GET", &item.get),
        ("POST", &item.post),
        ("PUT", &item.put),
        ("PATCH", &item.patch),
        ("DELETE", &item.delete),
    ];
    all.into_iter().filter(|(_, it)| it.is_some()).map(|(name, _)| name).collect()
}

fn allowed(path: &str) -> Option<&'static [&'static str]> {
    // `/api/v1` is another address of `/v1`.
    let path = match path.strip_prefix("/api") {
        Some(rest) if rest.starts_with("/v1/") => rest,
        _ => path,
    };
    let parts: Vec<_> = path.split('/').collect();
    let matches = |pattern: &[String]| {
        pattern.len() == parts.len()
            && pattern
                .iter()
                .zip(&parts)
                .all(|(it, part)| it.starts_with('{') && !part.is_empty() || it == part)
    };
    table().iter().find(|(pattern, _)| matches(pattern)).map(|(_, methods)| methods.as_slice())
}

pub(super) async fn unmatched(request: HttpRequest) -> Result<HttpResponse, actix_web::Error> {
    if let Some(missing) = control_plane::absent(request.path()) {
        return Err(Problem::new(ErrorKind::NotFound, missing, None).into());
    }
    let Some(methods) = allowed(request.path()) else {
        let message = format!(
            "there is nothing at {}; the API is described at /openapi.json",
            request.path()
        );
        return Err(Problem::new(ErrorKind::NotFound, message, None).into());
    };
    let allow = methods.join(", ");
    let problem = Problem::new(
        ErrorKind::MethodNotAllowed,
        format!("{} is not possible here; use {allow}", request.method()),
        None,
    );
    let mut response = HttpResponse::from_error(problem.clone());
    *response.status_mut() = problem.status_code();
    response.headers_mut().insert(header::ALLOW, allow.parse().expect("method names"));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_path_says_which_methods_it_takes() {
        assert_eq!(allowed("/v1/queries"), Some(["GET", "POST"].as_slice()));
        assert_eq!(allowed("/api/v1/queries/q_1"), Some(["GET", "PATCH", "DELETE"].as_slice()));
        assert_eq!(allowed("/v1/queries/q_1/run"), Some(["POST"].as_slice()));
        assert_eq!(allowed("/v1/nothing"), None);
        assert_eq!(allowed("/"), None);
    }
}
