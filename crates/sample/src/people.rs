//! Customers and their addresses, and who orders when.

use crate::calendar::{Calendar, DAY, Day, Plan, Seconds, day_of};
use crate::random::{Random, Stream};
use crate::rows::Rows;
use crate::words::{COMPANY_ENDINGS, COUNTRIES, Country, GIVEN_NAMES, fill, surname};

/// Customers signed up for this long before the first day of sales.
const HEAD_START_DAYS: i64 = 120;

/// What an order has to know about its customer.
pub(crate) struct Customer {
    pub(crate) created_at: Seconds,
    pub(crate) country: &'static Country,
    pub(crate) is_business: bool,
    /// Id of the first of the customer's addresses; the shipping addresses come first.
    first_address: i64,
    shipping_addresses: i64,
    billing_addresses: i64,
    pub(crate) last_order_at: Option<Seconds>,
}

impl Customer {
    /// The id of one of the shipping addresses. Who orders has one.
    pub(crate) fn shipping_address(&self, random: &mut Random) -> i64 {
        // Mostly the default one, which is the first.
        let other = random.between(0, self.shipping_addresses - 1);
        self.first_address + if random.chance(700) { 0 } else { other }
    }
}

pub(crate) struct People {
    pub(crate) customers: Vec<Customer>,
    first_day: Day,
    /// Customers by sign-up, each as often as they order.
    pool: Vec<usize>,
    /// Length of `pool` at the end of each day.
    pool_ends: Vec<usize>,
}

