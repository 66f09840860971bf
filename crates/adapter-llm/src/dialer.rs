use std::sync::Arc;

use plinth_egress::Gate;
use plinth_models::{Dial, InvalidModel, ModelDialer};
use plinth_nl2sql::model::LanguageModel;

use crate::{ClientSettings, Endpoint, InvalidClient, ModelClient};

/// Makes clients of models that somebody typed in: each of their calls passes the gate.
#[derive(Clone, Debug)]
pub struct Dialer {
    gate: Gate,
}

impl Dialer {
    /// Behind that gate, the tenants'.
    pub fn new(gate: Gate) -> Self {
        Self { gate }
    }
}

impl ModelDialer for Dialer {
    fn dial(&self, dial: &Dial<'_>) -> Result<Arc<dyn LanguageModel>, InvalidModel> {
        let wrong = |field, rule| InvalidModel { field, rule };
        let endpoint = Endpoint::new(dial.base_url, self.gate.clone())
            .map_err(|_| wrong("base_url", "must be an http or https URL like https://api.example.com/v1, without user name, query and fragment"))?;
        let key = dial.key.cloned();
        let mut settings =
            ClientSettings::new(dial.provider, endpoint, dial.model, key, dial.time_limit);
        settings.authorities = dial.ca_certificate.map(str::to_owned);
        let client = ModelClient::new(settings).map_err(|error| match error {
            InvalidClient::Model => {
                wrong("model", "must be the model's name: 1 to 200 characters, without blanks")
            }
            InvalidClient::Key => wrong("api_key", "holds characters that a header cannot carry"),
            InvalidClient::Authorities(_) => {
                wrong("ca_certificate", "must be certificates of authorities as PEM")
            }
            InvalidClient::Client(_) => {
                wrong("base_url", "cannot be used: TLS could not be set up")
            }
        })?;
        Ok(Arc::new(client))
    }
}
