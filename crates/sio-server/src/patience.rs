//! hyper's clock on our own listener: how long a connection may be silent before its next head.
//!
//! hyper asks for a fresh timer for each head, and lets go of it as soon as the head is there.
//! With tokio's timers each of them is a block of its own that is entered into a shared structure.
//! Here one timer of tokio's stands for all of a connection: it stays entered for a deadline that
//! has been met long ago, and when it comes up it is entered again for the one that counts by then.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use hyper::rt::{Sleep, Timer};

/// The timers of one connection. Of those that it hands out, only the newest counts.
#[derive(Clone)]
pub(crate) struct Patience(Arc<Mutex<Alarm>>);

struct Alarm {
    /// Comes up at the deadline of the timer that counts, or before.
    sleep: Option<Pin<Box<tokio::time::Sleep>>>,
    /// The task that `sleep` wakes.
    task: Option<Waker>,
    /// The timer that counts has come up.
    is_over: bool,
}

impl Patience {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Alarm {
            sleep: None,
            task: None,
            is_over: false,
        })))
    }

    /// Whether it has come to an end.
    pub(crate) fn is_over(&self) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_over
    }
}

impl Timer for Patience {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Until {
            alarm: Arc::clone(&self.0),
            deadline,
        })
    }
}

struct Until {
    alarm: Arc<Mutex<Alarm>>,
    deadline: Instant,
}

impl Sleep for Until {}

impl Future for Until {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut alarm = self.alarm.lock().unwrap_or_else(PoisonError::into_inner);
        alarm.poll(self.deadline, cx)
    }
}

impl Alarm {
    fn poll(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let due = tokio::time::Instant::from_std(deadline);
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        if due < sleep.deadline() {
            sleep.as_mut().reset(due);
        } else if !sleep.is_elapsed()
            && self
                .task
                .as_ref()
                .is_some_and(|task| task.will_wake(cx.waker()))
        {
            return Poll::Pending; // It is entered, and this task will hear of it.
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if due <= tokio::time::Instant::now() {
                self.is_over = true;
                return Poll::Ready(());
            }
            sleep.as_mut().reset(due);
        }
        self.task = Some(cx.waker().clone());
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn is_over(sleep: &mut Pin<Box<dyn Sleep>>) -> bool {
        tokio::select! {
            biased;
            () = sleep => true,
            () = std::future::ready(()) => false,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_comes_up_at_its_own_deadline_and_not_at_one_that_was_met() {
        let patience = Patience::new();
        let start = tokio::time::Instant::now();
        let after = |millis| (start + Duration::from_millis(millis)).into_std();
        let mut first = patience.sleep_until(after(100));
        assert!(!is_over(&mut first).await);
        tokio::time::advance(Duration::from_millis(50)).await;
        drop(first);
        for (deadline, millis) in [(150, 150), (1_000, 1_000), (1_000, 1_000)] {
            patience.sleep_until(after(deadline)).await;
            let past = start.elapsed().as_millis();
            assert!((millis..millis + 2).contains(&past), "{past}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_comes_earlier_is_kept() {
        let patience = Patience::new();
        let start = tokio::time::Instant::now();
        let mut late = patience.sleep_until((start + Duration::from_secs(9)).into_std());
        assert!(!is_over(&mut late).await);
        patience
            .sleep_until((start + Duration::from_secs(1)).into_std())
            .await;
        assert!(start.elapsed() < Duration::from_secs(2));
    }

    #[tokio::test(start_paused = true)]
    async fn another_task_is_woken_when_it_waits_instead() {
        let patience = Patience::new();
        let start = tokio::time::Instant::now();
        let deadline = (start + Duration::from_secs(1)).into_std();
        let mut here = patience.sleep_until(deadline);
        assert!(!is_over(&mut here).await);
        tokio::spawn(here).await.expect("it comes up");
        assert!(start.elapsed() >= Duration::from_secs(1));
    }
}
