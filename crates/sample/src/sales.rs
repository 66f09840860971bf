//! Orders, and what follows from them: payments, parcels, refunds. An order is a pure function of its number, so that
//! each table is written by going through all orders once more instead of keeping them.

use crate::calendar::{Calendar, DAY, Day, HOUR, MINUTE, Plan, Seconds, day_of, weekday};
use crate::catalog::Catalog;
use crate::coupons::Coupons;
use crate::people::{Customer, People};
use crate::random::{Random, Stream};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Pending,
    Paid,
    Packed,
    Shipped,
    Delivered,
    Cancelled,
    Returned,
}

impl Status {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Paid => "paid",
            Self::Packed => "packed",
            Self::Shipped => "shipped",
            Self::Delivered => "delivered",
            Self::Cancelled => "cancelled",
            Self::Returned => "returned",
        }
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Line {
    /// Index of the product.
    pub(crate) product: usize,
    pub(crate) quantity: i64,
    pub(crate) unit_cents: i64,
}

pub(crate) struct Payment {
    pub(crate) status: &'static str,
    pub(crate) created_at: Seconds,
    pub(crate) paid_at: Option<Seconds>,
}

pub(crate) struct Parcel {
    pub(crate) carrier: &'static str,
    pub(crate) packed_at: Seconds,
    pub(crate) shipped_at: Option<Seconds>,
    pub(crate) promised_on: Day,
    pub(crate) delivered_at: Option<Seconds>,
}

/// Money back from the last payment of an order.
pub(crate) struct Refund {
    pub(crate) cents: i64,
    pub(crate) reason: &'static str,
    pub(crate) at: Seconds,
}

/// An order as it stands now: nothing in it has yet to happen.
pub(crate) struct Order {
    /// Index of the customer.
    pub(crate) customer: usize,
    pub(crate) address: i64,
    /// Index of the coupon.
    pub(crate) coupon: Option<usize>,
    pub(crate) status: Status,
    pub(crate) channel: &'static str,
    pub(crate) method: &'static str,
    pub(crate) discount_cents: i64,
    pub(crate) shipping_cents: i64,
    pub(crate) is_gift: bool,
    pub(crate) ordered_at: Seconds,
    pub(crate) cancelled_at: Option<Seconds>,
    pub(crate) lines: Vec<Line>,
    pub(crate) payments: Vec<Payment>,
    pub(crate) parcels: Vec<Parcel>,
    pub(crate) refund: Option<Refund>,
}

impl Order {
    pub(crate) fn items_cents(&self) -> i64 {
        self.lines.iter().map(|line| line.quantity * line.unit_cents).sum()
    }

    pub(crate) fn total_cents(&self) -> i64 {
        self.items_cents() - self.discount_cents + self.shipping_cents
    }

    /// When the last parcel arrived, if all have.
    pub(crate) fn delivered_at(&self) -> Option<Seconds> {
        let arrivals: Option<Vec<Seconds>> =
            self.parcels.iter().map(|parcel| parcel.delivered_at).collect();
        arrivals?.into_iter().max()
    }
}

/// How an order ends, if time allows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Kept,
    /// Cancelled by the customer before it is packed.
    Cancelled,
    /// Sent back after delivery.
    Returned,
    /// Kept, with a part of the money paid back.
    PartlyRefunded,
    /// A parcel that never arrives.
    Lost,
}

pub(crate) struct Sales<'a> {
    pub(crate) calendar: &'a Calendar,
    pub(crate) catalog: &'a Catalog,
    pub(crate) people: &'a People,
    pub(crate) coupons: &'a Coupons,
    pub(crate) plan: &'a Plan,
    pub(crate) seed: u64,
}

