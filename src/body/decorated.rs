//! Somebody else's event stream as a source: its bytes go through as they are.
//!
//! What is kept is where in the format they have come to, so that a heartbeat never stands within a line, and an end is
//! never within an event if it can be helped.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame};
use pin_project_lite::pin_project;

use crate::{
    BoxError,
    body::{
        count::Count,
        frames::poll_bytes,
        guard::{Guarded, Panicked},
        place::Place,
        source::{Chunk, Pull, Pulled, Source},
    },
    bom::Bom,
};

pin_project! {
    /// A body that is an event stream.
    #[derive(Debug)]
    pub struct Decorated<B> {
        #[pin]
        body: Guarded<B>,
        place: Place,
        bom: Bom,
        rest: Rest,
        // Counted only if somebody looks.
        count: Option<Count>,
        is_sealed: bool,
    }
}

#[derive(Debug)]
enum Rest {
    No,
    /// At the end of the event.
    Asked,
    /// The last chunk ended with it.
    Reached,
}

/// How somebody else's stream is taken in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Splice {
    /// Its events are counted.
    pub(crate) counts: bool,
    /// Its bytes are in a coding, and pass as they are.
    pub(crate) is_sealed: bool,
}

impl<B> Decorated<B> {
    pub(crate) fn new(body: B, splice: Splice) -> Self {
        Self {
            body: Guarded::new(body),
            place: Place::default(),
            bom: Bom::START,
            rest: Rest::No,
            count: (splice.counts && !splice.is_sealed).then(Count::default),
            is_sealed: splice.is_sealed,
        }
    }
}

impl<B> Source for Decorated<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
}

impl<B> Pull for Decorated<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    fn poll_pull(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Pulled> {
        if let Rest::Reached = self.rest {
            return Poll::Ready(Pulled::Rested);
        }
        // Its data and its error are the user's too, and what they do when they are looked at.
        let frame = match self.as_mut().project().body.run(|body| poll_bytes(body, cx)) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(frame)) => frame,
            Err(Panicked) => return Poll::Ready(Pulled::Panicked),
        };
        match frame {
            None => Poll::Ready(Pulled::Finished),
            Some(Ok(frame)) => self.frame(frame, cx),
            Some(Err(error)) => Poll::Ready(Pulled::Failed(error)),
        }
    }

    /// In a coding nothing can be known of events, so that each place is as good.
    fn place(&self) -> Place {
        self.place
    }

    fn is_sealed(&self) -> bool {
        self.is_sealed
    }

    fn come_to_rest(self: Pin<&mut Self>) {
        *self.project().rest = Rest::Asked;
    }

    fn release(self: Pin<&mut Self>) {
        self.project().body.release();
    }
}

impl<B> Decorated<B> {
    fn frame(self: Pin<&mut Self>, frame: Frame<Bytes>, cx: &Context<'_>) -> Poll<Pulled> {
        let this = self.project();
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(frame) => {
                return match frame.into_trailers() {
                    Ok(trailers) => Poll::Ready(Pulled::Trailers(Box::new(trailers))),
                    Err(_) => again(cx),
                };
            }
        };
        let mut bytes = if *this.is_sealed { data } else { without_bom(this.bom, data) };
        if bytes.is_empty() {
            return again(cx);
        }
        if *this.is_sealed {
            return Poll::Ready(Pulled::Chunk(Chunk { bytes, events: 0 }));
        }
        if let Rest::Asked = this.rest {
            if let Some(end) = this.place.end_of_event(&bytes) {
                bytes.truncate(end);
                *this.rest = Rest::Reached;
            }
        }
        *this.place = this.place.after(&bytes);
        let events = this.count.as_mut().map_or(0, |count| count.events(&bytes));
        Poll::Ready(Pulled::Chunk(Chunk { bytes, events }))
    }
}

/// A mark may lead the stream, but not once there is a prelude before it.
fn without_bom(bom: &mut Bom, mut bytes: Bytes) -> Bytes {
    let (skip, held) = bom.skip(&bytes);
    bytes.advance(skip);
    if held.is_empty() { bytes } else { Bytes::from([held, &bytes].concat()) }
}

/// A frame with nothing in it is not passed on. Others get their turn, should there be no end of such frames.
fn again(cx: &Context<'_>) -> Poll<Pulled> {
    cx.waker().wake_by_ref();
    Poll::Pending
}
