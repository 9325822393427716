//! Server-sent events, bytes in, events out (WHATWG HTML, 9.2; wire.md §5.2, §5.7). Any cut of the bytes gives the same
//! events. Bounded: a line or an event that is too large is dropped, and reading goes on behind the next blank line.

/// Longest line, in bytes. Base64 of a ruleset of 1 MiB fits.
pub const MAX_LINE: usize = 1_536 * 1024;

/// Largest event: bytes of all of its data.
pub const MAX_EVENT: usize = 2 * 1024 * 1024;

/// Longest id of an event, in bytes; it comes back as the value of a header.
pub const MAX_ID: usize = 1024;

/// Bounds of the waiting time that a server may ask for.
pub const RETRY_MS: std::ops::RangeInclusive<u64> = 500..=60_000;

/// What the bytes amount to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// An event.
    Event(Event),
    /// A comment: somebody is there.
    Comment,
    /// How long to wait before opening the stream again, within [`RETRY_MS`].
    Retry(u64),
    /// An event was too large and is lost. What it said must be found out in another way.
    Oversize,
}

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// `message` when the stream does not say.
    pub name: String,
    /// Its lines, joined. Bytes that are no UTF-8 are replaced.
    pub data: String,
}

/// Reads a stream from its start.
#[derive(Debug, Default)]
pub struct Parser {
    line: Vec<u8>,
    /// The last byte was a carriage return: a line feed now belongs to it.
    after_return: bool,
    /// At least one line was read: a byte order mark is an ordinary character now.
    begun: bool,
    name: String,
    data: Vec<u8>,
    has_data: bool,
    id: Option<String>,
    last_id: Option<String>,
    /// What is read belongs to an event that was too large.
    skipping: bool,
    /// The rest of this line is not kept.
    cut: bool,
}

impl Parser {
    /// For a stream that goes on where one with this last id ended.
    #[must_use]
    pub fn after(last_id: Option<String>) -> Self {
        Self { id: last_id.clone(), last_id, ..Self::default() }
    }

    /// The id of the last event, for the header `Last-Event-ID`.
    #[must_use]
    pub fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// Takes bytes, cut anywhere.
    pub fn feed(&mut self, bytes: &[u8], sink: &mut impl FnMut(Item)) {
        let mut rest = bytes;
        while let Some(first) = rest.first() {
            if std::mem::take(&mut self.after_return) && *first == b'\n' {
                rest = rest.get(1..).unwrap_or_default();
                continue;
            }
            let end = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let (part, behind) = rest.split_at(end.unwrap_or(rest.len()));
            self.keep(part, sink);
            let Some(ending) = behind.first() else { return };
            self.after_return = *ending == b'\r';
            self.end_line(sink);
            rest = behind.get(1..).unwrap_or_default();
        }
    }

    fn keep(&mut self, part: &[u8], sink: &mut impl FnMut(Item)) {
        if self.cut {
            return;
        }
        if part.len() > MAX_LINE - self.line.len() {
            self.cut = true;
            // Nothing of the line is needed but that it is not blank.
            self.line = vec![b'x'];
            self.oversize(sink);
            return;
        }
        self.line.extend_from_slice(part);
    }

    fn oversize(&mut self, sink: &mut impl FnMut(Item)) {
        if !std::mem::replace(&mut self.skipping, true) {
            sink(Item::Oversize);
        }
        self.data = Vec::new();
    }

    fn end_line(&mut self, sink: &mut impl FnMut(Item)) {
        let mut line = std::mem::take(&mut self.line);
        self.cut = false;
        if !std::mem::replace(&mut self.begun, true) && line.starts_with(b"\xef\xbb\xbf") {
            line.drain(..3);
        }
        if line.is_empty() {
            self.dispatch(sink);
        } else if !self.skipping {
            self.field(&line, sink);
        }
        // The buffer is used again; a large one is given back.
        if line.capacity() <= 64 * 1024 {
            line.clear();
            self.line = line;
        }
    }

