//! What is done to the file, each inside a transaction: append, give way, read the front, settle, hold a lane. It decides
//! nothing about when.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::block;
use super::queue::Batch;
use super::{Content, Gap, Pending};
use crate::events::with_sequence;

/// Most dead letters of a lane that are kept; older ones are only counted then.
pub(super) const MAX_DEAD: i64 = 10_000;

/// Most bytes of their events.
pub(super) const MAX_DEAD_BYTES: i64 = 64 << 20;

/// Blocks that give way at a time.
const GIVE_WAY: i64 = 256;

type Result<T> = rusqlite::Result<T>;

/// A row of `lane`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Lane {
    id: i64,
    pub last: i64,
    pub settled: i64,
    pub events: i64,
    pub gaps: i64,
    pub bytes: i64,
    pub lost: i64,
    pub dead: i64,
}

/// What is to be appended to a lane.
#[derive(Debug)]
pub(super) struct Append<'a> {
    pub lane: &'a str,
    /// Sequences up to here have been given out, whatever the file says: it may be a new one.
    pub floor: i64,
    /// Events before these that could not be kept.
    pub lost: u64,
    pub batches: &'a [Batch],
}

/// A dead letter, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its place in the lane.
    pub sequence: u64,
    /// The event; none: it had given way meanwhile.
    pub event: Option<String>,
    /// Why the server refused it.
    pub reason: String,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
}

fn lane_row(row: &Row<'_>) -> Result<Lane> {
    Ok(Lane {
        id: row.get(0)?,
        last: row.get(1)?,
        settled: row.get(2)?,
        events: row.get(3)?,
        gaps: row.get(4)?,
        bytes: row.get(5)?,
        lost: row.get(6)?,
        dead: row.get(7)?,
    })
}

const LANE: &str = "id, last, settled, events, gaps, bytes, lost, dead";

/// The lane of this name, if it was ever used.
pub(super) fn find(connection: &Connection, name: &str) -> Result<Option<Lane>> {
    let sql = format!("SELECT {LANE} FROM lane WHERE name = ?1");
    connection.prepare_cached(&sql)?.query_row([name], lane_row).optional()
}

fn by_id(connection: &Connection, id: i64) -> Result<Lane> {
    let sql = format!("SELECT {LANE} FROM lane WHERE id = ?1");
    connection.prepare_cached(&sql)?.query_row([id], lane_row)
}

fn find_or_make(connection: &Connection, name: &str, floor: i64) -> Result<Lane> {
    if let Some(lane) = find(connection, name)? {
        return Ok(lane);
    }
    connection.execute("INSERT INTO lane (name, last, settled) VALUES (?1, ?2, ?2)", params![name, floor])?;
    by_id(connection, connection.last_insert_rowid())
}

fn write(connection: &Connection, lane: &Lane) -> Result<()> {
    let mut statement = connection.prepare_cached(
        "UPDATE lane SET last = ?2, settled = ?3, events = ?4, gaps = ?5, bytes = ?6, lost = ?7, dead = ?8 WHERE id = ?1",
    )?;
    let Lane { id, last, settled, events, gaps, bytes, lost, dead } = lane;
    statement.execute(params![id, last, settled, events, gaps, bytes, lost, dead]).map(drop)
}

/// Bytes of all events in the file.
pub(super) fn used(connection: &Connection) -> Result<u64> {
    let used: i64 =
        connection.prepare_cached("SELECT ifnull(sum(bytes), 0) FROM lane")?.query_row([], |row| row.get(0))?;
    Ok(unsigned(used))
}

/// Gives the events their sequences and puts them behind those that are there.
pub(super) fn append(connection: &Connection, append: &Append<'_>) -> Result<Lane> {
    let mut lane = find_or_make(connection, append.lane, append.floor)?;
    if lane.last < append.floor {
        // The file is another one than before.
        lane = go_on_from(connection, lane, append.floor)?;
    }
    if append.lost > 0 {
        let first = lane.last + 1;
        lane.last = lane.last.saturating_add(integer(append.lost));
        let last = lane.last;
        add_gap(connection, &mut lane, first, last)?;
    }
    let mut open = Open { first: lane.last + 1, required: false, body: Vec::new() };
    for batch in append.batches {
        for event in &batch.events {
            if !open.body.is_empty() && (open.required != batch.required || open.body.len() >= block::FULL) {
                open.close(connection, &mut lane)?;
            }
            open.required = batch.required;
            lane.last += 1;
            block::push(&mut open.body, &with_sequence(event, unsigned(lane.last)));
        }
    }
    if !open.body.is_empty() {
        open.close(connection, &mut lane)?;
    }
    write(connection, &lane)?;
    Ok(lane)
}

