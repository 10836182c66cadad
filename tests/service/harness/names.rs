//! A DNS server on the loopback interface with configurable records.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

const A: u16 = 1;
const TXT: u16 = 16;
const AAAA: u16 = 28;
const NAME_ERROR: u8 = 3;

type Records = HashMap<(String, u16), Vec<Vec<u8>>>;

/// See the module.
pub struct NameServer {
    pub address: SocketAddr,
    records: Arc<Mutex<Records>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl NameServer {
    pub fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let address = socket.local_addr().unwrap();
        let records = Arc::<Mutex<Records>>::default();
        let is_over = Arc::<AtomicBool>::default();
        let (known, ends) = (Arc::clone(&records), Arc::clone(&is_over));
        let thread = std::thread::spawn(move || {
            let mut question = [0; 1_500];
            while !ends.load(Ordering::SeqCst) {
                let Ok((length, asker)) = socket.recv_from(&mut question) else { continue };
                if let Some(answer) = answer(&question[..length], &known.lock().unwrap()) {
                    socket.send_to(&answer, asker).unwrap();
                }
            }
        });
        Self { address, records, is_over, thread: Some(thread) }
    }

    /// The name has this text too.
    pub fn text(&self, name: &str, text: &str) {
        // A text comes in parts of 255 bytes at most: two of them, to be joined.
        let (head, tail) = text.split_at(text.len() / 2);
        let mut data = Vec::new();
        for part in [head, tail] {
            data.push(u8::try_from(part.len()).unwrap());
            data.extend_from_slice(part.as_bytes());
        }
        self.record(name, TXT, data);
    }

    /// The name has this address too.
    pub fn host(&self, name: &str, address: &str) {
        match address.parse().unwrap() {
            IpAddr::V4(v4) => self.record(name, A, v4.octets().to_vec()),
            IpAddr::V6(v6) => self.record(name, AAAA, v6.octets().to_vec()),
        }
    }

    /// The name has no records any more.
    pub fn remove(&self, name: &str) {
        self.records.lock().unwrap().retain(|(known, _), _| known != name);
    }

    fn record(&self, name: &str, kind: u16, data: Vec<u8>) {
        self.records.lock().unwrap().entry((name.to_owned(), kind)).or_default().push(data);
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        let _panicked = self.thread.take().unwrap().join();
    }
}

/// RFC 1035: the question, and what is known of it.
fn answer(question: &[u8], records: &Records) -> Option<Vec<u8>> {
    let mut at = 12;
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*question.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(question.get(at..at + length)?).to_lowercase());
        at += length;
    }
    let kind = u16::from_be_bytes(question.get(at..at + 2)?.try_into().ok()?);
    let name = labels.join(".");
    let found = records.get(&(name.clone(), kind)).cloned().unwrap_or_default();
    let is_known = records.keys().any(|(known, _)| *known == name);

    let mut answer = question.get(..2)?.to_vec();
    // A response, with recursion desired and available.
    answer.extend_from_slice(&[0x81, 0x80 | if is_known { 0 } else { NAME_ERROR }]);
    let count = u16::try_from(found.len()).ok()?.to_be_bytes();
    answer.extend_from_slice(&[0, 1, count[0], count[1], 0, 0, 0, 0]);
    answer.extend_from_slice(question.get(12..at + 4)?);
    for data in found {
        // The name as in the question, the kind, the Internet, no time to live.
        answer.extend_from_slice(&[0xc0, 12]);
        answer.extend_from_slice(&kind.to_be_bytes());
        answer.extend_from_slice(&[0, 1, 0, 0, 0, 0]);
        answer.extend_from_slice(&u16::try_from(data.len()).ok()?.to_be_bytes());
        answer.extend_from_slice(&data);
    }
    Some(answer)
}
