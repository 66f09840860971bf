use serde::Serialize;
use serde_json::Value;

/// One thing that is wrong with a definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Where, as a JSON pointer into what was sent.
    pub pointer: String,
    /// What is wrong, in a sentence.
    pub message: String,
}

/// All that is wrong, while it is found.
#[derive(Debug, Default)]
pub(crate) struct Faults(pub(crate) Vec<Fault>);

impl Faults {
    pub(crate) fn add(&mut self, pointer: &str, message: impl Into<String>) {
        self.0.push(Fault { pointer: pointer.to_owned(), message: message.into() });
    }
}

/// An object that is read field by field. What nobody asked for by [`Fields::end`] is a fault: a misspelt field must not
/// pass for one that was left out.
pub(crate) struct Fields<'a> {
    pub(crate) pointer: String,
    entries: Option<&'a serde_json::Map<String, Value>>,
    known: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    pub(crate) fn of(value: &'a Value, pointer: &str, faults: &mut Faults) -> Self {
        let entries = value.as_object();
        if entries.is_none() {
            faults.add(pointer, "has to be an object");
        }
        Self { pointer: pointer.to_owned(), entries, known: Vec::new() }
    }

    pub(crate) fn at(&self, name: &str) -> String {
        format!("{}/{name}", self.pointer)
    }

    /// The field, if it is there and not null.
    pub(crate) fn get(&mut self, name: &'static str) -> Option<&'a Value> {
        self.known.push(name);
        self.entries?.get(name).filter(|it| !it.is_null())
    }

    pub(crate) fn need(&mut self, name: &'static str, faults: &mut Faults) -> Option<&'a Value> {
        let found = self.get(name);
        if found.is_none() && self.entries.is_some() {
            faults.add(&self.at(name), "is missing");
        }
        found
    }

    /// A text of 1 to `most` characters; `None` is a fault only where it is there and not one.
    pub(crate) fn text(
        &mut self,
        name: &'static str,
        most: usize,
        faults: &mut Faults,
    ) -> Option<&'a str> {
        let value = self.get(name)?;
        let text = value
            .as_str()
            .filter(|it| !it.trim().is_empty() && it.chars().count() <= most && !it.contains('\0'));
        if text.is_none() {
            faults.add(&self.at(name), format!("has to be a text of 1 to {most} characters"));
        }
        text
    }

    pub(crate) fn need_text(
        &mut self,
        name: &'static str,
        most: usize,
        faults: &mut Faults,
    ) -> Option<&'a str> {
        self.need(name, faults)?;
        self.text(name, most, faults)
    }

    pub(crate) fn whole(
        &mut self,
        name: &'static str,
        range: std::ops::RangeInclusive<u64>,
        faults: &mut Faults,
    ) -> Option<u64> {
        let number = self.get(name)?.as_u64().filter(|it| range.contains(it));
        if number.is_none() {
            let (least, most) = (range.start(), range.end());
            faults.add(&self.at(name), format!("has to be a whole number from {least} to {most}"));
        }
        number
    }

    pub(crate) fn flag(&mut self, name: &'static str, faults: &mut Faults) -> bool {
        match self.get(name) {
            None => false,
            Some(Value::Bool(it)) => *it,
            Some(_) => {
                faults.add(&self.at(name), "has to be true or false");
                false
            }
        }
    }

    /// One of several words.
    pub(crate) fn word<T: Copy>(
        &mut self,
        name: &'static str,
        words: &[(&str, T)],
        faults: &mut Faults,
    ) -> Option<T> {
        let value = self.get(name)?;
        let found = value.as_str().and_then(|it| words.iter().find(|word| word.0 == it));
        if found.is_none() {
            let words: Vec<_> = words.iter().map(|it| format!("`{}`", it.0)).collect();
            faults.add(&self.at(name), format!("has to be one of {}", words.join(", ")));
        }
        found.map(|it| it.1)
    }

    /// What stands in a list of at most `most` items, each with its pointer.
    pub(crate) fn list(
        &mut self,
        name: &'static str,
        most: usize,
        faults: &mut Faults,
    ) -> Vec<(String, &'a Value)> {
        let Some(value) = self.get(name) else { return Vec::new() };
        let pointer = self.at(name);
        match value.as_array() {
            Some(items) if items.len() <= most => {
                items.iter().enumerate().map(|(at, it)| (format!("{pointer}/{at}"), it)).collect()
            }
            _ => {
                faults.add(&pointer, format!("has to be a list of at most {most}"));
                Vec::new()
            }
        }
    }

    /// Finds what nobody asked for.
    pub(crate) fn end(self, faults: &mut Faults) {
        for name in self.entries.into_iter().flat_map(|it| it.keys()) {
            if !self.known.contains(&name.as_str()) {
                let escaped = name.replace('~', "~0").replace('/', "~1");
                faults.add(
                    &format!("{}/{escaped}", self.pointer),
                    "is not a field that belongs here",
                );
            }
        }
    }
}
