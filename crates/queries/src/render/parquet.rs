use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DataType, DoubleType, FixedLenByteArray,
    FixedLenByteArrayType, FloatType, Int32Type, Int64Type,
};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::{Type, TypePtr};
use plinth_core::{Classify, ErrorKind};
use serde_json::{Value, json};

use super::json::distinct_names;
use super::text::utf8;
use crate::{RawRow, ResultColumn};

/// Rows and bytes after which what has been gathered is written.
const GROUP_ROWS: usize = 100_000;
const GROUP_BYTES: usize = 16 << 20;

/// The most digits of a decimal: those of 128 bits.
const DIGITS: i32 = 38;

const DAY_US: i64 = 86_400_000_000;

/// Writes rows as a Parquet file.
///
/// Types keep what they mean: integers, doubles, booleans, bytes, `numeric(p,s)` of at most 38 digits, dates, times, moments with
/// and without a zone (in microseconds), UUIDs. All else is text, with every digit: also a `numeric` without a scale, whose
/// decimals may have any. What is written can be taken after every row; the file is one only with its end.
pub struct ParquetRows {
    writer: SerializedFileWriter<Sink>,
    sink: Sink,
    columns: Vec<Column>,
    rows: usize,
    bytes: usize,
}

/// Why a result does not become a Parquet file.
#[derive(Debug, thiserror::Error)]
pub enum ParquetFault {
    /// A value that the column's type has no place for there: infinity, `NaN` as a decimal, 24 o'clock.
    #[error(
        "`{column}` has a value that parquet has no place for, like infinity; select it as text"
    )]
    Unfit {
        /// The column's name.
        column: String,
    },
    /// Nothing to write.
    #[error("a parquet file needs a column")]
    NoColumns,
    /// The file could not be written.
    #[error("the file could not be written")]
    File(#[from] ParquetError),
}

impl Classify for ParquetFault {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Unfit { .. } | Self::NoColumns => ErrorKind::Invalid,
            Self::File(_) => ErrorKind::Internal,
        }
    }

    fn details(&self) -> Option<Value> {
        match self {
            Self::Unfit { .. } | Self::NoColumns => Some(json!({ "format": self.to_string() })),
            Self::File(_) => None,
        }
    }
}

/// What has been written and not taken.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Sink {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

struct Column {
    name: String,
    kind: Kind,
    cells: Cells,
    /// For each row 1, or 0 for null.
    levels: Vec<i16>,
}

/// What a column's values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Small,
    Integer,
    Big,
    Oid,
    Real,
    Double,
    Boolean,
    Decimal { precision: i32, scale: i32 },
    Date,
    Time,
    Moment,
    Instant,
    Uuid,
    Bytes,
    Text,
}

enum Cells {
    Boolean(Vec<bool>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Real(Vec<f32>),
    Double(Vec<f64>),
    Bytes(Vec<ByteArray>),
    Fixed(Vec<FixedLenByteArray>),
}

impl ParquetRows {
    /// A writer for rows of these columns.
    ///
    /// # Errors
    ///
    /// [`ParquetFault::NoColumns`].
    pub fn new(columns: &[ResultColumn]) -> Result<Self, ParquetFault> {
        if columns.is_empty() {
            return Err(ParquetFault::NoColumns);
        }
        let column = |(it, name): (&ResultColumn, String)| {
            let kind = Kind::of(it.type_oid, it.type_modifier);
            Column { name, kind, cells: kind.cells(), levels: Vec::new() }
        };
        let columns: Vec<_> = columns.iter().zip(distinct_names(columns)).map(column).collect();
        let fields: Result<Vec<TypePtr>, _> = columns
            .iter()
            .map(|it| Ok::<_, ParquetError>(Arc::new(it.kind.field(&it.name)?)))
            .collect();
        let schema = Type::group_type_builder("result").with_fields(fields?).build()?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_created_by("plinth".to_owned())
            .build();
        let sink = Sink::default();
        let writer =
            SerializedFileWriter::new(sink.clone(), Arc::new(schema), Arc::new(properties))?;
        Ok(Self { writer, sink, columns, rows: 0, bytes: 0 })
    }

