use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const ZONES: [&str; 10] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",
    "Australia/Lord_Howe",
    "Asia/Kolkata",
    "Asia/Tehran",
    "Africa/Casablanca",
    "Pacific/Apia",
    "America/St_Johns",
];

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).expect("known")
}

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

fn slots(cron: &str, name: &str, from: &str, most: usize) -> Vec<String> {
    let (timing, zone) = (Timing::cron(cron).expect("good"), zone(name));
    let mut slots = Vec::new();
    let mut after = at(from);
    for _ in 0..most {
        after = timing.next(after, &zone).expect("there is one");
        slots.push(after.to_zoned(zone.clone()).strftime("%m-%d %H:%M %:z").to_string());
    }
    slots
}

#[test]
fn a_time_in_the_gap_is_due_right_after_it() {
    // Clocks go from 02:00 to 03:00 on 29 March 2026.
    assert_eq!(
        slots("30 2 * * *", "Europe/Berlin", "2026-03-27T12:00:00Z", 3),
        ["03-28 02:30 +01:00", "03-29 03:00 +02:00", "03-30 02:30 +02:00"]
    );
}

#[test]
fn a_time_that_comes_twice_is_due_the_first_time() {
    // Clocks go from 03:00 to 02:00 on 25 October 2026.
    assert_eq!(
        slots("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2),
        ["10-25 02:30 +02:00", "10-26 02:30 +01:00"]
    );
}

#[test]
fn steps_of_minutes_go_on_through_both_changes() {
    assert_eq!(
        slots("*/30 * * * *", "Europe/Berlin", "2026-03-29T00:15:00Z", 3),
        ["03-29 01:30 +01:00", "03-29 03:00 +02:00", "03-29 03:30 +02:00"]
    );
    assert_eq!(
        slots("*/30 * * * *", "Europe/Berlin", "2026-10-24T23:45:00Z", 6),
        [
            "10-25 02:00 +02:00",
            "10-25 02:30 +02:00",
            "10-25 02:00 +01:00",
            "10-25 02:30 +01:00",
            "10-25 03:00 +01:00",
            "10-25 03:30 +01:00"
        ]
    );
}

#[test]
fn what_is_no_expression_or_never_due_is_refused() {
    for text in ["", "* * * *", "* * * * * *", "61 * * * *", "0 0 30 2 *", "@daily", "a b c d e"] {
        assert!(Timing::cron(text).is_err(), "{text}");
    }
}

proptest! {
    #[test]
    fn slots_go_forward_and_fit_their_expression(
        minute in 0u8..60, hour in 0u8..24, zone_at in 0usize..10, seconds in 1_700_000_000i64..1_800_000_000
    ) {
        let zone = zone(ZONES[zone_at]);
        let timing = Timing::cron(&format!("{minute} {hour} * * *")).expect("good");
        let after = Timestamp::from_second(seconds).expect("in range");
        let next = timing.next(after, &zone).expect("there is one");
        prop_assert!(next > after);
        prop_assert!(next.duration_since(after) <= SignedDuration::from_hours(50));
        let local = next.to_zoned(zone);
        let is_that_time = local.hour() == i8::try_from(hour).expect("small")
            && local.minute() == i8::try_from(minute).expect("small");
        // Else it stands where a gap ended.
        let before = local.checked_sub(SignedDuration::from_secs(1)).expect("in range");
        prop_assert!(is_that_time || before.offset() != local.offset());
    }

    #[test]
    fn every_slot_gets_a_run_or_a_reason(
        minutes in 0i64..3_000, busy: bool, skip: bool, queue: bool
    ) {
        let schedule = Schedule {
            timing: Timing::preset(Preset::FiveMinutes),
            misfire: if skip { Misfire::Skip } else { Misfire::RunOnce },
            overlap: if queue { Overlap::Queue } else { Overlap::Skip },
        };
        let due = at("2026-01-01T00:00:00Z");
        let now = due + SignedDuration::from_mins(minutes);
        let fired = schedule.fire(due, now, &TimeZone::UTC, busy);
        let mut told: Vec<_> = fired.skipped.iter().map(|it| it.0).chain(fired.run).collect();
        told.sort_unstable();
        let expected: Vec<_> =
            (0..=minutes / 5).map(|it| due + SignedDuration::from_mins(5 * it)).collect();
        prop_assert_eq!(told, expected);
        prop_assert!(fired.next.expect("it goes on") > now);
        prop_assert!(!busy || queue || fired.run.is_none());
    }
}

/// A schedule as two schedulers see it: a slot is taken by whoever moves the next one on first.
struct Row {
    schedule: Schedule,
    zone: TimeZone,
    next: Option<Timestamp>,
}

/// Two schedulers over the same rows for two years, one of them dead at any time by chance: no slot is missed, none gets
/// two runs. The clock is moved by hand; what keeps two servers apart in the database has tests beside the database.
#[test]
fn two_years_of_schedules_in_ten_zones_miss_and_double_nothing() {
    let (from, to) = (at("2025-06-01T00:00:00Z"), at("2027-06-01T00:00:00Z"));
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut chance = |of: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % of
    };
    let mut rows = Vec::new();
    for number in 0..100 {
        let (minute, hour) = (chance(60), chance(24));
        let days = ["* * *", "1 * *", "* * 1", "L * *", "* */2 *", "* * 1-5"][number % 6];
        let timing = Timing::cron(&format!("{minute} {hour} {days}")).expect("good");
        let zone = zone(ZONES[number % 10]);
        let schedule = Schedule { timing, misfire: Misfire::RunOnce, overlap: Overlap::Queue };
        let next = schedule.timing.next(from, &zone);
        rows.push(Row { schedule, zone, next });
    }
    let expected: usize = rows
        .iter()
        .map(|row| {
            let slots =
                std::iter::successors(row.next, |it| row.schedule.timing.next(*it, &row.zone));
            slots.take_while(|it| *it <= to).count()
        })
        .sum();
    let mut due: BTreeMap<Timestamp, Vec<usize>> = BTreeMap::new();
    for (at, row) in rows.iter().enumerate() {
        due.entry(row.next.expect("there is one")).or_default().push(at);
    }
    let mut runs: BTreeSet<(usize, Timestamp)> = BTreeSet::new();
    while let Some((slot, waiting)) = due.pop_first() {
        if slot > to {
            break;
        }
        for at in waiting {
            // A leader that died is replaced some seconds later; both look at the row, and only one finds it unchanged.
            let now = slot + SignedDuration::from_secs(i64::try_from(chance(50)).expect("small"));
            let seen = rows[at].next;
            for _ in 0..2 {
                let row = &mut rows[at];
                if row.next != seen {
                    continue;
                }
                let fired = row.schedule.fire(seen.expect("due"), now, &row.zone, false);
                assert_eq!(fired.skipped, []);
                if let Some(slot) = fired.run {
                    assert!(runs.insert((at, slot)), "doubled");
                }
                row.next = fired.next;
            }
            due.entry(rows[at].next.expect("goes on")).or_default().push(at);
        }
    }
    assert_eq!(runs.len(), expected);
}
