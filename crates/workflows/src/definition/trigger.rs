use plinth_connections::ConnectionId;
use serde_json::Value;

use super::step::read_id;
use super::{Faults, Fields};
use crate::schedule::{Misfire, Preset, Schedule, Timing};

/// What starts a workflow.
#[derive(Clone, Debug, PartialEq)]
pub enum Trigger {
    /// Somebody who asks for it.
    Manual,
    /// The clock.
    Schedule(Schedule),
    /// A call to its own URL.
    Webhook {
        /// Whether calls have to be signed (Standard Webhooks) with the workflow's secret.
        signed: bool,
        /// How many runs a minute at most, on each server.
        per_minute: u32,
    },
    /// What a database says on a channel.
    Listen {
        /// Which database.
        connection: ConnectionId,
        /// Which channel, exactly as Postgres keeps it.
        channel: String,
        /// How many runs a minute at most.
        per_minute: u32,
        /// Whether there is a run when something may have been missed, so that it can catch up.
        runs_on_gap: bool,
    },
}

/// How many runs a minute a channel starts unless its trigger says otherwise.
pub const USUAL_PER_MINUTE: u32 = 60;

/// As that, of a webhook: senders come in bursts, and send again what was refused.
const USUAL_CALLS_PER_MINUTE: u32 = 600;

/// What becomes of a slot whose workflow still has a run that waits or is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// It is skipped, and recorded as that.
    Skip,
    /// Its run waits for its turn.
    Queue,
}

impl Trigger {
    pub(super) fn read(value: &Value, faults: &mut Faults) -> Option<Self> {
        let pointer = "/trigger";
        let mut fields = Fields::of(value, pointer, faults);
        fields.need("type", faults)?;
        let kinds = [("manual", 'm'), ("schedule", 's'), ("webhook", 'w'), ("listen", 'l')];
        let kind = fields.word("type", &kinds, faults)?;
        let trigger = match kind {
            'm' => Some(Self::Manual),
            'l' => read_listen(&mut fields, faults),
            'w' => Some(Self::Webhook {
                signed: fields.flag("signed", faults),
                per_minute: read_per_minute(&mut fields, (USUAL_CALLS_PER_MINUTE, 6_000), faults),
            }),
            _ => read_schedule(&mut fields, faults).map(Self::Schedule),
        };
        fields.end(faults);
        trigger
    }

    /// Its name in rows and answers.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Schedule(_) => "schedule",
            Self::Webhook { .. } => "webhook",
            Self::Listen { .. } => "listen",
        }
    }
}

fn read_listen(fields: &mut Fields<'_>, faults: &mut Faults) -> Option<Trigger> {
    let connection = read_id(fields, "connection_id", faults);
    let channel = fields.need_text("channel", 63, faults).map(str::to_owned);
    let channel = channel.filter(|it| {
        // Longer ones Postgres cuts, so that nothing would ever be heard on them.
        let good = it.len() <= 63 && !it.chars().any(char::is_control);
        if !good {
            faults.add(&fields.at("channel"), "has to be a channel's name of at most 63 bytes");
        }
        good
    });
    let per_minute = read_per_minute(fields, (USUAL_PER_MINUTE, 600), faults);
    let on_gap = [("note", false), ("run", true)];
    let runs_on_gap = fields.word("on_gap", &on_gap, faults).unwrap_or(false);
    Some(Trigger::Listen { connection: connection?, channel: channel?, per_minute, runs_on_gap })
}

fn read_per_minute(fields: &mut Fields<'_>, (usual, most): (u32, u32), faults: &mut Faults) -> u32 {
    let per_minute = fields.whole("per_minute", 1..=most.into(), faults);
    per_minute.and_then(|it| u32::try_from(it).ok()).unwrap_or(usual)
}

fn read_schedule(fields: &mut Fields<'_>, faults: &mut Faults) -> Option<Schedule> {
    let timing = read_timing(fields, faults);
    let misfires = [("run_once", Misfire::RunOnce), ("skip", Misfire::Skip)];
    let misfire = fields.word("misfire", &misfires, faults).unwrap_or(Misfire::RunOnce);
    let overlaps = [("skip", Overlap::Skip), ("queue", Overlap::Queue)];
    let overlap = fields.word("overlap", &overlaps, faults).unwrap_or(Overlap::Skip);
    Some(Schedule { timing: timing?, misfire, overlap })
}

/// `every` or `cron`.
pub(crate) fn read_timing(fields: &mut Fields<'_>, faults: &mut Faults) -> Option<Timing> {
    let presets = Preset::ALL.map(|it| (it.as_str(), it));
    let preset = fields.word("every", &presets, faults);
    let cron = fields.text("cron", 200, faults);
    let (pointer, has_both) = (fields.pointer.clone(), preset.is_some() && cron.is_some());
    match (preset, cron) {
        (Some(preset), None) => Some(Timing::preset(preset)),
        (None, Some(cron)) => {
            Timing::cron(cron).map_err(|err| faults.add(&fields.at("cron"), err.to_string())).ok()
        }
        _ => {
            // A value that was there and wrong is a fault already.
            if has_both || faults.0.iter().all(|it| !it.pointer.starts_with(&pointer)) {
                faults.add(&pointer, "has to hold either `every` or `cron`");
            }
            None
        }
    }
}
