//! What lies in the parser's memory, as C put it there.
//!
//! Values of these types are never made here: there are only references to them, all of which begin at
//! [`Parsed::tree`](crate::library::Parsed::tree) and live no longer than that. What a pointer in that memory leads to lies
//! there too, is finished, and is changed by nobody.

use std::ffi::{CStr, c_char, c_int};
use std::slice;

use crate::nodes::Stop;

/// A kind of node whose layout is known.
///
/// # Safety
///
/// It is `repr(C)`, begins with its tag, and is laid out as the struct whose tag is [`TAG`](Known::TAG) in the library that
/// [`library::is_known`](crate::library::is_known) speaks of; and so that every value of memory is one of its fields' types:
/// numbers, pointers, and structs of those.
pub(crate) unsafe trait Known {
    /// By which number the kind is known.
    const TAG: u32;
}

/// What every node begins with.
#[repr(C)]
pub(crate) struct Node {
    tag: u32,
}

/// A pointer in the parser's memory: null, or to a node there.
#[repr(transparent)]
pub(crate) struct Pointer<T>(*const T);

impl<T> Pointer<T> {
    /// The number of the node's kind; `None` if there is no node.
    pub(crate) fn tag(&self) -> Option<u32> {
        // SAFETY: null or a node, by what this type is; and every node begins with its tag.
        let node = unsafe { self.0.cast::<Node>().as_ref() };
        node.map(|it| it.tag)
    }

    /// The node, if it is of that kind.
    pub(crate) fn known<K: Known>(&self) -> Option<&K> {
        if self.tag() != Some(K::TAG) {
            return None;
        }
        // SAFETY: it is a node whose tag says that it is of this kind, and so is laid out like this by what `Known` demands.
        // It lives as long as the memory in which this pointer lies.
        unsafe { self.0.cast::<K>().as_ref() }
    }
}

impl<K: Known> Pointer<K> {
    /// The node; `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`Stop::Unknown`] if it is not of the kind that the pointer is for.
    pub(crate) fn get(&self) -> Result<Option<&K>, Stop> {
        if self.0.is_null() {
            return Ok(None);
        }
        self.known::<K>().map(Some).ok_or(Stop::Unknown)
    }
}

/// A pointer to what only the server's analysis makes.
#[repr(transparent)]
pub(crate) struct Absent(*const Node);

impl Absent {
    /// `None`, of whatever it would be.
    ///
    /// # Errors
    ///
    /// [`Stop::Unknown`] if there is something all the same.
    pub(crate) fn get<T>(&self) -> Result<Option<T>, Stop> {
        if self.0.is_null() { Ok(None) } else { Err(Stop::Unknown) }
    }
}

/// A text: null, or ended by a NUL.
#[repr(transparent)]
pub(crate) struct Text(*const c_char);

impl Text {
    /// The text; the empty one if there is none.
    ///
    /// # Errors
    ///
    /// [`Stop::Unknown`] if it is not UTF-8.
    pub(crate) fn get(&self) -> Result<String, Stop> {
        if self.0.is_null() {
            return Ok(String::new());
        }
        // SAFETY: not null, so it is a text in the parser's memory, and those end with a NUL.
        let text = unsafe { CStr::from_ptr(self.0) };
        Ok(text.to_str().map_err(|_| Stop::Unknown)?.to_owned())
    }
}

/// `List`, of pointers.
#[repr(C)]
pub(crate) struct List {
    tag: u32,
    length: c_int,
    _max_length: c_int,
    elements: *const Pointer<Node>,
}

// SAFETY: `T_List` of `nodetags.h`, laid out as in `pg_list.h` up to its last field, which is read through `elements` only.
// Lists of numbers have other tags.
unsafe impl Known for List {
    const TAG: u32 = 1;
}

impl List {
    pub(crate) fn elements(&self) -> &[Pointer<Node>] {
        match usize::try_from(self.length) {
            // SAFETY: so many cells are there; each is a union of eight bytes, which in a list of this tag holds a pointer.
            Ok(length) if length > 0 && !self.elements.is_null() => unsafe {
                slice::from_raw_parts(self.elements, length)
            },
            _ => &[],
        }
    }
}
