//! What processes cost, as the kernel counts it.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

/// A look at the processor time of a process and of the whole machine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Usage {
    /// Of the process, user and system.
    pub(crate) process: Duration,
    /// Of its threads, by name; numbers at a name's end are dropped.
    pub(crate) threads: BTreeMap<String, Duration>,
    /// Of the load generator.
    pub(crate) own: Duration,
    /// Of everything on this machine, this process and the other included.
    pub(crate) machine: Duration,
}

impl Usage {
    /// Looks now. What cannot be read counts as nothing.
    pub(crate) fn of(process: u32) -> Self {
        let mut threads: BTreeMap<String, Duration> = BTreeMap::new();
        for entry in fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten() {
            let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            if let Some((name, time)) = name_and_time(&stat) {
                *threads.entry(name).or_default() += time;
            }
        }
        Self {
            process: time_of(&process.to_string()),
            threads,
            own: time_of("self"),
            machine: machine_time(),
        }
    }

    /// Returns what was spent between two looks.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let thread = |(name, time): (&String, &Duration)| {
            let before = earlier.threads.get(name).copied().unwrap_or_default();
            (name.clone(), time.saturating_sub(before))
        };
        Self {
            process: self.process.saturating_sub(earlier.process),
            threads: self.threads.iter().map(thread).collect(),
            own: self.own.saturating_sub(earlier.own),
            machine: self.machine.saturating_sub(earlier.machine),
        }
    }
}

/// Returns the resident memory of a process now, in bytes.
pub(crate) fn resident_bytes(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}

fn time_of(process: &str) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    name_and_time(&stat).map(|(_, time)| time).unwrap_or_default()
}

/// Reads the name and the fields 14 and 15, utime and stime (proc(5)).
fn name_and_time(stat: &str) -> Option<(String, Duration)> {
    let (front, fields) = stat.rsplit_once(')')?;
    let (_, name) = front.split_once('(')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    let name = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '-');
    Some((name.to_owned(), ticks(user + system)))
}

/// Reads the time that all processors were not idle: everything but fields 4 and 5 of the first
/// line, idle and iowait, and without the guests' time, which is in the user's already.
fn machine_time() -> Duration {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields = stat.lines().next().unwrap_or_default().split_ascii_whitespace().skip(1).take(8);
    let busy = fields.enumerate().filter(|(index, _)| !matches!(index, 3 | 4));
    ticks(busy.filter_map(|(_, field)| field.parse::<u64>().ok()).sum())
}

fn ticks(count: u64) -> Duration {
    Duration::from_millis(count * 1000 / TICKS_PER_SECOND)
}

/// `USER_HZ`, which is 100 on every architecture that Linux still runs on but Alpha.
const TICKS_PER_SECOND: u64 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_a_space_and_a_bracket_does_not_move_the_fields() {
        let stat = "7 (store (w) 3) S 1 7 7 0 -1 4194560 5 0 0 0 250 50 0 0 20 0 9 0 100";
        assert_eq!(name_and_time(stat), Some(("store (w) ".to_owned(), Duration::from_secs(3))));
    }
}
