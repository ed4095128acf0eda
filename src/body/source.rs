//! Provides the sources that a body polls for its bytes.

use crate::event::chunk::Chunk;
use crate::streams::resources::Detach;
use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::HeaderMap;
use tokio::time::Instant;

use super::attach::MarkedStream;
use crate::{
    error::BoxError,
    event::{boundary::Boundary, gap::Gap},
    observe::Reason,
    settings::StreamSettings,
};

/// A source of [`Events`](crate::Events). Sealed: the constructors of `Events` create sources from streams and channels.
///
/// For signatures: `-> Events<impl Source>`. See [`BoxEvents`](crate::BoxEvents) for a type with a name.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a source of events",
    label = "write `Events::new(stream)` for a stream, and `Events<impl Source>` or `BoxEvents` in a signature"
)]
pub trait Source: PollSource {}

/// The private part of [`Source`].
#[expect(unnameable_types, reason = "sealed")]
pub trait PollSource {
    /// Polls for the next output: all ready events as one chunk, or the end.
    ///
    /// Not called again after another output than [`SourceOutput::Chunk`], [`SourceOutput::ChunkAt`], [`SourceOutput::Gap`]
    /// and [`SourceOutput::Attached`].
    fn poll_output(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<SourceOutput>;

    /// Returns the position in the format after the bytes so far, by which others may follow them or not.
    fn boundary(&self) -> Boundary {
        Boundary::BetweenEvents
    }

    /// Returns `true` if no bytes may be added to those of the source, since they are in a coding.
    fn is_sealed(&self) -> bool {
        false
    }

    /// Takes in a heartbeat, and returns it in the form that is allowed at the current position: within an event, a comment.
    /// Returns `None` if there is none.
    fn beat(self: Pin<&mut Self>, beat: Beat) -> Option<Bytes> {
        Some(beat.bytes)
    }

    /// Stops a source that is within an event at the end of that event.
    fn stop_at_boundary(self: Pin<&mut Self>) {}

    /// Returns a handle that releases this source's external registrations (for example its topic membership) when the body
    /// is no longer polled. Called with each frame until there is one.
    fn detach_handle(self: Pin<&mut Self>) -> Option<Box<dyn Detach>> {
        None
    }

    /// Drops all that is the user's at the end of the stream: a connection may hold the body long after it.
    fn release(self: Pin<&mut Self>);
}

/// A heartbeat that is due.
#[derive(Debug)]
#[expect(unnameable_types, reason = "sealed")]
pub struct Beat {
    pub(crate) bytes: Bytes,
    /// The form of a heartbeat within an event. `None` if comments are omitted.
    pub(crate) comment: Option<Bytes>,
}

/// The output of a source.
#[derive(Debug)]
#[non_exhaustive]
#[expect(unnameable_types, reason = "sealed")]
pub enum SourceOutput {
    /// Bytes to send. Never empty.
    Chunk(Chunk),
    /// Bytes to send, and the time at which the source has read the clock for them.
    ChunkAt(Chunk, Instant),
    /// A gap, and the bytes that report it to the client.
    Gap(Box<Gap>, Chunk),
    /// The event service has answered after the head was sent: the settings of its stream, and the stream itself if it is one
    /// of this crate's.
    Attached(Box<StreamSettings>, Option<Box<MarkedStream>>),
    /// The event service has refused after the head was sent: the last bytes, and the source of the refusal.
    Refused(Chunk, Option<BoxError>),
    /// The complete end, with these trailers.
    Trailers(Box<HeaderMap>),
    /// The complete end.
    Finished,
    /// The end of the event at which the source was to stop, while more would have followed.
    Stopped,
    /// An end for this reason.
    Ended(Reason),
    /// An error of the source.
    Failed(BoxError),
    /// A panic of the source.
    Panicked,
}

/// The bytes of ready events that are put into one frame.
///
/// Frames cost most: 38-byte events go out four times as fast at 8 KiB a frame as one by one, and an HTTP/2 client
/// that receives too many small frames closes the connection. Above 8 KiB there is no gain, and glibc's allocator is slower.
pub(crate) const FRAME_BYTES: usize = 8 * 1024;
