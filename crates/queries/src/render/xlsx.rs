use std::fs::File;
use std::io::{Seek as _, SeekFrom};

use jiff::civil::{Date, DateTime};
use plinth_core::{Classify, ErrorKind};
use rust_xlsxwriter::{Format, Workbook, Worksheet, XlsxError};
use serde_json::{Value, json};

use super::csv::is_formula;
use super::json::distinct_names;
use super::kind::{UserTypes, ValueKind};
use super::text::{utf8, write_timestamp};
use crate::{RawRow, ResultColumn};

/// The oid of `date`, and of `timestamp` without a time zone (`pg_type.dat`).
const DATE: u32 = 1082;
const TIMESTAMP: u32 = 1114;

/// The longest text of a cell, in UTF-16 units, and the most lines of a sheet.
const CELL_UNITS: usize = 32_767;
const SHEET_ROWS: u32 = 1_048_576;

/// More digits than these a spreadsheet does not keep.
const DIGITS: usize = 15;

/// Writes rows as an Office Open XML workbook of one sheet.
///
/// Rows go to a temporary file as they come, so that memory does not grow with them. Text is text, whatever it begins with:
/// no cell is a formula, and what would become one by being typed in again is marked as text. Numbers with more digits than a
/// spreadsheet keeps are text too, and so are moments with an offset, which it has no type for.
pub struct XlsxRows {
    workbook: Workbook,
    columns: Vec<(ValueKind, u32)>,
    next: u32,
    date: Format,
    moment: Format,
    quoted: Format,
    scratch: Vec<u8>,
}

/// Why a result does not fit into a sheet.
#[derive(Debug, thiserror::Error)]
pub enum SheetError {
    /// More rows than a sheet has.
    #[error("a sheet holds at most 1048575 rows; select fewer, or export as csv, json or ndjson")]
    TooManyRows,
    /// A text that is longer than a cell takes.
    #[error(
        "a cell holds at most 32767 characters; select shorter texts, or export as csv, json or ndjson"
    )]
    TooLong,
    /// The file could not be written.
    #[error("the workbook could not be written")]
    File(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<XlsxError> for SheetError {
    fn from(err: XlsxError) -> Self {
        match err {
            XlsxError::RowColumnLimitError => Self::TooManyRows,
            XlsxError::MaxStringLengthExceeded => Self::TooLong,
            err => Self::File(err.into()),
        }
    }
}

impl Classify for SheetError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::TooManyRows | Self::TooLong => ErrorKind::Invalid,
            Self::File(_) => ErrorKind::Internal,
        }
    }

    fn details(&self) -> Option<Value> {
        match self {
            Self::TooManyRows | Self::TooLong => Some(json!({ "format": self.to_string() })),
            Self::File(_) => None,
        }
    }
}

impl XlsxRows {
    /// A writer for rows of these columns, whose names are the first line.
    ///
    /// # Errors
    ///
    /// [`SheetError`]; nothing is left on the disk.
    pub fn new(columns: &[ResultColumn], types: &UserTypes) -> Result<Self, SheetError> {
        let mut workbook = Workbook::new();
        let bold = Format::new().set_bold();
        let sheet = workbook.add_worksheet_with_constant_memory()?;
        sheet.set_name("Result")?;
        sheet.set_freeze_panes(1, 0)?;
        for (name, at) in distinct_names(columns).iter().zip(0..) {
            sheet.write_string_with_format(0, at, cell(name)?, &bold)?;
        }
        Ok(Self {
            workbook,
            columns: columns
                .iter()
                .map(|it| (ValueKind::of(it.type_oid, types), it.type_oid))
                .collect(),
            next: 1,
            date: Format::new().set_num_format("yyyy-mm-dd"),
            moment: Format::new().set_num_format("yyyy-mm-dd hh:mm:ss"),
            quoted: Format::new().set_quote_prefix(),
            scratch: Vec::new(),
        })
    }

