//! Figures, and the lines that they are printed in.

use std::io::Write;
use std::time::Duration;

use crate::flow::Timings;
use crate::load::Outcome;
use crate::usage::Usage;

/// One measurement.
pub(crate) struct Measurement {
    pub(crate) outcome: Outcome,
    pub(crate) measured: Duration,
    pub(crate) usage: Usage,
    pub(crate) resident_bytes: u64,
}

impl Measurement {
    /// Returns flows per second.
    pub(crate) fn per_second(&self) -> f64 {
        self.count() / self.measured.as_secs_f64()
    }

    /// Returns the 99th percentile of a start.
    pub(crate) fn start_p99(&self) -> Duration {
        percentile(&self.outcome.timings, |timings| timings.start, 99)
    }

    /// Returns the processor time that others on this machine took meanwhile.
    pub(crate) fn foreign(&self) -> Duration {
        let Usage { process, own, machine, .. } = &self.usage;
        machine.saturating_sub(*process).saturating_sub(*own)
    }

    fn count(&self) -> f64 {
        f64::from(u32::try_from(self.outcome.timings.len()).unwrap_or(u32::MAX))
    }

    fn per_flow_us(&self, time: Duration) -> f64 {
        time.as_secs_f64() * 1e6 / self.count().max(1.0)
    }

    fn cores(&self, time: Duration) -> f64 {
        time.as_secs_f64() / self.measured.as_secs_f64()
    }

    /// Writes a line of the table.
    ///
    /// # Errors
    /// Standard output is gone.
    pub(crate) fn print(&self, store: &str, load: &str) -> std::io::Result<()> {
        let timings = &self.outcome.timings;
        let pair = |of: fn(&Timings) -> Duration| {
            let ms = |p| percentile(timings, of, p).as_secs_f64() * 1e3;
            format!("{:.1}/{:.1}", ms(50), ms(99))
        };
        let looks: u64 = timings.iter().map(|timings| u64::from(timings.looks)).sum();
        let looks = Duration::from_secs(looks).as_secs_f64() / self.count().max(1.0);
        let Usage { process, own, .. } = &self.usage;
        let mut out = std::io::stdout().lock();
        writeln!(
            out,
            "| {store} | {load} | {:.0} | {} | {} | {} | {looks:.1} | {:.0} | {:.0} | {:.2} | {:.0} | {} |",
            self.per_second(),
            pair(|timings| timings.start),
            pair(|timings| timings.check),
            pair(|timings| timings.whole),
            self.per_flow_us(*process),
            self.per_flow_us(*own),
            self.cores(self.foreign()),
            megabytes(self.resident_bytes),
            self.outcome.errors,
        )?;
        if let Some(error) = &self.outcome.first_error {
            writeln!(out, "  first error: {error}")?;
        }
        Ok(())
    }

    /// Writes where the server's processor time went, by thread.
    ///
    /// # Errors
    /// Standard output is gone.
    pub(crate) fn print_threads(&self) -> std::io::Result<()> {
        let mut threads: Vec<_> = self.usage.threads.iter().collect();
        threads.sort_by_key(|(_, time)| std::cmp::Reverse(**time));
        let mut out = std::io::stdout().lock();
        write!(out, "  us per flow by thread:")?;
        for (name, time) in threads.into_iter().filter(|(_, time)| !time.is_zero()) {
            let us = self.per_flow_us(*time);
            write!(out, " {name} {us:.0} ({:.2} cores)", self.cores(*time))?;
        }
        writeln!(out)
    }
}

/// Writes the head of the table.
///
/// # Errors
/// Standard output is gone.
pub(crate) fn print_head() -> std::io::Result<()> {
    let columns = [
        "store",
        "load",
        "flows/s",
        "start ms p50/p99",
        "check ms p50/p99",
        "flow ms p50/p99",
        "looks",
        "server us/flow",
        "generator us/flow",
        "other cores",
        "RSS MB",
        "errors",
    ];
    let mut out = std::io::stdout().lock();
    writeln!(out, "| {} |", columns.join(" | "))?;
    writeln!(out, "|{}", "---|".repeat(columns.len()))
}

/// Writes a line of text.
///
/// # Errors
/// Standard output is gone.
pub(crate) fn say(text: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout().lock(), "{text}")
}

/// Returns a number of bytes as megabytes.
pub(crate) fn megabytes(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes / 1000).unwrap_or(u32::MAX)) / 1000.0
}

fn percentile(timings: &[Timings], of: impl Fn(&Timings) -> Duration, percent: usize) -> Duration {
    let mut all: Vec<Duration> = timings.iter().map(of).collect();
    all.sort_unstable();
    // The smallest value that so many percent are not above.
    let index = (all.len() * percent).div_ceil(100).saturating_sub(1);
    all.get(index).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_value_that_was_measured() {
        let timings: Vec<Timings> = (1..=200)
            .rev()
            .map(|ms| Timings { start: Duration::from_millis(ms), ..Timings::default() })
            .collect();
        let start = |timings: &Timings| timings.start;
        assert_eq!(percentile(&timings, start, 50), Duration::from_millis(100));
        assert_eq!(percentile(&timings, start, 99), Duration::from_millis(198));
        assert_eq!(percentile(&timings[..1], start, 99), Duration::from_millis(200));
        assert_eq!(percentile(&[], start, 99), Duration::ZERO);
    }
}
