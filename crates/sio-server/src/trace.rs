//! Where a panic of the application's came from: kept by a hook, which debug mode installs, until the
//! panic is caught.

use std::{any::Any, backtrace::Backtrace, cell::Cell, panic, sync::Once};

/// The place and the stack of a panic.
pub(crate) struct Trace {
    text: String,
    location: String,
    stack: Backtrace,
}

thread_local! {
    /// The last panic of this thread that nobody has asked for yet.
    static LAST: Cell<Option<Box<Trace>>> = const { Cell::new(None) };
}

/// From now on the panics of this process leave a trace, and are reported as before.
pub(crate) fn keep() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            let location = panic.location();
            let trace = Trace {
                text: text(panic.payload()).to_owned(),
                location: location.map_or_else(String::new, ToString::to_string),
                stack: Backtrace::force_capture(),
            };
            // It may be the thread's end already.
            let _ = LAST.try_with(|last| last.set(Some(Box::new(trace))));
            before(panic);
        }));
    });
}

impl Trace {
    /// The trace of a panic of this thread that has just been caught. One that was raised again, by
    /// `resume_unwind`, never passed the hook: it is no other's.
    pub(crate) fn of(text: &str) -> Option<Box<Self>> {
        let last = LAST.try_with(Cell::take).ok().flatten();
        last.filter(|trace| trace.text == text)
    }

    /// File, line and column.
    pub(crate) fn location(&self) -> &str {
        &self.location
    }

    /// The frames of the application, the innermost first.
    pub(crate) fn backtrace(&self) -> String {
        of_the_application(&self.stack.to_string())
    }
}

/// What a panic said.
pub(crate) fn text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("of a type that is not text")
}

/// A backtrace without the frames that every panic of a handler has: those of the panic itself, and
/// what polls handlers. All of it where these are not found, as without symbols.
fn of_the_application(backtrace: &str) -> String {
    let mut frames: Vec<String> = Vec::new();
    for line in backtrace.lines() {
        let is_frame = line
            .trim_start()
            .split_once(": ")
            .is_some_and(|(number, _)| number.bytes().all(|byte| byte.is_ascii_digit()));
        match frames.last_mut() {
            Some(frame) if !is_frame => {
                frame.push('\n');
                frame.push_str(line);
            }
            _ => frames.push(line.to_owned()),
        }
    }
    let end = frames
        .iter()
        .position(|frame| {
            frame.contains("sio_server::panic::poll")
                || frame.contains("sio_server::panic::contain")
        })
        .unwrap_or(frames.len());
    let raises = |frame: &String| {
        ["core::panicking::", "begin_panic", "begin_unwind"]
            .iter()
            .any(|name| frame.contains(name))
    };
    let start = frames[..end]
        .iter()
        .rposition(raises)
        .map_or(0, |at| at + 1);
    let own = &frames[start..end];
    if own.is_empty() { &frames } else { own }.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backtrace_is_cut_down_to_the_application() {
        let whole = "   0: std::backtrace::Backtrace::create\n             at /rustc/backtrace.rs:331:13\n   \
                     1: core::panicking::panic_fmt\n   2: my::handler\n             at ./src/main.rs:7:9\n   \
                     3: sio_server::panic::poll::{{closure}}\n   4: std::panicking::catch_unwind\n   5: main";
        assert_eq!(
            of_the_application(whole),
            "   2: my::handler\n             at ./src/main.rs:7:9"
        );
        for unknown in ["", "disabled backtrace", "   0: <unknown>\n   1: <unknown>"] {
            assert_eq!(of_the_application(unknown), unknown);
        }
    }

    #[test]
    fn a_trace_is_that_of_the_panic_it_is_asked_for() {
        keep();
        let line = line!() + 1;
        let _ = panic::catch_unwind(|| panic!("the {}", "first"));
        let _ = panic::catch_unwind(|| panic::resume_unwind(Box::new("the second")));
        assert!(Trace::of("the second").is_none());
        let _ = panic::catch_unwind(|| panic!("the third"));
        let trace = Trace::of("the third").unwrap();
        let location = format!("trace.rs:{}:", line + 3);
        assert!(trace.location().contains(&location), "{}", trace.location());
        assert!(Trace::of("the third").is_none(), "it is taken");
    }
}