    /// Adds a row.
    ///
    /// # Errors
    ///
    /// [`SheetError`]; then the workbook is of no use any more.
    pub fn write(&mut self, row: &RawRow) -> Result<(), SheetError> {
        if self.next >= SHEET_ROWS {
            return Err(SheetError::TooManyRows);
        }
        let line = self.next;
        self.next += 1;
        let sheet = self.workbook.worksheet_from_index(0)?;
        for ((value, (kind, oid)), at) in row.values().zip(&self.columns).zip(0..) {
            let Some(value) = value else { continue };
            let text = utf8(value);
            match (kind, text.as_ref()) {
                (ValueKind::Boolean, "t" | "f") => {
                    sheet.write_boolean(line, at, text == "t")?;
                    continue;
                }
                (ValueKind::Integer | ValueKind::Float | ValueKind::Numeric, text) => {
                    if let Some(number) = number(text) {
                        sheet.write_number(line, at, number)?;
                        continue;
                    }
                }
                (_, text) if *oid == DATE => {
                    if let Some(date) = date(text) {
                        sheet.write_datetime_with_format(line, at, date, &self.date)?;
                        continue;
                    }
                }
                (_, text) if *oid == TIMESTAMP => {
                    if let Some(moment) = moment(text) {
                        sheet.write_datetime_with_format(line, at, moment, &self.moment)?;
                        continue;
                    }
                }
                _ => {}
            }
            if *kind == ValueKind::Timestamp {
                self.scratch.clear();
                write_timestamp(value, &mut self.scratch);
                let text = utf8(&self.scratch);
                put(sheet, (line, at), text.trim_matches('"'), &self.quoted)?;
            } else {
                put(sheet, (line, at), &text, &self.quoted)?;
            }
        }
        Ok(())
    }

    /// The whole workbook, as a file without a name that goes when it is closed, and its size in bytes.
    ///
    /// # Errors
    ///
    /// [`SheetError::File`] if the disk is full, say; nothing is left on it.
    pub fn finish(mut self) -> Result<(File, u64), SheetError> {
        let failed = |err: std::io::Error| SheetError::File(err.into());
        let mut file = tempfile::tempfile().map_err(failed)?;
        let writer = std::io::BufWriter::new(file.try_clone().map_err(failed)?);
        self.workbook.save_to_writer(writer)?;
        let size = file.seek(SeekFrom::End(0)).map_err(failed)?;
        file.rewind().map_err(failed)?;
        Ok((file, size))
    }
}

fn put(
    sheet: &mut Worksheet,
    (line, at): (u32, u16),
    text: &str,
    quoted: &Format,
) -> Result<(), SheetError> {
    let text = cell(text)?;
    if is_formula(&text) {
        sheet.write_string_with_format(line, at, text, quoted)?;
    } else if !text.is_empty() {
        sheet.write_string(line, at, text)?;
    }
    Ok(())
}

/// A text that XML can hold, if it is not too long for a cell.
fn cell(text: &str) -> Result<String, SheetError> {
    // A sign takes at least as many bytes as UTF-16 units.
    if text.len() > CELL_UNITS && text.encode_utf16().count() > CELL_UNITS {
        return Err(SheetError::TooLong);
    }
    Ok(text.replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}"))
}

/// A number that a spreadsheet keeps as it is.
fn number(text: &str) -> Option<f64> {
    let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
    let digits = mantissa.bytes().filter(u8::is_ascii_digit).skip_while(|it| *it == b'0').count();
    if digits > DIGITS {
        return None;
    }
    text.parse().ok().filter(|it: &f64| it.is_finite())
}

fn date(text: &str) -> Option<Date> {
    text.parse().ok().filter(|it: &Date| (1900..=9999).contains(&it.year()) && text.len() == 10)
}

/// A moment of whole milliseconds: more a spreadsheet does not keep.
fn moment(text: &str) -> Option<DateTime> {
    let moment: DateTime = text.parse().ok()?;
    let fits =
        (1900..=9999).contains(&moment.year()) && moment.subsec_nanosecond() % 1_000_000 == 0;
    fits.then_some(moment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_spreadsheet_keeps_is_a_number_or_a_date() {
        assert_eq!(number("-12.50"), Some(-12.5));
        assert_eq!(number("0.000000123456789012345"), Some(0.000_000_123_456_789_012_345));
        assert_eq!(number("1234567890123456"), None, "sixteen digits");
        assert_eq!(number("NaN"), None);
        assert_eq!(number("Infinity"), None);
        assert!(date("2026-01-31").is_some() && date("0044-03-15 BC").is_none());
        assert!(date("1899-12-31").is_none() && date("infinity").is_none());
        assert!(moment("2026-01-31 12:00:00.125").is_some());
        assert!(moment("2026-01-31 12:00:00.000001").is_none());
    }

    #[test]
    fn a_text_that_is_too_long_for_a_cell_is_refused_and_not_cut() {
        assert!(cell(&"é".repeat(CELL_UNITS)).is_ok());
        assert!(matches!(cell(&"x".repeat(CELL_UNITS + 1)), Err(SheetError::TooLong)));
    }
}