/// No sequence is given twice. What was in a file that is gone is lost, and delivered is all that can be known of the rest.
fn go_on_from(connection: &Connection, mut lane: Lane, floor: i64) -> Result<Lane> {
    let first = lane.last + 1;
    lane.last = floor;
    if lane.settled + 1 == first {
        lane.settled = floor;
    } else {
        add_gap(connection, &mut lane, first, floor)?;
    }
    Ok(lane)
}

/// A block that is being filled.
struct Open {
    first: i64,
    required: bool,
    body: Vec<u8>,
}

impl Open {
    fn close(&mut self, connection: &Connection, lane: &mut Lane) -> Result<()> {
        let bytes = i64::try_from(self.body.len()).unwrap_or(i64::MAX);
        let mut statement = connection.prepare_cached(
            "INSERT INTO block (lane, first, last, required, bytes, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        statement.execute(params![lane.id, self.first, lane.last, self.required, bytes, self.body])?;
        lane.events += lane.last - self.first + 1;
        lane.bytes += bytes;
        self.first = lane.last + 1;
        self.body.clear();
        Ok(())
    }
}

/// Says that these are lost: one record with its neighbours, if those are gaps too.
fn add_gap(connection: &Connection, lane: &mut Lane, first: i64, last: i64) -> Result<()> {
    lane.lost += last - first + 1;
    let mut before = connection
        .prepare_cached("SELECT id, first FROM block WHERE lane = ?1 AND last = ?2 AND body IS NULL AND first <= ?2")?;
    let before: Option<(i64, i64)> =
        before.query_row([lane.id, first - 1], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let mut behind = connection.prepare_cached(
        "SELECT id, first, last, body IS NULL FROM block WHERE lane = ?1 AND last > ?2 ORDER BY last LIMIT 1",
    )?;
    let behind = behind.query_row([lane.id, last], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?, row.get::<_, bool>(3)?))
    });
    let behind = behind.optional()?.filter(|(_, after, _, gap)| *gap && *after == last + 1);
    let mut start = first;
    if let Some((id, its_first)) = before {
        start = its_first;
        remove(connection, id)?;
        lane.gaps -= 1;
    }
    if let Some((id, _, its_last, _)) = behind {
        connection.prepare_cached("UPDATE block SET first = ?2 WHERE id = ?1")?.execute([id, start])?;
        debug_assert!(its_last > last);
        return Ok(());
    }
    let mut insert = connection
        .prepare_cached("INSERT INTO block (lane, first, last, required, bytes) VALUES (?1, ?2, ?3, 0, 0)")?;
    insert.execute([lane.id, start, last])?;
    lane.gaps += 1;
    Ok(())
}

fn remove(connection: &Connection, id: i64) -> Result<()> {
    connection.prepare_cached("DELETE FROM block WHERE id = ?1")?.execute([id]).map(drop)
}

/// A block that gives way.
struct Oldest {
    id: i64,
    lane: i64,
    first: i64,
    last: i64,
    bytes: i64,
}

/// Lets the oldest blocks give way to gaps until no more than `max_bytes` are in the file, or only what is required. Says
/// whether any did.
pub(super) fn give_way(connection: &Connection, max_bytes: u64) -> Result<bool> {
    let mut over = integer(used(connection)?).saturating_sub(integer(max_bytes));
    let mut any = false;
    while over > 0 {
        let mut statement = connection.prepare_cached(
            "SELECT id, lane, first, last, bytes FROM block WHERE body IS NOT NULL AND required = 0 ORDER BY id LIMIT ?1",
        )?;
        let rows = statement.query_map([GIVE_WAY], |row| {
            Ok(Oldest { id: row.get(0)?, lane: row.get(1)?, first: row.get(2)?, last: row.get(3)?, bytes: row.get(4)? })
        })?;
        let mut going = Vec::new();
        for row in rows {
            let row = row?;
            if over <= 0 {
                break;
            }
            over -= row.bytes;
            going.push(row);
        }
        if going.is_empty() {
            break;
        }
        any = true;
        drop_blocks(connection, going)?;
    }
    Ok(any)
}

