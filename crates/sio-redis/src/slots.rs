//! Which server of a Redis Cluster has a key, or a channel of shards: each is in one of 16,384 slots
//! (<https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/>).

use redis::{RedisResult, Value, aio::MultiplexedConnection};

use crate::address::host_port;

/// How many slots there are.
const COUNT: u16 = 16_384;

/// The masters of a cluster, and which slots they have.
#[derive(Debug, Default)]
pub(crate) struct Slots(Vec<Range>);

#[derive(Debug, PartialEq)]
struct Range {
    first: u16,
    last: u16,
    host: String,
}

impl Slots {
    /// As a server says it that is reached at `seed`.
    pub(crate) async fn ask(redis: &mut MultiplexedConnection, seed: &str) -> RedisResult<Self> {
        let mut slots = redis::cmd("CLUSTER");
        slots.arg("SLOTS");
        let reply: Vec<Value> = slots.query_async(redis).await?;
        Ok(Self::read(reply, seed))
    }

    fn read(reply: Vec<Value>, seed: &str) -> Self {
        let ranges = reply.into_iter().filter_map(|range| {
            let Value::Array(range) = range else {
                return None;
            };
            let mut range = range.into_iter();
            let (first, last) = (whole(range.next()?)?, whole(range.next()?)?);
            // The master; replicas follow.
            let Value::Array(master) = range.next()? else {
                return None;
            };
            let mut master = master.into_iter();
            let name = match master.next()? {
                Value::BulkString(name) => String::from_utf8(name).ok()?,
                _ => String::new(),
            };
            // Without a name it is where the one is that says so.
            let name = match &*name {
                "" | "?" => seed,
                name => name,
            };
            let host = host_port(name, whole(master.next()?)?);
            Some(Range { first, last, host })
        });
        Self(ranges.collect())
    }

    /// The server that has a name, if one has.
    pub(crate) fn host(&self, name: &str) -> Option<&str> {
        let slot = slot(name.as_bytes());
        let mut ranges = self.0.iter();
        let range = ranges.find(|range| (range.first..=range.last).contains(&slot));
        range.map(|range| &*range.host)
    }
}

/// The slot of a name: that of what stands in its first braces, if there is anything.
fn slot(name: &[u8]) -> u16 {
    let find = |bytes: &[u8], wanted| bytes.iter().position(|byte| *byte == wanted);
    let tag = find(name, b'{').and_then(|open| {
        let rest = &name[open + 1..];
        let end = find(rest, b'}').filter(|end| *end > 0)?;
        Some(&rest[..end])
    });
    crc16(tag.unwrap_or(name)) % COUNT
}

/// CRC-16/XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            (crc << 1) ^ if crc & 0x8000 == 0 { 0 } else { 0x1021 }
        })
    })
}

fn whole(value: Value) -> Option<u16> {
    match value {
        Value::Int(number) => number.try_into().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_the_slot_that_redis_gives_it() {
        // CLUSTER KEYSLOT of Redis 7.
        for (name, expected) in [
            ("123456789", 0x31c3),
            ("foo", 12_182),
            ("{foo}bar", 12_182),
            ("a{foo}b{bar}", 12_182),
            ("foo{}{bar}", 8_363),
            ("foo{{bar}}zap", 4_015),
            ("socket.io#/#", 13_868),
        ] {
            assert_eq!(slot(name.as_bytes()), expected, "{name}");
        }
    }

    #[test]
    fn a_server_without_a_name_is_the_one_that_was_asked() {
        let server = |name| {
            Value::Array(vec![
                name,
                Value::Int(7000),
                Value::BulkString(b"id".to_vec()),
            ])
        };
        let range = |first, last, name| {
            Value::Array(vec![
                Value::Int(first),
                Value::Int(last),
                server(name),
                server(Value::BulkString(b"replica".to_vec())),
            ])
        };
        let name = |name: &str| Value::BulkString(name.into());
        let slots = Slots::read(
            vec![
                range(0, 99, name("10.0.0.1")),
                range(100, 199, Value::Nil),
                range(200, 299, name("::1")),
                range(300, 399, name("?")),
                // Nothing that can be read.
                Value::Array(vec![Value::Int(-1)]),
                Value::Nil,
            ],
            "seed",
        );
        let hosts: Vec<_> = slots.0.iter().map(|range| &*range.host).collect();
        assert_eq!(
            hosts,
            ["10.0.0.1:7000", "seed:7000", "[::1]:7000", "seed:7000"]
        );
        assert_eq!(slots.host("foo"), None);
    }
}
