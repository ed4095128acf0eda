//! Somebody else's event stream as a source: its bytes go through as they are.
//!
//! What is kept is where in the format they have come to, so that a heartbeat never stands within a line, and an end is
//! never within an event if it can be helped.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use http_body::Body;
use pin_project_lite::pin_project;

use super::{
    coalesce::Join,
    count::Count,
    frames::poll_bytes,
    guard::{CatchPanic, Panicked},
    source::{Beat, PollSource, Source, SourceOutput},
};
use crate::{
    error::BoxError,
    event::{
        bom::{Bom, MARK},
        boundary::Boundary,
        chunk::Chunk,
        encode::LastRetry,
    },
    settings::{Comments, StreamSettings, heartbeat::COMMENT},
};

pin_project! {
    /// A body that is an event stream.
    #[derive(Debug)]
    pub struct Decorated<B> {
        #[pin]
        body: CatchPanic<B>,
        place: Boundary,
        bom: Bom,
        // A mark has come, and nothing after it.
        had_mark: bool,
        // The line end after a CR was sent before it came.
        has_sent_lf: bool,
        rest: StopState,
        // Counted only if somebody looks.
        count: Option<Count>,
        is_sealed: bool,
        // Small frames that are ready together leave as one, with so many events.
        joined: Join,
        events: u64,
        // One that did not fit.
        held: Option<Bytes>,
        // How it ended, while frames from before that are still to be sent.
        end: Option<SourceOutput>,
    }
}

#[derive(Debug)]
enum StopState {
    Running,
    /// At the end of the event.
    Requested,
    /// The last chunk ended with it.
    Done,
}

/// How somebody else's stream is taken in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DecorateOptions {
    /// Its events are counted.
    pub(crate) counts: bool,
    /// Its bytes are in a coding, and pass as they are.
    pub(crate) is_sealed: bool,
    pub(crate) last_retry: LastRetry,
    /// There is no prelude, so a byte order mark leads the stream as before.
    pub(crate) keeps_bom: bool,
}

impl DecorateOptions {
    /// Returns the same for a stream with settings of its own.
    pub(crate) fn with(self, own: &StreamSettings) -> Self {
        Self { keeps_bom: own.comments.map_or(self.keeps_bom, |comments| comments == Comments::Omit), ..self }
    }
}

impl<B> Decorated<B> {
    pub(crate) fn new(body: B, splice: DecorateOptions) -> Self {
        Self {
            body: CatchPanic::new(body),
            place: Boundary::default(),
            bom: if splice.keeps_bom { Bom::Over } else { Bom::START },
            had_mark: false,
            has_sent_lf: false,
            rest: StopState::Running,
            count: (splice.counts && !splice.is_sealed).then(Count::default),
            is_sealed: splice.is_sealed,
            joined: Join::default(),
            events: 0,
            held: None,
            end: None,
        }
    }
}

impl<B> Source for Decorated<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
}

impl<B> PollSource for Decorated<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    fn poll_output(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<SourceOutput> {
        while !matches!(self.rest, StopState::Done) && self.end.is_none() {
            let held = self.as_mut().project().held.take();
            let data = match held {
                Some(data) => data,
                None => match self.as_mut().poll_data(cx) {
                    Some(data) => data,
                    None => break,
                },
            };
            let this = self.as_mut().project();
            if !this.joined.has_room(data.len()) {
                *this.held = Some(data);
                break;
            }
            self.as_mut().take_in(data);
        }
        // First what came before the end. Now the end.
        let this = self.project();
        if !this.joined.is_empty() {
            let (bytes, events) = (this.joined.take(), std::mem::take(this.events));
            return Poll::Ready(SourceOutput::Chunk(Chunk { bytes, events }));
        }
        if let StopState::Done = this.rest {
            return Poll::Ready(SourceOutput::Stopped);
        }
        this.end.take().map_or(Poll::Pending, Poll::Ready)
    }

    /// In a coding nothing can be known of events, so that each place is as good.
    fn boundary(&self) -> Boundary {
        self.place
    }

    fn is_sealed(&self) -> bool {
        self.is_sealed
    }

    fn beat(self: Pin<&mut Self>, beat: Beat) -> Option<Bytes> {
        let this = self.project();
        let bytes = match *this.place {
            Boundary::BetweenEvents | Boundary::AfterBlankCr => beat.bytes,
            Boundary::LineStart | Boundary::AfterCr => beat.comment?,
            Boundary::InLine | Boundary::InComment => return None,
        };
        if !matches!(this.place, Boundary::AfterCr | Boundary::AfterBlankCr) {
            return Some(bytes);
        }
        // The LF that may still come after the CR is sent now, and skipped then: it is one end of a line, whoever sends it.
        *this.place = this.place.step(b'\n');
        *this.has_sent_lf = true;
        Some([b"\n", &*bytes].concat().into())
    }

    fn stop_at_boundary(self: Pin<&mut Self>) {
        *self.project().rest = StopState::Requested;
    }

    fn release(self: Pin<&mut Self>) {
        let this = self.project();
        this.body.release();
        *this.joined = Join::default();
        *this.held = None;
    }
}

