//! What people ask every day of a shop like the sample, most of which was once asked back; and what looks like it and still is.

use plinth_nl2sql::{Outcome, SchemaIndex};

use crate::support;

/// What the sample has, less what none of these questions speaks of.
fn index() -> SchemaIndex {
    const TABLES: [&str; 15] = [
        "addresses",
        "categories",
        "coupons",
        "customers",
        "departments",
        "employees",
        "order_items",
        "orders",
        "payments",
        "products",
        "refunds",
        "reviews",
        "shipments",
        "suppliers",
        "tickets",
    ];
    let columns: [&[&str]; 15] = [
        &[
            "id* integer",
            "customer_id integer>customers",
            "kind text=shipping|billing",
            "city text",
            "country text=Germany|Japan|France",
        ],
        &["id* integer", "name text=Audio|Bags|Camping|Home|Toys", "parent_id? integer>categories"],
        &[
            "id* integer",
            "code text=WELCOME10|SUMMER25",
            "discount_percent integer",
            "minimum_amount? numeric",
            "valid_from date",
            "valid_until? date",
        ],
        &[
            "id* integer",
            "first_name text",
            "last_name text",
            "email text",
            "phone? text",
            "city text",
            "country text=Germany|Japan|France",
            "birth_date? date",
            "acquired_through text=social|referral",
            "created_at timestamptz",
        ],
        &["id* integer", "name text=Finance|Sales|Marketing", "city text=Berlin|Hamburg"],
        &[
            "id* integer",
            "first_name text",
            "last_name text",
            "job_title text=Packer|Controller|Support Agent",
            "department_id integer>departments",
            "manager_id? integer>employees",
            "salary numeric",
            "hired_on date",
            "left_on? date",
        ],
        &[
            "id* integer",
            "order_id integer>orders",
            "product_id integer>products",
            "quantity integer",
            "unit_price numeric",
            "line_total numeric",
        ],
        &[
            "id* integer",
            "order_number text",
            "customer_id integer>customers",
            "shipping_address_id integer>addresses",
            "coupon_id? integer>coupons",
            "status text=pending|paid|packed|shipped|delivered|cancelled|returned",
            "channel text=web|mobile_app|marketplace|phone",
            "total_amount numeric",
            "ordered_at timestamptz",
        ],
        &[
            "id* integer",
            "order_id integer>orders",
            "method text=card|paypal|bank_transfer|gift_card|invoice",
            "status text=pending|succeeded|failed|refunded",
            "amount numeric",
            "created_at timestamptz",
            "paid_at? timestamptz",
        ],
        &[
            "id* integer",
            "name text",
            "category_id integer>categories",
            "supplier_id integer>suppliers",
            "price numeric",
            "cost numeric",
            "stock_quantity integer",
            "weight_grams? integer",
        ],
        &[
            "id* integer",
            "payment_id integer>payments",
            "approved_by? integer>employees",
            "amount numeric",
            "reason text=damaged|wrong_item|not_as_described|late|changed_mind|other",
            "refunded_at timestamptz",
        ],
        &[
            "id* integer",
            "product_id integer>products",
            "customer_id integer>customers",
            "rating integer",
            "title? text",
            "helpful_votes integer",
            "created_at timestamptz",
        ],
        &[
            "id* integer",
            "order_id integer>orders",
            "carrier text=ParcelBird|SwiftPost",
            "tracking_number? text",
            "shipped_at? timestamptz",
            "promised_on date",
            "delivered_at? timestamptz",
        ],
        &[
            "id* integer",
            "name text",
            "country text=Japan|Sweden|Canada",
            "phone? text",
            "created_at timestamptz",
        ],
        &[
            "id* integer",
            "customer_id integer>customers",
            "order_id? integer>orders",
            "assignee_id? integer>employees",
            "topic text=delivery|product|payment",
            "channel text=email|chat|phone|web_form",
            "priority text=low|normal|high|urgent",
            "status text=open|pending|resolved|closed",
            "satisfaction? integer",
            "created_at timestamptz",
            "first_response_at? timestamptz",
            "resolved_at? timestamptz",
        ],
    ];
    support::index(&support::catalog(&TABLES, &columns))
}

