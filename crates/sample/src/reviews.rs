//! Reviews: written by customers some days after what they bought arrived.

use std::collections::HashSet;

use crate::calendar::{DAY, Plan, Seconds, day_of};
use crate::random::{Random, Stream};
use crate::rows::Rows;
use crate::sales::Sales;

/// How often somebody looks for something to review before it is left.
const ATTEMPTS: usize = 10;

/// For each number of stars, from one: titles and texts. `{}` stands for the product.
const OPINIONS: [(&[&str], &[&str]); 5] = [
    (
        &["Very disappointed", "Broken after a week", "Do not buy", "Not as described"],
        &[
            "The {} broke after a few days. I want my money back.",
            "Nothing like the pictures. I sent the {} back at once.",
            "Arrived damaged, and it took two weeks to get an answer.",
        ],
    ),
    (
        &["Expected more", "Too expensive for what it is", "Poor quality"],
        &[
            "The {} works, but it feels cheap.",
            "The color is different from the picture, and the finish is rough.",
            "Had to tighten everything myself; for this price I expected more.",
        ],
    ),
    (
        &["It is okay", "Does its job", "Average"],
        &[
            "The {} does what it should, not more.",
            "Good idea, average quality. Delivery took long.",
            "Fine for the price. I would look at others next time.",
        ],
    ),
    (
        &["Good value", "Would buy again", "Happy with it", "Solid"],
        &[
            "I use the {} nearly every day and like it. One star less for the packaging.",
            "Good quality and quick delivery.",
            "Looks as in the pictures. A little smaller than I thought.",
        ],
    ),
    (
        &["Excellent", "Love it!", "Perfect gift", "Highly recommended", "Best purchase this year"],
        &[
            "The {} is even better than I hoped.",
            "Bought it as a present and now I want one too.",
            "Great quality, arrived the next day. Highly recommended!",
            "My second {} already; the first still looks like new.",
        ],
    ),
];

/// What a product of each quality gets: weights of one to five stars.
const STARS: [[(usize, u64); 5]; 4] = [
    [(1, 22), (2, 22), (3, 22), (4, 20), (5, 14)],
    [(1, 8), (2, 9), (3, 19), (4, 36), (5, 28)],
    [(1, 3), (2, 4), (3, 11), (4, 34), (5, 48)],
    [(1, 1), (2, 2), (3, 5), (4, 24), (5, 68)],
];

pub(crate) struct Reviews<'a> {
    pub(crate) sales: &'a Sales<'a>,
    pub(crate) plan: &'a Plan,
    /// Pairs of product and customer that have their review.
    written: HashSet<(usize, usize)>,
}

impl<'a> Reviews<'a> {
    pub(crate) fn new(sales: &'a Sales<'a>, plan: &'a Plan) -> Self {
        Self { sales, plan, written: HashSet::new() }
    }

    /// Writes the review of this number, or nothing if nobody has something new to review.
    pub(crate) fn write(&mut self, number: u64, rows: &mut Rows<'_>) {
        let mut random = Random::new(self.sales.seed, Stream::Review, number);
        let created_at = self.plan.moment(number, &mut random);
        let Some((product, customer)) =
            (0..ATTEMPTS).find_map(|_| self.something_bought(created_at, &mut random))
        else {
            return;
        };
        let about = &self.sales.catalog.products[product];
        let quality = usize::try_from(about.quality - 1).unwrap_or_default();
        let stars = random.weighted(&STARS[quality]);
        let (titles, bodies) = OPINIONS[stars - 1];
        let title = random.chance(780).then(|| random.pick(titles));
        let body = random.chance(620).then(|| random.pick(bodies).replace("{}", &about.name));
        let age_days = (self.sales.calendar.now - created_at) / DAY;
        let most_votes = if body.is_some() { age_days / 25 } else { 0 };
        rows.number(i64::try_from(rows.count()).unwrap_or_default() + 1)
            .number(crate::company::id(product))
            .number(crate::company::id(customer))
            .number(i64::try_from(stars).unwrap_or_default())
            .maybe(title, Rows::text)
            .maybe(body.as_deref(), Rows::text)
            .number(random.skewed(0, most_votes))
            .time(created_at)
            .end();
    }

    fn something_bought(&mut self, at: Seconds, random: &mut Random) -> Option<(usize, usize)> {
        let day = day_of(at) - random.between(3, 45);
        let orders = self.sales.plan.on(day);
        if orders.is_empty() {
            return None;
        }
        let number = orders.start + random.below(orders.end - orders.start);
        let order = self.sales.order(number);
        order.delivered_at().filter(|delivered_at| *delivered_at < at)?;
        let pair = (random.pick(&order.lines).product, order.customer);
        self.written.insert(pair).then_some(pair)
    }
}
