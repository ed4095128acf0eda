//! Every short schedule of publishes, evictions, removals, subscribes, reads and resumes: a client receives what the rules
//! say.

use tower_sse::hub::{LagPolicy, Start};

use super::{
    client::Has,
    model::{Limits, size_of},
    reader::Through,
    simulation::{Beginning, Ending, MANY, Step, kinds, run},
};

/// Returns whether a step can make a difference after these. Others are omitted: they equal another, shorter schedule.
fn is_worth(schedule: &[Step], step: Step) -> bool {
    let before = schedule.last();
    match step {
        Step::Read(number) => before != Some(&Step::ReadAll(number)),
        Step::ReadAll(number) => {
            // The same as one more read.
            before != Some(&Step::Read(number)) && before != Some(&Step::ReadAll(number))
        }
        Step::Leave(number) => !matches!(before, Some(Step::Resume(other) | Step::Leave(other)) if *other == number),
        // At the end of each schedule a client is cut after each update.
        Step::Resume(number) => !matches!(before, Some(Step::Resume(other)) if *other == number),
        _ => true,
    }
}

/// Runs every schedule of so many of these steps. Returns their number.
fn every(beginning: &Beginning, steps: &[Step], length: usize) -> usize {
    let mut count = 0;
    let mut schedule = Vec::with_capacity(length);
    extend(beginning, steps, length, &mut schedule, &mut count);
    count
}

fn extend(beginning: &Beginning, steps: &[Step], length: usize, schedule: &mut Vec<Step>, count: &mut usize) {
    if schedule.len() == length {
        *count += 1;
        return endings(beginning).for_each(|ending| run(beginning, schedule, ending));
    }
    for &step in steps {
        if is_worth(schedule, step) {
            schedule.push(step);
            extend(beginning, steps, length, schedule, count);
            schedule.pop();
        }
    }
}

/// A client that is cut after each update resumes with an id, so its start does not matter.
fn endings(beginning: &Beginning) -> impl Iterator<Item = Ending> {
    let is_cut = beginning.wants.iter().all(|wants| wants.start == Start::Live || wants.through == Through::Wire);
    Ending::ALL.into_iter().filter(move |ending| *ending == Ending::ReadAll || is_cut)
}

fn all(kinds: &[Beginning], steps: &[Step], length: usize) {
    let count: usize = kinds.iter().map(|kind| every(kind, steps, length)).sum();
    println!("{count} schedules of {length} steps");
}

/// One topic that keeps two events and one key.
#[test]
fn short_schedules_of_one_topic_match_the_model() {
    use Step::{Publish, PublishKeyed, Read, ReadAll, Resume};
    let limits = Limits { events: 2, keys: 1, bytes: MANY };
    let steps = [Publish("a"), PublishKeyed("a", "x"), PublishKeyed("a", "y"), Read(0), ReadAll(0), Resume(0)];
    all(&kinds(&["a"], limits, true), &steps, 5);
}

#[test]
fn short_schedules_of_two_topics_match_the_model() {
    use Step::{Close, Publish, PublishAll, PublishKeyed, Read, ReadAll, Resume};
    let limits = Limits { events: 2, keys: 1, bytes: MANY };
    let steps = [
        Publish("a"),
        PublishAll("b"),
        PublishKeyed("b", "x"),
        Close("a", true),
        Close("b", false),
        Read(0),
        ReadAll(0),
        Resume(0),
    ];
    all(&kinds(&["a", "b"], limits, true), &steps, 4);
}

/// The hub keeps three events, whichever topics they are in.
#[test]
fn short_schedules_evict_the_oldest_of_all_topics() {
    use Step::{Close, Publish, PublishAll, Read, ReadAll, Resume};
    let limits = Limits { events: 3, keys: 0, bytes: 3 * size_of("000", None) };
    let steps = [Publish("a"), PublishAll("b"), Publish("c"), Close("b", true), Read(0), ReadAll(0), Resume(0)];
    all(&kinds(&["a", "b"], limits, true), &steps, 4);
}

