//! A thousand seeded histories of a server, its network and one ruleset source, on a clock of their own. Whatever happens,
//! the source never gives a ruleset that was not signed, and when the trouble is over it has the newest one within the
//! longest wait that wire.md §5.7 allows after that kind of trouble, plus two seconds.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may fail loudly"
)]

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_compact::{KeyPair, Seed};
use edictum_server_protocol::endpoint::Endpoint;
use edictum_server_protocol::request::Request;
use edictum_server_protocol::response::{Answer, Fault, Response};
use edictum_server_protocol::ruleset::source::RulesetSource;
use edictum_server_protocol::stream::connection::{IDLE_MS, MAX_WAIT_MS, Order, SLOW_WAIT_MS, SPREAD_MS};
use sha2::{Digest, Sha256};

const SCENARIOS: u64 = 1_000;
const START: u64 = 1_800_000_000_000;
const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
/// A keepalive comes so often.
const KEEPALIVE: u64 = 15 * SECOND;
/// The source may take this long for what it does, beside waiting.
const SLACK: u64 = 2 * SECOND;
/// Safety polls are at most this far apart.
const POLL: u64 = 5 * MINUTE;

/// What is wrong, while it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// Streams end at once, cleanly.
    Closes,
    /// Streams end in the middle of an event.
    Torn,
    /// Nothing comes any more, and nobody says so.
    HalfOpen,
    /// Nobody answers at all.
    Away,
    /// The credential is refused on the stream.
    Refused,
    /// There is no stream here.
    NoStream,
    /// The server is busy and says for how long.
    Busy,
    /// Events come that mean nothing, or ask for what they must not.
    Babble,
    /// The stream brings older rulesets, and ones that nobody signed.
    Forged,
    /// The fetch answers with errors, or with bytes that nobody signed.
    BadFetch,
    /// The stream lives and is never told anything.
    Deaf,
}

const TROUBLES: [Trouble; 11] = [
    Trouble::Closes,
    Trouble::Torn,
    Trouble::HalfOpen,
    Trouble::Away,
    Trouble::Refused,
    Trouble::NoStream,
    Trouble::Busy,
    Trouble::Babble,
    Trouble::Forged,
    Trouble::BadFetch,
    Trouble::Deaf,
];

impl Trouble {
    /// The longest wait after it that §5.7 allows.
    fn longest_wait(self) -> u64 {
        match self {
            // Back-off of the stream; a fetch comes with each new one.
            Self::Closes | Self::Torn | Self::Away | Self::Babble | Self::Forged => MAX_WAIT_MS + SPREAD_MS,
            // A dead stream is noticed, and a new one is opened.
            Self::HalfOpen => IDLE_MS.1 + MAX_WAIT_MS + SPREAD_MS,
            Self::Refused => SLOW_WAIT_MS.1 + SPREAD_MS,
            Self::Busy => MAX_WAIT_MS + SPREAD_MS,
            Self::BadFetch => MAX_WAIT_MS + SPREAD_MS,
            Self::NoStream | Self::Deaf => POLL,
        }
    }
}

/// splitmix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.roll() % (most - least + 1)
    }
}

fn text(version: u64) -> String {
    format!("apiVersion: edictum/v1\nkind: Ruleset\nmetadata: {{name: box, version: '{version}'}}\n")
}

