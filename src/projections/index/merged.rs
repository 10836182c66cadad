//! Rows of several layers as one: of each key, what the newest layer says.

use std::cmp::Ordering;
use std::iter::Peekable;

use super::IndexError;
use crate::sst::{KeyRange, Table};

/// Rows of one layer, tombstones among them.
pub type TaggedRows<'a> =
    Box<dyn Iterator<Item = Result<(Vec<u8>, Option<Vec<u8>>), IndexError>> + 'a>;

/// The rows of a table as those of a layer.
pub fn table_rows(table: &Table, range: KeyRange, is_back: bool) -> TaggedRows<'_> {
    Box::new(table.rows(range, is_back).map(|row| row.map_err(IndexError::from)))
}

/// Rows of layers, newest first, each in the same direction. A key that is gone stays in, without
/// a value. After an error nothing more comes.
pub struct Merged<'a> {
    layers: Vec<Peekable<TaggedRows<'a>>>,
    is_back: bool,
}

impl<'a> Merged<'a> {
    pub fn new(layers: Vec<TaggedRows<'a>>, is_back: bool) -> Self {
        Self { layers: layers.into_iter().map(Iterator::peekable).collect(), is_back }
    }

    /// Which layer has the next key; a layer that failed goes first.
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
        // With one layer there is nothing to compare.
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
