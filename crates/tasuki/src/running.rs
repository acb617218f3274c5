//! What is running in this process, and how it comes to an end: doors first, then the services behind them.

use std::future::Future;

use anyhow::Context;
use tasuki_service::{Health, Shutdown};
use tokio::task::JoinSet;

/// Everything that runs. Ends as a whole: when one part fails, or when it is told to.
#[derive(Debug, Default)]
pub(crate) struct Running {
    /// What takes requests from outside.
    doors: JoinSet<anyhow::Result<()>>,
    close_doors: Shutdown,
    /// What works behind them.
    tasks: JoinSet<anyhow::Result<()>>,
    stop_tasks: Shutdown,
}

impl Running {
    /// Runs something that takes requests from outside, until it is told to stop taking them.
    pub(crate) fn door<F>(&mut self, name: &'static str, serve: impl FnOnce(Shutdown) -> F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let serving = serve(self.close_doors.clone());
        self.doors.spawn(async move { serving.await.context(name) });
    }

    /// Runs something that works without being asked.
    pub(crate) fn task<F>(&mut self, name: &'static str, work: impl FnOnce(Shutdown) -> F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let working = work(self.stop_tasks.clone());
        self.tasks.spawn(async move { working.await.context(name) });
    }

    /// Runs something that blocks, on a thread of its own.
    pub(crate) fn thread(
        &mut self,
        name: &'static str,
        work: impl FnOnce(Shutdown) -> anyhow::Result<()> + Send + 'static,
    ) -> std::io::Result<()> {
        let shutdown = self.stop_tasks.clone();
        let (done, ended) = tokio::sync::oneshot::channel();
        std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            // Nobody listens any more where the process is ending anyhow.
            let _unheard = done.send(work(shutdown));
        })?;
        self.tasks.spawn(async move {
            ended.await.unwrap_or_else(|_| Err(anyhow::anyhow!("its thread panicked"))).context(name)
        });
        Ok(())
    }

    /// Waits until `stop` is told or something ends by itself, then ends everything in order. The first error is the
    /// outcome.
    pub(crate) async fn until(mut self, stop: &Shutdown, health: &Health) -> anyhow::Result<()> {
        let first = tokio::select! {
            // Told to stop goes first: parts may end at the same moment because of it.
            biased;
            () = stop.cancelled() => Ok(()),
            Some(ended) = self.doors.join_next() => ended_early(ended),
            Some(ended) = self.tasks.join_next() => ended_early(ended),
        };
        health.ending();
        self.close_doors.cancel();
        let doors = rest(&mut self.doors).await;
        self.stop_tasks.cancel();
        let tasks = rest(&mut self.tasks).await;
        first.and(doors).and(tasks)
    }
}

type Ended = Result<anyhow::Result<()>, tokio::task::JoinError>;

fn ended_early(ended: Ended) -> anyhow::Result<()> {
    ended?.and_then(|()| Err(anyhow::anyhow!("a part of the process ended though nobody asked it to")))
}

async fn rest(set: &mut JoinSet<anyhow::Result<()>>) -> anyhow::Result<()> {
    let mut outcome = Ok(());
    while let Some(ended) = set.join_next().await {
        outcome = outcome.and(ended.map_err(anyhow::Error::from).and_then(|result| result));
    }
    outcome
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[tokio::test]
    async fn doors_close_before_the_services_behind_them_stop() {
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut running = Running::default();
        let (door, task) = (Arc::clone(&order), Arc::clone(&order));
        running.door("door", |shutdown| async move {
            shutdown.cancelled().await;
            door.lock().unwrap().push("door");
            Ok(())
        });
        running.task("task", |shutdown| async move {
            shutdown.cancelled().await;
            task.lock().unwrap().push("task");
            Ok(())
        });
        let stop = Shutdown::new();
        stop.cancel();
        running.until(&stop, &Health::default()).await.unwrap();
        assert_eq!(*order.lock().unwrap(), ["door", "task"]);
    }

    #[tokio::test]
    async fn one_failure_ends_everything_and_is_the_outcome() {
        let mut running = Running::default();
        running.thread("broken", |_| Err(anyhow::anyhow!("no disk"))).unwrap();
        running.task("other", |shutdown| async move {
            shutdown.cancelled().await;
            Ok(())
        });
        let error = running.until(&Shutdown::new(), &Health::default()).await.unwrap_err();
        assert_eq!(format!("{error:#}"), "broken: no disk");
    }
}
