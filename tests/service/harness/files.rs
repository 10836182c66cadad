//! A third-party web server on the loopback interface.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

type Answers = HashMap<String, String>;

/// Answers with what a test sets; lives as long as the tests do.
pub struct FileServer {
    pub address: SocketAddr,
    answers: Arc<Mutex<Answers>>,
    /// The first line of each request.
    requests: Arc<Mutex<Vec<String>>>,
}

impl FileServer {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let answers = Arc::<Mutex<Answers>>::default();
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let (known, heard) = (Arc::clone(&answers), Arc::clone(&requests));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut reader = BufReader::new(stream.unwrap());
                let mut first = String::new();
                let _broken_off = reader.read_line(&mut first);
                heard.lock().unwrap().push(first.trim().to_owned());
                let mut line = first.clone();
                while !line.trim().is_empty() {
                    line.clear();
                    let _broken_off = reader.read_line(&mut line);
                }
                let path = first.split(' ').nth(1).unwrap_or_default();
                let missing = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned();
                let answer = known.lock().unwrap().get(path).cloned().unwrap_or(missing);
                let _gone = reader.get_mut().write_all(answer.as_bytes());
            }
        });
        Self { address, answers, requests }
    }

    /// The file at a path.
    pub fn file(&self, path: &str, text: &str) {
        self.answer(
            path,
            &format!(
                "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{text}",
                text.len()
            ),
        );
    }

    /// All that is answered at a path.
    pub fn answer(&self, path: &str, answer: &str) {
        self.answers.lock().unwrap().insert(path.to_owned(), answer.to_owned());
    }

    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}
