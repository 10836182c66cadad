//! The output of a process, collected line by line.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// The lines that a process wrote to one of its outputs so far.
#[derive(Clone, Default)]
pub struct Output(Arc<Mutex<Vec<String>>>);

impl Output {
    /// Reads from the process until it closes the output.
    pub fn collect(source: impl Read + Send + 'static) -> (Self, JoinHandle<()>) {
        let output = Self::default();
        let into = output.clone();
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(source).split(b'\n').map_while(Result::ok) {
                into.0.lock().unwrap().push(String::from_utf8_lossy(&line).into_owned());
            }
        });
        (output, reader)
    }

    pub fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    pub fn text(&self) -> String {
        self.lines().join("\n")
    }

    pub fn contains(&self, text: &str) -> bool {
        self.lines().iter().any(|line| line.contains(text))
    }
}
