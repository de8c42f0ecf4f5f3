//! Reading streams: from where it was left, whatever happened meanwhile, and without a silent gap.
//!
//! Each round asks for what is new and, behind it, whether the entry that was read last is still
//! there. If it is, nothing was cut off in between. If not, the stream is asked about itself.

use std::time::Duration;

use bytes::Bytes;
use redis::{Cmd, Pipeline, RedisError, RedisResult, Value, aio::MultiplexedConnection};
use sio_cluster::{BusEvent, EntryId, RawEntry};

/// Entries read at once, as Node's adapter does.
const COUNT: usize = 100;

/// How long Redis waits for an entry to come.
pub(crate) const BLOCK: Duration = Duration::from_secs(1);

/// A stream that is followed, and how far it has been read.
#[derive(Clone, Debug)]
pub(crate) struct Followed {
    pub(crate) name: String,
    pub(crate) last: EntryId,
}

/// Entries that are read at once at most.
const MOST: usize = 100_000;

/// What a stream says of itself.
#[derive(Debug, Default)]
struct Facts {
    /// The oldest entry there is.
    oldest: Option<EntryId>,
    /// The newest entry there has ever been.
    newest: EntryId,
    len: u64,
    /// How many entries there have ever been; not known before Redis 7.
    added: Option<u64>,
}

impl Followed {
    /// From the end, as it is now.
    pub(crate) async fn from_end(
        name: String,
        redis: &mut MultiplexedConnection,
    ) -> RedisResult<Self> {
        let last = facts(redis, &name).await?.newest;
        Ok(Self { name, last })
    }
}

/// Waits for what is new, for a second at most, and says what has happened.
pub(crate) async fn read(
    redis: &mut MultiplexedConnection,
    streams: &mut [Followed],
) -> RedisResult<Vec<BusEvent>> {
    let mut round = Pipeline::new();
    let read = round.cmd("XREAD").arg("COUNT").arg(COUNT);
    read.arg("BLOCK")
        .arg(BLOCK.as_millis() as u64)
        .arg("STREAMS");
    for stream in &*streams {
        read.arg(&stream.name);
    }
    for stream in &*streams {
        read.arg(stream.last.to_string());
    }
    for stream in &*streams {
        let last = stream.last.to_string();
        let still = round.cmd("XRANGE").arg(&stream.name);
        still.arg(&last).arg(&last).arg("COUNT").arg(1);
    }
    let mut replies: Vec<Value> = round.query_async(redis).await?;
    let still = replies.split_off(1.min(replies.len()));
    let mut news = Vec::new();
    for part in list(replies.pop().unwrap_or_default()) {
        let mut part = list(part).into_iter();
        if let (Some(name), Some(entries)) = (part.next().and_then(text), part.next()) {
            news.push((name, list(entries)));
        }
    }
    let mut events = Vec::new();
    for (stream, still) in streams.iter_mut().zip(still) {
        let entries = news.iter_mut().find(|(name, _)| *name == stream.name);
        let entries = entries.map(|(_, entries)| std::mem::take(entries));
        let entries = entries.unwrap_or_default();
        if list(still).is_empty() {
            let facts = facts(redis, &stream.name).await?;
            if was_cut(stream, &facts, entries.len()) {
                let stream = stream.name.clone();
                events.push(BusEvent::Trimmed { stream });
            }
        }
        for entry in entries {
            let mut entry = list(entry).into_iter();
            let Some(id) = entry.next().and_then(text).and_then(|id| id.parse().ok()) else {
                continue;
            };
            stream.last = id;
            let fields = fields(entry.next().unwrap_or_default());
            events.push(BusEvent::Entry {
                stream: stream.name.clone(),
                entry: RawEntry { id, fields },
            });
        }
    }
    Ok(events)
}

/// Whether entries that were never read have been cut off a stream whose last one that was read is
/// gone. If nothing can be read any more, goes on where something can.
fn was_cut(stream: &mut Followed, facts: &Facts, read: usize) -> bool {
    if facts.newest == stream.last {
        return false;
    }
    if facts.newest < stream.last {
        // A stream that has lost its end, like that of a replica that was behind when it took over, or
        // has begun anew: what is on it up to here was read, or cannot be told from what was.
        stream.last = facts.newest;
        return true;
    }
    if read == 0 {
        // What has come just now is read next time, and judged by then.
        let empty = facts.len == 0;
        if empty {
            stream.last = facts.newest;
        }
        return empty;
    }
    // What was read last is gone, though nothing was ever cut off: the stream is another one.
    stream.last != EntryId::default() || facts.added != Some(facts.len)
}

/// Which of the entries of `uid` with these numbers are on a stream, of those added since `after`.
pub(crate) async fn find(
    redis: &mut MultiplexedConnection,
    stream: &str,
    after: EntryId,
    uid: &str,
) -> RedisResult<Vec<u64>> {
    let mut found = Vec::new();
    let mut from = after;
    loop {
        let range = range(redis, stream, from, EntryId::MAX, 500).await?;
        let Some(last) = range.last() else {
            return Ok(found);
        };
        from = last.id;
        for RawEntry { fields, .. } in range {
            let field = |name: &[u8]| {
                let field = fields.iter().find(|(field, _)| field == name);
                field.map(|(_, value)| value)
            };
            if field(b"uid").is_some_and(|of| of == uid.as_bytes()) {
                let seq = field(b"seq").and_then(|seq| std::str::from_utf8(seq).ok());
                found.extend(seq.and_then(|seq| seq.parse::<u64>().ok()));
            }
        }
    }
}

