use crate::ProjectId;

use super::RemoteError;

/// Which right a call needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// That to look.
    Read,
    /// That to change, which is also that to see secrets.
    Write,
    /// That to make projects and let them go.
    All,
}

/// What of a project's calls goes to where it lives: a path below `/projects/{id}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemotePath {
    /// The project.
    pub project: ProjectId,
    /// What comes after its id: empty, or from a slash on.
    rest: String,
}

/// What tells neither secrets nor wakes anything, by its path below a project's; `*` stands for one part.
const READ: [&str; 24] = [
    "",
    "branches",
    "branches/count",
    "branches/*",
    "branches/*/anonymized_status",
    "branches/*/backup_schedule",
    "branches/*/compare_schema",
    "branches/*/databases",
    "branches/*/databases/*",
    "branches/*/endpoints",
    "branches/*/masking_rules",
    "branches/*/roles",
    "branches/*/roles/*",
    "branches/*/schema",
    "branches/*/snapshots",
    "available_preload_libraries",
    "consumption",
    "endpoints",
    "endpoints/*",
    "jwks",
    "limits",
    "operations",
    "operations/*",
    "snapshots",
];

impl RemotePath {
    /// Reads the path of a request, as it was sent; `None` if it is not about one project.
    ///
    /// # Errors
    ///
    /// [`RemoteError::NotFound`] for a path that another server might read as one about something else.
    pub fn parse(path: &str) -> Result<Option<Self>, RemoteError> {
        let Some(below) = path.strip_prefix("/api/v2/projects/") else { return Ok(None) };
        let (id, rest) = match below.find('/') {
            Some(at) => below.split_at(at),
            None => (below, ""),
        };
        // `shared` and `auth` are lists of their own; ids are never escaped.
        let Ok(project) = id.parse() else { return Ok(None) };
        if matches!(id, "shared" | "auth") {
            return Ok(None);
        }
        if !rest.split('/').skip(1).all(is_plain) {
            return Err(RemoteError::NotFound("resource"));
        }
        Ok(Some(Self { project, rest: rest.to_owned() }))
    }

    /// The project itself.
    pub fn of(project: ProjectId) -> Self {
        Self { project, rest: String::new() }
    }

    /// Something of the project; `rest` begins with a slash.
    pub(super) fn below(&self, rest: String) -> Self {
        Self { project: self.project.clone(), rest }
    }

    /// The path below the API's base.
    pub fn as_sent(&self) -> String {
        format!("/projects/{}{}", self.project, self.rest)
    }

    /// The parts that come after the project's id.
    pub(super) fn parts(&self) -> Vec<&str> {
        self.rest.split('/').skip(1).collect()
    }

    /// Whether it is the project itself.
    pub(super) fn is_project(&self) -> bool {
        self.rest.is_empty()
    }

    /// Whether it brings a deleted project back.
    pub(super) fn is_recovery(&self, method: &str) -> bool {
        method == "POST" && self.rest == "/recover"
    }

    /// Whether it decides if the project is there at all.
    pub(super) fn is_fate(&self, method: &str) -> bool {
        method == "DELETE" && self.is_project() || self.is_recovery(method)
    }

    /// Which right a call of it needs.
    ///
    /// # Errors
    ///
    /// [`RemoteError::There`] for what is between the remote and its own users; [`RemoteError::NotFound`] for verbs that the API
    /// has not.
    pub fn need(&self, method: &str) -> Result<Need, RemoteError> {
        if !matches!(method, "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE") {
            return Err(RemoteError::NotFound("resource"));
        }
        let parts = self.parts();
        if matches!(parts.first(), Some(&("permissions" | "transfer_requests" | "members"))) {
            return Err(RemoteError::There(
                "with whom a project of a remote is shared, and whose it is, is settled at the remote itself",
            ));
        }
        let fits = |pattern: &&&str| {
            let pattern: Vec<_> = pattern.split('/').filter(|it| !it.is_empty()).collect();
            pattern.len() == parts.len()
                && pattern.iter().zip(&parts).all(|(it, part)| *it == "*" || it == part)
        };
        Ok(match method {
            "DELETE" if parts.is_empty() => Need::All,
            _ if self.is_recovery(method) => Need::All,
            "GET" | "HEAD" if READ.iter().any(|it| fits(&it)) => Need::Read,
            // A password, a key, or what is not known here.
            _ => Need::Write,
        })
    }
}

