//! Many long schedules, drawn at random, of several clients at a time: each receives what the rules say.

use std::time::Duration;

use proptest::{prelude::*, test_runner::TestRunner};

use super::{
    client::{Has, Wants},
    model::{Limits, size_of},
    reader::Through,
    simulation::{Beginning, Ending, LAGS, MANY, STARTS, Step, run, run_within, wants},
};

const NAMES: [&str; 3] = ["a", "b", "c"];

const KEYS: [&str; 3] = ["x", "y", "z"];

/// Numbers from which a step is made. A union of strategies would seed a generator for each of its parts, for each step: that
/// took longer than the schedules.
type Drawn = (u32, usize, usize, usize, u64);

fn step(clients: usize) -> impl Strategy<Value = Step> {
    (0..WEIGHT, 0..NAMES.len(), 0..KEYS.len(), 0..clients, 0_u64..40).prop_map(made)
}

/// The sum of the weights of all steps.
const WEIGHT: u32 = 741;

fn made((drawn, name, key, client, number): Drawn) -> Step {
    let (name, key) = (NAMES[name], KEYS[key]);
    match drawn {
        0..120 => Step::Publish(name),
        120..240 => Step::PublishKeyed(name, key),
        240..300 => Step::PublishAll(name),
        300..320 => Step::Close(name, number % 2 == 0),
        320..440 => Step::Read(client),
        440..520 => Step::ReadAll(client),
        520..560 => Step::Resume(client),
        560..600 => Step::Cut(client, number as usize % 4),
        600..605 => Step::Come(client, Has::Nothing),
        605..610 => Step::Come(client, Has::Position(number)),
        610..615 => Step::Come(client, Has::Foreign),
        615..620 => Step::Come(client, Has::Garbage),
        620..640 => Step::ComeWithHead(client),
        640..660 => Step::Leave(client),
        660..740 => Step::Pump,
        _ => Step::CloseOften(name),
    }
}

fn any_wants() -> impl Strategy<Value = Wants> {
    let names = prop_oneof![3 => Just(vec!["a"]), 1 => Just(vec!["b", "a"]), 1 => Just(NAMES.to_vec())];
    let through = prop::sample::select(vec![Through::Stream, Through::Wire, Through::Wire]);
    let (lag, start) = (prop::sample::select(LAGS.to_vec()), prop::sample::select(STARTS.to_vec()));
    let not_before = prop::option::weighted(0.2, 0_u64..40);
    (names, through, lag, start, not_before)
        .prop_map(|(names, through, lag, start, not_before)| Wants { not_before, ..wants(&names, through, lag, start) })
}

/// A hub that is bounded by what its topics retain, or by what it retains itself. The latter without keys, since the hub chooses
/// which of them it evicts.
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
    /// Within a runtime, so that a pump joins frames and wakes, or without one. The pump runs where the schedule says so.
    is_within: bool,
    ending: Ending,
}

/// With small events, and with events of which a frame has room for two.
fn any_long() -> impl Strategy<Value = Long> {
    let data = prop::sample::select(vec![3_usize, 3000]);
    let limits = data.prop_flat_map(|data| (Just(data), any_limits(data)));
    let wants = prop::collection::vec(any_wants(), 4);
    let schedule = prop::collection::vec(step(4), 1..120);
    let ending = prop::sample::select(Ending::ALL.to_vec());
    let within = prop_oneof![Just((false, 0)), Just((true, 0)), Just((true, 2))];
    (wants, limits, schedule, within, ending).prop_map(
        |(wants, (data, limits), schedule, (is_within, linger), ending)| {
            let beginning =
                Beginning { limits, topics: MANY, wants, data, is_there: true, linger: Duration::from_millis(linger) };
            Long { beginning, schedule, is_within, ending }
        },
    )
}

impl Long {
    fn run(&self) {
        let Self { beginning, schedule, is_within, ending } = self;
        if *is_within {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_time().start_paused(true).build().expect("the runtime is built");
            runtime.block_on(run_within(beginning, schedule, *ending));
        } else {
            run(beginning, schedule, *ending);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn long_schedules_match_the_model(long in any_long()) {
        long.run();
    }
}

#[test]
#[ignore = "takes minutes; run by ./tests/run"]
fn long_random_schedules_match_the_model() {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let cases = u32::try_from(SCHEDULES.div_ceil(threads)).expect("the number fits");
    std::thread::scope(|scope| (0..threads).for_each(|_| _ = scope.spawn(|| run_many(cases))));
}

const SCHEDULES: usize = 100_000;

fn run_many(cases: u32) {
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let all = TestRunner::new(config).run(&any_long(), |long| {
        long.run();
        Ok(())
    });
    assert!(all.is_ok(), "{}", all.expect_err("a schedule has failed"));
}