    /// Adds a row.
    ///
    /// # Errors
    ///
    /// [`ParquetFault`]; then the file is of no use any more.
    pub fn write(&mut self, row: &RawRow) -> Result<(), ParquetFault> {
        for (value, column) in row.values().zip(&mut self.columns) {
            column.levels.push(i16::from(value.is_some()));
            let Some(value) = value else { continue };
            if column.kind.put(value, &mut column.cells).is_none() {
                return Err(ParquetFault::Unfit { column: column.name.clone() });
            }
        }
        self.rows += 1;
        self.bytes += row.size_bytes();
        if self.rows >= GROUP_ROWS || self.bytes >= GROUP_BYTES {
            self.write_group()?;
        }
        Ok(())
    }

    /// What has been written since it was last taken.
    ///
    /// # Errors
    ///
    /// [`ParquetFault::File`].
    pub fn take(&mut self) -> Result<Vec<u8>, ParquetFault> {
        self.writer.flush().map_err(ParquetError::from)?;
        Ok(self.sink.take())
    }

    /// The rest of the file, with its end.
    ///
    /// # Errors
    ///
    /// [`ParquetFault::File`].
    pub fn finish(mut self) -> Result<Vec<u8>, ParquetFault> {
        if self.rows > 0 {
            self.write_group()?;
        }
        self.writer.close()?;
        Ok(self.sink.take())
    }

    fn write_group(&mut self) -> Result<(), ParquetFault> {
        (self.rows, self.bytes) = (0, 0);
        let mut group = self.writer.next_row_group()?;
        for column in &mut self.columns {
            let Some(mut writer) = group.next_column()? else { break };
            let levels = &column.levels;
            match &mut column.cells {
                Cells::Boolean(it) => put::<BoolType>(&mut writer, it, levels),
                Cells::Int32(it) => put::<Int32Type>(&mut writer, it, levels),
                Cells::Int64(it) => put::<Int64Type>(&mut writer, it, levels),
                Cells::Real(it) => put::<FloatType>(&mut writer, it, levels),
                Cells::Double(it) => put::<DoubleType>(&mut writer, it, levels),
                Cells::Bytes(it) => put::<ByteArrayType>(&mut writer, it, levels),
                Cells::Fixed(it) => put::<FixedLenByteArrayType>(&mut writer, it, levels),
            }?;
            writer.close()?;
            column.levels.clear();
        }
        group.close()?;
        Ok(())
    }
}

fn put<T: DataType>(
    writer: &mut SerializedColumnWriter<'_>,
    values: &mut Vec<T::T>,
    levels: &[i16],
) -> Result<(), ParquetError> {
    writer.typed::<T>().write_batch(values, Some(levels), None)?;
    values.clear();
    Ok(())
}

impl Kind {
    /// From a type's oid (`pg_type.dat`) and modifier. A domain never comes here: the server describes its base type.
    fn of(type_oid: u32, modifier: i32) -> Self {
        match type_oid {
            16 => Self::Boolean,
            17 => Self::Bytes,
            20 => Self::Big,
            21 => Self::Small,
            23 => Self::Integer,
            26 => Self::Oid,
            700 => Self::Real,
            701 => Self::Double,
            1082 => Self::Date,
            1083 => Self::Time,
            1114 => Self::Moment,
            1184 => Self::Instant,
            1700 => Self::decimal(modifier).unwrap_or(Self::Text),
            2950 => Self::Uuid,
            _ => Self::Text,
        }
    }

    /// A `numeric` with precision and scale, as its modifier says them.
    fn decimal(modifier: i32) -> Option<Self> {
        let packed = modifier.checked_sub(4).filter(|it| *it >= 0)?;
        let precision = (packed >> 16) & 0xffff;
        // Eleven bits with a sign: a scale can be below zero.
        let scale = ((packed & 0x7ff) ^ 1024) - 1024;
        let fits = (1..=DIGITS).contains(&precision) && (0..=precision).contains(&scale);
        fits.then_some(Self::Decimal { precision, scale })
    }

    fn cells(self) -> Cells {
        match self {
            Self::Boolean => Cells::Boolean(Vec::new()),
            Self::Small | Self::Integer | Self::Date => Cells::Int32(Vec::new()),
            Self::Big | Self::Oid | Self::Time | Self::Moment | Self::Instant => {
                Cells::Int64(Vec::new())
            }
            Self::Real => Cells::Real(Vec::new()),
            Self::Double => Cells::Double(Vec::new()),
            Self::Decimal { .. } | Self::Uuid => Cells::Fixed(Vec::new()),
            Self::Bytes | Self::Text => Cells::Bytes(Vec::new()),
        }
    }

