//! Provides the handing over of settings, limits and observers between a stream and the layers around it.
//!
//! Layers attach their part to the control block of a stream that exists already; the stream takes it with its next poll.
//! A stream whose event service answers late, with a stream of this crate's, attaches its own part to that one in turn.

use std::sync::Arc;

use super::{attach::MarkedStream, deadlines::Deadlines, effective_settings::EffectiveSettings};
use crate::{
    access::Checks,
    settings::OnDrain,
    streams::{
        attached::{Attached, OuterLimits},
        control::StreamControl,
    },
};

/// Takes the part of layers that is attached to the control block. Returns whether a prelude was sent already.
pub(super) fn take_attached(
    control: &StreamControl,
    effective: &mut EffectiveSettings,
    deadlines: &mut Deadlines,
) -> bool {
    let Some(attached) = control.take_attached() else { return false };
    let Attached { layer_settings, client, outer_limits, checks, has_begun } = *attached;
    if let Some(layer) = layer_settings {
        effective.set_layer(&layer, client);
    }
    deadlines.add(&outer_limits, checks);
    has_begun
}

/// Hands the settings, limits, observers and permits over to an answered stream of this crate's, whose bytes are passed on
/// from here.
pub(super) fn hand_over(
    control: &StreamControl,
    effective: &mut EffectiveSettings,
    deadlines: &mut Deadlines,
    answered: &MarkedStream,
) {
    let Some(next) = answered.control() else { return };
    let is_bare = answered.is_bare();
    let leaves = effective.on_drain() == Some(OnDrain::Leave);
    let (mut outer, ends_at, checks) = std::mem::take(deadlines).into_parts(|access| !answered.has_access(access));
    let (settings, client) = effective.hand_over();
    if is_bare {
        outer.opened = Some(control.opened());
    } else {
        // A layer that the stream has met is the innermost, and has attached its own settings.
        outer.tighten(ends_at, leaves);
    }
    next.attach(|attached| {
        if is_bare {
            attached.layer_settings = Some(Arc::clone(&settings));
            attached.client = client;
        }
        let OuterLimits { ends_at, leaves, opened } = outer;
        attached.outer_limits.tighten(ends_at, leaves);
        attached.outer_limits.opened = attached.outer_limits.opened.or(opened);
        attached.has_begun = true;
        if let Some(checks) = checks {
            Checks::append(&mut attached.checks, checks);
        }
    });
    next.take_over(control);
    // A drain reaches the other stream itself.
    control.set_finishes(true);
}
