//! Results as Markdown: a row for each library, a column for each case.

use std::fmt::Write as _;

use crate::count::Cost;

/// What a table shows of each cost.
pub type Unit = (&'static str, fn(&Cost) -> f64);

pub const INSTRUCTIONS: Unit = ("instructions", |cost| cost.instructions);
pub const CYCLES: Unit = ("cycles", |cost| cost.cycles);
pub const WRITES: Unit = ("calls of write", |cost| cost.writes);
pub const BYTES: Unit = ("bytes written", |cost| cost.bytes);

pub struct Table {
    title: String,
    columns: Vec<String>,
    rows: Vec<(String, Vec<Option<Cost>>)>,
}

impl Table {
    pub fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            columns: Vec::new(),
            rows: Vec::new(),
        }
    }

    /// Adds a column; `costs` has a library's name with what it took, if it could.
    pub fn column(&mut self, name: &str, costs: &[(String, Option<Cost>)]) {
        for (library, cost) in costs {
            let at = self.rows.iter().position(|(row, _)| row == library);
            let at = at.unwrap_or_else(|| {
                self.rows.push((library.clone(), Vec::new()));
                self.rows.len() - 1
            });
            let row = &mut self.rows[at].1;
            row.resize(self.columns.len(), None);
            row.push(*cost);
        }
        self.columns.push(name.to_owned());
    }

    /// A table for each unit.
    pub fn print(&self, units: &[Unit]) -> String {
        let mut out = String::new();
        for &(unit, of) in units {
            write!(out, "\n{}, {unit}:\n\n| |", self.title).expect("a string");
            for column in &self.columns {
                write!(out, " {column} |").expect("a string");
            }
            write!(out, "\n|---|{}\n", "---:|".repeat(self.columns.len())).expect("a string");
            for (library, costs) in &self.rows {
                if costs.iter().all(Option::is_none) {
                    continue;
                }
                write!(out, "| {library} |").expect("a string");
                for at in 0..self.columns.len() {
                    match costs.get(at).copied().flatten() {
                        Some(cost) => write!(out, " {} |", number(of(&cost))),
                        None => write!(out, " |"),
                    }
                    .expect("a string");
                }
                out.push('\n');
            }
        }
        out
    }
}

/// Two digits at least, thousands apart.
fn number(value: f64) -> String {
    if value < 0.095 {
        return format!("{value:.2}");
    }
    if value < 9.95 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
