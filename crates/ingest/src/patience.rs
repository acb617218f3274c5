//! A connection that is waited for with patience: long between requests, briefly within a request's head, and while the
//! other end does not read its answers.
//!
//! The timeout that hyper has for heads runs from the end of the last answer. As long as a load balancer keeps idle
//! connections it would have to be, and then it would be no protection; as short as protection asks, it would reset
//! connections as clients take them up again, and for clients that never retry a reset is a loss.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::settings::Limits;

/// What a connection is at: even numbers between requests, odd ones within, counting up.
#[derive(Clone, Debug, Default)]
pub(crate) struct Activity(Arc<AtomicU64>);

/// While it lives a request is being worked on.
#[derive(Debug)]
pub(crate) struct Working(Activity);

impl Activity {
    pub(crate) fn working(&self) -> Working {
        self.0.fetch_add(1, Ordering::AcqRel);
        Working(self.clone())
    }

    fn turn(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Ordering::AcqRel);
    }
}

/// A stream whose reads time out between requests, and whose writes do.
#[derive(Debug)]
pub(crate) struct Patient<S> {
    stream: S,
    activity: Activity,
    /// The turn the timer was set for, and whether part of a head has come since.
    set_for: Option<(u64, bool)>,
    timer: Pin<Box<Sleep>>,
    head: Duration,
    idle: Duration,
    /// Runs while the other end does not take what is written.
    unread: Option<Pin<Box<Sleep>>>,
    reading: Duration,
}

impl<S> Patient<S> {
    pub(crate) fn new(stream: S, activity: Activity, limits: &Limits) -> Self {
        let (head, idle) = (limits.header_timeout, limits.idle_timeout);
        let timer = Box::pin(tokio::time::sleep(idle));
        Self { stream, activity, set_for: None, timer, head, idle, unread: None, reading: limits.body_timeout }
    }

    /// Whether a read that has nothing has waited too long.
    fn expired(&mut self, context: &mut Context<'_>) -> bool {
        let turn = self.activity.turn();
        if !turn.is_multiple_of(2) {
            // The request's own timeouts hold.
            self.set_for = None;
            return false;
        }
        if self.set_for.is_none_or(|(set_for, _)| set_for != turn) {
            self.set_for = Some((turn, false));
            // A connection that has never sent anything is given no more than a head's time.
            let patience = if turn == 0 { self.head } else { self.idle };
            self.timer.as_mut().reset(Instant::now() + patience);
        }
        self.timer.as_mut().poll(context).is_ready()
    }

    /// What a write came to, unless the other end has not taken anything for too long.
    fn taken<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.unread = None;
            return written;
        }
        let patience = self.reading;
        let timer = self.unread.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        if timer.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }

    /// Something came: from the first part of a head on, the rest of it must follow soon.
    fn came(&mut self) {
        let turn = self.activity.turn();
        if turn.is_multiple_of(2) && self.set_for != Some((turn, true)) {
            self.set_for = Some((turn, true));
            self.timer.as_mut().reset(Instant::now() + self.head);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = into.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(context, into);
        if read.is_pending() && this.expired(context) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        if into.filled().len() > before {
            this.came();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.taken(context, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.taken(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, buffers);
        self.taken(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
