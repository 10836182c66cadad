//! A mail server for tests.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};

use super::path_of;
use crate::harness::PATIENCE;

/// A mail server that accepts everything.
pub fn mail_server() -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("smtp://{}", listener.local_addr().unwrap());
    let (sender, mails) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let sender = sender.clone();
            std::thread::spawn(move || accept_mails(stream, &sender));
        }
    });
    (url, mails)
}

fn accept_mails(mut stream: TcpStream, mails: &Sender<String>) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines().map_while(Result::ok);
    stream.write_all(b"220 ready\r\n").ok()?;
    while let Some(line) = lines.next() {
        let is_data = line == "DATA";
        stream.write_all(if is_data { b"354 go ahead\r\n" } else { b"250 ok\r\n" }).ok()?;
        if is_data {
            let mail: Vec<_> = lines.by_ref().take_while(|line| line != ".").collect();
            stream.write_all(b"250 queued\r\n").ok()?;
            // Quoted-printable: a line that ends with `=` goes on in the next.
            mails.send(mail.join("\n").replace("=\n", "")).ok()?;
        }
    }
    Some(())
}

/// The path of the link in the next mail.
#[track_caller]
pub fn mailed_path(mails: &Receiver<String>) -> String {
    let mail = mails.recv_timeout(PATIENCE).unwrap();
    path_of(&mail).split(|letter: char| !letter.is_ascii_graphic()).next().unwrap().to_owned()
}
