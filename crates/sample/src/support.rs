//! Tickets of the support desk and the messages in them. As orders, a ticket is a pure function of its number.

use crate::calendar::{DAY, HOUR, MINUTE, Plan, Seconds, day_of};
use crate::company::{Company, id};
use crate::random::{Random, Stream};
use crate::rows::Rows;
use crate::sales::{Sales, Status};

struct Topic {
    name: &'static str,
    subjects: &'static [&'static str],
    /// First messages of customers.
    questions: &'static [&'static str],
    /// First answers of agents.
    answers: &'static [&'static str],
}

const DELIVERY: Topic = Topic {
    name: "delivery",
    subjects: &[
        "Where is my order?",
        "Parcel is late",
        "Wrong delivery address",
        "Parcel marked as delivered but not here",
    ],
    questions: &[
        "Hello, the tracking has not changed for days. Can you tell me where my parcel is?",
        "My order should have been here by now. When will it arrive?",
        "I moved last month and forgot to change my address. Can you still redirect the parcel?",
    ],
    answers: &[
        "Thank you for your message. I asked the carrier and will get back to you as soon as I know more.",
        "I am sorry for the delay. The parcel is in the carrier's hub and should reach you within two days.",
    ],
};
const RETURNS: Topic = Topic {
    name: "returns",
    subjects: &[
        "I want to return an item",
        "Return label missing",
        "When do I get my money back?",
        "Exchange for another size",
    ],
    questions: &[
        "I would like to send an item back. How do I get a label?",
        "I returned the parcel last week and see no refund yet.",
        "The item does not fit. Can I exchange it?",
    ],
    answers: &[
        "Of course. I have sent the return label to your e-mail address.",
        "Your return has arrived; the refund takes three to five working days.",
    ],
};
const PAYMENT: Topic = Topic {
    name: "payment",
    subjects: &[
        "Charged twice",
        "Payment failed",
        "Please send me the invoice",
        "Coupon does not work",
    ],
    questions: &[
        "My card was charged, but the order says that the payment failed.",
        "I need an invoice with the name of my company.",
        "The coupon code from your newsletter is not accepted.",
    ],
    answers: &[
        "I checked the payment: the second amount was only reserved and will be released.",
        "Please find the invoice attached to this message.",
    ],
};
const PRODUCT: Topic = Topic {
    name: "product",
    subjects: &[
        "Item arrived damaged",
        "A part is missing",
        "Question about a product",
        "Product stopped working",
    ],
    questions: &[
        "The box was fine, but the item inside has a crack. I can send pictures.",
        "One of the screws is missing. Can you send it?",
        "It worked for two weeks, and now it does not switch on any more.",
    ],
    answers: &[
        "I am sorry about that. We will send a replacement today.",
        "Could you send us a picture and the number on the back, please?",
    ],
};
const ACCOUNT: Topic = Topic {
    name: "account",
    subjects: &[
        "Cannot log in",
        "Change my e-mail address",
        "Please delete my account",
        "Unsubscribe from the newsletter",
    ],
    questions: &[
        "I do not get the e-mail to set a new password.",
        "Please change the e-mail address of my account.",
        "How can I delete my account and my data?",
    ],
    answers: &[
        "I have sent the link once more; please look into your spam folder, too.",
        "That is done. Is there anything else we can do for you?",
    ],
};
const OTHER: Topic = Topic {
    name: "other",
    subjects: &["Do you have a store?", "Feedback", "Cooperation", "Gift wrapping"],
    questions: &[
        "Do you have a place where I can look at the furniture?",
        "I just wanted to say thank you, everything arrived perfectly.",
        "Can you wrap the order as a gift?",
    ],
    answers: &[
        "Thank you for writing to us! We gladly help.",
        "Thank you, I have passed that on to my colleagues.",
    ],
};

const FOLLOW_UPS: &[&str] = &[
    "Any news?",
    "Thank you, I have sent the pictures.",
    "That did not help, sorry.",
    "Okay, I will wait.",
];
const NOTES: &[&str] = &[
    "Carrier called, they look for it.",
    "Second ticket of this customer this month, please be generous.",
    "Warehouse checks the stock.",
    "Refund is fine up to 50 dollars.",
];
const FAREWELLS: &[&str] = &[
    "I am glad that we could solve this. Have a nice day!",
    "This is settled now. Just reply if you need anything else.",
    "Done. Thank you for your patience!",
];

pub(crate) struct Ticket {
    /// Index of the customer.
    customer: usize,
    /// Number of the order.
    order: Option<u64>,
    assignee: Option<i64>,
    topic: &'static Topic,
    subject: &'static str,
    channel: &'static str,
    priority: &'static str,
    status: &'static str,
    satisfaction: Option<i64>,
    created_at: Seconds,
    first_response_at: Option<Seconds>,
    resolved_at: Option<Seconds>,
}

pub(crate) struct Support<'a> {
    pub(crate) sales: &'a Sales<'a>,
    pub(crate) company: &'a Company,
    pub(crate) plan: &'a Plan,
}

