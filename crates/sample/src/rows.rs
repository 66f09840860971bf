//! Rows in the text format of COPY.

use std::fmt::Write;

use bytes::{Bytes, BytesMut};

use crate::calendar::{Calendar, DAY, Day, Seconds, day_of};

/// Collects rows until somebody takes them to the server.
pub(crate) struct Rows<'a> {
    calendar: &'a Calendar,
    bytes: BytesMut,
    at_start: bool,
    count: u64,
}

impl<'a> Rows<'a> {
    pub(crate) fn new(calendar: &'a Calendar) -> Self {
        Self { calendar, bytes: BytesMut::new(), at_start: true, count: 0 }
    }

    /// Rows written since the beginning, those already taken included.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Bytes that wait to be taken.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn take(&mut self) -> Bytes {
        self.bytes.split().freeze()
    }

    fn field(&mut self) -> &mut BytesMut {
        if !self.at_start {
            self.bytes.extend_from_slice(b"\t");
        }
        self.at_start = false;
        &mut self.bytes
    }

    pub(crate) fn text(&mut self, value: &str) -> &mut Self {
        let bytes = self.field();
        let mut rest = value;
        while let Some(place) = rest.find(['\\', '\t', '\n', '\r']) {
            let (before, special) = rest.split_at(place);
            bytes.extend_from_slice(before.as_bytes());
            bytes.extend_from_slice(match special.as_bytes()[0] {
                b'\t' => b"\\t",
                b'\n' => b"\\n",
                b'\r' => b"\\r",
                _ => b"\\\\",
            });
            rest = &special[1..];
        }
        bytes.extend_from_slice(rest.as_bytes());
        self
    }

    pub(crate) fn number(&mut self, value: impl Into<i64>) -> &mut Self {
        // Writing to a growing buffer does not fail.
        let _ = write!(self.field(), "{}", value.into());
        self
    }

    pub(crate) fn money(&mut self, cents: i64) -> &mut Self {
        let _ = write!(self.field(), "{}.{:02}", cents / 100, cents % 100);
        self
    }

    pub(crate) fn flag(&mut self, value: bool) -> &mut Self {
        self.field().extend_from_slice(if value { b"t" } else { b"f" });
        self
    }

    pub(crate) fn date(&mut self, day: Day) -> &mut Self {
        let label = self.calendar.label(day);
        self.field().extend_from_slice(label);
        self
    }

    pub(crate) fn time(&mut self, at: Seconds) -> &mut Self {
        let label = self.calendar.label(day_of(at));
        let second = at.rem_euclid(DAY);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        let bytes = self.field();
        bytes.extend_from_slice(label);
        let _ = write!(bytes, " {hour:02}:{minute:02}:{second:02}+00");
        self
    }

    pub(crate) fn null(&mut self) -> &mut Self {
        self.field().extend_from_slice(b"\\N");
        self
    }

    /// Writes the value with the method given, or NULL.
    pub(crate) fn maybe<T>(
        &mut self,
        value: Option<T>,
        write: impl FnOnce(&mut Self, T) -> &mut Self,
    ) -> &mut Self {
        match value {
            Some(value) => write(self, value),
            None => self.null(),
        }
    }

    pub(crate) fn end(&mut self) {
        self.bytes.extend_from_slice(b"\n");
        self.at_start = true;
        self.count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_copy_reads_them() {
        let calendar = Calendar::new("2026-11-20T10:00:00Z".parse().unwrap()).unwrap();
        let mut rows = Rows::new(&calendar);
        rows.text("a\tb\\c\nd\r")
            .number(-5)
            .money(1205)
            .flag(true)
            .date(0)
            .time(DAY + 3661)
            .null()
            .end();
        rows.maybe(Some("x"), Rows::text).maybe(None::<i64>, Rows::number).end();
        assert_eq!(rows.count(), 2);
        assert_eq!(
            rows.take(),
            "a\\tb\\\\c\\nd\\r\t-5\t12.05\tt\t1970-01-01\t1970-01-02 01:01:01+00\t\\N\nx\t\\N\n"
        );
        assert_eq!(rows.size(), 0);
    }
}
