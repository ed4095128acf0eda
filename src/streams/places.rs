//! Who has a place among streams, and who gets one.
//!
//! Pure, under the registry's lock. A request has its place from the moment that it is admitted, so that it can be ended
//! before it has an answer.

use std::{collections::HashMap, mem, sync::Arc};

use slab::Slab;

use super::{builder::Settings, permit::NotAdmitted};
use crate::{access::Withdrawn, body::record::Record};

/// The places that are taken, by number and by key.
#[derive(Debug, Default)]
pub(super) struct Places {
    places: Slab<Place>,
    by_key: HashMap<Arc<str>, usize>,
    door: Door,
    gone: Gone,
}

/// What has a permit.
#[derive(Debug)]
pub(super) struct Place {
    key: Option<Arc<str>>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// A request without an answer. If its key was ended meanwhile, the answer is too late.
    Asked(Option<Withdrawn>),
    Open(Arc<Record>),
}

/// What becomes of those who come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Door {
    #[default]
    Open,
    /// Nobody is admitted; who was admitted before is drained.
    Draining,
    /// The same, and a drain has come to its end.
    Cutting,
}

/// How many streams are not open any more.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Gone {
    pub(super) all: usize,
    /// Those whose clients did not read.
    pub(super) stalled: usize,
}

/// What a stream that opens has to be told.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) door: Door,
    pub(super) ended: Option<Withdrawn>,
}

impl Places {
    /// A place, if there is one for this key.
    pub(super) fn admit(&mut self, key: Option<Arc<str>>, settings: &Settings) -> Result<usize, NotAdmitted> {
        if self.door != Door::Open {
            return Err(NotAdmitted::Draining);
        }
        if self.places.len() >= settings.total {
            return Err(NotAdmitted::Full);
        }
        if let Some(key) = &key {
            let open = self.of_key(key);
            if open >= settings.per_key {
                return Err(NotAdmitted::FullForKey);
            }
            #[cfg(feature = "rate-limit")]
            if settings.rate.as_ref().is_some_and(|rate| !rate.allows(key)) {
                return Err(NotAdmitted::TooOften);
            }
            self.by_key.insert(Arc::clone(key), open + 1);
        }
        Ok(self.places.insert(Place { key, stage: Stage::Asked(None) }))
    }

    /// The request that has this place is answered with a stream.
    pub(super) fn open(&mut self, number: usize, record: &Arc<Record>) -> Option<Opened> {
        let place = self.places.get_mut(number)?;
        let ended = match mem::replace(&mut place.stage, Stage::Open(Arc::clone(record))) {
            Stage::Asked(ended) => ended,
            Stage::Open(_) => None,
        };
        Some(Opened { door: self.door, ended })
    }

    /// A place is free again. What was there is to be dropped without the lock.
    pub(super) fn leave(&mut self, number: usize, was_stalled: bool) -> Option<Place> {
        let place = self.places.try_remove(number)?;
        if let Stage::Open(_) = place.stage {
            self.gone.all += 1;
            self.gone.stalled += usize::from(was_stalled);
        }
        if let Some((key, open)) = place.key.as_ref().and_then(|key| Some((key, self.by_key.get_mut(key)?))) {
            *open -= 1;
            if *open == 0 {
                self.by_key.remove(key);
            }
        }
        Some(place)
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn of_key(&self, key: &str) -> usize {
        self.by_key.get(key).copied().unwrap_or(0)
    }

    pub(super) fn door(&self) -> Door {
        self.door
    }

    /// It never opens again.
    pub(super) fn close_to(&mut self, door: Door) {
        if self.door != Door::Cutting {
            self.door = door;
        }
    }

    pub(super) fn gone(&self) -> Gone {
        self.gone
    }

    /// The streams, without the requests that wait for their answers.
    pub(super) fn records(&self) -> impl Iterator<Item = &Arc<Record>> {
        self.places.iter().filter_map(|(_, place)| place.record())
    }

    /// Whether no request waits for its answer.
    pub(super) fn all_are_answered(&self) -> bool {
        self.records().count() == self.places.len()
    }

    /// The place of this number.
    pub(super) fn get_mut(&mut self, number: usize) -> Option<&mut Place> {
        self.places.get_mut(number)
    }

    /// Above all numbers that there are.
    pub(super) fn end(&self) -> usize {
        self.places.capacity()
    }
}

impl Place {
    pub(super) fn record(&self) -> Option<&Arc<Record>> {
        match &self.stage {
            Stage::Asked(_) => None,
            Stage::Open(record) => Some(record),
        }
    }

    pub(super) fn has_key(&self, key: &str) -> bool {
        self.key.as_deref() == Some(key)
    }

    /// Notes that its key was ended, should it open.
    pub(super) fn end(&mut self, why: &Withdrawn) {
        if let Stage::Asked(ended) = &mut self.stage {
            ended.get_or_insert_with(|| why.clone());
        }
    }
}
