/// A question with SQL that is known to answer it: the demo compares the two results.
pub(super) struct Question {
    /// As a person would type it.
    pub(super) text: &'static str,
    /// Written by hand.
    pub(super) gold: &'static str,
}

/// Of each shape one or two.
pub(super) const QUESTIONS: [Question; 10] = [
    Question { text: "How many customers do we have?", gold: "SELECT count(*) FROM customers" },
    Question {
        text: "How many orders were placed this week?",
        gold: "SELECT count(*) FROM orders
               WHERE ordered_at >= date_trunc('week', now())
                 AND ordered_at < date_trunc('week', now()) + interval '1 week'",
    },
    Question {
        text: "Show the names and prices of the 5 most expensive products",
        gold: "SELECT name, price FROM products ORDER BY price DESC LIMIT 5",
    },
    Question {
        text: "What is the average rating of reviews?",
        gold: "SELECT avg(rating) FROM reviews",
    },
    Question {
        text: "How many orders are there for each status?",
        gold: "SELECT status, count(*) FROM orders GROUP BY status",
    },
    Question {
        text: "How many customers have never placed an order?",
        gold: "SELECT count(*) FROM customers c
               WHERE NOT EXISTS (SELECT FROM orders o WHERE o.customer_id = c.id)",
    },
    Question {
        text: "Which employees work in the Customer Support department?",
        gold: "SELECT e.first_name, e.last_name FROM employees e JOIN departments d ON d.id = e.department_id
               WHERE d.name = 'Customer Support'",
    },
    Question {
        text: "How many products cost more than the average price?",
        gold: "SELECT count(*) FROM products WHERE price > (SELECT avg(price) FROM products)",
    },
    Question {
        text: "How many tickets were opened per month in the last 6 months?",
        gold: "SELECT date_trunc('month', created_at), count(*) FROM tickets
               WHERE created_at >= now() - interval '6 months' GROUP BY 1 ORDER BY 1",
    },
    Question {
        text: "Which suppliers have more than 20 products?",
        gold: "SELECT s.name FROM suppliers s JOIN products p ON p.supplier_id = s.id
               GROUP BY s.id, s.name HAVING count(*) > 20",
    },
];
