use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, Value};

/// The largest text that a template may become, and that a filter or an operator may make, in bytes.
pub(super) const LARGEST: usize = 1024 * 1024;

/// What one rendering may do: each part of an expression costs [`STEP`], and what it reads and makes its size in bytes. So
/// what it holds at any time is bounded, and how long it takes.
const WORK: usize = 64 * 1024 * 1024;

/// What a part of an expression costs, an entry of a list, and a value inside of another.
pub(super) const STEP: usize = 32;
const ENTRY: usize = 8;
const JSON_ENTRY: usize = 64;

/// For how long one rendering may go on whatever it counts: a few times what [`WORK`] takes on a busy machine, so that nothing
/// that costs more than is thought holds a processor for minutes.
const LONGEST: Duration = Duration::from_secs(10);

/// How much work lies between two looks at the clock.
const LOOK_EVERY: usize = 64 * 1024;

/// How deep values stand inside of each other: a little more than JSON that comes from outside.
const DEEPEST: usize = 150;

/// Counts what a rendering does. What is about to be made is counted before it is.
#[derive(Debug)]
pub(super) struct Meter {
    left: AtomicUsize,
    until: Instant,
}

impl Meter {
    pub(super) fn new(until: Instant) -> Self {
        Self { left: AtomicUsize::new(WORK), until }
    }

    /// When what begins now has to be done.
    pub(super) fn deadline() -> Instant {
        Instant::now() + LONGEST
    }

    /// # Errors
    ///
    /// If that is more than is left; then nothing is left.
    pub(super) fn spend(&self, work: usize) -> Result<(), Error> {
        let before = self.left();
        let mut left = before.checked_sub(work);
        let is_look = left.is_some_and(|it| it / LOOK_EVERY != before / LOOK_EVERY);
        if is_look && Instant::now() > self.until {
            left = None;
        }
        self.left.store(left.unwrap_or_default(), Ordering::Relaxed);
        left.map(|_| ()).ok_or_else(|| refused("takes too long, or holds too much at once"))
    }

    /// How much more may be done.
    pub(super) fn left(&self) -> usize {
        self.left.load(Ordering::Relaxed)
    }

    /// Counts a value with all that is in it, as often as it is in it.
    pub(super) fn weigh(&self, value: &Value) -> Result<(), Error> {
        self.weigh_at(value, ENTRY, false, 0)
    }

    /// The same of a value that becomes JSON, whose entries are larger.
    pub(super) fn weigh_as_json(&self, value: &Value) -> Result<(), Error> {
        self.weigh_at(value, JSON_ENTRY, false, 0)
    }

    /// The same of a value of which every part has to be there.
    pub(super) fn weigh_whole(&self, value: &Value) -> Result<(), Error> {
        self.weigh_at(value, ENTRY, true, 0)
    }

    fn weigh_at(
        &self,
        value: &Value,
        entry: usize,
        is_whole: bool,
        depth: usize,
    ) -> Result<(), Error> {
        if is_whole && value.is_undefined() {
            return Err(ErrorKind::UndefinedError.into());
        }
        if depth > DEEPEST {
            return Err(refused("puts values too deep inside of each other"));
        }
        self.spend(entry + value.as_str().map_or(0, str::len))?;
        match value.kind() {
            ValueKind::Map => {
                for key in value.try_iter()? {
                    self.weigh_at(&key, entry, is_whole, depth + 1)?;
                    self.weigh_at(&value.get_item(&key)?, entry, is_whole, depth + 1)?;
                }
            }
            ValueKind::Seq | ValueKind::Iterable => {
                for it in value.try_iter()? {
                    self.weigh_at(&it, entry, is_whole, depth + 1)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Counts a value without what is in it.
    pub(super) fn glance(&self, value: &Value) -> Result<(), Error> {
        self.spend(ENTRY + value.as_str().map_or(0, str::len))
    }

    /// The entries of a list, the keys of a map, the letters of a text. Those that are lists which are only read when somebody
    /// asks are read now.
    pub(super) fn entries(&self, value: &Value) -> Result<Vec<Value>, Error> {
        self.entries_at(value, 0)
    }

    fn entries_at(&self, value: &Value, depth: usize) -> Result<Vec<Value>, Error> {
        if depth > DEEPEST {
            return Err(refused("puts values too deep inside of each other"));
        }
        let mut entries = Vec::new();
        for it in value.try_iter()? {
            self.spend(STEP)?;
            let is_read = it.kind() != ValueKind::Iterable;
            entries.push(if is_read { it } else { self.entries_at(&it, depth + 1)?.into() });
        }
        Ok(entries)
    }

    /// What a filter or an operator made, as it is kept: counted, of one piece, and trusted by nobody.
    pub(super) fn keep(&self, name: &str, made: Value) -> Result<Value, Error> {
        match made.kind() {
            ValueKind::String => {
                let text = made.as_str().unwrap_or_default();
                short(name, text.len())?;
                self.spend(STEP + text.len())?;
                Ok(if made.is_safe() { Value::from(text) } else { made })
            }
            // Some are only read when somebody asks: read once more each time, and inside of each other without a bound.
            ValueKind::Iterable => {
                let made = Value::from(self.entries(&made)?);
                self.weigh_whole(&made)?;
                Ok(made)
            }
            ValueKind::Seq | ValueKind::Map => {
                self.weigh_whole(&made)?;
                Ok(made)
            }
            _ => Ok(made),
        }
    }
}

/// A text that is being written, and is never too long.
#[derive(Default)]
pub(super) struct Short(pub(super) String);

impl fmt::Write for Short {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0.len() + text.len() > LARGEST {
            return Err(fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

/// A value as a text of a filter or an operator, if that is short enough: null as nothing, truth as JSON writes it.
pub(super) fn written(name: &str, value: &Value) -> Result<String, Error> {
    let mut text = Short::default();
    let write = match value.kind() {
        ValueKind::None => Ok(()),
        ValueKind::Bool => text.write_str(if value.is_true() { "true" } else { "false" }),
        _ => write!(text, "{value}"),
    };
    write.map_err(|_| too_long(name))?;
    Ok(text.0)
}

pub(super) fn too_long(name: &str) -> Error {
    refused(format!("`{name}` makes a text of more than {LARGEST} bytes"))
}

/// Says whether what `name` is about to make is short enough.
pub(super) fn short(name: &str, bytes: usize) -> Result<(), Error> {
    if bytes > LARGEST {
        return Err(too_long(name));
    }
    Ok(())
}

pub(super) fn refused(text: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidOperation, text)
}