fn drop_blocks(connection: &Connection, mut going: Vec<Oldest>) -> Result<()> {
    going.sort_by_key(|block| (block.lane, block.first));
    for of_lane in going.chunk_by(|one, next| one.lane == next.lane) {
        let Some(id) = of_lane.first().map(|block| block.lane) else { continue };
        let mut lane = by_id(connection, id)?;
        for run in of_lane.chunk_by(|one, next| one.last + 1 == next.first) {
            let (Some(start), Some(end)) = (run.first(), run.last()) else { continue };
            for block in run {
                remove(connection, block.id)?;
                lane.bytes -= block.bytes;
            }
            // What is settled of the first block is not lost.
            let first = start.first.max(lane.settled + 1);
            lane.events -= end.last - first + 1;
            add_gap(connection, &mut lane, first, end.last)?;
        }
        write(connection, &lane)?;
    }
    Ok(())
}

/// The oldest entries that are not settled, in order: at least one, if there is any.
pub(super) fn front(connection: &Connection, name: &str, max_events: usize, max_bytes: usize) -> Result<Vec<Pending>> {
    let mut entries = Vec::new();
    let Some(lane) = find(connection, name)? else { return Ok(entries) };
    let mut statement =
        connection.prepare_cached("SELECT first, last, body FROM block WHERE lane = ?1 AND last > ?2 ORDER BY last")?;
    let mut rows = statement.query([lane.id, lane.settled])?;
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        let (first, last): (i64, i64) = (row.get(0)?, row.get(1)?);
        let body = row.get_ref(2)?.as_blob_or_null()?;
        for entry in read(first, last, body) {
            if entry.sequence <= unsigned(lane.settled) {
                continue;
            }
            bytes += super::size(&entry);
            if entries.len() >= max_events.max(1) || (!entries.is_empty() && bytes > max_bytes) {
                return Ok(entries);
            }
            entries.push(entry);
        }
    }
    Ok(entries)
}

/// The entries of a row. What cannot be read any more is a gap: the disk has lost it, and nothing else says so.
fn read(first: i64, last: i64, body: Option<&[u8]>) -> impl Iterator<Item = Pending> {
    let mut events = body.map(block::events);
    let mut next = first;
    std::iter::from_fn(move || {
        if next > last {
            return None;
        }
        let sequence = next;
        if let Some(Ok(event)) = events.as_mut().and_then(Iterator::next) {
            next += 1;
            return Some(Pending { sequence: unsigned(sequence), content: Content::Event(event.to_owned()) });
        }
        next = last + 1;
        Some(Pending {
            sequence: unsigned(last),
            content: Content::Gap(Gap {
                count: unsigned(last - sequence + 1),
                first_sequence: unsigned(sequence),
                last_sequence: unsigned(last),
            }),
        })
    })
}

/// Everything up to `through` has been delivered or set apart. Gives how many entries that were.
pub(super) fn settle(
    connection: &Connection,
    name: &str,
    through: u64,
    dead: &[(u64, String)],
    now: u64,
) -> Result<(u64, Lane)> {
    let Some(mut lane) = find(connection, name)? else { return Ok((0, Lane::default())) };
    let through = integer(through).min(lane.last);
    if through <= lane.settled {
        return Ok((0, lane));
    }
    bury(connection, &mut lane, through, dead, now)?;
    let mut settled = 0;
    let mut statement = connection.prepare_cached(
        "SELECT id, first, last, bytes, body IS NULL FROM block WHERE lane = ?1 AND last > ?2 ORDER BY last",
    )?;
    let mut rows = statement.query([lane.id, lane.settled])?;
    while let Some(row) = rows.next()? {
        let (id, first, last): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        if first > through {
            break;
        }
        let whole = last <= through;
        if row.get(4)? {
            // A gap that grew while its record was on its way: the rest is another gap.
            if whole {
                lane.gaps -= 1;
                settled += 1;
            } else {
                connection.prepare_cached("UPDATE block SET first = ?2 WHERE id = ?1")?.execute([id, through + 1])?;
            }
        } else {
            let events = last.min(through) - first.max(lane.settled + 1) + 1;
            lane.events -= events;
            settled += events;
            if whole {
                lane.bytes -= row.get::<_, i64>(3)?;
            }
        }
    }
    drop(rows);
    connection.prepare_cached("DELETE FROM block WHERE lane = ?1 AND last <= ?2")?.execute([lane.id, through])?;
    lane.settled = through;
    write(connection, &lane)?;
    Ok((unsigned(settled), lane))
}

