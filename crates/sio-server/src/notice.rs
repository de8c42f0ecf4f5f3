//! Log lines that a stranger can cause: so many of a kind in a second, and the rest counted.

use std::{
    fmt::{self, Write},
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

/// Lines of one kind in one second.
const LINES: u64 = 10;

/// How many lines of one kind have been written, and when.
pub(crate) struct Notice {
    epoch: Instant,
    /// The second since `epoch` in the upper half, the lines that were asked for in it in the
    /// lower.
    state: AtomicU64,
}

impl Notice {
    pub(crate) fn new(epoch: Instant) -> Self {
        let state = AtomicU64::new(0);
        Self { epoch, state }
    }

    /// Asks for a line: `Some` if it may be written, with the number of those that might not be in
    /// the last second in which there were any.
    pub(crate) fn ask(&self, now: Instant) -> Option<u64> {
        let second = now.saturating_duration_since(self.epoch).as_secs() & u64::from(u32::MAX);
        let mut before = 0;
        let step = |state: u64| {
            before = state;
            Some(match state >> 32 == second {
                // It would take four billion lines in a second to carry over.
                true => state + 1,
                false => second << 32 | 1,
            })
        };
        let _ = self
            .state
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, step);
        let asked = before & u64::from(u32::MAX);
        match before >> 32 == second {
            true => (asked < LINES).then_some(0),
            false => Some(asked.saturating_sub(LINES)),
        }
    }
}

/// Text of a stranger's, fit for a line of a log: without control characters, and not long.
pub(crate) fn quoted(bytes: &[u8]) -> String {
    const LONGEST: usize = 256;
    let cut = &bytes[..bytes.len().min(LONGEST)];
    let dots = if cut.len() < bytes.len() { "…" } else { "" };
    format!("{}{dots}", cut.escape_ascii())
}

/// Text in which a stranger's words may stand, fit for a line of a log: control characters are escaped,
/// and it ends after 256 characters.
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LONGEST: usize = 256;
        for (count, char) in self.0.chars().enumerate() {
            if count == LONGEST {
                return f.write_char('…');
            }
            match char {
                // Also what turns text around or begins a line somewhere.
                '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                    write!(f, "{}", char.escape_unicode())?;
                }
                char if char.is_control() => write!(f, "{}", char.escape_default())?,
                char => f.write_char(char)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn ten_lines_in_a_second_and_the_rest_counted() {
        let start = Instant::now();
        let notice = Notice::new(start);
        let lines = (0..1000).filter(|_| notice.ask(start).is_some()).count();
        assert_eq!(lines, 10);
        let later = start + Duration::from_secs(3);
        assert_eq!(notice.ask(later), Some(990));
        assert_eq!(notice.ask(later), Some(0));
    }

    #[test]
    fn what_a_stranger_wrote_is_cut_and_escaped() {
        assert_eq!(
            quoted(b"https://a\r\nlevel=INFO \xff"),
            "https://a\\r\\nlevel=INFO \\xff"
        );
        assert!(quoted(&[b'x'; 5000]).len() < 300);
        let name = "é\r\nlevel=INFO\u{1b}[2J\u{202e}x";
        assert_eq!(
            Quoted(name).to_string(),
            "é\\r\\nlevel=INFO\\u{1b}[2J\\u{202e}x"
        );
        let long = Quoted(&"é".repeat(5000)).to_string();
        assert_eq!(long.chars().count(), 257);
    }
}
