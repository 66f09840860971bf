use async_trait::async_trait;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use plinth_core::{OrgId, StoreError};

use crate::{BranchId, ProjectId};

/// What a branch has used since it was last asked, and how much room it takes now. Measured, not reckoned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// For how long its Postgres ran, in milliseconds.
    pub active_ms: i64,
    /// How much time of a core its processes took, in milliseconds.
    pub cpu_ms: i64,
    /// How much its log has grown, in bytes.
    pub written_bytes: i64,
    /// How many bytes went through its endpoints, both ways together.
    pub transfer_bytes: i64,
    /// The size of its data without the log, in bytes.
    pub logical_bytes: i64,
    /// The size of its data, its log and what its history takes, in bytes; blocks that are shared count each time.
    pub storage_bytes: i64,
}

/// How fine a history of consumption is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Granularity {
    /// By the hour: of the last 168 hours.
    Hourly,
    /// By the day: of the last 60 days.
    Daily,
    /// By the month: of the last year.
    Monthly,
}

impl Granularity {
    /// Its name in Postgres.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Hourly => "hour",
            Self::Daily => "day",
            Self::Monthly => "month",
        }
    }

    /// How far back it goes.
    pub fn reach(self) -> SignedDuration {
        SignedDuration::from_hours(match self {
            Self::Hourly => 168,
            Self::Daily => 60 * 24,
            Self::Monthly => 366 * 24,
        })
    }

    /// The beginning of the frame that a moment is in, in UTC.
    pub fn floor(self, at: Timestamp) -> Timestamp {
        let here = at.to_zoned(TimeZone::UTC).datetime();
        let begin: DateTime = match self {
            Self::Hourly => here.date().at(here.hour(), 0, 0, 0),
            Self::Daily => here.date().at(0, 0, 0, 0),
            Self::Monthly => here.date().first_of_month().at(0, 0, 0, 0),
        };
        begin.to_zoned(TimeZone::UTC).map_or(at, |it| it.timestamp())
    }

    /// The end of the frame that begins then.
    pub fn end_of(self, begin: Timestamp) -> Timestamp {
        let here = begin.to_zoned(TimeZone::UTC);
        let end = match self {
            Self::Hourly => here.checked_add(1.hour()),
            Self::Daily => here.checked_add(1.day()),
            Self::Monthly => here.checked_add(1.month()),
        };
        end.map_or(begin, |it| it.timestamp())
    }
}

/// What a project used in a frame of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The project.
    pub project: ProjectId,
    /// The beginning of the frame.
    pub begin: Timestamp,
    /// What its branches used together; sizes are the greatest within the frame.
    pub used: Used,
    /// The sum of [`Used::storage_bytes`] over the hours.
    pub storage_bytes_hours: i64,
    /// The sum of [`Used::logical_bytes`] over the hours.
    pub logical_bytes_hours: i64,
}

/// What a branch used in a frame of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BranchFrame {
    /// The branch.
    pub branch: BranchId,
    /// Whether it was made from no other.
    pub is_root: bool,
    /// What it used.
    pub frame: Frame,
}

/// Where it is kept what branches use. Every method is one transaction.
#[async_trait]
pub trait UsageStore: Send + Sync + 'static {
    /// Adds to the hour that `at` is in. Hours of more than a year ago are removed.
    async fn add_usage(
        &self,
        org: OrgId,
        project: &ProjectId,
        branch: &BranchId,
        at: Timestamp,
        used: &Used,
    ) -> Result<(), StoreError>;

    /// What each branch of these projects used in the frames that begin from `from` on and before `to`, by project, branch and
    /// time; also of branches that were deleted.
    async fn usage_by_branch(
        &self,
        org: OrgId,
        projects: &[ProjectId],
        granularity: Granularity,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<BranchFrame>, StoreError>;

    /// What projects used in the frames that begin from `from` on and before `to`, by project and time; of all the
    /// organization's projects that are there, or of those named.
    async fn usage(
        &self,
        org: OrgId,
        projects: Option<&[ProjectId]>,
        granularity: Granularity,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<Frame>, StoreError>;

    /// What each branch of a project has used since then.
    async fn branch_usage(
        &self,
        org: OrgId,
        project: &ProjectId,
        since: Timestamp,
    ) -> Result<Vec<(BranchId, Used)>, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_begin_and_end_where_people_expect() {
        let at: Timestamp = "2024-02-15T15:30:00Z".parse().unwrap();
        for (granularity, begin, end) in [
            (Granularity::Hourly, "2024-02-15T15:00:00Z", "2024-02-15T16:00:00Z"),
            (Granularity::Daily, "2024-02-15T00:00:00Z", "2024-02-16T00:00:00Z"),
            (Granularity::Monthly, "2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z"),
        ] {
            let begin: Timestamp = begin.parse().unwrap();
            assert_eq!(granularity.floor(at), begin);
            assert_eq!(granularity.floor(begin), begin);
            assert_eq!(granularity.end_of(begin), end.parse().unwrap());
        }
    }
}
