//! The heartbeat of a session: who has to be heard next, and by when.
//!
//! ```text
//! revision 4    server  2 ─────────── interval ──────────▶ 2     one ping at a time
//!               client     3 ▲ within the timeout, or any byte, which starts the timeout again
//! revision 3    client  2 ─────────── interval + timeout ──────▶ any byte starts it again
//! ```
//!
//! The reference implementation starts the timeout again once per ping, for the first packet that
//! is not the pong. Here every byte does: a slow upload in front of the pong is life.

use std::time::{Duration, Instant};

use crate::config::{Config, Revision};
use crate::reason::Reason;

#[derive(Debug)]
pub(crate) struct Heartbeat {
    due: Instant,
    awaited: Awaited,
    /// Pongs that nobody asked for and probes, since the last ping; revision 3 has no ping to
    /// start over, so there they count for the whole session.
    strays: u8,
}

/// What is due.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Awaited {
    /// A sign of life of a client of revision 3, which sends the pings.
    Client,
    /// Our ping.
    Ping,
    /// The pong, or any other sign of life.
    Pong,
}

/// What a deadline that has passed asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Elapsed {
    Nothing,
    SendPing,
    Dead,
}

impl Heartbeat {
    /// Strays that are borne per ping interval.
    pub(crate) const MAX_STRAYS: u8 = 8;

    /// A timer that comes later than this says more about the server than about the client.
    const STALL: Duration = Duration::from_secs(1);

    pub(crate) fn new(revision: Revision, config: &Config, now: Instant) -> Self {
        let mut heartbeat = Self {
            due: now,
            awaited: Awaited::Client,
            strays: 0,
        };
        match revision {
            Revision::V3 => heartbeat.heard(config, now),
            Revision::V4 => heartbeat.await_ping(config, now),
        }
        heartbeat
    }

    #[inline]
    pub(crate) const fn due(&self) -> Instant {
        self.due
    }

    /// Whether it is the client who has to be heard.
    #[inline]
    pub(crate) const fn listens(&self) -> bool {
        !matches!(self.awaited, Awaited::Ping)
    }

    /// Anything came from the client.
    #[inline]
    pub(crate) fn heard(&mut self, config: &Config, now: Instant) {
        let patience = match self.awaited {
            Awaited::Ping => return,
            Awaited::Pong => config.ping_timeout,
            Awaited::Client => config.ping_interval.saturating_add(config.ping_timeout),
        };
        self.due = later(now, patience);
    }

    /// A pong came.
    pub(crate) fn pong(&mut self, config: &Config, now: Instant) -> Result<(), Reason> {
        match self.awaited {
            Awaited::Client => Err(Reason::HeartbeatDirection),
            Awaited::Pong => {
                self.await_ping(config, now);
                Ok(())
            }
            // The next ping stays where it is, or a client could put it off for ever.
            Awaited::Ping => match self.bears_stray() {
                true => Ok(()),
                false => Err(Reason::StrayPongs),
            },
        }
    }

    /// Counts a stray; false if it is one too many.
    pub(crate) const fn bears_stray(&mut self) -> bool {
        self.strays = self.strays.saturating_add(1);
        self.strays <= Self::MAX_STRAYS
    }

    /// Time has passed.
    pub(crate) fn elapse(&mut self, config: &Config, now: Instant) -> Elapsed {
        if now < self.due {
            return Elapsed::Nothing;
        }
        match self.awaited {
            Awaited::Ping => {
                self.awaited = Awaited::Pong;
                self.strays = 0;
                self.due = later(now, config.ping_timeout);
                Elapsed::SendPing
            }
            // The server stood still, and what the client sent meanwhile has not been read: it gets
            // its time again.
            _ if now > later(self.due, Self::STALL) => {
                self.heard(config, now);
                Elapsed::Nothing
            }
            _ => Elapsed::Dead,
        }
    }

    fn await_ping(&mut self, config: &Config, now: Instant) {
        self.awaited = Awaited::Ping;
        self.due = later(now, config.ping_interval);
    }
}