/// Whether every reader takes it for one part of a path: not for a way upwards, nor for several.
fn is_plain(part: &str) -> bool {
    let mut bytes = part.bytes();
    let mut decoded = Vec::with_capacity(part.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let pair = [bytes.next(), bytes.next()];
        let [Some(high), Some(low)] = pair.map(|it| it.and_then(|it| char::from(it).to_digit(16)))
        else {
            return false;
        };
        decoded.push(u8::try_from(high * 16 + low).unwrap_or_default());
        // One that needs no escape would be another word to whoever decodes it than it is to us.
        if decoded.last().is_some_and(|it| it.is_ascii_alphanumeric() || b"-_.~".contains(it)) {
            return false;
        }
    }
    let is_way = matches!(decoded.as_slice(), b"" | b"." | b"..");
    // What stays escaped after one reading might be read once more on the way.
    let is_odd =
        |it: &u8| matches!(it, b'/' | b'\\' | b'%' | b'?' | b'#' | b';') || it.is_ascii_control();
    !is_way && !decoded.iter().any(is_odd)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn need(method: &str, rest: &str) -> Result<Need, RemoteError> {
        let path = format!("/api/v2/projects/still-meadow-1{rest}");
        RemotePath::parse(&path)?.expect("a project's").need(method)
    }

    #[test]
    fn what_is_not_about_one_project_stays_here() {
        for path in
            ["/api/v2/projects", "/api/v2/projects/shared", "/api/v2/regions", "/v1/projects/x"]
        {
            assert_eq!(RemotePath::parse(path).expect("read"), None, "{path}");
        }
        let found = RemotePath::parse("/api/v2/projects/p-1/branches/br-a").expect("read");
        assert_eq!(found.expect("one").as_sent(), "/projects/p-1/branches/br-a");
    }

    #[test]
    fn no_way_leads_out_of_the_project() {
        for rest in [
            "/..",
            "/../other",
            "/branches/..",
            "/branches/%2e%2e/x",
            "/%2E%2e",
            "/.%2e/x",
            "/a%2fb",
            "/a%5Cb",
            "/a\\b",
            "//x",
            "/x/",
            "/.",
            "/%252e%252e",
            "/%",
            "/%4",
            "/a%00b",
            "/a%3fb",
            "/a%23b",
            // Other words to whoever decodes or cuts them than they are here.
            "/%70ermissions",
            "/transfer%5Frequests",
            "/%72ecover",
            "/permissions;x",
            "/..;/x",
        ] {
            let path = format!("/api/v2/projects/p-1{rest}");
            assert!(RemotePath::parse(&path).is_err(), "{rest}");
        }
        for rest in
            ["/branches/br-a/roles/a%20b", "/branches/br-a/databases/%C3%A4", "/endpoints/ep.a"]
        {
            let path = format!("/api/v2/projects/p-1{rest}");
            assert!(RemotePath::parse(&path).is_ok(), "{rest}");
        }
    }

    #[test]
    fn verbs_that_the_api_has_not_are_not_passed_on() {
        for method in ["CONNECT", "TRACE", "OPTIONS", "get"] {
            assert!(matches!(need(method, "/branches"), Err(RemoteError::NotFound(_))), "{method}");
        }
    }

    #[test]
    fn secrets_and_the_unknown_take_the_right_to_change() {
        for rest in ["", "/branches", "/branches/br-a", "/branches/br-a/roles/x", "/operations/1"] {
            assert_eq!(need("GET", rest).expect("known"), Need::Read, "{rest}");
            assert_ne!(need("POST", rest).expect("known"), Need::Read, "{rest}");
        }
        for rest in [
            "/connection_uri",
            "/branches/br-a/roles/x/reveal_password",
            "/branches/br-a/auth",
            "/new",
        ] {
            assert_eq!(need("GET", rest).expect("known"), Need::Write, "{rest}");
        }
        assert_eq!(need("DELETE", "").expect("known"), Need::All);
        assert_eq!(need("POST", "/recover").expect("known"), Need::All);
        assert_eq!(need("DELETE", "/branches/br-a").expect("known"), Need::Write);
        for rest in ["/permissions", "/permissions/1", "/transfer_requests"] {
            assert!(need("POST", rest).is_err(), "{rest}");
        }
    }
}
