//! Arithmetic of templates: whole numbers stay whole as long as they fit, others are doubles. Sums, differences and products of
//! what people write are theirs: three times 19.90 is 59.7, and not 59.699999999999996.

use minijinja::value::ValueKind;
use minijinja::{Error, Value};

use super::meter::refused;
use crate::decimal::Decimal;

enum Pair {
    Whole(i128, i128),
    Real(f64, f64),
}

fn whole(value: &Value) -> Option<i128> {
    let is_whole = value.is_integer() || value.kind() == ValueKind::Bool;
    is_whole.then(|| i128::try_from(value.clone()).ok())?
}

fn real(value: &Value) -> Option<f64> {
    match value.kind() {
        ValueKind::Number => f64::try_from(value.clone()).ok(),
        ValueKind::Bool => Some(f64::from(u8::from(value.is_true()))),
        _ => None,
    }
}

fn pair(sign: &str, left: &Value, right: &Value) -> Result<Pair, Error> {
    if let (Some(left), Some(right)) = (whole(left), whole(right)) {
        return Ok(Pair::Whole(left, right));
    }
    if let (Some(left), Some(right)) = (real(left), real(right)) {
        return Ok(Pair::Real(left, right));
    }
    let (left, right) = (left.kind(), right.kind());
    Err(refused(format!("cannot calculate {left} {sign} {right}")))
}

fn kept(sign: &str, whole: Option<i128>) -> Result<Value, Error> {
    let whole = whole.ok_or_else(|| refused(format!("`{sign}` has no result here")))?;
    Ok(i64::try_from(whole).map_or_else(|_| whole.into(), Value::from))
}

/// A number that came as a text, as what is nearest to it: a whole one to its last digit, else a double. `None` where a
/// double would be another number than people read: beyond 2^53 its neighbours are more than one away.
pub(super) fn nearest(text: &str) -> Option<Value> {
    Decimal::parse(text)?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.bytes().all(|it| it == b'0') {
        return whole.parse::<i128>().ok().map(Value::from);
    }
    let double: f64 = text.parse().ok()?;
    (double.abs() <= 9_007_199_254_740_992.0).then(|| double.into())
}

/// Between which sizes a double is reckoned with as the decimal that it is written as. Others come from measurements and not
/// from prices, and have more digits than are worth it.
const WRITTEN: std::ops::Range<f64> = 1e-9..1e15;

/// What comes of two doubles by their decimals, if both are of a size that is written, else by themselves.
fn written(
    [left, right]: [f64; 2],
    by_decimals: impl Fn(&Decimal, &Decimal) -> Decimal,
    by_doubles: f64,
) -> Result<Value, Error> {
    let decimal = |it: f64| {
        let is_written = it == 0.0 || WRITTEN.contains(&it.abs());
        is_written.then(|| Decimal::parse(&it.to_string())).flatten()
    };
    let made = decimal(left).zip(decimal(right)).and_then(|it| by_decimals(&it.0, &it.1).nearest());
    finite(made.unwrap_or(by_doubles))
}

fn finite(it: f64) -> Result<Value, Error> {
    if it.is_finite() { Ok(it.into()) } else { Err(refused("calculates what is no number")) }
}

pub(super) fn negated(value: &Value) -> Result<Value, Error> {
    subtract(&Value::from(0), value)
}

pub(super) fn add(left: &Value, right: &Value) -> Result<Value, Error> {
    match pair("+", left, right)? {
        Pair::Whole(left, right) => kept("+", left.checked_add(right)),
        Pair::Real(left, right) => written([left, right], Decimal::plus, left + right),
    }
}

pub(super) fn subtract(left: &Value, right: &Value) -> Result<Value, Error> {
    match pair("-", left, right)? {
        Pair::Whole(left, right) => kept("-", left.checked_sub(right)),
        Pair::Real(left, right) => written([left, right], Decimal::minus, left - right),
    }
}

pub(super) fn multiply(left: &Value, right: &Value) -> Result<Value, Error> {
    match pair("*", left, right)? {
        Pair::Whole(left, right) => kept("*", left.checked_mul(right)),
        Pair::Real(left, right) => written([left, right], Decimal::times, left * right),
    }
}

pub(super) fn divide(left: &Value, right: &Value) -> Result<Value, Error> {
    pair("/", left, right)?;
    let (left, right) = (real(left).unwrap_or_default(), real(right).unwrap_or_default());
    finite(left / right)
}

pub(super) fn divide_whole(left: &Value, right: &Value) -> Result<Value, Error> {
    match pair("//", left, right)? {
        Pair::Whole(left, right) => kept("//", left.checked_div_euclid(right)),
        Pair::Real(left, right) => finite(left.div_euclid(right)),
    }
}

pub(super) fn remainder(left: &Value, right: &Value) -> Result<Value, Error> {
    match pair("%", left, right)? {
        Pair::Whole(left, right) => kept("%", left.checked_rem_euclid(right)),
        Pair::Real(left, right) => finite(left % right),
    }
}

pub(super) fn power(left: &Value, right: &Value) -> Result<Value, Error> {
    match pair("**", left, right)? {
        Pair::Whole(left, right) => {
            kept("**", u32::try_from(right).ok().and_then(|it| left.checked_pow(it)))
        }
        Pair::Real(left, right) => finite(left.powf(right)),
    }
}
