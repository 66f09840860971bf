//! The kinds of nodes whose layouts are known, and the messages that they become.

#![cfg_attr(
    not(test), // in whose code the lint looks away
    expect(clippy::wildcard_imports, reason = "the tables need what their macro names")
)]
#![expect(clippy::struct_field_names, reason = "they are Postgres's")]

/// Tables of kinds: each with its tag, the variant of [`NodeEnum`] and the message, and its fields in the order of memory,
/// without the tag. `name = how` says how a field becomes that of the message, `_name: type` what an unsent one takes, and
/// behind a semicolon stand the message's fields that nobody fills.
macro_rules! nodes {
    ($($kind:ident, $tag:literal, $variant:ident($message:ident) {
        $($field:ident $(= $how:ident $(($of:ident))?)? $(: $unsent:ty)?),* $(; $($unset:ident),*)?
    })*) => {
        $(
            #[repr(C)]
            pub(super) struct $kind {
                _tag: u32,
                $($field: field!($($how $($of)?)? $($unsent)?),)*
            }

            // SAFETY: laid out as in the header that this table was generated from, whose tag this is; of numbers and
            // pointers only.
            unsafe impl Known for $kind {
                const TAG: u32 = $tag;
            }

            impl Message for $kind {
                type Of = protobuf::$message;

                fn message(&self, depth: Depth) -> Result<Self::Of, Stop> {
                    let _ = depth;
                    Ok(protobuf::$message {
                        $($($field: value!(self.$field, depth, $how $($of)?),)?)*
                        $($($unset: None,)*)?
                    })
                }
            }
        )*

        /// What reads a node with that tag, if its kind is of this table.
        pub(super) fn reader(tag: u32) -> Option<Reader> {
            Some(match tag {
                $($tag => |node, depth| {
                    of_kind::<$kind>(node, depth, |it| NodeEnum::$variant(it.into()))
                },)*
                _ => return None,
            })
        }
    };
}

/// What a field takes in memory.
macro_rules! field {
    (list) => { Pointer<List> };
    (node) => { Pointer<Node> };
    (one $of:ident) => { Pointer<$of> };
    (absent) => { Absent };
    (text) => { Text };
    (letter) => { u8 };
    (flag) => { u8 };
    (choice $of:ident) => { u32 };
    (number $of:ident) => { $of };
    ($unsent:ty) => { $unsent };
}

/// What a field becomes.
macro_rules! value {
    ($field:expr, $depth:expr, list) => {
        elements($field.get()?, $depth)?
    };
    ($field:expr, $depth:expr, node) => {
        optional(&$field, $depth)?
    };
    ($field:expr, $depth:expr, one $of:ident) => {
        one(&$field, $depth)?.map(Into::into)
    };
    ($field:expr, $depth:expr, absent) => {
        $field.get()?
    };
    ($field:expr, $depth:expr, text) => {
        $field.get()?
    };
    ($field:expr, $depth:expr, letter) => {
        letter($field)?
    };
    ($field:expr, $depth:expr, flag) => {
        $field != 0
    };
    ($field:expr, $depth:expr, choice $of:ident) => {
        choice::<protobuf::$of>($field)?
    };
    ($field:expr, $depth:expr, number $of:ident) => {
        $field.into()
    };
}

mod table;
mod values;

use pg_query::NodeEnum;
use pg_query::protobuf::{self, RawStmt};

pub(crate) use self::table::VERSION;
use crate::memory::{Absent, Known, List, Node, Pointer, Text};

/// Why the tree is not read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It has more levels than the decoder of `pg_query` takes.
    TooDeep,
    /// Something that is not known here.
    Unknown,
}

/// How many messages stand around one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Depth(u32);

impl Depth {
    /// That of the message which holds the statements.
    pub(crate) const OUTERMOST: Self = Self(0);

    /// The depth of a message within: the decoder takes a hundred.
    fn within(self) -> Result<Self, Stop> {
        if self.0 < 100 { Ok(Self(self.0 + 1)) } else { Err(Stop::TooDeep) }
    }
}

/// A kind of node, and the message that it becomes.
trait Message: Known {
    type Of;

    /// The message of a node, which stands at that depth.
    ///
    /// # Errors
    ///
    /// Why it cannot be made.
    fn message(&self, depth: Depth) -> Result<Self::Of, Stop>;
}

/// The statements of a text.
///
/// # Errors
///
/// Why they cannot be read to their end.
pub(crate) fn statements(tree: &Pointer<List>, depth: Depth) -> Result<Vec<RawStmt>, Stop> {
    let Some(list) = tree.get()? else { return Ok(Vec::new()) };
    let statement = |it: &Pointer<Node>| {
        let statement = it.known::<table::RawStmt>().ok_or(Stop::Unknown)?;
        statement.message(depth.within()?)
    };
    list.elements().iter().map(statement).collect()
}

/// A node in the message at `depth`, which may be an empty one.
fn node(node: &Pointer<Node>, depth: Depth) -> Result<protobuf::Node, Stop> {
    let depth = depth.within()?;
    let Some(tag) = node.tag() else { return Ok(protobuf::Node { node: None }) };
    let depth = depth.within()?;
    let reader = values::reader(tag).or_else(|| table::reader(tag)).ok_or(Stop::Unknown)?;
    Ok(protobuf::Node { node: Some(reader(node, depth)?) })
}

/// Reads a node of one kind at that depth. (A function of its own for each kind, called by the one that goes down the tree:
/// so the stack does not grow with the number of kinds.)
type Reader = fn(&Pointer<Node>, Depth) -> Result<NodeEnum, Stop>;

fn of_kind<K: Message>(
    node: &Pointer<Node>,
    depth: Depth,
    variant: fn(K::Of) -> NodeEnum,
) -> Result<NodeEnum, Stop> {
    node.known::<K>().ok_or(Stop::Unknown)?.message(depth).map(variant)
}

fn optional(field: &Pointer<Node>, depth: Depth) -> Result<Option<Box<protobuf::Node>>, Stop> {
    if field.tag().is_none() {
        return Ok(None);
    }
    node(field, depth).map(|it| Some(Box::new(it)))
}

fn one<K: Message>(field: &Pointer<K>, depth: Depth) -> Result<Option<K::Of>, Stop> {
    field.get()?.map(|it| it.message(depth.within()?)).transpose()
}

fn elements(list: Option<&List>, depth: Depth) -> Result<Vec<protobuf::Node>, Stop> {
    let elements = list.map(List::elements).unwrap_or_default();
    let mut nodes = Vec::with_capacity(elements.len());
    for element in elements {
        nodes.push(node(element, depth)?);
    }
    Ok(nodes)
}

/// One letter; none becomes the empty text.
fn letter(letter: u8) -> Result<String, Stop> {
    match letter {
        0 => Ok(String::new()),
        1..=127 => Ok(char::from(letter).into()),
        128.. => Err(Stop::Unknown),
    }
}

/// The number of an enum in its message: those begin with one that means nothing, and are else in C's order.
fn choice<E: TryFrom<i32>>(number: u32) -> Result<i32, Stop> {
    let number = i32::try_from(number).ok().and_then(|it| it.checked_add(1));
    let number = number.ok_or(Stop::Unknown)?;
    E::try_from(number).map_err(|_| Stop::Unknown)?;
    Ok(number)
}
