//! Work that goes on when whoever waits for it goes away.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;

/// A future that is done to its end: by whoever awaits it, and once that is dropped, by the runtime. Compared with a
/// task for each it saves, as long as its owner stays, two wake-ups from thread to thread.
pub(crate) struct Lasting<T: Send + 'static>(Option<Pin<Box<dyn Future<Output = T> + Send>>>);

impl<T: Send + 'static> Lasting<T> {
    /// Begins at the first poll.
    pub(crate) fn new(work: impl Future<Output = T> + Send + 'static) -> Self {
        Self(Some(Box::pin(work)))
    }
}

impl<T: Send + 'static> Future for Lasting<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let Some(work) = self.0.as_mut() else { return Poll::Pending };
        let polled = work.as_mut().poll(context);
        if polled.is_ready() {
            self.0 = None;
        }
        polled
    }
}

impl<T: Send + 'static> Drop for Lasting<T> {
    fn drop(&mut self) {
        // Without a runtime the process is about to end.
        if let (Some(work), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(async move { drop(work.await) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn work_is_done_by_whoever_waits_or_without_them() {
        assert_eq!(Lasting::new(async { 7 }).await, 7);
        let (go_on, told) = oneshot::channel::<()>();
        let (done, seen) = oneshot::channel();
        let mut work = Box::pin(Lasting::new(async move {
            told.await.unwrap();
            done.send(()).unwrap();
        }));
        tokio::select! {
            biased;
            () = work.as_mut() => unreachable!("nobody has told it to go on"),
            () = std::future::ready(()) => {}
        }
        drop(work);
        go_on.send(()).unwrap();
        seen.await.unwrap();
    }
}