fn revision(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

fn json(status: u16, body: String) -> Answer {
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    Ok(Response { status, headers, body: body.into_bytes() })
}

/// Bytes that come, or the end of the stream.
#[derive(Clone, Debug)]
enum Incoming {
    Opened(u16, Vec<(String, String)>),
    Bytes(Vec<u8>),
    End,
}

struct World {
    dice: Dice,
    keys: KeyPair,
    trouble: Option<Trouble>,
    version: u64,
    /// Revisions that were signed.
    signed: BTreeSet<String>,
    /// What is on its way to the source, by time.
    incoming: Vec<(u64, Incoming)>,
    /// Time of the last byte of the open stream, and how long silence is borne.
    stream: Option<(u64, u64)>,
    /// Nothing comes from it any more, for good.
    dead: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut world = Self {
            dice: Dice(seed),
            keys: KeyPair::from_seed(Seed::new([7; 32])),
            trouble: None,
            version: 0,
            signed: BTreeSet::new(),
            incoming: Vec::new(),
            stream: None,
            dead: false,
        };
        world.deploy(START);
        world
    }

    fn release(&self, version: u64) -> String {
        let text = text(version);
        let signature = STANDARD.encode(self.keys.sk.sign(&text, None).as_ref());
        let yaml = serde_json::Value::from(text);
        format!(r#"{{"name":"box","version":{version},"yaml":{yaml},"signature":"{signature}"}}"#)
    }

    fn deploy(&mut self, now: u64) {
        self.version += 1;
        self.signed.insert(revision(&text(self.version)));
        if self.stream.is_some() && !self.dead && self.trouble != Some(Trouble::Deaf) {
            let event = format!("event: ruleset_updated\ndata: {{\"name\":\"box\",\"version\":{}}}\n\n", self.version);
            self.send(now, event.as_bytes());
        }
    }

    /// Cut anywhere.
    fn send(&mut self, now: u64, bytes: &[u8]) {
        let cut = (self.dice.roll() as usize) % (bytes.len() + 1);
        for part in [&bytes[..cut], &bytes[cut..]] {
            if !part.is_empty() {
                self.incoming.push((now + 5, Incoming::Bytes(part.to_vec())));
            }
        }
    }

    fn answer(&mut self, request: &Request, now: &mut u64) -> Answer {
        *now += self.dice.between(2, 200);
        assert!(request.url().contains("/v1/rulesets/box/current"), "{}", request.url());
        match self.trouble {
            Some(Trouble::Away) if self.dice.roll().is_multiple_of(4) => {
                *now += request.deadline_ms;
                Err(Fault::Deadline)
            }
            Some(Trouble::Away) => Err(Fault::NotSent("connection refused".to_owned())),
            Some(Trouble::Busy) => Ok(Response {
                status: 503,
                headers: vec![("retry-after".to_owned(), "7".to_owned())],
                body: Vec::new(),
            }),
            Some(Trouble::BadFetch) => match self.dice.roll() % 6 {
                0 => json(500, "{}".to_owned()),
                1 => Err(Fault::Incomplete),
                2 => json(
                    200,
                    r#"{"name":"box","version":99,"yaml":"metadata: {name: box}\n","signature":"AAAA"}"#.to_owned(),
                ),
                3 => json(200, self.release(self.version).replace("kind: Ruleset", "kind: Forgery")),
                4 => Ok(Response {
                    status: 302,
                    headers: vec![("location".to_owned(), "https://evil.example/".to_owned())],
                    body: Vec::new(),
                }),
                _ => json(200, "[".repeat(100_000)),
            },
            _ => json(200, self.release(self.version)),
        }
    }

    /// The source has asked for a stream.
    fn connect(&mut self, now: u64) {
        self.incoming.clear();
        self.dead = self.trouble == Some(Trouble::HalfOpen);
        let at = now + self.dice.between(2, 300);
        let head = |status| Incoming::Opened(status, vec![("content-type".to_owned(), "text/event-stream".to_owned())]);
        let refuse =
            |status| Incoming::Opened(status, vec![("content-type".to_owned(), "application/json".to_owned())]);
        match self.trouble {
            Some(Trouble::Away) => self.incoming.push((at, Incoming::End)),
            Some(Trouble::Refused) => self.incoming.extend([(at, refuse(401)), (at, Incoming::End)]),
            Some(Trouble::NoStream) => self.incoming.extend([(at, refuse(404)), (at, Incoming::End)]),
            Some(Trouble::Busy) => self.incoming.extend([(at, refuse(503)), (at, Incoming::End)]),
            Some(Trouble::Closes) => self.incoming.extend([(at, head(200)), (at + 1, Incoming::End)]),
            Some(Trouble::Torn) => {
                let half = b"event: ruleset_updated\ndata: {\"name\":\"bo".to_vec();
                self.incoming.extend([(at, head(200)), (at + 1, Incoming::Bytes(half)), (at + 2, Incoming::End)]);
            }
            _ => {
                self.incoming.push((at, head(200)));
                self.incoming.push((at + 1, Incoming::Bytes(b": hello\n\n".to_vec())));
            }
        }
    }

    /// What a stream in trouble brings, from time to time.
    fn noise(&mut self, now: u64) {
        let old = self.dice.between(1, self.version);
        let old = self.release(old).replace("\"yaml\"", "\"env\":\"production\",\"yaml\"");
        let events: &[&str] = match self.trouble {
            Some(Trouble::Babble) => &[
                "event: ruleset_updated\ndata: {\"name\":\"../../admin/secret?x=\",\"version\":9}\n\n",
                "event: contract_update\ndata: {\"_assignment_changed\":true,\"bundle_name\":\"other\"}\n\n",
                "event: ruleset_updated\ndata: not json\n\n",
                "event: unheard\ndata: [1]\n\nretry: 100000000\n\n",
                "\u{feff}data\n\n:\n\n",
            ],
            Some(Trouble::Forged) => &[
                "event: contract_update\ndata: OLD\n\n",
                "event: contract_update\ndata: {\"bundle_name\":\"box\",\"version\":99,\"yaml\":\"a: 1\",\"signature\":\"AAAA\"}\n\n",
                "event: ruleset_updated\ndata: {\"name\":\"box\",\"version\":1000000}\n\n",
            ],
            _ => &[": keepalive\n\n"],
        };
        let event = events[self.dice.roll() as usize % events.len()].replace("OLD", &old);
        self.send(now, event.as_bytes());
    }
}

struct Run {
    world: World,
    source: RulesetSource,
    now: u64,
    enforced: String,
}

impl Run {
    fn new(seed: u64) -> Self {
        let world = World::new(seed);
        let endpoint = format!(r#"{{"url":"https://api.example.com","seed":{}}}"#, seed * 7919 + 1);
        let endpoint = Endpoint::open(&endpoint, "edk_production_k").unwrap();
        let key = hex::encode(world.keys.pk.as_ref());
        let options = format!(r#"{{"bundle_name":"box","verify_signatures":true,"signing_public_keys":["{key}"]}}"#);
        let source = RulesetSource::open(&endpoint, &options, None).unwrap();
        Self { world, source, now: START, enforced: String::new() }
    }

    /// Until then, or until this revision is enforced.
    fn until(&mut self, end: u64, wanted: Option<&str>) {
        let mut noise = self.now + KEEPALIVE;
        while self.now < end && wanted.is_none_or(|wanted| self.enforced != wanted) {
            let next = self.step();
            let soonest = self.world.incoming.iter().map(|(at, _)| *at).min();
            let silent = self.world.stream.map(|(last, idle)| last + idle);
            let next = [next, soonest, silent, Some(noise), Some(end)].into_iter().flatten().min().unwrap();
            self.now = self.now.max(next);
            if self.now >= noise {
                noise = self.now + KEEPALIVE;
                if self.world.stream.is_some() && !self.world.dead {
                    self.world.noise(self.now);
                }
            }
            self.deliver();
        }
    }

    fn step(&mut self) -> Option<u64> {
        while let Some(request) = self.source.next_request(self.now) {
            let answer = self.world.answer(&request, &mut self.now);
            self.source.answered(&answer, self.now);
        }
        let step = self.source.take_step(self.now);
        assert_eq!(step.failed, None);
        let mut again = false;
        if let Some(release) = step.release {
            assert_eq!(revision(&release.text), release.revision);
            assert!(self.world.signed.contains(&release.revision), "nobody signed {release:?}");
            assert!(release.key_id.is_some());
            self.enforced.clone_from(&release.revision);
            self.source.enforced(&release.revision, self.now);
            again = true;
        }
        match step.connection {
            Order::Keep => {}
            Order::Close => {
                self.world.incoming.clear();
                self.world.stream = None;
            }
            Order::Open => {
                let request = self.source.stream_request(self.now);
                self.world.stream = Some((self.now, request.idle_timeout_ms));
                self.world.connect(self.now);
            }
        }
        if again { Some(self.now) } else { step.next }
    }

    fn deliver(&mut self) {
        let now = self.now;
        let due: Vec<_> =
            self.world.incoming.extract_if(.., |(at, _)| *at <= now).map(|(_, incoming)| incoming).collect();
        for incoming in due {
            match incoming {
                Incoming::Opened(status, headers) => self.source.stream_opened(status, headers, now),
                Incoming::Bytes(bytes) => {
                    self.world.stream.iter_mut().for_each(|(last, _)| *last = now);
                    self.source.stream_data(&bytes, now);
                }
                Incoming::End => return self.end(),
            }
        }
        if self.world.stream.is_some_and(|(last, idle)| now >= last + idle) {
            self.end();
        }
    }

    fn end(&mut self) {
        self.world.incoming.clear();
        self.world.stream = None;
        self.source.stream_closed(self.now);
    }
}

#[test]
fn after_any_trouble_the_newest_verified_ruleset_is_enforced_in_time() {
    for seed in 0..SCENARIOS {
        let mut run = Run::new(seed);
        run.until(START + MINUTE, None);
        assert_eq!(run.enforced, revision(&text(1)), "scenario {seed} does not start");
        // The stream may still wait because of an earlier one.
        let mut longest_wait = 0;
        let troubles = 1 + seed % 3;
        for _ in 0..troubles {
            let trouble = TROUBLES[run.world.dice.roll() as usize % TROUBLES.len()];
            run.world.trouble = Some(trouble);
            run.world.dead = trouble == Trouble::HalfOpen;
            if matches!(
                trouble,
                Trouble::Closes | Trouble::Torn | Trouble::Away | Trouble::Refused | Trouble::NoStream | Trouble::Busy
            ) && run.world.stream.is_some()
            {
                run.end();
            }
            let ends = run.now + run.world.dice.between(SECOND, 20 * MINUTE);
            while run.now < ends {
                let pause = run.world.dice.between(SECOND, 5 * MINUTE);
                run.until((run.now + pause).min(ends), None);
                let now = run.now;
                run.world.deploy(now);
            }
            run.world.trouble = None;
            let newest = revision(&text(run.world.version));
            let over = run.now;
            longest_wait = longest_wait.max(trouble.longest_wait());
            let patience = longest_wait + SLACK;
            run.until(over + patience, Some(&newest));
            assert_eq!(run.enforced, newest, "scenario {seed}: not {patience} ms after {trouble:?}");
        }
    }
}
