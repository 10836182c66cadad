//! Merges the rows of several layers; the newest layer with a key wins.

use std::cmp::Ordering;
use std::iter::Peekable;

use super::IndexError;
use crate::sst::{KeyRange, Table};

/// Rows of one layer, including tombstones.
pub type TaggedRows<'a> =
    Box<dyn Iterator<Item = Result<(Vec<u8>, Option<Vec<u8>>), IndexError>> + 'a>;

/// The rows of a table as a layer.
pub fn table_rows(table: &Table, range: KeyRange, is_back: bool) -> TaggedRows<'_> {
    Box::new(table.rows(range, is_back).map(|row| row.map_err(IndexError::from)))
}

/// Merged rows of layers, newest first, all in the same direction. Tombstones are included. The
/// iterator ends after an error.
pub struct Merged<'a> {
    layers: Vec<Peekable<TaggedRows<'a>>>,
    is_back: bool,
}

impl<'a> Merged<'a> {
    pub fn new(layers: Vec<TaggedRows<'a>>, is_back: bool) -> Self {
        Self { layers: layers.into_iter().map(Iterator::peekable).collect(), is_back }
    }

    /// The layer with the next key; a failed layer first.
    fn next_layer(&mut self) -> Option<usize> {
        let mut next: Option<(usize, Vec<u8>)> = None;
        for (number, layer) in self.layers.iter_mut().enumerate() {
            let key = match layer.peek() {
                None => continue,
                Some(Err(_)) => return Some(number),
                Some(Ok((key, _))) => key,
            };
            let order = next.as_ref().map_or(Ordering::Less, |(_, first)| key.cmp(first));
            let is_first =
                if self.is_back && next.is_some() { order.is_gt() } else { order.is_lt() };
            if is_first {
                next = Some((number, key.clone()));
            }
        }
        next.map(|(number, _)| number)
    }
}

impl Iterator for Merged<'_> {
    type Item = Result<(Vec<u8>, Option<Vec<u8>>), IndexError>;

    fn next(&mut self) -> Option<Self::Item> {
        // A single layer needs no comparison.
        if let [layer] = self.layers.as_mut_slice() {
            return layer.next();
        }
        let number = self.next_layer()?;
        let row = self.layers.get_mut(number)?.next()?;
        match &row {
            Err(_) => self.layers.clear(),
            Ok((key, _)) => {
                for older in self.layers.iter_mut().skip(number + 1) {
                    older.next_if(|row| matches!(row, Ok((other, _)) if other == key));
                }
            }
        }
        Some(row)
    }
}
