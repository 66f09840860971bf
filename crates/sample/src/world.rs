//! Everything that the sample holds, and how each table is written.

use crate::calendar::{Calendar, Plan};
use crate::catalog::Catalog;
use crate::company::{Company, id};
use crate::coupons::Coupons;
use crate::people::People;
use crate::random::{Random, Stream};
use crate::reviews::Reviews;
use crate::rows::Rows;
use crate::sales::{Order, Sales};
use crate::support::{Support, row_id};

const CUSTOMERS: u64 = 12_000;
const ORDERS: u64 = 46_000;
const REVIEWS: u64 = 11_000;
const TICKETS: u64 = 9_500;

/// A table of the sample, in an order in which every table comes after those it refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    Departments,
    Employees,
    Suppliers,
    Categories,
    Products,
    Customers,
    Addresses,
    Coupons,
    Orders,
    OrderItems,
    Payments,
    Shipments,
    Refunds,
    Reviews,
    Tickets,
    TicketMessages,
}

impl Table {
    pub(crate) const ALL: [Self; 16] = [
        Self::Departments,
        Self::Employees,
        Self::Suppliers,
        Self::Categories,
        Self::Products,
        Self::Customers,
        Self::Addresses,
        Self::Coupons,
        Self::Orders,
        Self::OrderItems,
        Self::Payments,
        Self::Shipments,
        Self::Refunds,
        Self::Reviews,
        Self::Tickets,
        Self::TicketMessages,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Departments => "departments",
            Self::Employees => "employees",
            Self::Suppliers => "suppliers",
            Self::Categories => "categories",
            Self::Products => "products",
            Self::Customers => "customers",
            Self::Addresses => "addresses",
            Self::Coupons => "coupons",
            Self::Orders => "orders",
            Self::OrderItems => "order_items",
            Self::Payments => "payments",
            Self::Shipments => "shipments",
            Self::Refunds => "refunds",
            Self::Reviews => "reviews",
            Self::Tickets => "tickets",
            Self::TicketMessages => "ticket_messages",
        }
    }

    /// The columns in the order in which they are written, if not all of them are.
    pub(crate) fn columns(self) -> &'static str {
        match self {
            // The rest is computed by the database.
            Self::OrderItems => "(id, order_id, product_id, quantity, unit_price)",
            _ => "",
        }
    }
}

/// Writes a few rows more at each call; `false` when there are none left.
pub(crate) type Source<'a> = Box<dyn FnMut(&mut Rows<'_>) -> bool + Send + 'a>;

pub(crate) struct World {
    seed: u64,
    pub(crate) calendar: Calendar,
    company: Company,
    catalog: Catalog,
    people: People,
    coupons: Coupons,
    orders: Plan,
    reviews: Plan,
    tickets: Plan,
}

impl World {
    pub(crate) fn new(calendar: Calendar, seed: u64, scale_percent: u32) -> Self {
        let scaled = |count: u64| count * u64::from(scale_percent) / 100;
        let plan = |count, salt| Plan::new(&calendar, seed ^ salt, calendar.opening, scaled(count));
        let mut world = Self {
            seed,
            company: Company::new(&calendar, seed),
            catalog: Catalog::new(&calendar, seed),
            people: People::new(&calendar, seed, scaled(CUSTOMERS)),
            coupons: Coupons::new(&calendar),
            orders: plan(ORDERS, 0),
            // Other noise than that of orders, so that a busy day in one is not a busy day in all.
            reviews: plan(REVIEWS, 1),
            tickets: plan(TICKETS, 2),
            calendar,
        };
        let mut last_orders = vec![None; world.people.customers.len()];
        let sales = world.sales();
        for number in 0..world.orders.len() {
            let order = sales.order(number);
            last_orders[order.customer] = Some(order.ordered_at);
        }
        for (customer, last_order_at) in world.people.customers.iter_mut().zip(last_orders) {
            customer.last_order_at = last_order_at;
        }
        world
    }