#[test]
fn short_schedules_resume_any_id_or_send_a_gap() {
    use Step::{Close, Come, ComeWithHead, Leave, Publish, PublishKeyed, ReadAll};
    let limits = Limits { events: 1, keys: 1, bytes: MANY };
    let steps = [
        Publish("a"),
        PublishKeyed("a", "x"),
        PublishKeyed("a", "y"),
        Close("a", false),
        ReadAll(0),
        Leave(0),
        ComeWithHead(0),
        Come(0, Has::Nothing),
        Come(0, Has::Position(0)),
        Come(0, Has::Position(1)),
        Come(0, Has::Position(3)),
        Come(0, Has::Foreign),
        Come(0, Has::Garbage),
    ];
    let kinds: Vec<_> = kinds(&["a"], limits, false).into_iter().collect();
    all(&kinds, &steps, 3);
}

/// Holds for every id that a client may send.
#[test]
fn short_schedules_hide_events_outside_of_a_clients_bounds() {
    use Step::{Come, Publish, PublishKeyed, ReadAll, Resume};
    let limits = Limits { events: 2, keys: 2, bytes: MANY };
    let steps = [
        Publish("a"),
        PublishKeyed("a", "x"),
        PublishKeyed("b", "y"),
        ReadAll(0),
        Resume(0),
        Come(0, Has::Nothing),
        Come(0, Has::Position(0)),
        Come(0, Has::Position(1)),
        Come(0, Has::Foreign),
    ];
    let is_told_apart =
        |kind: &Beginning| kind.wants[0].through == Through::Stream && kind.wants[0].lag != LagPolicy::Skip;
    let mut bounded: Vec<_> = kinds(&["a", "b"], limits, false).into_iter().filter(is_told_apart).collect();
    bounded.iter_mut().for_each(|kind| kind.wants[0].not_before = Some(3));
    all(&bounded, &steps, 4);
}

#[test]
fn short_schedules_with_removed_keys_match_the_model() {
    use Step::{PublishKeyed, Read, ReadAll, RemoveKey, Resume};
    let limits = Limits { events: 1, keys: 2, bytes: MANY };
    let steps = [PublishKeyed("a", "x"), PublishKeyed("a", "y"), RemoveKey("a", "x"), Read(0), ReadAll(0), Resume(0)];
    let latest = kinds(&["a"], limits, true).into_iter().filter(|kind| kind.wants[0].lag == LagPolicy::Conflate);
    all(&latest.collect::<Vec<_>>(), &steps, 5);
}

/// The log of a topic retains one event, so that the event that reopened the topic is evicted before its closing is forgotten.
#[test]
fn short_schedules_pass_no_end_silently() {
    use Step::{Close, CloseOften, PublishKeyed, Read, ReadAll, Resume};
    let limits = Limits { events: 1, keys: 2, bytes: MANY };
    let one = [PublishKeyed("a", "x"), PublishKeyed("a", "y"), Close("a", false), CloseOften("a"), Read(0), ReadAll(0)];
    all(&kinds(&["a"], limits, true), &one, 4);
    let two = [
        PublishKeyed("a", "x"),
        PublishKeyed("b", "y"),
        Close("a", true),
        Close("b", false),
        CloseOften("a"),
        Read(0),
        Resume(0),
    ];
    all(&kinds(&["a", "b"], limits, true), &two, 4);
}

/// Two removed topics are remembered by name. The others share a floor.
#[test]
fn short_schedules_with_forgotten_topics_are_conservative() {
    use Step::{Close, Publish, ReadAll, Resume};
    let limits = Limits { events: 2, keys: 0, bytes: MANY };
    let steps = [Publish("a"), Close("a", true), Close("b", true), Close("c", true), ReadAll(0), Resume(0)];
    let few = kinds(&["a"], limits, true).into_iter().map(|kind| Beginning { topics: 2, ..kind });
    let few = few.filter(|kind| kind.wants[0].start == Start::Live && kind.wants[0].through == Through::Stream);
    all(&few.collect::<Vec<_>>(), &steps, 5);
}
