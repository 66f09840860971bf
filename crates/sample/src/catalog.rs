//! Suppliers, categories and products, and which product is bought when.

use crate::calendar::{Calendar, Day};
use crate::company::id;
use crate::random::{Random, Stream};
use crate::rows::Rows;
use crate::words::{
    CATEGORIES, COLORS, COUNTRIES, Country, SERIES, SUPPLIER_ENDINGS, Season, Shelf, fill, surname,
};

const SUPPLIERS: usize = 42;
const PRODUCTS_PER_SHELF: usize = 16;

pub(crate) struct Product {
    pub(crate) name: String,
    shelf: &'static Shelf,
    /// Index of the lower-level category.
    category: usize,
    supplier: usize,
    price_cents: i64,
    cost_cents: i64,
    launched_on: Day,
    discontinued_on: Option<Day>,
    /// How often it is bought, compared with others; 0 is never.
    demand: u64,
    /// 1 (bad) to 4 (excellent): what reviews of it are like.
    pub(crate) quality: u64,
    on_sale_in_summer: bool,
    on_sale_in_november: bool,
}

pub(crate) struct Catalog {
    pub(crate) products: Vec<Product>,
    first_week: Day,
    /// For each week of the history, the running sum of demand over all products.
    demand: Vec<Vec<u64>>,
    this_year: i64,
}

impl Catalog {
    pub(crate) fn new(calendar: &Calendar, seed: u64) -> Self {
        let mut products = Vec::new();
        let mut category = 0;
        for (_, shelves) in CATEGORIES {
            category += 1;
            for shelf in *shelves {
                let own = category;
                category += 1;
                for place in 0..PRODUCTS_PER_SHELF {
                    let Some(goods) = shelf.goods.get(place % shelf.goods.len().max(1)) else {
                        break;
                    };
                    let index = products.len();
                    let mut random = Random::new(seed, Stream::Product, index as u64);
                    let series = SERIES[(own * 5 + place) % SERIES.len()];
                    let (low, high) = shelf.dollars;
                    // Cheap goods are more frequent than expensive ones.
                    let dollars = random.skewed(low, high);
                    let price_cents = end_in_nine(dollars * 100 + random.between(0, 99));
                    let launched_on = match index % 10 {
                        0..=5 => calendar.opening - random.between(10, 900),
                        6..=8 => random.between(calendar.opening, calendar.today),
                        _ => random.between(calendar.today - 150, calendar.today),
                    };
                    let is_old = calendar.today - launched_on > 300;
                    let discontinued_on = (is_old && random.chance(130))
                        .then(|| random.between(launched_on + 200, calendar.today));
                    // A few products sell much, most sell some, and one in twenty-five sells never.
                    let rank = random.between(0, 600).unsigned_abs();
                    let demand = if random.chance(40) { 0 } else { 1_000_000 / (rank + 30) };
                    products.push(Product {
                        name: format!("{series} {goods}"),
                        shelf,
                        category: own,
                        supplier: random.index(SUPPLIERS - 3),
                        price_cents,
                        cost_cents: price_cents * random.between(380, 720) / 1000,
                        launched_on,
                        discontinued_on,
                        demand,
                        quality: random.weighted(&[(1, 8), (2, 27), (3, 45), (4, 20)]),
                        on_sale_in_summer: random.chance(220),
                        on_sale_in_november: random.chance(350),
                    });
                }
            }
        }
        let weeks = calendar.days() / 7 + 1;
        let demand = (0..weeks)
            .map(|week| {
                let from = calendar.opening + week * 7;
                let until = (from + 6).min(calendar.today);
                let month = calendar.civil(until).month;
                let mut sum = 0;
                let add = |product: &Product| {
                    if product.launched_on <= from
                        && product.discontinued_on.is_none_or(|day| day > until)
                    {
                        sum += product.demand * seasonal(product.shelf.season, month);
                    }
                    sum
                };
                products.iter().map(add).collect()
            })
            .collect();
        Self {
            products,
            first_week: calendar.opening,
            demand,
            this_year: calendar.civil(calendar.today).year,
        }
    }

    /// The index of a product that somebody buys on this day.
    pub(crate) fn bought_on(&self, day: Day, random: &mut Random) -> usize {
        let week = usize::try_from((day - self.first_week) / 7).unwrap_or_default();
        let sums = &self.demand[week.min(self.demand.len() - 1)];
        let place = random.below(sums.last().copied().unwrap_or_default());
        sums.partition_point(|sum| *sum <= place)
    }

    /// What a unit costs the customer on this day: prices rise in January, and there are sales.
    pub(crate) fn price_on(&self, product: usize, calendar: &Calendar, day: Day) -> i64 {
        let product = &self.products[product];
        let civil = calendar.civil(day);
        let permille = match self.this_year - civil.year {
            ..=0 => 1000,
            1 => 968,
            2 => 936,
            _ => 910,
        };
        let sale = match (civil.month, civil.day) {
            (11, 20..=30) if product.on_sale_in_november => 800,
            (7, 1..=14) if product.on_sale_in_summer => 850,
            _ => 1000,
        };
        if permille * sale == 1_000_000 {
            return product.price_cents;
        }
        end_in_nine(product.price_cents * permille / 1000 * sale / 1000)
    }

