//! Answers as JSON, letter for letter as `serde_json` writes them.
//!
//! Most of an answer is texts in which nothing has to be escaped, and looking for what has to be, one letter after the other,
//! was a tenth of what a short request costs. Here eight letters are looked at together. Numbers and what else is rare is left
//! to `serde_json`.

use std::fmt::{self, Write as _};

use serde::ser::{
    Error as _, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant,
    SerializeTuple, SerializeTupleStruct, SerializeTupleVariant, Serializer,
};
use serde_json::Error;

/// By this name `serde_json` knows text that is JSON already.
const RAW: &str = "$serde_json::private::RawValue";

/// Writes a value behind what is there.
///
/// # Errors
///
/// What the value itself says, or that a key is neither a text nor a number; part of it is written then.
pub(super) fn write(out: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) -> Result<(), Error> {
    value.serialize(&mut Writer { out })
}

struct Writer<'a> {
    out: &'a mut Vec<u8>,
}

impl Writer<'_> {
    fn text(&mut self, text: &str) {
        self.out.push(b'"');
        escaped(self.out, text.as_bytes());
        self.out.push(b'"');
    }

    fn rare(&mut self, value: impl Serialize) -> Result<(), Error> {
        serde_json::to_writer(&mut *self.out, &value)
    }

    /// Opens an object whose only member is named so.
    fn variant(&mut self, name: &str) {
        self.out.push(b'{');
        self.text(name);
        self.out.push(b':');
    }
}

/// Writes a text's letters, escaped where JSON wants it.
fn escaped(out: &mut Vec<u8>, mut rest: &[u8]) {
    loop {
        let (plain, other) = rest.split_at(plain(rest));
        out.extend_from_slice(plain);
        let Some((&byte, behind)) = other.split_first() else { return };
        let short = match byte {
            b'"' | b'\\' => byte,
            0x08 => b'b',
            b'\t' => b't',
            b'\n' => b'n',
            0x0c => b'f',
            b'\r' => b'r',
            _ => {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                let [high, low] = [byte >> 4, byte & 15].map(|it| DIGITS[usize::from(it)]);
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
                rest = behind;
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', short]);
        rest = behind;
    }
}

/// How many bytes at the beginning stand for themselves.
fn plain(bytes: &[u8]) -> usize {
    const EACH: u64 = u64::MAX / 255;
    const HIGH: u64 = EACH << 7;
    let (words, rest) = bytes.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        // Each sets the highest bit of the first byte that it looks for; what it may set behind that does not matter.
        let control = word.wrapping_sub(EACH * 0x20) & !word;
        let [quote, slash] = [b'"', b'\\'].map(|byte| {
            let same = word ^ (EACH * u64::from(byte));
            same.wrapping_sub(EACH) & !same
        });
        let found = (control | quote | slash) & HIGH;
        if found != 0 {
            return at * 8 + (found.trailing_zeros() / 8) as usize;
        }
    }
    let is_other = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
    words.len() * 8 + rest.iter().position(is_other).unwrap_or(rest.len())
}

/// Formats into the inside of a text.
struct Inside<'a>(&'a mut Vec<u8>);

impl fmt::Write for Inside<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        escaped(self.0, text.as_bytes());
        Ok(())
    }
}

macro_rules! rare {
    ($($method:ident($type:ty)),* $(,)?) => {$(
        fn $method(self, value: $type) -> Result<(), Error> {
            self.rare(value)
        }
    )*};
}