    fn field(self, name: &str) -> Result<Type, ParquetError> {
        let physical = match self.cells() {
            Cells::Boolean(_) => Physical::BOOLEAN,
            Cells::Int32(_) => Physical::INT32,
            Cells::Int64(_) => Physical::INT64,
            Cells::Real(_) => Physical::FLOAT,
            Cells::Double(_) => Physical::DOUBLE,
            Cells::Bytes(_) => Physical::BYTE_ARRAY,
            Cells::Fixed(_) => Physical::FIXED_LEN_BYTE_ARRAY,
        };
        let logical = match self {
            Self::Small => Some(LogicalType::integer(16, true)),
            Self::Decimal { precision, scale } => Some(LogicalType::decimal(scale, precision)),
            Self::Date => Some(LogicalType::Date),
            Self::Time => Some(LogicalType::time(false, TimeUnit::MICROS)),
            Self::Moment => Some(LogicalType::timestamp(false, TimeUnit::MICROS)),
            Self::Instant => Some(LogicalType::timestamp(true, TimeUnit::MICROS)),
            Self::Uuid => Some(LogicalType::Uuid),
            Self::Text => Some(LogicalType::String),
            Self::Integer
            | Self::Big
            | Self::Oid
            | Self::Real
            | Self::Double
            | Self::Boolean
            | Self::Bytes => None,
        };
        let mut field = Type::primitive_type_builder(name, physical)
            .with_repetition(Repetition::OPTIONAL)
            .with_logical_type(logical);
        match self {
            Self::Decimal { precision, scale } => {
                field = field.with_length(16).with_precision(precision).with_scale(scale);
            }
            Self::Uuid => field = field.with_length(16),
            _ => {}
        }
        field.build()
    }

    /// Adds a value; `None` if it does not fit.
    fn put(self, value: &[u8], cells: &mut Cells) -> Option<()> {
        let text = utf8(value);
        let text = text.as_ref();
        match cells {
            Cells::Boolean(it) => it.push(text == "t"),
            Cells::Int32(it) => it.push(match self {
                Self::Date => i32::try_from(days(text)?).ok()?,
                _ => text.parse().ok()?,
            }),
            Cells::Int64(it) => it.push(match self {
                Self::Time => time(text).filter(|it| *it < DAY_US)?,
                Self::Moment | Self::Instant => moment(text)?,
                _ => text.parse().ok()?,
            }),
            Cells::Real(it) => it.push(text.parse().ok()?),
            Cells::Double(it) => it.push(text.parse().ok()?),
            Cells::Bytes(it) => it.push(match self {
                Self::Bytes => bytes(text)?.into(),
                _ => text.as_bytes().to_vec().into(),
            }),
            Cells::Fixed(it) => it.push(match self {
                Self::Decimal { scale, .. } => unscaled(text, scale)?.to_be_bytes().to_vec().into(),
                _ => bytes_of(&text.replace('-', ""))?.into(),
            }),
        }
        Some(())
    }
}

/// `\x` and two digits for each byte.
fn bytes(text: &str) -> Option<Vec<u8>> {
    bytes_of(text.strip_prefix("\\x")?)
}

fn bytes_of(digits: &str) -> Option<Vec<u8>> {
    let digit = |it: u8| char::from(it).to_digit(16).and_then(|it| u8::try_from(it).ok());
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    let byte = |[high, low]: &[u8; 2]| Some(digit(*high)? << 4 | digit(*low)?);
    rest.is_empty().then(|| pairs.iter().map(byte).collect())?
}

/// A decimal without its point, if it has no more digits after it than `scale`.
fn unscaled(text: &str, scale: i32) -> Option<i128> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let missing = usize::try_from(scale).ok()?.checked_sub(fraction.len())?;
    let digits = |it: &str| it.bytes().all(|it| it.is_ascii_digit());
    if !digits(whole.strip_prefix('-').unwrap_or(whole)) || !digits(fraction) {
        return None;
    }
    format!("{whole}{fraction}{}", "0".repeat(missing)).parse().ok()
}

