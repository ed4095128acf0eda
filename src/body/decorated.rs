//! Provides the source of a decorated event stream, whose bytes are passed on unchanged.
//!
//! The source tracks the position in the format, so that a heartbeat is never put into a line, and the stream ends between events if
//! that is possible.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use http_body::Body;
use pin_project_lite::pin_project;

use super::{
    catch_panic::{CatchPanic, Panicked},
    coalesce::Join,
    count::Count,
    frames::poll_bytes,
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
    /// The source of a body that is an event stream.
    #[derive(Debug)]
    pub struct Decorated<B> {
        #[pin]
        body: CatchPanic<B>,
        boundary: Boundary,
        bom: Bom,
        // A byte order mark was received, and nothing after it.
        had_mark: bool,
        // The LF after a CR was sent before it was received.
        has_sent_lf: bool,
        stop: StopState,
        // `None` if no observer wants the numbers.
        count: Option<Count>,
        is_sealed: bool,
        // Small frames that are ready together are sent as one, with this number of events.
        joined: Join,
        events: u64,
        // A frame that did not fit.
        held: Option<Bytes>,
        // The end of the body, while frames from before it are still to be sent.
        end: Option<SourceOutput>,
    }
}

/// The progress of a stop at the end of an event.
#[derive(Debug)]
enum StopState {
    Running,
    Requested,
    /// The last chunk ends with the event.
    Done,
}

/// The options of a decorated stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DecorateOptions {
    /// Counts the events, for observers.
    pub(crate) counts_events: bool,
    /// The bytes are in a coding, and nothing may be added to them.
    pub(crate) is_sealed: bool,
    pub(crate) last_retry: LastRetry,
    /// Keeps a byte order mark, which begins the stream as there is no prelude.
    pub(crate) keeps_bom: bool,
}

impl DecorateOptions {
    /// Returns the options of a stream with settings of its own.
    pub(crate) fn with(self, own: &StreamSettings) -> Self {
        Self { keeps_bom: own.comments.map_or(self.keeps_bom, |comments| comments == Comments::Omit), ..self }
    }
}

impl<B> Decorated<B> {
    pub(crate) fn new(body: B, options: DecorateOptions) -> Self {
        Self {
            body: CatchPanic::new(body),
            boundary: Boundary::default(),
            bom: if options.keeps_bom { Bom::Over } else { Bom::START },
            had_mark: false,
            has_sent_lf: false,
            stop: StopState::Running,
            count: (options.counts_events && !options.is_sealed).then(Count::default),
            is_sealed: options.is_sealed,
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
        while !matches!(self.stop, StopState::Done) && self.end.is_none() {
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
        // First the frames from before the end, then the end.
        let this = self.project();
        if !this.joined.is_empty() {
            let (bytes, events) = (this.joined.take(), std::mem::take(this.events));
            return Poll::Ready(SourceOutput::Chunk(Chunk { bytes, events }));
        }
        if let StopState::Done = this.stop {
            return Poll::Ready(SourceOutput::Stopped);
        }
        this.end.take().map_or(Poll::Pending, Poll::Ready)
    }

    /// Returns the position in the format. In a coding events cannot be seen, and it stays between two events.
    fn boundary(&self) -> Boundary {
        self.boundary
    }

    fn is_sealed(&self) -> bool {
        self.is_sealed
    }

    fn beat(self: Pin<&mut Self>, beat: Beat) -> Option<Bytes> {
        let this = self.project();
        let bytes = match *this.boundary {
            Boundary::BetweenEvents | Boundary::AfterBlankCr => beat.bytes,
            Boundary::LineStart | Boundary::AfterCr => beat.comment?,
            Boundary::InLine | Boundary::InComment => return None,
        };
        if !matches!(this.boundary, Boundary::AfterCr | Boundary::AfterBlankCr) {
            return Some(bytes);
        }
        // The LF that may follow the CR is sent now, and skipped when it is received: CR LF is one end of a line.
        *this.boundary = this.boundary.step(b'\n');
        *this.has_sent_lf = true;
        Some([b"\n", &*bytes].concat().into())
    }

    fn stop_at_boundary(self: Pin<&mut Self>) {
        *self.project().stop = StopState::Requested;
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
    /// Returns the data of the next frame. Returns `None` if there are none now, or at the end, which is stored.
    fn poll_data(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Option<Bytes> {
        let this = self.project();
        // The data and the error are the user's as well, so they are converted within the guard.
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
    /// Adds data to the frame that is sent next.
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
            // WebKit looks for a mark again after a first chunk of fewer than three bytes, such as the prelude.
            this.joined.push(COMMENT);
        }
        if std::mem::take(this.has_sent_lf) && bytes[0] == b'\n' {
            // It is counted where it stands in the upstream.
            *this.events += this.count.as_mut().map_or(0, |count| count.events(b"\n"));
            bytes.advance(1);
        }
        if let StopState::Requested = this.stop {
            if let Some(end) = this.boundary.end_of_event(&bytes) {
                bytes.truncate(end);
                *this.stop = StopState::Done;
            }
        }
        *this.boundary = this.boundary.after(&bytes);
        *this.events += this.count.as_mut().map_or(0, |count| count.events(&bytes));
        this.joined.push(bytes);
    }
}

/// Removes a byte order mark, which may begin a stream, but not follow a prelude. Returns whether the mark has just ended.
fn without_bom(bom: &mut Bom, mut bytes: Bytes) -> (Bytes, bool) {
    let (skip, held) = bom.skip(&bytes);
    bytes.advance(skip);
    let had_mark = skip > 0 && held.is_empty() && matches!(bom, Bom::Over);
    (if held.is_empty() { bytes } else { Bytes::from([held, &bytes].concat()) }, had_mark)
}

/// Drops a frame without data, and wakes the task. Other tasks run in between, however many such frames follow.
fn again(cx: &Context<'_>) -> Option<Bytes> {
    cx.waker().wake_by_ref();
    None
}