/// Each with the statement that was written by hand for it.
const QUESTIONS: [(&str, &str); 30] = [
    (
        "average salary and department name",
        "SELECT avg(e.salary), d.name FROM employees AS e JOIN departments AS d ON d.id = e.department_id GROUP BY d.id, d.name",
    ),
    (
        "the number of orders and the channel",
        "SELECT count(*), channel FROM orders GROUP BY channel",
    ),
    (
        "number of customers and their countries",
        "SELECT count(*), country FROM customers GROUP BY country",
    ),
    (
        "average order value and channel of orders",
        "SELECT avg(total_amount), channel FROM orders GROUP BY channel",
    ),
    (
        "suppliers and the lowest price of their products",
        "SELECT s.name, min(p.price) FROM suppliers AS s JOIN products AS p ON p.supplier_id = s.id GROUP BY s.id, s.name",
    ),
    (
        "average rating and product name",
        "SELECT avg(r.rating), p.name FROM reviews AS r JOIN products AS p ON p.id = r.product_id GROUP BY p.id, p.name",
    ),
    (
        "the average satisfaction and the topic of tickets",
        "SELECT avg(satisfaction), topic FROM tickets GROUP BY topic",
    ),
    (
        "carriers and the latest promised day",
        "SELECT carrier, max(promised_on) FROM shipments GROUP BY carrier",
    ),
    (
        "the number of employees and the city of the department",
        "SELECT count(*), d.city FROM employees AS e JOIN departments AS d ON d.id = e.department_id GROUP BY d.city",
    ),
    (
        "average price and category name",
        "SELECT avg(p.price), c.name FROM products AS p JOIN categories AS c ON c.id = p.category_id GROUP BY c.id, c.name",
    ),
    (
        "total stock quantity and supplier name",
        "SELECT sum(p.stock_quantity), s.name FROM products AS p JOIN suppliers AS s ON s.id = p.supplier_id GROUP BY s.id, s.name",
    ),
    ("number of tickets and the topic", "SELECT count(*), topic FROM tickets GROUP BY topic"),
    (
        "number of payments and their method",
        "SELECT count(*), method FROM payments GROUP BY method",
    ),
    ("total refunds and the reason", "SELECT sum(amount), reason FROM refunds GROUP BY reason"),
    (
        "number of shipments and the carrier",
        "SELECT count(*), carrier FROM shipments GROUP BY carrier",
    ),
    (
        "average age and country of customers",
        "SELECT avg(extract(year FROM age(birth_date))), country FROM customers GROUP BY country",
    ),
    (
        "number of products and the name of the supplier",
        "SELECT count(*), s.name FROM products AS p JOIN suppliers AS s ON s.id = p.supplier_id GROUP BY s.id, s.name",
    ),
    (
        "number of addresses, their kind and country",
        "SELECT count(*), kind, country FROM addresses GROUP BY kind, country",
    ),
    (
        "number of employees, city and department name",
        "SELECT count(*), d.city, d.name FROM employees AS e JOIN departments AS d ON d.id = e.department_id GROUP BY d.city, d.id, d.name",
    ),
    (
        "show payment methods and the largest amount",
        "SELECT method, max(amount) FROM payments GROUP BY method",
    ),
    (
        "the average salary and the job title of employees hired in 2024",
        "SELECT avg(salary), job_title FROM employees WHERE extract(year FROM hired_on) = 2024 GROUP BY job_title",
    ),
    (
        "average order total and the country of the customer",
        "SELECT avg(o.total_amount), c.country FROM customers AS c JOIN orders AS o ON o.customer_id = c.id GROUP BY c.country",
    ),
    (
        "departments and their highest salary",
        "SELECT d.name, max(e.salary) FROM departments AS d JOIN employees AS e ON e.department_id = d.id GROUP BY d.id, d.name",
    ),
    (
        "categories and their highest price",
        "SELECT c.name, max(p.price) FROM categories AS c JOIN products AS p ON p.category_id = c.id GROUP BY c.id, c.name",
    ),
    (
        "departments and their lowest salary",
        "SELECT d.name, min(e.salary) FROM departments AS d JOIN employees AS e ON e.department_id = d.id GROUP BY d.id, d.name",
    ),
    (
        "the carriers, and the number of shipments",
        "SELECT carrier, count(*) FROM shipments GROUP BY carrier",
    ),
    (
        "customers who are not from Germany and their country",
        "SELECT first_name, last_name, country FROM customers WHERE country <> 'Germany'",
    ),
    (
        "employees who are not Packers, with their job title",
        "SELECT first_name, last_name, job_title FROM employees WHERE job_title <> 'Packer'",
    ),
    (
        "suppliers not in Japan and their countries",
        "SELECT name, country FROM suppliers WHERE country <> 'Japan'",
    ),
    (
        "orders not from the web and their channel",
        "SELECT id, channel FROM orders WHERE channel <> 'web'",
    ),
];

#[test]
fn ordinary_questions_are_answered() {
    let index = index();
    let read = |question| match support::ask(&index, question) {
        Outcome::Answered(it) => it.sql,
        other => format!("{other:?}"),
    };
    let wrong: Vec<String> = QUESTIONS
        .iter()
        .map(|(question, sql)| (question, sql, read(*question)))
        .filter(|(_, sql, read)| *sql != read)
        .map(|(question, _, read)| format!("{question}\n    {read}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_looks_like_them_and_may_mean_something_else_is_asked_back() {
    let index = index();
    for question in [
        // of all, and where it is; or of each
        "the highest salary and the department",
        "the maximum discount percent and the coupon code",
        // how many, and of each how much
        "number of payments and their amounts",
        "number of products and their prices",
        "the average price and the cost of products",
        // two counts
        "number of orders and customers",
    ] {
        let outcome = support::ask(&index, question);
        assert!(!matches!(outcome, Outcome::Answered(_)), "{question}: {outcome:?}");
    }
}
