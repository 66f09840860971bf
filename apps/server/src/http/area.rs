//! Routes by the first word of their path.
//!
//! A router looks through its routes one after the other, and each that has a parameter costs it a regular expression. There
//! are a hundred of them; so they are grouped, and a group that cannot have the path is passed over whole.

use actix_web::Error;
use actix_web::body::BoxBody;
use actix_web::dev::{ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::guard::{Guard, GuardContext};
use utoipa_actix_web::scope::{Scope, scope};
use utoipa_actix_web::service_config::ServiceConfig;

/// Below which prefixes areas stand.
const PREFIXES: [&[u8]; 2] = [b"/v1/", b"/api/v1/"];

/// The routes whose paths begin, below the prefix, with one of these words. No other area may have one of the words: the
/// first whose word it is answers, if with no route of its own then with an error.
pub(super) fn area(
    words: &'static [&'static str],
    routes: fn(&mut ServiceConfig<'_>),
) -> Scope<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<BoxBody>,
        Error = Error,
        InitError = (),
    >,
> {
    scope("").guard(Words(words)).configure(routes)
}

struct Words(&'static [&'static str]);

impl Guard for Words {
    fn check(&self, context: &GuardContext<'_>) -> bool {
        may_begin(self.0, context.head().uri.path())
    }
}

/// Whether routes that begin with these words can match the path. A word in which something is escaped may be any word:
/// the router reads it after it was unescaped. Every request asks this of one area after the other, so the first letter
/// decides nearly always.
fn may_begin(words: &[&str], path: &str) -> bool {
    let path = path.as_bytes();
    let Some(rest) = PREFIXES.iter().find_map(|it| path.strip_prefix(*it)) else { return true };
    let first = rest.first();
    let begins = |word: &&str| {
        word.as_bytes().first() == first
            && rest.strip_prefix(word.as_bytes()).is_some_and(|it| matches!(it, [] | [b'/', ..]))
    };
    words.iter().any(begins) || rest.iter().take_while(|it| **it != b'/').any(|it| *it == b'%')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_looked_for_where_its_first_word_leads() {
        let words = ["queries", "me"];
        for path in ["/v1/queries", "/api/v1/queries/1", "/v1/me", "/v1/q%75eries", "/%761/queries"]
        {
            assert!(may_begin(&words, path), "{path}");
        }
        for path in ["/v1/querie", "/v1/queries2/me", "/v1/", "/api/v1/connections/queries"] {
            assert!(!may_begin(&words, path), "{path}");
        }
    }
}
