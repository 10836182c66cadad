//! Links come in from elsewhere: files are read, row by row, and become commands.

pub mod formats;