impl<'a, 'b> Serializer for &'a mut Writer<'b> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Parts<'a, 'b>;
    type SerializeTuple = Parts<'a, 'b>;
    type SerializeTupleStruct = Parts<'a, 'b>;
    type SerializeTupleVariant = Parts<'a, 'b>;
    type SerializeMap = Parts<'a, 'b>;
    type SerializeStruct = Parts<'a, 'b>;
    type SerializeStructVariant = Parts<'a, 'b>;

    rare!(
        serialize_i8(i8),
        serialize_i16(i16),
        serialize_i32(i32),
        serialize_i64(i64),
        serialize_i128(i128),
        serialize_u8(u8),
        serialize_u16(u16),
        serialize_u32(u32),
        serialize_u64(u64),
        serialize_u128(u128),
        serialize_f32(f32),
        serialize_f64(f64),
        serialize_bytes(&[u8]),
    );

    fn serialize_bool(self, value: bool) -> Result<(), Error> {
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
        Ok(())
    }

    fn serialize_char(self, value: char) -> Result<(), Error> {
        self.text(value.encode_utf8(&mut [0; 4]));
        Ok(())
    }

    fn serialize_str(self, value: &str) -> Result<(), Error> {
        self.text(value);
        Ok(())
    }

    fn collect_str<T: fmt::Display + ?Sized>(self, value: &T) -> Result<(), Error> {
        self.out.push(b'"');
        write!(Inside(self.out), "{value}").map_err(Error::custom)?;
        self.out.push(b'"');
        Ok(())
    }

    fn serialize_none(self) -> Result<(), Error> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Error> {
        self.out.extend_from_slice(b"null");
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Error> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
    ) -> Result<(), Error> {
        self.serialize_str(name)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        self.variant(name);
        value.serialize(&mut *self)?;
        self.out.push(b'}');
        Ok(())
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Parts<'a, 'b>, Error> {
        Ok(Parts::open(self, b'[', b"]"))
    }

    fn serialize_tuple(self, _: usize) -> Result<Parts<'a, 'b>, Error> {
        self.serialize_seq(None)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Parts<'a, 'b>, Error> {
        self.serialize_seq(None)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        _: usize,
    ) -> Result<Parts<'a, 'b>, Error> {
        self.variant(name);
        Ok(Parts::open(self, b'[', b"]}"))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Parts<'a, 'b>, Error> {
        Ok(Parts::open(self, b'{', b"}"))
    }

    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Parts<'a, 'b>, Error> {
        if name == RAW {
            return Ok(Parts { to: self, is_first: true, end: b"" });
        }
        self.serialize_map(None)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        _: usize,
    ) -> Result<Parts<'a, 'b>, Error> {
        self.variant(name);
        Ok(Parts::open(self, b'{', b"}}"))
    }
}

/// What has parts, while they are written.
struct Parts<'a, 'b> {
    to: &'a mut Writer<'b>,
    is_first: bool,
    /// What stands behind the last one; nothing behind text that is JSON already.
    end: &'static [u8],
}

impl<'a, 'b> Parts<'a, 'b> {
    fn open(to: &'a mut Writer<'b>, begin: u8, end: &'static [u8]) -> Self {
        to.out.push(begin);
        Self { to, is_first: true, end }
    }

    fn next(&mut self) {
        if !std::mem::take(&mut self.is_first) {
            self.to.out.push(b',');
        }
    }

    fn element(&mut self, value: &(impl Serialize + ?Sized)) -> Result<(), Error> {
        self.next();
        value.serialize(&mut *self.to)
    }

    fn field(
        &mut self,
        name: &'static str,
        value: &(impl Serialize + ?Sized),
    ) -> Result<(), Error> {
        if self.end.is_empty() {
            let mut raw = serde_json::Serializer::new(&mut *self.to.out);
            let mut raw = raw.serialize_struct(RAW, 1)?;
            SerializeStruct::serialize_field(&mut raw, name, value)?;
            return SerializeStruct::end(raw);
        }
        self.next();
        self.to.text(name);
        self.to.out.push(b':');
        value.serialize(&mut *self.to)
    }

    fn close(self) {
        self.to.out.extend_from_slice(self.end);
    }
}

macro_rules! parts {
    ($($kind:ident: $method:ident($($name:ident)?) by $by:ident),* $(,)?) => {$(
        impl $kind for Parts<'_, '_> {
            type Ok = ();
            type Error = Error;

            fn $method<T: Serialize + ?Sized>(&mut self, $($name: &'static str,)? value: &T) -> Result<(), Error> {
                self.$by($($name,)? value)
            }

            fn end(self) -> Result<(), Error> {
                self.close();
                Ok(())
            }
        }
    )*};
}

parts!(
    SerializeSeq: serialize_element() by element,
    SerializeTuple: serialize_element() by element,
    SerializeTupleStruct: serialize_field() by element,
    SerializeTupleVariant: serialize_field() by element,
    SerializeStruct: serialize_field(name) by field,
    SerializeStructVariant: serialize_field(name) by field,
);

impl SerializeMap for Parts<'_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        self.next();
        let out = &mut *self.to.out;
        let at = out.len();
        write(out, key)?;
        match out[at..] {
            [b'"', ..] => {}
            // Numbers and truths are keys between quotes.
            [b'0'..=b'9' | b'-' | b't' | b'f', ..] => {
                out.insert(at, b'"');
                out.push(b'"');
            }
            _ => return Err(Error::custom("key must be a string")),
        }
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.to.out.push(b':');
        value.serialize(&mut *self.to)
    }

    fn end(self) -> Result<(), Error> {
        self.close();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde::Serialize;
    use serde_json::Value;
    use serde_json::value::RawValue;

    use super::*;

    fn ours(value: &(impl Serialize + ?Sized)) -> String {
        let mut out = Vec::new();
        write(&mut out, value).expect("a value");
        String::from_utf8(out).expect("a text")
    }

    fn theirs(value: &(impl Serialize + ?Sized)) -> String {
        serde_json::to_string(value).expect("a value")
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".*".prop_map(Value::from),
            "[a-z\"\\\\\u{0}-\u{22}é\u{7f}-\u{9f}]{0,40}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 64, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
                prop::collection::btree_map("[a-z\"\n]{0,10}", inner, 0..8)
                    .prop_map(|it| Value::Object(it.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_value_is_written_as_serde_json_writes_it(value in value()) {
            prop_assert_eq!(ours(&value), theirs(&value));
        }

        #[test]
        fn each_letter_is_found_wherever_it_stands(before in "[ -!#-\\[\\]-~é€😀]{0,20}", letter: char, after in ".{0,12}") {
            let text = format!("{before}{letter}{after}");
            prop_assert_eq!(ours(&text), theirs(&text));
        }
    }

    #[derive(Serialize)]
    enum Kind {
        Unit,
        #[serde(rename = "with \"quotes\"")]
        Newtype(u8),
        Tuple(i8, Option<&'static str>),
        Struct {
            a: f32,
            #[serde(skip_serializing_if = "Option::is_none")]
            b: Option<()>,
        },
    }

    #[derive(Serialize)]
    struct Unit;

    #[derive(Serialize)]
    struct Tuple(char, bool);

    #[derive(Serialize)]
    struct All<'a> {
        kinds: [Kind; 5],
        raw: &'a RawValue,
        numbers: BTreeMap<i32, u128>,
        truths: BTreeMap<bool, Unit>,
        letters: BTreeMap<char, Tuple>,
        none: Option<u8>,
        empty: [u8; 0],
        nothing: BTreeMap<String, u8>,
        infinite: f64,
        #[serde(flatten)]
        more: BTreeMap<&'static str, Value>,
    }

    #[test]
    fn whatever_serde_has_is_written_as_serde_json_writes_it() {
        let raw = RawValue::from_string(r#"{"as": [ "it", 1 ] }"#.to_owned()).expect("JSON");
        let kinds = [
            Kind::Unit,
            Kind::Newtype(1),
            Kind::Tuple(-1, Some("é\u{1f}")),
            Kind::Struct { a: 0.1, b: None },
            Kind::Struct { a: 1.0, b: Some(()) },
        ];
        let all = All {
            kinds,
            raw: &raw,
            numbers: BTreeMap::from([(-1, 1), (2, u128::MAX)]),
            truths: BTreeMap::from([(true, Unit), (false, Unit)]),
            letters: BTreeMap::from([('"', Tuple('\\', true)), ('b', Tuple('c', false))]),
            none: None,
            empty: [],
            nothing: BTreeMap::new(),
            infinite: f64::INFINITY,
            more: BTreeMap::from([("of", serde_json::json!([1.5e300, -0.0, "x"]))]),
        };
        assert_eq!(ours(&all), theirs(&all));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for key in [None, Some(())] {
            let map = BTreeMap::from([(key, 1)]);
            assert!(write(&mut Vec::new(), &map).is_err());
            assert!(serde_json::to_string(&map).is_err());
        }
        let map = BTreeMap::from([([1], 1)]);
        assert!(write(&mut Vec::new(), &map).is_err());
    }
}
