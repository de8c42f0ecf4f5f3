//! Debug mode: what fails in a handler is shown where its developer looks, in the browser's console
//! and on stderr. Nothing here runs without it.

use std::fmt::{self, Write};

use crate::{
    conn::Conn,
    error::Refuse,
    failure::{Cause, Detail, Failure},
    panic,
    socket::Socket,
};

/// Whether clients see what fails in handlers, for [`Server::debug`](crate::Server::debug).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DebugMode {
    /// Clients learn nothing of what fails in handlers.
    #[default]
    Off,
    /// Clients on this machine see it: their connection comes from a loopback address, and through no
    /// proxy that says so in `X-Forwarded-For`. The server refuses to be bound to any other address.
    /// Inside hyper or axum the address is that of [`PeerAddr`](crate::PeerAddr); where there is none,
    /// nobody sees it but stderr.
    Local,
    /// Every client sees it, wherever it is: the names of files, the values in panics. For a container or
    /// a telephone under test, in a network that you know.
    Everywhere,
}

/// What the failing client gets, with the report as its only argument.
const EVENT: &str = "debug:failure";

/// A report is no longer than this, in bytes: a panic may quote all that a client has sent.
const MAX_REPORT: usize = 64 << 10;

/// What is added to the browser client that the server serves: reports go to the console. Works in
/// clients 2, 3 and 4, and leaves others as they are.
pub(crate) const SCRIPT: &str = r#"
;(function () {
  var Manager = typeof io === "function" && io.Manager;
  var open = Manager && Manager.prototype && Manager.prototype.socket;
  if (!open) return;
  Manager.prototype.socket = function () {
    var socket = open.apply(this, arguments);
    var onevent = socket.onevent;
    if (onevent && !Object.prototype.hasOwnProperty.call(socket, "onevent")) {
      // No listener: `socket.off()` would take it away.
      socket.onevent = function (packet) {
        var args = packet.data || [];
        if (args[0] === "debug:failure") console.error(args[1]);
        return onevent.apply(this, arguments);
      };
    }
    return socket;
  };
})();
"#;

impl DebugMode {
    pub(crate) fn is_on(self) -> bool {
        self != Self::Off
    }

    fn shows(self, conn: &Conn) -> bool {
        match self {
            Self::Off => false,
            Self::Local => conn.facts.is_local(),
            Self::Everywhere => true,
        }
    }
}

/// Shows a failure. A refusal that is acknowledged is none: the client is told anyway.
#[cold]
pub(crate) fn show<D: Send + Sync + 'static>(
    mode: DebugMode,
    socket: &Socket<D>,
    failure: &Failure,
    ack: Option<u64>,
) {
    if matches!(failure.cause(), Cause::Refused(_)) && ack.is_some() {
        return;
    }
    tell(mode, socket, &report(failure));
}

/// Shows that an event came and nobody looked at it, as after a slip of the pen in its name.
#[cold]
pub(crate) fn show_unhandled<D: Send + Sync + 'static>(
    mode: DebugMode,
    socket: &Socket<D>,
    event: &str,
) {
    let (namespace, id) = (socket.namespace(), socket.id());
    let mut report =
        format!("nothing handles the event {event:?}\n  namespace {namespace}, socket {id}");
    cut(&mut report);
    tell(mode, socket, &report);
}

/// Says of what a client asked for in vain what would let it have it: on stderr in debug mode, else in
/// the log, at `debug`. What the client wrote stands in it escaped.
#[cold]
pub(crate) fn hint(mode: DebugMode, hint: fmt::Arguments<'_>) {
    match mode.is_on() {
        true => eprintln!("{hint}"),
        false => tracing::debug!("{hint}"),
    }
}

/// A refusal for a client whose admission panicked.
#[cold]
pub(crate) fn refusal(mode: DebugMode, conn: &Conn) -> Refuse {
    let refuse = Refuse::new("Internal error");
    let report = mode.is_on().then(panic::last_report).flatten();
    match report.filter(|_| mode.shows(conn)) {
        Some(mut report) => {
            cut(&mut report);
            refuse.with_data(&report)
        }
        None => refuse,
    }
}

fn tell<D: Send + Sync + 'static>(mode: DebugMode, socket: &Socket<D>, report: &str) {
    if !socket.is_connected() {
        eprintln!("{report}");
    } else if mode.shows(&socket.core().conn) {
        eprintln!("{report}");
        socket.emit(EVENT, report);
    } else {
        eprintln!(
            "{report}\n(not shown to the client, which is not known to be on this machine; \
             DebugMode::Everywhere shows it)"
        );
    }
}

/// A failure as its developer reads it.
fn report(failure: &Failure) -> String {
    let (event, namespace, socket) = (failure.event(), failure.namespace(), failure.socket_id());
    let detail = failure.problem.detail.as_deref();
    let mut report = format!("the handler of {event:?} failed: ");
    let _ = match detail {
        Some(Detail::Chain(chain)) => write!(report, "{chain}"),
        _ => write!(report, "{failure}"),
    };
    let _ = write!(report, "\n  namespace {namespace}, socket {socket}");
    if let Some(Detail::Panic(trace)) = detail {
        let _ = write!(report, "\n  at {}\n{}", trace.location(), trace.backtrace());
    }
    cut(&mut report);
    report
}

fn cut(report: &mut String) {
    if report.len() > MAX_REPORT {
        let end = (0..=MAX_REPORT).rfind(|end| report.is_char_boundary(*end));
        report.truncate(end.unwrap_or(0));
        report.push_str(" … (cut off)");
    }
}
