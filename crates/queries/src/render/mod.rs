//! Rows as people and programs read them: JSON, CSV, a workbook, a Parquet file, a table for a terminal.
//!
//! Values come as Postgres prints them ([`RawRow`](crate::RawRow)), with the type of each column beside
//! ([`ResultColumn`](crate::ResultColumn)). [`ValueKind`] says what becomes of a type; [`JsonRows`], [`CsvRows`] and
//! [`format_table`] write. What they write straight into the caller's buffer is all that is allocated for a row.
//!
//! **Invariant:** whatever bytes a server sends, JSON that is written is valid JSON in UTF-8, and a number that is
//! written as a JSON number has the value that the server sent once it was read into a double and printed again.

mod array;
mod csv;
mod json;
mod kind;
mod number;
mod parquet;
mod table;
mod text;
mod type_name;
mod xlsx;

pub use csv::CsvRows;
pub use json::JsonRows;
pub use kind::{ElementKind, Shape, UserTypes, ValueKind};
pub use parquet::{ParquetFault, ParquetRows};
pub use table::{TableFormat, format_table};
pub use type_name::type_name;
pub use xlsx::{SheetError, XlsxRows};

#[cfg(test)]
mod testing {
    use crate::RawRow;

    /// A row as the server sends it.
    pub(super) fn row(values: &[Option<&[u8]>]) -> RawRow {
        let mut body = u16::try_from(values.len()).unwrap().to_be_bytes().to_vec();
        for value in values {
            let length = value.map_or(-1, |it| i32::try_from(it.len()).unwrap());
            body.extend(length.to_be_bytes());
            body.extend(value.unwrap_or_default());
        }
        RawRow::new(body.into()).unwrap()
    }
}
