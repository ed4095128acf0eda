//! What a body pulls its bytes from.

use crate::event::chunk::Chunk;
use crate::streams::resources::Detach;
use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::HeaderMap;

use super::attach::MarkedStream;
use crate::{
    error::BoxError,
    event::{boundary::Boundary, gap::Gap},
    observe::Reason,
    settings::StreamSettings,
};

/// What [`Events`](crate::Events) are made of. Sealed: constructors of `Events` make it from streams and channels.
///
/// It is public so that a function can say what it returns: `-> Events<impl Source>`.
pub trait Source: PollSource {}

/// The part that is the crate's own business.
#[expect(unnameable_types, reason = "sealed")]
pub trait PollSource {
    /// What comes next: ready events as one chunk, or how it ends.
    ///
    /// After anything but [`SourceOutput::Chunk`], [`SourceOutput::Gap`] and [`SourceOutput::Attached`] it is not called again.
    fn poll_output(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<SourceOutput>;

    /// Where in the format the bytes so far have come to, and so which others may follow them.
    fn boundary(&self) -> Boundary {
        Boundary::BetweenEvents
    }

    /// Returns whether no bytes may be added to those of the source: they are in a coding.
    fn is_sealed(&self) -> bool {
        false
    }

    /// Takes in a heartbeat, if one may stand where the source has come to, and returns it in the form that it has there. Within an
    /// event that is a comment, if there are comments.
    fn beat(self: Pin<&mut Self>, beat: Beat) -> Option<Bytes> {
        Some(beat.bytes)
    }

    /// Asks a source that is within an event to end where the event does.
    fn stop_at_boundary(self: Pin<&mut Self>) {}

    /// What it is to others, which somebody outside gives up for it if nobody polls it any more. Asked with each frame,
    /// until there is something.
    fn detach_handle(self: Pin<&mut Self>) -> Option<Box<dyn Detach>> {
        None
    }

    /// The stream is over. Lets go of all that is the user's: a connection may hold a body long after its end.
    fn release(self: Pin<&mut Self>);
}

/// A heartbeat that is due.
#[derive(Debug)]
#[expect(unnameable_types, reason = "sealed")]
pub struct Beat {
    pub(crate) bytes: Bytes,
    /// The form of one within an event.
    pub(crate) comment: Option<Bytes>,
}

/// What a source gives.
#[derive(Debug)]
#[non_exhaustive]
#[expect(unnameable_types, reason = "sealed")]
pub enum SourceOutput {
    /// Bytes to send. Never empty.
    Chunk(Chunk),
    /// Something is missing, and these bytes say so.
    Gap(Box<Gap>, Chunk),
    /// The event service has answered after the head: its stream's own settings, and the stream itself if it is one of this
    /// crate's.
    Attached(Box<StreamSettings>, Option<Box<MarkedStream>>),
    /// The event service was late and said no: its last bytes, and why.
    Refused(Chunk, Option<BoxError>),
    /// All has come, and these trailers.
    Trailers(Box<HeaderMap>),
    /// All has come.
    Finished,
    /// The end that it was asked to come to, while more would have come.
    Stopped,
    /// It ends here, for this reason.
    Ended(Reason),
    /// The source gave an error.
    Failed(BoxError),
    /// The source panicked.
    Panicked,
}

/// How many bytes of ready events are put into one frame.
///
/// Frames are what costs: 38-byte events go out four times as fast at 8 KiB a frame as one by one, and an HTTP/2 client
/// that gets too many small ones closes the connection. Above 8 KiB nothing is gained, and glibc's allocator loses.
pub(crate) const FRAME_BYTES: usize = 8 * 1024;
