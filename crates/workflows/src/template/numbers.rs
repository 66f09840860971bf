//! Arithmetic of templates: whole numbers stay whole as long as they fit, others are doubles.

use minijinja::value::ValueKind;
use minijinja::{Error, Value};

use super::meter::refused;

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

pub(super) fn negated(value: &Value) -> Result<Value, Error> {
    subtract(&Value::from(0), value)
}

pub(super) fn add(left: &Value, right: &Value) -> Result<Value, Error> {
    match pair("+", left, right)? {
        Pair::Whole(left, right) => kept("+", left.checked_add(right)),
        Pair::Real(left, right) => Ok((left + right).into()),
    }
}

pub(super) fn subtract(left: &Value, right: &Value) -> Result<Value, Error> {
    match pair("-", left, right)? {
        Pair::Whole(left, right) => kept("-", left.checked_sub(right)),
        Pair::Real(left, right) => Ok((left - right).into()),
    }
}

pub(super) fn multiply(left: &Value, right: &Value) -> Result<Value, Error> {
    match pair("*", left, right)? {
        Pair::Whole(left, right) => kept("*", left.checked_mul(right)),
        Pair::Real(left, right) => Ok((left * right).into()),
    }
}

pub(super) fn divide(left: &Value, right: &Value) -> Result<Value, Error> {
    pair("/", left, right)?;
    let (left, right) = (real(left).unwrap_or_default(), real(right).unwrap_or_default());
    Ok((left / right).into())
}

pub(super) fn divide_whole(left: &Value, right: &Value) -> Result<Value, Error> {
    match pair("//", left, right)? {
        Pair::Whole(left, right) => kept("//", left.checked_div_euclid(right)),
        Pair::Real(left, right) => Ok(left.div_euclid(right).into()),
    }
}

pub(super) fn remainder(left: &Value, right: &Value) -> Result<Value, Error> {
    match pair("%", left, right)? {
        Pair::Whole(left, right) => kept("%", left.checked_rem_euclid(right)),
        Pair::Real(left, right) => Ok((left % right).into()),
    }
}

pub(super) fn power(left: &Value, right: &Value) -> Result<Value, Error> {
    match pair("**", left, right)? {
        Pair::Whole(left, right) => {
            kept("**", u32::try_from(right).ok().and_then(|it| left.checked_pow(it)))
        }
        Pair::Real(left, right) => Ok(left.powf(right).into()),
    }
}
