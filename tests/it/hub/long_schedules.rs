//! Many long schedules, drawn at random, of several clients at a time: each gets exactly what the rules say.

use proptest::{prelude::*, test_runner::TestRunner};

use super::{
    client::{Has, Wants},
    model::{Limits, size_of},
    source::Through,
    world::{Beginning, Ending, LAGS, MANY, STARTS, Step, run, run_within, wants},
};

const NAMES: [&str; 3] = ["a", "b", "c"];

const KEYS: [&str; 3] = ["x", "y", "z"];

fn step(clients: usize) -> impl Strategy<Value = Step> {
    let name = || prop::sample::select(&NAMES[..]);
    let key = || prop::sample::select(&KEYS[..]);
    let has =
        prop_oneof![Just(Has::Nothing), (0_u64..40).prop_map(Has::Position), Just(Has::Foreign), Just(Has::Garbage)];
    prop_oneof![
        6 => name().prop_map(Step::Publish),
        6 => (name(), key()).prop_map(|(name, key)| Step::PublishKeyed(name, key)),
        3 => name().prop_map(Step::PublishAll),
        1 => (name(), any::<bool>()).prop_map(|(name, says)| Step::Close(name, says)),
        6 => (0..clients).prop_map(Step::Read),
        4 => (0..clients).prop_map(Step::ReadAll),
        2 => (0..clients).prop_map(Step::Resume),
        2 => (0..clients, 0_usize..4).prop_map(|(client, after)| Step::Cut(client, after)),
        1 => (0..clients, has).prop_map(|(client, has)| Step::Come(client, has)),
        1 => (0..clients).prop_map(Step::ComeWithHead),
        1 => (0..clients).prop_map(Step::Leave),
        4 => Just(Step::Pump),
    ]
}

fn any_wants() -> impl Strategy<Value = Wants> {
    let names = prop_oneof![3 => Just(vec!["a"]), 1 => Just(vec!["b", "a"]), 1 => Just(NAMES.to_vec())];
    let through = prop::sample::select(vec![Through::Stream, Through::Wire, Through::Wire]);
    let (lag, start) = (prop::sample::select(LAGS.to_vec()), prop::sample::select(STARTS.to_vec()));
    let not_before = prop::option::weighted(0.2, 0_u64..40);
    (names, through, lag, start, not_before)
        .prop_map(|(names, through, lag, start, not_before)| Wants { not_before, ..wants(&names, through, lag, start) })
}

/// A hub that is bounded by what its topics keep, or by what it keeps itself. The latter without keys: which of them goes is
/// the hub's choice.
fn any_limits(data: usize) -> impl Strategy<Value = Limits> {
    let size = size_of(&" ".repeat(data), Some("x"));
    prop_oneof![
        (1_usize..6, 1_usize..3).prop_map(|(events, keys)| Limits { events, keys, bytes: MANY }),
        (2_usize..8).prop_map(move |events| Limits { events: 6, keys: 0, bytes: events * size }),
    ]
}

#[derive(Debug, Clone)]
struct Long {
    beginning: Beginning,
    schedule: Vec<Step>,
    /// Within a runtime, so that a pump joins and wakes, or without one. It gets its turn where the schedule says so.
    is_within: bool,
    ending: Ending,
}

/// With small events, and with such that a frame has room for two of.
fn any_long() -> impl Strategy<Value = Long> {
    let data = prop::sample::select(vec![3_usize, 3000]);
    let limits = data.prop_flat_map(|data| (Just(data), any_limits(data)));
    let wants = prop::collection::vec(any_wants(), 4);
    let schedule = prop::collection::vec(step(4), 1..120);
    let ending = prop::sample::select(Ending::ALL.to_vec());
    (wants, limits, schedule, any::<bool>(), ending).prop_map(|(wants, (data, limits), schedule, is_within, ending)| {
        let beginning = Beginning { limits, topics: MANY, wants, data, is_there: true };
        Long { beginning, schedule, is_within, ending }
    })
}

impl Long {
    fn run(&self) {
        let Self { beginning, schedule, is_within, ending } = self;
        if *is_within {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("there is a runtime");
            runtime.block_on(run_within(beginning, schedule, *ending));
        } else {
            run(beginning, schedule, *ending);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn in_long_schedules_each_client_gets_what_it_should(long in any_long()) {
        long.run();
    }
}

#[test]
#[ignore = "takes minutes; run by ./tests/run"]
fn in_a_hundred_thousand_long_schedules_each_client_gets_what_it_should() {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let cases = u32::try_from(SCHEDULES.div_ceil(threads)).expect("they are not so many");
    std::thread::scope(|scope| (0..threads).for_each(|_| _ = scope.spawn(|| run_many(cases))));
}

const SCHEDULES: usize = 100_000;

fn run_many(cases: u32) {
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let all = TestRunner::new(config).run(&any_long(), |long| {
        long.run();
        Ok(())
    });
    assert!(all.is_ok(), "{}", all.expect_err("one has failed"));
}
