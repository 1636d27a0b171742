//! A stream that is read to its end even when the peer takes no more.
//!
//! A coordinator that refuses a file says so before it has read it, and stops reading. What is still
//! sent then fails, and must not hide the answer that is there to be read.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Once the peer takes no more, all that is written goes nowhere; reading tells why, or that the
/// connection is gone.
#[derive(Debug)]
pub(crate) struct ToTheEnd<S> {
    stream: S,
    is_taken: bool,
}

impl<S> ToTheEnd<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, is_taken: true }
    }

    /// What writing came to, as told to the writer.
    fn told<T>(&mut self, written: io::Result<T>, instead: T) -> io::Result<T> {
        Ok(written.unwrap_or_else(|_| {
            self.is_taken = false;
            instead
        }))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ToTheEnd<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ToTheEnd<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if !this.is_taken {
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = ready!(Pin::new(&mut this.stream).poll_write(context, bytes));
        Poll::Ready(this.told(written, bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.is_taken {
            return Poll::Ready(Ok(()));
        }
        let flushed = ready!(Pin::new(&mut this.stream).poll_flush(context));
        Poll::Ready(this.told(flushed, ()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.is_taken {
            return Poll::Ready(Ok(()));
        }
        let closed = ready!(Pin::new(&mut this.stream).poll_shutdown(context));
        Poll::Ready(this.told(closed, ()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn what_was_answered_is_read_after_the_peer_takes_no_more() -> io::Result<()> {
        let (near, mut far) = tokio::io::duplex(64);
        far.write_all(b"refused").await?;
        drop(far);
        let mut stream = ToTheEnd::new(near);
        for _ in 0..2 {
            stream.write_all(&[0; 1000]).await?;
            stream.flush().await?;
        }
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        assert_eq!(answer, "refused");
        stream.shutdown().await
    }
}