    pub(crate) fn sales(&self) -> Sales<'_> {
        Sales {
            calendar: &self.calendar,
            catalog: &self.catalog,
            people: &self.people,
            coupons: &self.coupons,
            plan: &self.orders,
            seed: self.seed,
        }
    }

    /// The rows of a table. `sales` are this world's.
    pub(crate) fn source<'a>(&'a self, table: Table, sales: &'a Sales<'a>) -> Source<'a> {
        let (calendar, seed) = (&self.calendar, self.seed);
        let customers = self.people.customers.len() as u64;
        let support = Support { sales, company: &self.company, plan: &self.tickets };
        match table {
            Table::Departments => once(Company::write_departments),
            Table::Employees => once(|rows| self.company.write_employees(rows)),
            Table::Suppliers => once(move |rows| Catalog::write_suppliers(calendar, seed, rows)),
            Table::Categories => once(Catalog::write_categories),
            Table::Products => once(move |rows| self.catalog.write_products(calendar, seed, rows)),
            Table::Customers => each(customers, move |number, rows| {
                self.people.write_customer(index(number), calendar, seed, rows);
            }),
            Table::Addresses => each(customers, move |number, rows| {
                self.people.write_addresses(index(number), seed, rows);
            }),
            Table::Coupons => once(|rows| self.coupons.write(rows)),
            Table::Orders => {
                self.each_order(sales, |number, order, rows| self.write_order(number, order, rows))
            }
            Table::OrderItems => self.each_order(sales, |number, order, rows| {
                for line in &order.lines {
                    rows.number(row_id(rows.count()))
                        .number(row_id(number))
                        .number(id(line.product))
                        .number(line.quantity)
                        .money(line.unit_cents)
                        .end();
                }
            }),
            Table::Payments => self.each_order(sales, |number, order, rows| {
                for (payment, attempt) in order.payments.iter().zip(1..) {
                    rows.number(row_id(rows.count()))
                        .number(row_id(number))
                        .text(&format!("PAY-{:07}-{attempt}", row_id(number)))
                        .text(order.method)
                        .text(payment.status)
                        .money(order.total_cents())
                        .time(payment.created_at)
                        .maybe(payment.paid_at, Rows::time)
                        .end();
                }
            }),
            Table::Shipments => self.each_order(sales, |number, order, rows| {
                for (parcel, place) in order.parcels.iter().zip(1..) {
                    let tracking = format!("{}{:08}{place}", &parcel.carrier[..1], row_id(number));
                    rows.number(row_id(rows.count()))
                        .number(row_id(number))
                        .text(parcel.carrier)
                        .maybe(parcel.shipped_at.map(|_| tracking.as_str()), Rows::text)
                        .time(parcel.packed_at)
                        .maybe(parcel.shipped_at, Rows::time)
                        .date(parcel.promised_on)
                        .maybe(parcel.delivered_at, Rows::time)
                        .end();
                }
            }),
            Table::Refunds => {
                let mut payments = 0;
                self.each_order(sales, move |number, order, rows| {
                    payments += id(order.payments.len()) - 1;
                    self.write_refund(number, order, payments, rows);
                })
            }
            Table::Reviews => {
                let mut reviews = Reviews::new(sales, &self.reviews);
                each(self.reviews.len(), move |number, rows| reviews.write(number, rows))
            }
            Table::Tickets => {
                each(self.tickets.len(), move |number, rows| support.write_ticket(number, rows))
            }
            Table::TicketMessages => {
                each(self.tickets.len(), move |number, rows| support.write_messages(number, rows))
            }
        }
    }

    fn each_order<'a>(
        &self,
        sales: &'a Sales<'a>,
        mut write: impl FnMut(u64, &Order, &mut Rows<'_>) + Send + 'a,
    ) -> Source<'a> {
        each(self.orders.len(), move |number, rows| write(number, &sales.order(number), rows))
    }

    fn write_order(&self, number: u64, order: &Order, rows: &mut Rows<'_>) {
        let year = self.calendar.civil(crate::calendar::day_of(order.ordered_at)).year;
        rows.number(row_id(number))
            .text(&format!("SO-{year}-{:06}", row_id(number)))
            .number(id(order.customer))
            .number(order.address)
            .maybe(order.coupon.map(id), Rows::number)
            .text(order.status.label())
            .text(order.channel)
            .money(order.items_cents())
            .money(order.discount_cents)
            .money(order.shipping_cents)
            .money(order.total_cents())
            .flag(order.is_gift)
            .time(order.ordered_at)
            .maybe(order.cancelled_at, Rows::time)
            .end();
    }

    fn write_refund(&self, number: u64, order: &Order, payment: i64, rows: &mut Rows<'_>) {
        const NOTES: &[&str] = &[
            "Pictures were sent.",
            "As agreed on the phone.",
            "Goodwill.",
            "Parcel came back unopened.",
        ];
        let Some(refund) = &order.refund else { return };
        let mut random = Random::new(self.seed, Stream::Order, number + (1 << 40));
        // Small sums are paid back without asking.
        let approved_by =
            (refund.cents > 5000).then(|| self.company.accountant(refund.at, &mut random));
        rows.number(row_id(rows.count()))
            .number(payment)
            .maybe(approved_by, Rows::number)
            .money(refund.cents)
            .text(refund.reason)
            .maybe(random.chance(250).then(|| random.pick(NOTES)), Rows::text)
            .time(refund.at)
            .end();
    }
}