/// Sets dead letters apart, with their events.
fn bury(connection: &Connection, lane: &mut Lane, through: i64, dead: &[(u64, String)], now: u64) -> Result<()> {
    for (sequence, reason) in dead {
        let place = integer(*sequence);
        if place <= lane.settled || place > through {
            continue;
        }
        let mut statement = connection.prepare_cached(
            "SELECT first, last, body FROM block WHERE lane = ?1 AND last >= ?2 ORDER BY last LIMIT 1",
        )?;
        let entry = statement.query_row([lane.id, place], |row| {
            let (first, last): (i64, i64) = (row.get(0)?, row.get(1)?);
            let entry = read(first, last, row.get_ref(2)?.as_blob_or_null()?).find(|entry| entry.sequence == *sequence);
            Ok(entry)
        });
        let event = match entry.optional()?.flatten().map(|entry| entry.content) {
            Some(Content::Event(event)) => Some(event),
            Some(Content::Gap(_)) | None => None,
        };
        let mut insert = connection.prepare_cached("INSERT OR IGNORE INTO dead_letter VALUES (?1, ?2, ?3, ?4, ?5)")?;
        lane.dead +=
            i64::try_from(insert.execute(params![lane.id, place, event, reason, integer(now)])?).unwrap_or_default();
    }
    if !dead.is_empty() {
        forget_dead(connection, lane.id)?;
    }
    Ok(())
}

/// The newest are kept.
fn forget_dead(connection: &Connection, lane: i64) -> Result<()> {
    let mut statement = connection.prepare_cached(
        "SELECT sequence, ifnull(length(CAST(event AS BLOB)), 0) FROM dead_letter WHERE lane = ?1 ORDER BY sequence DESC",
    )?;
    let mut rows = statement.query([lane])?;
    let (mut count, mut bytes) = (0, 0);
    while let Some(row) = rows.next()? {
        count += 1;
        bytes += row.get::<_, i64>(1)?;
        if count > MAX_DEAD || bytes > MAX_DEAD_BYTES {
            let place: i64 = row.get(0)?;
            drop(rows);
            let mut delete = connection.prepare_cached("DELETE FROM dead_letter WHERE lane = ?1 AND sequence <= ?2")?;
            return delete.execute([lane, place]).map(drop);
        }
    }
    Ok(())
}

/// Dead letters of a lane that are kept, newest first.
pub(super) fn dead_letters(connection: &Connection, name: &str, limit: usize) -> Result<Vec<DeadLetter>> {
    let mut statement = connection.prepare_cached(
        "SELECT sequence, event, reason, at_ms FROM dead_letter
         WHERE lane = (SELECT id FROM lane WHERE name = ?1) ORDER BY sequence DESC LIMIT ?2",
    )?;
    let rows = statement.query_map(params![name, i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
        Ok(DeadLetter {
            sequence: unsigned(row.get(0)?),
            event: row.get(1)?,
            reason: row.get(2)?,
            at_ms: unsigned(row.get(3)?),
        })
    })?;
    rows.collect()
}

/// Takes the right to deliver a lane, or keeps it, for `lease` milliseconds. Otherwise: until when another has it.
pub(super) fn hold(connection: &Connection, name: &str, holder: &str, now: u64, lease: u64) -> Result<Option<u64>> {
    let lane = find_or_make(connection, name, 0)?;
    let mut statement = connection.prepare_cached("SELECT holder, held_until_ms FROM lane WHERE id = ?1")?;
    let (held, until): (String, i64) = statement.query_row([lane.id], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let until = unsigned(until);
    // A lease that ends later than any can was taken before the clock was set back.
    if !held.is_empty() && held != holder && until > now && until <= now.saturating_add(2 * lease) {
        return Ok(Some(until));
    }
    let mut statement = connection.prepare_cached("UPDATE lane SET holder = ?2, held_until_ms = ?3 WHERE id = ?1")?;
    statement.execute(params![lane.id, holder, integer(now.saturating_add(lease))])?;
    Ok(None)
}

/// Gives that right up.
pub(super) fn let_go(connection: &Connection, name: &str, holder: &str) -> Result<()> {
    let mut statement =
        connection.prepare_cached("UPDATE lane SET holder = '', held_until_ms = 0 WHERE name = ?1 AND holder = ?2")?;
    statement.execute([name, holder]).map(drop)
}

/// Gives space that is no longer needed back to the disk, a piece at a time.
pub(super) fn shrink(connection: &Connection) -> Result<()> {
    let pages: i64 = connection.pragma_query_value(None, "freelist_count", |row| row.get(0))?;
    if pages < SHRINK_AT {
        return Ok(());
    }
    // A row for every page.
    let mut statement = connection.prepare_cached(&format!("PRAGMA incremental_vacuum({SHRINK_BY})"))?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    Ok(())
}

/// Free pages that are kept for what comes next.
const SHRINK_AT: i64 = 4096;

/// Pages that are given back at a time.
const SHRINK_BY: i64 = 1024;

pub(super) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}
