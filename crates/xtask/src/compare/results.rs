//! What the load generator said, and what is made of several repetitions of it.

use serde_json::Value;

use super::server::Server;

/// A field of the load generator's answer.
pub(super) mod field {
    pub(crate) const USER: &str = "srv_instr_u_per_op";
    pub(crate) const KERNEL: &str = "srv_instr_k_per_op";
    pub(crate) const USER_MISSES: &str = "srv_miss_u_per_op";
    pub(crate) const KERNEL_MISSES: &str = "srv_miss_k_per_op";
    pub(crate) const CPU: &str = "srv_cpu_us_per_op";
    pub(crate) const MEMORY: &str = "rss_bytes_per_conn_after_msg";
}

/// Every run of a part.
#[derive(Default)]
pub(super) struct Results(Vec<Run>);

struct Run {
    case: String,
    server: Server,
    /// What was said, or why there is nothing.
    said: Result<Value, String>,
}

impl Results {
    pub(super) fn add(&mut self, case: &str, server: Server, said: Result<Value, String>) {
        self.0.push(Run {
            case: case.to_owned(),
            server,
            said,
        });
    }

    /// What each repetition found.
    pub(super) fn sample(&self, case: &str, server: Server, field: &str) -> Sample {
        let runs = self.0.iter();
        let mine = runs.filter(|run| run.case == case && run.server == server);
        let values = mine.filter_map(|run| run.said.as_ref().ok()?[field].as_f64());
        Sample::new(values.collect())
    }

    /// Whether a server was asked this at all.
    pub(super) fn has(&self, case: &str, server: Server) -> bool {
        let mut runs = self.0.iter();
        runs.any(|run| run.case == case && run.server == server)
    }

    /// Whether a server fell behind the load in most of the repetitions.
    pub(super) fn was_behind(&self, case: &str, server: Server) -> bool {
        let runs = self.0.iter();
        let mine = runs.filter(|run| run.case == case && run.server == server);
        let said: Vec<_> = mine.filter_map(|run| run.said.as_ref().ok()).collect();
        said.iter().filter(|said| said["behind"] == true).count() * 2 > said.len()
    }

    /// The names of the cases, in the order in which they were run.
    pub(super) fn cases(&self) -> Vec<&str> {
        let mut cases: Vec<&str> = Vec::new();
        for run in &self.0 {
            if !cases.contains(&&*run.case) {
                cases.push(&run.case);
            }
        }
        cases
    }

    /// The servers that were run, in the order of the tables.
    pub(super) fn servers(&self) -> Vec<Server> {
        let was_run = |server: &Server| self.0.iter().any(|run| run.server == *server);
        Server::ALL.into_iter().filter(was_run).collect()
    }

    pub(super) fn failures(&self) -> impl Iterator<Item = String> {
        self.0.iter().filter_map(|run| {
            let why = run.said.as_ref().err()?;
            Some(format!("{} by {}: {why}", run.case, run.server.title()))
        })
    }

    /// A line of JSON for each run.
    pub(super) fn lines(&self) -> String {
        let line = |run: &Run| {
            let said = run.said.clone().unwrap_or_else(Value::String);
            let line = serde_json::json!({
                "case": run.case, "server": run.server.key(), "said": said,
            });
            format!("{line}\n")
        };
        self.0.iter().map(line).collect()
    }
}

/// Values of several repetitions, in order.
pub(super) struct Sample(Vec<f64>);

impl Sample {
    fn new(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    /// The one in the middle; of two, the lesser.
    pub(super) fn median(&self) -> Option<f64> {
        self.0.get(self.0.len().checked_sub(1)? / 2).copied()
    }

    pub(super) fn least(&self) -> Option<f64> {
        self.0.first().copied()
    }

    /// The median, and in brackets the least and the most.
    pub(super) fn spread(&self) -> String {
        let [least, .., most] = *self.0 else {
            return number(self.median());
        };
        if figure(least) == figure(most) {
            return number(self.median());
        }
        let median = number(self.median());
        format!("{median} ({}–{})", figure(least), figure(most))
    }
}

/// A figure for a table; a dash if there is none, or the machine does not count it.
pub(super) fn number(value: Option<f64>) -> String {
    value
        .filter(|value| value.is_finite())
        .map_or_else(|| "–".to_owned(), figure)
}

/// Three digits at least, thousands apart.
fn figure(value: f64) -> String {
    match value.abs() {
        size if size < 9.995 => return format!("{value:.2}"),
        size if size < 99.95 => return format!("{value:.1}"),
        _ => {}
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && digit != '-' && (digits.len() - at).is_multiple_of(3) && !text.ends_with('-') {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_shows_the_median_between_the_least_and_the_most() {
        let sample = Sample::new(vec![1_234.0, 999.6, 20_000.0]);
        assert_eq!(sample.spread(), "1,234 (1,000–20,000)");
        assert_eq!(sample.least(), Some(999.6));
    }

    #[test]
    fn values_that_read_the_same_have_no_spread() {
        assert_eq!(Sample::new(vec![65.01, 65.02]).spread(), "65.0");
        assert_eq!(Sample::new(vec![]).spread(), "–");
    }

    #[test]
    fn what_failed_is_told_and_is_no_value() {
        let mut results = Results::default();
        let said = serde_json::json!({ "x": 2.0 });
        results.add("echo", Server::Listen, Ok(said));
        results.add("echo", Server::Listen, Err("lost".into()));
        assert_eq!(results.sample("echo", Server::Listen, "x").0, [2.0]);
        let told: Vec<_> = results.failures().collect();
        assert_eq!(told, ["echo by ours: lost"]);
    }
}
