//! The targets, one function each: programs under `fuzz_targets/` feed them noise, `tests/corpus.rs` the committed corpus.
//! They hold laws, not only the absence of panics.

use edictum_engine::inquiry::{ApprovalVerdict, Operation, Outcome};
use edictum_server_protocol::approval::queue::ApprovalQueue;
use edictum_server_protocol::endpoint::Endpoint;
use edictum_server_protocol::log::delivery::{DecisionLog, Step};
use edictum_server_protocol::log::entry::{Content, Pending};
use edictum_server_protocol::response::Response;
use edictum_server_protocol::ruleset::source::RulesetSource;
use edictum_server_protocol::session::store::{Performed, SessionStore};
use edictum_server_protocol::stream::sse::{Item, MAX_EVENT, Parser};

/// Milliseconds since 1970.
const NOW: u64 = 1_790_000_000_000;

const KEY: &str = "edk_production_0123456789abcdef";

fn endpoint() -> Option<Endpoint> {
    Endpoint::open(r#"{"url":"https://api.example.com","seed":1}"#, KEY).ok()
}

/// The first byte says where the rest is cut. Any cut gives the same items, and no event makes a request for anything but
/// the ruleset that was named.
pub fn stream(input: &[u8]) {
    let Some((every, bytes)) = input.split_first() else { return };
    let items = |chunks: &mut dyn Iterator<Item = &[u8]>| {
        let (mut parser, mut items) = (Parser::default(), Vec::new());
        chunks.for_each(|chunk| parser.feed(chunk, &mut |item| items.push(item)));
        (items, parser.last_id().map(str::to_owned))
    };
    let whole = items(&mut std::iter::once(bytes));
    assert_eq!(items(&mut bytes.chunks(usize::from(*every) + 1)), whole, "a cut makes a difference");
    let fits = |item: &Item| !matches!(item, Item::Event(event) if event.data.len() > 3 * MAX_EVENT);
    assert!(whole.0.iter().all(fits), "an event is too large");

    let source = endpoint().and_then(|endpoint| RulesetSource::open(&endpoint, r#"{"bundle_name":"t"}"#, None).ok());
    let Some(mut source) = source else { return };
    source.enforced("0", NOW);
    source.take_step(NOW);
    source.stream_request(NOW);
    source.stream_opened(200, vec![("content-type".to_owned(), "text/event-stream".to_owned())], NOW);
    source.stream_data(bytes, NOW + 2000);
    if let Some(request) = source.next_request(NOW + 2000) {
        assert_eq!(request.target, "/v1/rulesets/t/current?env=production");
    }
    assert!(source.take_step(NOW + 2000).release.is_none(), "the stream gives no rules");
    let id = source.stream_request(NOW + 2000).request.header("last-event-id").unwrap_or_default().to_owned();
    assert!(id.bytes().all(|byte| matches!(byte, b' '..=b'~')), "an id that is no value of a header");
}

/// The first byte is a status, the rest a body, given as the answer to everything. Nothing is allowed that was not plainly
/// said, and the key is nowhere.
pub fn answers(input: &[u8]) {
    let (Some((status, body)), Some(endpoint)) = (input.split_first(), endpoint()) else { return };
    let statuses = [200, 201, 204, 302, 400, 401, 404, 409, 413, 422, 429, 500, 503];
    let status = statuses.get(usize::from(*status) % statuses.len()).copied().unwrap_or(200);
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    let answer = Ok(Response { status, headers, body: body.to_vec() });
    let said = |word: &str| body.windows(word.len()).any(|window| window == word.as_bytes());

    if let Ok(mut source) = RulesetSource::open(&endpoint, r#"{"bundle_name":"t"}"#, None) {
        for _ in 0..3 {
            if source.next_request(NOW).is_some() {
                source.answered(&answer, NOW);
            }
        }
        let step = source.take_step(NOW);
        assert!(step.release.is_none() || said("yaml"), "a ruleset out of nothing");
        assert!(!format!("{step:?} {}", source.health(NOW)).contains(KEY));
    }

    if let Ok(mut store) = SessionStore::open(&endpoint, "{}") {
        let get = |key: &str| Operation::Get(key.to_owned());
        let add = Operation::Increment { key: "s:a:attempts".to_owned(), amount: 1 };
        let mut performance = store.perform(vec![vec![add, get("s:a:execs"), get("s:a:x")]], 0, NOW);
        for _ in 0..4 {
            for (id, _) in performance.requests() {
                performance.answered(id, &answer, NOW);
            }
        }
        let performed = performance.finish();
        let counted = performed.first().and_then(|session| session.first());
        if let Some(Performed::Settled(Outcome::Done(entry))) = counted {
            assert!(entry.value.is_some(), "an increment without a sum would count as 0");
        }
    }

    if let Ok(mut queue) = ApprovalQueue::open(&endpoint, "{}") {
        let approval = format!(r#"{{"message":"m","deadline_ms":{}}}"#, NOW + 60_000);
        queue.submit("r", &approval, Some(r#"{"layout":1,"id":"a-1"}"#), NOW);
        let mut now = NOW;
        for _ in 0..200 {
            now = queue.take_step(now).next.unwrap_or(now).max(now);
            for (id, _) in queue.requests(now) {
                queue.answered(id, &answer, now);
            }
            for settled in queue.take_step(now).settled {
                let approved = settled.outcome.verdict == ApprovalVerdict::Approved;
                assert!(!approved || (status < 300 && said("approved")), "nobody has approved");
            }
        }
        assert!(queue.is_empty(), "an approval without an end");
    }

    if let Ok(mut log) = DecisionLog::open(&endpoint, "{}") {
        let entry = |sequence| Pending { sequence, content: Content::Event("{}".to_owned()) };
        if let Step::Send(_) = log.deliver(&[entry(1), entry(2)], true, NOW) {
            let delivery = log.delivered(&answer, NOW);
            assert_eq!(delivery.settled_through.is_some(), status < 300, "what was refused is not settled");
            assert!(!format!("{delivery:?}").contains(KEY));
        }
    }
}
