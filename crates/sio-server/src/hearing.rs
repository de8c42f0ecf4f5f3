//! What other nodes answer to one question, on its way to whoever has asked: within a bound, however much
//! they say and however slowly it is taken.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use sio_cluster::{Answer, Missing};
use tokio::sync::mpsc;

/// What comes of a question.
#[derive(Debug)]
pub(crate) enum Heard {
    Answer {
        /// Who answers; nodes of other languages do not say.
        from: Option<String>,
        answer: Answer,
        /// What it weighs.
        weight: usize,
    },
    Done(Missing),
}

/// Where answers come in.
pub(crate) struct Ear {
    heard: mpsc::UnboundedSender<Heard>,
    kept: Arc<AtomicUsize>,
    limit: usize,
    /// Answers that were not kept.
    refused: Missing,
}

/// Where they are taken.
pub(crate) struct Hearing {
    heard: mpsc::UnboundedReceiver<Heard>,
    kept: Arc<AtomicUsize>,
}

/// Nodes that are named at most, of those whose answers were not kept.
const MAX_NAMES: usize = 1000;

/// For one question: answers that are kept together weigh no more than `limit`.
pub(crate) fn hearing(limit: usize) -> (Ear, Hearing) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let kept = Arc::new(AtomicUsize::new(0));
    let ear = Ear {
        heard: sender,
        kept: Arc::clone(&kept),
        limit,
        refused: Missing::default(),
    };
    let hearing = Hearing {
        heard: receiver,
        kept,
    };
    (ear, hearing)
}

impl Ear {
    /// Whether nobody listens any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.heard.is_closed()
    }

    /// An answer; one that there is no room for is as good as none. Whether there was room.
    pub(crate) fn hear(&mut self, from: Option<String>, answer: Answer) -> bool {
        let weight = size_of::<Heard>() + from.as_ref().map_or(0, String::len) + answer.weight();
        if self.kept.load(Ordering::Relaxed) + weight > self.limit {
            self.refuse(from, &answer);
            return false;
        }
        self.kept.fetch_add(weight, Ordering::Relaxed);
        let _ = self.heard.send(Heard::Answer {
            from,
            answer,
            weight,
        });
        true
    }

    fn refuse(&mut self, from: Option<String>, answer: &Answer) {
        match (answer, from) {
            (Answer::Ack(_), _) => self.refused.acks += 1,
            (_, Some(from)) if self.refused.nodes.len() < MAX_NAMES => {
                self.refused.nodes.push(from);
            }
            _ => self.refused.unnamed += 1,
        }
    }

    /// No more will come.
    pub(crate) fn done(self, mut missing: Missing) {
        missing.acks = missing.acks.saturating_add(self.refused.acks);
        missing.nodes.extend(self.refused.nodes);
        missing.unnamed += self.refused.unnamed;
        let _ = self.heard.send(Heard::Done(missing));
    }
}

impl Hearing {
    /// What was heard next. It counts as kept until it is [let go](Self::let_go).
    pub(crate) async fn recv(&mut self) -> Option<Heard> {
        self.heard.recv().await
    }

    /// An answer is kept no longer.
    pub(crate) fn let_go(&self, weight: usize) {
        self.kept.fetch_sub(weight, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ack(len: usize) -> Answer {
        Answer::Ack(vec!["x".repeat(len).into()])
    }

    #[tokio::test]
    async fn answers_are_kept_up_to_the_limit_and_those_beyond_are_missing() {
        let one = size_of::<Heard>() + ack(100).weight();
        for (limit, kept) in [(3 * one - 1, 2), (3 * one, 3), (3 * one + 1, 3)] {
            let (mut ear, mut hearing) = hearing(limit);
            for number in 0..4 {
                assert_eq!(ear.hear(None, ack(100)), number < kept);
            }
            let from = || Some("n".to_owned());
            assert!(!ear.hear(from(), Answer::ServerAck("x".repeat(100).into())));
            ear.done(Missing::default());
            for _ in 0..kept {
                assert!(matches!(hearing.recv().await, Some(Heard::Answer { .. })));
            }
            let Some(Heard::Done(missing)) = hearing.recv().await else {
                panic!("it is done");
            };
            assert_eq!(missing.acks, 4 - kept);
            assert_eq!(missing.nodes, ["n"]);
        }
    }

    #[tokio::test]
    async fn what_was_let_go_makes_room() {
        let one = size_of::<Heard>() + ack(100).weight();
        let (mut ear, mut hearing) = hearing(one);
        for _ in 0..100 {
            assert!(ear.hear(None, ack(100)));
            assert!(!ear.hear(None, ack(0)));
            let Some(Heard::Answer { weight, .. }) = hearing.recv().await else {
                panic!("an answer");
            };
            hearing.let_go(weight);
        }
    }
}
