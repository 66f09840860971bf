//! What something costs, where the question names the kind of cost: `what did each supplier cost us in fees`.

use super::{Shape, Words, kinds::spoken};

/// See the module.
pub(super) fn costs<'a>(words: &Words<'a>) -> Option<Shape<'a>> {
    let end = words.end();
    let from = words.says(
        0,
        &[
            "what did|do|does each|every",
            "what did|do|does each|every of our",
            "how much did|do|does each|every",
        ],
    )?;
    let (at, until) = words.find(&["cost|costs us in", "cost|costs in", "cost|costs us on"])?;
    if from >= at || until >= end {
        return None;
    }
    // the kind of cost is one word or two; what follows says when and of what
    let kind = until + 1;
    let place = words.0[at].clone();
    let mut tokens = spoken("total", &place, &[&words.0[until..kind]]);
    tokens.extend(spoken("per", &place, &[&words.0[from..at], &words.0[kind..end]]));
    Some(Shape { tokens, wrap: Box::new(|query, _| (!query.group.is_empty()).then_some(query)) })
}