/// Days since 1970 of a date as the server prints it: `2026-01-31`, `0044-03-15 BC`.
fn days(text: &str) -> Option<i64> {
    let (date, is_before) = match text.strip_suffix(" BC") {
        Some(date) => (date, true),
        None => (text, false),
    };
    let mut parts = date.split('-').map(str::parse::<i64>);
    let (year, month, day) = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
    let year = if is_before { 1 - year } else { year };
    // Years that begin in March, so that a leap day is a year's last; in eras of 400, which have as many days each.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

/// Microseconds since midnight of `08:00:00.25`.
fn time(text: &str) -> Option<i64> {
    let mut parts = text.split(':');
    let (hours, minutes) = (parts.next()?.parse::<i64>().ok()?, parts.next()?.parse::<i64>().ok()?);
    let seconds = parts.next()?;
    let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
    let fraction = format!("{fraction:0<6}").parse::<i64>().ok()?;
    Some(((hours * 60 + minutes) * 60 + whole.parse::<i64>().ok()?) * 1_000_000 + fraction)
}

/// Microseconds since 1970 of `2026-01-31 08:00:00.25`, with ` BC` after it or an offset, `+01`, `-05:30`, `+00:53:28`.
fn moment(text: &str) -> Option<i64> {
    let (text, era) = match text.strip_suffix(" BC") {
        Some(text) => (text, " BC"),
        None => (text, ""),
    };
    let (date, clock) = text.split_once(' ')?;
    let (clock, offset) = match clock.find(['+', '-']) {
        Some(at) => clock.split_at(at),
        None => (clock, ""),
    };
    let mut seconds = 0;
    for (part, unit) in offset.get(1..).unwrap_or_default().split(':').zip([3600, 60, 1]) {
        if !part.is_empty() {
            seconds += part.parse::<i64>().ok()? * unit;
        }
    }
    let ahead = if offset.starts_with('-') { -seconds } else { seconds };
    let midnight = days(&format!("{date}{era}"))?.checked_mul(DAY_US)?;
    midnight.checked_add(time(clock)?)?.checked_sub(ahead * 1_000_000)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use parquet::file::reader::{FileReader as _, SerializedFileReader};
    use parquet::record::Field;
    use proptest::prelude::*;

    use super::super::testing::row;
    use super::*;

    fn column(name: &str, type_oid: u32, type_modifier: i32) -> ResultColumn {
        ResultColumn { name: name.to_owned(), type_oid, type_modifier }
    }

    fn numeric(precision: i32, scale: i32) -> i32 {
        ((precision << 16) | (scale & 0x7ff)) + 4
    }

    fn written(columns: &[ResultColumn], rows: &[RawRow]) -> SerializedFileReader<bytes::Bytes> {
        let mut file = ParquetRows::new(columns).unwrap();
        let mut bytes = Vec::new();
        for row in rows {
            file.write(row).unwrap();
            bytes.extend(file.take().unwrap());
        }
        bytes.extend(file.finish().unwrap());
        SerializedFileReader::new(bytes.into()).unwrap()
    }

    #[test]
    fn types_keep_what_they_mean() {
        let columns = [
            column("n", 23, -1),
            column("n", 20, -1),
            column("price", 1700, numeric(12, 2)),
            column("any", 1700, -1),
            column("day", 1082, -1),
            column("at", 1114, -1),
            column("seen", 1184, -1),
            column("id", 2950, -1),
            column("doc", 3802, -1),
            column("raw", 17, -1),
        ];
        let values: [Option<&[u8]>; 10] = [
            Some(b"-5"),
            Some(b"9223372036854775807"),
            Some(b"-12.50"),
            Some(b"0.1000000000000000000000000001"),
            Some(b"0044-03-15 BC"),
            Some(b"2026-01-31 08:00:00.25"),
            Some(b"2026-01-31 08:00:00.000001+05:30"),
            Some(b"018f3a2b-4c5d-7e6f-8091-a2b3c4d5e6f7"),
            Some(b"{\"a\": 1}"),
            Some(b"\\x00ff"),
        ];
        let reader = written(&columns, &[row(&values), row(&[None; 10])]);
        let schema = reader.metadata().file_metadata().schema_descr();
        let logical: Vec<_> =
            schema.columns().iter().map(|it| it.logical_type_ref().cloned()).collect();
        assert_eq!(schema.column(1).name(), "n_2");
        assert_eq!(logical[2], Some(LogicalType::decimal(2, 12)));
        assert_eq!(logical[3], Some(LogicalType::String));
        assert_eq!(logical[4], Some(LogicalType::Date));
        assert_eq!(logical[5], Some(LogicalType::timestamp(false, TimeUnit::MICROS)));
        assert_eq!(logical[6], Some(LogicalType::timestamp(true, TimeUnit::MICROS)));
        assert_eq!(logical[7], Some(LogicalType::Uuid));
        assert_eq!(logical[8], Some(LogicalType::String));
        let rows: Vec<Vec<Field>> = reader
            .get_row_iter(None)
            .unwrap()
            .map(|it| it.unwrap().get_column_iter().map(|it| it.1.clone()).collect())
            .collect();
        assert!(rows[1].iter().all(|it| *it == Field::Null));
        let it = &rows[0];
        assert_eq!((&it[0], &it[1]), (&Field::Int(-5), &Field::Long(i64::MAX)));
        let Field::Decimal(price) = &it[2] else { panic!("{:?}", it[2]) };
        let unscaled = i128::from_be_bytes(price.data().try_into().unwrap());
        assert_eq!((unscaled, price.scale(), price.precision()), (-1250, 2, 12));
        assert_eq!(it[3], Field::Str("0.1000000000000000000000000001".to_owned()));
        assert_eq!(it[4], Field::Date(-735_160));
        assert_eq!(it[5], Field::TimestampMicros(1_769_846_400_250_000));
        assert_eq!(it[6], Field::TimestampMicros(1_769_846_400_000_001 - 19_800_000_000));
        assert_eq!(it[8], Field::Str("{\"a\": 1}".to_owned()));
        let Field::Bytes(raw) = &it[9] else { panic!("{:?}", it[9]) };
        assert_eq!(raw.data(), [0, 255]);
    }

    #[test]
    fn many_rows_are_several_groups_and_are_all_there() {
        let columns = [column("text", 25, -1)];
        let long = vec![b'x'; 200_000];
        let rows: Vec<_> = (0..200).map(|_| row(&[Some(long.as_slice())])).collect();
        let reader = written(&columns, &rows);
        assert!(reader.num_row_groups() > 1);
        assert_eq!(reader.metadata().file_metadata().num_rows(), 200);
        assert_eq!(written(&columns, &[]).metadata().file_metadata().num_rows(), 0);
    }

    #[test]
    fn what_has_no_place_is_refused() {
        for (oid, modifier, text) in [
            (1082, -1, "infinity"),
            (1184, -1, "-infinity"),
            (1700, numeric(5, 1), "NaN"),
            (1083, -1, "24:00:00"),
        ] {
            let mut file = ParquetRows::new(&[column("it", oid, modifier)]).unwrap();
            let refused = file.write(&row(&[Some(text.as_bytes())]));
            assert!(
                matches!(refused, Err(ParquetFault::Unfit { column }) if column == "it"),
                "{text}"
            );
        }
        assert!(matches!(ParquetRows::new(&[]), Err(ParquetFault::NoColumns)));
    }

    #[test]
    fn a_numeric_without_a_place_for_its_digits_is_text() {
        assert_eq!(Kind::of(1700, numeric(38, 38)), Kind::Decimal { precision: 38, scale: 38 });
        for modifier in [-1, numeric(39, 2), numeric(5, -2), numeric(2, 5)] {
            assert_eq!(Kind::of(1700, modifier), Kind::Text);
        }
    }

    proptest! {
        #[test]
        fn days_are_those_of_the_calendar(at in -300_000i32..2_932_000) {
            let it = date(1970, 1, 1).checked_add(jiff::Span::new().days(at)).unwrap();
            let year = i32::from(it.year());
            let text = if year > 0 {
                format!("{year:04}-{:02}-{:02}", it.month(), it.day())
            } else {
                format!("{:04}-{:02}-{:02} BC", 1 - year, it.month(), it.day())
            };
            prop_assert_eq!(days(&text), Some(i64::from(at)));
        }

        #[test]
        fn decimals_keep_their_digits(value: i64, scale in 0i32..10) {
            let digits = format!("{:0>11}", value.unsigned_abs());
            let (whole, fraction) = digits.split_at(digits.len() - usize::try_from(scale).unwrap());
            let sign = if value < 0 { "-" } else { "" };
            let text = if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") };
            prop_assert_eq!(unscaled(&text, scale), Some(i128::from(value)));
        }
    }
}
