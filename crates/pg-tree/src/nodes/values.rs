//! Constants and lists, which `libpg_query` writes by functions of its own, and so does this.

use std::mem::ManuallyDrop;

use pg_query::protobuf::a_const::Val;

use super::*;

/// Constants as nodes of their own: names are lists of such.
mod plain {
    use super::*;

    nodes! {
        Whole, 465, Integer(Integer) { ival = number(i32) }
        Decimal, 466, Float(Float) { fval = text }
        Truth, 467, Boolean(Boolean) { boolval = flag }
        Words, 468, String(String) { sval = text }
        Bits, 469, BitString(BitString) { bsval = text }
    }
}

use self::plain::{Bits, Decimal, Truth, Whole, Words};

/// What reads a node with that tag, if it is a constant or a list of nodes.
pub(super) fn reader(tag: u32) -> Option<Reader> {
    match tag {
        Constant::TAG => Some(|node, depth| of_kind::<Constant>(node, depth, NodeEnum::AConst)),
        List::TAG => Some(|node, depth| of_kind::<List>(node, depth, NodeEnum::List)),
        _ => plain::reader(tag),
    }
}

impl Message for List {
    type Of = protobuf::List;

    fn message(&self, depth: Depth) -> Result<Self::Of, Stop> {
        Ok(protobuf::List { items: elements(Some(self), depth)? })
    }
}

/// `A_Const`.
#[repr(C)]
pub(super) struct Constant {
    _tag: u32,
    value: Value,
    is_null: u8,
    location: i32,
}

/// `ValUnion`: a node in place. Each of them begins with its tag.
#[repr(C)]
union Value {
    tag: u32,
    whole: ManuallyDrop<Whole>,
    decimal: ManuallyDrop<Decimal>,
    truth: ManuallyDrop<Truth>,
    words: ManuallyDrop<Words>,
    bits: ManuallyDrop<Bits>,
}

// SAFETY: laid out as `T_A_Const` in `parsenodes.h`; of numbers, and of a union whose tag says which of its fields holds.
unsafe impl Known for Constant {
    const TAG: u32 = 72;
}

impl Message for Constant {
    type Of = protobuf::AConst;

    fn message(&self, depth: Depth) -> Result<Self::Of, Stop> {
        let val = match self.is_null {
            0 => Some(self.value.message(depth.within()?)?),
            _ => None,
        };
        Ok(protobuf::AConst { isnull: self.is_null != 0, location: self.location, val })
    }
}

impl Value {
    fn message(&self, depth: Depth) -> Result<Val, Stop> {
        // SAFETY: whichever it is begins with its tag.
        let tag = unsafe { self.tag };
        match tag {
            Whole::TAG => {
                // SAFETY: the tag says so.
                let it = unsafe { &self.whole };
                it.message(depth).map(Val::Ival)
            }
            Decimal::TAG => {
                // SAFETY: the tag says so.
                let it = unsafe { &self.decimal };
                it.message(depth).map(Val::Fval)
            }
            Truth::TAG => {
                // SAFETY: the tag says so.
                let it = unsafe { &self.truth };
                it.message(depth).map(Val::Boolval)
            }
            Words::TAG => {
                // SAFETY: the tag says so.
                let it = unsafe { &self.words };
                it.message(depth).map(Val::Sval)
            }
            Bits::TAG => {
                // SAFETY: the tag says so.
                let it = unsafe { &self.bits };
                it.message(depth).map(Val::Bsval)
            }
            _ => Err(Stop::Unknown),
        }
    }
}