impl People {
    pub(crate) fn new(calendar: &Calendar, seed: u64, total: u64) -> Self {
        let first_day = calendar.opening - HEAD_START_DAYS;
        let plan = Plan::new(calendar, seed, first_day, total);
        let countries: Vec<(&'static Country, u64)> =
            COUNTRIES.iter().map(|country| (country, country.weight)).collect();
        let mut customers = Vec::new();
        let mut next_address = 1;
        let mut pool = Vec::new();
        let mut pool_ends = Vec::new();
        for day in first_day..=calendar.today {
            for number in plan.on(day) {
                let mut random = Random::new(seed, Stream::Customer, number);
                let created_at = plan.moment(number, &mut random);
                // How often the customer orders, compared with others; 0 is never.
                let orders_often = random.weighted(&[(0, 22), (1, 44), (3, 25), (9, 9)]);
                // Who signed up before the shop opened wanted to order.
                let orders_often =
                    if day < calendar.opening { orders_often.max(1) } else { orders_often };
                let has_address = orders_often > 0 || random.chance(600);
                let shipping_addresses =
                    if has_address { random.weighted(&[(1, 80), (2, 16), (3, 4)]) } else { 0 };
                let is_business = random.chance(90);
                let billing_addresses =
                    i64::from(has_address && (is_business || random.chance(250)));
                pool.extend(std::iter::repeat_n(customers.len(), orders_often));
                customers.push(Customer {
                    created_at,
                    country: random.weighted(&countries),
                    is_business,
                    first_address: next_address,
                    shipping_addresses,
                    billing_addresses,
                    last_order_at: None,
                });
                next_address += shipping_addresses + billing_addresses;
            }
            pool_ends.push(pool.len());
        }
        Self { customers, first_day, pool, pool_ends }
    }

    /// How long the pool was at the end of a day.
    fn pool_end(&self, day: Day) -> usize {
        let place = usize::try_from(day - self.first_day).unwrap_or_default();
        self.pool_ends[place.min(self.pool_ends.len() - 1)]
    }

    /// The index of a customer who orders at this time.
    pub(crate) fn who_orders(&self, at: Seconds, random: &mut Random) -> usize {
        let day = day_of(at);
        let end = self.pool_end(day);
        // Those who came lately order more than those of long ago.
        let recent = (end / 8).max(60).min(end);
        let place = if random.chance(400) {
            end - recent + random.index(recent)
        } else {
            random.index(end)
        };
        let customer = self.pool[place];
        if self.customers[customer].created_at <= at {
            customer
        } else {
            // Signs up later today: somebody of the days before.
            self.pool[random.index(self.pool_end(day - 1))]
        }
    }

    /// The index of any customer who has an account at this time.
    pub(crate) fn anybody(&self, at: Seconds, random: &mut Random) -> usize {
        random.index(self.customers.partition_point(|customer| customer.created_at <= at).max(1))
    }

    pub(crate) fn write_customer(
        &self,
        index: usize,
        calendar: &Calendar,
        seed: u64,
        rows: &mut Rows<'_>,
    ) {
        let customer = &self.customers[index];
        let mut random = details(seed, index);
        let first_name = random.pick(GIVEN_NAMES);
        let last_name = surname(&mut random);
        let id = crate::company::id(index);
        let domain =
            random.pick(&["example.com", "example.org", "example.net", "mail.test", "post.test"]);
        let email =
            format!("{}.{}{id}@{domain}", first_name.to_lowercase(), last_name.to_lowercase());
        let phone = random.chance(680).then(|| fill(customer.country.phone, &mut random));
        let company = customer
            .is_business
            .then(|| format!("{} {}", surname(&mut random), random.pick(COMPANY_ENDINGS)));
        let birth_date =
            random.chance(550).then(|| calendar.today - random.between(18 * 366, 78 * 365));
        // Marketing moved from search ads to social media over the years.
        let age = (day_of(customer.created_at) - calendar.opening)
            .clamp(0, calendar.days())
            .unsigned_abs();
        let share = 100 * age / calendar.days().unsigned_abs();
        let acquired_through = random.weighted(&[
            ("organic", 300),
            ("search_ads", 280 - share),
            ("social", 100 + 2 * share),
            ("newsletter", 70),
            ("referral", 110),
            ("partner", 60),
        ]);
        // Who ordered was there at the last order at least.
        let (since, within) = match customer.last_order_at {
            Some(at) => (at, 45 * DAY),
            None => (customer.created_at, 200 * DAY),
        };
        let never = customer.last_order_at.is_none() && random.chance(350);
        let last_login_at =
            (!never).then(|| random.between(since, (since + within).min(calendar.now)));
        rows.number(id)
            .text(first_name)
            .text(&last_name)
            .text(&email)
            .maybe(phone.as_deref(), Rows::text)
            .maybe(company.as_deref(), Rows::text)
            .text(home(customer.country, seed, index))
            .text(customer.country.name)
            .maybe(birth_date, Rows::date)
            .text(acquired_through)
            .flag(random.chance(460))
            .time(customer.created_at)
            .maybe(last_login_at, Rows::time)
            .end();
    }

    pub(crate) fn write_addresses(&self, index: usize, seed: u64, rows: &mut Rows<'_>) {
        let customer = &self.customers[index];
        let country = customer.country;
        for place in 0..customer.shipping_addresses + customer.billing_addresses {
            let id = customer.first_address + place;
            let mut random = Random::new(seed, Stream::Customer, 2_000_000_000 + id.unsigned_abs());
            let is_shipping = place < customer.shipping_addresses;
            let is_default = place == 0 || !is_shipping;
            let number = random.between(1, 180);
            let street = random.pick(country.streets);
            let street = if country.number_first {
                format!("{number} {street}")
            } else {
                format!("{street} {number}")
            };
            let city =
                if is_default { home(country, seed, index) } else { random.pick(country.cities) };
            rows.number(id)
                .number(crate::company::id(index))
                .text(if is_shipping { "shipping" } else { "billing" })
                .text(&street)
                .text(&fill(country.postal_code, &mut random))
                .text(city)
                .text(country.name)
                .flag(is_default)
                .end();
        }
    }
}

/// Chance for what only the customer's own row says.
fn details(seed: u64, index: usize) -> Random {
    Random::new(seed, Stream::Customer, 1_000_000_000 + index as u64)
}

/// The city where a customer lives.
fn home(country: &'static Country, seed: u64, index: usize) -> &'static str {
    let mut random = Random::new(seed, Stream::Customer, 3_000_000_000 + index as u64);
    // The first city is the largest.
    if random.chance(300) { country.cities[0] } else { random.pick(country.cities) }
}
