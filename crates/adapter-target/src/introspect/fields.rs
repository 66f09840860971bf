use std::borrow::Cow;
use std::str::FromStr;

use plinth_queries::{RawRow, Values};

/// A row of the catalogs that is not what was asked for: the server is not a Postgres, or not one that we know.
#[derive(Debug, thiserror::Error)]
#[error("a row of the catalogs could not be read")]
pub(super) struct Unreadable;

/// The values of one row, one after the other.
pub(super) struct Fields<'a>(Values<'a>);

impl<'a> Fields<'a> {
    pub(super) fn of(row: &'a RawRow) -> Self {
        Self(row.values())
    }

    fn bytes(&mut self) -> Result<Option<&'a [u8]>, Unreadable> {
        self.0.next().ok_or(Unreadable)
    }

    /// A text that may be null.
    pub(super) fn optional_text(&mut self) -> Result<Option<Cow<'a, str>>, Unreadable> {
        // Names in a database without an encoding can be anything; those that are not UTF-8 cannot be asked for.
        Ok(self.bytes()?.map(String::from_utf8_lossy))
    }

    pub(super) fn text(&mut self) -> Result<Cow<'a, str>, Unreadable> {
        self.optional_text()?.ok_or(Unreadable)
    }

    pub(super) fn owned(&mut self) -> Result<String, Unreadable> {
        Ok(self.text()?.into_owned())
    }

    /// A name. Servers keep 63 bytes of one, at most what they were built for; it is copied to wherever it is used.
    pub(super) fn name(&mut self) -> Result<String, Unreadable> {
        const LONGEST: usize = 1_024;
        let name = self.owned()?;
        if name.len() > LONGEST { Err(Unreadable) } else { Ok(name) }
    }

    pub(super) fn number<T: FromStr>(&mut self) -> Result<T, Unreadable> {
        self.optional_number()?.ok_or(Unreadable)
    }

    /// A number that may be null.
    pub(super) fn optional_number<T: FromStr>(&mut self) -> Result<Option<T>, Unreadable> {
        let Some(bytes) = self.bytes()? else { return Ok(None) };
        let number = std::str::from_utf8(bytes).ok().and_then(|it| it.parse().ok());
        number.map(Some).ok_or(Unreadable)
    }

    pub(super) fn optional_flag(&mut self) -> Result<Option<bool>, Unreadable> {
        match self.bytes()? {
            None => Ok(None),
            Some(b"t") => Ok(Some(true)),
            Some(b"f") => Ok(Some(false)),
            Some(_) => Err(Unreadable),
        }
    }

    /// A boolean. Functions about privileges answer null for what was dropped a moment ago: `false`.
    pub(super) fn flag(&mut self) -> Result<bool, Unreadable> {
        Ok(self.optional_flag()?.unwrap_or(false))
    }

    /// A value of the type `"char"`: one byte.
    pub(super) fn letter(&mut self) -> Result<char, Unreadable> {
        self.optional_letter()?.ok_or(Unreadable)
    }

    /// A letter that may be null.
    pub(super) fn optional_letter(&mut self) -> Result<Option<char>, Unreadable> {
        match self.bytes()? {
            None => Ok(None),
            Some([byte]) => Ok(Some(char::from(*byte))),
            Some(_) => Err(Unreadable),
        }
    }

    /// An array or vector of numbers: `{1,2}`, `1 2`; null is an empty one.
    pub(super) fn numbers<T: FromStr>(&mut self) -> Result<Vec<T>, Unreadable> {
        let text = self.optional_text()?.unwrap_or_default();
        text.split(['{', '}', ',', ' '])
            .filter(|it| !it.is_empty())
            .map(|it| it.parse().map_err(|_| Unreadable))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[Option<&str>]) -> RawRow {
        let mut body = u16::try_from(values.len()).unwrap().to_be_bytes().to_vec();
        for value in values {
            body.extend(value.map_or(-1, |it| i32::try_from(it.len()).unwrap()).to_be_bytes());
            body.extend(value.unwrap_or_default().as_bytes());
        }
        RawRow::new(body.into()).unwrap()
    }

    #[test]
    fn values_are_read_in_order() {
        let row =
            row(&[Some("16384"), Some("t"), None, Some("{1,2}"), Some("1 0 3"), None, Some("r")]);
        let mut fields = Fields::of(&row);
        assert_eq!(fields.number::<u32>().unwrap(), 16_384);
        assert!(fields.flag().unwrap());
        assert!(!fields.flag().unwrap());
        assert_eq!(fields.numbers::<i16>().unwrap(), [1, 2]);
        assert_eq!(fields.numbers::<i16>().unwrap(), [1, 0, 3]);
        assert!(fields.numbers::<i16>().unwrap().is_empty());
        assert_eq!(fields.letter().unwrap(), 'r');
        assert!(fields.text().is_err());
    }
}
