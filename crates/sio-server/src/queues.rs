//! How much waits for whom: what is told of the queues of all connections.

/// What waits to be sent to connections, and what they sent and is not done with. From
/// [`Io::queues`](crate::Io::queues).
///
/// ```
/// # fn f(io: sio_server::Io) {
/// let queues = io.queues();
/// println!("queue_bytes_max {}", queues.longest);
/// for (bytes, connections) in queues.histogram() {
///     println!("queue_bytes_bucket{{le=\"{bytes}\"}} {connections}");
/// }
/// println!("queue_bytes_sum {}\nqueue_bytes_count {}", queues.bytes, queues.connections);
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Queues {
    /// Connections that were looked at.
    pub connections: usize,
    /// Bytes that wait to be sent, in all queues together. What is sent to many counts in each.
    pub bytes: usize,
    /// Bytes in the longest of them.
    pub longest: usize,
    /// Bytes that came and are not done with: packets that are not whole, events that wait for handlers.
    pub held: usize,
    buckets: [usize; BOUNDS.len()],
}

/// Up to how many bytes a queue counts for a bucket; the last has [`Config::max_queued_bytes`], unless that
/// was changed.
///
/// [`Config::max_queued_bytes`]: crate::Config::max_queued_bytes
const BOUNDS: [usize; 7] = [0, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20];

impl Queues {
    /// How many queues are at most so many bytes long, for some lengths from nothing to 4 MiB; the
    /// rest, up to [`connections`](Self::connections), is longer.
    pub fn histogram(&self) -> impl Iterator<Item = (usize, usize)> {
        BOUNDS.into_iter().zip(self.buckets)
    }

    pub(crate) fn add(&mut self, queued: usize, held: usize) {
        self.connections += 1;
        self.bytes += queued;
        self.longest = self.longest.max(queued);
        self.held += held;
        for (bound, count) in BOUNDS.into_iter().zip(&mut self.buckets) {
            *count += usize::from(queued <= bound);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_counts_for_each_length_that_it_does_not_exceed() {
        let mut queues = Queues::default();
        for (queued, held) in [(0, 7), (1, 0), (4096, 0), (4097, 3), ((4 << 20) + 1, 0)] {
            queues.add(queued, held);
        }
        let counts: Vec<_> = queues.histogram().map(|(_, count)| count).collect();
        assert_eq!(counts, [1, 3, 4, 4, 4, 4, 4]);
        assert_eq!(queues.connections, 5);
        assert_eq!(queues.longest, (4 << 20) + 1);
        assert_eq!(queues.bytes, 1 + 4096 + 4097 + (4 << 20) + 1);
        assert_eq!(queues.held, 10);
    }
}