/// All entries after one; `None` if some of them are not there any more, or they are too many.
pub(crate) async fn whole(
    redis: &mut MultiplexedConnection,
    stream: &str,
    after: EntryId,
) -> RedisResult<Option<Vec<RawEntry>>> {
    let mut entries = Vec::new();
    let mut from = after;
    loop {
        let range = range(redis, stream, from, EntryId::MAX, 500).await?;
        let Some(last) = range.last() else { break };
        from = last.id;
        entries.extend(range);
        if entries.len() > MOST {
            return Ok(None);
        }
    }
    // Asked last: what was there then was there all the time.
    let facts = facts(redis, stream).await?;
    let is_whole = facts.newest <= after
        || facts.added == Some(facts.len)
        || facts.oldest.is_some_and(|oldest| oldest <= after);
    Ok(is_whole.then_some(entries))
}

/// Entries after one and up to another.
async fn range(
    redis: &mut MultiplexedConnection,
    stream: &str,
    after: EntryId,
    until: EntryId,
    count: usize,
) -> RedisResult<Vec<RawEntry>> {
    let mut command = redis::cmd("XRANGE");
    command.arg(stream).arg(format!("({after}"));
    command.arg(until.to_string()).arg("COUNT").arg(count);
    let reply: Value = command.query_async(redis).await?;
    let entries = list(reply).into_iter().filter_map(|entry| {
        let mut entry = list(entry).into_iter();
        let id = text(entry.next()?)?.parse().ok()?;
        let fields = fields(entry.next()?);
        Some(RawEntry { id, fields })
    });
    Ok(entries.collect())
}

async fn facts(redis: &mut MultiplexedConnection, stream: &str) -> RedisResult<Facts> {
    let mut command = Cmd::new();
    command.arg("XINFO").arg("STREAM").arg(stream);
    let reply: Result<Value, RedisError> = command.query_async(redis).await;
    let reply = match reply {
        Ok(reply) => list(reply),
        // There is no such stream yet.
        Err(error) if error.to_string().contains("no such key") => return Ok(Facts::default()),
        Err(error) => return Err(error),
    };
    let mut facts = Facts::default();
    let mut reply = reply.into_iter();
    while let (Some(name), Some(value)) = (reply.next().and_then(text), reply.next()) {
        match &*name {
            "entries-added" => facts.added = number(&value),
            "last-generated-id" => {
                facts.newest = text(value)
                    .and_then(|id| id.parse().ok())
                    .unwrap_or_default();
            }
            "first-entry" => {
                let id = list(value).into_iter().next().and_then(text);
                facts.oldest = id.and_then(|id| id.parse().ok());
            }
            "length" => facts.len = number(&value).unwrap_or_default(),
            _ => {}
        }
    }
    Ok(facts)
}

fn fields(value: Value) -> Vec<(Bytes, Bytes)> {
    let mut values = list(value).into_iter();
    let mut fields = Vec::new();
    while let (Some(Value::BulkString(name)), Some(Value::BulkString(value))) =
        (values.next(), values.next())
    {
        fields.push((name.into(), value.into()));
    }
    fields
}

fn list(value: Value) -> Vec<Value> {
    match value {
        Value::Array(list) => list,
        Value::Map(pairs) => pairs
            .into_iter()
            .flat_map(|(name, value)| [name, value])
            .collect(),
        _ => Vec::new(),
    }
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(millis: u64) -> EntryId {
        EntryId { millis, number: 0 }
    }

    #[test]
    fn a_stream_was_cut_if_something_is_missing_between_what_was_read_and_what_is_there() {
        let cut = |newest, len, added, read| {
            let mut stream = Followed {
                name: "s".into(),
                last: id(5),
            };
            let facts = Facts {
                oldest: None,
                newest: id(newest),
                len,
                added,
            };
            (was_cut(&mut stream, &facts, read), stream.last)
        };
        // Nothing has come since.
        assert_eq!(cut(5, 0, Some(9), 0), (false, id(5)));
        // Something has come, and is gone.
        assert_eq!(cut(8, 0, Some(9), 0), (true, id(8)));
        assert_eq!(cut(8, 3, Some(9), 3), (true, id(5)));
        assert_eq!(cut(8, 3, None, 3), (true, id(5)));
        // Nothing was ever cut off, and yet what was read is not there: another stream.
        assert_eq!(cut(8, 3, Some(3), 3), (true, id(5)));
        // One that has lost its end: what is left of it is not read twice.
        assert_eq!(cut(2, 1, Some(1), 0), (true, id(2)));
        // Read from its beginning, and nothing was ever cut off.
        let mut stream = Followed {
            name: "s".into(),
            last: EntryId::default(),
        };
        let facts = Facts {
            oldest: Some(id(1)),
            newest: id(8),
            len: 3,
            added: Some(3),
        };
        assert!(!was_cut(&mut stream, &facts, 3));
    }
}