    pub(crate) fn write_suppliers(calendar: &Calendar, seed: u64, rows: &mut Rows<'_>) {
        let mut names: Vec<String> = Vec::new();
        for index in 0..SUPPLIERS {
            let mut random = Random::new(seed, Stream::Supplier, index as u64);
            let name = loop {
                let name = format!("{} {}", surname(&mut random), random.pick(SUPPLIER_ENDINGS));
                if !names.contains(&name) {
                    break name;
                }
            };
            let country: Country = random.pick(COUNTRIES);
            let mailbox = name.to_lowercase().replace(" & ", "-").replace(' ', "-");
            let created_at = (calendar.opening - random.between(30, 1500)) * 86_400
                + random.between(28_800, 61_200);
            rows.number(id(index))
                .text(&name)
                .text(country.name)
                .text(&format!("orders@{mailbox}.example"))
                .maybe(
                    (!random.chance(150)).then(|| fill(country.phone, &mut random)).as_deref(),
                    Rows::text,
                )
                .flag(random.chance(250))
                .time(created_at)
                .end();
            names.push(name);
        }
    }

    pub(crate) fn write_categories(rows: &mut Rows<'_>) {
        let mut index = 0;
        let slug = |name: &str| name.to_lowercase().replace(" & ", "-").replace(' ', "-");
        for (name, shelves) in CATEGORIES {
            let parent = id(index);
            rows.number(parent).text(name).text(&slug(name)).null().end();
            index += 1;
            for shelf in *shelves {
                rows.number(id(index))
                    .text(shelf.name)
                    .text(&slug(shelf.name))
                    .number(parent)
                    .end();
                index += 1;
            }
        }
    }

    pub(crate) fn write_products(&self, calendar: &Calendar, seed: u64, rows: &mut Rows<'_>) {
        for (index, product) in self.products.iter().enumerate() {
            // Another index than in `new`, for the details that no order needs.
            let mut random = Random::new(seed, Stream::Product, index as u64 + 1_000_000);
            let shelf = product.shelf;
            let material = random.pick(shelf.materials);
            let color = random.pick(COLORS);
            let is_discontinued = product.discontinued_on.is_some();
            let is_new = calendar.today - product.launched_on <= 90;
            let reorder_level = random.between(1, 12) * 5;
            let stock = match random.below(100) {
                _ if is_discontinued => random.between(0, 9) * random.between(0, 1),
                0..=5 => 0,
                6..=16 => random.between(1, reorder_level),
                _ => reorder_level + random.between(1, 400),
            };
            let tags: Vec<&str> = [
                ("bestseller", product.demand > 12_000),
                ("new", is_new),
                ("sale", product.on_sale_in_november || product.on_sale_in_summer),
                (
                    "eco",
                    matches!(material, "bamboo" | "linen" | "recycled polyester" | "cork" | "oak"),
                ),
                ("gift", matches!(shelf.season, Season::Gifts)),
                ("limited", random.chance(60)),
            ]
            .iter()
            .filter_map(|(tag, is_set)| is_set.then_some(*tag))
            .collect();
            let warranty = (shelf.dollars.1 > 150).then(|| random.pick(&[12, 24, 24, 36, 60]));
            let warranty = warranty
                .map_or_else(String::new, |months| format!(r#", "warranty_months": {months}"#));
            let size = random.chance(300).then(|| random.pick(&["S", "M", "L", "XL"]));
            let size = size.map_or_else(String::new, |size| format!(r#", "size": "{size}""#));
            let attributes =
                format!(r#"{{"color": "{color}", "material": "{material}"{warranty}{size}}}"#);
            let description = (!random.chance(120)).then(|| {
                let promise = random.pick(&[
                    "for every day",
                    "made to last",
                    "our customers' favourite",
                    "easy to care for",
                ]);
                format!("{} in {color}, {material}; {promise}.", product.name)
            });
            rows.number(id(index))
                .text(&format!("{}-{:04}", prefix(shelf.name), id(index)))
                .text(&product.name)
                .maybe(description.as_deref(), Rows::text)
                .number(id(product.category))
                .number(id(product.supplier))
                .money(product.price_cents)
                .money(product.cost_cents)
                .number(stock)
                .number(reorder_level)
                .maybe(
                    (!random.chance(50)).then(|| random.between(shelf.grams.0, shelf.grams.1)),
                    Rows::number,
                )
                .text(&format!("{{{}}}", tags.join(",")))
                .text(&attributes)
                .flag(!is_discontinued && !random.chance(20))
                .date(product.launched_on)
                .maybe(product.discontinued_on, Rows::date)
                .end();
        }
    }
}

/// Demand in a month, in percent.
fn seasonal(season: Season, month: usize) -> u64 {
    const SUMMER: [u64; 12] = [50, 60, 90, 130, 170, 180, 160, 130, 90, 60, 45, 50];
    const WINTER: [u64; 12] = [150, 130, 105, 85, 70, 60, 60, 70, 100, 125, 140, 140];
    const GIFTS: [u64; 12] = [70, 85, 85, 90, 100, 85, 80, 80, 85, 95, 140, 190];
    match season {
        Season::Always => 100,
        Season::Summer => SUMMER[month - 1],
        Season::Winter => WINTER[month - 1],
        Season::Gifts => GIFTS[month - 1],
    }
}

/// The next lower price that ends in 9 cents; 99 cents at least.
fn end_in_nine(cents: i64) -> i64 {
    ((cents + 1) / 10 * 10 - 1).max(99)
}

/// The first three letters of a category's name.
fn prefix(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphabetic).take(3).collect::<String>().to_uppercase()
}
