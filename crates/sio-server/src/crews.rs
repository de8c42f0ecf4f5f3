//! Who polls the connections that hyper has handed over.
//!
//! On a runtime with one thread it is a [crew](crate::crew), one for each such runtime, as for the
//! connections that our own listener accepts. On one with several threads each connection is a task,
//! which any of them can take.

use std::{future::Future, sync::Arc};

use parking_lot::Mutex;
use tokio::runtime::{Handle, Id, RuntimeFlavor};

use crate::{crew::Crew, front::Front};

/// The crews of a server, by their runtimes. Those are as many as there are threads at most, so they are
/// looked through.
pub(crate) struct Crews<F = Front>(Mutex<Vec<(Id, Arc<Crew<F>>)>>);

impl<F: Future<Output = ()> + Send + Unpin + 'static> Crews<F> {
    pub(crate) fn new() -> Self {
        Self(Mutex::default())
    }

    /// Has a connection polled on the runtime that this is called on.
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    pub(crate) fn spawn(&self, work: F) {
        let runtime = Handle::current();
        match runtime.runtime_flavor() {
            RuntimeFlavor::CurrentThread => drop(self.of(&runtime).add(work)),
            _ => drop(runtime.spawn(work)),
        }
    }

    fn of(&self, runtime: &Handle) -> Arc<Crew<F>> {
        let id = runtime.id();
        let mut crews = self.0.lock();
        if let Some((_, crew)) = crews.iter().find(|(of, _)| *of == id) {
            return Arc::clone(crew);
        }
        // Those whose runtime has ended.
        crews.retain(|(_, crew)| !crew.is_gone());
        let (crew, run) = Crew::new(None);
        runtime.spawn(run);
        crews.push((id, Arc::clone(&crew)));
        crew
    }
}

impl<F> Drop for Crews<F> {
    fn drop(&mut self) {
        for (_, crew) in self.0.get_mut() {
            crew.close();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::pending,
        pin::Pin,
        sync::Weak,
        thread::{self, ThreadId},
    };

    use tokio::{
        runtime::{Builder, Runtime},
        sync::oneshot,
        task,
    };

    use super::*;

    type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

    fn alone() -> Runtime {
        Builder::new_current_thread().build().unwrap()
    }

    /// Has something polled on the runtime this is called on, and returns where that was: its thread and
    /// its task.
    async fn place(crews: &Crews<Work>) -> (ThreadId, task::Id) {
        let (tell, told) = oneshot::channel();
        crews.spawn(Box::pin(async move {
            _ = tell.send((thread::current().id(), task::id()));
        }));
        told.await.unwrap()
    }

    #[test]
    fn one_task_polls_all_where_there_is_one_thread() {
        let crews = Crews::new();
        let (first, second) =
            alone().block_on(async { (place(&crews).await, place(&crews).await) });
        assert_eq!(first, second);
    }

    #[test]
    fn each_is_a_task_where_there_are_several_threads() {
        let crews = Crews::new();
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .build()
            .unwrap();
        let (first, second) =
            runtime.block_on(async { (place(&crews).await, place(&crews).await) });
        assert_ne!(first.1, second.1);
        assert!(crews.0.lock().is_empty());
    }

    #[test]
    fn each_runtime_polls_its_own_on_its_thread() {
        let crews = Arc::new(Crews::new());
        let threads = [(); 2].map(|()| {
            let crews = Arc::clone(&crews);
            thread::spawn(move || {
                let (polled, _) = alone().block_on(place(&crews));
                assert_eq!(polled, thread::current().id());
            })
        });
        for thread in threads {
            thread.join().unwrap();
        }
    }

    #[test]
    fn what_is_polled_goes_with_its_runtime_and_the_crew_is_forgotten() {
        let crews: Crews<Work> = Crews::new();
        let kept = Arc::new(());
        let left: Weak<()> = Arc::downgrade(&kept);
        let runtime = alone();
        runtime.block_on(async {
            crews.spawn(Box::pin(async move {
                let _kept = kept;
                pending().await
            }));
            place(&crews).await;
        });
        drop(runtime);
        assert_eq!(left.strong_count(), 0);
        for _ in 0..3 {
            alone().block_on(place(&crews));
            assert_eq!(crews.0.lock().len(), 1);
        }
    }

    #[test]
    fn the_task_of_a_crew_ends_with_the_server() {
        let runtime = alone();
        runtime.block_on(async {
            let crews = Crews::new();
            place(&crews).await;
            assert_eq!(runtime.metrics().num_alive_tasks(), 1);
            drop(crews);
            while runtime.metrics().num_alive_tasks() > 0 {
                task::yield_now().await;
            }
        });
    }
}
