use plinth_nl2sql::model::Usage;

use crate::{InvalidModel, ModelRef};

/// An amount in the organization's own currency, whichever that is; kept in billionths, as single tokens cost less than a
/// millionth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Money(i64);

impl Money {
    const NANOS: f64 = 1e9;
    /// The largest amount that can be typed.
    const MOST: f64 = 1e9;

    /// An amount that somebody typed: from 0 to a billion, with six decimals at most.
    ///
    /// # Errors
    ///
    /// [`InvalidModel`] naming `field`.
    pub fn parse(field: &'static str, amount: f64) -> Result<Self, InvalidModel> {
        if !(0.0..=Self::MOST).contains(&amount) {
            return Err(InvalidModel { field, rule: "must be from 0 to 1000000000" });
        }
        #[expect(clippy::cast_possible_truncation, reason = "at most 1e18 by the check above")]
        let micros = (amount * 1e6).round() as i64;
        Ok(Self(micros * 1_000))
    }

    /// As an adapter keeps it: in billionths.
    pub fn nanos(self) -> i64 {
        self.0
    }

    /// What an adapter read back.
    pub fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// As people write it, to six decimals.
    pub fn amount(self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "for reading, and rounded at once")]
        let amount = self.0 as f64 / Self::NANOS;
        (amount * 1e6).round() / 1e6
    }

    /// The sum, which stays at the largest amount there is.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

/// What a million tokens cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prices {
    /// Of what the model reads.
    pub input: Money,
    /// Of what it writes, thoughts included.
    pub output: Money,
}

impl Prices {
    /// What that use costs.
    pub fn cost(&self, usage: Usage) -> Money {
        let part = |tokens: u64, price: Money| i128::from(tokens) * i128::from(price.0) / 1_000_000;
        let nanos =
            part(usage.prompt_tokens, self.input) + part(usage.completion_tokens, self.output);
        Money(i64::try_from(nanos).unwrap_or(i64::MAX))
    }
}

/// How much an organization lets its questions spend in a month of its own time zone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// Tokens, read and written together; `None` for no limit.
    pub tokens: Option<u64>,
    /// Money by its prices; `None` for no limit.
    pub cost: Option<Money>,
}

/// What was spent of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spending {
    /// Tokens, read and written together.
    pub tokens: u64,
    /// Money.
    pub cost: Money,
}

impl Budget {
    /// Whether nothing is left.
    pub fn is_spent(&self, spent: Spending) -> bool {
        self.tokens.is_some_and(|most| spent.tokens >= most)
            || self.cost.is_some_and(|most| spent.cost >= most)
    }
}

/// What an organization decided about models.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelPolicy {
    /// Who answers where a question does not say; `None`: the installation's model, if there is one.
    pub default_model: Option<ModelRef>,
    /// How much may be spent.
    pub budget: Budget,
    /// What the installation's model costs the organization.
    pub installation_prices: Prices,
    /// The currency of all its amounts, as three letters; for reading only, nothing is converted.
    pub currency: Option<String>,
    /// Counts the changes.
    pub revision: i64,
}

/// What to change of it; what is not said stays.
#[derive(Clone, Debug, Default)]
pub struct PolicyPatch {
    /// See [`ModelPolicy::default_model`].
    pub default_model: Option<Option<ModelRef>>,
    /// See [`Budget::tokens`].
    pub tokens: Option<Option<u64>>,
    /// See [`Budget::cost`].
    pub cost: Option<Option<Money>>,
    /// See [`ModelPolicy::installation_prices`].
    pub input_price: Option<Money>,
    /// See [`ModelPolicy::installation_prices`].
    pub output_price: Option<Money>,
    /// See [`ModelPolicy::currency`].
    pub currency: Option<Option<String>>,
}

impl PolicyPatch {
    /// The policy after the change.
    ///
    /// # Errors
    ///
    /// [`InvalidModel`] naming the field.
    pub fn apply(self, before: &ModelPolicy) -> Result<ModelPolicy, InvalidModel> {
        let tokens = self.tokens.unwrap_or(before.budget.tokens);
        if tokens.is_some_and(|it| i64::try_from(it).is_err()) {
            return Err(InvalidModel { field: "monthly_token_budget", rule: "is too large" });
        }
        let currency = self.currency.unwrap_or_else(|| before.currency.clone());
        let is_code = |it: &String| it.len() == 3 && it.bytes().all(|it| it.is_ascii_uppercase());
        if currency.as_ref().is_some_and(|it| !is_code(it)) {
            let rule = "must be three capital letters, like EUR";
            return Err(InvalidModel { field: "currency", rule });
        }
        Ok(ModelPolicy {
            default_model: self.default_model.unwrap_or(before.default_model),
            budget: Budget { tokens, cost: self.cost.unwrap_or(before.budget.cost) },
            installation_prices: Prices {
                input: self.input_price.unwrap_or(before.installation_prices.input),
                output: self.output_price.unwrap_or(before.installation_prices.output),
            },
            currency,
            revision: before.revision + 1,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_tokens_add_up_to_what_a_million_costs() {
        let price = |it| Money::parse("price", it).expect("good");
        let prices = Prices { input: price(0.15), output: price(0.6) };
        let one = Usage { calls: 1, prompt_tokens: 1, completion_tokens: 0 };
        assert_eq!(prices.cost(one).nanos(), 150);
        let many = Usage { calls: 1, prompt_tokens: 1_000_000, completion_tokens: 2_000_000 };
        assert!((prices.cost(many).amount() - 1.35).abs() < 1e-9);
        let all = Usage { calls: 1, prompt_tokens: u64::MAX, completion_tokens: u64::MAX };
        let dear = Prices { input: price(1e9), output: price(1e9) };
        assert_eq!(dear.cost(all).nanos(), i64::MAX);
    }

    #[test]
    fn amounts_have_bounds_and_six_decimals() {
        for bad in [-0.1, f64::NAN, f64::INFINITY, 1e9 + 1.0] {
            assert!(Money::parse("x", bad).is_err(), "{bad}");
        }
        let amount = Money::parse("x", 12.345_678_4).expect("good").amount();
        assert!((amount - 12.345_678).abs() < 1e-12);
    }

    #[test]
    fn a_budget_is_spent_once_either_limit_is_reached() {
        let spent = Spending { tokens: 100, cost: Money(5) };
        let budget = |tokens, cost: Option<i64>| Budget { tokens, cost: cost.map(Money) };
        assert!(!budget(None, None).is_spent(spent));
        assert!(!budget(Some(101), Some(6)).is_spent(spent));
        assert!(budget(Some(100), None).is_spent(spent));
        assert!(budget(Some(101), Some(5)).is_spent(spent));
        assert!(budget(Some(0), None).is_spent(Spending::default()));
    }
}
