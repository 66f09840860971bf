//! "And the month before?": the same span of time, so much earlier or later.

use jiff::{Span, ToSpan as _, civil::Date};

use super::{
    Changed, Doubt, Talk,
    edit::{Edit, is_nested, says_when},
};
use crate::logical::{Comparison, Expr, Literal, Moment, Predicate, TimeUnit};

/// So many units of time; without a unit as long as the span itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) unit: Option<TimeUnit>,
    pub(super) steps: i64,
}

impl Talk<'_> {
    /// The last answer of another time that lies so far from its own.
    pub(super) fn shifted(&self, step: Step) -> Result<Changed, Doubt> {
        let past = &self.past.query;
        let unclear = || Doubt::new("Before or after when? The last answer is not about one time.");
        if is_nested(past) {
            return Err(unclear());
        }
        let mut moved = 0;
        let filter: Option<Vec<Predicate>> = past
            .filter
            .iter()
            .map(|it| {
                if !says_when(self.index, it) {
                    return Some(it.clone());
                }
                moved += 1;
                condition(it, step)
            })
            .collect();
        match filter {
            Some(filter) if moved == 1 => Ok(self.edited([Edit::Conditions(filter)])),
            _ => Err(unclear()),
        }
    }
}

/// A condition on when, moved.
fn condition(it: &Predicate, step: Step) -> Option<Predicate> {
    match it {
        Predicate::During { moment, from, until } => {
            let step = match step.unit {
                Some(unit) => (unit, step.steps),
                None => length(from.as_ref()?, until.as_ref())
                    .map(|(unit, by)| (unit, by * step.steps))?,
            };
            let end = match until {
                Some(until) => Some(moved(until, step)?),
                // what goes on until now ends where it begins
                None if step.1 < 0 => from.clone(),
                None => return None,
            };
            let from = match from {
                Some(from) => Some(moved(from, step)?),
                None => None,
            };
            Some(Predicate::During { moment: moment.clone(), from, until: end })
        }
        Predicate::Compare(
            part @ Expr::Part("year", _),
            Comparison::Equal,
            Expr::Literal(Literal::Number(year)),
        ) if matches!(step.unit, None | Some(TimeUnit::Year)) => {
            #[expect(clippy::cast_precision_loss, reason = "a few years")]
            let year = year + step.steps as f64;
            Some(Predicate::Compare(
                part.clone(),
                Comparison::Equal,
                Expr::Literal(Literal::Number(year)),
            ))
        }
        _ => None,
    }
}

/// How long a span is.
fn length(from: &Moment, until: Option<&Moment>) -> Option<(TimeUnit, i64)> {
    match (from, until) {
        (Moment::Start(unit, from), Some(Moment::Start(same, until))) if unit == same => {
            Some((*unit, until - from))
        }
        (Moment::Now(unit, from), None | Some(Moment::Now(_, 0))) => Some((*unit, -from)),
        (Moment::Day(from), Some(Moment::Day(until))) => {
            let months = |it: &Date| i64::from(it.year()) * 12 + i64::from(it.month());
            if from.day() == 1 && until.day() == 1 {
                return Some((TimeUnit::Month, months(until) - months(from)));
            }
            let days = from.until(*until).ok()?.get_days();
            Some((TimeUnit::Day, i64::from(days)))
        }
        _ => None,
    }
    .filter(|it| it.1 > 0)
}

/// A moment, moved; `None` where a unit is no whole number of the other.
fn moved(it: &Moment, (unit, steps): (TimeUnit, i64)) -> Option<Moment> {
    Some(match it {
        Moment::Day(day) => Moment::Day(day.checked_add(span(unit, steps)?).ok()?),
        Moment::Start(own, at) => Moment::Start(*own, at + steps * within(unit, *own)?),
        Moment::Now(own, at) => match within(unit, *own) {
            Some(times) => Moment::Now(*own, at + steps * times),
            None if *at == 0 => Moment::Now(unit, steps),
            None => return None,
        },
    })
}

/// How many of the smaller unit make one of the larger.
fn within(unit: TimeUnit, own: TimeUnit) -> Option<i64> {
    use TimeUnit::{Day, Hour, Month, Quarter, Week, Year};
    Some(match (unit, own) {
        (a, b) if a == b => 1,
        (Year, Month) => 12,
        (Year, Quarter) => 4,
        (Quarter, Month) => 3,
        (Week, Day) => 7,
        (Day, Hour) => 24,
        (Week, Hour) => 168,
        _ => return None,
    })
}

fn span(unit: TimeUnit, steps: i64) -> Option<Span> {
    // no calendar has more
    if steps.abs() > 100_000 {
        return None;
    }
    Some(match unit {
        TimeUnit::Hour => return None,
        TimeUnit::Day => steps.days(),
        TimeUnit::Week => steps.weeks(),
        TimeUnit::Month => steps.months(),
        TimeUnit::Quarter => (steps * 3).months(),
        TimeUnit::Year => {
            if steps.abs() > 9_000 {
                return None;
            }
            steps.years()
        }
    })
}
