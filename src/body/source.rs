//! What a body pulls its bytes from.

use crate::event::chunk::Chunk;
use crate::streams::resources::Holds;
use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::HeaderMap;

use super::attach::Marked;
use crate::{
    error::BoxError,
    event::{boundary::Place, gap::Gap},
    observe::Reason,
    settings::StreamSettings,
};

/// What [`Events`](crate::Events) are made of. Sealed: constructors of `Events` make it from streams and channels.
///
/// It is public so that a function can say what it returns: `-> Events<impl Source>`.
pub trait Source: Pull {}

/// The part that is the crate's own business.
#[expect(unnameable_types, reason = "sealed")]
pub trait Pull {
    /// What comes next: ready events as one chunk, or how it ends.
    ///
    /// After anything but [`Pulled::Chunk`], [`Pulled::Missed`] and [`Pulled::Answered`] it is not called again.
    fn poll_pull(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Pulled>;

    /// Where in the format the bytes so far have come to, and so which others may follow them.
    fn place(&self) -> Place {
        Place::Between
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
    fn come_to_rest(self: Pin<&mut Self>) {}

    /// What it is to others, which somebody outside gives up for it if nobody polls it any more. Asked with each frame,
    /// until there is something.
    fn holds(self: Pin<&mut Self>) -> Option<Box<dyn Holds>> {
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
pub enum Pulled {
    /// Bytes to send. Never empty.
    Chunk(Chunk),
    /// Something is missing, and these bytes say so.
    Missed(Box<Gap>, Chunk),
    /// The event service has answered after the head: its stream's own settings, and the stream itself if it is one of this
    /// crate's.
    Answered(Box<StreamSettings>, Option<Box<Marked>>),
    /// The event service was late and said no: its last bytes, and why.
    Refused(Chunk, Option<BoxError>),
    /// All has come, and these trailers.
    Trailers(Box<HeaderMap>),
    /// All has come.
    Finished,
    /// The end that it was asked to come to, while more would have come.
    Rested,
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
