use reqwest::Method;
use serde_json::Value;

/// One operation of the document.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    /// Its `operationId`.
    pub(super) id: String,
    pub(super) method: Method,
    /// The path with its parameters in braces.
    pub(super) path: String,
    /// The scope that its description says it needs.
    pub(super) scope: Option<String>,
    /// Whether the document lets anybody call it.
    pub(super) is_public: bool,
}

impl Operation {
    /// Every operation of the document, in the order of the paths.
    pub(super) fn all() -> Vec<Self> {
        let api = serde_json::to_value(plinth_server::http::openapi()).unwrap();
        let mut operations = Vec::new();
        for (path, methods) in api["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                operations.push(Self {
                    id: operation["operationId"].as_str().unwrap().to_owned(),
                    method: method.to_uppercase().parse().unwrap(),
                    path: path.clone(),
                    scope: scope(operation["description"].as_str().unwrap_or_default()),
                    // No requirement at all (`[]`), or one that asks for nothing (`[{}]`).
                    is_public: operation["security"].as_array().is_some_and(|it| {
                        it.iter().all(|it| *it == Value::Object([].into_iter().collect()))
                    }),
                });
            }
        }
        assert!(operations.len() >= 18, "the document has lost its operations");
        operations
    }

    /// The path with these values for its parameters.
    pub(super) fn path_with<'a>(&self, values: impl IntoIterator<Item = &'a str>) -> String {
        let mut values = values.into_iter();
        let mut parts = self.path.split('{');
        let mut path = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (name, rest) = part.split_once('}').unwrap();
            let value = values.next();
            path += value.unwrap_or_else(|| panic!("the sample of {} has no {name}", self.id));
            path += rest;
        }
        assert!(values.next().is_none(), "the sample of {} has too many path values", self.id);
        path
    }
}

/// The scope that is named after "Needs the scope".
fn scope(description: &str) -> Option<String> {
    let text = description.replace('\n', " ");
    let (_, after) = text.split_once("eeds the scope `")?;
    Some(after.split_once('`')?.0.to_owned())
}