    fn field(&mut self, line: &[u8], sink: &mut impl FnMut(Item)) {
        let colon = line.iter().position(|byte| *byte == b':');
        let (name, value) = line.split_at(colon.unwrap_or(line.len()));
        let value = value.get(1..).unwrap_or_default();
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"" => sink(Item::Comment),
            b"event" => self.name = String::from_utf8_lossy(value).into_owned(),
            b"data" => {
                if self.data.len() + value.len() >= MAX_EVENT {
                    self.oversize(sink);
                    return;
                }
                if std::mem::replace(&mut self.has_data, true) {
                    self.data.push(b'\n');
                }
                self.data.extend_from_slice(value);
            }
            // Nothing but what can be the value of a header; an empty id forgets.
            b"id" if value.len() <= MAX_ID && value.iter().all(|byte| matches!(byte, b' '..=b'~')) => {
                self.id = Some(String::from_utf8_lossy(value).into_owned()).filter(|id| !id.is_empty());
            }
            b"retry" if !value.is_empty() && value.iter().all(u8::is_ascii_digit) => {
                let wait = String::from_utf8_lossy(value).parse().unwrap_or(u64::MAX);
                sink(Item::Retry(wait.clamp(*RETRY_MS.start(), *RETRY_MS.end())));
            }
            _ => {}
        }
    }

    /// A blank line.
    fn dispatch(&mut self, sink: &mut impl FnMut(Item)) {
        let name = std::mem::take(&mut self.name);
        let data = std::mem::take(&mut self.data);
        let has_data = std::mem::take(&mut self.has_data);
        self.last_id.clone_from(&self.id);
        if std::mem::take(&mut self.skipping) || !has_data {
            return;
        }
        let name = if name.is_empty() { "message".to_owned() } else { name };
        let data =
            String::from_utf8(data).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
        sink(Item::Event(Event { name, data }));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(chunks: &[&[u8]]) -> (Vec<Item>, Option<String>) {
        let (mut parser, mut items) = (Parser::default(), Vec::new());
        chunks.iter().for_each(|chunk| parser.feed(chunk, &mut |item| items.push(item)));
        (items, parser.last_id().map(str::to_owned))
    }

    fn events(text: &[u8]) -> Vec<(String, String)> {
        let event = |item| if let Item::Event(event) = item { Some((event.name, event.data)) } else { None };
        parse(&[text]).0.into_iter().filter_map(event).collect()
    }

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(name, data)| ((*name).to_owned(), (*data).to_owned())).collect()
    }

    /// Everything that a stream may hold, and what it may not.
    const MIXED: &[u8] = b"\xef\xbb\xbf: hello\r\nevent: a\r\ndata: {\"n\":1}\r\n\r\nid: 7\rdata:x\rdata: y\r\r\
        event:b\ndata\ndata: \xc3\xbc\xff\n\nretry: 5000\nretry: 5s\n: keepalive\nunknown: z\nid: a\x00b\ndata: \xef\xbb\xbf\n\n\
        event: nothing\n\ndata:  two spaces\n\nid\n\ndata: cut off";

    #[test]
    fn reads_what_the_standard_says() {
        assert_eq!(
            events(MIXED),
            pairs(&[
                ("a", "{\"n\":1}"),
                ("message", "x\ny"),
                ("b", "\nü\u{fffd}"),
                ("message", "\u{feff}"),
                ("message", " two spaces"),
            ])
        );
        let (items, last) = parse(&[MIXED]);
        assert_eq!(items.iter().filter(|item| **item == Item::Comment).count(), 2);
        assert_eq!(items.iter().filter(|item| matches!(item, Item::Retry(5000))).count(), 1);
        assert_eq!(last, None, "an empty id forgets");
    }

    #[test]
    fn t72_the_first_event_is_not_lost_behind_a_byte_order_mark_and_line_ends_may_be_cut() {
        for text in ["\u{feff}data: 1\r\n\r\ndata: 2\r\n\r\n", "data: 1\n\ndata: 2\n\n", "data: 1\r\rdata: 2\r\r"] {
            let one_by_one: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
            assert_eq!(parse(&one_by_one), parse(&[text.as_bytes()]));
            assert_eq!(events(text.as_bytes()), pairs(&[("message", "1"), ("message", "2")]), "{text:?}");
        }
    }

    #[test]
    fn every_cut_gives_the_same_events() {
        let whole = parse(&[MIXED]);
        for first in 0..=MIXED.len() {
            for second in first..=MIXED.len() {
                assert_eq!(
                    parse(&[&MIXED[..first], &MIXED[first..second], &MIXED[second..]]),
                    whole,
                    "{first} {second}"
                );
            }
        }
    }

    #[test]
    fn t58_half_an_event_is_none() {
        assert_eq!(events(b"event: a\ndata: {\"name\":"), pairs(&[]));
        assert_eq!(events(b"event: a\ndata: {}\n"), pairs(&[]));
    }

    #[test]
    fn t73_a_line_without_an_end_takes_no_memory_and_the_next_event_is_read() {
        let (mut parser, mut items) = (Parser::default(), Vec::new());
        let noise = vec![b'a'; 16 * 1024];
        parser.feed(b"data: ", &mut |item| items.push(item));
        for _ in 0..3200 {
            parser.feed(&noise, &mut |item| items.push(item));
            assert!(parser.line.capacity() + parser.data.capacity() <= 2 * MAX_LINE);
        }
        parser.feed(b"\ndata: rest of it\n\ndata: good\n\n", &mut |item| items.push(item));
        let good = Event { name: "message".to_owned(), data: "good".to_owned() };
        assert_eq!(items, [Item::Oversize, Item::Event(good)]);
    }

    #[test]
    fn an_event_of_many_lines_is_bounded_too() {
        let (mut parser, mut items) = (Parser::default(), Vec::new());
        let line = format!("data: {}\n", "a".repeat(1024));
        for _ in 0..100_000 {
            parser.feed(line.as_bytes(), &mut |item| items.push(item));
            assert!(parser.data.len() <= MAX_EVENT);
        }
        parser.feed(b"\nevent: b\ndata: good\n\n", &mut |item| items.push(item));
        assert_eq!(items, [Item::Oversize, Item::Event(Event { name: "b".into(), data: "good".into() })]);
    }

    #[test]
    fn an_event_with_a_ruleset_of_one_mebibyte_fits() {
        let data = "A".repeat(1_398_104 + 1000);
        assert_eq!(events(format!("event: contract_update\ndata: {data}\n\n").as_bytes())[0].1.len(), data.len());
    }

    #[test]
    fn t74_ids_and_waiting_times_are_kept_within_their_bounds() {
        let waits = |text: &str| parse(&[format!("retry: {text}\n").as_bytes()]).0;
        for (text, wait) in [("5000", 5000), ("0", 500), ("99999999999999999999999", 60_000)] {
            assert_eq!(waits(text), [Item::Retry(wait)]);
        }
        for text in ["", "-1", "1.5", "1e3", "5 s"] {
            assert_eq!(waits(text), [], "{text}");
        }
        assert_eq!(parse(&[b"id: 7\n\nid: x\r\n"]).1.as_deref(), Some("7"), "an id counts with its event");
        let long = format!("id: 7\n\nid: {}\n\nid: \x01\n\nid: ü\n\n", "x".repeat(MAX_ID + 1));
        assert_eq!(parse(&[long.as_bytes()]).1.as_deref(), Some("7"));
    }

    proptest! {
        #[test]
        fn any_bytes_cut_anywhere_give_the_same_items(
            parts in prop::collection::vec(prop::sample::select(vec![
                "data", "event", "id", "retry", ":", " ", "\n", "\r", "\r\n", "\n\n", "7", "x", "ü", "\u{feff}", "\u{0}",
            ]), 0..60),
            noise in prop::collection::vec(any::<u8>(), 0..40),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let bytes = [parts.concat().into_bytes(), noise].concat();
            let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            places.extend([0, bytes.len()]);
            places.sort_unstable();
            let chunks: Vec<&[u8]> = places.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(parse(&chunks), parse(&[&bytes]));
        }
    }
}