/// `now + duration`, or a moment beyond all sessions where the clock ends.
#[inline]
pub(crate) fn later(now: Instant, duration: Duration) -> Instant {
    const CENTURY: Duration = Duration::from_secs(3_155_760_000);
    now.checked_add(duration).unwrap_or_else(|| now + CENTURY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn config() -> Config {
        Config {
            ping_interval: ms(200),
            ping_timeout: ms(150),
            ..Config::default()
        }
    }

    #[test]
    fn a_ping_goes_out_one_interval_after_the_opening_and_after_each_pong() {
        let (config, start) = (config(), Instant::now());
        let mut beat = Heartbeat::new(Revision::V4, &config, start);
        assert_eq!(beat.elapse(&config, start + ms(199)), Elapsed::Nothing);
        assert_eq!(beat.elapse(&config, start + ms(200)), Elapsed::SendPing);
        assert_eq!(beat.pong(&config, start + ms(230)), Ok(()));
        assert_eq!(beat.elapse(&config, start + ms(429)), Elapsed::Nothing);
        assert_eq!(beat.elapse(&config, start + ms(430)), Elapsed::SendPing);
    }

    #[test]
    fn without_a_pong_the_client_is_dead_one_timeout_after_the_ping() {
        let (config, start) = (config(), Instant::now());
        let mut beat = Heartbeat::new(Revision::V4, &config, start);
        assert_eq!(beat.elapse(&config, start + ms(200)), Elapsed::SendPing);
        assert_eq!(beat.elapse(&config, start + ms(349)), Elapsed::Nothing);
        assert_eq!(beat.elapse(&config, start + ms(350)), Elapsed::Dead);
    }

    #[test]
    fn traffic_after_a_ping_starts_the_timeout_again() {
        let (config, start) = (config(), Instant::now());
        let mut beat = Heartbeat::new(Revision::V4, &config, start);
        assert_eq!(beat.elapse(&config, start + ms(200)), Elapsed::SendPing);
        beat.heard(&config, start + ms(330));
        assert_eq!(beat.elapse(&config, start + ms(479)), Elapsed::Nothing);
        assert_eq!(beat.elapse(&config, start + ms(480)), Elapsed::Dead);
    }

    #[test]
    fn traffic_before_a_ping_does_not_move_it() {
        let (config, start) = (config(), Instant::now());
        let mut beat = Heartbeat::new(Revision::V4, &config, start);
        beat.heard(&config, start + ms(199));
        assert_eq!(beat.elapse(&config, start + ms(200)), Elapsed::SendPing);
    }

    #[test]
    fn unasked_pongs_do_not_move_the_ping_and_are_bounded() {
        let (config, start) = (config(), Instant::now());
        let mut beat = Heartbeat::new(Revision::V4, &config, start);
        for _ in 0..Heartbeat::MAX_STRAYS {
            assert_eq!(beat.pong(&config, start + ms(199)), Ok(()));
        }
        assert_eq!(beat.elapse(&config, start + ms(200)), Elapsed::SendPing);
        assert_eq!(
            beat.pong(&config, start + ms(201)),
            Ok(()),
            "the one that was asked for"
        );
        for _ in 0..Heartbeat::MAX_STRAYS {
            assert_eq!(beat.pong(&config, start + ms(202)), Ok(()));
        }
        assert_eq!(beat.pong(&config, start + ms(203)), Err(Reason::StrayPongs));
    }

    #[test]
    fn in_revision_3_the_client_has_interval_and_timeout() {
        let (config, start) = (config(), Instant::now());
        let mut beat = Heartbeat::new(Revision::V3, &config, start);
        assert_eq!(beat.elapse(&config, start + ms(349)), Elapsed::Nothing);
        beat.heard(&config, start + ms(349));
        assert_eq!(beat.elapse(&config, start + ms(698)), Elapsed::Nothing);
        assert_eq!(beat.elapse(&config, start + ms(699)), Elapsed::Dead);
        assert_eq!(
            beat.pong(&config, start + ms(1)),
            Err(Reason::HeartbeatDirection)
        );
    }

    #[test]
    fn a_server_that_stood_still_does_not_blame_the_client() {
        let (config, start) = (config(), Instant::now());
        let mut beat = Heartbeat::new(Revision::V4, &config, start);
        assert_eq!(beat.elapse(&config, start + ms(200)), Elapsed::SendPing);
        assert_eq!(beat.elapse(&config, start + ms(20_000)), Elapsed::Nothing);
        assert_eq!(beat.elapse(&config, start + ms(20_149)), Elapsed::Nothing);
        assert_eq!(beat.elapse(&config, start + ms(20_150)), Elapsed::Dead);
    }

    #[test]
    fn durations_without_end_are_no_overflow() {
        let config = Config {
            ping_interval: Duration::MAX,
            ping_timeout: Duration::MAX,
            ..Config::default()
        };
        let start = Instant::now();
        for revision in [Revision::V3, Revision::V4] {
            let mut beat = Heartbeat::new(revision, &config, start);
            assert!(beat.due() > start + Duration::from_secs(1 << 30));
            assert_eq!(beat.elapse(&config, start + ms(1)), Elapsed::Nothing);
        }
    }
}