impl Sales<'_> {
    /// The order of this number, which counts from 0.
    pub(crate) fn order(&self, number: u64) -> Order {
        let mut random = Random::new(self.seed, Stream::Order, number);
        let random = &mut random;
        let ordered_at = self.plan.moment(number, random);
        let customer_index = self.people.who_orders(ordered_at, random);
        let customer = &self.people.customers[customer_index];
        let lines = self.lines(ordered_at, customer, random);
        let items_cents: i64 = lines.iter().map(|line| line.quantity * line.unit_cents).sum();
        let coupon = if random.chance(130) {
            self.coupons.one_for(day_of(ordered_at), items_cents, random)
        } else {
            None
        };
        let discount_cents =
            coupon.map_or(0, |coupon| self.coupons.discount_cents(coupon, items_cents));
        let shipping_cents = match (items_cents - discount_cents, customer.country.overseas) {
            (15_000.., _) | (7500.., false) => 0,
            (_, true) => 1495,
            (_, false) => 495,
        };
        let mut order = Order {
            customer: customer_index,
            address: customer.shipping_address(random),
            coupon,
            status: Status::Pending,
            channel: self.channel(ordered_at, random),
            method: random.weighted(if customer.is_business { BUSINESS_METHODS } else { METHODS }),
            discount_cents,
            shipping_cents,
            is_gift: random.chance(60),
            ordered_at,
            cancelled_at: None,
            lines,
            payments: Vec::new(),
            parcels: Vec::new(),
            refund: None,
        };
        self.follow(&mut order, customer, random);
        order
    }

    fn lines(&self, ordered_at: Seconds, customer: &Customer, random: &mut Random) -> Vec<Line> {
        let day = day_of(ordered_at);
        let count = random.weighted(&[(1, 30), (2, 27), (3, 19), (4, 11), (5, 7), (6, 4), (8, 2)]);
        let mut lines: Vec<Line> = Vec::with_capacity(count);
        for _ in 0..count {
            let product = self.catalog.bought_on(day, random);
            let mut quantity = random.weighted(&[(1, 74), (2, 17), (3, 5), (4, 3), (6, 1)]);
            if customer.is_business {
                quantity *= random.between(1, 5);
            }
            match lines.iter_mut().find(|line| line.product == product) {
                Some(line) => line.quantity += quantity,
                None => lines.push(Line {
                    product,
                    quantity,
                    unit_cents: self.catalog.price_on(product, self.calendar, day),
                }),
            }
        }
        lines
    }

    /// Customers move from the web to the app over the years.
    fn channel(&self, ordered_at: Seconds, random: &mut Random) -> &'static str {
        let age = (day_of(ordered_at) - self.calendar.opening).max(0).unsigned_abs();
        let app = 100 + 300 * age / self.calendar.days().unsigned_abs();
        random.weighted(&[
            ("web", 700 - app),
            ("mobile_app", app),
            ("marketplace", 220),
            ("phone", 30),
        ])
    }

    /// Plays the life of an order from checkout up to now.
    fn follow(&self, order: &mut Order, customer: &Customer, random: &mut Random) {
        let fate = random.weighted(&[
            (Fate::Kept, 875),
            (Fate::Cancelled, 42),
            (Fate::Returned, 56),
            (Fate::PartlyRefunded, 24),
            (Fate::Lost, 3),
        ]);
        let paid_at = self.pay(order, fate, random);
        if fate == Fate::Cancelled || order.cancelled_at.is_some() {
            return;
        }
        // An invoice is paid after the goods came; anything else waits for the money.
        let ready_at =
            if order.method == "invoice" { Some(order.ordered_at + 30 * MINUTE) } else { paid_at };
        if let Some(ready_at) = ready_at.and_then(|at| self.calendar.past(at)) {
            self.ship(order, customer, fate, ready_at, random);
        }
        let Some(delivered_at) = order.delivered_at() else { return };
        let is_paid = order.payments.last().is_some_and(|payment| payment.paid_at.is_some());
        let refund_at = delivered_at + random.between(3 * DAY, 18 * DAY);
        if !is_paid || order.method == "invoice" || refund_at > self.calendar.now {
            return;
        }
        match fate {
            Fate::Returned => {
                order.status = Status::Returned;
                let reason = random.weighted(&[
                    ("changed_mind", 40),
                    ("not_as_described", 24),
                    ("damaged", 16),
                    ("wrong_item", 12),
                    ("other", 8),
                ]);
                order.refund = Some(Refund { cents: order.total_cents(), reason, at: refund_at });
                if let Some(payment) = order.payments.last_mut() {
                    payment.status = "refunded";
                }
            }
            Fate::PartlyRefunded => {
                let reason = random.weighted(&[
                    ("damaged", 45),
                    ("late", 35),
                    ("wrong_item", 12),
                    ("other", 8),
                ]);
                let cents = order.total_cents() * random.between(10, 50) / 100;
                order.refund = Some(Refund { cents: cents.max(1), reason, at: refund_at });
            }
            Fate::Kept | Fate::Cancelled | Fate::Lost => {}
        }
    }

    /// Adds the payments, and the cancellation if it comes to that. Returns when the money came or will come.
    fn pay(&self, order: &mut Order, fate: Fate, random: &mut Random) -> Option<Seconds> {
        let mut at = order.ordered_at;
        for _ in 0..random.weighted(&[(0, 940), (1, 50), (2, 10)]) {
            order.payments.push(Payment {
                status: "failed",
                created_at: at.min(self.calendar.now),
                paid_at: None,
            });
            at += random.between(20, 200);
        }
        let created_at = at.min(self.calendar.now);
        let never_paid =
            order.method == "bank_transfer" && fate != Fate::Cancelled && random.chance(70);
        let paid_at = match order.method {
            "bank_transfer" => created_at + random.between(DAY / 2, 4 * DAY),
            "invoice" => created_at + random.between(6 * DAY, 32 * DAY),
            _ => created_at + random.between(2, 90),
        };
        let cancelled_at = match fate {
            Fate::Cancelled => Some(created_at + random.between(10 * MINUTE, 30 * HOUR)),
            // Reserved goods go back on the shelf after two weeks.
            _ if never_paid => Some(created_at + 14 * DAY),
            _ => None,
        };
        let comes = !never_paid && cancelled_at.is_none_or(|cancelled_at| paid_at <= cancelled_at);
        let paid = comes.then_some(paid_at).and_then(|at| self.calendar.past(at));
        let mut payment = Payment {
            status: if paid.is_some() { "succeeded" } else { "pending" },
            created_at,
            paid_at: paid,
        };
        if paid.is_some() {
            order.status = Status::Paid;
        }
        if let Some(cancelled_at) = cancelled_at.and_then(|at| self.calendar.past(at)) {
            order.cancelled_at = Some(cancelled_at);
            order.status = Status::Cancelled;
            let refund_at = cancelled_at + random.between(HOUR, 3 * DAY);
            if paid.is_none() {
                payment.status = "failed";
            } else if refund_at <= self.calendar.now {
                payment.status = "refunded";
                let reason = random.weighted(&[("changed_mind", 70), ("late", 15), ("other", 15)]);
                order.refund = Some(Refund { cents: order.total_cents(), reason, at: refund_at });
            }
        }
        order.payments.push(payment);
        comes.then_some(paid_at)
    }

    fn ship(
        &self,
        order: &mut Order,
        customer: &Customer,
        fate: Fate,
        ready_at: Seconds,
        random: &mut Random,
    ) {
        let overseas = customer.country.overseas;
        let promised_on = day_of(ready_at) + if overseas { 11 } else { 5 };
        let carrier = random.weighted(if overseas { CARRIERS_OVERSEAS } else { CARRIERS });
        let parcels = if order.lines.len() > 1 && random.chance(60) { 2 } else { 1 };
        let mut packed_at = ready_at;
        for _ in 0..parcels {
            packed_at = working(packed_at + random.between(HOUR, 22 * HOUR));
            if packed_at > self.calendar.now {
                break;
            }
            let shipped_at = working(packed_at + random.between(HOUR, 9 * HOUR));
            let mut transit = if overseas {
                random.between(4 * DAY, 9 * DAY)
            } else {
                random.between(DAY * 3 / 4, 3 * DAY)
            };
            if random.chance(70) {
                transit += random.between(2 * DAY, 7 * DAY);
            }
            let shipped = self.calendar.past(shipped_at);
            order.parcels.push(Parcel {
                carrier,
                packed_at,
                shipped_at: shipped,
                promised_on,
                delivered_at: shipped
                    .filter(|_| fate != Fate::Lost)
                    .and_then(|at| self.calendar.past(at + transit)),
            });
        }
        if order.parcels.is_empty() {
            return;
        }
        let all_packed = order.parcels.len() == parcels;
        order.status = if all_packed && order.delivered_at().is_some() {
            Status::Delivered
        } else if order.parcels.iter().any(|parcel| parcel.shipped_at.is_some()) {
            Status::Shipped
        } else {
            Status::Packed
        };
    }
}

