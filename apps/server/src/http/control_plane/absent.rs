//! What Neon's API has and Postgres on one machine does not: asked for, it is named, together with what there is instead.

/// The answer for a path below `/api/v2/` of such a thing; `None` for every other path.
pub(crate) fn absent(path: &str) -> Option<&'static str> {
    let parts: Vec<_> = path.strip_prefix("/api/v2/")?.split('/').collect();
    Some(match parts.as_slice() {
        ["organizations", _, "vpc", ..] | ["projects", _, "vpc_endpoints", ..] => {
            "there are no VPC endpoints here: Plinth runs Postgres on its own machines. \
             Whom an endpoint's port lets in is decided by `--node-listen` and the machine's firewall"
        }
        ["users", "me", "projects", "transfer"] => {
            "nobody has projects of their own here: projects are an organization's. \
             `POST /organizations/{org_id}/projects/transfer` takes them to another"
        }
        ["projects", "auth", _, ..]
        | ["projects", _, "auth", ..]
        | ["projects", _, "branches", _, "auth", ..] => {
            "there is no Neon Auth here: Plinth keeps no users of your own applications. \
             Let them keep their users in a table, or use an identity provider"
        }
        ["projects", _, "branches", _, "data-api", ..] => {
            "there is no Data API here: no REST server is run beside an endpoint. \
             Connect with a Postgres driver, or run SQL through `POST /v1/queries`"
        }
        ["projects", _, "branch_anonymized"]
        | ["projects", _, "branches", _, "anonymize" | "anonymized_status" | "masking_rules"] => {
            "there are no anonymized branches here: nothing rewrites the data of a branch. \
             Column masks hide values from those who ask through Plinth"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thing_is_named_wherever_it_is_asked_for() {
        for (path, thing) in [
            ("organizations/org-a/vpc/vpc_endpoints", "VPC"),
            ("organizations/org-a/vpc/region/aws-eu-1/vpc_endpoints/vpce-1", "VPC"),
            ("projects/p/vpc_endpoints/vpce-1", "VPC"),
            ("users/me/projects/transfer", "organization's"),
            ("projects/auth/keys", "Neon Auth"),
            ("projects/p/auth/domains", "Neon Auth"),
            ("projects/p/branches/br-a/auth", "Neon Auth"),
            ("projects/p/branches/br-a/auth/users/u", "Neon Auth"),
            ("projects/p/branches/br-a/data-api/shop", "Data API"),
            ("projects/p/branch_anonymized", "anonymized"),
            ("projects/p/branches/br-a/masking_rules", "anonymized"),
        ] {
            let said = absent(&format!("/api/v2/{path}"));
            assert!(said.is_some_and(|it| it.contains(thing)), "{path}: {said:?}");
        }
    }

    #[test]
    fn what_is_only_called_so_is_something_else() {
        for path in [
            "/api/v2/projects/auth",
            "/api/v2/projects/data-api",
            "/api/v2/projects/p/branches/auth",
            "/api/v2/projects/p/branches/br-a/databases/auth",
            "/v1/organizations/o/vpc/x",
        ] {
            assert_eq!(absent(path), None, "{path}");
        }
    }
}
