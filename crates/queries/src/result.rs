use bytes::Bytes;
use serde::Serialize;

/// One column of a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ResultColumn {
    /// As the statement named it; not always unique.
    pub name: String,
    /// The type's oid, as the server described it (a domain's base type).
    #[serde(skip)]
    pub type_oid: u32,
    /// The type modifier, −1 if none: the length of `varchar(n)`, precision and scale of `numeric(p,s)`.
    #[serde(skip)]
    pub type_modifier: i32,
}

/// One row as the server sent it, values in Postgres's text format.
///
/// The bytes are the body of a `DataRow` message: a 16-bit count of values, then for each a 32-bit length (−1 for null)
/// and that many bytes. Keeping them as they came means that no value is copied before it is written out.
#[derive(Clone, Debug)]
pub struct RawRow(Bytes);

impl RawRow {
    /// Takes the body of a `DataRow` message; `None` if its lengths do not add up.
    pub fn new(body: Bytes) -> Option<Self> {
        let mut values = Values { left: &body, count: 0 };
        let count = u16::from_be_bytes(values.split(2)?.try_into().ok()?);
        for _ in 0..count {
            let length = i32::from_be_bytes(values.split(4)?.try_into().ok()?);
            if let Ok(length) = usize::try_from(length) {
                values.split(length)?;
            }
        }
        values.left.is_empty().then_some(Self(body))
    }

    /// The values in order, `None` for null.
    pub fn values(&self) -> Values<'_> {
        let count = u16::from_be_bytes([self.0[0], self.0[1]]);
        Values { left: &self.0[2..], count }
    }

    /// Whether all of its values are UTF-8, as they should be: what a database took in unchecked it gives out unchecked.
    pub fn is_utf8(&self) -> bool {
        self.values().flatten().all(|it| std::str::from_utf8(it).is_ok())
    }

    /// The body as it came.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Takes the body of a row that was one already.
    pub(crate) fn same(body: Bytes) -> Self {
        Self(body)
    }

    /// How many bytes it takes.
    pub fn size_bytes(&self) -> usize {
        self.0.len()
    }
}

/// The values of a row.
#[derive(Clone, Debug)]
pub struct Values<'a> {
    left: &'a [u8],
    count: u16,
}

impl<'a> Values<'a> {
    fn split(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, left) = self.left.split_at_checked(length)?;
        self.left = left;
        Some(taken)
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = Option<&'a [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        self.count = self.count.checked_sub(1)?;
        let length = i32::from_be_bytes(self.split(4)?.try_into().ok()?);
        match usize::try_from(length) {
            Ok(length) => self.split(length).map(Some),
            Err(_) => Some(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn body(values: &[Option<Vec<u8>>]) -> Bytes {
        let mut body = u16::try_from(values.len()).unwrap().to_be_bytes().to_vec();
        for value in values {
            match value {
                None => body.extend((-1i32).to_be_bytes()),
                Some(it) => {
                    body.extend(i32::try_from(it.len()).unwrap().to_be_bytes());
                    body.extend(it);
                }
            }
        }
        body.into()
    }

    proptest! {
        #[test]
        fn values_come_back_as_they_were_sent(values: Vec<Option<Vec<u8>>>) {
            let row = RawRow::new(body(&values)).unwrap();
            let read: Vec<_> = row.values().map(|it| it.map(<[u8]>::to_vec)).collect();
            prop_assert_eq!(read, values);
        }

        #[test]
        fn bytes_that_do_not_add_up_are_no_row(bytes: Vec<u8>) {
            if let Some(row) = RawRow::new(bytes.into()) {
                row.values().for_each(drop);
            }
        }
    }
}
