//! What people write of an alert: read whole, with everything that is wrong with it at once.

use jiff::SignedDuration;
use plinth_tenancy::Email;
use serde_json::{Map, Value};

use super::alert::Alert;
use crate::condition::{Condition, check_sent};
use crate::definition::{Fault, Faults, Fields, read_timing};
use crate::schedule::Timing;
use crate::template::Names;

/// The name of the one result that an alert's condition is about.
pub(super) const RESULT: &str = "query";

/// The most addresses that are told.
const MOST_ADDRESSES: usize = 50;

/// How often the same episode may be told of again at most.
const LEAST_REARM: i64 = 60;
const LONGEST_REARM: i64 = 30 * 24 * 3_600;

/// What an alert says, read.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertRules {
    /// When it holds.
    pub condition: Condition,
    /// When it is evaluated.
    pub timing: Timing,
    /// Who is told.
    pub notify: Notify,
    /// After how long an episode that goes on is told of again.
    pub rearm: Option<SignedDuration>,
}

/// Who is told of what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notify {
    /// Whether the owner is. That it fails or stands still, they always are.
    pub owner: bool,
    /// Who besides.
    pub emails: Vec<Email>,
    /// Whether it is told that it is over.
    pub resolved: bool,
    /// Whether it is told that it cannot be judged.
    pub unknown: bool,
}

impl AlertRules {
    /// Reads what somebody wants an alert to say.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, each with a JSON pointer.
    pub fn read(
        condition: &Value,
        schedule: &Value,
        notify: &Value,
        rearm_seconds: Option<i64>,
        parameters: &Map<String, Value>,
    ) -> Result<Self, Vec<Fault>> {
        let mut faults = Faults::default();
        check_sent(condition, "/condition", &mut faults);
        Self::read_after(faults, (condition, schedule, notify), rearm_seconds, parameters)
    }

    /// Reads what an alert says that was stored.
    ///
    /// # Errors
    ///
    /// As for [`Self::read`].
    pub(super) fn of(alert: &Alert) -> Result<Self, Vec<Fault>> {
        let said = (&alert.condition, &alert.schedule, &alert.notify);
        Self::read_after(Faults::default(), said, alert.rearm_seconds, &alert.parameters)
    }

    fn read_after(
        mut faults: Faults,
        (condition, schedule, notify): (&Value, &Value, &Value),
        rearm_seconds: Option<i64>,
        parameters: &Map<String, Value>,
    ) -> Result<Self, Vec<Fault>> {
        let mut names = Names::default();
        names.add_step(RESULT);
        let condition = Condition::read(condition, "/condition", &names, &mut faults);
        let mut fields = Fields::of(schedule, "/schedule", &mut faults);
        let timing = read_timing(&mut fields, &mut faults);
        fields.end(&mut faults);
        let notify = Notify::read(notify, &mut faults);
        if rearm_seconds.is_some_and(|it| !(LEAST_REARM..=LONGEST_REARM).contains(&it)) {
            let rule = format!("has to be a whole number from {LEAST_REARM} to {LONGEST_REARM}");
            faults.add("/rearm_seconds", rule);
        }
        let is_template = |it: &Value| it.as_str().is_some_and(|it| it.contains("{{"));
        for (name, _) in parameters.iter().filter(|it| is_template(it.1)) {
            let name = name.replace('~', "~0").replace('/', "~1");
            let rule = "is a template; an alert has no values for one";
            faults.add(&format!("/parameters/{name}"), rule);
        }
        match (condition, timing) {
            (Some(condition), Some(timing)) if faults.0.is_empty() => Ok(Self {
                condition,
                timing,
                notify,
                rearm: rearm_seconds.map(SignedDuration::from_secs),
            }),
            _ => Err(faults.0),
        }
    }
}

impl Notify {
    fn read(value: &Value, faults: &mut Faults) -> Self {
        let mut fields = Fields::of(value, "/notify", faults);
        let mut usually = |name| match fields.get(name) {
            None => true,
            Some(_) => fields.flag(name, faults),
        };
        let (owner, resolved) = (usually("owner"), usually("resolved"));
        let unknown = fields.flag("unknown", faults);
        let mut emails: Vec<Email> = Vec::new();
        for (pointer, it) in fields.list("emails", MOST_ADDRESSES, faults) {
            match it.as_str().map(Email::parse) {
                Some(Ok(email)) if !emails.contains(&email) => emails.push(email),
                Some(Ok(_)) => {}
                _ => faults.add(&pointer, "has to be an address like `ann@example.com`"),
            }
        }
        fields.end(faults);
        Self { owner, emails, resolved, unknown }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_number_that_may_have_been_rounded_is_refused_where_somebody_sends_it() {
        let read = |value: Value| {
            let condition =
                json!({ "type": "value", "column": "total", "is": "=", "value": value });
            let every = json!({ "every": "hour" });
            AlertRules::read(&condition, &every, &json!({}), None, &Map::new())
        };
        let refused = read(json!(1.234_567_890_123_456_7e19)).expect_err("rounded");
        assert_eq!(refused[0].pointer, "/condition/value");
        let stored = json!({ "type": "row_count", "is": ">", "value": 1e19 });
        let said = (&stored, &json!({ "every": "hour" }), &json!({}));
        let read_again = AlertRules::read_after(Faults::default(), said, None, &Map::new());
        assert!(read_again.is_ok(), "what was stored before is evaluated as it was");
        let exact = read(json!("12345678901234567890.12")).expect("read");
        let Condition::Value { value, .. } = exact.condition else { panic!("another condition") };
        assert_eq!(Some(value), crate::Decimal::parse("12345678901234567890.12"));
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let good = AlertRules::read(
            &json!({ "type": "value", "column": "total", "is": ">", "value": 3 }),
            &json!({ "every": "hour" }),
            &json!({ "emails": ["cy@example.com", "cy@example.com"] }),
            Some(3_600),
            &Map::new(),
        );
        let good = good.expect("read");
        assert!(good.notify.owner && good.notify.resolved && !good.notify.unknown);
        assert_eq!(good.notify.emails.len(), 1);
        let parameters = json!({ "of": "{{ webhook.x }}" });
        let wrong = AlertRules::read(
            &json!({ "type": "value", "step": "other", "is": "~", "value": 3 }),
            &json!({ "every": "hour", "misfire": "skip" }),
            &json!({ "emails": ["nobody"], "owner": 1, "slack": true }),
            Some(1),
            parameters.as_object().expect("an object"),
        );
        let pointers: Vec<_> = wrong.expect_err("wrong").into_iter().map(|it| it.pointer).collect();
        let expected = [
            "/condition/step",
            "/condition/column",
            "/condition/is",
            "/schedule/misfire",
            "/notify/owner",
            "/notify/emails/0",
            "/notify/slack",
            "/rearm_seconds",
            "/parameters/of",
        ];
        assert_eq!(pointers, expected);
    }
}
