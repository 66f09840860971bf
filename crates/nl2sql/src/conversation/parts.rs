//! Follow-ups that say several things at once: "for chat, by month, in 2025".

use std::ops::Range;

use super::{Changed, Talk, phrase, phrase::Intent};
use crate::{
    time,
    token::{Token, TokenKind},
};

/// The most things that one follow-up may say.
const MOST_PARTS: usize = 4;

impl Talk<'_> {
    /// The last answer with one change after the other; `None` unless the words fall into parts of which each can be applied
    /// and none could begin a question of its own.
    pub(super) fn one_by_one(&self) -> Option<Changed> {
        let parts = self.parts();
        if !(2..=MOST_PARTS).contains(&parts.len()) {
            return None;
        }
        let intents: Option<Vec<(Range<usize>, Intent)>> = parts
            .into_iter()
            .map(|part| {
                let tokens = &self.tokens[part.clone()];
                let read = phrase::read(tokens)?;
                let talk = Talk { tokens, ..*self };
                match read.intent {
                    Intent::Why | Intent::Back => None,
                    Intent::About(what) if !read.surely && !talk.is_fragment(what.clone()) => None,
                    intent => Some((part, intent)),
                }
            })
            .collect();
        let mut intents = intents?.into_iter();
        let (first, intent) = intents.next()?;
        let mut changed = Talk { tokens: &self.tokens[first], ..*self }.change(&intent).ok()?;
        for (part, intent) in intents {
            changed = self
                .then(changed, |talk| Talk { tokens: &self.tokens[part], ..*talk }.change(&intent))
                .ok()?;
        }
        Some(changed)
    }

    /// Where a thing ends and the next one begins: at a comma or an "and", around a time, before what groups, sorts or cuts.
    fn parts(&self) -> Vec<Range<usize>> {
        let tokens = self.tokens;
        let mut end = tokens.len();
        while end > 0 && matches!(tokens[end - 1].kind, TokenKind::Mark('?' | '.' | '!' | ',')) {
            end -= 1;
        }
        let times = time::find(&tokens[..end], self.context.now.date());
        let leads = |it: &Token| {
            matches!(it.lower.as_str(), "in" | "during" | "for" | "of" | "from" | "since" | "on")
        };
        let mut begins = vec![false; end + 1];
        for it in &times {
            // `month by month`: how, not when
            let first = it.first - usize::from(it.first > 0 && leads(&tokens[it.first - 1]));
            begins[first] = true;
            begins[it.end.min(end)] = true;
        }
        for at in 1..end {
            let word = tokens[at].lower.as_str();
            let before = tokens[at - 1].lower.as_str();
            let shapes = matches!(word, "by" | "per" | "sorted" | "ordered" | "sort")
                && !matches!(
                    before,
                    "sort" | "sorted" | "ordered" | "order" | "group" | "grouped" | "split" | "ranked"
                        | "down" | "it" | "that" | "them" | "and"
                )
                // `month by month`
                && tokens.get(at + 1).is_none_or(|it| it.lower != before);
            begins[at] |= shapes || word == "top" && at > 1;
        }
        let separates = |at: usize| {
            matches!(tokens[at].kind, TokenKind::Mark(',' | ';'))
                || at > 0 && matches!(tokens[at].lower.as_str(), "and" | "but")
        };
        let mut parts: Vec<Range<usize>> = Vec::new();
        let mut from = 0;
        for at in 0..=end {
            let cut = at == end || begins[at] || separates(at);
            if !cut {
                continue;
            }
            if from < at {
                parts.push(from..at);
            }
            from = if at < end && separates(at) { at + 1 } else { at };
        }
        // an opener alone says nothing
        parts.retain(|it| {
            !self.tokens[it.clone()].iter().all(|it| {
                matches!(it.lower.as_str(), "and" | "but" | "ok" | "now" | "then" | "please")
            })
        });
        parts
    }
}
