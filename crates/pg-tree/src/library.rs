//! What is called of `libpg_query`: the functions behind those that its header offers, which give the tree itself.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::sync::OnceLock;

use pg_query::protobuf::ScanToken;

use crate::Error;
use crate::memory::{List, Pointer};
use crate::nodes::VERSION;

/// `PgQueryError`: only its beginning, and only ever behind a pointer that C has made.
#[repr(C)]
struct Failure {
    message: *const c_char,
}

/// `PgQueryInternalParsetreeAndError`.
#[repr(C)]
struct RawParse {
    tree: Pointer<List>,
    stderr: *mut c_char,
    error: *mut Failure,
}

/// `PgQueryParseResult`: what frees the two texts of a [`RawParse`].
#[repr(C)]
struct ParseResult {
    parse_tree: *mut c_char,
    stderr: *mut c_char,
    error: *mut Failure,
}

/// `PgQueryScanToken`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Token {
    start: c_int,
    end: c_int,
    kind: c_int,
    keyword_kind: c_int,
}

/// `PgQueryScanTokensResult`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Tokens {
    first: *const Token,
    count: c_int,
    error: *mut Failure,
}

unsafe extern "C" {
    fn pg_query_enter_memory_context() -> *mut c_void;
    fn pg_query_exit_memory_context(context: *mut c_void);
    fn pg_query_raw_parse(input: *const c_char, options: c_int) -> RawParse;
    fn pg_query_free_parse_result(result: ParseResult);
    fn pg_query_scan_tokens(input: *const c_char) -> Tokens;
    fn pg_query_free_scan_tokens_result(result: Tokens);
}

/// Whether the linked library is the one whose layouts are known, on a machine on which they are the same.
pub(crate) fn is_known() -> bool {
    static IS_KNOWN: OnceLock<bool> = OnceLock::new();
    let is_linked = || pg_query::scan("").is_ok_and(|it| it.version == VERSION);
    cfg!(target_pointer_width = "64") && *IS_KNOWN.get_or_init(is_linked)
}

/// A tree in the parser's memory, which is given back with it.
pub(crate) struct Parsed {
    context: *mut c_void,
    raw: RawParse,
}

impl Parsed {
    /// Parses a text.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if it is not of the grammar.
    pub(crate) fn of(text: &CStr) -> Result<Self, Error> {
        // SAFETY: takes nothing. There is one context at a time in a thread: only `parse` in this crate makes a `Parsed`,
        // which cannot go to another thread and which `parse` drops before it returns; and what `pg_query` enters it has left
        // when it returns.
        let context = unsafe { pg_query_enter_memory_context() };
        // SAFETY: the text ends with a NUL, and is only read. Errors of the grammar, which are jumps in C, are caught within.
        let raw = unsafe { pg_query_raw_parse(text.as_ptr(), 0) };
        let parsed = Self { context, raw };
        // SAFETY: null, or an error of C's, which `parsed` frees.
        match unsafe { message(parsed.raw.error) } {
            Some(message) => Err(Error::Refused(message)),
            None => Ok(parsed),
        }
    }

    /// The list of statements: valid as long as this is.
    pub(crate) fn tree(&self) -> &Pointer<List> {
        &self.raw.tree
    }
}

impl Drop for Parsed {
    fn drop(&mut self) {
        let RawParse { stderr, error, .. } = self.raw;
        // SAFETY: both come from C, are null or allocated there, and are freed here only.
        unsafe {
            pg_query_free_parse_result(ParseResult { parse_tree: ptr::null_mut(), stderr, error });
        }
        // SAFETY: the context that was entered in this thread, and not left since: a `Parsed` cannot go to another.
        unsafe { pg_query_exit_memory_context(self.context) }
    }
}

/// # Errors
///
/// [`Error::Refused`] if the scanner does not take it.
pub(crate) fn scan(text: &CStr) -> Result<Vec<ScanToken>, Error> {
    /// Frees what the scanner has allocated.
    struct Scanned(Tokens);
    impl Drop for Scanned {
        fn drop(&mut self) {
            // SAFETY: as C gave it, and freed here only.
            unsafe { pg_query_free_scan_tokens_result(self.0) }
        }
    }

    // SAFETY: the text ends with a NUL, and is only read. Errors of the scanner, which are jumps in C, are caught within.
    let scanned = Scanned(unsafe { pg_query_scan_tokens(text.as_ptr()) });
    // SAFETY: null, or an error of C's, which `scanned` frees.
    if let Some(message) = unsafe { message(scanned.0.error) } {
        return Err(Error::Refused(message));
    }
    let tokens = match usize::try_from(scanned.0.count) {
        // SAFETY: C gives so many tokens, which `scanned` frees.
        Ok(count) if count > 0 && !scanned.0.first.is_null() => unsafe {
            std::slice::from_raw_parts(scanned.0.first, count)
        },
        // Where there is none, C gives a null pointer, of which no slice can be made.
        _ => &[],
    };
    let token = |it: &Token| ScanToken {
        start: it.start,
        end: it.end,
        token: it.kind,
        keyword_kind: it.keyword_kind,
    };
    Ok(tokens.iter().map(token).collect())
}

/// What an error says; `None` if there is none.
///
/// # Safety
///
/// Null, or an error that C has made and that was not freed.
unsafe fn message(error: *const Failure) -> Option<String> {
    // SAFETY: as this function demands.
    let failure = unsafe { error.as_ref() }?;
    if failure.message.is_null() {
        return Some(String::new());
    }
    // SAFETY: an error's message ends with a NUL, and lives as long as the error.
    let message = unsafe { CStr::from_ptr(failure.message) };
    Some(message.to_string_lossy().into_owned())
}
