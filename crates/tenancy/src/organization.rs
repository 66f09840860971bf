use std::fmt;

use jiff::Timestamp;
use plinth_core::{Classify, ErrorKind, OrgId, UserId};
use serde_json::{Value, json};

use crate::limits::Plan;

/// A tenant: to whom connections, queries and everything else belong.
#[derive(Clone, Debug, PartialEq)]
pub struct Organization {
    /// Its id.
    pub id: OrgId,
    /// How it calls itself; unique in an installation, so that an operator can tell two apart.
    pub name: OrganizationName,
    /// An IANA name: what "today" and "this week" mean here.
    pub time_zone: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// How much it may call; the operator's to say.
    pub plan: Plan,
    /// What its admins decided.
    pub settings: OrganizationSettings,
    /// When it will be deleted for good; `None` unless its owner asked for that.
    pub deleting_at: Option<Timestamp>,
}

impl Organization {
    /// A new one, as it is unless somebody says otherwise.
    pub fn new(id: OrgId, name: OrganizationName, time_zone: TimeZoneName, at: Timestamp) -> Self {
        Self {
            id,
            name,
            time_zone: time_zone.0,
            created_at: at,
            plan: Plan::default(),
            settings: OrganizationSettings::default(),
            deleting_at: None,
        }
    }
}

/// What the admins of an organization decide for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OrganizationSettings {
    /// Whether members without the scope `admin` may make API keys for themselves.
    pub member_keys: bool,
    /// The planner's cost above which no statement is run, finite and above zero; `None` if there is no limit.
    pub plan_cost_limit: Option<f64>,
    /// How many rows the planner may expect of a statement that is run; `None` if there is no limit.
    pub plan_row_limit: Option<u64>,
}

impl Default for OrganizationSettings {
    fn default() -> Self {
        Self { member_keys: true, plan_cost_limit: None, plan_row_limit: None }
    }
}

/// A time zone of the IANA database that this system knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeZoneName(String);

impl TimeZoneName {
    /// Parses what a person typed; the case of its letters becomes that of the database.
    ///
    /// # Errors
    ///
    /// [`InvalidName`] if this system does not know such a zone.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let invalid = InvalidName {
            field: "time_zone",
            rule: "must be the IANA name of a time zone, like Europe/Berlin or UTC",
        };
        let zone = jiff::tz::TimeZone::get(text.trim()).map_err(|_| invalid)?;
        // `Etc/Unknown` is a zone for programs that do not know theirs.
        let name = zone.iana_name().filter(|it| *it != "Etc/Unknown").ok_or(invalid)?;
        Ok(Self(name.to_owned()))
    }

    /// The zone of organizations that did not say.
    pub fn utc() -> Self {
        Self("UTC".to_owned())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A person. May belong to several organizations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Their id.
    pub id: UserId,
    /// Where to write to them; unique in an installation.
    pub email: Email,
    /// When they came.
    pub created_at: Timestamp,
}

/// An organization's name: 1 to 100 characters, no control characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OrganizationName(String);

impl OrganizationName {
    /// Parses what a person typed; surrounding space is dropped.
    ///
    /// # Errors
    ///
    /// [`InvalidName`] if it is empty, too long or has control characters.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let text = text.trim();
        let length = text.chars().count();
        if length == 0 || length > 100 || text.chars().any(char::is_control) {
            return Err(InvalidName {
                field: "organization",
                rule: "must have 1 to 100 characters and no control characters",
            });
        }
        Ok(Self(text.to_owned()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OrganizationName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An e-mail address, as far as it can be judged without sending: one `@`, something before it, a domain after it.
/// Kept in lower case: no mail system in use tells `Ann@` from `ann@`, and people type both.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Email(String);

impl Email {
    /// Parses what a person typed.
    ///
    /// # Errors
    ///
    /// [`InvalidName`] if it cannot be an address.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let text = text.trim().to_lowercase();
        // 254 bytes is the longest path that SMTP carries (RFC 5321, 4.5.3.1.3, less the angle brackets).
        let good = text.len() <= 254
            && text.rsplit_once('@').is_some_and(|(local, domain)| {
                let label = |it: &str| {
                    !it.is_empty()
                        && !it.starts_with('-')
                        && !it.ends_with('-')
                        && it.chars().all(|c| c.is_alphanumeric() || c == '-')
                };
                !local.is_empty()
                    && local.len() <= 64
                    && !local.chars().any(|c| {
                        c.is_whitespace() || c.is_control() || "@<>(),;:\"[]\\".contains(c)
                    })
                    && domain.split('.').all(label)
            });
        if good {
            Ok(Self(text))
        } else {
            Err(InvalidName { field: "email", rule: "must be an address like ann@example.com" })
        }
    }

    /// The address as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A name that breaks a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {rule}")]
pub struct InvalidName {
    /// The field of the request.
    pub field: &'static str,
    /// What it has to be.
    pub rule: &'static str,
}

impl Classify for InvalidName {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }

    fn details(&self) -> Option<Value> {
        Some(json!({ self.field: self.rule }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_parsed_address_parses_to_itself(text in "[a-zA-Z.@é +-]{0,40}") {
            if let Ok(email) = Email::parse(&text) {
                prop_assert_eq!(&Email::parse(email.as_str()).unwrap(), &email);
            }
        }
    }

    #[test]
    fn a_time_zone_is_one_that_exists() {
        for (text, name) in [("UTC", "UTC"), ("europe/berlin ", "Europe/Berlin")] {
            assert_eq!(TimeZoneName::parse(text).expect("known").as_str(), name);
        }
        for bad in ["", "Mars/Olympus", "+02:00", "CEST-2", "Etc/Unknown", "../../etc/passwd"] {
            assert!(TimeZoneName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_address_has_a_name_and_a_domain() {
        for good in ["ann@example.com", "Ann.B+c@Mail.example.com", "ann@localhost"] {
            assert!(Email::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "ann",
            "@example.com",
            "ann@",
            "a b@example.com",
            "ann@ex ample.com",
            "<ann@example.com>",
            "ann@-a.test",
        ] {
            assert!(Email::parse(bad).is_err(), "{bad}");
        }
    }
}