impl Support<'_> {
    fn ticket(&self, number: u64) -> Ticket {
        let calendar = self.sales.calendar;
        let mut random = Random::new(self.sales.seed, Stream::Ticket, number);
        let random = &mut random;
        let created_at = self.plan.moment(number, random);
        let about = if random.chance(770) { self.an_order(created_at, random) } else { None };
        let (customer, topic) = if let Some((_, customer, is_sent_back)) = &about {
            let returns = if *is_sent_back { 90 } else { 14 };
            let topics =
                [(&DELIVERY, 40), (&RETURNS, returns), (&PRODUCT, 22), (&PAYMENT, 16), (&OTHER, 8)];
            (*customer, random.weighted(&topics))
        } else {
            let topics = [(&ACCOUNT, 44), (&PRODUCT, 28), (&PAYMENT, 12), (&OTHER, 16)];
            (self.sales.people.anybody(created_at, random), random.weighted(&topics))
        };
        let priority = random.weighted(&[("low", 21), ("normal", 53), ("high", 20), ("urgent", 6)]);
        let answered_after = match priority {
            "urgent" => random.between(4 * MINUTE, 80 * MINUTE),
            "high" => random.between(15 * MINUTE, 6 * HOUR),
            "normal" => random.between(40 * MINUTE, 16 * HOUR),
            _ => random.between(2 * HOUR, 44 * HOUR),
        };
        // Before Christmas everything takes longer.
        let is_busy = matches!(calendar.civil(day_of(created_at)).month, 11 | 12);
        let answered_at =
            created_at + if is_busy { answered_after * 3 / 2 } else { answered_after };
        let solved_at = answered_at + random.skewed(10 * MINUTE, 6 * DAY);
        // Now and then nobody finds the answer, or the customer never replies.
        let stays_open = calendar.now - created_at < 90 * DAY && random.chance(40);
        let first_response_at = calendar.past(answered_at);
        let resolved_at = calendar.past(solved_at).filter(|_| !stays_open);
        let waits_for_customer = random.chance(450);
        let status = match (first_response_at, resolved_at) {
            (_, Some(at)) if at + 4 * DAY <= calendar.now => "closed",
            (_, Some(_)) => "resolved",
            (Some(_), None) if waits_for_customer => "pending",
            _ => "open",
        };
        let agent = self.company.support_agent(created_at, random);
        let is_taken = random.chance(400);
        let rates = random.chance(410);
        let stars = if answered_after > 12 * HOUR {
            random.weighted(&[(1, 14), (2, 16), (3, 26), (4, 26), (5, 18)])
        } else {
            random.weighted(&[(1, 4), (2, 5), (3, 13), (4, 33), (5, 45)])
        };
        Ticket {
            customer,
            order: about.map(|(number, ..)| number),
            assignee: (first_response_at.is_some() || is_taken).then_some(agent),
            topic,
            subject: random.pick(topic.subjects),
            channel: random.weighted(&[
                ("email", 46),
                ("chat", 27),
                ("web_form", 17),
                ("phone", 10),
            ]),
            priority,
            status,
            satisfaction: resolved_at.and(rates.then_some(stars)),
            created_at,
            first_response_at,
            resolved_at,
        }
    }

    /// Number and customer of an order placed shortly before, and whether it was sent back.
    fn an_order(&self, before: Seconds, random: &mut Random) -> Option<(u64, usize, bool)> {
        let day = day_of(before) - random.skewed(0, 24);
        let orders = self.sales.plan.on(day);
        if orders.is_empty() {
            return None;
        }
        let number = orders.start + random.below(orders.end - orders.start);
        let order = self.sales.order(number);
        (order.ordered_at < before).then_some((
            number,
            order.customer,
            order.status == Status::Returned,
        ))
    }

    pub(crate) fn write_ticket(&self, number: u64, rows: &mut Rows<'_>) {
        let ticket = self.ticket(number);
        rows.number(row_id(number))
            .number(id(ticket.customer))
            .maybe(ticket.order.map(row_id), Rows::number)
            .maybe(ticket.assignee, Rows::number)
            .text(ticket.subject)
            .text(ticket.topic.name)
            .text(ticket.channel)
            .text(ticket.priority)
            .text(ticket.status)
            .maybe(ticket.satisfaction, Rows::number)
            .time(ticket.created_at)
            .maybe(ticket.first_response_at, Rows::time)
            .maybe(ticket.resolved_at, Rows::time)
            .end();
    }

    pub(crate) fn write_messages(&self, number: u64, rows: &mut Rows<'_>) {
        let ticket = self.ticket(number);
        let mut random = Random::new(self.sales.seed, Stream::Message, number);
        let mut message = |at: Seconds, author: Option<i64>, is_internal: bool, body: &str| {
            rows.number(row_id(rows.count()))
                .number(row_id(number))
                .maybe(author, Rows::number)
                .text(body)
                .flag(is_internal)
                .time(at)
                .end();
        };
        message(ticket.created_at, None, false, random.pick(ticket.topic.questions));
        let Some(answered_at) = ticket.first_response_at else { return };
        if random.chance(180) && ticket.assignee.is_some() {
            let at = random.between(ticket.created_at, answered_at);
            message(at, ticket.assignee, true, random.pick(NOTES));
        }
        message(answered_at, ticket.assignee, false, random.pick(ticket.topic.answers));
        let mut at = answered_at;
        let end = ticket.resolved_at.unwrap_or(self.sales.calendar.now);
        for _ in 0..random.weighted(&[(0, 58), (1, 27), (2, 15)]) {
            at = random.between(at, (at + 2 * DAY).min(end));
            message(at, None, false, random.pick(FOLLOW_UPS));
            at = random.between(at, (at + DAY).min(end));
            message(at, ticket.assignee, false, random.pick(ticket.topic.answers));
        }
        if let Some(at) = ticket.resolved_at {
            message(at, ticket.assignee, false, random.pick(FAREWELLS));
        }
    }
}

/// The id of the row of this number: ids count from 1.
pub(crate) fn row_id(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX - 1) + 1
}