impl<B> Decorated<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    /// Returns the data of the next frame. `None`: there are none now, or this is the end, which is noted.
    fn poll_data(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Option<Bytes> {
        let this = self.project();
        // Its data and its error are the user's too, and what they do when they are looked at.
        let end = match this.body.run(|body| poll_bytes(body, cx)) {
            Ok(Poll::Pending) => return None,
            Ok(Poll::Ready(Some(Ok(frame)))) => match frame.into_data() {
                Ok(data) if !data.is_empty() => return Some(data),
                Ok(_) => return again(cx),
                Err(frame) => match frame.into_trailers() {
                    Ok(trailers) => SourceOutput::Trailers(Box::new(trailers)),
                    Err(_) => return again(cx),
                },
            },
            Ok(Poll::Ready(None)) => SourceOutput::Finished,
            Ok(Poll::Ready(Some(Err(error)))) => SourceOutput::Failed(error),
            Err(Panicked) => SourceOutput::Panicked,
        };
        *this.end = Some(end);
        None
    }
}

impl<B> Decorated<B> {
    /// Adds data to the frame that is to go out.
    fn take_in(self: Pin<&mut Self>, data: Bytes) {
        let this = self.project();
        if *this.is_sealed {
            this.joined.push(data);
            return;
        }
        let (mut bytes, had_mark) = without_bom(this.bom, data);
        *this.had_mark |= had_mark;
        if bytes.is_empty() {
            return;
        }
        if std::mem::take(this.had_mark) && bytes[0] == MARK[0] {
            // WebKit looks for a mark again behind a first chunk of fewer than three bytes, as the prelude is.
            this.joined.push(COMMENT);
        }
        if std::mem::take(this.has_sent_lf) && bytes[0] == b'\n' {
            // For those who count, it is where it stands in the upstream.
            *this.events += this.count.as_mut().map_or(0, |count| count.events(b"\n"));
            bytes.advance(1);
        }
        if let StopState::Requested = this.rest {
            if let Some(end) = this.place.end_of_event(&bytes) {
                bytes.truncate(end);
                *this.rest = StopState::Done;
            }
        }
        *this.place = this.place.after(&bytes);
        *this.events += this.count.as_mut().map_or(0, |count| count.events(&bytes));
        this.joined.push(bytes);
    }
}

/// A mark may lead the stream, but not once there is a prelude before it. Returns whether the mark has just come to its end.
fn without_bom(bom: &mut Bom, mut bytes: Bytes) -> (Bytes, bool) {
    let (skip, held) = bom.skip(&bytes);
    bytes.advance(skip);
    let had_mark = skip > 0 && held.is_empty() && matches!(bom, Bom::Over);
    (if held.is_empty() { bytes } else { Bytes::from([held, &bytes].concat()) }, had_mark)
}

/// A frame with nothing in it is not passed on. Others get their turn, should there be no end of such frames.
fn again(cx: &Context<'_>) -> Option<Bytes> {
    cx.waker().wake_by_ref();
    None
}
