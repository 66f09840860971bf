use plinth_nl2sql::model::{Meter, Usage};

use crate::wire::Said;

/// How many bytes of English, SQL and JSON make a token, about: for servers that do not say what they counted.
const BYTES_A_TOKEN: u64 = 4;

/// What one call has used so far. Told to the meter when it is dropped, also in the middle: who hangs up pays for what
/// was read all the same.
pub(crate) struct Tally<'a> {
    meter: &'a Meter,
    sent_bytes: usize,
    /// What has come.
    pub(crate) said: Said,
    /// Whether the server has begun to answer with success.
    pub(crate) has_begun: bool,
}

impl<'a> Tally<'a> {
    pub(crate) fn new(meter: &'a Meter, sent_bytes: usize) -> Self {
        Self { meter, sent_bytes, said: Said::default(), has_begun: false }
    }
}

impl Drop for Tally<'_> {
    fn drop(&mut self) {
        if !self.has_begun {
            return;
        }
        let estimated = |bytes: usize| (bytes as u64).div_ceil(BYTES_A_TOKEN);
        let said = &self.said;
        self.meter.add(Usage {
            calls: 1,
            prompt_tokens: said.prompt_tokens.unwrap_or_else(|| estimated(self.sent_bytes)),
            completion_tokens: said.completion_tokens.unwrap_or_else(|| estimated(said.text.len())),
        });
    }
}