const METHODS: &[(&str, u64)] =
    &[("card", 54), ("paypal", 30), ("bank_transfer", 9), ("gift_card", 4), ("invoice", 3)];
const BUSINESS_METHODS: &[(&str, u64)] =
    &[("card", 40), ("invoice", 38), ("bank_transfer", 16), ("paypal", 6)];
const CARRIERS: &[(&str, u64)] = &[("Northway Express", 45), ("ParcelBird", 35), ("SwiftPost", 20)];
const CARRIERS_OVERSEAS: &[(&str, u64)] = &[("Blue Harbor Freight", 55), ("Northway Express", 45)];

/// The same moment, or the next one at which the warehouse works: Monday to Saturday, 6 to 20 o'clock.
fn working(at: Seconds) -> Seconds {
    let (day, second) = (day_of(at), at.rem_euclid(DAY));
    let (day, second) = match second {
        // The work that waited is done through the first hours.
        ..21_600 => (day, 21_600 + second / 3),
        72_000.. => (day + 1, 21_600 + (second - 72_000) / 3),
        _ => (day, second),
    };
    let day = if weekday(day) == 6 { day + 1 } else { day };
    day * DAY + second
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_warehouse_sleeps_at_night_and_on_sundays() {
        let sunday = (0..7).find(|day| weekday(*day) == 6).unwrap() + 7000;
        for second in (0..DAY).step_by(977) {
            for day in [sunday - 1, sunday, sunday + 1] {
                let at = working(day * DAY + second);
                assert!(at >= day * DAY + second);
                assert!(weekday(day_of(at)) != 6);
                assert!((6 * HOUR..=20 * HOUR).contains(&at.rem_euclid(DAY)));
            }
        }
    }
}