/// All rows at one call.
fn once<'a>(write: impl Fn(&mut Rows<'_>) + Send + 'a) -> Source<'a> {
    Box::new(move |rows| {
        write(rows);
        false
    })
}

/// The rows of one number at each call.
fn each<'a>(count: u64, mut write: impl FnMut(u64, &mut Rows<'_>) + Send + 'a) -> Source<'a> {
    let mut next = 0;
    Box::new(move |rows| {
        if next < count {
            write(next, rows);
            next += 1;
        }
        next < count
    })
}

fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FNV-1a over everything that goes to the server.
    fn checksum(now: &str, seed: u64, table: Table) -> u64 {
        let calendar = Calendar::new(now.parse().unwrap()).unwrap();
        let world = World::new(calendar, seed, 2);
        let sales = world.sales();
        let mut source = world.source(table, &sales);
        let mut rows = Rows::new(&world.calendar);
        while source(&mut rows) {}
        rows.take().iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
            (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }

    /// These numbers change only when the sample is changed on purpose; they are the same on every platform.
    #[test]
    fn the_same_seed_and_time_give_the_same_rows_everywhere() {
        let now = "2026-11-20T16:30:00Z";
        let sums = [
            Table::Employees,
            Table::Products,
            Table::Customers,
            Table::OrderItems,
            Table::TicketMessages,
        ]
        .map(|table| format!("{table:?} {:016x}", checksum(now, 1, table)));
        assert_eq!(
            sums,
            [
                "Employees 2c8cfba223ea00b5",
                "Products d2b482c5302efe62",
                "Customers 72b601ee4cddd00a",
                "OrderItems dcb0544ff6b29f2f",
                "TicketMessages ac3ed2f3b742266f",
            ]
        );
    }

    #[test]
    fn another_seed_or_time_gives_other_rows() {
        let now = "2026-11-20T16:30:00Z";
        for table in [Table::Orders, Table::Customers, Table::Tickets] {
            let sum = checksum(now, 1, table);
            assert_eq!(sum, checksum(now, 1, table));
            assert_ne!(sum, checksum(now, 2, table));
            assert_ne!(sum, checksum("2026-11-21T16:30:00Z", 1, table));
        }
    }

    #[test]
    fn tables_are_those_of_the_schema() {
        let created: Vec<&str> = crate::SCHEMA
            .lines()
            .filter_map(|line| line.strip_prefix("CREATE TABLE ")?.strip_suffix(" ("))
            .collect();
        assert_eq!(created, Table::ALL.map(Table::name));
    }

    #[test]
    fn users_find_every_table_column_and_value_described() {
        const GUIDE: &str = include_str!("../../../docs/sample-database.md");
        for table in crate::SCHEMA.split("CREATE TABLE ").skip(1) {
            let (name, rest) = table.split_once(" (").unwrap();
            let section =
                GUIDE.split(&format!("\n### {name}\n")).nth(1).unwrap_or_else(|| panic!("{name}"));
            let section = section.split("\n#").next().unwrap();
            let columns = rest.split("\n);").next().unwrap().lines().filter_map(|line| {
                let column = line.strip_prefix("    ")?.split(' ').next()?;
                column.starts_with(|first: char| first.is_ascii_lowercase()).then_some(column)
            });
            for column in columns {
                assert!(section.contains(&format!("`{column}`")), "{name}.{column}");
            }
        }
        for values in crate::SCHEMA.lines().filter_map(|line| line.split_once(" AS ENUM (")) {
            for value in values.1.trim_end_matches(");").split(", ") {
                let value = value.trim_matches('\'');
                assert!(GUIDE.contains(&format!("`{value}`")), "{value}");
            }
        }
    }
}
