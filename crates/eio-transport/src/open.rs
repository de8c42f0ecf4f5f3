//! The open packet, with which a server begins a session.

use std::time::Duration;

use crate::config::{Config, Transport};
use crate::sid::Sid;

/// Appends `0{"sid":…,"upgrades":[…],"pingInterval":…,"pingTimeout":…,"maxPayload":…}`.
///
/// Intervals are in milliseconds, `maxPayload` in bytes. `upgrades` is what
/// [`Config::upgrades`] gives for the transport in use.
///
/// ```
/// use eio_transport::{Config, Sid, Transport, write_open};
///
/// let (config, mut out) = (Config::default(), Vec::new());
/// write_open(&mut out, &Sid::from_entropy([7; 15]), config.upgrades(Transport::Polling), &config);
/// let open = String::from_utf8(out).unwrap();
/// assert!(open.starts_with(r#"0{"sid":"BwcHBwcHBwcHBwcHBwcH","upgrades":["websocket"],"pingInterval":25000"#));
/// ```
pub fn write_open(out: &mut Vec<u8>, sid: &Sid, upgrades: &[Transport], config: &Config) {
    out.reserve(128);
    out.extend_from_slice(b"0{\"sid\":\"");
    out.extend_from_slice(sid.as_bytes());
    out.extend_from_slice(b"\",\"upgrades\":[");
    for (index, upgrade) in upgrades.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.push(b'"');
        out.extend_from_slice(upgrade.as_str().as_bytes());
        out.push(b'"');
    }
    let mut number = itoa::Buffer::new();
    out.extend_from_slice(b"],\"pingInterval\":");
    out.extend_from_slice(number.format(millis(config.ping_interval)).as_bytes());
    out.extend_from_slice(b",\"pingTimeout\":");
    out.extend_from_slice(number.format(millis(config.ping_timeout)).as_bytes());
    out.extend_from_slice(b",\"maxPayload\":");
    out.extend_from_slice(number.format(config.max_payload).as_bytes());
    out.push(b'}');
}

/// Whole milliseconds in 64 bits, which are printed in a fraction of the time of 128.
fn millis(duration: Duration) -> u64 {
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(upgrades: &[Transport]) -> String {
        let mut out = Vec::new();
        write_open(
            &mut out,
            &Sid::from_entropy([0; 15]),
            upgrades,
            &Config::default(),
        );
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_open_packet_has_the_five_fields_in_the_order_of_the_reference() {
        assert_eq!(
            open(&[Transport::WebSocket]),
            "0{\"sid\":\"AAAAAAAAAAAAAAAAAAAA\",\"upgrades\":[\"websocket\"],\
             \"pingInterval\":25000,\"pingTimeout\":20000,\"maxPayload\":1000000}"
        );
    }

    #[test]
    fn on_a_websocket_there_are_no_upgrades() {
        assert!(open(&[]).contains("\"upgrades\":[],"));
    }
}
