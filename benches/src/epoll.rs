//! epoll, whose events carry descriptors.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd, RawFd},
    time::Duration,
};

use rustix::{
    event::epoll::{self, CreateFlags, EventData, EventFlags},
    time::Timespec,
};

pub(crate) struct Epoll(OwnedFd);

impl Epoll {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(epoll::create(CreateFlags::CLOEXEC)?))
    }

    /// Level-triggered.
    pub(crate) fn add<T: AsFd + AsRawFd>(&self, what: &T, flags: EventFlags) -> io::Result<()> {
        Ok(epoll::add(&self.0, what, data(what), flags)?)
    }

    pub(crate) fn modify<T: AsFd + AsRawFd>(&self, what: &T, flags: EventFlags) -> io::Result<()> {
        Ok(epoll::modify(&self.0, what, data(what), flags)?)
    }

    /// Replaces the list with the ready events.
    pub(crate) fn wait(&self, ready: &mut Vec<(RawFd, EventFlags)>, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = timeout.map(|timeout| Timespec {
            tv_sec: timeout.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        });
        let mut events = [const { std::mem::MaybeUninit::uninit() }; 256];
        let (events, _) = match epoll::wait(&self.0, &mut events[..], timeout.as_ref()) {
            Err(rustix::io::Errno::INTR) => return self.wait(ready, None),
            other => other?,
        };
        ready.clear();
        ready.extend(events.iter().map(|event| {
            let (fd, flags) = (event.data.u64(), event.flags);
            (RawFd::try_from(fd).unwrap_or(-1), flags)
        }));
        Ok(())
    }
}

fn data(what: &impl AsRawFd) -> EventData {
    EventData::new_u64(u64::try_from(what.as_raw_fd()).unwrap_or(u64::MAX))
}
