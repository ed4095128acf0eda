//! A reader of events from a body.

use std::{
    error::Error,
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use futures_core::Stream;
use http::HeaderMap;
use http_body::Body;
use pin_project_lite::pin_project;

use super::decode::{DecodeError, Decoder, Item};
use crate::error::BoxError;

pin_project! {
    /// A reader of any [`Body`] as an event stream: a [`Stream`] of the [`Item`]s that a client acts on.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use futures_util::StreamExt;
    /// use http_body_util::Full;
    /// use tower_sse::decode::{EventReader, Item};
    ///
    /// # tokio_test(async {
    /// let mut reader = EventReader::new(Full::<Bytes>::from("data: hello\n\n"));
    /// let Some(Ok(Item::Event(message))) = reader.next().await else { panic!() };
    /// assert_eq!(message.data(), "hello");
    /// # });
    /// # fn tokio_test(test: impl Future<Output = ()>) {
    /// #     tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(test);
    /// # }
    /// ```
    ///
    /// The reader holds one frame of the body at most, beside what the [`Decoder`] holds. The stream ends after an error.
    ///
    /// Cancel safety: dropping the future of a `next` loses nothing.
    #[derive(Debug)]
    #[must_use = "streams do nothing unless polled"]
    pub struct EventReader<B> {
        #[pin]
        body: B,
        decoder: Decoder,
        bytes: Bytes,
        trailers: Option<HeaderMap>,
        ended: bool,
    }
}

/// An error of a body that could not be read as an event stream.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReadError {
    /// The body failed.
    Body(BoxError),
    /// A line or an event was larger than the decoder's limit.
    Decode(DecodeError),
}

impl<B> EventReader<B> {
    /// Creates a reader with the limits of [`Decoder::new`].
    pub fn new(body: B) -> Self {
        Self::with_decoder(body, Decoder::new())
    }

    /// Creates a reader with this decoder, for other limits.
    pub fn with_decoder(body: B, decoder: Decoder) -> Self {
        Self { body, decoder, bytes: Bytes::new(), trailers: None, ended: false }
    }

    /// Returns the id that a client would send if it reconnected now. Empty if none was set.
    #[must_use]
    pub fn last_event_id(&self) -> &str {
        self.decoder.last_event_id()
    }

    /// Returns the trailers, or `None` if the body has not ended or had none.
    #[must_use]
    pub fn trailers(&self) -> Option<&HeaderMap> {
        self.trailers.as_ref()
    }
}

impl<B: Body<Error: Into<BoxError>>> Stream for EventReader<B> {
    type Item = Result<Item, ReadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut this = self.project();
        while !*this.ended {
            let mut input = &this.bytes[..];
            let decoded = this.decoder.decode(&mut input);
            let taken = this.bytes.len() - input.len();
            this.bytes.advance(taken);
            match decoded {
                Ok(None) => {}
                Ok(Some(item)) => return Poll::Ready(Some(Ok(item))),
                Err(error) => {
                    *this.ended = true;
                    return Poll::Ready(Some(Err(ReadError::Decode(error))));
                }
            }
            match ready!(this.body.as_mut().poll_frame(cx)) {
                None => *this.ended = true,
                Some(Err(error)) => {
                    *this.ended = true;
                    return Poll::Ready(Some(Err(ReadError::Body(error.into()))));
                }
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(mut data) => *this.bytes = data.copy_to_bytes(data.remaining()),
                    Err(frame) => *this.trailers = frame.into_trailers().ok(),
                },
            }
        }
        Poll::Ready(None)
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Body(_) => "body could not be read",
            Self::Decode(_) => "body is not an event stream within the limits",
        })
    }
}

impl Error for ReadError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Body(error) => Some(&**error),
            Self::Decode(error) => Some(error),
        }
    }
}
