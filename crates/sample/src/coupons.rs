//! Discount codes.

use crate::calendar::{Calendar, Day};
use crate::company::id;
use crate::random::Random;
use crate::rows::Rows;

struct Coupon {
    code: String,
    description: Option<&'static str>,
    percent: i64,
    minimum_cents: Option<i64>,
    valid_from: Day,
    valid_until: Option<Day>,
    /// Handed out, but nobody used it.
    is_unused: bool,
}

pub(crate) struct Coupons(Vec<Coupon>);

/// Code, description, percent, minimum in cents, first month, first day and how many days it works: every year again.
type Campaign = (&'static str, Option<&'static str>, i64, Option<i64>, usize, i64, i64);

const CAMPAIGNS: &[Campaign] = &[
    ("NEWYEAR", Some("Start into the year"), 10, None, 1, 2, 20),
    ("SPRING", Some("Spring cleaning"), 10, Some(5000), 3, 15, 40),
    ("SUMMER", Some("Summer sale"), 15, Some(4000), 7, 1, 45),
    ("SCHOOL", None, 10, Some(3000), 8, 20, 25),
    ("BLACKFRIDAY", Some("Black Friday week"), 20, None, 11, 20, 10),
    ("XMAS", Some("Christmas presents"), 10, Some(6000), 12, 1, 20),
];

impl Coupons {
    pub(crate) fn new(calendar: &Calendar) -> Self {
        let lasting = |code: &str, description, percent, minimum_cents, is_unused| Coupon {
            code: code.to_owned(),
            description,
            percent,
            minimum_cents,
            valid_from: calendar.opening,
            valid_until: None,
            is_unused,
        };
        let mut coupons = vec![
            lasting("WELCOME10", Some("First order"), 10, None, false),
            lasting("FRIENDS15", Some("Brought by a friend"), 15, Some(5000), false),
            lasting("BIGCART5", None, 5, Some(20_000), false),
            lasting("PRESS50", Some("For the press"), 50, None, true),
        ];
        for day in calendar.opening..=calendar.today {
            let civil = calendar.civil(day);
            for &(name, description, percent, minimum_cents, month, first, days) in CAMPAIGNS {
                if civil.month == month && civil.day == first {
                    coupons.push(Coupon {
                        code: format!("{name}{:02}", civil.year % 100),
                        description,
                        percent,
                        minimum_cents,
                        valid_from: day,
                        valid_until: Some(day + days - 1),
                        is_unused: false,
                    });
                }
            }
        }
        Self(coupons)
    }

    /// The index of a coupon that works for this sum on this day, if one does.
    pub(crate) fn one_for(&self, day: Day, items_cents: i64, random: &mut Random) -> Option<usize> {
        let good: Vec<usize> = (0..self.0.len())
            .filter(|&index| {
                let coupon = &self.0[index];
                !coupon.is_unused
                    && coupon.valid_from <= day
                    && coupon.valid_until.is_none_or(|until| day <= until)
                    && coupon.minimum_cents.is_none_or(|minimum| items_cents >= minimum)
            })
            .collect();
        // The latest campaign is the one that people know.
        let last = *good.last()?;
        Some(if random.chance(500) { last } else { random.pick(&good) })
    }

    pub(crate) fn discount_cents(&self, index: usize, items_cents: i64) -> i64 {
        (items_cents * self.0[index].percent + 50) / 100
    }

    pub(crate) fn write(&self, rows: &mut Rows<'_>) {
        for (index, coupon) in self.0.iter().enumerate() {
            rows.number(id(index))
                .text(&coupon.code)
                .maybe(coupon.description, Rows::text)
                .number(coupon.percent)
                .maybe(coupon.minimum_cents, Rows::money)
                .date(coupon.valid_from)
                .maybe(coupon.valid_until, Rows::date)
                .end();
        }
    }
}
