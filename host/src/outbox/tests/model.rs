//! The outbox does what a list would do, whatever comes in whatever order.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Emit { lane: usize, sizes: Vec<usize>, required: bool },
    Settle { lane: usize, entries: usize, dead: bool },
    Bound(u64),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let lane = 0..2_usize;
    prop_oneof![
        6 => (lane.clone(), proptest::collection::vec(0..120_usize, 1..4), proptest::bool::weighted(0.3))
            .prop_map(|(lane, sizes, required)| Step::Emit { lane, sizes, required }),
        3 => (lane, 0..6_usize, any::<bool>()).prop_map(|(lane, entries, dead)| Step::Settle { lane, entries, dead }),
        1 => (0..2000_u64).prop_map(Step::Bound),
        1 => Just(Step::Reopen),
    ]
}

const LANES: [&str; 2] = ["a", "b"];

/// Events that were emitted together, and are in the file together.
struct Block {
    lane: usize,
    first: u64,
    required: bool,
    events: Vec<String>,
}

impl Block {
    fn last(&self) -> u64 {
        self.first + self.events.len() as u64 - 1
    }

    fn bytes(&self) -> u64 {
        self.events.iter().map(|event| event.len() as u64 + 4).sum()
    }
}

#[derive(Default)]
struct Lane {
    last: u64,
    settled: u64,
    lost: u64,
    dead: u64,
    /// Places of lost events that are not settled.
    gone: Vec<u64>,
}

struct Model {
    max_bytes: u64,
    lanes: [Lane; 2],
    /// In the order in which they came.
    blocks: Vec<Block>,
}

impl Model {
    fn used(&self) -> u64 {
        self.blocks.iter().map(Block::bytes).sum()
    }

    /// False: refused.
    fn emit(&mut self, lane: usize, events: &[String], required: bool) -> bool {
        let count = events.len() as u64;
        let emitted: u64 = events.iter().map(|event| event.len() as u64 + 4).sum();
        let of = &mut self.lanes[lane];
        let first = of.last + 1;
        of.last += count;
        let fits = self.blocks.iter().map(Block::bytes).sum::<u64>() + emitted <= self.max_bytes;
        if required && !fits {
            of.gone.extend(first..first + count);
            of.lost += count;
            self.give_way();
            return false;
        }
        let events = (first..).zip(events).map(|(place, event)| with_place(event, place)).collect();
        self.blocks.push(Block { lane, first, required, events });
        self.give_way();
        true
    }

    fn give_way(&mut self) {
        while self.used() > self.max_bytes
            && let Some(oldest) = self.blocks.iter().position(|block| !block.required)
        {
            let block = self.blocks.remove(oldest);
            let lane = &mut self.lanes[block.lane];
            let lost = block.first.max(lane.settled + 1)..=block.last();
            lane.lost += lost.clone().count() as u64;
            lane.gone.extend(lost);
        }
    }

    fn front(&self, lane: usize) -> Vec<Pending> {
        let of = &self.lanes[lane];
        let mut entries = Vec::new();
        for place in of.settled + 1..=of.last {
            if of.gone.contains(&place) {
                match entries.last_mut() {
                    Some(Pending { sequence, content: Content::Gap(gap) }) if *sequence + 1 == place => {
                        (*sequence, gap.last_sequence) = (place, place);
                        gap.count += 1;
                    }
                    _ => entries.push(Pending {
                        sequence: place,
                        content: Content::Gap(Gap { count: 1, first_sequence: place, last_sequence: place }),
                    }),
                }
                continue;
            }
            let block =
                self.blocks.iter().find(|block| block.lane == lane && (block.first..=block.last()).contains(&place));
            let block = block.unwrap();
            let event = block.events[usize::try_from(place - block.first).unwrap()].clone();
            entries.push(Pending { sequence: place, content: Content::Event(event) });
        }
        entries
    }

    fn settle(&mut self, lane: usize, through: u64) {
        let of = &mut self.lanes[lane];
        of.settled = through;
        of.gone.retain(|place| *place > through);
        self.blocks.retain(|block| block.lane != lane || block.last() > through);
    }
}

fn with_place(event: &str, place: u64) -> String {
    format!(r#"{{"sequence":{place},{}"#, &event[1..])
}

/// A required event counts by what it takes without its place: what it is given is not known before it is written.
fn run(steps: Vec<Step>) {
    let folder = tempfile::tempdir().unwrap();
    let mut model = Model { max_bytes: 1000, lanes: Default::default(), blocks: Vec::new() };
    let mut outbox = open(folder.path());
    outbox.set_max_bytes(model.max_bytes);
    let mut number = 0;
    for step in steps {
        match step.clone() {
            Step::Emit { lane, sizes, required } => {
                let events: Vec<_> = sizes
                    .iter()
                    .map(|size| {
                        number += 1;
                        event(&format!("{number}-{}", "x".repeat(*size)))
                    })
                    .collect();
                let taken = outbox.sink(LANES[lane], SinkSettings { required }).emit(&events);
                assert_eq!(taken.is_ok(), model.emit(lane, &events, required), "{step:?}: {taken:?}");
                wait(outbox.sync()).unwrap();
            }
            Step::Settle { lane, entries, dead } => {
                let front = model.front(lane);
                let Some(last) = front.iter().take(entries).next_back() else { continue };
                let letters = if dead { vec![(last.sequence, "refused".to_owned())] } else { Vec::new() };
                let settled = wait(outbox.settle(LANES[lane], last.sequence, letters, NOW)).unwrap();
                assert_eq!(settled, entries.min(front.len()) as u64, "{step:?}");
                model.lanes[lane].dead += u64::from(dead);
                model.settle(lane, last.sequence);
            }
            Step::Bound(max_bytes) => {
                model.max_bytes = max_bytes;
                outbox.set_max_bytes(max_bytes);
            }
            Step::Reopen => {
                drop(outbox);
                outbox = open(folder.path());
                outbox.set_max_bytes(model.max_bytes);
                // What is in the file is known when it has been looked at.
                wait(outbox.unsent(LANES[0])).unwrap();
                wait(outbox.unsent(LANES[1])).unwrap();
            }
        }
        for (lane, name) in LANES.iter().enumerate() {
            let front = wait(outbox.front(name, usize::MAX, usize::MAX)).unwrap();
            assert_eq!(front, model.front(lane), "{step:?}");
            let unsent = wait(outbox.unsent(name)).unwrap();
            let bytes = model.blocks.iter().filter(|block| block.lane == lane).map(Block::bytes).sum();
            assert_eq!(unsent, Unsent { events: front.len() as u64, bytes }, "{step:?}");
            let health = outbox.health(name);
            assert_eq!((health.lost, health.dead), (model.lanes[lane].lost, model.lanes[lane].dead), "{step:?}");
            let gap = front.iter().any(|entry| matches!(entry.content, Content::Gap(_)));
            let full = model.used() >= model.max_bytes;
            assert_eq!(health.state == State::Degraded, gap || full, "{step:?}: {health:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn nothing_leaves_it_without_being_settled_or_put_on_record(steps in proptest::collection::vec(step(), 1..40)) {
        run(steps);
    }
}
