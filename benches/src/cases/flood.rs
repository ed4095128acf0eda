//! The throughput of one client.

use std::{io, time::Duration};

use super::{Run, servers};
use crate::{
    figure::EVENTS_PER_SECOND,
    fleet::Session,
    load::{Ask, Expect},
    rounds::{Busy, Measured},
};

/// Events of three sizes, each created for the client from a text; for this crate also events that were created before.
pub(crate) fn flood(run: &mut Run) -> io::Result<()> {
    for (size, name) in [(64, "64 B"), (1024, "1 KiB"), (16 * 1024, "16 KiB")] {
        measure(
            run,
            &format!("flood, {name}"),
            size,
            &["limit-B", "hyper", "us", "axum", "actix", "warp", "salvo"],
            0,
        )?;
        measure(run, &format!("flood, {name}, made before"), size, &["limit-B", "us"], 1)?;
    }
    Ok(())
}

fn measure(run: &mut Run, case: &str, size: usize, names: &[&'static str], made: u8) -> io::Result<()> {
    let target = format!("/flood?size={size}&made={made}");
    let time = run.scale.window;
    let begin = |_: &mut Session| Ok(());
    run.pairs(case, EVENTS_PER_SECOND, &servers(names), begin, |session| {
        session.load.open(1, Ask { target: &target, expect: Expect::Flood { size }, streams: None })?;
        // The window of TCP opens only with time.
        session.load.run_for(LEAD_IN)?;
        let (busy, events) = (Busy::begin(), session.load.tally.events);
        session.load.run_for(time)?;
        #[expect(clippy::cast_precision_loss, reason = "counts are small")]
        let value = (session.load.tally.events - events) as f64 / busy.seconds();
        let measured = busy.measured(value);
        session.load.close();
        Ok::<Measured, _>(measured)
    })
}

const LEAD_IN: Duration = Duration::from_millis(200);
