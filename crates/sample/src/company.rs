//! Departments and employees.

use crate::calendar::{Calendar, Day, Seconds, day_of};
use crate::random::{Random, Stream};
use crate::rows::Rows;
use crate::words::{GIVEN_NAMES, surname};

struct Department {
    name: &'static str,
    city: &'static str,
    head: &'static str,
    /// Title and greatest salary (thousands of US dollars a year) of everybody but the head, from senior to junior.
    jobs: &'static [(&'static str, i64)],
    size: usize,
}

const fn department(
    name: &'static str,
    city: &'static str,
    head: &'static str,
    jobs: &'static [(&'static str, i64)],
    size: usize,
) -> Department {
    Department { name, city, head, jobs, size }
}

/// The first is the one that the head of the company belongs to.
#[rustfmt::skip]
const DEPARTMENTS: &[Department] = &[
    department("Management", "Berlin", "Chief Executive Officer", &[("Executive Assistant", 62)], 3),
    department("Sales", "Berlin", "Head of Sales", &[("Senior Account Manager", 88), ("Account Manager", 68), ("Sales Representative", 54)], 16),
    department("Marketing", "Berlin", "Head of Marketing", &[("Brand Manager", 82), ("Content Editor", 58), ("Campaign Manager", 64)], 11),
    department("Purchasing", "Hamburg", "Head of Purchasing", &[("Senior Buyer", 80), ("Buyer", 62)], 9),
    department("Warehouse", "Hamburg", "Warehouse Manager", &[("Shift Leader", 52), ("Packer", 38), ("Forklift Driver", 42)], 24),
    department("Customer Support", "Leipzig", "Head of Customer Support", &[("Support Team Lead", 62), ("Support Specialist", 48), ("Support Agent", 42)], 26),
    department("Engineering", "Berlin", "Chief Technology Officer", &[("Senior Software Engineer", 112), ("Software Engineer", 88), ("Data Analyst", 76)], 18),
    department("Finance", "Berlin", "Head of Finance", &[("Controller", 82), ("Accountant", 60)], 7),
    department("Human Resources", "Berlin", "Head of Human Resources", &[("Recruiter", 58), ("HR Generalist", 56)], 5),
];

struct Employee {
    first_name: &'static str,
    last_name: String,
    job_title: &'static str,
    /// Index into [`DEPARTMENTS`].
    department: usize,
    /// Index of the manager.
    manager: Option<usize>,
    salary_cents: i64,
    hired_on: Day,
    left_on: Option<Day>,
}

pub(crate) struct Company {
    employees: Vec<Employee>,
}

impl Company {
    pub(crate) fn new(calendar: &Calendar, seed: u64) -> Self {
        let mut employees: Vec<Employee> = Vec::new();
        for (department, about) in DEPARTMENTS.iter().enumerate() {
            let head = employees.len();
            let mut lead = head;
            for place in 0..about.size {
                let mut random = Random::new(seed, Stream::Employee, employees.len() as u64);
                let is_head = place == 0;
                // One in seven leads those after them.
                let is_lead = place % 7 == 1 && about.jobs.len() > 2;
                let (job_title, top, manager) = match (is_head, is_lead) {
                    (true, _) => {
                        (about.head, if head == 0 { 240 } else { 155 }, (head > 0).then_some(0))
                    }
                    (_, true) => (about.jobs[0].0, about.jobs[0].1, Some(head)),
                    _ => {
                        let junior =
                            if about.jobs.len() > 2 { &about.jobs[1..] } else { about.jobs };
                        let (title, top) = random.pick(junior);
                        (title, top, Some(lead))
                    }
                };
                if is_lead {
                    lead = employees.len();
                }
                // Heads and leads were there before the shop opened, so that everything has somebody to do it.
                let hired_on = if is_head || is_lead {
                    calendar.opening - random.between(200, 2600)
                } else {
                    let longest = calendar.today - calendar.opening + 1500;
                    calendar.today - random.between(0, longest)
                };
                let leaves = !is_head && !is_lead && random.chance(170);
                let left_on = (leaves && calendar.today - hired_on > 120)
                    .then(|| random.between(hired_on + 90, calendar.today - 1));
                employees.push(Employee {
                    first_name: random.pick(GIVEN_NAMES),
                    last_name: surname(&mut random),
                    job_title,
                    department,
                    manager,
                    salary_cents: top * random.between(780, 1000) / 10 * 1000,
                    hired_on,
                    left_on,
                });
            }
        }
        Self { employees }
    }

    /// The id of somebody of this department who worked here then.
    fn somebody(&self, department: &str, at: Seconds, random: &mut Random) -> i64 {
        let day = day_of(at);
        let there: Vec<usize> = (0..self.employees.len())
            .filter(|&index| {
                let employee = &self.employees[index];
                DEPARTMENTS[employee.department].name == department
                    && employee.hired_on < day
                    // What somebody takes on is finished some days later.
                    && employee.left_on.is_none_or(|left| left > day + 14)
            })
            .collect();
        // Heads are always there.
        id(random.pick(&there))
    }

    pub(crate) fn support_agent(&self, at: Seconds, random: &mut Random) -> i64 {
        self.somebody("Customer Support", at, random)
    }

    pub(crate) fn accountant(&self, at: Seconds, random: &mut Random) -> i64 {
        self.somebody("Finance", at, random)
    }

    pub(crate) fn write_departments(rows: &mut Rows<'_>) {
        for (department, number) in DEPARTMENTS.iter().zip(1..) {
            rows.number(number)
                .text(department.name)
                .text(&format!("CC-{number}00"))
                .text(department.city)
                .end();
        }
    }

    pub(crate) fn write_employees(&self, rows: &mut Rows<'_>) {
        for (index, employee) in self.employees.iter().enumerate() {
            let (first, last) =
                (employee.first_name.to_lowercase(), employee.last_name.to_lowercase());
            rows.number(id(index))
                .text(employee.first_name)
                .text(&employee.last_name)
                .text(&format!("{first}.{last}.{}@shop.example", id(index)))
                .text(employee.job_title)
                .number(id(employee.department))
                .maybe(employee.manager.map(id), Rows::number)
                .money(employee.salary_cents)
                .date(employee.hired_on)
                .maybe(employee.left_on, Rows::date)
                .end();
        }
    }
}

/// Ids count from 1.
pub(crate) fn id(index: usize) -> i64 {
    i64::try_from(index).unwrap_or(i64::MAX - 1) + 1
}
