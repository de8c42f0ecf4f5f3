//! Orders to sockets wherever they are, and when they are carried out.

use std::{
    fmt,
    future::{Future, IntoFuture},
    pin::Pin,
    sync::Arc,
};

use sio_cluster::{Missing, Question};

use crate::{cluster::Cluster, hearing::Heard};

/// Sockets have been told to join, to leave or to go, by a [`Target`](crate::Target).
///
/// On this node that is done already, and other nodes have been told. To wait until they have done it,
/// too, await this: it yields who has not said so in time, as long as the broker is told to wait, 5 s by
/// default. Nodes of ours and of Node are waited for; Python says nothing.
///
/// ```
/// # async fn f(io: sio_server::Io) {
/// let missing = io.to("lobby").join("annex").await;
/// if missing.is_nobody() {
///     io.to("annex").emit("welcome", &());
/// }
/// # }
/// ```
pub struct Ordered {
    elsewhere: Option<Elsewhere>,
}

struct Elsewhere {
    cluster: Arc<Cluster>,
    namespace: Box<str>,
    /// Whether the order found room in the queue to the broker.
    queued: bool,
}

impl Ordered {
    /// Nobody else had to be told.
    pub(crate) fn here() -> Self {
        Self { elsewhere: None }
    }

    /// The other nodes have been told, if there was room for that.
    pub(crate) fn elsewhere(cluster: Arc<Cluster>, namespace: &str, queued: bool) -> Self {
        let elsewhere = Elsewhere {
            cluster,
            namespace: namespace.into(),
            queued,
        };
        Self {
            elsewhere: Some(elsewhere),
        }
    }
}

impl IntoFuture for Ordered {
    type Output = Missing;
    type IntoFuture = Pin<Box<dyn Future<Output = Missing> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let Some(elsewhere) = self.elsewhere else {
                return Missing::default();
            };
            let Elsewhere {
                cluster,
                namespace,
                queued,
            } = elsewhere;
            if !queued {
                let mut missing = Missing::default();
                missing.nodes = cluster.status().peers;
                missing.uncounted = true;
                return missing;
            }
            // Behind the order on the same way: whoever answers has carried it out.
            let mut heard = cluster.ask(&namespace, Question::Settled, None);
            drop(cluster);
            while let Some(heard) = heard.recv().await {
                if let Heard::Done(missing) = heard {
                    return missing;
                }
            }
            Missing::default()
        })
    }
}

impl fmt::Debug for Ordered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ordered").finish_non_exhaustive()
    }
}
