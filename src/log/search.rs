//! Finds valid records after damage, at unknown positions.

use std::fmt::Display;
use std::io;

use super::record::{HEADER_BYTES, Header};
use super::window::Window;

/// The largest plausible offset gap of a record found by searching. No log skips this much; the
/// bound keeps arbitrary bytes from being taken for headers, which would cost a checksum at every
/// position.
const PLAUSIBLE_GAP: u64 = 1 << 40;

/// Describes a flaw that is corruption; `witness` is the record that proves it.
pub(super) fn lost_although_synced(flaw: impl Display, witness: u64) -> String {
    format!("{flaw}, though it was durable when the later record {witness} was written")
}

/// Describes a log that ends too early: the watermark names a later record.
pub(super) fn lost_before_watermark(flaw: Option<impl Display>, synced: u64) -> String {
    let what = flaw.map_or_else(|| "the log ends there".to_owned(), |flaw| flaw.to_string());
    format!("{what}, though records up to {synced} were durable according to the watermark")
}

/// Searches from `position` for a record that proves that record `lost` was durable; returns its
/// offset.
pub(super) fn find_witness(
    window: &mut Window,
    position: u64,
    lost: u64,
) -> io::Result<Option<u64>> {
    let proves = |header: &Header| header.watermark().is_some_and(|synced| synced >= lost);
    let found = find_record(window, position, lost, proves)?;
    Ok(found.map(|(_, witness)| witness))
}

/// Searches from `position` for a valid record with an offset of at least `lowest` that `accept`
/// accepts; returns its position and offset.
///
/// The search is linear in practice: it only computes checksums at positions with a plausible
/// length and offset, and skips valid records as a whole, so their payloads are not searched.
pub(super) fn find_record(
    window: &mut Window,
    mut position: u64,
    lowest: u64,
    accept: impl Fn(&Header) -> bool,
) -> io::Result<Option<(u64, u64)>> {
    let limit = window.limit;
    let offsets = lowest..lowest.saturating_add(PLAUSIBLE_GAP);
    while position + HEADER_BYTES as u64 <= limit {
        let bytes = window.peek(position, HEADER_BYTES)?;
        let candidate = bytes.windows(HEADER_BYTES).enumerate().find_map(|(skipped, bytes)| {
            let header = Header::decode(bytes)?;
            let size = header.record_bytes()?;
            let at = position + skipped as u64;
            let plausible = offsets.contains(&header.offset) && at + size as u64 <= limit;
            plausible.then_some((at, header, size))
        });
        let Some((at, header, size)) = candidate else {
            if bytes.len() < HEADER_BYTES {
                // The file is shorter than it was when the window was made.
                return Ok(None);
            }
            position += (bytes.len() - HEADER_BYTES + 1) as u64;
            continue;
        };
        let record = window.peek(at, size)?.get(..size);
        if !record.is_some_and(|record| header.matches(record)) {
            position = at + 1;
        } else if accept(&header) {
            return Ok(Some((at, header.offset)));
        } else {
            position = at + size as u64;
        }
    }
    Ok(None)
}
